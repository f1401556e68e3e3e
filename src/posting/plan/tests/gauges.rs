//! Gauges: which reading is told, for which time, and what is not.

use super::*;

fn gauge_capabilities() -> Capabilities {
    Capabilities { told_as: ToldAs::Last, bills: Fold::Gauge, ..capabilities() }
}

/// A gauge that stands at a level since a second after noon; nothing where no reading stands.
fn gauge(level: Option<(&str, i64)>, events: &[PostedEvent]) -> DueBalance {
    let mut due = due(level.map_or("0", |(level, _)| level), events);
    due.balance.fold = Fold::Gauge;
    due.balance.reads = level.is_some();
    due.balance.stands_at = level.map(|(_, second)| NOON.plus_seconds(second));
    due.balance.key.window = Window::ALWAYS;
    due
}

/// An event that was told for a second after noon.
fn at(second: i64, event: PostedEvent) -> PostedEvent {
    PostedEvent { occurred_at: NOON.plus_seconds(second), ..event }
}

/// What is told, and for which second after noon.
fn check(due: &DueBalance, expected: &str) {
    let capabilities = gauge_capabilities();
    let plan = plan(due, &rules(&capabilities));
    let second = |tell: &Tell| tell.occurred_at.micros_since(NOON) / 1_000_000;
    let seconds: Vec<String> =
        plan.tell.iter().map(|tell| format!(" at {}", second(tell))).collect();
    assert_eq!(said(&plan) + &seconds.concat(), expected);
}

#[test]
fn last_meter_a_restored_value_is_stamped_after_the_one_that_was_told() {
    let told = at(9, total(1, Settled, "10", "10"));
    let told = std::slice::from_ref(&told);
    check(&gauge(Some(("7", 4)), told), "total 7 (-3) at 10");
    check(&gauge(None, told), "total 0 (-10) at 10");
    check(&gauge(Some(("12", 30)), told), "total 12 (2) at 30");
}

#[test]
fn a_reading_is_told_once_and_one_of_nothing_as_well() {
    check(&gauge(Some(("7", 4)), &[]), "total 7 (7) at 4");
    check(&gauge(Some(("0", 4)), &[]), "total 0 (0) at 4");
    check(&gauge(None, &[]), "");
    check(&gauge(Some(("10", 4)), &[total(1, Accepted, "10", "10")]), "");
}

#[test]
fn what_never_left_is_withdrawn_and_its_time_is_free() {
    let pending = at(9, total(1, Pending, "10", "10"));
    let pending = std::slice::from_ref(&pending);
    check(&gauge(Some(("7", 4)), pending), "void 1, total 7 (7) at 4");
    check(&gauge(None, pending), "void 1");
    let refused = at(9, refused(total(1, Held, "10", "10")));
    check(&gauge(Some(("7", 4)), &[refused]), "supersede 1, total 7 (7) at 4");
}

#[test]
fn the_next_one_waits_for_what_is_not_certain_of_the_one_before() {
    for state in [Unknown, InFlight, Held] {
        check(&gauge(Some(("7", 30)), &[at(9, total(1, state, "10", "10"))]), "");
    }
}

#[test]
fn nothing_is_told_past_the_end_of_its_period_nor_before_its_time() {
    let mut due = gauge(Some(("7", 4)), &[at(9, total(1, Settled, "10", "10"))]);
    due.balance.key.window.end = NOON.plus_seconds(10);
    check(&due, "hold late_for_period");
    let capabilities = gauge_capabilities();
    let ahead = gauge(Some(("7", 4)), &[at(600, total(1, Settled, "10", "10"))]);
    let early = Rules { provider_now: NOON, now: NOON, ..rules(&capabilities) };
    assert!(plan(&ahead, &early).wait_until.is_some());
}

