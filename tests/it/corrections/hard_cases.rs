//! The cases in which a simpler design bills wrongly: one test each, named after the case. Here:
//! those that sums and counts of events can meet. Read next: `crate::regressions`.

use std::collections::VecDeque;
use std::path::Path;

use tallyd::accrual::route::AccountRule;
use tallyd::domain::correction::Standing;
use tallyd::domain::names::{AccountName, CustomerName, RouteName};
use tallyd::ledger::intake::Admission;
use tallyd::sandbox::faults::{FaultKind, Faults, Reach};
use tallyd::store::sqlite::backup;

use super::*;

impl Stage {
    /// The next requests meet these, one each.
    fn fail_next(&self, kinds: &[FaultKind]) {
        let next: VecDeque<FaultKind> = kinds.iter().copied().collect();
        let faults = Faults { next, reach: Reach::Writes, ..Faults::default() };
        self.sandbox.handle.set_faults(faults).unwrap();
    }

    /// The copy takes the ledger's place.
    async fn put_back(self, copy: &Path) -> Self {
        let Self { world, sandbox, clock, folder } = self;
        drop(world);
        let ledger = folder.path().join("ledger");
        backup::replace(&ledger, copy, "a test", clock.now()).await.unwrap();
        let routes = vec![route("calls"), counting()];
        let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
        Self { world, sandbox, clock, folder }
    }

    /// Books, posts and sends what there is, once.
    async fn step(&self) {
        self.clock.set(self.clock.now().plus_seconds(1));
        self.world.step().await;
    }
}

#[tokio::test]
async fn refused_on_a_later_attempt_but_an_earlier_one_may_have_landed() {
    let stage = Stage::open().await;
    stage.step().await;
    stage.book("r1").await;
    // The first attempt is booked there and answered with a failure, which its key keeps; before
    // the second, under another key, the meter goes.
    stage.fail_next(&[FaultKind::PinnedErrorAfter]);
    stage.step().await;
    assert_eq!(stage.events(), 1);
    stage.deactivate("calls").await;
    stage.wait_hours(1).await;
    assert_eq!(stage.held().await, ["may_exist"]);
    // It counts as told: nothing goes in its place.
    assert_eq!((stage.holds().as_str(), stage.events()), ("5", 1));
}

#[tokio::test]
async fn a_record_cancelled_while_its_event_is_held_refused_is_superseded_and_nothing_told() {
    let stage = Stage::open().await;
    stage.step().await;
    stage.deactivate("calls").await;
    stage.book("r1").await;
    stage.rest().await;
    assert_eq!(stage.held().await, ["no_meter"]);
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 0));
}

#[tokio::test]
async fn a_hold_that_has_no_event_is_planned_again_whenever_its_balance_changes() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.book("r2").await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!(stage.held().await, ["below_zero"]);
    // Later usage makes up for it: nothing has to be taken back any more.
    stage.book("r3").await;
    stage.rest().await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!((stage.holds().as_str(), stage.events()), ("10", 1));
}

/// One of two records is cancelled while nobody knows whether either was told.
async fn minus_5_beside_an_unknown() -> Stage {
    let stage = Stage::open().await;
    stage.step().await;
    stage.book("r1").await;
    stage.book("r2").await;
    stage.fail_next(&[FaultKind::AnswerLost, FaultKind::AnswerLost, FaultKind::AnswerLost]);
    stage.step().await;
    stage.cancel("r1").await;
    stage.step().await;
    assert_eq!(stage.holds(), "10", "nothing is taken from what is unknown");
    // Posting has looked again and waits for the answer: that is in order, though nothing is due.
    stage.world.poster.run_once(stage.clock.now()).await.unwrap();
    stage.world.verify().await;
    stage
}

#[tokio::test]
async fn minus_5_beside_an_unknown_waits_for_it() {
    let stage = minus_5_beside_an_unknown().await;
    stage.wait_hours(1).await;
    // Known now, and still only said: the total is not taken below what is proven.
    assert_eq!(stage.held().await, ["below_zero"]);
    stage.settle().await;
    assert_eq!(stage.holds(), "5");
}

