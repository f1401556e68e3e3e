//! Gauges of which a bound is learned late: what was told of a part before it was one by itself.
//! Never here: gauges whose periods were known at once ([`super`]).

use super::*;

impl Stage {
    /// Two readings, an hour apart, both told.
    async fn of_two() -> Self {
        let stage = Self::open().await;
        stage.read("r1", 100, "5").await;
        stage.until(101).await;
        stage.read("r2", 160, "7").await;
        stage.until(161).await;
        stage
    }
}

#[tokio::test]
async fn a_bound_that_is_learned_late_narrows_the_gauge_that_was_told() {
    let stage = Stage::of_two().await;
    stage.billed(400).await;
    stage.until(162).await;
    // The reading of the period before is told already.
    assert_eq!(stage.told(), told(&[(6_000, "5"), (9_600, "7")]));
    stage.read("r3", 170, "8").await;
    stage.read("late", 120, "4").await;
    stage.until(171).await;
    let expected = [(6_000, "5"), (7_200, "4"), (9_600, "7"), (10_200, "8")];
    assert_eq!(stage.told(), told(&expected));
    assert_eq!(stage.held().await, NONE);
}

#[tokio::test]
async fn what_a_gauge_told_before_it_was_narrowed_is_not_late_where_it_is_billed() {
    let stage = Stage::of_two().await;
    stage.closed(155).await;
    stage.until(162).await;
    assert_eq!((stage.told(), stage.held().await.len()), (told(&[(6_000, "5"), (9_600, "7")]), 0));
    // What would be another value is late, and what a person says of it is what was told.
    stage.cancel("r1").await;
    stage.until(163).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    stage.say(Verdict::Billed).await;
    stage.billed(400).await;
    stage.until(164).await;
    assert_eq!((stage.told(), stage.held().await.len()), (told(&[(6_000, "5"), (9_600, "7")]), 0));
}

#[tokio::test]
async fn billed_tells_nothing_of_a_part_whose_readings_were_all_cancelled_before_it_was_one() {
    let stage = Stage::of_two().await;
    stage.cancel("r1").await;
    stage.closed(155).await;
    stage.until(162).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    stage.say(Verdict::Billed).await;
    stage.billed(400).await;
    stage.until(164).await;
    assert_eq!((stage.told(), stage.held().await.len()), (told(&[(6_000, "5"), (9_600, "7")]), 0));
}

#[tokio::test]
async fn what_a_gauge_told_before_it_was_narrowed_and_was_lost_is_told_by_its_part() {
    let stage = Stage::open().await;
    let lost = Faults {
        basis_points: [(FaultKind::RejectedLater, 10_000)].into_iter().collect(),
        ..Faults::default()
    };
    stage.sandbox.handle.set_faults(lost).unwrap();
    stage.read("r0", 90, "3").await;
    stage.until(91).await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    stage.sandbox.handle.set_faults(Faults::default()).unwrap();
    stage.read("r2", 160, "7").await;
    stage.until(161).await;
    stage.billed(6 * DAY).await;
    stage.until(162).await;
    stage.look(3 * DAY).await;
    stage.look(3 * DAY + 11).await;
    assert_eq!(stage.held().await, ["disproved", "disproved"]);
    let held = stage.world.ledger.held(2).await.unwrap();
    for item in held {
        stage.say_of(&item, Verdict::NotBilled).await;
    }
    stage.until(3 * DAY + 12).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (9_600, "7"), (9_601, "7")]));
    assert_eq!(stage.held().await, NONE);
}

#[tokio::test]
async fn a_reading_that_is_cancelled_as_its_gauge_is_narrowed_is_taken_back_where_it_was_told() {
    let stage = Stage::of_two().await;
    stage.cancel("r1").await;
    stage.billed(400).await;
    stage.until(162).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (6_001, "0"), (9_600, "7")]));
}

#[tokio::test]
async fn a_reading_that_was_cancelled_before_its_gauge_was_narrowed_is_taken_back_as_well() {
    let stage = Stage::of_two().await;
    stage.cancel("r1").await;
    stage.until(162).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (9_600, "7")]));
    stage.billed(400).await;
    stage.until(163).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (6_001, "0"), (9_600, "7")]));
}

