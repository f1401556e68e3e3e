//! Carrying out. Here: what each sound request does to the account, and its answer. Never here:
//! keys, limits, faults; those are at the [`super::gate`]. Read next: [`super::ledger`].

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::announcements::{Announcements, Kind};
use super::checks::{Rules, Sound, check};
use super::customers::{Directory, Known};
use super::feed;
use super::invoices::{Invoices, Line};
use super::ledger::{Accepted, Ledger, NoCancel, RejectionCode};
use super::meter::{Meter, Meters};
use super::operation::{NewEvent, Operation, SummaryQuery};
use super::prices::Prices;
use super::refusal::{Refusal, Reply};
use super::reports::Reports;
use super::second;
use super::sessions::Sessions;
use super::settings::Settings;
use super::subscriptions::Subscriptions;
use super::summary::{self, Row};
use super::webhooks::Webhooks;
use crate::domain::time::Timestamp;

/// Everything an account holds.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) settings: Settings,
    pub(super) meters: Meters,
    pub(super) ledger: Ledger,
    pub(super) directory: Directory,
    pub(super) prices: Prices,
    pub(super) subscriptions: Subscriptions,
    /// What items have used that their subscription no longer bills by; on its next invoice.
    pub(super) removed: BTreeMap<usize, Vec<Line>>,
    pub(super) invoices: Invoices,
    pub(super) announcements: Announcements,
    pub(super) webhooks: Webhooks,
    pub(super) sessions: Sessions,
    reports: Reports,
}

/// Who asks, and what is to go wrong with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The request's place among all.
    pub(super) request: u64,
    /// Its idempotency key.
    pub(super) key: Option<&'a str>,
    /// Why an event is rejected after its acceptance, come what may.
    pub(super) doom: Option<RejectionCode>,
}

/// What came of a request that was carried out.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) reply: Reply,
    /// Meter events that were accepted.
    pub(super) accepted: u64,
    /// Meter events that were refused, or dropped, as duplicates.
    pub(super) duplicates: u64,
}

impl Performed {
    pub(super) fn plain(reply: Reply) -> Self {
        Self { reply, accepted: 0, duplicates: 0 }
    }
}

