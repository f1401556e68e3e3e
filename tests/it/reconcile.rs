//! Reports, stepped by hand over a real ledger and the sandbox: each kind of difference is planted
//! at the provider or in the ledger, and has to be found, named, and explained down to the record.

use std::sync::{Arc, Mutex};

use tallyd::clock::Clock as _;
use tallyd::config::Reports;
use tallyd::daemon::reporting::Reporting;
use tallyd::domain::billing::{
    BilledItem, Invoice, InvoiceLine, InvoiceStatus, Subscription, SubscriptionStatus,
};
use tallyd::domain::drift::{Agreement, DriftKind};
use tallyd::domain::names::{
    AccountName, InvoiceId, LineId, PriceId, ProviderMeter, RecordId, SourceName, SubscriptionId,
};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::ledger::reconcile::ReconcileLedger as _;
use tallyd::ledger::report::{Question, ReportLedger as _};
use tallyd::reconcile::keeper::InLedger;
use tallyd::reconcile::line::{Report, ReportError};
use tallyd::reconcile::reporter::Reporter;
use tallyd::reconcile::{Heal, READS_PER_MONTH, Settings};
use tallyd::sandbox::faults::FaultKind;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::schedule::Schedule;
use tallyd::service::Service as _;
use tallyd::store::sqlite::SqliteLedger;
use tokio_util::sync::CancellationToken;

use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{ADJUSTMENTS, NOON, Running, event_of, pairs, start_with};

mod meanwhile;

const START: Timestamp = Timestamp::from_seconds(NOON);
const HOUR: i64 = 3_600;
/// After everything that could still land has landed, and was seen.
const ABSENT: i64 = 32 * HOUR;
/// A second look.
const AGAIN: i64 = 601;

/// A world with what is tested here.
struct Stand {
    world: World,
    reporter: Reporter,
    keeper: InLedger<SqliteLedger>,
    reads_per_month: u32,
    sandbox: Running,
    _folder: tempfile::TempDir,
}

fn meter() -> ProviderMeter {
    ProviderMeter::new("calls").unwrap()
}

fn account(name: &str) -> AccountName {
    AccountName::new(name).unwrap()
}

/// Hours after the start; negative ones before it.
fn at(hours: i64) -> Timestamp {
    START.plus_seconds(hours * HOUR)
}

impl Stand {
    async fn open(reads_per_month: u32) -> Self {
        let sandbox =
            start_with(|stripe| stripe.meters = vec![NewMeter::new("calls", Formula::Sum)]).await;
        let folder = tempfile::tempdir().unwrap();
        let clock = sandbox.clock.clone();
        let setting = Setting { reads_per_month, ..Setting::default() };
        let routes = vec![route("calls")];
        let world = World::open(folder.path(), &sandbox, &clock, routes, setting).await;
        let settings = Settings { provider: provider_name(), reads_per_month };
        let (ledger, provider) = (world.ledger.clone(), world.provider.clone());
        let reporter = Reporter::new(settings, ledger.clone(), provider, clock.clone());
        let keeper = InLedger { ledger, clock };
        Self { world, reporter, keeper, reads_per_month, sandbox, _folder: folder }
    }

    async fn plain() -> Self {
        Self::open(READS_PER_MONTH).await
    }

    async fn book(&self, id: &str, customer: &str, quantity: &str, hours: i64) {
        self.world.accept(vec![record(id, customer, "calls", quantity, at(hours))]).await;
        self.work().await;
    }

    /// Steps until what was accepted is told.
    async fn work(&self) {
        self.world.run_until(self.world.clock.now().plus_seconds(60)).await;
    }

    /// Usage of 5 and 7 in two windows, settled by two looks.
    async fn settled(&self) {
        self.book("a", "cus_1", "5", -2).await;
        self.book("b", "cus_1", "7", -4).await;
        self.settle(8 * HOUR).await;
        let status = self.world.ledger.status().await.unwrap();
        assert_eq!(status.events[0].1, "settled", "{:?}", status.events);
    }

    async fn settle(&self, seconds: i64) {
        for look in [seconds, seconds + AGAIN] {
            self.world.clock.set(START.plus_seconds(look));
            self.world.settler.run_once(self.world.clock.now()).await.unwrap();
        }
    }

