//! The control for code in the same process. Here: what the server and its owner share, and the
//! handle on it. Never here: HTTP. Read next: [`crate::sandbox::control`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::chargebee::{Chargebee, ChargebeeHandle};
use super::clock::{ShiftedClock, micros_of};
use super::cryptolens::{Cryptolens, CryptolensHandle};
use super::faults::Faults;
use super::planship::{Planship, PlanshipHandle};
use super::server::{self, Door, Job};
use super::statistics::Statistics;
use super::stripe::{
    BookLine, Carrier, Customers, EventLine, FileReport, Keys, Limits, Meter, NewMeter, Stripe,
    WebhookCounts, WebhookDelivery, WebhookSettings,
};
use super::wire::{Delivery, Request};
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// What the server's tasks and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: ShiftedClock,
    stripe: Mutex<Stripe>,
    chargebee: Mutex<Chargebee>,
    cryptolens: Mutex<Cryptolens>,
    planship: Mutex<Planship>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) hold: watch::Sender<bool>,
    pub(super) in_flight: watch::Sender<usize>,
}

impl Shared {
    pub(super) fn new(
        settings: super::Settings,
        clock: Arc<dyn Clock>,
        jobs: mpsc::Sender<Job>,
    ) -> Result<Self, super::Error> {
        let clock = ShiftedClock::new(clock);
        let now = clock.now();
        let stripe = Mutex::new(Stripe::new(settings.stripe, now)?);
        let chargebee = Mutex::new(Chargebee::new(settings.chargebee, now)?);
        let cryptolens = Mutex::new(Cryptolens::new(settings.cryptolens)?);
        let planship = Mutex::new(Planship::new(settings.planship, now)?);
        let (hold, in_flight) = (watch::Sender::new(false), watch::Sender::new(0));
        Ok(Self { clock, stripe, chargebee, cryptolens, planship, jobs, hold, in_flight })
    }

    /// The rules and books of the stand-in. One lock for all: a request holds it for microseconds
    /// and never across an await. A panic under it ends one request; the books are only ever
    /// changed after every check has passed, so they are still whole.
    pub(super) fn stripe(&self) -> MutexGuard<'_, Stripe> {
        self.stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same of the stand-in for Chargebee, behind a lock of its own.
    pub(super) fn chargebee(&self) -> MutexGuard<'_, Chargebee> {
        self.chargebee.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same of the stand-in for Cryptolens.
    pub(super) fn cryptolens(&self) -> MutexGuard<'_, Cryptolens> {
        self.cryptolens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same of the stand-in for Planship.
    pub(super) fn planship(&self) -> MutexGuard<'_, Planship> {
        self.planship.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the sandbox's clock was not moved.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ClockError {
    /// The clock only moves forward.
    #[error("the sandbox's clock shows {now} and cannot be set back to {asked}")]
    Backwards {
        /// What the clock shows.
        now: Timestamp,
        /// What was asked for.
        asked: Timestamp,
    },
}

/// What a request at `door` comes to, without a connection.
pub(super) async fn ask(
    door: Door,
    shared: &Arc<Shared>,
    request: Request,
) -> Option<(u16, Bytes)> {
    match server::take(door, Arc::clone(shared), request).await {
        Delivery::Whole(answer) | Delivery::Cut(answer) => Some((answer.status, answer.body)),
        Delivery::Closed => None,
    }
}

/// Controls a running sandbox and reads its books, without HTTP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SandboxHandle(Arc<Shared>);

