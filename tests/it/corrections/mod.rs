//! Corrections, from the door to the provider's summaries: whenever in its life a record is
//! cancelled or adjusted, the provider ends up with what the record counts with. Stepped by hand
//! over a real ledger and the sandbox. Never here: the doors themselves (`crate::intake_http`).
//! Read next: [`moments`].

use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, SqlSafeStr as _};
use tallyd::accrual::route::{Aggregate, Route, WindowRule};
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::billing::InvoiceStatus;
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{CorrectionName, ProviderMeter, ProviderName, RecordId, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::holds::{Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::intake::{CorrectionAdmission, CorrectionLedger as _};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;

use crate::support::billing::invoice_of;
use crate::support::journey::{Setting, World, record, route};
use crate::support::stripe::{METERS, NOON, Running, start_with};

/// The cases in which a simpler design bills wrongly.
mod hard_cases;
/// What it does not matter for when the record is corrected: the end is right.
mod moments;

const START: Timestamp = Timestamp::from_seconds(NOON);
/// The time of every record here: in an hour that has ended.
const USED: Timestamp = Timestamp::from_seconds(NOON - 5_400);

/// A world, the sandbox it tells, and the folder of its ledger.
struct Stage {
    world: World,
    sandbox: Running,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

fn correction(record: &str, name: &str, change: Change) -> Correction {
    Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new(record).unwrap(),
        name: CorrectionName::new(name).unwrap(),
        change,
        reason: "a test".to_owned(),
        who: "test".to_owned(),
    }
}

fn adjust(replaces: &str, to: &str) -> Change {
    Change::Adjust { quantity: quantity(to), replaces: quantity(replaces) }
}

/// A route that counts records one by one.
fn counting() -> Route {
    Route {
        window: WindowRule::Record,
        aggregate: Aggregate::Count,
        provider_meter: ProviderMeter::new("counted").unwrap(),
        ..route("counted")
    }
}

impl Stage {
    async fn open() -> Self {
        Self::with(vec![route("calls"), counting()]).await
    }

    async fn with(routes: Vec<Route>) -> Self {
        let sandbox = start_with(|stripe| {
            stripe.meters =
                ["calls", "other"].map(|name| NewMeter::new(name, Formula::Sum)).to_vec();
            stripe.meters.push(NewMeter::new("counted", Formula::Count));
        })
        .await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
        Self { world, sandbox, clock, folder }
    }

    /// The same ledger and provider under another configuration.
    async fn again(self, routes: Vec<Route>) -> Self {
        let Self { world, sandbox, clock, folder } = self;
        drop(world);
        let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
        Self { world, sandbox, clock, folder }
    }

    /// The provider takes no more events for `meter`.
    async fn deactivate(&self, meter: &str) {
        let path = format!("{METERS}/{}/deactivate", self.sandbox.meter_id(meter));
        assert_eq!(self.sandbox.post(&path, &Vec::new()).await.status, 200);
    }

    /// A record of 5 calls of `cus_1`.
    async fn book(&self, id: &str) {
        self.book_as(id, "5").await;
    }

    async fn book_as(&self, id: &str, quantity: &str) {
        self.world.accept(vec![record(id, "cus_1", "calls", quantity, USED)]).await;
    }

    async fn correct(&self, record: &str, name: &str, change: Change) -> CorrectionAdmission {
        let corrections = vec![correction(record, name, change)];
        let now = self.clock.now();
        self.world.ledger.correct(corrections, now).await.unwrap().remove(0)
    }

    async fn cancel(&self, record: &str) {
        let admission = self.correct(record, "cancel", Change::Cancel).await;
        assert!(matches!(admission, CorrectionAdmission::Accepted { .. }), "{admission:?}");
    }

    async fn rest(&self) {
        self.world.run_until(self.clock.now().plus_seconds(60)).await;
        self.world.verify().await;
    }

    async fn wait_hours(&self, hours: i64) {
        self.clock.set(self.clock.now().plus_seconds(hours * 3_600));
        self.rest().await;
    }

    /// What the provider's summaries come to.
    fn holds(&self) -> String {
        let total: Quantity = self
            .sandbox
            .handle
            .books()
            .into_iter()
            .map(|line| quantity_of(&line.total.normalized().to_plain_string()))
            .collect::<Vec<_>>()
            .iter()
            .sum();
        total.to_string()
    }

    /// Closes the period of `cus_1` at `until`: its invoice is final.
    async fn close_period(&self, until: Timestamp) {
        let period = Window { start: until.plus_seconds(-30 * 86_400), end: until };
        let invoice = invoice_of(period, InvoiceStatus::Final, until);
        let now = self.clock.now();
        let learned = Learned { invoices: vec![invoice], ..Learned::nothing(now) };
        let provider = ProviderName::new("stripe.main").unwrap();
        self.world.ledger.learn(&provider, &learned, now).await.unwrap();
    }

    /// Has the provider's totals read back, twice, long enough after the last answer.
    async fn settle(&self) {
        for seconds in [8 * 3_600, 601] {
            self.clock.set(self.clock.now().plus_seconds(seconds));
            self.world.settler.run_once(self.clock.now()).await.unwrap();
        }
        self.rest().await;
    }

    /// Decides over something held, as it is now.
    async fn decide(&self, item: &str, verdict: Verdict) -> Decision {
        let item = ItemName::parse(item).unwrap();
        let expect = self.world.ledger.item(item).await.unwrap().unwrap().token().clone();
        let (why, who) = ("as the provider's page shows".to_owned(), "cli:ada".to_owned());
        let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
        self.world.ledger.resolve(&resolution, self.clock.now()).await.unwrap()
    }

    async fn write(&self, sql: String) {
        let path = self.folder.path().join("ledger");
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        connection.execute(AssertSqlSafe(sql).into_sql_str()).await.unwrap();
    }

    /// What waits for a person, as reasons.
    async fn held(&self) -> Vec<String> {
        let held = self.world.ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }

    fn events(&self) -> usize {
        self.sandbox.handle.events().len()
    }
}

fn quantity_of(text: &str) -> Quantity {
    Quantity::parse_unbounded(text).unwrap()
}
