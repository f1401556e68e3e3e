//! Taking over from another program, stepped by hand over a real ledger and the sandbox: what the
//! other program told is booked, and never told again. Never here: the config's text
//! (`crate::config`). Read next: [`agreement`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, Row as _};
use tallyd::accrual::route::{Route, WindowRule};
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::cutover::{Cutover, Lacking, Mode, Telling};
use tallyd::domain::names::{AccountName, CorrectionName, ProviderMeter, RecordId, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::cutover::{Adoption, CutoverLedger as _};
use tallyd::ledger::holds::{Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::intake::{CorrectionAdmission, CorrectionLedger as _};
use tallyd::ledger::operator::{BookFilter, OperatorLedger as _};
use tallyd::sandbox::faults::FaultKind;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;

use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{NOON, Running, event_of, start_with};

/// Whether the books agree all the same.
mod agreement;
/// The real binary, beside an old job.
mod rehearsal;

const START: Timestamp = Timestamp::from_seconds(NOON);

/// So many minutes after the start.
fn minute(minute: i64) -> Timestamp {
    START.plus_seconds(60 * minute)
}

fn live(bill_from: Option<Timestamp>) -> Telling {
    Telling { mode: Mode::Live, cutover: Cutover { all: bill_from, ..Cutover::default() } }
}

fn shadow() -> Telling {
    Telling { mode: Mode::Shadow, ..Telling::default() }
}

/// A world that may end and begin again, the sandbox it tells, and the folder of its ledger.
struct Stage {
    world: Option<World>,
    sandbox: Running,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    route: Route,
}

impl Stage {
    async fn open(window: WindowRule, telling: Telling) -> Self {
        let sandbox =
            start_with(|stripe| stripe.meters = vec![NewMeter::new("calls", Formula::Sum)]).await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let route = Route { window, ..route("calls") };
        let mut stage = Self { world: None, sandbox, clock, folder, route };
        stage.begin(telling).await;
        stage
    }

    /// The same ledger and provider under another configuration.
    async fn begin(&mut self, telling: Telling) {
        self.world = None;
        let setting = Setting { telling, ..Setting::default() };
        let routes = vec![self.route.clone()];
        let (folder, sandbox) = (self.folder.path(), &self.sandbox);
        self.world = Some(World::open(folder, sandbox, &self.clock, routes, setting).await);
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    /// What the program before told of the same usage.
    async fn told_before(&self, identifier: &str, quantity: &str, at: Timestamp) {
        let event = event_of("calls", "cus_1", identifier, quantity, at.seconds());
        assert_eq!(self.sandbox.accept(&event).await.status, 200);
    }

    async fn book(&self, id: &str, quantity: &str, at: Timestamp) {
        self.world().accept(vec![record(id, "cus_1", "calls", quantity, at)]).await;
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
        let ledger = &self.world().ledger;
        let admitted = ledger.correct(vec![correction], self.clock.now()).await.unwrap();
        assert!(matches!(admitted[0], CorrectionAdmission::Accepted { .. }), "{admitted:?}");
    }

    /// Steps until nothing is left to do for an hour.
    async fn rest(&self) {
        self.world().run_until(self.clock.now().plus_seconds(3_600)).await;
        self.world().verify().await;
    }

    /// Goes to this minute, and steps until nothing is left to do then.
    async fn rest_at(&self, at: i64) {
        self.clock.set(minute(at));
        self.world().run_until(minute(at).plus_seconds(30)).await;
        self.world().verify().await;
    }

    /// What the provider holds, and by how many events.
    fn holds(&self) -> (String, usize) {
        let total: BTreeMap<String, String> = self
            .sandbox
            .handle
            .books()
            .into_iter()
            .map(|line| (line.customer, line.total.normalized().to_plain_string()))
            .collect();
        let total = total.get("cus_1").cloned().unwrap_or_else(|| "0".to_owned());
        (total, self.sandbox.handle.events().len())
    }

    async fn held(&self) -> Vec<String> {
        let held = self.world().ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }

    /// A person decides over what is held first.
    async fn decide(&self, verdict: Verdict) {
        let ledger = &self.world().ledger;
        let item = ledger.held(1).await.unwrap().remove(0);
        let item = ItemName::parse(&item.name).unwrap();
        let expect = ledger.item(item).await.unwrap().unwrap().token().clone();
        let (why, who) = ("so the old books say".to_owned(), "cli:ada".to_owned());
        let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
        let decision = ledger.resolve(&resolution, self.clock.now()).await.unwrap();
        assert!(matches!(decision, Decision::Done(_)), "{decision:?}");
    }

    /// What the books say was written off, as another program told it.
    async fn told_before_in_books(&self) -> String {
        let lines = self.world().ledger.books(&BookFilter::default()).await.unwrap();
        lines.iter().map(|line| &line.told_before).sum::<Quantity>().to_string()
    }

    /// Accrued and told, over all balances.
    async fn books(&self) -> [String; 2] {
        let lines = self.world().ledger.books(&BookFilter::default()).await.unwrap();
        let accrued: Quantity = lines.iter().map(|line| &line.accrued).sum();
        let told: Quantity = lines.iter().map(|line| &line.told).sum();
        [accrued.to_string(), told.to_string()]
    }

    /// Why something was written off, and how much, a line a time.
    async fn written_off(&self) -> Vec<String> {
        let sql = "SELECT verdict || ' ' || quantity || ' ' || who FROM resolution ORDER BY id";
        rows(self.folder.path(), sql).await
    }
}

/// What a statement finds in the ledger file, a text a row.
async fn rows(folder: &Path, sql: &'static str) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(folder.join("ledger")).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let found = connection.fetch_all(sql).await.unwrap();
    found.iter().map(|row| row.get::<String, _>(0)).collect()
}

fn adjust(replaces: &str, to: &str) -> Change {
    let quantity = |text| Quantity::parse(text).unwrap();
    Change::Adjust { quantity: quantity(to), replaces: quantity(replaces) }
}

/// As the provider's page shows it, of the old program's events and ours.
fn holds(total: &str, events: usize) -> (String, usize) {
    (total.to_owned(), events)
}

#[tokio::test]
async fn usage_of_before_bill_from_is_written_off_and_usage_of_after_it_told_once() {
    let stage = Stage::open(WindowRule::Hour, live(Some(minute(-90)))).await;
    stage.told_before("old", "5", minute(-100)).await;
    stage.book("a", "5", minute(-100)).await;
    // The hour that the cutover lies in is two windows.
    stage.book("b", "7", minute(-90)).await;
    stage.book("c", "1", minute(-61)).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("13", 2));
    assert_eq!(stage.books().await, ["8", "8"]);
    assert_eq!(stage.told_before_in_books().await, "5");
    let policy = format!("policy:bill_from={}", minute(-90));
    assert_eq!(stage.written_off().await, [format!("told_before 5 {policy}")]);
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_comes_late_or_is_corrected_of_before_bill_from_changes_nothing_and_of_after_it_does()
{
    let stage = Stage::open(WindowRule::Hour, live(Some(minute(-90)))).await;
    stage.told_before("old", "9", minute(-100)).await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "4", minute(-95)).await;
    stage.book("c", "7", minute(-80)).await;
    stage.book("d", "2", minute(-79)).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("18", 2));
    stage.book("late", "3", minute(-300)).await;
    stage.correct("a", "gone", Change::Cancel).await;
    stage.correct("b", "more", adjust("4", "6")).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("18", 2));
    stage.correct("b", "less", adjust("6", "1")).await;
    stage.rest().await;
    stage.correct("b", "gone", Change::Cancel).await;
    stage.correct("late", "gone", Change::Cancel).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("18", 2));
    stage.correct("d", "more", adjust("2", "4")).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("20", 3));
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!(stage.books().await, ["11", "11"]);
    // All that the old program told was cancelled: no more is written off for it.
    assert_eq!(stage.told_before_in_books().await, "0");
}

