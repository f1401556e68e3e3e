//! What the plan promises, at its edge.

use proptest::prelude::*;

use super::*;
use crate::domain::balance::{Balance, BalanceId, BalanceKey};
use crate::domain::event::{LedgerId, Says};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::period::Billing;
use crate::domain::record::Position;
use crate::domain::state::EventState;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Window};
use crate::ledger::posting::{Said, StillTold};
use crate::provider::ReadBack;

const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn capabilities() -> Capabilities {
    Capabilities {
        told_as: ToldAs::Delta,
        bills: Fold::Sum,
        accepts_past_micros: 35 * MICROS_PER_DAY,
        accepts_past_margin_micros: MICROS_PER_HOUR,
        accepts_ahead_micros: 4 * MICROS_PER_MINUTE,
        digits_max: 15,
        decimals_max: 12,
        value_max: None,
        negative: true,
        cancels_for_micros: Some(23 * MICROS_PER_HOUR),
        entries_max: None,
        read_back: None,
    }
}

#[test]
fn a_value_that_no_event_may_say_is_told_by_several_and_one_of_another_unit_is_held() {
    let most = 2_147_483_647;
    let bounded = Capabilities { digits_max: 10, value_max: Some(most), ..capabilities() };
    for (told, expected) in [
        ("2147483647", Some(1)),
        ("2147483648", Some(2)),
        ("5000000000", Some(3)),
        ("3123456789", Some(2)),
        ("99999999999999", None),
    ] {
        let parts = parts(&quantity(told), &bounded);
        assert_eq!(parts.as_ref().map(Vec::len), expected, "{told}");
        let parts = parts.unwrap_or_default();
        assert!(parts.iter().all(|part| *part <= Quantity::from(most)), "{parts:?}");
        let sum: Quantity = parts.iter().sum();
        assert!(expected.is_none() || sum == quantity(told), "{parts:?}");
    }
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse_unbounded(text).unwrap()
}

fn rules(capabilities: &Capabilities) -> Rules<'_> {
    Rules {
        capabilities,
        corrections: CorrectionPolicy::CancelThenNegative,
        billing: BillingStanding::Open,
        late: LatePolicy::Hold,
        next_period: None,
        bill_from: None,
        hold_above: None,
        entries_left: None,
        flush_at: None,
        provider_now: NOON,
        now: NOON,
    }
}

fn event(id: i64, state: EventState, said: &str) -> PostedEvent {
    let leased = state != EventState::Pending;
    PostedEvent {
        id: EventId(id),
        state,
        kind: EventKind::Usage,
        identifier: Identifier::stored(&format!("event {id}")),
        quantity: quantity(said),
        total: None,
        occurred_at: NOON.plus_seconds(id),
        target: None,
        leased,
        may_exist: leased,
        first_attempt_at: leased.then_some(NOON),
        cancel_spent: false,
        covers_from: 0,
    }
}

fn refused(event: PostedEvent) -> PostedEvent {
    PostedEvent { state: EventState::Held, may_exist: false, ..event }
}

/// What a meter that is told totals was told: a change to `says`.
fn total(id: i64, state: EventState, change: &str, says: &str) -> PostedEvent {
    PostedEvent { total: Some(quantity(says)), ..event(id, state, change) }
}

fn cancel_of(target: &PostedEvent, id: i64, state: EventState) -> PostedEvent {
    let says = (-&target.quantity).to_string();
    PostedEvent { kind: EventKind::Cancel, target: Some(target.id), ..event(id, state, &says) }
}

fn due(accrued: &str, events: &[PostedEvent]) -> DueBalance {
    DueBalance {
        balance: Balance {
            id: BalanceId(1),
            key: BalanceKey {
                provider: ProviderName::new("stripe.main").unwrap(),
                account: AccountName::new("cus_1").unwrap(),
                meter: ProviderMeter::new("calls").unwrap(),
                dimensions: String::new(),
                window: Window { start: NOON, end: NOON.plus_seconds(3600) },
                record: None,
            },
            accrued: quantity(accrued),
            told: events.iter().map(|event| &event.quantity).sum(),
            digest: [0; 16],
            newest_at: NOON,
            booked_to: 1,
            told_to: 0,
            events: i64::try_from(events.len()).unwrap(),
            fold: Fold::Sum,
            reads: false,
            stands_at: None,
            version: 1,
        },
        due_at: NOON,
        events: events.to_vec(),
        billing: Billing::default(),
        spans_bound: false,
        seconds_taken: std::collections::BTreeSet::new(),
        still_told: StillTold::No,
        told_at: None,
        said: None,
        confirmed: None,
    }
}

