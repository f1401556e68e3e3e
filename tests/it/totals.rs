//! Meters that keep one total per hour or day: stepped by hand over a real ledger and the sandbox.
//! What counts is what was received last, so that each test compares the provider's own sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use tallyd::accrual::accruer::Whole;
use tallyd::accrual::route::{Aggregate, Route, WindowRule};
use tallyd::accrual::widen::Widening;
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::billing::{BilledItem, InvoiceStatus, Subscription, SubscriptionStatus};
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::cutover::{Cutover, Mode, Telling};
use tallyd::domain::names::{
    AccountName, CorrectionName, ProviderMeter, RecordId, SourceName, SubscriptionId,
};
use tallyd::domain::provider_facts::{Formula, MeterPin, Span};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::Position;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::holds::{Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::intake::CorrectionLedger as _;
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::stripe::{self, EventStatus, NewMeter, TimeWindow};
use tallyd::service::Service as _;

use crate::support::billing::invoice_of;
use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{NOON, Running, start_with};

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

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

fn declared(span: Span) -> MeterPin {
    MeterPin {
        meter: ProviderMeter::new("calls").unwrap(),
        id: None,
        formula: Formula::Sum,
        customer_key: "stripe_customer_id".to_owned(),
        value_key: "value".to_owned(),
        span: Some(span),
        active: true,
        learned: false,
    }
}

impl Stage {
    async fn hourly() -> Self {
        let span = TimeWindow::Hour;
        Self::open(span, route("calls"), vec![declared(Span::Hour)]).await
    }

    /// As [`Self::hourly`], where another program told usage of until `minute`.
    async fn taken_over(minute: i64) -> Self {
        let cutover = Cutover { all: Some(at(minute)), ..Cutover::default() };
        let telling = Telling { mode: Mode::Live, cutover };
        let declared = vec![declared(Span::Hour)];
        let setting = Setting { declared, telling, ..Setting::default() };
        Self::with(TimeWindow::Hour, route("calls"), setting).await
    }

    async fn open(span: TimeWindow, route: Route, declared: Vec<MeterPin>) -> Self {
        Self::with(span, route, Setting { declared, ..Setting::default() }).await
    }

    async fn with(span: TimeWindow, route: Route, setting: Setting) -> Self {
        let sandbox = start_with(|stripe| {
            let meter = NewMeter::new("calls", stripe::Formula::Sum).pre_aggregated(span);
            stripe.meters = vec![meter];
        })
        .await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let world = World::open(folder.path(), &sandbox, &clock, vec![route], setting).await;
        Self { world, sandbox, clock, _folder: folder }
    }

    async fn book(&self, id: &str, minute: i64, quantity: &str) {
        self.world.accept(vec![record(id, "cus_1", "calls", quantity, at(minute))]).await;
    }

    async fn correct(&self, record: &str, name: &str, change: Change) {
        let correction = Correction {
            source: SourceName::new("web").unwrap(),
            record: RecordId::new(record).unwrap(),
            name: CorrectionName::new(name).unwrap(),
            change,
            reason: "a test".to_owned(),
            who: "test".to_owned(),
        };
        self.world.ledger.correct(vec![correction], self.clock.now()).await.unwrap();
    }

    async fn subscribed(&self, start: i64, end: i64) {
        let subscription = Subscription {
            id: SubscriptionId::new("sub_1").unwrap(),
            account: AccountName::new("cus_1").unwrap(),
            status: SubscriptionStatus::Billing,
            started_at: at(-40 * DAY),
            ended_at: None,
            ends_at: None,
            idle_since: None,
            changed_at: None,
            items: vec![BilledItem {
                meter: ProviderMeter::new("calls").unwrap(),
                period: Window { start: at(start), end: at(end) },
            }],
            latest_invoice: None,
        };
        let now = self.clock.now();
        let learned = Learned { subscriptions: vec![subscription], ..Learned::nothing(now) };
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }

    /// The period that ends at half past two, whose draft takes usage until `closes`, and the next.
    async fn billed(&self, closes: i64) {
        self.subscribed(150, 30 * DAY).await;
        let ended = Window { start: at(-30 * DAY), end: at(150) };
        let invoice = invoice_of(ended, InvoiceStatus::Draft, at(closes));
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

    /// What all windows come to at the provider.
    fn total(&self) -> String {
        let books = self.sandbox.handle.books();
        books.first().map_or_else(String::new, |line| line.total.normalized().to_plain_string())
    }

    /// What counts of each hour, as hours after noon, where that is more than nothing.
    fn hours(&self) -> BTreeMap<i64, String> {
        let mut hours = BTreeMap::new();
        // In the order of receipt: the last one counts.
        for event in self.sandbox.handle.events() {
            let counts = matches!(event.status, EventStatus::Pending | EventStatus::Counted);
            if counts || event.status == EventStatus::Overwritten {
                hours.insert((event.timestamp - NOON).div_euclid(3_600), event.value);
            }
        }
        hours.retain(|_, value| value != "0");
        hours
    }

    async fn states(&self) -> BTreeMap<String, i64> {
        let status = self.world.ledger.status().await.unwrap();
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }

    async fn held(&self) -> Vec<String> {
        let held = self.world.ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }
}

fn hours(told: &[(i64, &str)]) -> BTreeMap<i64, String> {
    told.iter().map(|(hour, value)| (*hour, (*value).to_owned())).collect()
}

fn states(told: &[(&str, i64)]) -> BTreeMap<String, i64> {
    told.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect()
}

#[tokio::test]
async fn each_window_is_told_what_it_comes_to_and_the_newest_total_overwrites_the_one_before() {
    let stage = Stage::hourly().await;
    stage.book("r1", 10, "5").await;
    stage.book("r2", 50, "2.5").await;
    stage.book("r3", 70, "1").await;
    stage.until(121).await;
    assert_eq!(stage.hours(), hours(&[(0, "7.5"), (1, "1")]));
    // Usage that comes late is in the next total, with what was told before.
    stage.book("r4", 20, "4").await;
    stage.until(122).await;
    assert_eq!(stage.hours(), hours(&[(0, "11.5"), (1, "1")]));
    let to = Change::Adjust { quantity: Quantity::from(1), replaces: Quantity::from(5) };
    stage.correct("r1", "less", to).await;
    stage.correct("r3", "none", Change::Cancel).await;
    // Days later as well: nothing has to be cancelled in time.
    stage.until(3 * DAY).await;
    assert_eq!(stage.hours(), hours(&[(0, "7.5")]));
    assert_eq!(stage.total(), "7.5");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_total_whose_answer_was_lost_is_certain_before_the_next_one_goes() {
    let stage = Stage::hourly().await;
    let faults = [
        (FaultKind::AnswerLost, 4_000),
        (FaultKind::ErrorAfter, 1_500),
        (FaultKind::RateLimited, 1_000),
    ];
    let basis_points = faults.into_iter().collect();
    let faults = Faults { seed: 7, basis_points, ..Faults::default() };
    stage.sandbox.handle.set_faults(faults).unwrap();
    for round in 0..12 {
        stage.book(&format!("a{round}"), round, "1").await;
        stage.book(&format!("b{round}"), 60 + round, "2").await;
        stage.until(121 + 10 * round).await;
    }
    stage.until(600).await;
    assert_eq!(stage.hours(), hours(&[(0, "12"), (1, "24")]));
    assert_eq!(stage.total(), "36");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_waits_for_a_total_that_may_still_land_contradicts_nothing() {
    let stage = Stage::hourly().await;
    let lost = Faults {
        basis_points: [(FaultKind::AnswerLost, 10_000)].into_iter().collect(),
        ..Faults::default()
    };
    stage.sandbox.handle.set_faults(lost).unwrap();
    stage.book("r1", 10, "5").await;
    stage.until(61).await;
    stage.book("r2", 20, "2").await;
    // The ledger verifies itself meanwhile.
    stage.until(62).await;
    assert_eq!(stage.hours(), hours(&[(0, "5")]));
    stage.sandbox.handle.set_faults(Faults::default()).unwrap();
    stage.until(600).await;
    assert_eq!(stage.hours(), hours(&[(0, "7")]));
}

#[tokio::test]
async fn a_total_that_is_written_off_takes_what_came_since_the_one_before_it() {
    let stage = Stage::hourly().await;
    stage.book("r1", 10, "5").await;
    stage.until(61).await;
    assert_eq!(stage.hours(), hours(&[(0, "5")]));
    let meter = format!("/v1/billing/meters/{}", stage.sandbox.meter_id("calls"));
    let (off, on) = (format!("{meter}/deactivate"), format!("{meter}/reactivate"));
    assert_eq!(stage.sandbox.post(&off, &Vec::new()).await.status, 200);
    stage.book("r2", 20, "7").await;
    stage.until(65).await;
    assert_eq!(stage.held().await, ["no_meter"]);
    assert_eq!(stage.sandbox.post(&on, &Vec::new()).await.status, 200);
    let ledger = &stage.world.ledger;
    let item = ItemName::parse("event:2").unwrap();
    let expect = ledger.item(item).await.unwrap().unwrap().token().clone();
    let (why, who) = ("billed outside".to_owned(), "cli:ada".to_owned());
    let verdict = Verdict::WriteOff;
    let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
    let decided = ledger.resolve(&resolution, stage.clock.now()).await.unwrap();
    let Decision::Done(resolved) = decided else { panic!("{decided:?}") };
    assert_eq!(resolved.records, 1);
    // It was that of r2: what was told of r1 before can still be taken back.
    stage.correct("r1", "none", Change::Cancel).await;
    stage.until(120).await;
    assert_eq!((stage.hours(), stage.held().await), (hours(&[]), Vec::new()));
}

#[tokio::test]
async fn usage_beside_a_bound_is_told_in_the_whole_window_next_to_it_of_its_own_period() {
    let stage = Stage::hourly().await;
    stage.subscribed(-30 * DAY, 150).await;
    for (id, minute) in [("r1", 110), ("r2", 125), ("r3", 149), ("r4", 150), ("r5", 170)] {
        stage.book(id, minute, "1").await;
    }
    stage.book("r6", 185, "1").await;
    stage.until(151).await;
    stage.billed(400).await;
    stage.until(250).await;
    assert_eq!(stage.hours(), hours(&[(1, "3"), (3, "3")]));
    // A correction finds its record there.
    stage.correct("r3", "none", Change::Cancel).await;
    stage.correct("r4", "none", Change::Cancel).await;
    stage.until(260).await;
    assert_eq!(stage.hours(), hours(&[(1, "2"), (3, "2")]));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn windows_are_kept_whole_by_what_is_booked_after_a_reload_that_has_it_so() {
    let stage = Stage::hourly().await;
    let (accruer, now) = (&stage.world.accruer, stage.clock.now());
    let readopt = |whole| accruer.readopt(vec![route("calls")], Widening::new(), whole, now);
    stage.subscribed(-30 * DAY, 150).await;
    let adopted = readopt(Whole::new()).await.unwrap();
    assert_eq!(adopted.from, Position(1));
    drop(adopted);
    stage.book("r1", 145, "1").await;
    accruer.run_once(now).await.unwrap();

    let calls = (provider_name(), ProviderMeter::new("calls").unwrap());
    let adopted = readopt(Whole::from([calls])).await.unwrap();
    assert_eq!(adopted.from, Position(2));
    stage.book("r2", 146, "1").await;
    // Nothing is booked before whoever reloads says that all is in its place.
    let mut step = accruer.run_once(now);
    assert!(futures_util::poll!(step.as_mut()).is_pending());
    drop(adopted);
    step.await.unwrap();
    stage.until(151).await;
    stage.billed(400).await;
    stage.until(250).await;
    assert_eq!(stage.hours(), hours(&[(1, "1"), (2, "1")]));
}

#[tokio::test]
async fn a_bound_that_is_learned_late_empties_the_window_that_two_periods_share() {
    let stage = Stage::hourly().await;
    for (id, minute) in [("r1", 110), ("r2", 125), ("r4", 155), ("r6", 185)] {
        stage.book(id, minute, "1").await;
    }
    stage.until(241).await;
    assert_eq!(stage.hours(), hours(&[(1, "1"), (2, "2"), (3, "1")]));
    stage.subscribed(-30 * DAY, 150).await;
    stage.billed(400).await;
    stage.until(245).await;
    assert_eq!(stage.hours(), hours(&[(1, "2"), (3, "2")]));
    assert_eq!(stage.total(), "4");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_period_without_a_whole_window_is_held_and_named() {
    let stage = Stage::hourly().await;
    stage.subscribed(130, 150).await;
    stage.book("r1", 140, "1").await;
    stage.until(250).await;
    assert_eq!(stage.held().await, ["meter_mismatch"]);
    assert_eq!(stage.hours(), hours(&[]));
}

#[tokio::test]
async fn a_record_of_nothing_that_could_go_elsewhere_does_not_keep_posting_busy() {
    let stage = Stage::hourly().await;
    stage.book("r1", 140, "1").await;
    stage.book("r2", 170, "0").await;
    stage.until(141).await;
    // The first one has no whole window of its period; the second one has, and is not moved.
    stage.subscribed(130, 150).await;
    stage.until(250).await;
    assert_eq!(stage.held().await, ["meter_mismatch"]);
    assert_eq!(stage.hours(), hours(&[]));
}

#[tokio::test]
async fn a_total_is_settled_once_no_older_one_can_land_and_told_anew_where_it_is_gone() {
    let stage = Stage::hourly().await;
    stage.book("r1", 10, "5").await;
    stage.until(61).await;
    stage.book("r2", 20, "2").await;
    stage.until(62).await;
    assert_eq!(stage.states().await, states(&[("accepted", 2)]));
    // A sum would be settled by now.
    stage.look(10 * HOUR).await;
    stage.look(10 * HOUR + 11).await;
    assert_eq!(stage.states().await, states(&[("accepted", 2)]));
    stage.look(26 * HOUR).await;
    stage.look(26 * HOUR + 11).await;
    assert_eq!(stage.states().await, states(&[("settled", 2)]));
    assert_eq!(stage.hours(), hours(&[(0, "7")]));
}

#[tokio::test]
async fn a_peak_of_each_day_is_told_as_that_days_total_and_the_days_add_up() {
    let peak = Route { window: WindowRule::Day, aggregate: Aggregate::Max, ..route("calls") };
    let stage = Stage::open(TimeWindow::Day, peak, vec![declared(Span::Day)]).await;
    // Noon is the middle of a day.
    for (id, minute, level) in [("r1", 10, "5"), ("r2", 300, "9"), ("r3", 500, "4")] {
        stage.book(id, minute, level).await;
    }
    stage.book("r4", DAY, "3").await;
    stage.until(2 * DAY).await;
    assert_eq!(stage.total(), "12");
    stage.correct("r2", "none", Change::Cancel).await;
    stage.until(3 * DAY).await;
    assert_eq!(stage.total(), "8");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_meter_that_keeps_totals_and_was_not_declared_so_is_told_nothing() {
    let stage = Stage::open(TimeWindow::Hour, route("calls"), Vec::new()).await;
    stage.book("r1", 10, "5").await;
    stage.until(61).await;
    assert_eq!(stage.held().await, ["meter_mismatch"]);
    assert_eq!(stage.hours(), hours(&[]));
}

#[tokio::test]
async fn the_total_of_the_window_in_which_tallyd_takes_over_is_left_to_the_program_before() {
    let stage = Stage::taken_over(90).await;
    for (id, minute) in [("r1", 50), ("r2", 70), ("r3", 89), ("r4", 90), ("r5", 119)] {
        stage.book(id, minute, "1").await;
    }
    stage.book("r6", 125, "1").await;
    stage.until(250).await;
    // The hour that both share holds what the other program told of it, and nothing overwrites it.
    assert_eq!(stage.hours(), hours(&[(2, "3")]));
    assert!(stage.sandbox.handle.events().iter().all(|event| event.timestamp >= NOON + 7_200));
    stage.book("r7", 80, "1").await;
    stage.correct("r3", "none", Change::Cancel).await;
    stage.until(300).await;
    assert_eq!(stage.hours(), hours(&[(2, "3")]));
    assert_eq!(stage.held().await, Vec::<String>::new());
}