#[tokio::test]
async fn a_correction_that_comes_before_anything_was_written_off_is_not_told_either() {
    let stage = Stage::open(WindowRule::Hour, live(Some(minute(600)))).await;
    stage.book("a", "5", minute(-30)).await;
    stage.book("b", "5", minute(-30)).await;
    stage.world().accruer.run_once(stage.clock.now()).await.unwrap();
    stage.correct("a", "gone", Change::Cancel).await;
    stage.rest().await;
    stage.correct("b", "gone", Change::Cancel).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("0", 0), ["0".into(), "0".into()]));
}

#[tokio::test]
async fn what_was_told_already_is_neither_cancelled_nor_written_off() {
    let mut stage = Stage::open(WindowRule::Hour, Telling::default()).await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "1", minute(-100)).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("6", 1));
    stage.begin(live(Some(minute(-90)))).await;
    stage.book("late", "3", minute(-100)).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("6", 1), ["6".into(), "6".into()]));
    assert_eq!(stage.held().await, Vec::<String>::new());
    // It may be there twice: a person sees to it.
    stage.correct("a", "gone", Change::Cancel).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.held().await), (holds("6", 1), vec!["bill_from".into()]));
}

#[tokio::test]
async fn what_was_posted_and_never_left_is_withdrawn_when_bill_from_comes() {
    let mut stage = Stage::open(WindowRule::Hour, Telling::default()).await;
    stage.rest().await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "7", minute(-80)).await;
    stage.world().accruer_and_poster().await;
    stage.begin(live(Some(minute(-90)))).await;
    // The courier comes first: nothing but the rest is left for it to send.
    stage.world().courier.run_once(stage.clock.now()).await.unwrap();
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("7", 1), ["7".into(), "7".into()]));
}