fn said(plan: &Plan) -> String {
    let tell = |tell: &Tell| match &tell.by {
        Means::Add => format!("tell {}", tell.quantity),
        Means::Cancel(target, _) => format!("cancel {target}"),
        Means::Total(total) => format!("total {total} ({})", tell.quantity),
    };
    let mut all: Vec<String> = plan.void.iter().map(|id| format!("void {id}")).collect();
    all.extend(plan.supersede.iter().map(|id| format!("supersede {id}")));
    all.extend(plan.tell.iter().map(tell));
    all.extend(plan.carry.iter().map(|next| format!("carry {}", next.amount)));
    all.extend(plan.drop.iter().map(|off| match off.ground {
        Ground::Late => format!("drop {}", off.amount),
        Ground::ToldBefore(_) => format!("told before {}", off.amount),
    }));
    all.extend(plan.hold.iter().map(|(reason, _)| format!("hold {reason}")));
    all.extend(plan.wait_until.iter().map(|at| format!("wait {}", at.micros_since(NOON))));
    all.join(", ")
}

fn check(due: &DueBalance, expected: &str) {
    check_by(due, |_| {}, expected);
}

fn check_by(due: &DueBalance, change: impl FnOnce(&mut Rules<'_>), expected: &str) {
    let capabilities = capabilities();
    let mut rules = rules(&capabilities);
    change(&mut rules);
    assert_eq!(said(&plan(due, &rules)), expected);
}

fn check_as(told_as: ToldAs, due: &DueBalance, expected: &str) {
    let capabilities = Capabilities { told_as, ..capabilities() };
    assert_eq!(said(&plan(due, &rules(&capabilities))), expected);
}

use EventState::{Accepted, Held, InFlight, Pending, Settled, Unknown};

#[test]
fn what_is_outstanding_is_told_as_a_delta() {
    check(&due("10", &[]), "tell 10");
    check(&due("10", &[event(1, Accepted, "7")]), "tell 3");
    check(&due("10", &[event(1, Accepted, "10")]), "");
    check(&due("0", &[]), "");
}

#[test]
fn nothing_is_told_twice_while_an_event_is_unknown_or_held() {
    check(&due("10", &[event(1, Unknown, "10")]), "");
    check(&due("10", &[event(1, Held, "10")]), "");
}

#[test]
fn too_much_told_is_withdrawn_where_it_never_left_and_the_rest_is_told_again() {
    check(&due("4", &[event(1, Pending, "10")]), "void 1, tell 4");
    check(&due("7", &[event(1, Accepted, "5"), event(2, Pending, "5")]), "void 2, tell 2");
    // The other way round as well: a correction that is itself corrected in time never leaves.
    check(&due("10", &[event(1, Settled, "10"), event(2, Pending, "-3")]), "void 2");
    let target = event(1, Settled, "10");
    let cancel = cancel_of(&target, 2, Pending);
    check(&due("10", &[target, cancel]), "void 2");
}

#[test]
fn record_cancelled_while_its_event_is_held_refused_supersedes_the_event() {
    check(&due("0", &[refused(event(1, Held, "10"))]), "supersede 1");
    check(&due("4", &[refused(event(1, Held, "10"))]), "supersede 1, tell 4");
    // What may be at the provider is not refused.
    check(&due("0", &[event(1, Held, "10")]), "hold below_zero");
}

#[test]
fn an_event_that_says_exactly_what_must_go_is_cancelled_in_time() {
    check(&due("0", &[event(1, Accepted, "10")]), "cancel 1");
    check(&due("3", &[event(1, Settled, "3"), event(2, Accepted, "3")]), "cancel 2");
    let day_later = |rules: &mut Rules<'_>| rules.provider_now = NOON.plus_seconds(23 * 3600);
    check_by(&due("0", &[event(1, Settled, "10")]), day_later, "tell -10");
    check_by(&due("0", &[event(1, Accepted, "10")]), day_later, "hold below_zero");
}

#[test]
fn only_a_whole_event_is_cancelled_and_the_rest_is_told_as_a_negative() {
    check(&due("4", &[event(1, Settled, "10")]), "tell -6");
    check(&due("4", &[event(1, Settled, "5"), event(2, Settled, "5")]), "tell -6");
}

#[test]
fn an_unknown_is_resolved_before_anything_is_done_about_it() {
    for state in [Unknown, InFlight] {
        check(&due("0", &[event(1, state, "10")]), "");
        check(&due("4", &[event(1, Settled, "5"), event(2, state, "3")]), "");
    }
    // Another event that says the very quantity is cancelled meanwhile: its time runs.
    check(&due("10", &[event(1, Accepted, "5"), event(2, Unknown, "10")]), "cancel 1");
}

#[test]
fn minus_5_beside_an_unknown_is_judged_by_the_lower_bound() {
    let open = [event(1, Settled, "4"), event(2, Held, "10")];
    check(&due("9", &open), "hold below_zero");
    check(&due("11", &open), "tell -3");
    // A negative event counts in full, whatever became of it.
    let lowered = [event(1, Settled, "9"), event(2, Held, "-5")];
    check(&due("-1", &lowered), "hold below_zero");
    check(&due("0", &lowered), "tell -4");
}

#[test]
fn a_cancel_that_was_refused_is_gone_about_by_a_negative_event() {
    let target = PostedEvent { cancel_spent: false, ..event(1, Settled, "10") };
    let cancel = refused(cancel_of(&target, 2, Held));
    // While the refused one lives its target is not cancelled again; nor is it after that.
    check(&due("0", &[target.clone(), cancel]), "supersede 2, tell -10");
    let spent = PostedEvent { cancel_spent: true, ..target };
    check(&due("0", &[spent]), "tell -10");
}

#[test]
fn a_cancelled_event_holds_nothing_that_could_be_taken_from() {
    let target = event(1, Settled, "10");
    let cancel = cancel_of(&target, 2, Accepted);
    let events = [target, cancel, event(3, Settled, "2")];
    check(&due("-1", &events), "hold below_zero");
    check(&due("1", &events), "tell -1");
}

#[test]
fn a_route_may_leave_corrections_to_a_person_or_never_cancel() {
    let by = |policy| move |rules: &mut Rules<'_>| rules.corrections = policy;
    let balance = due("0", &[event(1, Settled, "10")]);
    check_by(&balance, by(CorrectionPolicy::Negative), "tell -10");
    check_by(&balance, by(CorrectionPolicy::Hold), "hold correction_policy");
    // What the provider never took is withdrawn whatever the policy.
    let pending = due("0", &[event(1, Pending, "10")]);
    check_by(&pending, by(CorrectionPolicy::Hold), "void 1");
}

#[test]
fn what_comes_after_the_period_closed_is_held_or_carried_or_written_off() {
    let closed = |rules: &mut Rules<'_>| rules.billing = BillingStanding::Closed(NOON);
    check_by(&due("10", &[event(1, Settled, "7")]), closed, "hold late_for_period");
    check_by(&due("0", &[event(1, Settled, "7")]), closed, "hold late_for_period");
    check_by(&due("0", &[event(1, Pending, "7")]), closed, "void 1");
    let unseen = |rules: &mut Rules<'_>| rules.billing = BillingStanding::Unseen(NOON);
    check_by(&due("10", &[]), unseen, "hold late_for_period, wait 600000000");
    let unlearned = |rules: &mut Rules<'_>| rules.billing = BillingStanding::Unlearned(NOON);
    check_by(&due("10", &[]), unlearned, "hold no_period, wait 600000000");
    let never = |rules: &mut Rules<'_>| rules.billing = BillingStanding::NoLonger(NOON);
    check_by(&due("10", &[]), never, "hold no_period");
    let later = |rules: &mut Rules<'_>| {
        rules.billing = BillingStanding::Closed(NOON);
        rules.late = LatePolicy::NextPeriod;
    };
    check_by(&due("10", &[]), later, "hold late_for_period");
    let carried = |rules: &mut Rules<'_>| {
        later(rules);
        rules.next_period = Some(Window { start: NOON, end: NOON.plus_seconds(60) });
    };
    check_by(&due("10", &[event(1, Settled, "7")]), carried, "carry 3");
    check_by(&due("0", &[event(1, Settled, "7")]), carried, "carry -7");
    let dropped = |rules: &mut Rules<'_>| {
        carried(rules);
        rules.late = LatePolicy::Drop;
    };
    check_by(&due("10", &[event(1, Settled, "7")]), dropped, "drop 3");
    // What was billed too much is for a person to give back.
    check_by(&due("0", &[event(1, Settled, "7")]), dropped, "hold late_for_period");
}

