//! Plans of balances of whose provider's entries one counts. Here: entering a level, replacing it.
//! Never here: entries that add up ([`super::entries`]). Read next: `crate::posting::plan::level`.

use super::*;

fn promises() -> Capabilities {
    Capabilities { told_as: ToldAs::Level, bills: Fold::Last, negative: false, ..capabilities() }
}

/// A balance whose newest value is `level`, or that has none.
fn at(level: Option<&str>, events: &[PostedEvent]) -> DueBalance {
    let mut due = due(level.unwrap_or("0"), events);
    (due.balance.fold, due.balance.reads) = (Fold::Last, level.is_some());
    due
}

fn levelled_by(due: &DueBalance, change: impl FnOnce(&mut Rules<'_>)) -> String {
    let capabilities = promises();
    let mut rules = rules(&capabilities);
    change(&mut rules);
    said(&plan(due, &rules))
}

fn levelled(level: Option<&str>, events: &[PostedEvent]) -> String {
    levelled_by(&at(level, events), |_| {})
}

#[test]
fn a_window_is_said_by_one_entry_and_a_level_of_nothing_by_one_too() {
    assert_eq!(levelled(Some("10"), &[]), "tell 10");
    assert_eq!(levelled(Some("0"), &[]), "tell 0");
    assert_eq!(levelled(None, &[]), "");
    for state in [Pending, InFlight, Unknown, Accepted, Settled, Held] {
        assert_eq!(levelled(Some("10"), &[event(1, state, "10")]), "", "{state}");
        assert_eq!(levelled(Some("0"), &[event(1, state, "0")]), "", "{state}");
    }
}

#[test]
fn whatever_changes_a_level_has_its_entry_replaced_once_it_is_gone() {
    let ten = event(1, Accepted, "10");
    for level in ["12", "4", "0"] {
        assert_eq!(levelled(Some(level), std::slice::from_ref(&ten)), "cancel 1");
        for state in [Pending, InFlight, Unknown] {
            let on_its_way = [ten.clone(), cancel_of(&ten, 2, state)];
            assert_eq!(levelled(Some(level), &on_its_way), "", "{state}");
        }
        let gone = [ten.clone(), cancel_of(&ten, 2, Accepted)];
        assert_eq!(levelled(Some(level), &gone), format!("tell {level}"));
    }
    assert_eq!(levelled(None, std::slice::from_ref(&ten)), "cancel 1");
    assert_eq!(
        levelled(None, &[event(1, Accepted, "0")]),
        "cancel 1",
        "it would hide an older one"
    );
    // It says the right thing again before its deletion has left.
    let pending = [ten.clone(), cancel_of(&ten, 2, Pending)];
    assert_eq!(levelled(Some("10"), &pending), "void 2");
    let sent = [ten.clone(), cancel_of(&ten, 2, InFlight)];
    assert_eq!(levelled(Some("10"), &sent), "", "it may be gone");
}

#[test]
fn what_never_left_is_withdrawn_and_what_may_have_is_waited_for() {
    assert_eq!(levelled(Some("12"), &[event(1, Pending, "10")]), "void 1, tell 12");
    assert_eq!(levelled(Some("12"), &[refused(event(1, Held, "10"))]), "supersede 1, tell 12");
    for state in [InFlight, Unknown] {
        assert_eq!(levelled(Some("12"), &[event(1, state, "10")]), "", "{state}");
    }
    assert_eq!(levelled(Some("12"), &[event(1, Held, "10")]), "hold cannot_lower");
    // A deletion that was refused is not tried again.
    let spent = PostedEvent { cancel_spent: true, ..event(1, Accepted, "10") };
    let refused = refused(cancel_of(&spent, 2, Held));
    let planned = levelled(Some("12"), &[spent.clone(), refused.clone()]);
    assert_eq!(planned, "supersede 2, hold cannot_lower");
    assert_eq!(levelled(Some("10"), &[spent, refused]), "supersede 2", "it was right all along");
}

#[test]
fn a_level_that_comes_too_late_is_held_or_dropped_and_never_carried() {
    let next = Some(Window { start: NOON, end: NOON.plus_seconds(9) });
    let late = |due: &DueBalance, late: LatePolicy| {
        levelled_by(due, |rules| {
            rules.billing = BillingStanding::Closed(NOON);
            (rules.late, rules.next_period) = (late, next);
        })
    };
    let raised = at(Some("12"), &[event(1, Settled, "10")]);
    assert_eq!(late(&raised, LatePolicy::Hold), "hold late_for_period");
    assert_eq!(late(&raised, LatePolicy::NextPeriod), "hold late_for_period");
    assert_eq!(late(&raised, LatePolicy::Drop), "drop 2");
    let lowered = at(Some("4"), &[event(1, Settled, "10")]);
    assert_eq!(late(&lowered, LatePolicy::Drop), "hold late_for_period");
    let none = at(None, &[event(1, Settled, "0")]);
    assert_eq!(late(&none, LatePolicy::Drop), "hold late_for_period", "it differs by nothing");
    assert_eq!(late(&at(Some("0"), &[]), LatePolicy::Drop), "drop 0");
    // Whether its old entry goes is not known yet.
    let ten = event(1, Settled, "10");
    let going = at(Some("12"), &[ten.clone(), cancel_of(&ten, 2, Unknown)]);
    assert_eq!(late(&going, LatePolicy::Drop), "");
    // What nothing bills can go, and is not replaced.
    let idle =
        |due: &DueBalance| levelled_by(due, |rules| rules.billing = BillingStanding::Idle(NOON));
    assert_eq!(idle(&at(None, &[event(1, Settled, "10")])), "cancel 1");
    assert_eq!(idle(&raised), "hold no_period");
}

#[test]
fn an_entry_stays_while_there_is_no_room_or_time_for_another_or_a_person_decides() {
    let ten = [event(1, Settled, "10")];
    let by_person =
        |level| levelled_by(&at(level, &ten), |rules| rules.corrections = CorrectionPolicy::Hold);
    assert_eq!(by_person(Some("12")), "hold correction_policy");
    assert_eq!(by_person(None), "hold correction_policy");
    let minutes = |minutes: i64| Some(NOON.plus_seconds(60 * minutes));
    let closing = |level| {
        let mut due = at(level, &ten);
        (due.billing.ends_at, due.billing.closes_at) = (minutes(-5), minutes(30));
        levelled_by(&due, |_| {})
    };
    assert_eq!(closing(Some("12")), "hold cannot_lower");
    assert_eq!(closing(None), "cancel 1");
    let capabilities = Capabilities { entries_max: Some(5), ..promises() };
    let rules = Rules { entries_left: Some(0), ..rules(&capabilities) };
    let planned = |level| said(&plan(&at(level, &ten), &rules));
    assert_eq!(planned(Some("12")), "hold entries_used_up, wait 3600000000");
    assert_eq!(planned(None), "cancel 1");
}

#[test]
fn a_level_is_cut_to_the_providers_decimals_and_never_split() {
    let capabilities = Capabilities { decimals_max: 2, digits_max: 4, ..promises() };
    let planned = |level, events: &[PostedEvent]| {
        let plan = plan(&at(Some(level), events), &rules(&capabilities));
        (said(&plan), plan.finer.to_string())
    };
    assert_eq!(planned("1.234", &[]), ("tell 1.23".to_owned(), "0.004".to_owned()));
    let told = [event(1, Settled, "1.23")];
    assert_eq!(planned("1.234", &told), (String::new(), "0.004".to_owned()));
    assert_eq!(planned("12345", &[]).0, "hold meter_mismatch");
}

#[test]
fn a_window_that_was_begun_as_something_else_is_held_until_a_person_says_what_it_comes_to() {
    let sum = |accrued| levelled_by(&due(accrued, &[event(1, Settled, "10")]), |_| {});
    assert_eq!(sum("12"), "hold meter_mismatch");
    assert_eq!(sum("10"), "");
    let entries = Capabilities { told_as: ToldAs::Entry, ..promises() };
    let planned = |due: &DueBalance| said(&plan(due, &rules(&entries)));
    assert_eq!(planned(&at(Some("12"), &[event(1, Settled, "10")])), "hold meter_mismatch");
    assert_eq!(planned(&at(Some("10"), &[event(1, Settled, "10")])), "");
}

#[test]
fn a_level_that_another_balances_entry_still_says_is_entered_once_that_is_gone() {
    let given = |still_told| levelled_by(&DueBalance { still_told, ..at(Some("10"), &[]) }, |_| {});
    assert_eq!(given(StillTold::Going), "wait 60000000");
    assert_eq!(given(StillTold::Held), "hold cannot_lower, wait 60000000");
    assert_eq!(given(StillTold::No), "tell 10");
    // What is right of it stays there meanwhile.
    let four = [event(1, Settled, "4")];
    let replaced =
        |still_told| levelled_by(&DueBalance { still_told, ..at(Some("10"), &four) }, |_| {});
    assert_eq!(replaced(StillTold::Held), "hold cannot_lower, wait 60000000");
    assert_eq!(replaced(StillTold::No), "cancel 1");
}