#[tokio::test]
async fn what_the_provider_refused_for_now_is_not_tried_again_when_bill_from_comes() {
    let mut stage = Stage::open(WindowRule::Hour, Telling::default()).await;
    stage.rest().await;
    stage.sandbox.script(&[FaultKind::LockTimeout]);
    stage.book("a", "5", minute(-100)).await;
    stage.world().accruer_and_poster().await;
    stage.world().courier.run_once(stage.clock.now()).await.unwrap();
    stage.begin(live(Some(minute(-30)))).await;
    stage.world().courier.run_once(stage.clock.now()).await.unwrap();
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("0", 0), ["0".into(), "0".into()]));
    assert_eq!(stage.told_before_in_books().await, "5");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_may_have_landed_is_not_sent_again_when_bill_from_comes_but_left_to_a_person() {
    let mut stage = Stage::open(WindowRule::Hour, Telling::default()).await;
    stage.rest().await;
    stage.sandbox.script(&[FaultKind::ErrorBefore]);
    stage.book("a", "5", minute(-100)).await;
    stage.world().accruer_and_poster().await;
    stage.world().courier.run_once(stage.clock.now()).await.unwrap();
    stage.told_before("old", "5", minute(-100)).await;
    stage.begin(live(Some(minute(-30)))).await;
    stage.world().courier.run_once(stage.clock.now()).await.unwrap();
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("5", 1), ["5".into(), "5".into()]));
    assert_eq!(stage.held().await, ["bill_from"]);
    // Not even then: the other program told it.
    stage.decide(Verdict::NotBilled).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("5", 1), ["0".into(), "0".into()]));
    assert_eq!((stage.told_before_in_books().await.as_str(), stage.held().await), ("5", vec![]));
}

#[tokio::test]
async fn a_window_begun_before_bill_from_was_set_is_parted_there() {
    let mut stage = Stage::open(WindowRule::Day, Telling::default()).await;
    stage.book("a", "5", minute(10)).await;
    stage.book("b", "7", minute(20)).await;
    stage.rest_at(30).await;
    stage.begin(live(Some(minute(15)))).await;
    stage.book("c", "1", minute(14)).await;
    stage.rest_at(24 * 60).await;
    assert_eq!((stage.holds(), stage.books().await), (holds("7", 1), ["7".into(), "7".into()]));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_window_that_was_told_already_and_that_bill_from_lies_in_is_held() {
    let mut stage = Stage::open(WindowRule::Day, Telling::default()).await;
    stage.book("a", "5", minute(10)).await;
    stage.rest_at(24 * 60).await;
    assert_eq!(stage.holds(), holds("5", 1));
    stage.begin(live(Some(minute(15)))).await;
    // It goes to the window that was begun; what was told of that is told of all of it.
    stage.correct("a", "more", adjust("5", "8")).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.held().await), (holds("5", 1), vec!["bill_from".into()]));
    stage.decide(Verdict::ToldBefore).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.held().await), (holds("5", 1), Vec::new()));
    assert_eq!(stage.written_off().await, ["told_before 3 cli:ada"]);
}