#[test]
fn a_value_over_the_providers_digits_is_split_and_a_finer_one_waits_for_more() {
    check(&due("12345678901234567", &[]), "tell 12345678901234500, tell 67");
    check(&due("0.0000000000001", &[]), "");
    check(&due("1.0000000000001", &[]), "tell 1");
}

#[test]
fn what_was_withdrawn_is_not_sent_though_the_rest_is_held() {
    let lowered = [event(1, Settled, "83"), event(2, Pending, "-22")];
    let by_people = |rules: &mut Rules<'_>| rules.corrections = CorrectionPolicy::Hold;
    check_by(&due("69", &lowered), by_people, "void 2, hold correction_policy");
    // An unproven five is too little to take from, and too much to send.
    let raised = [event(1, Accepted, "10"), event(2, Pending, "5")];
    check(&due("7", &raised), "void 2, hold below_zero");
    let closed = |rules: &mut Rules<'_>| rules.billing = BillingStanding::Closed(NOON);
    check_by(&due("7", &raised), closed, "void 2, hold late_for_period");
    // A refused cancel is not held beside what takes its place.
    let target = event(1, Accepted, "10");
    let cancel = refused(cancel_of(&target, 2, Held));
    let spent = PostedEvent { cancel_spent: true, ..target };
    check(&due("0", &[spent, cancel]), "supersede 2, hold below_zero");
}

