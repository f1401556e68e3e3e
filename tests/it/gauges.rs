//! Meters that bill the last value of a period: stepped by hand over a real ledger and the sandbox,
//! whose own meter says what the newest event by time is. What is told is compared with that.

use std::collections::BTreeMap;
use std::sync::Arc;

use tallyd::accrual::route::{Aggregate, Route, WindowRule};
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::billing::{BilledItem, InvoiceStatus, Subscription, SubscriptionStatus};
use tallyd::domain::correction::{Change, Correction, CorrectionPolicy};
use tallyd::domain::cutover::{Cutover, Mode, Telling};
use tallyd::domain::names::{
    AccountName, CorrectionName, ProviderMeter, RecordId, SourceName, SubscriptionId,
};
use tallyd::domain::policies::Policies;
use tallyd::domain::provider_facts::{Formula, MeterPin};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::holds::{Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::intake::CorrectionLedger as _;
use tallyd::ledger::operator::{HeldItem, OperatorLedger as _};
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::stripe::{self, EventStatus, NewMeter};
use tallyd::service::Service as _;

use crate::support::billing::invoice_of;
use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{NOON, Running, event_of, start_with};

mod narrowed;

const DAY: i64 = 24 * 60;

/// A world, the sandbox it tells, and the folder of its ledger.
struct Stage {
    world: World,
    sandbox: Running,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

/// Minutes after noon.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_seconds(NOON + minute * 60)
}

fn gauge() -> Route {
    let (aggregate, window) = (Aggregate::Last, WindowRule::Period);
    Route { aggregate, window, settle_micros: 1_000_000, ..route("calls") }
}

fn declared(formula: Formula) -> MeterPin {
    MeterPin {
        meter: ProviderMeter::new("calls").unwrap(),
        id: None,
        formula,
        customer_key: "stripe_customer_id".to_owned(),
        value_key: "value".to_owned(),
        span: None,
        active: true,
        learned: false,
    }
}

impl Stage {
    async fn open() -> Self {
        let setting = Setting { declared: vec![declared(Formula::Last)], ..Setting::default() };
        Self::with(gauge(), setting).await
    }

    async fn with(route: Route, setting: Setting) -> Self {
        let sandbox = start_with(|stripe| {
            stripe.meters = vec![NewMeter::new("calls", stripe::Formula::Last)];
        })
        .await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let world = World::open(folder.path(), &sandbox, &clock, vec![route], setting).await;
        Self { world, sandbox, clock, _folder: folder }
    }

    async fn read(&self, id: &str, minute: i64, level: &str) {
        self.world.accept(vec![record(id, "cus_1", "calls", level, at(minute))]).await;
    }

    async fn correct(&self, record: &str, change: Change) {
        let correction = Correction {
            source: SourceName::new("web").unwrap(),
            record: RecordId::new(record).unwrap(),
            name: CorrectionName::new(record).unwrap(),
            change,
            reason: "a test".to_owned(),
            who: "test".to_owned(),
        };
        self.world.ledger.correct(vec![correction], self.clock.now()).await.unwrap();
    }

    async fn cancel(&self, record: &str) {
        self.correct(record, Change::Cancel).await;
    }

    async fn subscribed(&self, start: i64, end: i64) {
        self.periods(Window { start: at(start), end: at(end) }).await;
    }

    /// The subscription is in this period.
    async fn periods(&self, period: Window) {
        let subscription = Subscription {
            id: SubscriptionId::new("sub_1").unwrap(),
            account: AccountName::new("cus_1").unwrap(),
            status: SubscriptionStatus::Billing,
            started_at: at(-40 * DAY),
            ended_at: None,
            ends_at: None,
            idle_since: None,
            changed_at: None,
            items: vec![BilledItem { meter: ProviderMeter::new("calls").unwrap(), period }],
            latest_invoice: None,
        };
        let now = self.clock.now();
        let learned = Learned { subscriptions: vec![subscription], ..Learned::nothing(now) };
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }

    /// The period that ends at half past two, whose draft takes usage until `closes`, and the next.
    async fn billed(&self, closes: i64) {
        self.invoiced(InvoiceStatus::Draft, closes).await;
    }

    /// That period, whose invoice became final at `closed`, and the next.
    async fn closed(&self, closed: i64) {
        self.invoiced(InvoiceStatus::Final, closed).await;
    }

    async fn invoiced(&self, status: InvoiceStatus, closes: i64) {
        self.subscribed(150, 30 * DAY).await;
        let ended = Window { start: at(-30 * DAY), end: at(150) };
        let invoice = invoice_of(ended, status, at(closes));
        let now = self.clock.now();
        let learned = Learned { invoices: vec![invoice], ..Learned::nothing(now) };
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }

    /// Moves to `minute` and works until nothing is left to do.
    async fn until(&self, minute: i64) {
        self.clock.set(self.clock.now().max(at(minute)));
        self.world.run_until(self.clock.now().plus_seconds(20)).await;
        self.world.verify().await;
    }

    async fn look(&self, minute: i64) {
        self.clock.set(self.clock.now().max(at(minute)));
        self.world.settler.run_once(self.clock.now()).await.unwrap();
        self.world.verify().await;
    }

    /// What the provider was told, as seconds after noon and the level, oldest first by that time.
    fn told(&self) -> Vec<(i64, String)> {
        let counts = |status| matches!(status, EventStatus::Pending | EventStatus::Counted);
        let mut told: Vec<(i64, String)> = self
            .sandbox
            .handle
            .events()
            .into_iter()
            .filter(|event| counts(event.status))
            .map(|event| (event.timestamp - NOON, event.value))
            .collect();
        told.sort();
        told
    }

    /// What the provider bills of a period that all of it is in.
    fn bills(&self) -> String {
        let books = self.sandbox.handle.books();
        books.first().map_or_else(String::new, |line| line.total.normalized().to_plain_string())
    }

    async fn states(&self) -> BTreeMap<String, i64> {
        let status = self.world.ledger.status().await.unwrap();
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }

    async fn held(&self) -> Vec<String> {
        let held = self.world.ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }

    /// A person says this of the one thing that is held.
    async fn say(&self, verdict: Verdict) {
        let held = self.world.ledger.held(2).await.unwrap();
        let [item] = held.as_slice() else { panic!("one thing is held: {held:?}") };
        self.say_of(item, verdict).await;
    }

    async fn say_of(&self, item: &HeldItem, verdict: Verdict) {
        let (item, expect) = (ItemName::parse(&item.name).unwrap(), item.token.clone());
        let (why, who) = ("as the provider's page shows".to_owned(), "cli:ada".to_owned());
        let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
        let decision = self.world.ledger.resolve(&resolution, self.clock.now()).await.unwrap();
        assert!(matches!(decision, Decision::Done(_)), "{decision:?}");
    }
}

fn told(all: &[(i64, &str)]) -> Vec<(i64, String)> {
    all.iter().map(|(second, level)| (*second, (*level).to_owned())).collect()
}

fn states(told: &[(&str, i64)]) -> BTreeMap<String, i64> {
    told.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect()
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn a_reading_is_told_soon_after_it_came_for_its_own_time_and_an_older_one_is_not() {
    let stage = Stage::open().await;
    stage.read("r1", 1, "5").await;
    stage.read("r2", 3, "7.5").await;
    stage.read("r3", 2, "9").await;
    stage.until(4).await;
    assert_eq!(stage.told(), told(&[(180, "7.5")]));
    stage.read("late", 2, "6").await;
    stage.until(6).await;
    assert_eq!(stage.told(), told(&[(180, "7.5")]));
    stage.read("r4", 8, "7.5").await;
    stage.read("r5", 9, "0").await;
    stage.until(10).await;
    assert_eq!(stage.told(), told(&[(180, "7.5"), (540, "0")]));
    assert_eq!((stage.bills().as_str(), stage.held().await.len()), ("0", 0));
}

#[tokio::test]
async fn last_meter_the_newest_record_is_cancelled_late_and_the_one_before_it_is_told_after_it() {
    let stage = Stage::open().await;
    stage.read("r1", 1, "5").await;
    stage.until(2).await;
    stage.read("r2", 3, "7").await;
    stage.until(4).await;
    stage.cancel("r2").await;
    // Days later as well: nothing has to be cancelled in time.
    stage.until(3 * DAY).await;
    assert_eq!(stage.told(), told(&[(60, "5"), (180, "7"), (181, "5")]));
    assert_eq!(stage.bills(), "5");
    // Without any reading nothing is billed.
    stage.cancel("r1").await;
    stage.until(3 * DAY + 1).await;
    assert_eq!((stage.told().pop(), stage.bills()), (Some((182, "0".to_owned())), "0".to_owned()));
    // A reading that is adjusted is another value, and one that is older than another changes
    // nothing.
    stage.read("r3", 3 * DAY, "9").await;
    stage.read("r4", 3 * DAY + 1, "8").await;
    stage.until(3 * DAY + 2).await;
    let to = |quantity: i64, replaces: i64| Change::Adjust {
        quantity: Quantity::from(quantity),
        replaces: Quantity::from(replaces),
    };
    stage.correct("r3", to(1, 9)).await;
    stage.until(3 * DAY + 3).await;
    assert_eq!((stage.told().len(), stage.bills()), (5, "8".to_owned()));
    stage.correct("r4", to(3, 8)).await;
    stage.until(3 * DAY + 4).await;
    assert_eq!((stage.told().len(), stage.bills()), (6, "3".to_owned()));
    assert_eq!(stage.held().await, NONE);
}

#[tokio::test]
async fn adjust_or_late_older_record_changes_nothing_where_a_newer_reading_stands() {
    let stage = Stage::open().await;
    stage.read("r1", 1, "5").await;
    stage.read("r2", 3, "7").await;
    stage.until(4).await;
    stage.cancel("r1").await;
    stage.read("r0", 2, "6").await;
    stage.until(5).await;
    assert_eq!(stage.told(), told(&[(180, "7")]));
    // What came late stands once the newer one does not.
    stage.cancel("r2").await;
    stage.until(6).await;
    assert_eq!(stage.told(), told(&[(180, "7"), (181, "6")]));
}

#[tokio::test]
async fn a_reading_of_the_second_that_was_told_is_told_for_the_next_one() {
    let stage = Stage::open().await;
    stage.read("r1", 1, "5").await;
    stage.until(2).await;
    stage.read("r2", 1, "6").await;
    stage.until(3).await;
    assert_eq!(stage.told(), told(&[(60, "5"), (61, "6")]));
    assert_eq!(stage.bills(), "6");
}

#[tokio::test]
async fn a_reading_whose_answer_was_lost_is_certain_before_the_next_one_goes() {
    let stage = Stage::open().await;
    let faults = [
        (FaultKind::AnswerLost, 4_000),
        (FaultKind::ErrorAfter, 1_500),
        (FaultKind::RateLimited, 1_000),
    ];
    let basis_points = faults.into_iter().collect();
    let faults = Faults { seed: 7, basis_points, ..Faults::default() };
    stage.sandbox.handle.set_faults(faults).unwrap();
    for round in 0..20 {
        stage.read(&format!("r{round}"), 10 * round, &format!("{}", 40 - round)).await;
        stage.until(10 * round + 1).await;
        if round % 5 == 4 {
            stage.cancel(&format!("r{round}")).await;
        }
    }
    stage.until(600).await;
    assert_eq!(stage.bills(), "22");
    let times: Vec<i64> = stage.told().into_iter().map(|(second, _)| second).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(stage.held().await, NONE);
}

#[tokio::test]
async fn each_period_has_its_own_gauge_and_late_readings_go_to_theirs() {
    let stage = Stage::open().await;
    stage.until(10).await;
    stage.subscribed(-30 * DAY, 150).await;
    stage.read("r1", 140, "5").await;
    stage.until(141).await;
    stage.until(151).await;
    stage.billed(220).await;
    stage.read("r2", 155, "9").await;
    stage.until(156).await;
    // One that comes late is the newest of its own period.
    stage.read("r3", 149, "6").await;
    stage.until(157).await;
    assert_eq!(stage.told(), told(&[(8_400, "5"), (8_940, "6"), (9_300, "9")]));
    // A period without a reading is none: the one before it is not carried into it.
    stage.cancel("r2").await;
    stage.until(158).await;
    assert_eq!(stage.told().pop(), Some((9_301, "0".to_owned())));
    assert_eq!(stage.held().await, NONE);
}

#[tokio::test]
async fn a_value_restored_long_after_is_told_for_a_second_that_the_provider_still_takes() {
    let stage = Stage::open().await;
    stage.subscribed(-DAY, 60 * DAY).await;
    stage.read("r1", 1, "5").await;
    stage.until(2).await;
    stage.read("r2", 3, "7").await;
    stage.until(4).await;
    stage.until(40 * DAY).await;
    stage.cancel("r2").await;
    stage.until(40 * DAY + 1).await;
    assert_eq!((stage.bills().as_str(), stage.held().await.len()), ("5", 0));
    let (restored, _) = stage.told().pop().unwrap();
    assert!((5 * DAY * 60..7 * DAY * 60).contains(&restored), "{restored}");
    // What comes after it is told after it.
    stage.read("r3", 6 * DAY, "8").await;
    stage.until(40 * DAY + 2).await;
    assert_eq!((stage.bills().as_str(), stage.held().await.len()), ("8", 0));
}

#[tokio::test]
async fn a_value_that_has_no_second_left_in_its_period_is_held_and_named() {
    let stage = Stage::open().await;
    stage.until(10).await;
    stage.subscribed(-30 * DAY, 150).await;
    let last = record("r1", "cus_1", "calls", "5", at(150).plus_seconds(-1));
    stage.read("r0", 140, "3").await;
    stage.until(150).await;
    stage.world.accept(vec![last]).await;
    stage.until(151).await;
    stage.billed(300).await;
    stage.cancel("r1").await;
    stage.until(152).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    assert_eq!(stage.told(), told(&[(8_400, "3"), (8_999, "5")]));
}

#[tokio::test]
async fn a_reading_is_settled_by_the_newest_value_of_its_span_and_held_where_it_is_gone() {
    let stage = Stage::open().await;
    stage.read("r1", 1, "5").await;
    stage.until(2).await;
    stage.read("r2", 3, "4").await;
    stage.until(4).await;
    stage.look(9 * 60).await;
    stage.look(9 * 60 + 11).await;
    assert_eq!(stage.states().await, states(&[("settled", 2)]));
    let lost = Faults {
        basis_points: [(FaultKind::RejectedLater, 10_000)].into_iter().collect(),
        ..Faults::default()
    };
    stage.sandbox.handle.set_faults(lost).unwrap();
    stage.read("r3", 17 * 60, "8").await;
    stage.until(17 * 60 + 1).await;
    stage.sandbox.handle.set_faults(Faults::default()).unwrap();
    assert_eq!(stage.bills(), "4");
    stage.look(3 * DAY).await;
    stage.look(3 * DAY + 11).await;
    assert_eq!(stage.states().await, states(&[("settled", 2), ("held", 1)]));
    assert_eq!(stage.held().await, ["disproved"]);
}

#[tokio::test]
async fn a_lower_reading_is_told_and_only_what_restores_one_is_left_to_a_person() {
    let policies = Policies { corrections: CorrectionPolicy::Hold, ..gauge().policies };
    let setting = Setting { declared: vec![declared(Formula::Last)], ..Setting::default() };
    let stage = Stage::with(Route { policies, ..gauge() }, setting).await;
    stage.read("r1", 1, "5").await;
    stage.until(2).await;
    stage.read("r2", 3, "9").await;
    stage.until(4).await;
    stage.read("r3", 5, "2").await;
    stage.until(6).await;
    assert_eq!(stage.told(), told(&[(60, "5"), (180, "9"), (300, "2")]));
}

#[tokio::test]
async fn a_meter_that_bills_the_last_value_and_was_not_declared_so_is_told_nothing() {
    let setting = Setting { declared: vec![declared(Formula::Sum)], ..Setting::default() };
    let stage = Stage::with(route("calls"), setting).await;
    stage.read("r1", 1, "5").await;
    stage.until(61).await;
    assert_eq!((stage.told(), stage.held().await), (told(&[]), vec!["meter_mismatch".to_owned()]));
}

#[tokio::test]
async fn readings_of_before_tallyd_takes_over_are_left_to_the_program_before() {
    let cutover = Cutover { all: Some(at(10)), ..Cutover::default() };
    let telling = Telling { mode: Mode::Live, cutover };
    let declared = vec![declared(Formula::Last)];
    let stage = Stage::with(gauge(), Setting { declared, telling, ..Setting::default() }).await;
    stage.read("r1", 5, "5").await;
    stage.until(6).await;
    stage.read("r2", 12, "7").await;
    stage.until(13).await;
    assert_eq!(stage.told(), told(&[(720, "7")]));
    stage.cancel("r2").await;
    stage.until(14).await;
    // Nothing (0) would be billed instead of what the program before said last.
    assert_eq!(stage.told(), told(&[(720, "7")]));
    assert_eq!(stage.held().await, vec!["cannot_lower".to_owned()]);
}

#[tokio::test]
async fn a_total_that_nothing_explains_keeps_no_later_reading_of_its_period_from_being_proven() {
    let stage = Stage::open().await;
    stage.until(10).await;
    stage.subscribed(-30 * DAY, 3 * DAY + 150).await;
    stage.read("r1", 100, "5").await;
    stage.until(101).await;
    // Another program writes to the meter, though it should not.
    let told_at = at(110).seconds();
    let stranger = event_of("calls", "cus_1", "stranger", "99", told_at);
    stage.clock.set(at(111));
    assert_eq!(stage.sandbox.accept(&stranger).await.status, 200);
    for minute in [0, 11, 7 * 60] {
        stage.look(40 * 60 + minute).await;
    }
    assert_eq!(stage.states().await, states(&[("accepted", 1)]));
    // The period ends within a day: its total by the day is none that can be asked for.
    stage.read("r2", 3 * DAY + 100, "7").await;
    stage.until(3 * DAY + 101).await;
    for minute in [0, 11, 7 * 60, 7 * 60 + 11] {
        stage.look(5 * DAY + minute).await;
    }
    assert_eq!(stage.states().await, states(&[("settled", 2)]));
}
