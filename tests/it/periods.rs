//! Periods of subscriptions, from what is learned of them to what the provider is told: stepped by
//! hand over a real ledger and the sandbox. Here: what is known is handed to the ledger. Never
//! here: how it is read from the provider (`tallyd::provider::billing`). Read next:
//! [`crate::corrections`].

use std::sync::Arc;

use tallyd::accrual::route::Route;
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::billing::{
    BilledItem, Invoice, InvoiceStatus, RejectedEvent, RejectionReport, Subscription,
    SubscriptionStatus,
};
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{
    AccountName, CorrectionName, InvoiceId, ProviderMeter, RecordId, SourceName, SubscriptionId,
};
use tallyd::domain::period::LatePolicy;
use tallyd::domain::policies::Policies;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::billing::{BillingLedger as _, Learned, Learnt};
use tallyd::ledger::holds::{HoldsLedger as _, Resolution};
use tallyd::ledger::intake::CorrectionLedger as _;
use tallyd::ledger::operator::{BookFilter, OperatorLedger as _};
use tallyd::sandbox::stripe::{EventStatus, Formula, NewMeter};

use crate::support::billing::invoice_of;
use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{METERS, NOON, Running, start_with};

/// A world, the sandbox it tells, and the folder of its ledger.
struct Stage {
    world: World,
    sandbox: Running,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

fn meter() -> ProviderMeter {
    ProviderMeter::new("calls").unwrap()
}

/// Minutes after noon; nothing has happened before.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_seconds(NOON + minute * 60)
}

fn window(start: i64, end: i64) -> Window {
    Window { start: at(start), end: at(end) }
}

fn subscription(start: i64, end: i64) -> Subscription {
    Subscription {
        id: SubscriptionId::new("sub_1").unwrap(),
        account: AccountName::new("cus_1").unwrap(),
        status: SubscriptionStatus::Billing,
        started_at: at(start),
        ended_at: None,
        ends_at: None,
        idle_since: None,
        changed_at: None,
        items: vec![BilledItem { meter: meter(), period: window(start, end) }],
        latest_invoice: None,
    }
}

/// The invoice of a period, final at `closes`.
fn invoice(start: i64, end: i64, status: InvoiceStatus, closes: i64) -> Invoice {
    invoice_of(window(start, end), status, at(closes))
}

impl Stage {
    async fn open() -> Self {
        Self::with(route("calls")).await
    }

    async fn with(route: Route) -> Self {
        let sandbox = start_with(|stripe| {
            stripe.meters = vec![NewMeter::new("calls", Formula::Sum)];
        })
        .await;
        let clock = sandbox.clock.clone();
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting::default();
        let world = World::open(folder.path(), &sandbox, &clock, vec![route], setting).await;
        Self { world, sandbox, clock, _folder: folder }
    }

    async fn learn(&self, learned: Learned) -> Learnt {
        let now = self.clock.now();
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap()
    }

    async fn subscribed(&self, subscription: Subscription) {
        let nothing = Learned::nothing(self.clock.now());
        self.learn(Learned { subscriptions: vec![subscription], ..nothing }).await;
    }

    async fn invoiced(&self, invoice: Invoice) {
        let nothing = Learned::nothing(self.clock.now());
        self.learn(Learned { invoices: vec![invoice], ..nothing }).await;
    }

    async fn book(&self, id: &str, minute: i64) {
        self.world.accept(vec![record(id, "cus_1", "calls", "5", at(minute))]).await;
    }

    async fn cancel(&self, record: &str) {
        let correction = Correction {
            source: SourceName::new("web").unwrap(),
            record: RecordId::new(record).unwrap(),
            name: CorrectionName::new("cancel").unwrap(),
            change: Change::Cancel,
            reason: "a test".to_owned(),
            who: "test".to_owned(),
        };
        self.world.ledger.correct(vec![correction], self.clock.now()).await.unwrap();
    }

