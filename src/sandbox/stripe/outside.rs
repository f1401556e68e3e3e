//! The stand-in from outside its wire. Here: its settings while it runs, its meters and its books.
//! Never here: a request. Read next: [`super::gate`].

use std::ops::Range;
use std::time::Duration;

use super::gate::Stripe;
use super::ledger::{BookLine, EventLine};
use super::meter::{Meter, NewMeter};
use super::settings::{Customers, Keys, Limits, check_grace};
use super::webhooks::WebhookSettings;
use crate::domain::time::Timestamp;
use crate::sandbox::deliveries::{Carrier, WebhookCounts, WebhookDelivery};
use crate::sandbox::faults::Faults;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::statistics::Statistics;

/// Reading and changing the stand-in from outside its wire.
impl Stripe {
    pub(in crate::sandbox) const fn faults(&self) -> &Faults {
        &self.dice.faults
    }

    pub(in crate::sandbox) fn set_faults(&mut self, faults: Faults) {
        self.dice.load(faults);
    }

    pub(in crate::sandbox) const fn set_lag(&mut self, lag: Duration) {
        self.account.settings.lag = lag;
    }

    pub(in crate::sandbox) const fn set_latency(&mut self, latency: Duration) {
        self.account.settings.latency = latency;
    }

    pub(in crate::sandbox) fn set_invoice_grace(&mut self, grace: Duration) -> Result<(), String> {
        check_grace(grace)?;
        self.account.settings.invoice_grace = grace;
        Ok(())
    }

    pub(in crate::sandbox) fn set_customers(&mut self, customers: Customers) {
        self.account.settings.customers = customers;
    }

    pub(in crate::sandbox) fn set_keys(&mut self, keys: Keys) {
        self.account.settings.keys = keys;
    }

    pub(in crate::sandbox) fn set_limits(&mut self, limits: Limits) {
        self.account.settings.limits = limits;
        self.meter_event_limiter = limits.meter_events.map(|limit| Limiter::of_second(Some(limit)));
        self.stream_limiter = limits.stream_events.map(|limit| Limiter::of_second(Some(limit)));
        self.global_limiter = Limiter::of_second(limits.global);
    }

    pub(in crate::sandbox) fn end_sessions(&mut self, now: Timestamp) {
        self.account.sessions.end(now);
    }

    pub(in crate::sandbox) fn create_meter(
        &mut self,
        meter: NewMeter,
        now: Timestamp,
    ) -> Result<Meter, String> {
        let created = self.account.meters.create(meter, now);
        created.cloned().map_err(|refusal| refusal.message().to_owned())
    }

    pub(in crate::sandbox) fn meters(&self) -> Vec<Meter> {
        self.account.meters.all.clone()
    }

    pub(in crate::sandbox) fn books(&mut self, now: Timestamp) -> Vec<BookLine> {
        self.account.settle(now);
        self.account.ledger.books(&self.account.meters)
    }

    pub(in crate::sandbox) fn events(
        &mut self,
        places: Range<usize>,
        now: Timestamp,
    ) -> Vec<EventLine> {
        self.account.settle(now);
        self.account.ledger.lines(places, &self.account.meters)
    }

    pub(in crate::sandbox) fn set_webhooks(
        &mut self,
        settings: WebhookSettings,
    ) -> Result<(), String> {
        settings.check()?;
        self.account.webhooks.set(settings);
        Ok(())
    }

    pub(in crate::sandbox) fn take_deliveries(
        &mut self,
        carrier: Carrier,
        now: Timestamp,
    ) -> Vec<WebhookDelivery> {
        // The courier asks ten times a second: without an endpoint of its own it disturbs nothing.
        if !self.account.webhooks.has(carrier) {
            return Vec::new();
        }
        self.account.settle(now);
        self.account.webhooks.take(carrier, now)
    }

    pub(in crate::sandbox) fn settle_delivery(
        &mut self,
        number: u64,
        status: Option<u16>,
        now: Timestamp,
    ) {
        self.account.webhooks.settle(number, status, now);
    }

    pub(in crate::sandbox) fn webhook_counts(&self) -> WebhookCounts {
        self.account.webhooks.counts()
    }

    pub(in crate::sandbox) fn statistics(&self) -> Statistics {
        self.counters.view()
    }
}
