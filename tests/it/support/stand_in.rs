//! A provider without a wire, for tests of what stands around one. Here: a provider whose contacts
//! and answers a test decides, and events to tell it. Never here: an expectation. Read next:
//! `crate::regressions`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{Route, WindowRule};
use tallyd::delivery::Rate;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::{EventId, EventIntent, Identifier, Says};
use tallyd::domain::fold::Fold;
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::provider_facts::{AccountPin, ClockReading, Formula, Lanes, MeterPin};
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use tallyd::ledger::delivery::{AttemptId, DeliveryLedger, LeaseTerms, Leased};
use tallyd::ledger::intake::IntakeLedger;
use tallyd::posting::poster::Poster;
use tallyd::provider::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, ToldAs, Totals,
};
use tallyd::service::Service;
use tallyd::store::sqlite::SqliteLedger;

use super::journey::{provider_name, record, route};

/// What the stand-in does when it is asked for the `n`th time.
type Script<T> = Box<dyn Fn(usize) -> BoxFuture<'static, T> + Send + Sync>;

/// The provider.
pub(crate) struct StandIn {
    pub(crate) contacts: AtomicUsize,
    pub(crate) sent: AtomicUsize,
    /// How many events each request told.
    requests: Mutex<Vec<usize>>,
    batch_max: u32,
    recognises_for_micros: Option<i64>,
    on_contact: Script<Result<Contact, Answer>>,
    on_send: Script<Answer>,
}

impl StandIn {
    pub(crate) fn new(
        on_contact: impl Fn(usize) -> BoxFuture<'static, Result<Contact, Answer>>
        + Send
        + Sync
        + 'static,
        on_send: impl Fn(usize) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::telling(1, on_contact, on_send)
    }

    /// The same, which is told up to `batch_max` events by one request; each is answered by itself.
    pub(crate) fn telling(
        batch_max: u32,
        on_contact: impl Fn(usize) -> BoxFuture<'static, Result<Contact, Answer>>
        + Send
        + Sync
        + 'static,
        on_send: impl Fn(usize) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            contacts: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            requests: Mutex::default(),
            batch_max,
            recognises_for_micros: Some(23 * MICROS_PER_HOUR),
            on_contact: Box::new(on_contact),
            on_send: Box::new(on_send),
        })
    }

    /// The same, which recognises nothing that it was told before.
    pub(crate) fn recognising_nothing(self: Arc<Self>) -> Arc<Self> {
        let mut stand_in = Arc::into_inner(self).expect("nobody else has it yet");
        stand_in.recognises_for_micros = None;
        Arc::new(stand_in)
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// How many events each request told, in their order.
    pub(crate) fn requests(&self) -> Vec<usize> {
        self.requests.lock().unwrap().clone()
    }
}

/// A contact that finds the meter `calls`, at `provider_at`.
pub(crate) fn contact(provider_at: Timestamp) -> Contact {
    Contact {
        account: AccountPin { account: Some("acct_1".to_owned()), livemode: false },
        meters: vec![MeterPin {
            meter: ProviderMeter::new("calls").unwrap(),
            id: Some("mtr_1".to_owned()),
            formula: Formula::Sum,
            customer_key: "customer".to_owned(),
            value_key: "value".to_owned(),
            span: None,
            active: true,
            learned: true,
        }],
        provider_at: Some(provider_at),
        declared_other: None,
        unusable: Vec::new(),
    }
}

/// An answer with nothing in it.
pub(crate) fn answer(outcome: Outcome) -> Answer {
    Answer::bare(outcome, "")
}