#[tokio::test]
async fn minus_5_beside_an_unknown_is_held_once_nobody_recognises_it_any_more() {
    let stage = minus_5_beside_an_unknown().await;
    // Nothing runs for longer than the provider recognises an identifier.
    stage.wait_hours(30).await;
    let mut held = stage.held().await;
    held.sort();
    assert_eq!(held, ["below_zero", "window_passed"], "what waited for the unknown is not lost");
}

#[tokio::test]
async fn a_period_that_closes_while_an_event_is_unknown_stops_it() {
    let stage = Stage::open().await;
    stage.step().await;
    stage.book("r1").await;
    stage.fail_next(&[FaultKind::ErrorBefore]);
    stage.step().await;
    stage.close_period(START.plus_seconds(-60)).await;
    stage.wait_hours(1).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    assert_eq!(stage.events(), 0, "nothing is sent again for a closed period");
}

#[tokio::test]
async fn a_refused_cancel_is_held_once_and_written_off_leaves_nothing_held() {
    let stage = Stage::open().await;
    stage.world.accept(vec![record("r1", "cus_1", "counted", "3", USED)]).await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.world.accruer.run_once(stage.clock.now()).await.unwrap();
    stage.world.poster.run_once(stage.clock.now()).await.unwrap();
    // The cancel waits for longer than the provider cancels anything, and is held in its stead.
    stage.wait_hours(30).await;
    assert_eq!(stage.held().await, ["cannot_lower"]);
    assert!(matches!(stage.decide("balance:1", Verdict::WriteOff).await, Decision::Done(_)));
    stage.rest().await;
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn count_meter_a_record_of_quantity_3_one_cancel_and_one_late_record_are_never_netted() {
    let stage = Stage::open().await;
    stage.world.accept(vec![record("r1", "cus_1", "counted", "3", USED)]).await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("1", 1));
    stage.cancel("r1").await;
    stage.world.accept(vec![record("r2", "cus_1", "counted", "3", USED)]).await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("1", 2));
    // An adjusted quantity changes no number of records.
    stage.correct("r2", "more", adjust("3", "9")).await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("1", 2));
}

#[tokio::test]
async fn a_value_over_the_providers_digits_is_split_and_its_correction_too() {
    let stage = Stage::open().await;
    stage.book_as("r1", "123456789012.3456789").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("123456789012.3456789", 2));
    // A total of so many digits comes back as a float, and proves nothing: it is not taken from.
    stage.settle().await;
    stage.correct("r1", "down", adjust("123456789012.3456789", "1")).await;
    stage.rest().await;
    assert_eq!(stage.holds(), "123456789012.3456789");
    assert_eq!(stage.held().await, ["below_zero"]);
}

#[tokio::test]
async fn adjust_to_7_answer_lost_adjust_to_10_retry_of_7() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.correct("r1", "seven", adjust("5", "7")).await;
    stage.correct("r1", "ten", adjust("7", "10")).await;
    let retry = stage.correct("r1", "seven", adjust("5", "7")).await;
    assert!(matches!(retry, CorrectionAdmission::Duplicate(_)), "{retry:?}");
    // Under another name it is not known for a retry, but for outdated.
    let renamed = stage.correct("r1", "seven again", adjust("5", "7")).await;
    assert_eq!(renamed, CorrectionAdmission::Stale(Standing::Counts(quantity("10"))));
    stage.rest().await;
    assert_eq!(stage.holds(), "10");
}

#[tokio::test]
async fn one_record_booked_by_route_a_parked_for_route_b_later_a_correction_under_a_new_config() {
    let b = |scale: &str| Route {
        name: RouteName::new("b").unwrap(),
        provider_meter: ProviderMeter::new("other").unwrap(),
        account: AccountRule::Imported,
        scale: quantity(scale),
        ..route("calls")
    };
    let stage = Stage::with(vec![route("calls"), b("1")]).await;
    stage.book("r1").await;
    stage.rest().await;
    assert_eq!(stage.holds(), "5");
    // A new config: route a makes twice as much of a record, and b ten times.
    let stage = stage.again(vec![Route { scale: quantity("2"), ..route("calls") }, b("10")]).await;
    stage.correct("r1", "down", adjust("5", "3")).await;
    stage.rest().await;
    // The correction followed the booking by a, through the scale by which it was booked.
    stage.settle().await;
    assert_eq!(stage.holds(), "3");
    // b books it under the newest config, as it counts now.
    let customer = CustomerName::new("cus_1").unwrap();
    let account = AccountName::new("cus_9").unwrap();
    let now = stage.clock.now();
    let provider = crate::support::journey::provider_name();
    let accounts = [(customer, account)];
    stage.world.ledger.import_accounts(&provider, &accounts, now).await.unwrap();
    stage.rest().await;
    assert_eq!(stage.holds(), "33");
}