    /// A report of all usage so far at so many seconds after the start.
    async fn report_of(&self, account: Option<&str>, seconds: i64) -> Report {
        self.world.clock.set(START.plus_seconds(seconds));
        let question = question(account, self.world.clock.now());
        let report = self.reporter.report(&question, &self.keeper).await.unwrap();
        self.world.verify().await;
        // What is kept is what was said.
        let kept = self.world.ledger.run(report.number).await.unwrap().unwrap();
        assert_eq!(kept, report.run);
        for row in &report.rows {
            let parts: Quantity = row.parts.iter().map(|(_, quantity)| quantity).sum();
            assert_eq!(parts, row.acknowledged, "{:?}", row.parts);
        }
        report
    }

    async fn report(&self, seconds: i64) -> Report {
        self.report_of(None, seconds).await
    }

    async fn apply(&self, report: &Report) -> Vec<String> {
        let said = self.reporter.apply(report, &self.keeper).await.unwrap();
        self.world.verify().await;
        said
    }

    /// The service that makes reports by itself.
    fn reporting(&self, reports: Option<Reports>) -> Reporting {
        let settings =
            Settings { provider: provider_name(), reads_per_month: self.reads_per_month };
        let (ledger, clock) = (self.world.ledger.clone(), self.world.clock.clone());
        let provider = self.world.provider.clone();
        let reporter = Reporter::new(settings, ledger.clone(), provider, clock.clone());
        let stop = CancellationToken::new();
        Reporting::new(provider_name(), reporter, ledger, clock, reports, stop)
    }

    /// How many final lines a step of `reporting` compares, and the differences of each run that
    /// is kept, the newest first.
    async fn compared(&self, reporting: &Reporting) -> (u64, Vec<u64>) {
        let step = reporting.run_once(self.world.clock.now()).await.unwrap();
        let runs = self.world.ledger.runs(Some(&provider_name()), 100).await.unwrap();
        (step.counts[0].1, runs.into_iter().map(|(_, drifts)| drifts).collect())
    }

    /// What is held after each of two reports that are made by a schedule, at midnight, once all
    /// can be judged.
    async fn held_by_schedule(&self, heal: Heal) -> Vec<Vec<String>> {
        let schedule = Schedule::parse("0 0 * * *").unwrap();
        let reporting = self.reporting(Some(Reports { schedule, heal }));
        let mut held = Vec::new();
        for (hours, is_time) in [(13, false), (36, true), (60, true)] {
            self.world.clock.set(at(hours));
            let step = reporting.run_once(self.world.clock.now()).await.unwrap();
            assert_eq!(step.did_something(), is_time, "after {hours} hours");
            self.world.verify().await;
            if is_time {
                held.push(self.reasons().await);
            }
        }
        held
    }

    /// Somebody else cancels the first event.
    async fn cancel_first(&self) {
        let identifier = self.world.ledger.event(1).await.unwrap().unwrap().identifier;
        let identifier = identifier.as_str();
        let cancel =
            [("event_name", "calls"), ("type", "cancel"), ("cancel[identifier]", identifier)];
        assert_eq!(self.sandbox.post(ADJUSTMENTS, &pairs(&cancel)).await.status, 200);
    }

    /// Somebody else tells what the first event tells once more.
    async fn double_first(&self) {
        let doubled = event_of("calls", "cus_1", "foreign", "5", at(-2).seconds());
        self.sandbox.accept(&doubled).await;
    }

    /// What is held, by reason.
    async fn reasons(&self) -> Vec<String> {
        let held = self.world.ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }

    async fn calls(&self) -> u32 {
        let now = self.world.clock.now();
        self.world.ledger.read_calls(&provider_name(), now).await.unwrap().month
    }

    async fn learn(&self, subscriptions: Vec<Subscription>, invoices: Vec<Invoice>) {
        let now = self.world.clock.now();
        let learned = Learned { subscriptions, invoices, ..Learned::nothing(now) };
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }
}

fn question(named: Option<&str>, now: Timestamp) -> Question {
    let range = Window { start: START.plus_seconds(-24 * HOUR), end: now };
    Question { provider: provider_name(), account: named.map(account), meter: None, range }
}

fn subscription(customer: &str, start: i64, end: i64) -> Subscription {
    let period = Window { start: at(start), end: at(end) };
    Subscription {
        id: SubscriptionId::new(&format!("sub_{customer}")).unwrap(),
        account: account(customer),
        status: SubscriptionStatus::Billing,
        started_at: at(start),
        ended_at: None,
        ends_at: None,
        idle_since: None,
        changed_at: None,
        items: vec![BilledItem { meter: meter(), period }],
        latest_invoice: None,
    }
}

