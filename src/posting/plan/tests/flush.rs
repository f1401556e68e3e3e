//! Plans of balances that are told at set times. Here: what waits for them, and what does not.
//! Never here: when they are ([`crate::schedule`]). Read next: `crate::posting::plan::flush`.

use super::*;

/// A schedule has all told in half an hour.
const SOON: i64 = 1_800;

fn planned(due: &DueBalance, change: impl FnOnce(&mut Rules<'_>)) -> String {
    let capabilities = capabilities();
    let mut rules = rules(&capabilities);
    rules.flush_at = Some(NOON.plus_seconds(SOON));
    change(&mut rules);
    said(&plan(due, &rules))
}

fn waits(seconds: i64) -> String {
    format!("wait {}", seconds * 1_000_000)
}

#[test]
fn what_could_be_told_waits_for_its_time_and_is_told_at_it() {
    let ten = || due("10", &[]);
    assert_eq!(planned(&ten(), |_| {}), waits(SOON));
    assert_eq!(planned(&due("10", &[event(1, Accepted, "7")]), |_| {}), waits(SOON), "late usage");
    assert_eq!(planned(&ten(), |rules| rules.flush_at = Some(NOON)), "tell 10");
    let missed = |rules: &mut Rules<'_>| rules.flush_at = Some(NOON.plus_seconds(-60));
    assert_eq!(planned(&ten(), missed), "tell 10", "nothing ran then");
    assert_eq!(planned(&ten(), |rules| rules.flush_at = None), "tell 10", "there is no schedule");
    assert_eq!(planned(&due("10", &[event(1, Accepted, "10")]), |_| {}), "", "nothing is due");
    // A schedule of next year is looked at again within the hour, as it may be another by then.
    let far = |rules: &mut Rules<'_>| rules.flush_at = Some(NOON.plus_seconds(86_400 * 365));
    assert_eq!(planned(&ten(), far), waits(3_600));
}

#[test]
fn what_takes_back_and_what_is_entered_in_its_place_waits_for_nothing() {
    let ten = event(1, Accepted, "10");
    assert_eq!(planned(&due("0", std::slice::from_ref(&ten)), |_| {}), "cancel 1");
    let lower = due("7", std::slice::from_ref(&ten));
    assert_eq!(planned(&lower, |_| {}), "hold below_zero", "as without a schedule");
    let cancelled = [ten.clone(), cancel_of(&ten, 2, Accepted)];
    assert_eq!(planned(&due("4", &cancelled), |_| {}), "tell 4");
}

#[test]
fn deadlines_go_before_the_schedule() {
    let aged = |days: i64| {
        let mut due = due("10", &[]);
        due.balance.newest_at = NOON.plus_micros(-days * MICROS_PER_DAY);
        due
    };
    assert_eq!(planned(&aged(33), |_| {}), waits(SOON));
    assert_eq!(planned(&aged(34), |_| {}), "tell 10", "a day is left, less the margin");
    assert_eq!(planned(&aged(36), |_| {}), "hold deadline_passed");
    let ends = |seconds: i64| {
        let mut due = due("10", &[]);
        due.billing.ends_at = Some(NOON.plus_seconds(seconds));
        due
    };
    assert_eq!(planned(&ends(60), |_| {}), waits(60), "until its period ends");
    assert_eq!(planned(&ends(0), |_| {}), "tell 10", "its draft waits for nobody");
    assert_eq!(planned(&ends(7_200), |_| {}), waits(SOON));
}

proptest! {
    /// Whatever the schedule says, what the provider takes is never kept until it takes it no more.
    #[test]
    fn no_schedule_has_usage_wait_past_what_the_provider_takes(
        age in 0_i64..40 * 86_400, flush in -86_400_i64..400 * 86_400
    ) {
        let mut due = due("10", &[]);
        due.balance.newest_at = NOON.plus_seconds(-age);
        let capabilities = capabilities();
        let mut rules = rules(&capabilities);
        rules.flush_at = Some(NOON.plus_seconds(flush));
        if let Some(until) = plan(&due, &rules).wait_until {
            prop_assert!(until > NOON && until <= NOON.plus_seconds(flush));
            let last = deadline(due.balance.newest_at, &capabilities);
            prop_assert!(last.micros_since(until) >= MICROS_PER_DAY);
        }
    }
}