/// A record whose only attempt may have landed, held since nobody may ask again.
async fn past_the_window(landed: bool) -> Stage {
    let stage = Stage::open().await;
    stage.step().await;
    stage.book("r1").await;
    stage.fail_next(&[if landed { FaultKind::AnswerLost } else { FaultKind::ErrorBefore }]);
    stage.step().await;
    let outage_until = Some(NOON + 26 * 3_600);
    stage.sandbox.handle.set_faults(Faults { outage_until, ..Faults::default() }).unwrap();
    stage.clock.set(START.plus_seconds(26 * 3_600 + 60));
    stage.sandbox.handle.set_faults(Faults::default()).unwrap();
    stage.wait_hours(1).await;
    assert_eq!(stage.held().await, ["window_passed"]);
    stage
}

#[tokio::test]
async fn written_off_then_proven_present_it_counts_again() {
    let stage = past_the_window(true).await;
    assert!(matches!(stage.decide("event:1", Verdict::WriteOff).await, Decision::Done(_)));
    stage.rest().await;
    let accrued = async || stage.world.accrued().await.into_values().next().unwrap();
    assert_eq!((accrued().await.as_str(), stage.holds().as_str()), ("0", "5"));
    // Other usage has the totals of that span read, and they contain both.
    stage.book_as("r2", "3").await;
    stage.rest().await;
    stage.settle().await;
    assert_eq!((accrued().await.as_str(), stage.holds().as_str()), ("8", "8"));
    assert_eq!((stage.held().await, stage.events()), (Vec::new(), 2));
}

#[tokio::test]
async fn a_written_off_record_that_is_cancelled_takes_nothing_from_the_provider() {
    let stage = past_the_window(false).await;
    stage.decide("event:1", Verdict::WriteOff).await;
    stage.cancel("r1").await;
    stage.book_as("r2", "3").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("3", 1));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_event_whose_record_was_cancelled_is_written_off_and_later_usage_is_told_all_the_same() {
    for landed in [false, true] {
        let stage = past_the_window(landed).await;
        stage.cancel("r1").await;
        stage.rest().await;
        let Decision::Done(resolved) = stage.decide("event:1", Verdict::WriteOff).await else {
            panic!("it is held")
        };
        // Its usage had left: a second time it would swallow what comes next.
        assert_eq!(resolved.records, 0);
        assert!(resolved.next.contains("nothing is written off"), "{}", resolved.next);
        stage.rest().await;
        assert_eq!(stage.held().await, Vec::<String>::new());
        stage.book_as("r2", "5").await;
        stage.rest().await;
        let holds = if landed { "10" } else { "5" };
        assert_eq!((stage.holds().as_str(), stage.held().await), (holds, Vec::new()));
        // Where it was there after all, what was cancelled is taken back.
        for hours in [26, 7] {
            stage.wait_hours(hours).await;
            stage.settle().await;
        }
        stage.rest().await;
        assert_eq!((stage.holds().as_str(), stage.held().await), ("5", Vec::new()));
    }
}

#[tokio::test]
async fn an_event_is_written_off_for_what_of_its_record_still_counts() {
    let stage = past_the_window(false).await;
    stage.correct("r1", "less", adjust("5", "2")).await;
    stage.book_as("r2", "4").await;
    stage.rest().await;
    stage.decide("event:1", Verdict::WriteOff).await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.held().await), ("4", Vec::new()));
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.held().await), ("4", Vec::new()));
}

