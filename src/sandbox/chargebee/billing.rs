//! Time and money. Here: what the ends of terms bill, and what becomes of invoices. Never here: how
//! an invoice looks ([`super::invoices`]). Read next: [`super::books`].
//!
//! At a term's end there is a pending invoice over it, where the subscription had a metered price;
//! whether Chargebee makes one that has no line yet is unconfirmed. While it is pending, usages of
//! its term still join and leave it. When it is closed its lines are what they are, and what is
//! dated into its term later is stored and never billed.

use std::ops::Range;

use bigdecimal::BigDecimal;
use serde_json::{Value, json};

use super::catalog::{Aggregation, PriceIndex};
use super::events::{Cause, EventType};
use super::invoices::{
    self, Addressee, Invoice, InvoiceIndex, InvoiceStatus, Line, amount, line_id,
};
use super::operation::{InvoiceAct, Lines};
use super::query::Query;
use super::refusal::Refusal;
use super::site::{Site, listed};
use super::subscriptions::{Ended, Status, Subscription, SubscriptionIndex};
use super::usages::{State, Usage, UsageIndex};
use crate::domain::time::Timestamp;

/// What lists and events show of an invoice's lines: all that fit.
const EVERY_LINE: Lines = Lines { limit: 300, offset: 0 };

/// Why a usage is not billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbilled {
    /// It is dated outside of the times at which its subscription was active or non-renewing.
    Inactive,
    /// It is dated outside of the times at which its subscription had the item price.
    PriceAbsent,
    /// Its term's invoice was closed before it came, or was deleted.
    TermInvoiced,
    /// Its term's invoice was voided, and nobody made another.
    InvoiceVoided,
}

/// Whether a subscription's rules let a usage of `price` at `at` be billed.
pub(super) fn check_billable(
    subscription: &Subscription,
    price: PriceIndex,
    at: i64,
) -> Result<(), Unbilled> {
    let ends = subscription.status == Status::NonRenewing && at >= subscription.term.end;
    if ends || !subscription.billable.iter().any(|span| span.contains(&at)) {
        return Err(Unbilled::Inactive);
    }
    let had = subscription.held.iter().any(|held| held.price == price && held.span.contains(&at));
    if had { Ok(()) } else { Err(Unbilled::PriceAbsent) }
}

impl Site {
    /// Lets everything take effect whose time has come, in the order of time. An invoice closes
    /// before a term ends in the same second.
    pub(super) fn settle(&mut self, now: Timestamp) {
        loop {
            let (due, closing) = (self.subscriptions.next_due(), self.invoices.next_due());
            let is_past = |at: i64| Timestamp::from_seconds(at) <= now;
            match (due, closing) {
                (due, Some((at, invoice)))
                    if is_past(at) && due.is_none_or(|(other, _)| at <= other) =>
                {
                    self.close(invoice, Cause::ScheduledJob, Timestamp::from_seconds(at));
                }
                (Some((at, place)), _) if is_past(at) => self.turn(place, at),
                (Some(_) | None, Some(_) | None) => return,
            }
        }
    }

    /// Lets a subscription do what is due at `at`.
    fn turn(&mut self, place: SubscriptionIndex, at: i64) {
        let Ok(status) = self.subscriptions.at(place).map(|it| it.status) else { return };
        let kind = match status {
            Status::Future => {
                self.start(place, at);
                EventType::SubscriptionStarted
            }
            Status::InTrial => {
                self.activate(place, at);
                EventType::SubscriptionActivated
            }
            Status::Active => {
                self.end_term(place, at);
                self.change_at(place, at, |it| it.begin_term(at));
                EventType::SubscriptionRenewed
            }
            Status::NonRenewing => {
                self.end_term(place, at);
                self.change_at(place, at, |it| {
                    it.cease_to_be_billable(at);
                    it.status = Status::Cancelled;
                });
                EventType::SubscriptionCancelled
            }
            // The pending invoice is told of; the subscription stays as it is.
            Status::Paused => return self.end_term(place, at),
            // Nothing is due of one that is cancelled.
            Status::Cancelled => return,
        };
        self.tell_of_subscription(kind, Cause::ScheduledJob, place, Timestamp::from_seconds(at));
    }

    /// Begins a subscription: its trial, or its first term.
    pub(super) fn start(&mut self, place: SubscriptionIndex, at: i64) {
        let has_trial = self.subscriptions.at(place).is_ok_and(|it| it.trial_end > Some(at));
        if has_trial {
            self.change_at(place, at, |it| it.status = Status::InTrial);
        } else {
            self.activate(place, at);
        }
    }

    fn activate(&mut self, place: SubscriptionIndex, at: i64) {
        self.change_at(place, at, |it| {
            it.become_billable(at);
            it.begin_term(at);
            it.activated_at = Some(at);
        });
    }

    fn change_at(
        &mut self,
        place: SubscriptionIndex,
        at: i64,
        change: impl FnOnce(&mut Subscription),
    ) {
        let stamp = self.stamp(Timestamp::from_seconds(at));
        let changed = self.subscriptions.change(place, |it| {
            change(it);
            it.stamp = stamp;
        });
        changed.expect("the list of what is due names subscriptions that exist");
    }