    /// Moves to `minute` and works until nothing is left to do.
    async fn until(&self, minute: i64) {
        self.clock.set(self.clock.now().max(at(minute)));
        self.world.run_until(self.clock.now().plus_seconds(20)).await;
        self.world.verify().await;
    }

    /// What counts at the provider, as (minute, value), in order.
    fn counting(&self) -> Vec<(i64, String)> {
        let counts =
            |status: &EventStatus| matches!(status, EventStatus::Pending | EventStatus::Counted);
        let mut events: Vec<(i64, String)> = self
            .sandbox
            .handle
            .events()
            .into_iter()
            .filter(|event| counts(&event.status))
            .map(|event| ((event.timestamp - NOON) / 60, event.value))
            .collect();
        events.sort();
        events
    }

    /// What waits for a person, as reasons.
    async fn held(&self) -> Vec<String> {
        let held = self.world.ledger.held(100).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }
}

fn told(events: &[(i64, &str)]) -> Vec<(i64, String)> {
    events.iter().map(|(minute, value)| (*minute, (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_window_across_a_periods_boundary_is_cut_there_and_bills_each_side_to_its_own() {
    let stage = Stage::open().await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.book("r1", 20).await;
    stage.book("r2", 29).await;
    stage.book("r3", 30).await;
    stage.book("r4", 40).await;
    stage.until(61).await;
    assert_eq!(stage.counting(), told(&[(29, "10"), (40, "10")]));
}

#[tokio::test]
async fn a_boundary_that_is_learned_late_parts_what_was_told_already() {
    let stage = Stage::open().await;
    stage.book("r1", 20).await;
    stage.book("r2", 40).await;
    stage.until(61).await;
    assert_eq!(stage.counting(), told(&[(40, "10")]));
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.until(62).await;
    assert_eq!(stage.counting(), told(&[(20, "5"), (40, "5")]));
    // Each record has gone home for good: a correction finds it there.
    stage.cancel("r1").await;
    stage.until(63).await;
    assert_eq!(stage.counting(), told(&[(40, "5")]));
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_drafts_usage_is_told_inside_its_grace_however_long_the_route_waits() {
    let two_hours = Route { settle_micros: 7_200_000_000, ..route("calls") };
    let stage = Stage::with(two_hours).await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.book("r1", 20).await;
    stage.until(21).await;
    stage.until(31).await;
    assert_eq!(stage.counting(), told(&[]));
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 90)).await;
    stage.until(32).await;
    assert_eq!(stage.counting(), told(&[(20, "5")]));
    // Late usage still comes into the draft, at once.
    stage.book("r2", 10).await;
    stage.until(33).await;
    assert_eq!(stage.counting(), told(&[(20, "5"), (20, "5")]));
    stage.until(120).await;
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn usage_of_a_period_that_is_closing_or_closed_is_held_and_never_billed_to_the_next() {
    let stage = Stage::open().await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.until(31).await;
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 90)).await;
    stage.book("r1", 20).await;
    stage.until(84).await;
    assert_eq!(stage.counting(), told(&[(20, "5")]));
    stage.book("r2", 21).await;
    stage.until(86).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Final, 90)).await;
    stage.subscribed(Subscription { started_at: at(-1_000), ..subscription(30, 1_000) }).await;
    stage.book("r3", 31).await;
    stage.until(120).await;
    assert_eq!(stage.counting(), told(&[(20, "5"), (31, "5")]));
    assert_eq!(stage.held().await, ["late_for_period"]);
}

/// A stage with a final invoice until 30, and usage of before it that comes after it was final:
/// 5 that nobody told, and 2 more of a window that was told.
async fn late_usage(late: LatePolicy) -> Stage {
    let policies = Policies { late, ..Policies::default() };
    let stage = Stage::with(Route { policies, ..route("calls") }).await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.book("told", 10).await;
    stage.until(31).await;
    stage.subscribed(subscription(30, 1_000)).await;
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 90)).await;
    stage.until(32).await;
    assert_eq!(stage.counting(), told(&[(10, "5")]));
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Final, 90)).await;
    stage.until(91).await;
    stage.book("late", 20).await;
    stage.world.accept(vec![record("more", "cus_1", "calls", "2", at(-30))]).await;
    stage.until(92).await;
    stage
}

