//! Plans of balances whose provider keeps entries. Here: entering, taking away, waiting. Never
//! here: sums that events change ([`super`]). Read next: `crate::posting::plan::entry`.

use super::*;

/// What is done for a meter that keeps entries.
fn entered(due: &DueBalance) -> String {
    let capabilities = Capabilities { told_as: ToldAs::Entry, negative: false, ..capabilities() };
    said(&plan(due, &rules(&capabilities)))
}

#[test]
fn what_is_too_much_is_taken_away_as_entries_and_what_should_stay_is_entered_once_they_are_gone() {
    let ten = event(1, Accepted, "10");
    assert_eq!(entered(&due("12", std::slice::from_ref(&ten))), "tell 2");
    assert_eq!(entered(&due("4", std::slice::from_ref(&ten))), "cancel 1");
    assert_eq!(entered(&due("0", std::slice::from_ref(&ten))), "cancel 1");
    // While the cancel is on its way nothing is entered, and it is not taken back for less.
    for state in [Pending, InFlight, Unknown] {
        let on_its_way = [ten.clone(), cancel_of(&ten, 2, state)];
        assert_eq!(entered(&due("4", &on_its_way)), "", "{state}");
    }
    assert_eq!(entered(&due("10", &[ten.clone(), cancel_of(&ten, 2, Pending)])), "void 2");
    assert_eq!(entered(&due("4", &[ten.clone(), cancel_of(&ten, 2, Accepted)])), "tell 4");
    // One that was refused is not tried again.
    let spent = PostedEvent { cancel_spent: true, ..ten.clone() };
    let refused = refused(cancel_of(&ten, 2, Held));
    assert_eq!(entered(&due("4", &[spent, refused])), "supersede 2, hold cannot_lower");
}

#[test]
fn nothing_is_taken_away_that_may_not_be_entered_anew_before_the_bill_is_closed() {
    let ten = event(1, Accepted, "10");
    let minutes = |minutes: i64| Some(NOON.plus_seconds(60 * minutes));
    let planned = |accrued: &str, ends_at, closes_at| {
        let mut due = due(accrued, std::slice::from_ref(&ten));
        due.billing = Billing { ends_at, closes_at, ..Billing::default() };
        entered(&due)
    };
    assert_eq!(planned("4", minutes(61), None), "cancel 1");
    assert_eq!(planned("4", minutes(30), None), "wait 2400000000", "until the draft is seen");
    assert_eq!(planned("4", minutes(-5), None), "wait 600000000");
    assert_eq!(planned("4", minutes(-5), minutes(61)), "cancel 1");
    assert_eq!(planned("4", minutes(-5), minutes(30)), "hold cannot_lower");
    assert_eq!(planned("0", minutes(-5), minutes(30)), "cancel 1", "nothing of it should stay");
    assert_eq!(planned("12", minutes(-5), minutes(30)), "tell 2");
}

#[test]
fn without_a_place_for_what_should_stay_nothing_is_taken_away() {
    let capabilities = Capabilities {
        told_as: ToldAs::Entry,
        negative: false,
        entries_max: Some(5),
        ..capabilities()
    };
    let ten = event(1, Accepted, "10");
    let planned = |accrued: &str, left| {
        let rules = Rules { entries_left: Some(left), ..rules(&capabilities) };
        said(&plan(&due(accrued, std::slice::from_ref(&ten)), &rules))
    };
    assert_eq!(planned("12", 1), "tell 2");
    assert_eq!(planned("12", 0), "hold entries_used_up, wait 3600000000");
    assert_eq!(planned("4", 1), "cancel 1");
    assert_eq!(planned("4", 0), "hold entries_used_up, wait 3600000000");
    assert_eq!(planned("0", 0), "cancel 1");
}

#[test]
fn usage_that_another_balances_entries_still_say_is_entered_once_they_are_gone() {
    let given = |accrued, still_told| {
        let due = DueBalance { still_told, ..due(accrued, &[event(1, Accepted, "4")]) };
        entered(&due)
    };
    assert_eq!(given("10", StillTold::Going), "wait 60000000");
    assert_eq!(given("10", StillTold::Held), "hold cannot_lower, wait 60000000");
    assert_eq!(given("10", StillTold::No), "tell 6");
    assert_eq!(given("0", StillTold::Going), "cancel 1", "what is too much goes all the same");
}

#[test]
fn of_several_entries_as_few_are_taken_away_as_hold_what_must_go() {
    let entries = |says: [&str; 3]| -> Vec<PostedEvent> {
        (1..).zip(says).map(|(id, says)| event(id, Accepted, says)).collect()
    };
    assert_eq!(entered(&due("15", &entries(["10", "5", "3"]))), "cancel 3", "exactly that");
    assert_eq!(entered(&due("14", &entries(["10", "5", "3"]))), "cancel 2", "the smallest");
    assert_eq!(entered(&due("6", &entries(["10", "5", "3"]))), "cancel 3, cancel 2, cancel 1");
    assert_eq!(entered(&due("1", &entries(["4", "4", "4"]))), "cancel 3, cancel 2, cancel 1");
    let unknown = [event(1, Accepted, "10"), event(2, Unknown, "5")];
    assert_eq!(entered(&due("4", &unknown)), "", "what is unknown is cleared first");
    assert_eq!(entered(&due("-1", &entries(["1", "1", "1"]))), "hold cannot_lower");
}

#[test]
fn every_entry_has_a_second_of_its_own_within_its_window() {
    let capabilities = Capabilities {
        told_as: ToldAs::Entry,
        negative: false,
        digits_max: 1,
        accepts_ahead_micros: MICROS_PER_DAY,
        ..capabilities()
    };
    let seconds = |due: &DueBalance| -> Vec<i64> {
        let plan = plan(due, &rules(&capabilities));
        plan.tell.iter().map(|tell| tell.occurred_at.micros_since(NOON)).collect()
    };
    let mut balance = due("11", &[]);
    balance.balance.newest_at = NOON.plus_micros(3_999_999);
    assert_eq!(seconds(&balance), [3_000_000, 4_000_000]);
    let at = NOON.seconds();
    balance.seconds_taken = [at, at + 1, at + 3].into();
    assert_eq!(seconds(&balance), [4_000_000, 5_000_000]);
    balance.balance.key.window.end = NOON.plus_seconds(5);
    assert_eq!(seconds(&balance), [4_000_000, 2_000_000], "earlier ones where no later one is");
    balance.balance.key.window.end = NOON.plus_seconds(4);
    let full = plan(&balance, &rules(&capabilities));
    assert_eq!(said(&full), "hold meter_mismatch", "one second is left, and two are needed");
}
