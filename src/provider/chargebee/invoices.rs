//! Invoices as a site tells them. PURE. Here: its object becomes what it bills of item prices, and
//! how far it has come. Never here: a request for it ([`super::billing`]). Read next:
//! [`super::events`].
//!
//! A pending invoice still takes usage of its term, until it is closed: by a person, or by itself
//! after a wait that is set at the site and told by no answer. When it is closed it has another id
//! (a pending one's starts with `draft_inv_`, and is reported to change). An item price that was
//! not used has no line.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Number;

use super::objects;
use crate::domain::billing::{BilledTerm, Invoice, InvoiceLine, InvoiceStatus};
use crate::domain::names::{
    AccountName, InvoiceId, LineId, PriceId, ProviderMeter, SubscriptionId,
};
use crate::domain::quantity::Quantity;
use crate::domain::time::{MICROS_PER_HOUR, Timestamp};

/// Most pages of lines that are read of one invoice: 6,000 lines of 300.
pub const LINE_PAGES_MAX: usize = 20;

/// An invoice as it is told, while its lines are read.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    id: String,
    status: String,
    subscription_id: Option<String>,
    #[serde(default)]
    recurring: bool,
    date: Option<i64>,
    /// The schema has it as any number.
    generated_at: Option<Number>,
    voided_at: Option<i64>,
    updated_at: Option<i64>,
    #[serde(default)]
    line_items: Vec<Line>,
    line_items_next_offset: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Line {
    id: Option<String>,
    subscription_id: Option<String>,
    date_from: i64,
    date_to: i64,
    quantity: Option<Number>,
    quantity_in_decimal: Option<String>,
    entity_type: String,
    entity_id: Option<String>,
}

#[derive(Deserialize)]
struct One {
    invoice: Told,
}

/// Reads the invoice of an answer, or of a row of a list.
///
/// # Errors
/// A sentence, when it is none.
pub fn read(body: &[u8]) -> Result<Told, String> {
    let one: Result<One, _> = serde_json::from_slice(body);
    one.map(|one| one.invoice).map_err(|_| "the invoice has not the form of one".into())
}

impl Told {
    /// What the next page of its lines is asked for with, when it has more than it showed.
    #[must_use]
    pub fn more_lines(&self) -> Option<&str> {
        self.line_items_next_offset.as_deref()
    }

    /// Its id, as it was told.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is over terms of subscriptions.
    #[must_use]
    pub const fn is_recurring(&self) -> bool {
        self.recurring
    }

    /// Takes the next page of its lines.
    ///
    /// # Errors
    /// A sentence, when it is no page of this invoice.
    pub fn take_lines(&mut self, body: &[u8]) -> Result<(), String> {
        let page = read(body)?;
        if page.id != self.id {
            return Err(format!("the lines of the invoice {:?} are of another one", self.id));
        }
        if page.line_items_next_offset.is_some()
            && page.line_items_next_offset == self.line_items_next_offset
        {
            return Err(format!("the lines of the invoice {:?} go round in circles", self.id));
        }
        self.line_items.extend(page.line_items);
        self.line_items_next_offset = page.line_items_next_offset;
        Ok(())
    }

    /// What it comes to, once all of its lines are there; lines of item prices that are not among
    /// `known` are left out. Pending, it closes `closes_after_hours` after its date.
    ///
    /// # Errors
    /// A sentence that names the field at fault.
    pub fn find(
        &self,
        known: &[ProviderMeter],
        closes_after_hours: u32,
    ) -> Result<Invoice, String> {
        self.read(known, closes_after_hours)
            .map_err(|why| format!("of the invoice {:?}, {why}", self.id))
    }

