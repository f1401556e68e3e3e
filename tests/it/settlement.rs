//! Settlement, stepped by hand over a real ledger and the sandbox: what a total proves of what was
//! told, and what it leaves alone.

use std::collections::BTreeMap;

use tallyd::accrual::route::{Route, WindowRule};
use tallyd::clock::Clock as _;
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{CorrectionName, RecordId, SourceName};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::intake::CorrectionLedger;
use tallyd::ledger::operator::{BookFilter, BookLine, HeldItem, OperatorLedger};
use tallyd::ledger::reconcile::ReconcileLedger;
use tallyd::reconcile::READS_PER_MONTH;
use tallyd::sandbox::faults::FaultKind;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;

use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{NOON, Running, event_of, start_with};

const START: Timestamp = Timestamp::from_seconds(NOON);
const HOUR: i64 = 3_600;
/// After the lag of totals.
const PRESENT: i64 = 8 * HOUR;
/// After everything that could still land has landed, and was seen.
const ABSENT: i64 = 32 * HOUR;
/// A second look.
const AGAIN: i64 = 601;
/// The next time that a lane is compared.
const NEXT: i64 = 6 * HOUR + 1;

/// A world, the sandbox it tells, and the folder of its ledger.
struct Stand {
    world: World,
    sandbox: Running,
    _folder: tempfile::TempDir,
}

impl Stand {
    async fn open(route: Route, reads_per_month: u32) -> Self {
        let sandbox =
            start_with(|stripe| stripe.meters = vec![NewMeter::new("calls", Formula::Sum)]).await;
        let folder = tempfile::tempdir().unwrap();
        let clock = sandbox.clock.clone();
        let setting = Setting { reads_per_month, ..Setting::default() };
        let world = World::open(folder.path(), &sandbox, &clock, vec![route], setting).await;
        Self { world, sandbox, _folder: folder }
    }

    async fn plain() -> Self {
        Self::open(route("calls"), READS_PER_MONTH).await
    }

    /// Tells 5 of `customer` at so many hours before the start.
    async fn use_five(&self, id: &str, customer: &str, hours_before: i64) {
        let at = START.plus_seconds(-hours_before * HOUR);
        self.world.accept(vec![record(id, customer, "calls", "5", at)]).await;
    }

    /// Steps until what was accepted is told.
    async fn deliver(&self) {
        self.world.run_until(self.world.clock.now().plus_seconds(60)).await;
    }

    /// Steps until an answer is missing.
    async fn lose(&self) {
        for _ in 0..20 {
            self.world.clock.advance_micros(100_000);
            self.world.step().await;
            if self.states().await.contains_key("unknown") {
                return;
            }
        }
        panic!("no answer was lost: {:?}", self.states().await);
    }

    /// Compares at so many seconds after the start.
    async fn look(&self, seconds: i64) {
        self.world.clock.set(START.plus_seconds(seconds));
        self.world.settler.run_once(self.world.clock.now()).await.unwrap();
        self.world.verify().await;
    }

    /// Two looks.
    async fn look_twice(&self, seconds: i64) {
        self.look(seconds).await;
        self.look(seconds + AGAIN).await;
    }

    async fn states(&self) -> BTreeMap<String, i64> {
        let status = self.world.ledger.status().await.unwrap();
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }

    async fn check(&self, states: &[(&str, i64)]) {
        let expected: BTreeMap<String, i64> =
            states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect();
        assert_eq!(self.states().await, expected);
    }

    async fn held(&self) -> Vec<HeldItem> {
        self.world.ledger.held(100).await.unwrap()
    }

    async fn reasons(&self) -> Vec<String> {
        self.held().await.into_iter().map(|item| item.reason).collect()
    }

    async fn line(&self) -> BookLine {
        self.world.ledger.books(&BookFilter::default()).await.unwrap().remove(0)
    }

    async fn bracket(&self) -> (String, String) {
        let line = self.line().await;
        (line.low.to_string(), line.high.to_string())
    }

    async fn calls(&self) -> u32 {
        let ledger = &self.world.ledger;
        ledger.read_calls(&provider_name(), self.world.clock.now()).await.unwrap().month
    }

    /// The first event's identifier.
    async fn identifier(&self) -> String {
        self.world.ledger.event(1).await.unwrap().unwrap().identifier
    }
}

fn bracket(low: &str, high: &str) -> (String, String) {
    (low.to_owned(), high.to_owned())
}