#[tokio::test]
async fn what_was_written_off_stays_so_and_a_bill_from_that_was_set_cannot_go() {
    let mut stage = Stage::open(WindowRule::Hour, live(Some(minute(-60)))).await;
    stage.book("a", "5", minute(-100)).await;
    stage.rest().await;
    assert_eq!(stage.holds(), holds("0", 0));
    let now = stage.clock.now();
    let (ledger, meters) = (&stage.world().ledger, BTreeSet::from([meter()]));
    let provider = provider_name();
    let refused = ledger.adopt_telling(&provider, &live(None), &meters, now).await.unwrap();
    let lacking = Lacking { meter: meter(), account: None, mode: Mode::Live, since: START };
    assert_eq!(refused, Adoption::Refused(lacking));
    // An earlier one may take its place. It tells nothing of what was written off.
    stage.begin(live(Some(minute(-200)))).await;
    stage.book("b", "1", minute(-100)).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("1", 1), ["1".into(), "1".into()]));
}

fn meter() -> ProviderMeter {
    ProviderMeter::new("calls").unwrap()
}

#[tokio::test]
async fn in_shadow_nothing_leaves_this_host_and_live_begins_with_bill_from() {
    let mut stage = Stage::open(WindowRule::Hour, shadow()).await;
    stage.told_before("old", "5", minute(-100)).await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "7", minute(-20)).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("5", 1), ["12".into(), "0".into()]));
    assert_eq!(stage.world().ledger.status().await.unwrap().events, []);
    let now = stage.clock.now();
    let (ledger, meters) = (&stage.world().ledger, BTreeSet::from([meter()]));
    let refused = ledger.adopt_telling(&provider_name(), &live(None), &meters, now).await.unwrap();
    let lacking = Lacking { meter: meter(), account: None, mode: Mode::Shadow, since: START };
    assert_eq!(refused, Adoption::Refused(lacking));
    stage.begin(live(Some(minute(-30)))).await;
    stage.rest().await;
    assert_eq!((stage.holds(), stage.books().await), (holds("12", 2), ["7".into(), "7".into()]));
}

#[tokio::test]
async fn what_waited_to_be_sent_waits_while_in_shadow() {
    let mut stage = Stage::open(WindowRule::Hour, Telling::default()).await;
    stage.rest().await;
    stage.sandbox.script(&[FaultKind::AnswerLost]);
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "7", minute(-20)).await;
    stage.world().accruer_and_poster().await;
    stage.world().courier.run_once(stage.clock.now()).await.unwrap();
    let sent = stage.holds();
    stage.begin(shadow()).await;
    stage.rest().await;
    assert_eq!(stage.holds(), sent);
    // The database itself begins no attempt meanwhile.
    let sql = "INSERT INTO attempt SELECT 99, id, 99, 'key', 1, 0 FROM meter_event LIMIT 1";
    let options = SqliteConnectOptions::new().filename(stage.folder.path().join("ledger"));
    let mut connection = options.connect().await.unwrap();
    let refused = connection.execute(sql).await.unwrap_err().to_string();
    assert!(refused.contains("nothing is sent in shadow"), "{refused}");
    drop(connection);
    stage.begin(live(Some(minute(-200)))).await;
    stage.rest().await;
    assert_eq!(stage.holds().0, "12");
}

#[tokio::test]
async fn the_instant_of_who_pays_counts_for_them_alone() {
    let mut telling = live(Some(minute(-30)));
    let account = AccountName::new("cus_2").unwrap();
    telling.cutover.accounts.insert(account, minute(-150));
    let stage = Stage::open(WindowRule::Hour, telling).await;
    for customer in ["cus_1", "cus_2"] {
        let used = record(customer, customer, "calls", "5", minute(-100));
        stage.world().accept(vec![used]).await;
    }
    stage.rest().await;
    let told: Vec<String> =
        stage.sandbox.handle.books().into_iter().map(|line| line.customer).collect();
    assert_eq!(told, ["cus_2"]);
}