#[tokio::test]
async fn late_usage_is_carried_into_the_period_that_is_open_where_the_route_says_so() {
    let stage = late_usage(LatePolicy::NextPeriod).await;
    assert_eq!(stage.counting(), told(&[(10, "5"), (30, "7")]));
    assert_eq!(stage.held().await, Vec::<String>::new());
    // A correction goes where the usage went.
    stage.cancel("late").await;
    stage.until(93).await;
    assert_eq!(stage.held().await, ["below_zero"]);
    stage.cancel("more").await;
    stage.until(94).await;
    assert_eq!(stage.counting(), told(&[(10, "5")]), "what was carried is gone as a whole");
    assert_eq!(stage.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_carried_into_a_balance_that_is_posted_in_the_same_moment_is_told_too() {
    let stage = late_usage(LatePolicy::NextPeriod).await;
    stage.cancel("more").await;
    stage.book("later", 21).await;
    stage.world.accruer_and_poster().await;
    stage.until(93).await;
    assert_eq!(stage.counting(), told(&[(10, "5"), (30, "3"), (30, "7")]));
}

#[tokio::test]
async fn what_cannot_be_told_from_what_was_told_is_not_carried_but_held() {
    let policies = Policies { late: LatePolicy::NextPeriod, ..Policies::default() };
    let stage = Stage::with(Route { policies, ..route("calls") }).await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.book("first", 10).await;
    stage.until(31).await;
    stage.subscribed(subscription(30, 1_000)).await;
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 90)).await;
    stage.world.accept(vec![record("second", "cus_1", "calls", "2", at(11))]).await;
    stage.until(32).await;
    assert_eq!(stage.counting(), told(&[(10, "5"), (11, "2")]));
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Final, 90)).await;
    stage.until(91).await;
    // The first event was rejected after all; the second, of the same balance, stands.
    let sample = RejectedEvent {
        name: stage.sandbox.handle.events()[0].identifier.clone(),
        code: "meter_event_customer_not_found".to_owned(),
        message: "there is no such customer".to_owned(),
    };
    let samples = vec![sample];
    let report = RejectionReport { meter: None, validated: window(31, 32), count: 1, samples };
    let nothing = Learned::nothing(stage.clock.now());
    stage.learn(Learned { rejections: vec![report], ..nothing }).await;
    let item = ItemName::parse("event:1").unwrap();
    let expect = stage.world.ledger.item(item).await.unwrap().unwrap().token().clone();
    let resolution = Resolution {
        item,
        verdict: Verdict::NotBilled,
        expect,
        why: "as the report says".to_owned(),
        who: "cli:ada".to_owned(),
        dry_run: false,
    };
    stage.world.ledger.resolve(&resolution, stage.clock.now()).await.unwrap();
    stage.until(92).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    assert_eq!(stage.sandbox.handle.events().len(), 2, "nothing was billed twice");
}

#[tokio::test]
async fn late_usage_is_written_off_with_a_note_where_the_route_says_so() {
    let stage = late_usage(LatePolicy::Drop).await;
    assert_eq!(stage.counting(), told(&[(10, "5")]));
    assert_eq!(stage.held().await, Vec::<String>::new());
    let books = stage.world.ledger.books(&BookFilter::default()).await.unwrap();
    assert_eq!(books[0].accrued.to_string(), "5");
    let (source, id) = (SourceName::new("web").unwrap(), RecordId::new("late").unwrap());
    let trace = stage.world.ledger.trace(&source, &id).await.unwrap().unwrap();
    let who: Vec<&str> = trace
        .bookings
        .iter()
        .flat_map(|booking| booking.resolutions.iter().map(|each| each.who.as_str()))
        .collect();
    assert_eq!(who, ["policy:late=drop"]);
}