#[tokio::test]
async fn what_was_accepted_settles_when_two_totals_contain_it() {
    let stand = Stand::plain().await;
    for (id, hours) in [("a", 2), ("b", 3), ("c", 30)] {
        stand.use_five(id, "cus_1", hours).await;
    }
    stand.deliver().await;
    assert_eq!(stand.bracket().await, bracket("0", "15"));
    stand.look(5 * HOUR).await;
    assert_eq!(stand.calls().await, 0, "nothing is old enough to be asked about");
    stand.look(PRESENT).await;
    stand.check(&[("accepted", 3)]).await;
    stand.look(PRESENT + 120).await;
    assert_eq!(stand.calls().await, 1, "the second look comes later");
    stand.look(PRESENT + AGAIN).await;
    stand.check(&[("settled", 3)]).await;
    assert_eq!(stand.bracket().await, bracket("15", "15"));
    assert_eq!(stand.calls().await, 2);
    stand.look(PRESENT + AGAIN + NEXT).await;
    assert_eq!(stand.calls().await, 2, "what is proven is not asked about again");
}

#[tokio::test]
async fn an_answer_that_was_lost_past_the_dedupe_window_is_found_in_the_total() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.sandbox.script(&[FaultKind::AnswerLost]);
    stand.lose().await;
    stand.world.clock.set(START.plus_seconds(24 * HOUR));
    stand.deliver().await;
    assert_eq!(stand.reasons().await, ["window_passed"]);
    stand.look_twice(25 * HOUR).await;
    stand.check(&[("settled", 1)]).await;
    assert_eq!(stand.line().await.told.to_string(), "5");
}

#[tokio::test]
async fn what_never_arrived_goes_again_as_the_same_bytes_and_settles() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.sandbox.script(&[FaultKind::ClosedBefore]);
    stand.lose().await;
    stand.world.clock.set(START.plus_seconds(24 * HOUR));
    stand.deliver().await;
    stand.look_twice(25 * HOUR).await;
    assert_eq!(stand.reasons().await, ["window_passed"], "it may still land");
    stand.look_twice(ABSENT).await;
    stand.check(&[("pending", 1)]).await;
    stand.deliver().await;
    stand.check(&[("accepted", 1)]).await;
    let identifier = stand.identifier().await;
    let seen: Vec<String> =
        stand.sandbox.handle.events().into_iter().map(|event| event.identifier).collect();
    assert_eq!(seen, [identifier]);
    stand.look_twice(ABSENT + 8 * HOUR).await;
    stand.check(&[("settled", 1)]).await;
    assert_eq!(stand.bracket().await, bracket("5", "5"));
}

#[tokio::test]
async fn a_request_that_lands_after_its_absence_was_proven_is_held_and_then_found() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.sandbox.script(&[FaultKind::ClosedBefore]);
    stand.lose().await;
    stand.world.clock.set(START.plus_seconds(24 * HOUR));
    stand.deliver().await;
    stand.look_twice(ABSENT).await;
    stand.check(&[("pending", 1)]).await;
    let at = START.plus_seconds(-2 * HOUR).seconds();
    let zombie = event_of("calls", "cus_1", &stand.identifier().await, "5", at);
    stand.sandbox.accept(&zombie).await;
    stand.deliver().await;
    assert_eq!(stand.reasons().await, ["identifier_conflict"]);
    stand.look_twice(ABSENT + 8 * HOUR).await;
    stand.check(&[("settled", 1)]).await;
    let books = stand.sandbox.handle.books();
    assert_eq!((books[0].total.to_string().as_str(), books[0].events), ("5", 1));
}

#[tokio::test]
async fn a_rejection_that_nobody_announced_is_held_as_disproved() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.use_five("b", "cus_1", 2).await;
    stand.use_five("c", "cus_2", 2).await;
    stand.sandbox.script(&[FaultKind::RejectedLater, FaultKind::RejectedLater]);
    stand.deliver().await;
    stand.check(&[("accepted", 2)]).await;
    stand.look_twice(PRESENT).await;
    stand.check(&[("accepted", 2)]).await;
    stand.look_twice(ABSENT).await;
    stand.check(&[("held", 2)]).await;
    assert_eq!(stand.reasons().await, ["disproved", "disproved"]);
    assert_eq!(stand.bracket().await, bracket("0", "0"));
}

#[tokio::test]
async fn a_clock_that_was_set_ahead_proves_nothing() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.sandbox.script(&[FaultKind::RejectedLater]);
    stand.deliver().await;
    stand.world.clock.set(START.plus_seconds(PRESENT));
    let ahead = stand.world.clock.now().plus_seconds(ABSENT);
    for turn in 0..3 {
        stand.world.settler.run_once(ahead.plus_seconds(turn * NEXT)).await.unwrap();
    }
    // By the provider's clock it was sent eight hours ago: it may still be on its way.
    stand.check(&[("accepted", 1)]).await;
}