#[tokio::test]
async fn a_reading_of_a_minute_that_two_periods_share_is_held_where_none_can_prove_it() {
    let stage = Stage::open().await;
    let second = |seconds: i64| at(149).plus_seconds(seconds);
    let read =
        |id: &str, level: &str, seconds: i64| record(id, "cus_1", "calls", level, second(seconds));
    stage.until(149).await;
    stage.world.accept(vec![read("r1", "5", 40)]).await;
    stage.until(150).await;
    stage.world.accept(vec![read("r2", "7", 55)]).await;
    stage.until(151).await;
    // The period ended between the two, as it is learned.
    let (ended, next) = (at(-30 * DAY), at(30 * DAY));
    stage.periods(Window { start: ended, end: second(50) }).await;
    stage.periods(Window { start: second(50), end: next }).await;
    stage.until(152).await;
    for minute in [0, 11, 22, 33] {
        stage.look(40 * 60 + minute).await;
    }
    assert_eq!(stage.states().await, states(&[("settled", 1), ("held", 1)]));
    assert_eq!(stage.held().await, ["may_exist"]);
    stage.say(Verdict::Billed).await;
    stage.until(41 * 60).await;
    assert_eq!((stage.told(), stage.held().await.len()), (told(&[(8_980, "5"), (8_995, "7")]), 0));
}

#[tokio::test]
async fn a_reading_of_the_minute_in_which_its_period_begins_is_told_for_the_next_one() {
    let stage = Stage::open().await;
    let second = |seconds: i64| at(149).plus_seconds(seconds);
    let read =
        |id: &str, level: &str, seconds: i64| record(id, "cus_1", "calls", level, second(seconds));
    stage.until(140).await;
    stage.periods(Window { start: at(-30 * DAY), end: second(50) }).await;
    stage.until(149).await;
    stage.world.accept(vec![read("r1", "5", 40)]).await;
    stage.until(150).await;
    stage.periods(Window { start: second(50), end: at(30 * DAY) }).await;
    stage.world.accept(vec![read("r2", "7", 55)]).await;
    stage.until(151).await;
    assert_eq!(stage.told(), told(&[(8_980, "5"), (9_000, "7")]));
    // Each period has a total of its own.
    for minute in [0, 11, 7 * 60, 7 * 60 + 11] {
        stage.look(40 * 60 + minute).await;
    }
    assert_eq!(stage.states().await, states(&[("settled", 2)]));
}

#[tokio::test]
async fn a_period_whose_bounds_move_back_is_billed_the_newest_reading_of_its_gauges() {
    let stage = Stage::open().await;
    stage.until(10).await;
    stage.subscribed(-30 * DAY, 150).await;
    stage.read("r1", 110, "5").await;
    stage.until(111).await;
    stage.read("r2", 130, "6").await;
    stage.until(131).await;
    stage.until(151).await;
    stage.subscribed(150, 30 * DAY).await;
    stage.read("r3", 160, "7").await;
    stage.until(161).await;
    // The provider says after all that the period ended at two.
    stage.subscribed(-30 * DAY, 120).await;
    stage.subscribed(120, 30 * DAY).await;
    stage.until(162).await;
    // Each instant is of one gauge, and nothing is told anew.
    let so_far = [(6_600, "5"), (7_800, "6"), (9_600, "7")];
    assert_eq!((stage.told(), stage.held().await.len()), (told(&so_far), 0));
    // A late reading goes to its own part of the period, before what is billed of it.
    stage.read("late", 140, "4").await;
    stage.until(163).await;
    assert_eq!(stage.told(), told(&[(6_600, "5"), (7_800, "6"), (8_400, "4"), (9_600, "7")]));
    assert_eq!(stage.bills(), "7");
    // What stands then is that of the older of the two: which is not told by the newer one.
    stage.cancel("r3").await;
    stage.until(164).await;
    assert_eq!(stage.held().await, ["cannot_lower"]);
    assert_eq!(stage.bills(), "7");
    // A newer reading ends that.
    stage.read("r4", 170, "9").await;
    stage.until(171).await;
    assert_eq!((stage.bills().as_str(), stage.held().await.len()), ("9", 0));
}