#[tokio::test]
async fn an_hour_after_a_period_of_which_no_draft_was_seen_its_usage_waits_until_one_is() {
    let stage = Stage::open().await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.until(76).await;
    stage.book("r1", 20).await;
    stage.until(77).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 30 + 72 * 60)).await;
    stage.until(78).await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!(stage.counting(), told(&[(20, "5")]));
}

#[tokio::test]
async fn an_event_that_was_not_sent_in_time_goes_on_when_its_draft_turns_out_to_be_open() {
    let stage = Stage::open().await;
    stage.until(0).await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.book("r1", 20).await;
    // Posted, and not sent for an hour.
    stage.clock.set(at(31));
    stage.world.accruer_and_poster().await;
    stage.until(90).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 30 + 72 * 60)).await;
    stage.until(91).await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!(stage.counting(), told(&[(20, "5")]));
}

#[tokio::test]
async fn a_subscription_whose_last_period_ended_is_asked_for_though_its_draft_is_known() {
    let stage = Stage::open().await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 90)).await;
    let asked = async |minute: i64| {
        let (provider, before) = (provider_name(), at(minute).plus_seconds(-600));
        let ledger = &stage.world.ledger;
        let found = ledger.overdue(&provider, at(minute), before, 20, at(minute)).await.unwrap();
        found.subscriptions.len()
    };
    assert_eq!(asked(29).await, 0);
    assert_eq!(asked(30).await, 1, "its next period is not known");
    assert_eq!(asked(35).await, 0, "it was just asked for");
    assert_eq!(asked(50).await, 1);
    stage.subscribed(Subscription { started_at: at(-1_000), ..subscription(30, 1_000) }).await;
    assert_eq!(asked(80).await, 0);
}

#[tokio::test]
async fn usage_of_a_period_that_was_never_learned_waits_until_it_is() {
    let stage = Stage::open().await;
    stage.subscribed(subscription(-9_000, -6_000)).await;
    // Nobody looked for days: the period of this usage may have been billed by now.
    stage.book("r1", -5_000).await;
    stage.until(0).await;
    assert_eq!(stage.held().await, ["no_period"]);
    let began = |start, end| Subscription { started_at: at(-9_000), ..subscription(start, end) };
    // It lies before the period that is open now, and ended no later than that began.
    stage.subscribed(began(-2_000, 1_000)).await;
    stage.book("r2", 0).await;
    stage.until(61).await;
    assert_eq!(stage.held().await, ["no_period"]);
    assert_eq!(stage.counting(), told(&[(0, "5")]));
    stage.invoiced(invoice(-6_000, -2_000, InvoiceStatus::Final, -1_900)).await;
    stage.until(62).await;
    assert_eq!(stage.held().await, ["late_for_period"]);
    assert_eq!(stage.counting(), told(&[(0, "5")]));
}

#[tokio::test]
async fn an_event_that_was_not_sent_before_its_period_was_over_unlearned_waits_for_it_too() {
    let stage = Stage::open().await;
    stage.until(0).await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.book("r1", 40).await;
    // Posted just after the period that is known, and not sent for a day.
    stage.clock.set(at(61));
    stage.world.accruer_and_poster().await;
    stage.until(1_500).await;
    assert_eq!(stage.held().await, ["no_period"]);
    stage.subscribed(Subscription { started_at: at(-1_000), ..subscription(30, 5_000) }).await;
    stage.until(1_501).await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!(stage.counting(), told(&[(40, "5")]));
}

