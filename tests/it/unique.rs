//! Distinct values: stepped by hand over a real ledger and the sandbox, which adds up what it is
//! told. Here: what windows come to and what is told of that, through corrections, write-offs,
//! bounds of periods and lost answers. Never here: the arithmetic by itself (`domain::unique`).
//! Read next: [`random`].

mod random;

use std::ops::ControlFlow;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{Aggregate, Route, WindowRule};
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::billing::{BilledItem, InvoiceStatus, Subscription, SubscriptionStatus};
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{
    AccountName, CorrectionName, ProviderMeter, RecordId, SourceName, SubscriptionId,
};
use tallyd::domain::provider_facts::{Formula, MeterPin, Span};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Property, UsageRecord};
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::holds::{Decision, HoldsLedger as _, Resolution, Resolved};
use tallyd::ledger::intake::{CorrectionAdmission, CorrectionLedger as _};
use tallyd::ledger::operator::{BookFilter, OperatorLedger as _};
use tallyd::sandbox::stripe::{self, NewMeter, TimeWindow};
use tallyd::service::Service as _;
use tallyd::store::ARCHIVE_AGE_DAYS;
use tallyd::store::sqlite::archive::{Archiving, Wanted};

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
    folder: tempfile::TempDir,
}

/// Minutes after noon.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_seconds(NOON + minute * 60)
}

/// Users of each hour, or whatever `window` is.
fn users(window: WindowRule) -> Route {
    Route { window, aggregate: Aggregate::Unique("user".to_owned()), ..route("calls") }
}

/// A record of `user` at `minute`, in which nothing was used where `quantity` is nothing.
fn used(id: &str, user: &str, minute: i64, quantity: &str) -> UsageRecord {
    let mut record = record(id, "cus_1", "calls", quantity, at(minute));
    record.properties.insert("user".to_owned(), Property::Text(user.to_owned()));
    record
}

fn adjust(replaces: i64, to: i64) -> Change {
    Change::Adjust { quantity: to.into(), replaces: replaces.into() }
}

impl Stage {
    async fn open(meter: NewMeter, route: Route, declared: Vec<MeterPin>) -> Self {
        let sandbox = start_with(|stripe| stripe.meters = vec![meter]).await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting { declared, ..Setting::default() };
        let world = World::open(folder.path(), &sandbox, &clock, vec![route], setting).await;
        Self { world, sandbox, clock, folder }
    }

    async fn hourly() -> Self {
        let meter = NewMeter::new("calls", stripe::Formula::Sum);
        Self::open(meter, users(WindowRule::Hour), Vec::new()).await
    }

    /// One whose meter keeps of each hour the total that it was told last.
    async fn of_totals() -> Self {
        let meter = NewMeter::new("calls", stripe::Formula::Sum).pre_aggregated(TimeWindow::Hour);
        let declared = MeterPin {
            meter: ProviderMeter::new("calls").unwrap(),
            id: None,
            formula: Formula::Sum,
            customer_key: "stripe_customer_id".to_owned(),
            value_key: "value".to_owned(),
            span: Some(Span::Hour),
            active: true,
            learned: false,
        };
        Self::open(meter, users(WindowRule::Hour), vec![declared]).await
    }

    async fn book(&self, id: &str, user: &str, minute: i64) {
        self.world.accept(vec![used(id, user, minute, "3")]).await;
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
        let now = self.clock.now();
        let said = self.world.ledger.correct(vec![correction], now).await.unwrap();
        assert!(matches!(said[0], CorrectionAdmission::Accepted { .. }), "{said:?}");
    }