/// The final invoice of a period.
fn invoice(start: i64, end: i64, billed: i64) -> Invoice {
    let line = InvoiceLine {
        id: LineId::new("il_1").unwrap(),
        subscription: SubscriptionId::new("sub_cus_1").unwrap(),
        account: account("cus_1"),
        price: PriceId::new("price_1").unwrap(),
        meter: meter(),
        period: Window { start: at(start), end: at(end) },
        quantity: billed.into(),
    };
    Invoice {
        id: InvoiceId::new("in_1").unwrap(),
        status: InvoiceStatus::Final,
        created_at: at(end),
        finalizes_at: Some(at(end + 1)),
        finalized_at: Some(at(end + 1)),
        lines: vec![line],
        term: None,
    }
}

/// The differences: kind, quantity, and what could make it up as `ITEM ROLE RECORDS`.
fn said(report: &Report) -> Vec<(DriftKind, String, Vec<String>)> {
    let drifts = report.run.drifts.iter();
    let suspects = |drift: &tallyd::ledger::report::Drift| {
        let each = drift.found.suspects.iter();
        each.map(|each| format!("{} {} {}", each.item, each.role, each.records.join(" "))).collect()
    };
    drifts
        .map(|drift| (drift.found.kind, drift.found.quantity.to_string(), suspects(drift)))
        .collect()
}

fn one(
    kind: DriftKind,
    quantity: &str,
    suspects: &[&str],
) -> Vec<(DriftKind, String, Vec<String>)> {
    let suspects = suspects.iter().map(|text| (*text).to_owned()).collect();
    vec![(kind, quantity.to_owned(), suspects)]
}

#[tokio::test]
async fn what_agrees_says_so_and_takes_the_fewest_requests() {
    let stand = Stand::plain().await;
    stand.settled().await;
    stand.book("c", "cus_2", "3", 4).await;
    let before = stand.calls().await;
    let report = stand.report(9 * HOUR).await;
    assert_eq!(said(&report), []);
    assert_eq!((report.run.compared, report.run.agreed), (2, 2));
    assert_eq!((report.run.calls, report.run.calls_min), (2, 2));
    assert_eq!(stand.calls().await - before, 2, "each is counted");
    let sums: Vec<(String, Option<String>)> = report
        .rows
        .iter()
        .map(|row| (row.acknowledged.to_string(), row.total.as_ref().map(ToString::to_string)))
        .collect();
    let sum = |sum: &str| (sum.to_owned(), Some(sum.to_owned()));
    assert_eq!(sums, [sum("12"), sum("3")]);
    let runs = stand.world.ledger.runs(Some(&provider_name()), 10).await.unwrap();
    assert_eq!(runs, [(report.number, 0)]);
}

#[tokio::test]
async fn an_event_that_somebody_else_cancelled_is_missing_and_is_held_when_two_reports_say_so() {
    let stand = Stand::plain().await;
    stand.settled().await;
    stand.cancel_first().await;
    let report = stand.report(ABSENT).await;
    assert_eq!(said(&report), one(DriftKind::Missing, "5", &["event:1 absent web/a"]));
    let found = &report.run.drifts[0].found;
    assert!(found.detail.contains("5 on 2026-09-21"), "{}", found.detail);
    assert!(found.suspects[0].attempts[0].contains("accepted"), "{:?}", found.suspects);
    assert_eq!((report.run.calls, report.run.calls_min), (2, 1), "only what differs is narrowed");
    let first = stand.apply(&report).await;
    assert!(first[0].contains("apply it again in 10 minutes"), "{first:?}");
    assert_eq!(stand.reasons().await, [""; 0], "nothing moves on a first look");
    let report = stand.report(ABSENT + AGAIN).await;
    let second = stand.apply(&report).await;
    assert!(second[0].contains("1 held as disproved"), "{second:?}");
    assert_eq!(stand.reasons().await, ["disproved"]);
    let report = stand.report(ABSENT + 2 * AGAIN).await;
    assert_eq!(said(&report), one(DriftKind::Missing, "5", &["event:1 held web/a"]));
}