#[test]
fn what_another_gauge_told_within_its_window_is_told_anew_after_it() {
    let beside = |due| DueBalance { told_at: Some(NOON.plus_seconds(20)), ..due };
    check(&beside(gauge(None, &[])), "total 0 (0) at 21");
    check(&beside(gauge(Some(("7", 4)), &[])), "total 7 (7) at 21");
    let own = |second| at(second, total(1, Settled, "7", "7"));
    check(&beside(gauge(Some(("7", 4)), &[own(9)])), "total 7 (0) at 21");
    check(&beside(gauge(Some(("7", 4)), &[own(20)])), "");
    // One that gave all its readings to others where periods end says nothing.
    let spans = |due| DueBalance { spans_bound: true, ..beside(due) };
    check(&spans(gauge(None, &[])), "");
    check(&spans(gauge(Some(("7", 4)), &[])), "hold meter_mismatch");
}

#[test]
fn a_lower_reading_takes_nothing_back_and_a_restored_one_does() {
    let capabilities = gauge_capabilities();
    let by_person = Rules { corrections: CorrectionPolicy::Hold, ..rules(&capabilities) };
    let told = at(9, total(1, Settled, "10", "10"));
    let told = std::slice::from_ref(&told);
    let newer = gauge(Some(("7", 30)), told);
    assert_eq!(said(&plan(&newer, &by_person)), "total 7 (-3)");
    let restored = gauge(Some(("7", 4)), told);
    assert_eq!(said(&plan(&restored, &by_person)), "hold correction_policy");
}

#[test]
fn a_window_is_no_gauge_and_a_gauge_no_window() {
    let capabilities = gauge_capabilities();
    let sum = due("7", &[]);
    assert_eq!(said(&plan(&sum, &rules(&capabilities))), "hold meter_mismatch");
    let gauge = gauge(Some(("7", 4)), &[]);
    assert_eq!(said(&plan(&gauge, &rules(&super::capabilities()))), "hold meter_mismatch");
}

#[test]
fn nothing_is_not_told_over_what_stood_before_the_gauge_in_its_period() {
    let told = at(9, total(1, Settled, "10", "10"));
    let mut due = gauge(None, std::slice::from_ref(&told));
    due.balance.key.window.start = NOON;
    let why = "hold cannot_lower";
    check(&due, "total 0 (-10) at 10");
    due.billing.starts_at = Some(NOON);
    check(&due, "total 0 (-10) at 10");
    due.billing.starts_at = Some(NOON.plus_seconds(-60));
    let capabilities = gauge_capabilities();
    let held = plan(&due, &rules(&capabilities));
    assert!(said(&held).starts_with(why), "{}", said(&held));
    let taken_over = Rules { bill_from: Some(NOON), ..rules(&capabilities) };
    due.billing.starts_at = None;
    assert!(said(&plan(&due, &taken_over)).starts_with(why));
}

#[test]
fn a_value_that_is_restored_long_after_is_told_for_a_second_that_is_still_taken() {
    let told = at(9, total(1, Settled, "10", "10"));
    let mut due = gauge(Some(("7", 4)), std::slice::from_ref(&told));
    let capabilities = gauge_capabilities();
    let later = NOON.plus_micros(40 * MICROS_PER_DAY);
    let late = Rules { provider_now: later, now: later, ..rules(&capabilities) };
    // Which period a later second would be of is not known.
    assert_eq!(said(&plan(&due, &late)), "hold deadline_passed");
    due.billing.starts_at = Some(NOON.plus_seconds(-60));
    due.billing.ends_at = Some(NOON.plus_micros(90 * MICROS_PER_DAY));
    let restored = plan(&due, &late);
    assert_eq!(said(&restored), "total 7 (-3)");
    let expected = later.plus_micros(-34 * MICROS_PER_DAY + MICROS_PER_HOUR);
    assert_eq!(restored.tell[0].occurred_at, expected);
    due.balance.reads = false;
    due.balance.stands_at = None;
    assert_eq!(plan(&due, &late).tell[0].occurred_at, expected);
    // One that nobody told yet is of its own time.
    let untold = DueBalance { billing: due.billing.clone(), ..gauge(Some(("7", 4)), &[]) };
    assert_eq!(said(&plan(&untold, &late)), "hold deadline_passed");
    // A period that is taken no longer has no second left.
    due.billing.ends_at = Some(NOON.plus_micros(5 * MICROS_PER_DAY));
    assert_eq!(said(&plan(&due, &late)), "hold deadline_passed");
}

