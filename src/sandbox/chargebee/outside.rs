//! The stand-in from outside its wire. Here: its settings while it runs, what people do in the
//! provider's own pages, and its books. Never here: a request. Read next: [`super::handle`].

use std::ops::Range;
use std::time::Duration;

use super::books::{BookLine, UsageLine};
use super::catalog::NewItemPrice;
use super::changes::Change;
use super::gate::{Chargebee, check_faults};
use super::ingest::{EventLine, NewFeature};
use super::operation::NewUsage;
use super::refusal::Refusal;
use super::settings::{Keys, Limits, Settings, check_pending};
use super::statistics::Statistics;
use super::subscriptions::NewSubscription;
use super::usages::Source;
use super::webhooks::WebhookSettings;
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp};
use crate::sandbox::deliveries::{Carrier, WebhookCounts, WebhookDelivery};
use crate::sandbox::faults::Faults;
use crate::sandbox::limiter::Limiter;

/// What a caller in the same process is told of a refusal.
fn words(refusal: &Refusal) -> String {
    refusal.message().to_owned()
}

/// Reading and changing the stand-in from outside its wire.
impl Chargebee {
    /// Tells it where it is reached.
    pub(in crate::sandbox) fn set_address(&mut self, address: String) {
        self.site.address = address;
    }

    pub(in crate::sandbox) const fn faults(&self) -> &Faults {
        &self.dice.faults
    }

    pub(in crate::sandbox) fn set_faults(&mut self, faults: Faults) -> Result<(), String> {
        check_faults(&faults)?;
        self.dice.load(faults);
        Ok(())
    }

    pub(in crate::sandbox) const fn settings(&mut self) -> &mut Settings {
        &mut self.site.settings
    }

    pub(in crate::sandbox) fn set_keys(&mut self, keys: Keys) {
        self.site.settings.keys = keys;
    }

    pub(in crate::sandbox) fn set_limits(&mut self, limits: Limits) {
        self.site.settings.limits = limits;
        self.limiter = Limiter::new(limits.per_minute, MICROS_PER_MINUTE);
    }

    pub(in crate::sandbox) fn set_pending(&mut self, pending: Duration) -> Result<(), String> {
        check_pending(pending)?;
        self.site.settings.pending = pending;
        Ok(())
    }

    pub(in crate::sandbox) const fn unblock(&mut self) {
        self.is_blocked = false;
    }

    pub(in crate::sandbox) fn create_item_price(
        &mut self,
        new: NewItemPrice,
        now: Timestamp,
    ) -> Result<(), String> {
        self.site.create_item_price(new, now).map_err(|refusal| words(&refusal))
    }

    pub(in crate::sandbox) fn create_feature(&mut self, new: NewFeature) -> Result<(), String> {
        self.site.create_feature(new)
    }

    pub(in crate::sandbox) fn event_books(&self) -> Vec<EventLine> {
        self.site.event_lines()
    }

    pub(in crate::sandbox) fn subscribe(
        &mut self,
        new: &NewSubscription,
        now: Timestamp,
    ) -> Result<(), String> {
        self.site.subscribe(new, now).map(drop).map_err(|refusal| words(&refusal))
    }

    pub(in crate::sandbox) fn change(
        &mut self,
        subscription: &str,
        change: &Change,
        now: Timestamp,
    ) -> Result<(), String> {
        let changed = self.site.change_subscription(subscription, change, now);
        changed.map_err(|refusal| words(&refusal))
    }

    /// Records a usage as a person does in the provider's own pages.
    pub(super) fn record_by_hand(&mut self, new: &NewUsage, now: Timestamp) -> Result<(), String> {
        self.site.settle(now);
        let made = self.site.create_usage(new, Source::AdminConsole, now);
        made.map(drop).map_err(|refusal| words(&refusal))
    }

    /// Deletes a usage as a person does in the provider's own pages.
    pub(super) fn delete_by_hand(
        &mut self,
        subscription: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        self.site.settle(now);
        let deleted = self.site.delete_usage(subscription, id, now);
        deleted.map(drop).map_err(|refusal| words(&refusal))
    }

    pub(in crate::sandbox) fn books(&mut self, now: Timestamp) -> Vec<BookLine> {
        self.site.settle(now);
        self.site.book_lines()
    }

    pub(in crate::sandbox) fn usages(
        &mut self,
        places: &Range<usize>,
        now: Timestamp,
    ) -> Vec<UsageLine> {
        self.site.settle(now);
        self.site.usage_lines(places)
    }

    pub(in crate::sandbox) fn set_webhooks(
        &mut self,
        settings: WebhookSettings,
    ) -> Result<(), String> {
        settings.check()?;
        self.site.webhooks.set(settings);
        Ok(())
    }

    pub(in crate::sandbox) fn take_deliveries(
        &mut self,
        carrier: Carrier,
        now: Timestamp,
    ) -> Vec<WebhookDelivery> {
        // The courier asks ten times a second: without an endpoint of its own it disturbs nothing.
        if !self.site.webhooks.has(carrier) {
            return Vec::new();
        }
        self.site.settle(now);
        self.site.webhooks.take(carrier, now)
    }

    pub(in crate::sandbox) fn settle_delivery(
        &mut self,
        number: u64,
        status: Option<u16>,
        now: Timestamp,
    ) {
        if let Some((event, status)) = self.site.webhooks.settle(number, status, now) {
            self.site.events.set_webhook_status(&event, status);
        }
    }

    pub(in crate::sandbox) fn webhook_counts(&self) -> WebhookCounts {
        self.site.webhooks.counts()
    }

    pub(in crate::sandbox) fn statistics(&self) -> Statistics {
        let seen = self.counters.view();
        Statistics {
            requests: seen.requests,
            faults: seen.faults,
            usages_created: seen.meter_events_accepted,
            duplicates_refused: seen.duplicates_refused,
            rate_limited: seen.rate_limited,
            asked_while_limited: self.asked_while_limited,
            blocked: self.is_blocked,
            replays: seen.replays,
            busiest_minute: self.busiest.minute,
        }
    }
}