#[tokio::test]
async fn proven_absent_after_the_window_the_same_bytes_go_again() {
    let stage = past_the_window(false).await;
    for hours in [26, 7] {
        stage.wait_hours(hours).await;
        stage.settle().await;
    }
    assert_eq!((stage.holds().as_str(), stage.events()), ("5", 1));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn restored_backup_newer_usage_of_the_same_hour_does_not_tell_the_older_again() {
    let stage = Stage::open().await;
    let copy = stage.folder.path().join("copy");
    backup::copy(&stage.folder.path().join("ledger"), &copy).await.unwrap();
    stage.book("r1").await;
    stage.rest().await;
    assert_eq!(stage.holds(), "5");
    let stage = stage.put_back(&copy).await;
    stage.book("r1").await;
    let newer = record("r2", "cus_1", "calls", "3", USED.plus_seconds(60));
    stage.world.accept(vec![newer]).await;
    stage.rest().await;
    assert_eq!(stage.holds(), "5", "one event would say both");
    assert_eq!(stage.held().await, ["restored"]);
}

#[tokio::test]
async fn cancel_accepted_target_rejected_later_the_cancel_goes_with_its_target() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.rest().await;
    assert_eq!(stage.holds(), "0");
    // Whoever learned that the target was never counted has it held, and then says so.
    stage
        .write(
            "UPDATE meter_event SET state = 'held', hold_reason = 'disproved', hold_detail = '',
             ambiguous = 0 WHERE kind = 'usage'"
                .to_owned(),
        )
        .await;
    assert!(matches!(stage.decide("event:1", Verdict::NotBilled).await, Decision::Done(_)));
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 1));
    assert_eq!(stage.held().await, Vec::<String>::new());
    let states = stage.world.ledger.status().await.unwrap().events;
    assert_eq!(states.len(), 1, "both were superseded: {states:?}");
    assert_eq!((states[0].1.as_str(), states[0].2), ("superseded", 2));
}

#[tokio::test]
async fn a_cancel_that_a_person_says_landed_settles_what_it_cancelled() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.fail_next(&[FaultKind::AnswerLost, FaultKind::AnswerLost, FaultKind::AnswerLost]);
    stage.step().await;
    // The unknown cancel waits for longer than the provider cancels anything.
    stage.wait_hours(30).await;
    assert_eq!(stage.held().await, ["window_passed"]);
    assert!(matches!(stage.decide("event:2", Verdict::Billed).await, Decision::Done(_)));
    // No total could: with or without both, it is the same.
    let states = stage.world.ledger.status().await.unwrap().events;
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!((states[0].1.as_str(), states[0].2), ("settled", 2));
}

#[tokio::test]
async fn a_cancelled_event_that_a_person_says_is_not_there_does_not_go_again() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    stage.rest().await;
    stage.cancel("r1").await;
    stage.rest().await;
    // A total did not tell whether the two are there, or neither.
    stage
        .write(
            "UPDATE meter_event SET state = 'held', hold_reason = 'may_exist', hold_detail = ''"
                .to_owned(),
        )
        .await;
    assert!(matches!(stage.decide("event:1", Verdict::NotBilled).await, Decision::Done(_)));
    // Nobody is asked what the cancel would mean without its target.
    assert_eq!(stage.held().await, Vec::<String>::new());
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("0", 1));
    let states = stage.world.ledger.status().await.unwrap().events;
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!((states[0].1.as_str(), states[0].2), ("superseded", 2));
}

#[tokio::test]
async fn a_conflict_decided_for_the_second_value_the_source_sends_that_again() {
    let stage = Stage::open().await;
    stage.book("r1").await;
    let nine = || stage.world.accept(vec![record("r1", "cus_1", "calls", "9", USED)]);
    assert!(matches!(nine().await[0], Admission::Conflict(_)));
    assert!(matches!(stage.decide("conflict:1", Verdict::Second).await, Decision::Done(_)));
    assert!(matches!(nine().await[0], Admission::Duplicate(_)), "a decided copy is a duplicate");
    stage.rest().await;
    assert_eq!(stage.holds(), "9");
}

#[tokio::test]
async fn accepted_then_disproved_by_the_provider_is_told_anew_under_another_name() {
    let stage = Stage::open().await;
    stage.step().await;
    stage.book("r1").await;
    stage.fail_next(&[FaultKind::RejectedLater]);
    stage.step().await;
    stage.wait_hours(40).await;
    stage.settle().await;
    assert_eq!(stage.held().await, ["disproved"]);
    assert!(matches!(stage.decide("event:1", Verdict::NotBilled).await, Decision::Done(_)));
    stage.rest().await;
    assert_eq!((stage.holds().as_str(), stage.events()), ("5", 2));
    let events = stage.sandbox.handle.events();
    assert_ne!(events[0].identifier, events[1].identifier);
}