#[tokio::test]
async fn a_total_that_does_not_fit_is_asked_for_again_in_smaller_parts() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.use_five("b", "cus_1", 3).await;
    stand.sandbox.script(&[FaultKind::RejectedLater]);
    stand.deliver().await;
    // The whole, then the day: either of the two may be the one that is there.
    for turn in 0..2 {
        stand.look(ABSENT + turn * NEXT).await;
        stand.check(&[("accepted", 2)]).await;
    }
    stand.look_twice(ABSENT + 2 * NEXT).await;
    stand.check(&[("settled", 1), ("held", 1)]).await;
    assert_eq!(stand.reasons().await, ["disproved"]);
}

#[tokio::test]
async fn two_explanations_hold_the_group() {
    let singly = Route { window: WindowRule::Record, ..route("calls") };
    let stand = Stand::open(singly, READS_PER_MONTH).await;
    let at = START.plus_seconds(-2 * HOUR);
    for (id, seconds) in [("a", 60), ("b", 180)] {
        let usage = record(id, "cus_1", "calls", "5", at.plus_seconds(seconds));
        stand.world.accept(vec![usage]).await;
    }
    stand.sandbox.script(&[FaultKind::RejectedLater]);
    stand.deliver().await;
    for turn in 0..3 {
        stand.look(ABSENT + turn * NEXT).await;
        stand.check(&[("accepted", 2)]).await;
    }
    stand.look(ABSENT + 2 * NEXT + AGAIN).await;
    stand.check(&[("held", 2)]).await;
    for item in stand.held().await {
        assert_eq!(item.reason, "may_exist");
        assert!(item.detail.contains("events 1, 2"), "{}", item.detail);
    }
    assert_eq!(stand.bracket().await, bracket("0", "10"));
}

#[tokio::test]
async fn a_foreign_writer_moves_nothing() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    stand.deliver().await;
    let at = START.plus_seconds(-2 * HOUR).seconds();
    stand.sandbox.accept(&event_of("calls", "cus_1", "foreign", "3", at)).await;
    for turn in 0..4 {
        stand.look_twice(ABSENT + turn * NEXT).await;
        stand.check(&[("accepted", 1)]).await;
    }
    assert!(stand.calls().await >= 4);
}

#[tokio::test]
async fn the_budget_of_reads_is_kept_and_what_waits_goes_first() {
    let stand = Stand::open(route("calls"), 2).await;
    stand.use_five("a", "cus_1", 2).await;
    stand.deliver().await;
    stand.use_five("b", "cus_2", 2).await;
    stand.sandbox.script(&[FaultKind::ClosedBefore]);
    stand.lose().await;
    stand.world.clock.set(START.plus_seconds(24 * HOUR));
    stand.deliver().await;
    stand.check(&[("accepted", 1), ("held", 1)]).await;
    stand.look_twice(ABSENT + HOUR).await;
    stand.check(&[("accepted", 1), ("pending", 1)]).await;
    assert_eq!(stand.calls().await, 2);
    stand.look_twice(ABSENT + 2 * NEXT).await;
    stand.check(&[("accepted", 1), ("pending", 1)]).await;
    assert_eq!(stand.calls().await, 2, "the month's reads are used up");
    // A month later there are new ones.
    stand.look_twice(31 * 24 * HOUR).await;
    stand.look_twice(32 * 24 * HOUR).await;
    assert!(stand.states().await.contains_key("settled"), "{:?}", stand.states().await);
}

#[tokio::test]
async fn a_cancel_and_its_target_settle_together() {
    let stand = Stand::plain().await;
    stand.use_five("a", "cus_1", 2).await;
    let at = START.plus_seconds(-3 * HOUR);
    stand.world.accept(vec![record("b", "cus_1", "calls", "7", at)]).await;
    stand.deliver().await;
    let cancel = Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new("a").unwrap(),
        name: CorrectionName::new("taken back").unwrap(),
        change: Change::Cancel,
        reason: "a test".to_owned(),
        who: "a test".to_owned(),
    };
    stand.world.ledger.correct(vec![cancel], stand.world.clock.now()).await.unwrap();
    stand.deliver().await;
    stand.check(&[("accepted", 3)]).await;
    assert_eq!(stand.bracket().await, bracket("0", "12"));
    stand.look_twice(ABSENT).await;
    stand.check(&[("settled", 3)]).await;
    assert_eq!(stand.bracket().await, bracket("7", "7"));
    assert_eq!(stand.line().await.told.to_string(), "7");
}
