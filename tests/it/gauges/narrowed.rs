//! Gauges of which a bound is learned late: what was told of a part before it was one by itself.
//! Never here: gauges whose periods were known at once ([`super`]).

use super::*;

#[tokio::test]
async fn a_bound_that_is_learned_late_narrows_the_gauge_that_was_told() {
    let stage = Stage::open().await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    stage.read("r2", 160, "7").await;
    stage.until(161).await;
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
    let stage = Stage::open().await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    stage.read("r2", 160, "7").await;
    stage.until(161).await;
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
    let stage = Stage::open().await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    stage.read("r2", 160, "7").await;
    stage.until(161).await;
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
    let stage = Stage::open().await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    stage.read("r2", 160, "7").await;
    stage.until(161).await;
    stage.cancel("r1").await;
    stage.billed(400).await;
    stage.until(162).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (6_001, "0"), (9_600, "7")]));
}

#[tokio::test]
async fn a_reading_that_was_cancelled_before_its_gauge_was_narrowed_is_taken_back_as_well() {
    let stage = Stage::open().await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    stage.read("r2", 160, "7").await;
    stage.until(161).await;
    stage.cancel("r1").await;
    stage.until(162).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (9_600, "7")]));
    stage.billed(400).await;
    stage.until(163).await;
    assert_eq!(stage.told(), told(&[(6_000, "5"), (6_001, "0"), (9_600, "7")]));
}