#[test]
fn usage_ahead_of_the_providers_clock_waits_and_usage_past_its_reach_is_held() {
    let early = |rules: &mut Rules<'_>| rules.provider_now = NOON.plus_seconds(-600);
    check_by(&due("1", &[]), early, "wait 360000000");
    let late = |rules: &mut Rules<'_>| {
        rules.provider_now = NOON.plus_seconds(35 * 86_400 - 3600);
    };
    check_by(&due("1", &[]), late, "hold deadline_passed");
    check_by(&due("0", &[event(1, Settled, "7")]), late, "hold deadline_passed");
}

#[test]
fn a_counting_meter_is_told_one_event_a_record_and_never_a_sum() {
    let record = |accrued, events: &[PostedEvent]| {
        let mut due = due(accrued, events);
        due.balance.key.record = Some(Position(9));
        due
    };
    let told = |due: &DueBalance, expected: &str| check_as(ToldAs::EachRecord, due, expected);
    told(&record("1", &[]), "tell 1");
    told(&record("0", &[event(1, Accepted, "1")]), "cancel 1");
    told(&record("0", &[event(1, Unknown, "1")]), "");
    told(&record("0", &[event(1, Pending, "1")]), "void 1");
    let spent = PostedEvent { cancel_spent: true, ..event(1, Settled, "1") };
    told(&record("0", &[spent]), "hold cannot_lower");
    told(&due("1", &[]), "hold meter_mismatch");
    told(&record("3", &[]), "hold meter_mismatch");
}

#[test]
fn overwriting_meter_10_unknown_15_is_told_the_newest_total_once_10_is_certain() {
    let told = |due: &DueBalance, expected: &str| check_as(ToldAs::Total, due, expected);
    told(&due("10", &[]), "total 10 (10)");
    told(&due("0", &[]), "");
    let ten = |state| total(1, state, "10", "10");
    told(&due("10", &[ten(Accepted)]), "");
    told(&due("15", &[ten(Accepted)]), "total 15 (5)");
    told(&due("15", &[ten(Pending)]), "void 1, total 15 (15)");
    told(&due("15", &[refused(ten(Held))]), "supersede 1, total 15 (15)");
    // It may be told still, and what is sent before that could be overwritten by it.
    told(&due("15", &[ten(Unknown)]), "");
    told(&due("15", &[ten(InFlight)]), "");
    told(&due("15", &[ten(Held)]), "");
    told(&due("15", &[PostedEvent { leased: true, ..ten(Pending) }]), "");
    told(&due("0", &[ten(Settled)]), "total 0 (-10)");
    told(&due("-1", &[ten(Settled)]), "hold below_zero");
    told(&due("10", &[ten(Settled), total(2, Pending, "5", "15")]), "void 2");
    told(&due("10", &[refused(ten(Held))]), "");
    told(&due("1234567890123456", &[]), "hold meter_mismatch");
}

#[test]
fn a_total_is_told_again_where_what_is_told_adds_up_and_the_newest_total_says_something_else() {
    let told = |due: &DueBalance, expected: &str| check_as(ToldAs::Total, due, expected);
    // One before it was written off meanwhile, and is in the newest total all the same.
    told(&due("5", &[total(2, Accepted, "5", "15")]), "total 5 (0)");
}

