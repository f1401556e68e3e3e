//! How periods are learned from what a provider tells, in its order and out of it.

use super::*;
use crate::domain::billing::{BilledItem, InvoiceLine};
use crate::domain::names::{AccountName, LineId, PriceId};

fn at(hour: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 / 3_600 * 3_600 + hour * 3_600)
}

fn window(start: i64, end: i64) -> Window {
    Window { start: at(start), end: at(end) }
}

fn meter(name: &str) -> ProviderMeter {
    ProviderMeter::new(name).unwrap()
}

fn name() -> SubscriptionId {
    SubscriptionId::new("sub_1").unwrap()
}

fn subscription(items: &[(&str, i64, i64)]) -> Subscription {
    let item = |(name, start, end): &(&str, i64, i64)| BilledItem {
        meter: meter(name),
        period: window(*start, *end),
    };
    Subscription {
        id: name(),
        account: AccountName::new("cus_1").unwrap(),
        status: SubscriptionStatus::Billing,
        started_at: at(0),
        ended_at: None,
        ends_at: None,
        idle_since: None,
        changed_at: None,
        items: items.iter().map(item).collect(),
        latest_invoice: None,
    }
}

fn invoice(id: &str, status: InvoiceStatus, lines: &[(&str, i64, i64, &str)]) -> Invoice {
    let line = |(name_of, start, end, quantity): &(&str, i64, i64, &str)| InvoiceLine {
        id: LineId::new("il_1").unwrap(),
        subscription: name(),
        account: AccountName::new("cus_1").unwrap(),
        price: PriceId::new("price_1").unwrap(),
        meter: meter(name_of),
        period: window(*start, *end),
        quantity: Quantity::parse(quantity).unwrap(),
    };
    Invoice {
        id: InvoiceId::new(id).unwrap(),
        status,
        created_at: at(100),
        finalizes_at: Some(at(103)),
        finalized_at: (status == InvoiceStatus::Final).then(|| at(104)),
        lines: lines.iter().map(line).collect(),
        term: None,
    }
}