impl Account {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            meters: Meters::default(),
            ledger: Ledger::default(),
            directory: Directory::default(),
            prices: Prices::default(),
            subscriptions: Subscriptions::default(),
            removed: BTreeMap::new(),
            invoices: Invoices::default(),
            announcements: Announcements::default(),
            webhooks: Webhooks::default(),
            sessions: Sessions::default(),
            reports: Reports::default(),
        }
    }

    /// Lets everything take effect whose time has come, in the order of time.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(at) = self.next_step().filter(|at| *at <= now) {
            self.settle_events(at);
            // What was settled may have opened the report that closes first.
            if self.reports.next_due().is_some_and(|due| due <= at) {
                self.close_report(at);
            } else if self.next_billing() == Some(at) {
                self.step_billing();
            }
        }
        self.settle_events(now);
        self.announcements.forget(now);
        self.ledger.forget_identifiers(self.uniqueness_micros(), now);
    }

    /// When something is next to happen that may be announced.
    fn next_step(&self) -> Option<Timestamp> {
        let times = [self.next_billing(), self.reports.next_due(), self.ledger.next_due()];
        times.into_iter().flatten().min()
    }

    fn close_report(&mut self, at: Timestamp) {
        if let Some(report) = self.reports.close_first(&self.meters) {
            self.announcements.thin(report.name, report.meter, report.data, at);
            self.offer_newest();
        }
    }

    /// Queues what was announced last for the webhook endpoints.
    fn offer_newest(&mut self) {
        if let Some(newest) = self.announcements.newest() {
            self.webhooks.offer(newest);
        }
    }

    /// Announces that an object was changed, and hands it on.
    pub(super) fn announced(
        &mut self,
        kind: Kind,
        object: Value,
        before: Option<&Value>,
        now: Timestamp,
    ) -> Value {
        self.announcements.snapshot(kind, object.clone(), before, now);
        self.offer_newest();
        object
    }

    fn settle_events(&mut self, now: Timestamp) {
        let known = Known { directory: &self.directory, mode: &self.settings.customers };
        self.ledger.settle(&self.meters, &known, now);
        for rejection in self.ledger.take_rejections() {
            self.reports.add(&rejection, self.settings.report_seed);
        }
    }

    pub(super) fn uniqueness_micros(&self) -> i64 {
        i64::try_from(self.settings.uniqueness_window.as_micros()).unwrap_or(i64::MAX)
    }

    pub(super) fn due_at(&self, now: Timestamp) -> Timestamp {
        now.plus_micros(i64::try_from(self.settings.lag.as_micros()).unwrap_or(i64::MAX))
    }

    /// Carries out a sound request.
    pub(super) fn perform(
        &mut self,
        operation: &Operation,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Performed {
        self.settle(now);
        if let Operation::CreateEvent(event) = operation {
            return self.create_event(event, Rules::V1, asked, now);
        }
        if let Operation::Second(operation) = operation {
            return self.perform_second(operation, asked, now);
        }
        let done = self.perform_other(operation, now);
        Performed::plain(done.map_or_else(|refusal| refusal.reply(), |object| Reply::ok(&object)))
    }

    fn perform_other(&mut self, operation: &Operation, now: Timestamp) -> Result<Value, Refusal> {
        match operation {
            Operation::CreateEvent(_) | Operation::Second(_) => Err(Refusal::internal()),
            Operation::Account => Ok(json!({
                "id": self.settings.account,
                "object": "account",
                "type": "standard",
            })),
            Operation::CancelEvent { event_name, identifier } => {
                self.cancel_event(event_name, identifier, now)
            }
            Operation::CreateMeter(new) => self.meters.create(new.clone(), now).map(Meter::object),
            Operation::ListMeters { active, page } => {
                let wanted = |meter: &&Meter| active.is_none_or(|it| it == meter.is_active());
                let newest_first = self.meters.all.iter().rev().filter(wanted);
                let row = |meter: &Meter| Row { id: meter.id.clone(), object: meter.object() };
                summary::page(newest_first.map(row).collect(), page, "/v1/billing/meters")
            }
            Operation::RetrieveMeter(id) => Ok(self.meters.find(id)?.1.object()),
            Operation::UpdateMeter { id, display_name } => {
                let before = self.meters.find(id)?.1.object();
                let after = self.meters.rename(id, display_name.clone(), now)?.object();
                Ok(self.announced(Kind::MeterUpdated, after, Some(&before), now))
            }
            Operation::DeactivateMeter(id) => {
                let meter = self.meters.switch(id, false, now)?.object();
                Ok(self.announced(Kind::MeterDeactivated, meter, None, now))
            }
            Operation::ReactivateMeter(id) => {
                let meter = self.meters.switch(id, true, now)?.object();
                Ok(self.announced(Kind::MeterReactivated, meter, None, now))
            }
            Operation::Summaries { id, query } => self.summaries(id, query),
            Operation::Billing(operation) => self.perform_billing(operation, now),
            Operation::Feed(operation) => feed::perform(&self.announcements, operation),
        }
    }

    fn summaries(&self, id: &str, query: &SummaryQuery) -> Result<Value, Refusal> {
        let (index, meter) = self.meters.find(id)?;
        if !self.directory.knows(&self.settings.customers, &query.customer) {
            return Err(Refusal::no_reference("customer", &query.customer, "customer"));
        }
        let tally = self.ledger.tally(index, &query.customer);
        let url = format!("/v1/billing/meters/{id}/event_summaries");
        summary::page(summary::rows(meter, tally, query), &query.page, &url)
    }

    /// Accepts an event or refuses it, at once.
    pub(super) fn create_event(
        &mut self,
        event: &NewEvent,
        rules: Rules,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Performed {
        let timestamp = event.timestamp.unwrap_or_else(|| now.seconds());
        let identifier = self.identifier_of(event);
        let sound = match check(&self.meters, event, rules, timestamp, now) {
            Ok(sound) => sound,
            Err(fault) => {
                let refusal = match rules {
                    Rules::V1 => fault.in_v1(),
                    Rules::V2 => fault.in_v2(),
                };
                return Performed::plain(refusal.reply());
            }
        };
        if self.ledger.is_taken(&identifier, self.uniqueness_micros(), now) {
            let refusal = match rules {
                Rules::V1 => Refusal::duplicate(&identifier),
                Rules::V2 => Refusal::duplicate(&identifier).code("duplicate_meter_event"),
            };
            return Performed { duplicates: 1, ..Performed::plain(refusal.reply()) };
        }
        let object = match rules {
            Rules::V1 => json!({
                "object": "billing.meter_event",
                "created": now.seconds(),
                "event_name": event.event_name,
                "identifier": identifier,
                "livemode": false,
                "payload": event.payload,
                "timestamp": timestamp,
            }),
            Rules::V2 => second::object(event, &identifier, timestamp, now),
        };
        let Sound { meter, customer, value } = sound;
        let identifier = identifier.as_str();
        let Asked { request, key, doom } = *asked;
        let accepted =
            Accepted { meter, customer, value, identifier, timestamp, doom, request, key };
        let due_at = self.due_at(now);
        self.directory.name(&self.settings.customers, customer, now);
        self.ledger.book(&accepted, now, due_at);
        Performed { accepted: 1, ..Performed::plain(Reply::ok(&object)) }
    }

    /// Its own name, or one that is made for it.
    pub(super) fn identifier_of(&self, event: &NewEvent) -> String {
        event.identifier.clone().unwrap_or_else(|| self.generate_identifier())
    }

    /// A name for an event that came without one, in the form of a UUID. It hashes the account and
    /// the event's place in it, so that a replayed run names the same event alike.
    fn generate_identifier(&self) -> String {
        let account = &self.settings.account;
        let digest = Sha256::digest(format!("{account}\n{}", self.ledger.next_receipt()));
        let text = hex::encode(digest);
        let part = |from: usize, until: usize| text.get(from..until).unwrap_or_default();
        let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
        parts.join("-")
    }

    /// Cancels one event. Which errors Stripe answers is unpublished, so all are plain 400s; that
    /// cancelling twice is one of them is the stricter reading.
    fn cancel_event(
        &mut self,
        event_name: &str,
        identifier: &str,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        // An inactive meter's events can be cancelled: only new events are said to be refused.
        let (meter, _) = self.meters.named(event_name).ok_or_else(|| {
            Refusal::invalid(format!("No meter found for event name \"{event_name}\""))
        })?;
        let due_at = self.due_at(now);
        self.ledger.cancel(meter, identifier, now, due_at).map_err(|why| {
            let message = match why {
                NoCancel::Unknown => format!("No event found with identifier {identifier}."),
                NoCancel::TooLate => {
                    format!("The event {identifier} was received more than 24 hours ago.")
                }
                NoCancel::Already => format!("The event {identifier} is cancelled already."),
            };
            Refusal::invalid(message).param("cancel[identifier]")
        })?;
        Ok(json!({
            "object": "billing.meter_event_adjustment",
            "cancel": { "identifier": identifier },
            "event_name": event_name,
            "livemode": false,
            "status": if due_at > now { "pending" } else { "complete" },
            "type": "cancel",
        }))
    }
}
