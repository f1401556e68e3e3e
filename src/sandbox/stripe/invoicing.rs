//! Time and money. Here: what the ends of periods bill, and what is frozen when a draft's grace is
//! over. Never here: how an invoice looks. Read next: [`super::invoices`].
//!
//! A line bills the events of its customer and meter that are stamped inside its period and were
//! received before the invoice was finalized. What is received later counts nowhere. No invoice is
//! made when a subscription begins: Stripe's has nothing of usage on it.

use std::ops::Range;

use bigdecimal::BigDecimal;
use serde_json::Value;

use super::announcements::Kind;
use super::billing_request::InvoiceQuery;
use super::customers::Known;
use super::invoices::{Draft, Invoice, Line, Reason, Source};
use super::operation::Page;
use super::perform::Account;
use super::refusal::Refusal;
use super::subscriptions::{Item, Status, Subscription};
use super::summary::{self, Row};
use crate::domain::time::Timestamp;

impl Account {
    /// When the next period ends or the next draft is finalized.
    pub(super) fn next_billing(&self) -> Option<Timestamp> {
        let (end, due) = (self.subscriptions.next_end(), self.invoices.next_due());
        let first = end.into_iter().chain(due).map(|(at, _)| at).min();
        first.map(Timestamp::from_seconds)
    }

    /// Does what is due first. A draft goes before a period that ends in the same second.
    pub(super) fn step_billing(&mut self) {
        let (end, due) = (self.subscriptions.next_end(), self.invoices.next_due());
        match (end, due) {
            (Some((end, place)), Some((due, _))) if end < due => self.end_period(place, end),
            (_, Some((at, place))) => self.finalize(place, at),
            (Some((at, place)), None) => self.end_period(place, at),
            (None, None) => {}
        }
    }

    /// What one customer used, as far as it was received by now.
    fn usage(&self, source: &Source) -> BigDecimal {
        let known = Known { directory: &self.directory, mode: &self.settings.customers };
        let Some(meter) = self.meters.all.get(source.meter) else { return BigDecimal::default() };
        self.ledger.usage((source.meter, meter), &source.customer, &source.period, &known)
    }

    pub(super) fn invoice_object(&self, invoice: &Invoice) -> Value {
        invoice.object(&self.prices, |source| self.usage(source))
    }

    fn line(&self, customer: &str, item: &Item, until: i64) -> Option<Line> {
        let meter = self.prices.at(item.price)?.meter;
        let (customer, period) = (customer.to_owned(), item.since..until);
        let source = Source { customer, meter, period };
        Some(Line { item: item.id.clone(), price: item.price, source, frozen: None })
    }

    /// Drafts the invoice over what the subscription's items bill until `until`.
    fn draft(&mut self, place: usize, until: i64, reason: Reason, finalizes_at: i64) {
        let mut lines = self.removed.remove(&place).unwrap_or_default();
        let Ok(found) = self.subscriptions.at(place) else { return };
        let (customer, start) = (found.customer.clone(), found.period.start);
        lines.extend(found.items.iter().filter_map(|item| self.line(&customer, item, until)));
        let (subscription, period): (String, Range<i64>) = (found.id.clone(), start..until);
        let created = until;
        let draft = Draft { customer, subscription, reason, period, lines, created, finalizes_at };
        let invoice = self.invoices.add(draft);
        if let Ok(Invoice { id, .. }) = self.invoices.at(invoice) {
            self.subscriptions.set_latest_invoice(place, id);
        }
        self.announce_invoice(Kind::InvoiceCreated, invoice, until);
    }

    fn announce_invoice(&mut self, kind: Kind, place: usize, at: i64) {
        let Ok(invoice) = self.invoices.at(place) else { return };
        let object = self.invoice_object(invoice);
        self.announced(kind, object, None, Timestamp::from_seconds(at));
    }

    fn end_period(&mut self, place: usize, at: i64) {
        let grace = i64::try_from(self.settings.invoice_grace.as_secs()).unwrap_or(i64::MAX);
        let Ok(before) = self.subscriptions.at(place).map(|it| it.object(&self.prices)) else {
            return;
        };
        self.draft(place, at, Reason::Cycle, at.saturating_add(grace));
        self.subscriptions.turn(place).expect("the list of ends names subscriptions that exist");
        let Ok(found) = self.subscriptions.at(place) else { return };
        let (ended, after) = (found.status == Status::Canceled, found.object(&self.prices));
        let at = Timestamp::from_seconds(at);
        if ended {
            self.announced(Kind::SubscriptionDeleted, after, None, at);
        } else {
            self.announced(Kind::SubscriptionUpdated, after, Some(&before), at);
        }
    }

    fn finalize(&mut self, place: usize, at: i64) {
        let Ok(invoice) = self.invoices.at(place) else { return };
        let sources = invoice.draft.lines.iter().filter(|line| line.frozen.is_none());
        let used: Vec<BigDecimal> = sources.map(|line| self.usage(&line.source)).collect();
        self.invoices.finalize(place, at, used);
        self.announce_invoice(Kind::InvoiceFinalized, place, at);
    }

    /// Bills what was used of the open period, without a grace.
    pub(super) fn invoice_now(&mut self, place: usize, now: i64) {
        self.draft(place, now, Reason::Update, now);
        if let Some(invoice) = self.invoices.last() {
            self.finalize(invoice, now);
        }
    }

    /// Keeps what items have used that are no longer billed by their price. It is on the next
    /// invoice, frozen as it was when the plan changed: Stripe drops what is reported after that.
    pub(super) fn keep_removed(&mut self, place: usize, before: &Subscription, now: i64) {
        let Ok(after) = self.subscriptions.at(place) else { return };
        let is_gone = |item: &&Item| {
            let stays = |other: &Item| (&other.id, other.price) == (&item.id, item.price);
            !after.items.iter().any(stays) && item.since < now
        };
        let gone = before.items.iter().filter(is_gone);
        let lines = gone.filter_map(|item| self.line(&before.customer, item, now));
        let freeze = |line: Line| Line { frozen: Some(self.usage(&line.source)), ..line };
        let lines: Vec<Line> = lines.map(freeze).collect();
        if !lines.is_empty() {
            self.removed.entry(place).or_default().extend(lines);
        }
    }

    pub(super) fn list_invoices(&self, query: &InvoiceQuery) -> Result<Value, Refusal> {
        let is_wanted = |found: &&Invoice| {
            let draft = &found.draft;
            query.customer.as_ref().is_none_or(|customer| draft.customer == *customer)
                && query.subscription.as_ref().is_none_or(|it| draft.subscription == *it)
                && query.status.is_none_or(|status| status == Some(found.status()))
                && query.created.contains(&draft.created)
        };
        let rows = self.invoices.newest_first().filter(is_wanted);
        let row = |it: &Invoice| Row { id: it.id.clone(), object: self.invoice_object(it) };
        summary::page(rows.map(row).collect(), &query.page, "/v1/invoices")
    }

    pub(super) fn list_lines(&self, id: &str, page: &Page) -> Result<Value, Refusal> {
        let invoice = self.invoices.find(id)?;
        let lines = invoice.lines(&self.prices, |source| self.usage(source));
        let row = |object: Value| Row {
            id: object["id"].as_str().unwrap_or_default().to_owned(),
            object,
        };
        let url = format!("/v1/invoices/{id}/lines");
        summary::page(lines.into_iter().map(row).collect(), page, &url)
    }
}