    fn read(&self, known: &[ProviderMeter], closes_after_hours: u32) -> Result<Invoice, String> {
        if self.line_items_next_offset.is_some() {
            return Err(format!("the lines have no end: more than {LINE_PAGES_MAX} pages"));
        }
        let status = self.status()?;
        let generated_at = self.generated_at.as_ref().and_then(Number::as_i64);
        let made_at = self.date.or(generated_at).ok_or("it has no date")?;
        let created_at = objects::time("date", made_at)?;
        let final_since = match status {
            InvoiceStatus::Draft => None,
            InvoiceStatus::Final => generated_at.or(self.updated_at),
            InvoiceStatus::Void => self.voided_at.or(self.updated_at),
        };
        let wait = i64::from(closes_after_hours) * MICROS_PER_HOUR;
        let finalizes_at = created_at.plus_micros(wait);
        let mut lines = Vec::new();
        for line in &self.line_items {
            let meter = line.meter(known);
            lines.extend(meter.map(|meter| self.line(line, meter)).transpose()?.flatten());
        }
        Ok(Invoice {
            id: objects::named("id", &self.id, InvoiceId::new)?,
            status,
            created_at,
            finalizes_at: (status == InvoiceStatus::Draft).then_some(finalizes_at),
            finalized_at: objects::time_or_none("generated_at", final_since)?,
            term: self.term(&lines, created_at)?,
            lines,
        })
    }

    fn status(&self) -> Result<InvoiceStatus, String> {
        match self.status.as_str() {
            "pending" => Ok(InvoiceStatus::Draft),
            "paid" | "posted" | "payment_due" | "not_paid" => Ok(InvoiceStatus::Final),
            "voided" => Ok(InvoiceStatus::Void),
            // Whether usage still comes into it would be a guess.
            word => Err(format!("its status is none that is known: {word:?}")),
        }
    }

    /// The term of its one subscription, unless it bills several.
    fn term(
        &self,
        lines: &[InvoiceLine],
        billed_at: Timestamp,
    ) -> Result<Option<BilledTerm>, String> {
        let Some(subscription) = self.subscription_id.as_ref().filter(|_| self.recurring) else {
            return Ok(None);
        };
        let subscription = objects::named("subscription_id", subscription, SubscriptionId::new)?;
        let of: BTreeSet<&SubscriptionId> = lines.iter().map(|line| &line.subscription).collect();
        let is_its_own = of.iter().all(|each| **each == subscription);
        Ok(is_its_own.then_some(BilledTerm { subscription, billed_at }))
    }

    /// A line that bills `meter`; nothing where it bills nothing of it.
    fn line(&self, line: &Line, meter: &ProviderMeter) -> Result<Option<InvoiceLine>, String> {
        let Some(quantity) = line.quantity()? else { return Ok(None) };
        if line.date_from == line.date_to && quantity.is_zero() {
            return Ok(None);
        }
        // An invoice over several subscriptions names none itself.
        let subscription = line.subscription_id.as_ref().or(self.subscription_id.as_ref());
        let subscription = subscription.ok_or("it has a line of no subscription")?;
        let id = line.id.as_ref().ok_or("it has a line without an id")?;
        let field = "the subscription_id of a line";
        Ok(Some(InvoiceLine {
            id: objects::named("the id of a line", id, LineId::new)?,
            subscription: objects::named(field, subscription, SubscriptionId::new)?,
            account: objects::named(field, subscription, AccountName::new)?,
            price: objects::named("the entity_id of a line", meter.as_str(), PriceId::new)?,
            meter: meter.clone(),
            period: objects::window("the dates of a line", (line.date_from, line.date_to))?,
            quantity,
        }))
    }
}

impl Line {
    fn meter<'a>(&self, known: &'a [ProviderMeter]) -> Option<&'a ProviderMeter> {
        let is_price = matches!(self.entity_type.as_str(), "plan_item_price" | "addon_item_price");
        let id = self.entity_id.as_deref().filter(|_| is_price)?;
        known.iter().find(|meter| meter.as_str() == id)
    }

    /// How much it bills: by the decimal text where there is one, as the number beside it is
    /// rounded.
    fn quantity(&self) -> Result<Option<Quantity>, String> {
        let whole = || self.quantity.as_ref().map(ToString::to_string);
        let Some(text) = self.quantity_in_decimal.clone().or_else(whole) else { return Ok(None) };
        let quantity = Quantity::parse_unbounded(&text);
        quantity.map(Some).map_err(|why| format!("the quantity of a line {why}"))
    }
}

#[cfg(test)]
mod tests;