#[tokio::test]
async fn what_a_foreign_writer_doubled_is_in_excess_and_nothing_is_moved() {
    let stand = Stand::plain().await;
    stand.settled().await;
    stand.double_first().await;
    let report = stand.report(ABSENT).await;
    assert_eq!(said(&report), one(DriftKind::Excess, "5", &["event:1 twice web/a"]));
    let applied = stand.apply(&report).await;
    assert!(applied[0].contains("nothing is moved"), "{applied:?}");
    assert_eq!(stand.reasons().await, [""; 0]);
}

#[tokio::test]
async fn reports_by_a_schedule_hold_what_is_gone_when_two_say_so_where_they_may_heal() {
    for (heal, second) in [(Heal::None, vec![]), (Heal::Low, vec!["disproved".to_owned()])] {
        let stand = Stand::plain().await;
        stand.settled().await;
        stand.cancel_first().await;
        let held = stand.held_by_schedule(heal).await;
        assert_eq!(held, [vec![], second], "{heal:?}");
        let runs = stand.world.ledger.runs(Some(&provider_name()), 10).await.unwrap();
        assert_eq!(runs, [(2, 1), (1, 1)], "either way the difference is told");
    }
}

#[tokio::test]
async fn what_the_provider_has_too_much_of_moves_nothing_whether_reports_heal_or_not() {
    for heal in [Heal::None, Heal::Low] {
        let stand = Stand::plain().await;
        stand.settled().await;
        stand.double_first().await;
        assert_eq!(stand.held_by_schedule(heal).await, [vec![""; 0], vec![]], "{heal:?}");
        let status = stand.world.ledger.status().await.unwrap();
        assert!(status.events.iter().all(|(_, state, _)| state == "settled"), "{status:?}");
    }
}

#[tokio::test]
async fn a_difference_is_narrowed_to_its_day_and_blames_nothing_of_another() {
    let stand = Stand::plain().await;
    stand.settled().await;
    let foreign = event_of("calls", "cus_1", "foreign", "5", at(-20).seconds());
    stand.sandbox.accept(&foreign).await;
    let report = stand.report(ABSENT).await;
    assert_eq!(said(&report), one(DriftKind::Excess, "5", &[]));
    let detail = &report.run.drifts[0].found.detail;
    assert!(detail.contains("5 on 2026-09-20"), "{detail}");
}

#[tokio::test]
async fn what_is_counted_of_an_account_without_usage_is_found_where_it_is_billed_or_named() {
    let stand = Stand::plain().await;
    stand.settled().await;
    stand.sandbox.accept(&event_of("calls", "cus_9", "foreign", "3", at(1).seconds())).await;
    assert_eq!(said(&stand.report(ABSENT).await), [], "nobody knows of it");
    let remote = one(DriftKind::UnknownRemote, "3", &[]);
    assert_eq!(said(&stand.report_of(Some("cus_9"), ABSENT).await), remote);
    stand.learn(vec![subscription("cus_9", -48, 600)], Vec::new()).await;
    assert_eq!(said(&stand.report(ABSENT).await), remote);
}

#[tokio::test]
async fn what_was_rejected_late_is_missing_once_settlement_proved_it() {
    let stand = Stand::plain().await;
    stand.sandbox.script(&[FaultKind::RejectedLater]);
    stand.book("a", "cus_1", "5", -2).await;
    let report = stand.report(ABSENT).await;
    assert_eq!(said(&report), [], "what is open is settlement's to decide");
    stand.settle(ABSENT).await;
    let report = stand.report(ABSENT + 2 * AGAIN).await;
    assert_eq!(said(&report), one(DriftKind::Missing, "5", &["event:1 held web/a"]));
}

#[tokio::test]
async fn usage_that_is_late_for_its_period_and_what_an_invoice_lacks_are_told_apart() {
    let stand = Stand::plain().await;
    stand.learn(vec![subscription("cus_1", -48, 1)], Vec::new()).await;
    stand.book("a", "cus_1", "5", -2).await;
    stand.world.clock.set(at(3));
    stand.learn(Vec::new(), vec![invoice(-48, 1, 5)]).await;
    stand.book("b", "cus_1", "7", -3).await;
    assert_eq!(stand.reasons().await, ["late_for_period"]);
    let report = stand.report(9 * HOUR).await;
    assert_eq!(said(&report), one(DriftKind::Late, "7", &["balance:2 held web/b"]));
    let row = &report.rows[0];
    assert_eq!((row.acknowledged.to_string(), row.told.to_string()), ("12".into(), "5".into()));
    assert_eq!(row.invoices[0].billed, Some(5.into()));
}