    /// Ends the open term, and makes the pending invoice over it.
    pub(super) fn end_term(&mut self, place: SubscriptionIndex, at: i64) {
        let Ok(found) = self.subscriptions.at(place) else { return };
        let (term, is_first) = (found.term.start..at, found.ended.is_empty());
        let prices = found.had_within(&term);
        let is_metered =
            |place: &PriceIndex| self.catalog.at(*place).is_some_and(|it| it.new.metered);
        let mut invoice = None;
        if prices.iter().any(is_metered) {
            let pending = i64::try_from(self.settings.pending.as_secs()).unwrap_or(i64::MAX);
            let stamp = self.stamp(Timestamp::from_seconds(at));
            let closes_at = at.saturating_add(pending);
            invoice = Some(self.invoices.add(place, term.clone(), closes_at, is_first, stamp));
        }
        self.change_at(place, at, |it| {
            it.term.end = at;
            it.term_is_open = false;
            it.ended.push(Ended { term, invoice });
        });
        if let Some(invoice) = invoice {
            let at = Timestamp::from_seconds(at);
            self.tell_of_invoice(
                EventType::PendingInvoiceCreated,
                Cause::ScheduledJob,
                invoice,
                at,
            );
        }
    }

    /// What a term comes to by now: a line for each metered price that has a usage which counts.
    pub(super) fn lines_of(&self, place: SubscriptionIndex, term: &Range<i64>) -> Vec<Line> {
        let Ok(found) = self.subscriptions.at(place) else { return Vec::new() };
        let counting: Vec<(PriceIndex, UsageIndex)> = found
            .usages
            .range((term.start, 0)..(term.end, 0))
            .filter(|((at, price), _)| check_billable(found, *price, *at).is_ok())
            .map(|((_, price), usage)| (*price, *usage))
            .collect();
        let line = |price: PriceIndex| {
            let its = counting.iter().filter(|(other, _)| *other == price);
            let usages: Vec<UsageIndex> = its.map(|(_, usage)| *usage).collect();
            let quantity = self.aggregate(price, &usages)?;
            Some(Line { price, quantity, usages })
        };
        found.had_within(term).into_iter().filter_map(line).collect()
    }

    /// What usages of one price and term, in the order of their dates, come to.
    pub(super) fn aggregate(&self, price: PriceIndex, usages: &[UsageIndex]) -> Option<BigDecimal> {
        let quantity = |place: &UsageIndex| self.usages.at(*place).ok().map(|it| &it.quantity);
        let mut quantities = usages.iter().filter_map(quantity);
        let aggregation = self.catalog.at(price)?.new.aggregation;
        match aggregation {
            Aggregation::Sum if usages.is_empty() => None,
            Aggregation::Sum => Some(quantities.sum()),
            Aggregation::MostRecent => quantities.next_back().cloned(),
            Aggregation::Max => quantities.max().cloned(),
        }
    }

    pub(super) fn lines(&self, invoice: &Invoice) -> Vec<Line> {
        match &invoice.lines {
            Some(lines) => lines.clone(),
            None => self.lines_of(invoice.subscription, &invoice.term),
        }
    }

    /// The ids of the invoice and line that a usage bears, if it bears any.
    pub(super) fn invoice_of(&self, usage: &Usage) -> Option<(&str, String)> {
        let invoice = match usage.state {
            State::Invoiced { invoice, .. } => self.invoices.at(invoice).ok()?,
            State::Stored if self.settings.pending_is_invoiced => self.pending_of(usage)?,
            State::Stored | State::Deleted { .. } | State::Destroyed { .. } => return None,
        };
        Some((&invoice.id, line_id(invoice.place, usage.price)))
    }

    /// The pending invoice that a stored usage is on.
    fn pending_of(&self, usage: &Usage) -> Option<&Invoice> {
        let found = self.subscriptions.at(usage.subscription).ok()?;
        let invoice = self.invoices.at(found.ended_at(usage.usage_date)?.invoice?).ok()?;
        let is_pending = invoice.status == InvoiceStatus::Pending && !invoice.deleted;
        let is_billable = check_billable(found, usage.price, usage.usage_date).is_ok();
        (is_pending && is_billable).then_some(invoice)
    }

    pub(super) fn invoice(&self, place: InvoiceIndex, shown: Lines) -> Result<Value, Refusal> {
        let invoice = self.invoices.at(place)?;
        let (lines, to) = (self.lines(invoice), self.addressee(invoice.subscription)?);
        Ok(invoice.object(to, &lines, shown, &self.catalog, self.settings.multi_decimal))
    }

