//! Plans of more than anybody expects. Here: what waits for a person, and what does not. Never
//! here: who confirms it (`store`). Read next: `crate::posting::plan::spike`.

use super::*;

/// What is planned where a balance that comes to more than 100 waits.
fn check(due: &DueBalance, expected: &str) {
    let (capabilities, most) = (capabilities(), quantity("100"));
    let rules = Rules { hold_above: Some(&most), ..rules(&capabilities) };
    assert_eq!(said(&plan(due, &rules)), expected);
}

#[test]
fn a_balance_that_comes_to_more_than_anybody_expects_waits_for_a_person() {
    check(&due("100", &[]), "tell 100");
    check(&due("100.01", &[]), "hold spike");
    // What was told before it grew stays, and what would be added waits.
    check(&due("130", &[event(1, Accepted, "90")]), "hold spike");
    check(&due("130", &[event(1, Pending, "90")]), "hold spike");
}

#[test]
fn what_was_confirmed_is_told_and_waits_again_where_it_grows_beyond_that() {
    let confirmed = |accrued| DueBalance { confirmed: Some(quantity("130")), ..due(accrued, &[]) };
    check(&confirmed("120"), "tell 120");
    check(&confirmed("130"), "tell 130");
    check(&confirmed("131"), "hold spike");
}

#[test]
fn what_is_too_much_told_is_taken_back_however_much_stays() {
    let told = [event(1, Settled, "400"), event(2, Settled, "50")];
    check(&due("400", &told), "cancel 2");
    check(&due("380", &told), "tell -70");
    check(&due("450", &told), "");
}

#[test]
fn usage_that_another_program_told_is_written_off_whatever_it_comes_to() {
    let (capabilities, most) = (capabilities(), quantity("100"));
    let bill_from = Some(NOON.plus_seconds(2 * 3_600));
    let rules = Rules { hold_above: Some(&most), bill_from, ..rules(&capabilities) };
    assert_eq!(said(&plan(&due("130", &[]), &rules)), "told before 130");
}
