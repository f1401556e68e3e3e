//! The control of the stand-in for Chargebee, for code in the same process. Here: what a person
//! does in the provider's own pages, settings while it runs, and the books. Never here: HTTP.
//! Read next: [`crate::sandbox::SandboxHandle`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::books::{BookLine, UsageLine};
use super::catalog::NewItemPrice;
use super::changes::{CancelAt, Change};
use super::ingest::{EventLine, NewFeature};
use super::operation::NewUsage;
use super::settings::{Keys, Limits};
use super::statistics::Statistics;
use super::subscriptions::NewSubscription;
use super::webhooks::WebhookSettings;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::sandbox::deliveries::{Carrier, WebhookCounts, WebhookDelivery};
use crate::sandbox::faults::Faults;
use crate::sandbox::handle::{Shared, ask};
use crate::sandbox::server::Door;
use crate::sandbox::wire::Request;

/// Controls the stand-in for Chargebee in a running sandbox and reads its books, without HTTP.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChargebeeHandle(Arc<Shared>);

impl ChargebeeHandle {
    pub(in crate::sandbox) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What a request comes to, without a connection: status and body, or nothing where the
    /// connection would be closed.
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
        ask(Door::Chargebee, &self.0, request).await
    }

    /// Creates an item price, and its item with the first.
    ///
    /// # Errors
    /// It makes no sense, or is there already.
    pub fn create_item_price(&self, new: NewItemPrice) -> Result<(), String> {
        let now = self.now();
        self.0.chargebee().create_item_price(new, now)
    }

    /// Creates a metered feature, which adds a property of usage events up.
    ///
    /// # Errors
    /// It makes no sense, or is there already.
    pub fn create_feature(&self, new: NewFeature) -> Result<(), String> {
        self.0.chargebee().create_feature(new)
    }

    /// What usage events come to, per subscription and feature.
    #[must_use]
    pub fn event_books(&self) -> Vec<EventLine> {
        self.0.chargebee().event_books()
    }

    /// Creates a subscription, and its customer with the first.
    ///
    /// # Errors
    /// It makes no sense, or is there already.
    pub fn create_subscription(&self, new: &NewSubscription) -> Result<(), String> {
        let now = self.now();
        self.0.chargebee().subscribe(new, now)
    }

    /// Changes a subscription.
    ///
    /// # Errors
    /// There is none of this id, or its status does not admit the change.
    pub fn change(&self, subscription: &str, change: &Change) -> Result<(), String> {
        let now = self.now();
        self.0.chargebee().change(subscription, change, now)
    }

    /// Cancels a subscription.
    ///
    /// # Errors
    /// There is none of this id, or it is cancelled already.
    pub fn cancel(&self, subscription: &str, at: CancelAt) -> Result<(), String> {
        self.change(subscription, &Change::Cancel(at))
    }

    /// Pauses a subscription.
    ///
    /// # Errors
    /// There is none of this id, or it is not active.
    pub fn pause(&self, subscription: &str) -> Result<(), String> {
        self.change(subscription, &Change::Pause)
    }

    /// Resumes a subscription.
    ///
    /// # Errors
    /// There is none of this id, or it is not paused.
    pub fn resume(&self, subscription: &str) -> Result<(), String> {
        self.change(subscription, &Change::Resume)
    }

    /// Records a usage as a person does in the provider's own pages, with a generated id.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn record_by_hand(
        &self,
        subscription: &str,
        item_price: &str,
        quantity: &str,
        usage_date: i64,
    ) -> Result<(), String> {
        let new = NewUsage {
            subscription: subscription.to_owned(),
            id: None,
            item_price: item_price.to_owned(),
            quantity: quantity.to_owned(),
            usage_date,
            note: None,
        };
        let now = self.now();
        self.0.chargebee().record_by_hand(&new, now)
    }

    /// Deletes a usage as a person does in the provider's own pages.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn delete_by_hand(&self, subscription: &str, id: &str) -> Result<(), String> {
        let now = self.now();
        self.0.chargebee().delete_by_hand(subscription, id, now)
    }

    /// What counts or is invoiced by now, per subscription and item price.
    #[must_use]
    pub fn books(&self) -> Vec<BookLine> {
        let now = self.now();
        self.0.chargebee().books(now)
    }

    /// Every usage that was ever stored, in order of receipt, and what has become of it.
    #[must_use]
    pub fn usages(&self) -> Vec<UsageLine> {
        self.usages_between(0, usize::MAX)
    }

    /// The stored usages from the `from`th on, counted from zero, and before the `until`th.
    #[must_use]
    pub fn usages_between(&self, from: usize, until: usize) -> Vec<UsageLine> {
        let now = self.now();
        self.0.chargebee().usages(&(from..until), now)
    }

    /// What the stand-in saw so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.chargebee().statistics()
    }

    /// What is set to go wrong; scripted faults leave `next` as they are used.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.chargebee().faults().clone()
    }

    /// Sets what goes wrong from now on. The count of attempts starts afresh.
    ///
    /// # Errors
    /// A rate or a delay is out of range, or a kind has no meaning here.
    pub fn set_faults(&self, faults: Faults) -> Result<(), String> {
        self.0.chargebee().set_faults(faults)
    }

    /// Sets how long a write takes from now on, in real time.
    pub fn set_latency(&self, latency: Duration) {
        self.0.chargebee().settings().latency = latency;
    }

    /// Sets how long lists lag behind what is created or deleted.
    pub fn set_list_lag(&self, lag: Duration) {
        self.0.chargebee().settings().list_lag = lag;
    }

    /// Sets whether the site may use the Usages API.
    pub fn set_usages_enabled(&self, enabled: bool) {
        self.0.chargebee().settings().usages_enabled = enabled;
    }

    /// Sets whether quantities may have more than two decimals.
    pub fn set_multi_decimal(&self, enabled: bool) {
        self.0.chargebee().settings().multi_decimal = enabled;
    }

    /// Sets how many usages a subscription may ever have.
    pub fn set_usages_max(&self, most: u32) {
        self.0.chargebee().settings().usages_max = most;
    }

    /// Sets how long an invoice stays pending. Those that are pending already keep their time.
    ///
    /// # Errors
    /// It is longer than [`super::PENDING_MAX`].
    pub fn set_pending(&self, pending: Duration) -> Result<(), String> {
        self.0.chargebee().set_pending(pending)
    }

    /// Sets which API keys are accepted, as when one is revoked or given back its rights.
    pub fn set_keys(&self, keys: Keys) {
        self.0.chargebee().set_keys(keys);
    }

    /// Sets the rate limits.
    pub fn set_limits(&self, limits: Limits) {
        self.0.chargebee().set_limits(limits);
    }

    /// Lifts the block of a site that asked too often while it was limited.
    pub fn unblock(&self) {
        self.0.chargebee().unblock();
    }

    /// Sets where events are delivered, and what goes wrong on the way. What the endpoints before
    /// were still to get is forgotten.
    ///
    /// # Errors
    /// An endpoint or a rate makes no sense.
    pub fn set_webhooks(&self, settings: WebhookSettings) -> Result<(), String> {
        self.0.chargebee().set_webhooks(settings)
    }

    /// Takes what is due of the endpoints that are carried by hand, in order. Tell what became of
    /// each with [`ChargebeeHandle::settle_delivery`].
    #[must_use]
    pub fn take_deliveries(&self) -> Vec<WebhookDelivery> {
        let now = self.now();
        self.0.chargebee().take_deliveries(Carrier::Hand, now)
    }

    /// Tells the status that an endpoint answered, or that it did not: then it is tried again.
    pub fn settle_delivery(&self, number: u64, status: Option<u16>) {
        let now = self.now();
        self.0.chargebee().settle_delivery(number, status, now);
    }

    /// What became of deliveries since the endpoints were set.
    #[must_use]
    pub fn webhook_counts(&self) -> WebhookCounts {
        self.0.chargebee().webhook_counts()
    }
}