#[tokio::test]
async fn an_invoice_that_bills_less_than_its_period_holds_is_told_with_the_event() {
    let stand = Stand::plain().await;
    stand.learn(vec![subscription("cus_1", -48, 1)], Vec::new()).await;
    stand.settled().await;
    stand.learn(Vec::new(), vec![invoice(-48, 1, 7)]).await;
    let report = stand.report(9 * HOUR).await;
    assert_eq!(said(&report), one(DriftKind::Unbilled, "5", &["event:1 absent web/a"]));
    assert!(report.run.drifts[0].found.detail.contains("in_1 bills 7"));
    let (source, id) = (SourceName::new("web").unwrap(), RecordId::new("a").unwrap());
    let trace = stand.world.ledger.trace(&source, &id).await.unwrap().unwrap();
    assert_eq!(trace.bookings[0].invoices, [("in_1".to_owned(), Some(7.into()))]);
}

#[tokio::test]
async fn an_invoice_that_becomes_final_is_compared_at_once_and_only_a_difference_takes_a_request() {
    let stand = Stand::plain().await;
    let reporting = stand.reporting(None);
    stand.learn(vec![subscription("cus_1", -48, 1)], Vec::new()).await;
    stand.settled().await;
    let before = stand.calls().await;
    assert_eq!(stand.compared(&reporting).await, (0, vec![]), "nothing is final yet");
    stand.learn(Vec::new(), vec![invoice(-48, 1, 12)]).await;
    assert_eq!(stand.compared(&reporting).await, (1, vec![]), "it bills what was told");
    assert_eq!(stand.compared(&reporting).await, (0, vec![]), "once is enough");
    assert_eq!(stand.calls().await, before);
    stand.learn(Vec::new(), vec![invoice(-48, 1, 7)]).await;
    assert_eq!(stand.compared(&reporting).await, (1, vec![1]), "it was learned anew");
    assert!(stand.calls().await > before);
    let run = stand.world.ledger.run(1).await.unwrap().unwrap();
    let Question { account: of, meter: only, range, .. } = &run.question;
    assert_eq!((of, only), (&Some(account("cus_1")), &Some(meter())));
    assert_eq!(*range, Window { start: at(-48), end: at(1) });
    assert_eq!(run.drifts[0].found.kind, DriftKind::Unbilled);
    assert_eq!(stand.compared(&reporting).await, (0, vec![1]));
}

#[tokio::test]
async fn an_invoice_that_differs_is_told_though_no_read_is_left() {
    let stand = Stand::open(0).await;
    let reporting = stand.reporting(None);
    stand.learn(vec![subscription("cus_1", -48, 1)], Vec::new()).await;
    stand.book("a", "cus_1", "5", -2).await;
    stand.learn(Vec::new(), vec![invoice(-48, 1, 7)]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let saw = seen.clone();
    let reporting = reporting.observed(Arc::new(move |agreement| {
        saw.lock().unwrap().push(agreement);
    }));
    assert_eq!(stand.compared(&reporting).await, (1, vec![]), "no run can be made");
    assert_eq!(*seen.lock().unwrap(), [Agreement::Differs]);
    assert_eq!(stand.compared(&reporting).await, (0, vec![]), "nor is it tried for ever");
}

#[tokio::test]
async fn usage_that_no_route_takes_is_named() {
    let stand = Stand::plain().await;
    let other = record("x", "cus_1", "unheard", "4", at(-1));
    stand.world.accept(vec![other]).await;
    stand.book("a", "cus_1", "5", -2).await;
    let report = stand.report(9 * HOUR).await;
    assert_eq!(said(&report), one(DriftKind::Unmapped, "4", &[]));
    let detail = &report.run.drifts[0].found.detail;
    assert!(detail.contains("web/x") && detail.contains("no_route"), "{detail}");
    assert_eq!((report.run.compared, report.run.agreed), (1, 1));
}

#[tokio::test]
async fn a_report_that_would_pass_the_budget_asks_for_nothing() {
    let stand = Stand::open(1).await;
    stand.book("a", "cus_1", "5", -2).await;
    stand.book("b", "cus_2", "5", -2).await;
    let question = question(None, stand.world.clock.now());
    let refused = stand.reporter.report(&question, &stand.keeper).await.unwrap_err();
    assert!(matches!(refused, ReportError::Spent { needed: 2, left: 1, of: 1 }), "{refused}");
    assert_eq!(stand.calls().await, 0);
}