fn said(periods: &[Period]) -> String {
    let hours = |at_: Timestamp| at_.micros_since(at(0)) / MICROS_PER_HOUR;
    let one = |period: &Period| {
        let mut text =
            format!("{} {}-{}", period.meter, hours(period.span.start), hours(period.span.end));
        if let Some(closes) = period.closes_at.filter(|_| period.closed_at.is_none()) {
            text.push_str(&format!(" until {}", hours(closes)));
        }
        if let Some(billed) = &period.billed {
            text.push_str(&format!(" billed {billed}"));
        }
        text
    };
    periods.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_subscription_that_goes_on_has_one_period_after_the_other() {
    let known = learn_subscription(Vec::new(), &subscription(&[("calls", 0, 100)]), at(1));
    assert_eq!(said(&known), "calls 0-100");
    let known = learn_subscription(known, &subscription(&[("calls", 100, 200)]), at(101));
    assert_eq!(said(&known), "calls 0-100, calls 100-200");
    // The same again, and an older answer that was late, change nothing.
    let again = learn_subscription(known.clone(), &subscription(&[("calls", 100, 200)]), at(101));
    assert_eq!(again, known);
    let late = learn_subscription(known.clone(), &subscription(&[("calls", 0, 100)]), at(101));
    assert_eq!(late, known);
}

#[test]
fn a_period_that_begins_anew_at_once_ends_the_one_before_it() {
    let known = learn_subscription(Vec::new(), &subscription(&[("calls", 0, 100)]), at(1));
    let known = learn_subscription(known, &subscription(&[("calls", 40, 140)]), at(40));
    assert_eq!(said(&known), "calls 0-40, calls 40-140");
}

#[test]
fn a_subscription_that_ended_or_is_to_end_bills_until_then_and_one_that_pauses_goes_on() {
    let open = subscription(&[("calls", 0, 100), ("bytes", 0, 100)]);
    let known = learn_subscription(Vec::new(), &open, at(1));
    let scheduled = Subscription { ends_at: Some(at(60)), ..open.clone() };
    assert_eq!(
        said(&learn_subscription(known.clone(), &scheduled, at(2))),
        "bytes 0-60, calls 0-60"
    );
    let ended =
        Subscription { status: SubscriptionStatus::Ended, ended_at: Some(at(30)), ..open.clone() };
    let over = learn_subscription(known.clone(), &ended, at(31));
    assert_eq!(said(&over), "bytes 0-30, calls 0-30");
    let paused = Subscription { status: SubscriptionStatus::Paused, ..open.clone() };
    let waits = learn_subscription(known, &paused, at(50));
    assert_eq!(said(&waits), "bytes 0-50, calls 0-50");
    assert_eq!(said(&learn_subscription(waits, &open, at(70))), "bytes 0-100, calls 0-100");
}

#[test]
fn an_invoice_outranks_what_was_expected_of_its_spans() {
    let open = subscription(&[("calls", 0, 100)]);
    let known = learn_subscription(Vec::new(), &open, at(1));
    let known = learn_subscription(known, &subscription(&[("calls", 100, 200)]), at(100));
    // A plan was changed at 40: two prices bill the two parts.
    let lines = [("calls", 0, 40, "5"), ("calls", 40, 100, "7"), ("calls", 40, 100, "1")];
    let known = learn_invoice(known, &name(), &invoice("in_1", InvoiceStatus::Draft, &lines));
    assert_eq!(said(&known), "calls 0-40 until 103, calls 40-100 until 103, calls 100-200");
    let known = learn_invoice(known, &name(), &invoice("in_1", InvoiceStatus::Final, &lines));
    assert_eq!(said(&known), "calls 0-40 billed 5, calls 40-100 billed 8, calls 100-200");
    // What is closed stays so, whatever comes late.
    let late = learn_subscription(known.clone(), &open, at(105));
    assert_eq!(late, known);
    let other = invoice("in_2", InvoiceStatus::Final, &[("calls", 0, 100, "9")]);
    assert_eq!(learn_invoice(known.clone(), &name(), &other), known);
    let void = learn_invoice(known, &name(), &invoice("in_1", InvoiceStatus::Void, &lines));
    assert_eq!(said(&void), "calls 0-40 billed 0, calls 40-100 billed 0, calls 100-200");
}

#[test]
fn a_draft_that_is_gone_leaves_its_periods_expected_and_closes_or_opens_no_other() {
    let lines = [("calls", 0, 40, "1"), ("calls", 40, 100, "2")];
    let known = learn_subscription(Vec::new(), &subscription(&[("calls", 100, 200)]), at(100));
    let known = learn_invoice(known, &name(), &invoice("in_1", InvoiceStatus::Draft, &lines));
    let draft = InvoiceId::new("in_1").unwrap();
    let other = InvoiceId::new("in_2").unwrap();
    assert_eq!(lose_invoice(known.clone(), &other), known);
    let lost = lose_invoice(known.clone(), &draft);
    assert_eq!(said(&lost), "calls 0-40, calls 40-100, calls 100-200");
    let again = learn_invoice(lost, &name(), &invoice("in_2", InvoiceStatus::Draft, &lines));
    assert_eq!(said(&again), "calls 0-40 until 103, calls 40-100 until 103, calls 100-200");
    assert_eq!(lose_invoice(again.clone(), &draft), again, "another one drafts them now");
    let closed = learn_invoice(known, &name(), &invoice("in_1", InvoiceStatus::Final, &lines));
    assert_eq!(said(&closed), "calls 0-40 billed 1, calls 40-100 billed 2, calls 100-200");
    let lost = said(&lose_invoice(closed, &draft));
    assert_eq!(lost, "calls 0-40 billed 0, calls 40-100 billed 0, calls 100-200");
}

#[test]
fn an_invoice_takes_its_term_from_one_that_bills_nothing_though_another_end_of_it_was_known() {
    let known = learn_subscription(Vec::new(), &subscription(&[("calls", 0, 100)]), at(1));
    // One without a line was taken for the one over this term, which ended sooner than was known.
    let term = BilledTerm { subscription: name(), billed_at: at(101) };
    let empty = Invoice { term: Some(term), ..invoice("in_4", InvoiceStatus::Final, &[]) };
    let known = bill(known, &name(), &empty);
    assert_eq!(said(&known), "calls 0-100 billed 0");
    let own = |quantity| invoice("in_3", InvoiceStatus::Final, &[("calls", 0, 90, quantity)]);
    assert_eq!(learn_invoice(known.clone(), &name(), &own("0")), known);
    let known = learn_invoice(known, &name(), &own("5"));
    assert_eq!(said(&known), "calls 0-90 billed 5, calls 90-100");
    // Of one that bills something nothing is taken.
    let other = invoice("in_5", InvoiceStatus::Final, &[("calls", 0, 80, "7")]);
    assert_eq!(learn_invoice(known.clone(), &name(), &other), known);
}

/// What an invoice makes of the periods known, by its lines and by its term.
fn bill(known: Vec<Period>, subscription: &SubscriptionId, invoice: &Invoice) -> Vec<Period> {
    let known = learn_invoice(known, subscription, invoice);
    let term = invoice.term.as_ref().filter(|term| term.subscription == *subscription);
    term.map_or(known.clone(), |term| learn_unused(known, term, invoice))
}

#[test]
fn an_invoice_over_a_term_is_over_the_meters_of_it_that_were_not_used_too() {
    let told = subscription(&[("calls", 0, 100), ("seats", 0, 100), ("bytes", 0, 150)]);
    let known = learn_subscription(Vec::new(), &told, at(10));
    let over_term = |id: &str, status, billed_at: i64, lines: &[(&str, i64, i64, &str)]| {
        let term = BilledTerm { subscription: name(), billed_at: at(billed_at) };
        Invoice { term: Some(term), ..invoice(id, status, lines) }
    };
    let draft = over_term("draft_1", InvoiceStatus::Draft, 101, &[("calls", 0, 100, "5")]);
    let known = bill(known, &name(), &draft);
    let all = "bytes 0-150, calls 0-100 until 103, seats 0-100 until 103";
    assert_eq!(said(&known), all);
    let elsewhere = SubscriptionId::new("sub_2").unwrap();
    assert_eq!(bill(known.clone(), &elsewhere, &draft), known);
    let late = over_term("1", InvoiceStatus::Final, 124, &[]);
    assert_eq!(said(&bill(known.clone(), &name(), &late)), all, "another term's");
    // When it is final, it has another id.
    let last = over_term("1", InvoiceStatus::Final, 101, &[("calls", 0, 100, "5")]);
    let known = bill(known, &name(), &last);
    assert_eq!(said(&known), "bytes 0-150, calls 0-100 billed 5, seats 0-100 billed 0");
    let again = over_term("2", InvoiceStatus::Final, 101, &[]);
    assert_eq!(bill(known.clone(), &name(), &again), known);
}

#[test]
fn an_invoice_without_a_line_is_over_the_term_that_ended_just_before_and_gives_way_to_a_line() {
    let over_term = |id: &str, status, billed_at: i64, lines: &[(&str, i64, i64, &str)]| {
        let term = BilledTerm { subscription: name(), billed_at: at(billed_at) };
        Invoice { term: Some(term), ..invoice(id, status, lines) }
    };
    let learn = |known, start, end| {
        let told = subscription(&[("calls", start, end)]);
        learn_subscription(known, &told, at(start + 1))
    };
    let known = learn(learn(Vec::new(), 0, 100), 100, 101);
    // The second term was cancelled after an hour.
    let second = over_term("2", InvoiceStatus::Final, 101, &[]);
    let both = bill(known, &name(), &second);
    assert_eq!(said(&both), "calls 0-100, calls 100-101 billed 0");
    // One that is taken for another term's is put right by the invoice that has a line.
    let known = learn(Vec::new(), 0, 100);
    let mistaken = bill(known, &name(), &second);
    assert_eq!(said(&mistaken), "calls 0-100 billed 0");
    let first = over_term("1", InvoiceStatus::Final, 100, &[("calls", 0, 100, "5")]);
    // So is one that is not closed yet, and takes usage still.
    let open = over_term("d1", InvoiceStatus::Draft, 100, &[("calls", 0, 100, "5")]);
    let reopened = bill(mistaken.clone(), &name(), &open);
    assert_eq!(said(&reopened), "calls 0-100 until 103");
    assert_eq!(said(&bill(reopened, &name(), &first)), "calls 0-100 billed 5");
    let right = bill(mistaken, &name(), &first);
    assert_eq!(said(&right), "calls 0-100 billed 5");
    assert_eq!(bill(right.clone(), &name(), &second), right);
    // A draft may get its line later: what it was taken for before is not seen any more.
    let terms = |draft: &Invoice, known| bill(learn(known, 100, 101), &name(), draft);
    let empty = over_term("d1", InvoiceStatus::Draft, 101, &[]);
    let taken = bill(learn(Vec::new(), 0, 100), &name(), &empty);
    assert_eq!(said(&taken), "calls 0-100 until 103");
    let known = bill(learn(taken, 100, 101), &name(), &empty);
    assert_eq!(said(&known), "calls 0-100, calls 100-101 until 103");
    let filled = over_term("d1", InvoiceStatus::Draft, 101, &[("calls", 100, 101, "5")]);
    let taken = bill(learn(Vec::new(), 0, 100), &name(), &empty);
    assert_eq!(said(&terms(&filled, taken)), "calls 0-100, calls 100-101 until 103");
    // Of two drafts, the one that is closed sooner counts.
    let draft = |id, until| over_term(id, InvoiceStatus::Draft, until, &[]);
    let known = bill(learn(Vec::new(), 0, 100), &name(), &draft("d1", 100));
    assert_eq!(bill(known.clone(), &name(), &draft("d2", 101)), known);
}

#[test]
fn an_instant_is_billed_until_its_draft_is_nearly_final_and_unseen_after_that() {
    let hour = |hour: i64| Some(at(hour));
    let standing = |billing: &Billing, now: i64| billing.standing(at(50), at(now));
    let unknown = Billing::default();
    assert_eq!(standing(&unknown, 1_000), BillingStanding::Open);
    let open = Billing { ends_at: hour(100), ..Billing::default() };
    assert_eq!(standing(&open, 100), BillingStanding::Open);
    assert_eq!(standing(&open, 101), BillingStanding::Unseen(at(100)));
    let draft = Billing { closes_at: hour(103), ..open };
    assert_eq!(standing(&draft, 102), BillingStanding::Open);
    assert_eq!(standing(&draft, 103), BillingStanding::Closed(at(103)));
    let closed = Billing { closed_at: hour(104), ..draft };
    assert_eq!(standing(&closed, 102), BillingStanding::Closed(at(104)));
    let before = Billing { billed_from: hour(60), ..Billing::default() };
    assert_eq!(standing(&before, 70), BillingStanding::NotYet(at(60)));
    let after = Billing { billed_from: hour(0), billed_until: hour(50), ..Billing::default() };
    assert_eq!(standing(&after, 70), BillingStanding::NoLonger(at(50)));
}

#[test]
fn an_instant_of_a_period_that_was_never_learned_is_taken_for_open_only_while_it_must_be() {
    let hour = |hour: i64| Some(at(hour));
    let standing = |billing: &Billing, now: i64| billing.standing(at(50), at(now));
    let ended = Billing { billed_from: hour(0), known_until: hour(50), ..Billing::default() };
    assert_eq!(standing(&ended, 50), BillingStanding::Open);
    assert_eq!(standing(&ended, 51), BillingStanding::Unlearned(at(50)));
    let first = Billing { known_from: hour(70), ..Billing::default() };
    assert_eq!(standing(&first, 70), BillingStanding::Open, "its own ended no later");
    assert_eq!(standing(&first, 71), BillingStanding::Unlearned(at(70)));
    let between = Billing { known_from: hour(70), ..ended };
    assert_eq!(standing(&between, 70), BillingStanding::Unlearned(at(70)), "or long before");
    let over = Billing { billed_until: hour(90), ..between };
    assert_eq!(standing(&over, 95), BillingStanding::Unlearned(at(70)));
}

#[test]
fn usage_of_a_window_that_two_periods_share_goes_into_the_whole_one_beside_it() {
    // Windows of ten hours; periods end at the hours 24 and 57.
    let bounds = [at(-500), at(24), at(57)];
    let whole = |hour: i64| {
        let start = hour.div_euclid(10) * 10;
        let kept = keep_whole(window(start, start + 10), &bounds, at(hour))?;
        Some(kept.start.micros_since(at(0)) / MICROS_PER_HOUR)
    };
    for (hour, start) in [(19, 10), (20, 10), (23, 10), (24, 30), (29, 30), (30, 30), (40, 40)] {
        assert_eq!(whole(hour), Some(start), "{hour}");
    }
    for (hour, start) in [(50, 40), (56, 40), (57, 60), (60, 60)] {
        assert_eq!(whole(hour), Some(start), "{hour}");
    }
    // A bound between two windows parts none of them.
    assert_eq!(keep_whole(window(10, 20), &[at(10), at(20)], at(15)), Some(window(10, 20)));
}

#[test]
fn usage_of_a_period_that_holds_no_whole_window_stays_where_it_is() {
    let kept = |bounds: &[Timestamp], hour| keep_whole(window(20, 30), bounds, at(hour));
    assert_eq!(kept(&[at(18), at(24)], 22), None);
    assert_eq!(kept(&[at(20), at(24)], 22), None);
    assert_eq!(kept(&[at(24), at(33)], 26), None);
    assert_eq!(kept(&[at(24), at(30)], 26), None);
    assert_eq!(kept(&[at(24), at(40)], 26), Some(window(30, 40)));
    assert_eq!(kept(&[at(22), at(27)], 24), None);
}

#[test]
fn a_window_is_cut_at_each_bound_within_it_and_at_no_other() {
    let bounds = [at(0), at(3), at(5), at(9)];
    for (hour, start, end) in [(2, 2, 3), (3, 3, 5), (4, 3, 5), (5, 5, 8), (7, 5, 8)] {
        assert_eq!(cut(window(2, 8), &bounds, at(hour)), window(start, end), "{hour}");
    }
    assert_eq!(cut(window(2, 8), &[], at(4)), window(2, 8));
    assert_eq!(cut(window(3, 5), &bounds, at(4)), window(3, 5));
}

#[test]
fn an_idle_time_goes_on_until_the_subscription_is_told_without_it() {
    let active = subscription(&[("calls", 0, 100)]);
    let paused = Subscription { idle_since: Some(at(10)), ..active.clone() };
    assert_eq!(learn_idle_times(&[], &active, at(20)), []);
    let begun = IdleTime { start: at(10), end: None };
    assert_eq!(learn_idle_times(&[], &paused, at(20)), [begun]);
    assert_eq!(learn_idle_times(&[at(10)], &paused, at(30)), [], "nothing new");
    let ended = |changed: Option<Timestamp>| {
        let told = Subscription { changed_at: changed, ..active.clone() };
        learn_idle_times(&[at(10)], &told, at(40))[0].end
    };
    assert_eq!(ended(None), Some(at(40)));
    assert_eq!(ended(Some(at(35))), Some(at(35)));
    assert_eq!(ended(Some(at(50))), Some(at(40)), "no later than it was seen");
    assert_eq!(ended(Some(at(10))), Some(at(10).plus_seconds(1)));
    let billing =
        Billing { idle_since: Some(at(10)), ends_at: Some(at(100)), ..Billing::default() };
    assert_eq!(billing.standing(at(20), at(20)), BillingStanding::Idle(at(10)));
}