    async fn cancel(&self, record: &str) {
        self.correct(record, "none", Change::Cancel).await;
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

    /// What the provider holds.
    fn total(&self) -> String {
        let books = self.sandbox.handle.books();
        let zero = || "0".to_owned();
        books.first().map_or_else(zero, |line| line.total.normalized().to_plain_string())
    }

    async fn accrued(&self) -> String {
        let books = self.world.ledger.books(&BookFilter::default()).await.unwrap();
        books.iter().map(|line| &line.accrued).sum::<Quantity>().to_string()
    }

    async fn held(&self) -> Vec<String> {
        let held = self.world.ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }

    async fn resolve(&self, item: &str, verdict: Verdict) -> Resolved {
        let ledger = &self.world.ledger;
        let item = ItemName::parse(item).unwrap();
        let expect = ledger.item(item).await.unwrap().unwrap().token().clone();
        let (why, who) = ("a test".to_owned(), "cli:ada".to_owned());
        let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
        let decided = ledger.resolve(&resolution, self.clock.now()).await.unwrap();
        let Decision::Done(resolved) = decided else { panic!("{decided:?}") };
        *resolved
    }

    /// Has the meter take nothing, or take events again.
    async fn meter(&self, verb: &str) {
        let path = format!("/v1/billing/meters/{}/{verb}", self.sandbox.meter_id("calls"));
        assert_eq!(self.sandbox.post(&path, &Vec::new()).await.status, 200);
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

    /// The period that ends at `end`, whose draft takes usage until `closes`, and the next one.
    async fn billed(&self, end: i64, closes: i64) {
        self.subscribed(-30 * DAY, end).await;
        self.subscribed(end, 30 * DAY).await;
        let ended = Window { start: at(-30 * DAY), end: at(end) };
        let invoice = invoice_of(ended, InvoiceStatus::Draft, at(closes));
        let now = self.clock.now();
        let learned = Learned { invoices: vec![invoice], ..Learned::nothing(now) };
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }
}

#[tokio::test]
async fn each_window_tells_how_many_values_it_has_and_windows_are_added_up() {
    let stage = Stage::hourly().await;
    for (id, user, minute) in
        [("r1", "ada", 10), ("r2", "bob", 20), ("r3", "ada", 50), ("r4", "ada", 70)]
    {
        stage.book(id, user, minute).await;
    }
    // Nothing was used in it.
    stage.world.accept(vec![used("r5", "eve", 30, "0")]).await;
    stage.until(121).await;
    assert_eq!(stage.total(), "3");
    // Whoever comes late is told beside the others, and whoever is known is not.
    stage.book("r6", "bob", 40).await;
    stage.book("r7", "cyd", 40).await;
    stage.until(122).await;
    assert_eq!((stage.total(), stage.accrued().await), ("4".to_owned(), "4".to_owned()));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_value_goes_only_with_the_last_of_its_records() {
    for stage in [Stage::hourly().await, Stage::of_totals().await] {
        for (id, user, minute) in [("r1", "ada", 10), ("r2", "ada", 20), ("r3", "bob", 30)] {
            stage.book(id, user, minute).await;
        }
        stage.until(61).await;
        assert_eq!(stage.total(), "2");
        stage.cancel("r1").await;
        stage.until(62).await;
        assert_eq!(stage.total(), "2");
        stage.correct("r2", "more", adjust(3, 9)).await;
        stage.until(63).await;
        assert_eq!(stage.total(), "2");
        // What is proven to be there can be taken back.
        for minute in [26 * HOUR, 26 * HOUR + 11, 52 * HOUR, 52 * HOUR + 11] {
            stage.look(minute).await;
        }
        stage.correct("r2", "nothing", adjust(9, 0)).await;
        stage.until(52 * HOUR + 20).await;
        assert_eq!(stage.total(), "1");
        stage.correct("r2", "something", adjust(0, 1)).await;
        stage.until(52 * HOUR + 30).await;
        assert_eq!((stage.total(), stage.held().await), ("2".to_owned(), Vec::new()));
    }
}

#[tokio::test]
async fn a_record_without_its_value_waits_until_a_route_counts_by_what_it_has() {
    let stage = Stage::hourly().await;
    stage.book("r1", "ada", 10).await;
    let mut other = record("r2", "cus_1", "calls", "1", at(20));
    other.properties.insert("device".to_owned(), Property::Number("7".to_owned()));
    stage.world.accept(vec![other]).await;
    stage.until(61).await;
    assert_eq!(stage.total(), "1");
    let parked = stage.world.ledger.parked().await.unwrap();
    let said: Vec<(&str, i64)> =
        parked.iter().map(|each| (each.reason.as_str(), each.count)).collect();
    assert_eq!(said, [("no_member", 1)]);
    let aggregate = Aggregate::Unique("device".to_owned());
    let routes = vec![Route { aggregate, ..users(WindowRule::Hour) }];
    let prefixes = [(provider_name(), "cus_")].into();
    let (ledger, now) = (stage.world.ledger.clone(), stage.clock.now());
    let accruer = Accruer::adopt(ledger, routes, prefixes, now).await.unwrap();
    accruer.run_once(now).await.unwrap();
    stage.until(63).await;
    assert_eq!((stage.total(), stage.world.ledger.parked().await.unwrap().len()), ("2".into(), 0));
}

#[tokio::test]
async fn an_event_that_is_written_off_takes_its_own_values_and_no_other() {
    let stage = Stage::hourly().await;
    stage.book("r1", "ada", 10).await;
    stage.book("r2", "bob", 20).await;
    stage.until(61).await;
    stage.meter("deactivate").await;
    // Ada is known; cyd and dan are what the event says.
    for (id, user) in [("r3", "ada"), ("r4", "cyd"), ("r5", "cyd"), ("r6", "dan")] {
        stage.book(id, user, 30).await;
    }
    stage.until(62).await;
    assert_eq!(stage.held().await, ["no_meter"]);
    stage.meter("reactivate").await;
    // What is known by the time of the decision goes with it.
    stage.book("r7", "cyd", 40).await;
    while stage.world.accruer.run_once(stage.clock.now()).await.unwrap().did_something() {}
    let resolved = stage.resolve("event:2", Verdict::WriteOff).await;
    assert_eq!(resolved.records, 4);
    stage.until(63).await;
    assert_eq!((stage.total(), stage.accrued().await), ("2".to_owned(), "2".to_owned()));
    // Corrections consume the write-off first, and usage that is new is told.
    stage.cancel("r6").await;
    stage.cancel("r3").await;
    stage.until(64).await;
    assert_eq!((stage.total(), stage.accrued().await), ("2".to_owned(), "2".to_owned()));
    stage.book("r8", "cyd", 50).await;
    stage.until(65).await;
    assert_eq!((stage.total(), stage.held().await), ("3".to_owned(), Vec::new()));
}

#[tokio::test]
async fn a_total_that_is_written_off_takes_the_values_that_came_since_the_one_before() {
    let stage = Stage::of_totals().await;
    stage.book("r1", "ada", 10).await;
    stage.until(61).await;
    stage.meter("deactivate").await;
    stage.book("r2", "ada", 20).await;
    stage.book("r3", "bob", 20).await;
    stage.until(65).await;
    assert_eq!(stage.held().await, ["no_meter"]);
    stage.meter("reactivate").await;
    assert_eq!(stage.resolve("event:2", Verdict::WriteOff).await.records, 1);
    stage.until(70).await;
    assert_eq!((stage.total(), stage.held().await), ("1".to_owned(), Vec::new()));
    stage.cancel("r1").await;
    stage.cancel("r2").await;
    stage.until(120).await;
    assert_eq!((stage.total(), stage.held().await), ("0".to_owned(), Vec::new()));
}

#[tokio::test]
async fn what_the_provider_holds_for_good_is_not_told_again_when_its_value_comes_back() {
    let stage = Stage::hourly().await;
    stage.book("r1", "ada", 10).await;
    stage.book("r2", "bob", 20).await;
    stage.until(61).await;
    // Two days on nothing is cancelled any more, and nothing was proven to be there.
    stage.clock.set(at(2 * DAY));
    stage.cancel("r2").await;
    stage.until(2 * DAY + 1).await;
    assert_eq!(stage.held().await, ["below_zero"]);
    let held = stage.world.ledger.held(1).await.unwrap();
    stage.resolve(&held[0].name.to_string(), Verdict::Billed).await;
    stage.until(2 * DAY + 2).await;
    assert_eq!((stage.accrued().await, stage.held().await), ("2".to_owned(), Vec::new()));
    stage.book("r3", "bob", 30).await;
    stage.until(2 * DAY + 3).await;
    assert_eq!((stage.total(), stage.accrued().await), ("2".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn the_parts_of_a_window_that_two_periods_share_count_each_for_itself() {
    // Once the bound is known before the usage, and once it is learned when all was told.
    for known in [true, false] {
        let meter = NewMeter::new("calls", stripe::Formula::Sum);
        let stage = Stage::open(meter, users(WindowRule::Hour), Vec::new()).await;
        if known {
            stage.billed(150, 400).await;
        }
        for (id, user, minute) in
            [("r1", "ada", 125), ("r2", "bob", 130), ("r3", "ada", 155), ("r4", "ada", 170)]
        {
            stage.book(id, user, minute).await;
        }
        stage.until(181).await;
        if !known {
            assert_eq!(stage.total(), "2");
            stage.billed(150, 400).await;
        }
        stage.until(190).await;
        let mut told = (stage.total(), stage.accrued().await);
        assert_eq!(told, ("3".to_owned(), "3".to_owned()), "{known}");
        // A correction finds its record in its own part.
        stage.cancel("r1").await;
        stage.until(195).await;
        told = (stage.accrued().await, stage.total());
        assert_eq!(told.0, "2");
        assert!(told.1 == "2" || stage.held().await == ["below_zero"], "{told:?}");
    }
}

#[tokio::test]
async fn windows_of_distinct_values_stay_when_others_are_archived() {
    let stage = Stage::hourly().await;
    stage.book("r1", "ada", 10).await;
    stage.book("r2", "bob", 20).await;
    stage.until(61).await;
    let options = SqliteConnectOptions::new().filename(stage.folder.path().join("ledger"));
    let mut connection = options.connect().await.unwrap();
    let proven = "UPDATE meter_event SET state = 'settled' WHERE state = 'accepted'";
    connection.execute(proven).await.unwrap();
    connection.close().await.unwrap();
    let later = stage.clock.now().plus_micros((i64::from(ARCHIVE_AGE_DAYS) + 2) * MICROS_PER_DAY);
    let before = stage.clock.now().plus_micros(MICROS_PER_DAY);
    let file = stage.folder.path().join("archive");
    let wanted = Wanted { file, before, age_days: ARCHIVE_AGE_DAYS };
    let mut watch = |_| ControlFlow::Continue(());
    let archived = stage.world.ledger.archive(&wanted, later, &mut watch).await.unwrap();
    assert!(matches!(archived, Archiving::Nothing), "{archived:?}");
    // Whoever was there long ago still is.
    stage.book("r3", "ada", 30).await;
    stage.until(2 * HOUR).await;
    assert_eq!((stage.total(), stage.accrued().await), ("2".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn a_line_that_is_of_another_value_than_its_record_is_found() {
    let stage = Stage::hourly().await;
    stage.book("r1", "ada", 10).await;
    stage.book("r2", "ada", 20).await;
    stage.until(61).await;
    let options = SqliteConnectOptions::new().filename(stage.folder.path().join("ledger"));
    let mut connection = options.connect().await.unwrap();
    let other = "DROP TRIGGER booking_never_changes;
        UPDATE booking SET member = zeroblob(16) WHERE record_position = 2;";
    connection.execute(other).await.unwrap();
    let found = stage.world.ledger.verify().await.unwrap().findings;
    assert_eq!(
        found,
        [
            "balance 1: it does not know what its values come to",
            "booking 2: it is of another value than its record has",
            "balance 1: accrued 1, but its bookings make 2",
        ]
    );
}