impl SandboxHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The stand-in for Chargebee. All else here is Stripe's, but for the clock, held answers and
    /// the other stand-ins.
    #[must_use]
    pub fn chargebee(&self) -> ChargebeeHandle {
        ChargebeeHandle::new(Arc::clone(&self.0))
    }

    /// The stand-in for Cryptolens.
    #[must_use]
    pub fn cryptolens(&self) -> CryptolensHandle {
        CryptolensHandle::new(Arc::clone(&self.0))
    }

    /// The stand-in for Planship.
    #[must_use]
    pub fn planship(&self) -> PlanshipHandle {
        PlanshipHandle::new(Arc::clone(&self.0))
    }

    /// What a request to Stripe comes to, without a connection: status and body, or nothing where
    /// the connection would be closed. For what asks more often than sockets allow.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Option<(u16, Bytes)> {
        let (path, query) = (path.to_owned(), query.to_owned());
        let request = Request { method, path, query, headers, body };
        ask(Door::Stripe, &self.0, request).await
    }

    /// What the sandbox's clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Moves the sandbox's clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.clock.advance_micros(micros_of(by));
    }

    /// Moves the sandbox's clock forward to `at`.
    ///
    /// # Errors
    /// `at` has passed already.
    pub fn advance_to(&self, at: Timestamp) -> Result<(), ClockError> {
        if self.0.clock.advance_to(at) {
            return Ok(());
        }
        Err(ClockError::Backwards { now: self.now(), asked: at })
    }

    /// What is set to go wrong; scripted faults leave `next` as they are used.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.stripe().faults().clone()
    }

    /// Sets what goes wrong from now on. The count of attempts starts afresh.
    ///
    /// # Errors
    /// A rate or a delay is out of range.
    pub fn set_faults(&self, faults: Faults) -> Result<(), String> {
        faults.check()?;
        self.0.stripe().set_faults(faults);
        Ok(())
    }

    /// Sets how long an accepted event or cancellation waits before it counts. What was accepted
    /// earlier keeps its time.
    pub fn set_lag(&self, lag: Duration) {
        self.0.stripe().set_lag(lag);
    }

    /// Sets how long a write takes from now on, in real time.
    pub fn set_latency(&self, latency: Duration) {
        self.0.stripe().set_latency(latency);
    }

    /// Sets how long an invoice stays a draft. Those that are drafts already keep their time.
    ///
    /// # Errors
    /// It is longer than [`super::stripe::INVOICE_GRACE_MAX`].
    pub fn set_invoice_grace(&self, grace: Duration) -> Result<(), String> {
        self.0.stripe().set_invoice_grace(grace)
    }

    /// Sets which customers exist.
    pub fn set_customers(&self, customers: Customers) {
        self.0.stripe().set_customers(customers);
    }

    /// Sets which API keys are accepted, as when one is revoked or given back its rights.
    pub fn set_keys(&self, keys: Keys) {
        self.0.stripe().set_keys(keys);
    }

    /// Sets the rate limits.
    pub fn set_limits(&self, limits: Limits) {
        self.0.stripe().set_limits(limits);
    }

    /// Ends all sessions of the meter event stream, before their time.
    pub fn end_sessions(&self) {
        let now = self.now();
        self.0.stripe().end_sessions(now);
    }

    /// Takes a file of usage, as the dashboard and the S3 connector do: a table or JSON lines.
    ///
    /// # Errors
    /// It is no such file.
    pub fn take_file(&self, body: &[u8]) -> Result<FileReport, String> {
        let now = self.now();
        self.0.stripe().take_file(body, now)
    }

    /// Creates a meter, as the API would.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn create_meter(&self, meter: NewMeter) -> Result<Meter, String> {
        let now = self.now();
        self.0.stripe().create_meter(meter, now)
    }

    /// Every meter, oldest first.
    #[must_use]
    pub fn meters(&self) -> Vec<Meter> {
        self.0.stripe().meters()
    }

    /// What counts by now, per event name and customer, in that order. Events whose lag has not
    /// passed are not in it; see [`SandboxHandle::events`].
    #[must_use]
    pub fn books(&self) -> Vec<BookLine> {
        let now = self.now();
        self.0.stripe().books(now)
    }

    /// Every accepted event in order of receipt, and what has become of it.
    #[must_use]
    pub fn events(&self) -> Vec<EventLine> {
        self.events_between(0, usize::MAX)
    }

    /// The accepted events from the `from`th on, counted from zero, and before the `until`th.
    #[must_use]
    pub fn events_between(&self, from: usize, until: usize) -> Vec<EventLine> {
        let now = self.now();
        self.0.stripe().events(from..until, now)
    }

    /// Sets where events are delivered, and what goes wrong on the way. What the endpoints before
    /// were still to get is forgotten.
    ///
    /// # Errors
    /// An endpoint or a rate makes no sense.
    pub fn set_webhooks(&self, settings: WebhookSettings) -> Result<(), String> {
        self.0.stripe().set_webhooks(settings)
    }

    /// Takes what is due of the endpoints that are carried by hand, freshly signed, in order. Tell
    /// what became of each with [`SandboxHandle::settle_delivery`].
    #[must_use]
    pub fn take_deliveries(&self) -> Vec<WebhookDelivery> {
        let now = self.now();
        self.0.stripe().take_deliveries(Carrier::Hand, now)
    }

    /// Tells the status that an endpoint answered, or that it did not: then it is tried again.
    pub fn settle_delivery(&self, number: u64, status: Option<u16>) {
        let now = self.now();
        self.0.stripe().settle_delivery(number, status, now);
    }

    /// What became of deliveries since the endpoints were set.
    #[must_use]
    pub fn webhook_counts(&self) -> WebhookCounts {
        self.0.stripe().webhook_counts()
    }

    /// What the sandbox saw so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.stripe().statistics()
    }

    /// Holds back the answer of every write that is carried out from now on. The write itself
    /// happens, and its customer and meter stay occupied until [`SandboxHandle::release_answers`].
    pub fn hold_answers(&self) {
        self.0.hold.send_replace(true);
    }

    /// Lets held answers go.
    pub fn release_answers(&self) {
        self.0.hold.send_replace(false);
    }

    /// Waits until exactly `count` requests are being held or answered late.
    pub async fn wait_for_in_flight(&self, count: usize) {
        let mut level = self.0.in_flight.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        level.wait_for(|now| *now == count).await.expect("the handle holds the sender");
    }
}