#[async_trait]
impl Provider for StandIn {
    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        None
    }

    fn capabilities(&self, _meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        Ok(Capabilities {
            told_as: ToldAs::Delta,
            bills: Fold::Sum,
            accepts_past_micros: 35 * MICROS_PER_DAY,
            accepts_past_margin_micros: MICROS_PER_HOUR,
            accepts_ahead_micros: 4 * MICROS_PER_MINUTE,
            digits_max: 15,
            decimals_max: 12,
            value_max: None,
            negative: true,
            cancels_for_micros: Some(23 * MICROS_PER_HOUR),
            entries_max: None,
            read_back: None,
        })
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfMeters
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        self.recognises_for_micros
    }

    fn adopt_meters(&self, _meters: Vec<MeterPin>) {}

    fn encode(
        &self,
        _meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        Ok(Encoded { body: format!("{account} {}", intent.quantity).into_bytes() })
    }

    async fn send(&self, _request: Request<'_>) -> Answer {
        self.requests.lock().unwrap().push(1);
        (self.on_send)(self.sent.fetch_add(1, Ordering::SeqCst)).await
    }

    fn batch_max(&self) -> u32 {
        self.batch_max
    }

    async fn send_batch(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        self.requests.lock().unwrap().push(requests.len());
        let mut answers = Vec::new();
        for _ in requests {
            answers.push((self.on_send)(self.sent.fetch_add(1, Ordering::SeqCst)).await);
        }
        answers
    }

    async fn read_totals(
        &self,
        _meter: &ProviderMeter,
        _account: &AccountName,
        _span: Window,
        _grouping: Grouping,
    ) -> Result<Totals, Answer> {
        let why = "a stand-in keeps no totals";
        Err(Answer::bare(Outcome::Refused(HoldReason::NoMeter), why))
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        (self.on_contact)(self.contacts.fetch_add(1, Ordering::SeqCst)).await
    }

    async fn inspect(&self, _routed: &BTreeSet<ProviderMeter>) -> Inspection {
        Inspection::default()
    }
}

/// A stand-in that says yes to everything, at `provider_at`.
pub(crate) fn agreeable(provider_at: Timestamp) -> Arc<StandIn> {
    StandIn::new(
        move |_| Box::pin(async move { Ok(contact(provider_at)) }),
        |_| Box::pin(async { answer(Outcome::Accepted) }),
    )
}

pub(crate) async fn ledger(folder: &Path, now: Timestamp) -> Arc<SqliteLedger> {
    let settings = tallyd::store::Settings { path: folder.join("ledger"), cache_kib: 2_048 };
    Arc::new(SqliteLedger::open(&settings, "a test", now).await.unwrap())
}

/// A route that makes an event of each record.
pub(crate) fn singly() -> Route {
    Route { window: WindowRule::Record, ..route("calls") }
}

/// Books a record of each of `customers` customers at `now`.
pub(crate) async fn usage(ledger: &Arc<SqliteLedger>, customers: usize, now: Timestamp) {
    let records = (0..customers)
        .map(|number| {
            let name = format!("r{number} {now}");
            record(&name, &format!("cus_{number}"), "calls", "1", now.plus_seconds(-60)).into()
        })
        .collect();
    ledger.accept(records, Vec::new(), now).await.unwrap();
    let prefixes = HashMap::from([(provider_name(), "cus_")]);
    let accruer = Accruer::adopt(ledger.clone(), vec![singly()], prefixes, now).await.unwrap();
    accruer.run_once(now).await.unwrap();
}

/// Books a record of each of `customers` customers at `now`, and makes events of them.
pub(crate) async fn events(ledger: &Arc<SqliteLedger>, customers: usize, now: Timestamp) {
    usage(ledger, customers, now).await;
    let reading = ClockReading { provider_at: now, local_at: now };
    ledger.read_clock(&provider_name(), reading).await.unwrap();
    let poster = Poster::new(provider_name(), ledger.clone(), agreeable(now));
    poster.run_once(now).await.unwrap();
}

/// The terms of a lease at `now`, by a provider's clock that agrees.
pub(crate) fn terms(now: Timestamp, limit: u32) -> LeaseTerms {
    LeaseTerms {
        now,
        provider_clock: ClockReading { provider_at: now, local_at: now },
        dedupe_floor: Some(now.plus_micros(-23 * MICROS_PER_HOUR)),
        attempt_span_micros: 25_000_000,
        limit,
        lanes: Lanes::OfMeters,
    }
}

/// What a courier of the stand-in is set to.
pub(crate) fn settings() -> tallyd::delivery::Settings {
    tallyd::delivery::Settings {
        provider: provider_name(),
        rate: Rate::per_second(1_000),
        batched_rate: None,
        limited_pause_seconds: 1,
        concurrency: 8,
        attempt_timeout_millis: 2_000,
        backoff_first_millis: 500,
        backoff_seconds_max: 300,
        pause_probe_seconds: 60,
        free_bytes_min: 0,
    }
}

/// A lease of no ledger's.
pub(crate) fn leased() -> Leased {
    Leased {
        event: EventId(1),
        attempt: AttemptId(1),
        attempt_number: 1,
        failures: 0,
        identifier: Identifier::stored("tallyd-1"),
        says: Says::Usage,
        idempotency_key: "tallyd-1".to_owned(),
        meter: ProviderMeter::new("calls").unwrap(),
        account: AccountName::new("cus_1").unwrap(),
        body: Vec::new(),
        ambiguous: false,
    }
}