#[test]
fn what_is_finer_than_the_meter_takes_stays_known_when_a_total_is_told() {
    let capabilities = Capabilities { told_as: ToldAs::Total, ..capabilities() };
    let plan = plan(&due("1.0000000000007", &[]), &rules(&capabilities));
    assert_eq!(said(&plan), "total 1 (1)");
    assert_eq!(plan.finer, quantity("0.0000000000007"));
}

#[test]
fn a_total_is_lowered_by_a_person_where_its_route_says_so() {
    let capabilities = Capabilities { told_as: ToldAs::Total, ..capabilities() };
    let rules = Rules { corrections: CorrectionPolicy::Hold, ..rules(&capabilities) };
    let told = |due: &DueBalance, expected: &str| assert_eq!(said(&plan(due, &rules)), expected);
    let ten = || total(1, Settled, "10", "10");
    told(&due("5", &[ten()]), "hold correction_policy");
    told(&due("15", &[ten()]), "total 15 (5)");
    // What did not leave is withdrawn all the same.
    told(&due("10", &[ten(), total(2, Pending, "5", "15")]), "void 2");
    told(&due("5", &[ten(), total(2, Pending, "5", "15")]), "void 2, hold correction_policy");
}

#[test]
fn a_total_of_a_window_that_two_periods_share_is_held() {
    let shared = DueBalance { spans_bound: true, ..due("10", &[]) };
    check_as(ToldAs::Total, &shared, "hold meter_mismatch");
    check_as(ToldAs::Total, &DueBalance { spans_bound: true, ..due("0", &[]) }, "");
}

mod before;
mod entries;
mod flush;
mod gauges;
mod levels;
mod spikes;

/// Events as chance has them: each of a state, of what it says, and whether it is certain that it
/// is not there, where it is held.
fn drawn(events: &[(usize, i64, bool)]) -> Vec<PostedEvent> {
    let states = [Pending, Accepted, Settled, Unknown, Held, Held];
    (1..)
        .zip(events)
        .map(|(id, (state, said, definitely))| {
            let event = event(id, states[*state], &said.to_string());
            let is_refused = *state == 5 || (event.state == Held && *definitely);
            if is_refused { refused(event) } else { event }
        })
        .collect()
}

proptest! {
    #[test]
    fn a_plan_closes_the_difference_exactly_or_waits_or_holds_and_never_goes_below_zero(
        accrued in 0i64..60,
        events in prop::collection::vec((0usize..6, -20i64..40, any::<bool>()), 0..6),
    ) {
        let events = drawn(&events);
        let due = due(&accrued.to_string(), &events);
        let capabilities = capabilities();
        let plan = plan(&due, &rules(&capabilities));
        let gone = |id: &EventId| plan.void.contains(id) || plan.supersede.contains(id);
        let left: Vec<&PostedEvent> = due.events.iter().filter(|event| !gone(&event.id)).collect();
        let told: Quantity = left.iter().map(|event| &event.quantity).sum();
        let tell: Quantity = plan.tell.iter().map(|tell| &tell.quantity).sum();
        let unresolved = left.iter().any(|event| event.leased && event.state.awaits_delivery());
        if plan.hold.is_some() {
            prop_assert_eq!(plan.tell.len(), 0);
        } else if !(plan.tell.is_empty() && unresolved && due.balance.accrued < told) {
            prop_assert_eq!(&told + &tell, due.balance.accrued.clone());
        }
        // A negative event is told only where the total stays at zero or above, come what may.
        if plan.tell.iter().any(|tell| tell.by == Means::Add && tell.quantity.is_negative()) {
            let settled: Quantity = left
                .iter()
                .filter(|event| event.state == Settled || event.quantity.is_negative())
                .map(|event| &event.quantity)
                .sum();
            prop_assert!(!(&settled + &tell).is_negative());
        }
    }
}

#[test]
fn events_that_say_different_things_have_different_names() {
    let ledger = LedgerId::new("0123456789abcdef").unwrap();
    let balance = due("5", &[]).balance;
    let name = |balance: &Balance, says: &Says| {
        Identifier::of(&ledger, balance, 2, says, &quantity("-5"), NOON)
    };
    let negative = name(&balance, &Says::Usage);
    assert_eq!(negative, name(&balance, &Says::Usage));
    let cancel = |of: &str| name(&balance, &Says::Cancel(Identifier::stored(of)));
    assert_ne!(negative, cancel("event 1"));
    assert_ne!(cancel("event 1"), cancel("event 2"));
    let mut elsewhere = balance.clone();
    elsewhere.key.account = AccountName::new("cus_2").unwrap();
    assert_ne!(negative, name(&elsewhere, &Says::Usage));
}