#[test]
fn a_reading_of_a_minute_that_two_periods_share_is_told_for_the_next_one() {
    let promise = ReadBack {
        lag_micros: MICROS_PER_HOUR,
        landing_micros: MICROS_PER_DAY,
        grain_micros: MICROS_PER_MINUTE,
        digits_max: 15,
    };
    let capabilities = Capabilities { read_back: Some(promise), ..gauge_capabilities() };
    let told = |due: &DueBalance| plan(due, &rules(&capabilities)).tell[0].occurred_at;
    // Noon is twenty seconds past a minute here.
    let mut due = gauge(Some(("7", 4)), &[]);
    assert_eq!(told(&due), NOON.plus_seconds(4));
    due.balance.key.window.start = NOON;
    assert_eq!(told(&due), NOON.plus_seconds(40));
    due.balance.stands_at = Some(NOON.plus_seconds(50));
    assert_eq!(told(&due), NOON.plus_seconds(50));
    due.balance.key.window.start = NOON.plus_seconds(40);
    due.balance.stands_at = Some(NOON.plus_seconds(41));
    assert_eq!(told(&due), NOON.plus_seconds(41));
}

#[test]
fn what_a_gauge_was_told_as_part_of_another_counts_until_it_says_another_thing() {
    let part = |level: Option<(&str, i64)>| {
        let mut due = gauge(level, &[]);
        due.balance.told = quantity("7");
        due.told_at = Some(NOON.plus_seconds(20));
        due.said = Some(Said { at: NOON.plus_seconds(20), total: quantity("7") });
        due
    };
    check(&part(Some(("7", 4))), "");
    check(&part(Some(("9", 12))), "total 9 (2) at 21");
    check(&part(None), "total 0 (-7) at 21");
    let capabilities = gauge_capabilities();
    let closed = Rules { billing: BillingStanding::Closed(NOON), ..rules(&capabilities) };
    assert_eq!(said(&plan(&part(Some(("7", 4))), &closed)), "");
    assert_eq!(said(&plan(&part(Some(("9", 12))), &closed)), "hold late_for_period");
    // Another came after it, and was given up.
    let over = DueBalance { told_at: Some(NOON.plus_seconds(30)), ..part(Some(("7", 4))) };
    check(&over, "total 7 (0) at 31");
}

proptest! {
    /// Whenever a value is told of a gauge, it is the newest, of its period, and one that the
    /// provider takes.
    #[test]
    fn what_is_told_of_a_gauge_is_told_after_the_last_within_its_period_and_in_time(
        own in prop::option::of(0_i64..90),
        last in 0_i64..90,
        (start, length) in (0_i64..60, 1_i64..90),
        now in 0_i64..120,
    ) {
        let day = |days: i64| NOON.plus_micros(days * MICROS_PER_DAY);
        let mut event = total(1, Settled, "10", "10");
        event.occurred_at = day(last);
        let mut due = gauge(own.map(|_| ("7", 0)), std::slice::from_ref(&event));
        due.balance.stands_at = own.map(day);
        due.billing.starts_at = Some(day(start));
        due.billing.ends_at = Some(day(start + length));
        let is_known = (start..start + length).contains(&last);
        if is_known {
            due.balance.key.window = Window { start: day(start), end: day(start + length) };
        }
        let capabilities = gauge_capabilities();
        let rules = Rules { provider_now: day(now), now: day(now), ..rules(&capabilities) };
        let plan = plan(&due, &rules);
        for tell in &plan.tell {
            let at = tell.occurred_at;
            prop_assert!(day(last) < at && due.balance.key.window.contains(at), "{}", at);
            prop_assert!(matches!(when(at, &rules), When::Now), "{}", at);
        }
        // In a period that is known only the provider's clock, or its end, leaves no second.
        let takes = day(now - 34) < day(start + length) && last < now;
        if is_known && takes && own.is_none_or(|own| own <= last) && last + 1 < start + length {
            prop_assert!(!plan.tell.is_empty() || !due.balance.reads, "{}", said(&plan));
        }
    }
}