    fn addressee(&self, place: SubscriptionIndex) -> Result<Addressee<'_>, Refusal> {
        let found = self.subscriptions.at(place)?;
        Ok(Addressee { subscription: &found.id, customer: &found.customer })
    }

    pub(super) fn list_invoices(&self, query: &Query) -> Value {
        let rows = self.invoices.all().filter(|(_, it)| query.include_deleted || !it.deleted);
        let shown = rows.filter_map(|(place, invoice)| {
            let to = self.addressee(invoice.subscription).ok()?;
            Some((place, invoices::Shown { invoice, to }))
        });
        listed("invoice", query.page(shown), |row| {
            self.invoice(row.invoice.place, EVERY_LINE).unwrap_or_default()
        })
    }

    fn tell_of_invoice(
        &mut self,
        kind: EventType,
        cause: Cause,
        place: InvoiceIndex,
        at: Timestamp,
    ) {
        if let Ok(object) = self.invoice(place, EVERY_LINE) {
            self.tell(kind, cause, json!({ "invoice": object }), at);
        }
    }

    pub(super) fn tell_of_subscription(
        &mut self,
        kind: EventType,
        cause: Cause,
        place: SubscriptionIndex,
        at: Timestamp,
    ) {
        if let Ok(found) = self.subscriptions.at(place) {
            let content = self.subscription(found);
            self.tell(kind, cause, content, at);
        }
    }

    pub(super) fn change_invoice(
        &mut self,
        id: &str,
        act: InvoiceAct,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let place = self.invoices.place(id)?;
        let status = self.invoices.at(place)?.status;
        let is_pending = status == InvoiceStatus::Pending;
        let refused = |what: &str| Refusal::wrong_state(format!("The invoice {id} {what}"));
        match act {
            InvoiceAct::Close | InvoiceAct::SyncUsages if !is_pending => {
                return Err(refused("is not pending"));
            }
            InvoiceAct::Void if status == InvoiceStatus::Voided => {
                return Err(refused("is voided already"));
            }
            // Its lines follow its usages at all times.
            InvoiceAct::SyncUsages => {}
            InvoiceAct::Close => self.close(place, Cause::Api, now),
            InvoiceAct::Void => self.void(place, now),
            InvoiceAct::Delete => self.delete_invoice(place, now),
        }
        Ok(json!({ "invoice": self.invoice(place, EVERY_LINE)? }))
    }

    /// Closes a pending invoice: from here on its lines are what they are, and its usages are
    /// invoiced.
    fn close(&mut self, place: InvoiceIndex, cause: Cause, at: Timestamp) {
        let Ok(invoice) = self.invoices.at(place) else { return };
        let lines = self.lines(invoice);
        let costs: i64 = lines.iter().map(|line| amount(line, &self.catalog)).sum();
        let stamp = self.stamp(at);
        for (number, line) in lines.iter().enumerate() {
            for usage in &line.usages {
                let state = State::Invoiced { invoice: place, line: number };
                self.usages.set(*usage, state, stamp);
            }
        }
        self.invoices.change(place, |it| {
            let is_free = costs == 0;
            it.status = if is_free { InvoiceStatus::Paid } else { InvoiceStatus::PaymentDue };
            it.lines = Some(lines);
            it.closed_at = Some(at.seconds());
            it.stamp = stamp;
        });
        if self.settings.renames_invoices {
            self.invoices.rename(place);
        }
        self.tell_of_invoice(EventType::InvoiceGenerated, cause, place, at);
    }

    /// Voids an invoice: its usages are free again. Nothing bills them until somebody has the
    /// invoice made anew, which is not part of this stand-in.
    fn void(&mut self, place: InvoiceIndex, now: Timestamp) {
        let Ok(invoice) = self.invoices.at(place) else { return };
        let lines = self.lines(invoice);
        let stamp = self.stamp(now);
        for usage in lines.iter().flat_map(|line| &line.usages) {
            self.usages.set(*usage, State::Stored, stamp);
        }
        self.invoices.change(place, |it| {
            it.status = InvoiceStatus::Voided;
            it.lines = Some(lines);
            it.voided_at = Some(now.seconds());
            it.stamp = stamp;
        });
        self.tell_of_invoice(EventType::InvoiceUpdated, Cause::Api, place, now);
    }

    /// Deletes an invoice, and with it for good the usages that are on it.
    fn delete_invoice(&mut self, place: InvoiceIndex, now: Timestamp) {
        let Ok(invoice) = self.invoices.at(place) else { return };
        let (lines, subscription) = (self.lines(invoice), invoice.subscription);
        // What a void has freed is not on the invoice any more.
        let is_voided = invoice.status == InvoiceStatus::Voided;
        let stamp = self.stamp(now);
        for place in lines.iter().flat_map(|line| &line.usages).filter(|_| !is_voided) {
            self.usages.set(*place, State::Destroyed { at: now }, stamp);
            let Ok(usage) = self.usages.at(*place) else { continue };
            let standing = (usage.usage_date, usage.price);
            let freed = self.subscriptions.change(subscription, |it| it.usages.remove(&standing));
            freed.expect("an invoice is of a subscription that exists");
        }
        self.invoices.change(place, |it| {
            it.lines = Some(lines);
            it.deleted = true;
            it.stamp = stamp;
        });
        self.tell_of_invoice(EventType::InvoiceDeleted, Cause::Api, place, now);
    }
}
