//! A correction at every moment of a record's life. Here: cancelled and adjusted before posting,
//! while pending, in flight, within the provider's day and after it, after the period, twice, early,
//! and at once. Read next: `crate::hard_cases`.

use tallyd::domain::correction::Standing;
use tallyd::sandbox::faults::{FaultKind, Faults, Reach};

use super::*;

#[tokio::test]
async fn cancelled_before_it_is_posted_nothing_is_ever_told() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 0));
}

#[tokio::test]
async fn cancelled_while_pending_its_event_is_withdrawn() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.book("r2").await;
    // Contact, then booked and posted, and not sent.
    stage.world.courier.run_once(START).await.unwrap();
    stage.world.accruer.run_once(START).await.unwrap();
    stage.world.poster.run_once(START).await.unwrap();
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("5", 1));
}

#[tokio::test]
async fn cancelled_in_flight_its_event_is_cancelled_once_the_answer_is_there() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.world.courier.run_once(START).await.unwrap();
    stage.world.accruer.run_once(START).await.unwrap();
    stage.world.poster.run_once(START).await.unwrap();
    stage.sandbox.handle.hold_answers();
    {
        // A second later the budget has filled again.
        let later = START.plus_seconds(1);
        stage.clock.set(later);
        let sending = stage.world.courier.run_once(later);
        tokio::pin!(sending);
        tokio::select! {
            _ = &mut sending => panic!("the answer is held"),
            () = stage.sandbox.handle.wait_for_in_flight(1) => {}
        }
        stage.cancel("r1").await;
        stage.world.accruer.run_once(START).await.unwrap();
        let posted = stage.world.poster.run_once(START).await.unwrap();
        assert!(!posted.did_something(), "what is in flight is not touched: {posted:?}");
        stage.sandbox.handle.release_answers();
        sending.await.unwrap();
    }
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 1));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn cancelled_within_the_providers_day_its_event_is_cancelled_by_name() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.wait_hours(20).await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 1));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_part_of_an_event_is_taken_back_once_the_provider_certainly_holds_it() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.book("r2").await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!(stage.holds(), "10");
    assert_eq!(stage.held().await, ["below_zero"]);
    stage.settle().await;
    assert_eq!(stage.holds(), "5");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn cancelled_after_the_providers_day_a_negative_event_takes_it_back() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.settle().await;
    stage.wait_hours(30).await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 2));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn cancelled_after_the_period_closed_it_is_held_for_a_person() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.close_period(START.plus_seconds(-60)).await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("5", 1));
    assert_eq!(stage.held().await, ["late_for_period"]);
}

#[tokio::test]
async fn cancelled_twice_it_is_cancelled_once() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.rest().await;
    for name in ["cancel", "again"] {
        let admission = stage.correct("r1", name, Change::Cancel).await;
        assert!(matches!(admission, CorrectionAdmission::Duplicate(_)), "{admission:?}");
    }
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 1));
}

#[tokio::test]
async fn a_correction_that_comes_before_its_record_waits_for_it() {
    let stage = Stage::open().await;
    let admission = stage.correct("r1", "early", adjust("5", "3")).await;
    assert!(
        matches!(admission, CorrectionAdmission::Accepted { standing: None, .. }),
        "{admission:?}"
    );
    stage.cancel("r2").await;
    stage.rest().await;
    stage.book("r1").await;
    stage.book("r2").await;
    stage.book_as("r3", "1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("4", 1));
}

#[tokio::test]
async fn adjusted_up_down_to_nothing_and_back_the_provider_follows() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    for (name, from, to) in [("up", "5", "8"), ("down", "8", "5"), ("gone", "5", "0")] {
        stage.correct("r1", name, adjust(from, to)).await;
        stage.rest().await;
        assert_eq!(stage.holds(), to, "{name}");
    }
    stage.correct("r1", "back", adjust("0", "2.5")).await;
    stage.rest().await;
    assert_eq!(stage.holds(), "2.5");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn adjusted_twice_from_the_same_quantity_only_the_first_counts() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    let (first, second) = tokio::join!(
        stage.correct("r1", "one", adjust("5", "7")),
        stage.correct("r1", "other", adjust("5", "9")),
    );
    let seven = Standing::Counts(quantity("7"));
    let CorrectionAdmission::Accepted { standing, .. } = first else { panic!("{first:?}") };
    assert_eq!(standing, Some(seven.clone()));
    assert_eq!(second, CorrectionAdmission::Stale(seven));
    stage.rest().await;
    assert_eq!(stage.holds(), "7");
}

#[tokio::test]
async fn a_counted_record_is_cancelled_by_its_own_event_and_held_when_it_is_too_late() {
    let stage = Stage::open().await;
    for id in ["r1", "r2", "r3"] {
        stage.world.accept(vec![record(id, "cus_1", "counted", "3", USED)]).await;
    }
    stage.rest().await;
    assert_eq!(stage.holds(), "3");
    stage.cancel("r2").await;
    stage.rest().await;
    assert_eq!(stage.holds(), "2");
    stage.wait_hours(30).await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!(stage.holds(), "2");
    assert_eq!(stage.held().await, ["cannot_lower"]);
}

#[tokio::test]
async fn a_cancel_whose_answer_is_lost_goes_again_and_counts_once() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    let lost = Faults {
        reach: Reach::Writes,
        basis_points: [(FaultKind::AnswerLost, 10_000)].into(),
        ..Faults::default()
    };
    stage.sandbox.handle.set_faults(lost).unwrap();
    stage.cancel("r1").await;
    stage.world.accruer.run_once(stage.clock.now()).await.unwrap();
    stage.world.poster.run_once(stage.clock.now()).await.unwrap();
    stage.world.courier.run_once(stage.clock.now()).await.unwrap();
    assert_eq!(stage.holds(), "0");
    stage.sandbox.handle.set_faults(Faults::default()).unwrap();
    stage.wait_hours(1).await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 1));
    assert_eq!(stage.held().await, Vec::<String>::new());
}