#[tokio::test]
async fn usage_of_a_draft_that_is_gone_is_told_as_if_none_had_been_seen() {
    let stage = Stage::open().await;
    stage.subscribed(subscription(-1_000, 30)).await;
    stage.until(31).await;
    stage.invoiced(invoice(-1_000, 30, InvoiceStatus::Draft, 90)).await;
    let nothing = Learned::nothing(stage.clock.now());
    let missing = vec![InvoiceId::new("in_1").unwrap()];
    assert_eq!(stage.learn(Learned { missing, ..nothing }).await.periods, 1);
    stage.book("r1", 20).await;
    stage.until(33).await;
    assert_eq!(stage.counting(), told(&[(20, "5")]), "another draft may be there");
    stage.until(76).await;
    stage.book("r2", 21).await;
    stage.until(77).await;
    assert_eq!(stage.held().await, ["late_for_period"], "it may be final already");
    let next = invoice(-1_000, 30, InvoiceStatus::Draft, 30 + 72 * 60);
    stage.invoiced(Invoice { id: InvoiceId::new("in_2").unwrap(), ..next }).await;
    stage.until(78).await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!(stage.counting(), told(&[(20, "5"), (21, "5")]));
}

#[tokio::test]
async fn what_no_subscription_bills_is_held_until_one_does() {
    let stage = Stage::open().await;
    let ended = Subscription {
        status: SubscriptionStatus::Ended,
        ended_at: Some(at(30)),
        ..subscription(-1_000, 500)
    };
    stage.subscribed(ended).await;
    stage.book("r1", 20).await;
    stage.book("r2", 40).await;
    stage.until(61).await;
    assert_eq!(stage.counting(), told(&[(20, "5")]), "up to the exact instant, and not after it");
    assert_eq!(stage.held().await, ["no_period"]);
    let next = Subscription { id: SubscriptionId::new("sub_2").unwrap(), ..subscription(30, 500) };
    stage.subscribed(next).await;
    stage.until(62).await;
    assert_eq!(stage.held().await, Vec::<String>::new());
    assert_eq!(stage.counting(), told(&[(20, "5"), (40, "5")]));
}

#[tokio::test]
async fn what_a_report_names_is_held_with_its_code_and_nothing_else_is() {
    let stage = Stage::open().await;
    stage.book("r1", 20).await;
    stage.until(61).await;
    stage.book("r2", 70).await;
    stage.until(121).await;
    let events = stage.sandbox.handle.events();
    let sample = |name: &str| RejectedEvent {
        name: name.to_owned(),
        code: "meter_event_customer_not_found".to_owned(),
        message: "there is no such customer".to_owned(),
    };
    let report = RejectionReport {
        meter: Some(meter()),
        validated: window(61, 62),
        count: 9,
        // By an attempt's key, and one that this ledger never told.
        samples: vec![sample(&format!("{}-2", events[0].identifier)), sample("someone else's")],
    };
    let nothing = Learned::nothing(stage.clock.now());
    let learned = Learned { rejections: vec![report], ..nothing };
    assert_eq!(stage.learn(learned.clone()).await.rejected, 1);
    assert_eq!(stage.learn(learned).await.rejected, 0, "a report that comes twice is one");
    assert_eq!(stage.held().await, ["disproved"]);
    let held = stage.world.ledger.held(10).await.unwrap();
    assert!(held[0].detail.contains("meter_event_customer_not_found"), "{:?}", held[0].detail);
}

#[tokio::test]
async fn a_meter_that_is_known_to_be_deactivated_is_sent_nothing_that_waits() {
    let stage = Stage::open().await;
    stage.until(0).await;
    stage.book("r1", 20).await;
    stage.clock.set(at(61));
    stage.world.accruer_and_poster().await;
    let path = format!("{METERS}/{}/deactivate", stage.sandbox.meter_id("calls"));
    assert_eq!(stage.sandbox.post(&path, &Vec::new()).await.status, 200);
    // The contact of every hour finds it.
    stage.until(130).await;
    assert_eq!(stage.held().await, ["no_meter"]);
    assert_eq!(stage.sandbox.handle.events().len(), 0);
}
