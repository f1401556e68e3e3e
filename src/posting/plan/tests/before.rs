//! Plans of usage that another program told. Here: what is written off, withdrawn, held, and that
//! nothing of it is told. Never here: how windows are cut (`accrual`). Read next:
//! `crate::posting::plan::before`.

use super::*;

/// An hour after the window of every balance here.
const LATER: Timestamp = Timestamp::from_seconds(1_790_000_000 + 2 * 3_600);
/// Within it.
const WITHIN: Timestamp = Timestamp::from_seconds(1_790_000_000 + 1_800);

fn from(at: Timestamp) -> impl Fn(&mut Rules<'_>) {
    move |rules| rules.bill_from = Some(at)
}

#[test]
fn usage_of_before_the_cutover_is_written_off_and_usage_of_after_it_is_told() {
    check_by(&due("10", &[]), from(LATER), "told before 10");
    check_by(&due("10", &[]), from(NOON.plus_seconds(3_600)), "told before 10");
    check_by(&due("0", &[]), from(LATER), "");
    check_by(&due("10", &[]), from(NOON), "tell 10");
    check_by(&due("10", &[]), from(NOON.plus_seconds(-60)), "tell 10");
}

#[test]
fn what_was_told_here_already_is_neither_cancelled_nor_written_off() {
    for state in [InFlight, Unknown, Accepted, Settled, Held] {
        check_by(&due("10", &[event(1, state, "10")]), from(LATER), "");
        check_by(&due("12", &[event(1, state, "10")]), from(LATER), "told before 2");
        // Whether the provider holds it once or twice is for a person to see.
        check_by(&due("4", &[event(1, state, "10")]), from(LATER), "hold bill_from");
    }
}

#[test]
fn what_never_left_this_host_is_withdrawn_before_it_is_written_off() {
    check_by(&due("10", &[event(1, Pending, "10")]), from(LATER), "void 1, wait 0");
    let held = refused(event(1, Held, "10"));
    check_by(&due("10", &[held]), from(LATER), "supersede 1, wait 0");
    // What takes back something that was told here is told.
    let target = event(1, Accepted, "10");
    let cancel = cancel_of(&target, 2, Pending);
    check_by(&due("0", &[target, cancel]), from(LATER), "");
}

#[test]
fn a_window_that_the_cutover_lies_in_and_that_cannot_be_parted_is_held() {
    check_by(&due("10", &[event(1, Accepted, "7")]), from(WITHIN), "hold bill_from");
    check_by(&due("10", &[event(1, Accepted, "10")]), from(WITHIN), "");
    check_by(&due("10", &[event(1, Pending, "7")]), from(WITHIN), "void 1, wait 0");
    let overwriting = Capabilities { told_as: ToldAs::Total, ..capabilities() };
    let rules = Rules { bill_from: Some(WITHIN), ..rules(&overwriting) };
    assert_eq!(said(&plan(&due("10", &[]), &rules)), "hold bill_from");
}

#[test]
fn a_level_is_written_off_whole_and_a_reading_of_nothing_once() {
    let level = |accrued, reads, events: &[PostedEvent]| {
        let mut due = due(accrued, events);
        (due.balance.fold, due.balance.reads) = (Fold::Last, reads);
        due
    };
    let capabilities = Capabilities { told_as: ToldAs::Level, bills: Fold::Last, ..capabilities() };
    let said_from = |due: &DueBalance, from| {
        said(&plan(due, &Rules { bill_from: Some(from), ..rules(&capabilities) }))
    };
    assert_eq!(said_from(&level("10", true, &[]), LATER), "told before 10");
    assert_eq!(said_from(&level("0", true, &[]), LATER), "told before 0");
    assert_eq!(said_from(&level("0", false, &[]), LATER), "");
    assert_eq!(said_from(&level("10", true, &[]), WITHIN), "hold bill_from");
    assert_eq!(said_from(&level("0", true, &[]), WITHIN), "hold bill_from");
    assert_eq!(said_from(&level("10", true, &[event(1, Accepted, "10")]), LATER), "");
}

#[test]
fn no_state_of_billing_brings_usage_of_before_the_cutover_back() {
    for billing in [
        BillingStanding::Closed(NOON),
        BillingStanding::Unseen(NOON),
        BillingStanding::Unlearned(NOON),
        BillingStanding::NotYet(NOON),
        BillingStanding::NoLonger(NOON),
        BillingStanding::Idle(NOON),
    ] {
        let closed = |rules: &mut Rules<'_>| {
            from(LATER)(rules);
            rules.billing = billing;
            rules.late = LatePolicy::NextPeriod;
            rules.next_period = Some(Window { start: LATER, end: LATER.plus_seconds(60) });
        };
        check_by(&due("10", &[]), closed, "told before 10");
    }
}

proptest! {
    #[test]
    fn nothing_of_before_the_cutover_is_told_nor_cancelled_and_what_is_written_off_was_never_told(
        accrued in 0i64..60,
        told_as in 0usize..4,
        events in prop::collection::vec((0usize..6, -20i64..40, any::<bool>()), 0..6),
    ) {
        let events = drawn(&events);
        let told_as = [ToldAs::Delta, ToldAs::EachRecord, ToldAs::Entry, ToldAs::Total][told_as];
        let capabilities = Capabilities { told_as, ..capabilities() };
        let rules = Rules { bill_from: Some(LATER), ..rules(&capabilities) };
        let mut due = due(&accrued.to_string(), &events);
        for _ in 0..3 {
            let plan = plan(&due, &rules);
            prop_assert!(plan.tell.is_empty() && plan.carry.is_none());
            let gone = |id: &EventId| plan.void.contains(id) || plan.supersede.contains(id);
            // What may be at the provider stays as it is.
            let stays = |event: &PostedEvent| !event.was_never_sent() && !event.is_refused();
            let lost = due.events.iter().any(|event| gone(&event.id) && stays(event));
            prop_assert!(!lost);
            due.events.retain(|event| !gone(&event.id));
            due.balance.told = due.events.iter().map(|event| &event.quantity).sum();
            if let Some(off) = plan.drop {
                prop_assert!(!off.amount.is_negative());
                due.balance.accrued = &due.balance.accrued - &off.amount;
            }
            if plan.hold.is_some() {
                prop_assert!(due.balance.outstanding().is_negative());
                return Ok(());
            }
        }
        prop_assert_eq!(due.balance.outstanding(), Quantity::zero());
        let untold = |event: &PostedEvent| {
            (event.was_never_sent() || event.is_refused()) && !event.quantity.is_negative()
        };
        prop_assert!(!due.events.iter().any(untold));
    }
}
