//! Invoices as Stripe tells them. PURE. Here: its object becomes what it bills of meters, and how
//! far it has come. Never here: a request for it ([`super::billing`]). Read next: [`super::feeds`].
//!
//! A line names its price and not its meter, so each is read in two steps: first the lines, then
//! what their prices bill.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::objects::{self, NoObject, Period, ROWS_PER_PAGE, Reference};
use super::prices::{Bills, KnownMeters};
use crate::domain::billing::{Invoice, InvoiceLine, InvoiceStatus};
use crate::domain::names::{
    AccountName, InvoiceId, LineId, PriceId, ProviderMeter, SubscriptionId,
};
use crate::domain::quantity::{Quantity, TEXT_BYTES_MAX};

/// Most pages of lines that are read of one invoice. A subscription has 20 items, and a price with
/// tiers a line for each: 2,000 lines are a hundred for every item.
pub const LINE_PAGES_MAX: usize = 20;

/// An invoice as it was told, while its lines are read.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    id: String,
    object: String,
    livemode: bool,
    status: String,
    customer: Option<Reference>,
    created: i64,
    automatically_finalizes_at: Option<i64>,
    status_transitions: Transitions,
    parent: Option<InvoiceParent>,
    lines: Lines,
}

#[derive(Clone, Debug, Deserialize)]
struct Transitions {
    finalized_at: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct InvoiceParent {
    subscription_details: Option<Details>,
}

/// What something was made by.
#[derive(Clone, Debug, Deserialize)]
struct Details {
    subscription: Option<Reference>,
}

#[derive(Clone, Debug, Deserialize)]
struct Lines {
    data: Vec<Line>,
    has_more: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Line {
    id: String,
    livemode: bool,
    period: Period,
    pricing: Option<Pricing>,
    parent: Option<LineParent>,
    quantity_decimal: Option<String>,
    quantity: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Pricing {
    price_details: Option<PriceDetails>,
}

#[derive(Clone, Debug, Deserialize)]
struct PriceDetails {
    price: Option<Reference>,
}

#[derive(Clone, Debug, Deserialize)]
struct LineParent {
    subscription_item_details: Option<Details>,
}

/// What an invoice came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The invoice; nothing where it is nobody's whose usage could be told. Its lines of meters
    /// that are not known are left out.
    pub invoice: Option<Invoice>,
    /// The ids of those meters.
    pub strangers: Vec<String>,
}

/// Reads an invoice; nothing is said of its meters yet.
///
/// # Errors
/// When it is none, or of the other mode.
pub fn read(text: &[u8], livemode: bool) -> Result<Told, NoObject> {
    let wrong = |why: &str| NoObject::unreadable("the invoice", why);
    let told: Told = serde_json::from_slice(text).map_err(|_| wrong("has not the form of one"))?;
    if told.object != "invoice" || !objects::is_id(&told.id) {
        return Err(wrong("is something else"));
    }
    if told.livemode != livemode || told.lines.data.iter().any(|line| line.livemode != livemode) {
        return Err(NoObject::OtherMode("invoice"));
    }
    Ok(told)
}

impl Line {
    /// Its price, where a subscription bills by it: prorations of a fixed fee and what was put on
    /// the invoice by itself have none, and bill no meter.
    fn price(&self) -> Option<&str> {
        self.parent.as_ref()?.subscription_item_details.as_ref()?;
        let details = self.pricing.as_ref()?.price_details.as_ref()?;
        details.price.as_ref().map(Reference::id)
    }

    /// By which subscription; the invoice's own where the line names none.
    fn subscription<'a>(&'a self, invoice: &'a Told) -> Option<&'a Reference> {
        let details = self.parent.as_ref()?.subscription_item_details.as_ref()?;
        let of_invoice = || invoice.parent.as_ref()?.subscription_details.as_ref();
        details.subscription.as_ref().or_else(|| of_invoice()?.subscription.as_ref())
    }

    /// How much it bills; nothing where it bills by no quantity at all.
    fn quantity(&self) -> Result<Option<Quantity>, NoObject> {
        let Some(text) = &self.quantity_decimal else {
            return Ok(self.quantity.map(Quantity::from));
        };
        let quantity = Some(text)
            .filter(|text| text.len() <= TEXT_BYTES_MAX)
            .and_then(|text| Quantity::parse_unbounded(text).ok());
        let wrong = || NoObject::unreadable("the quantity_decimal of a line", "is no number");
        quantity.map(Some).ok_or_else(wrong)
    }
}

impl Told {
    /// The prices of its lines, each once.
    ///
    /// # Errors
    /// When one cannot be the name of a price.
    pub fn prices(&self) -> Result<BTreeSet<PriceId>, NoObject> {
        let name = |text| {
            PriceId::new(text)
                .map_err(|error| NoObject::unreadable("the price of a line", &error.to_string()))
        };
        self.lines.data.iter().filter_map(Line::price).map(name).collect()
    }

    /// The path of the next page of its lines, when it has more than it showed.
    #[must_use]
    pub fn more_lines(&self) -> Option<String> {
        let last = self.lines.data.last().filter(|_| self.lines.has_more)?;
        let path = format!("/v1/invoices/{}/lines", self.id);
        Some(objects::list_path(&path, &[], Some(&last.id)))
    }

    /// Takes the next page of its lines.
    ///
    /// # Errors
    /// When it is no page of lines, or of the other mode.
    pub fn take_lines(&mut self, body: &[u8]) -> Result<(), NoObject> {
        let after = self.lines.data.last().map(|line| line.id.as_str());
        let page = objects::list(body, after)?;
        for row in page.rows {
            let wrong = |_| self.wrong("has a line without the form of one");
            let line: Line = serde_json::from_str(row.get()).map_err(wrong)?;
            if line.livemode != self.livemode {
                return Err(NoObject::OtherMode("line of an invoice"));
            }
            self.lines.data.push(line);
        }
        self.lines.has_more = page.next.is_some();
        Ok(())
    }

    fn wrong(&self, why: &str) -> NoObject {
        NoObject::unreadable(&format!("the invoice {}", self.id), why)
    }

    /// What it comes to, once all of its lines are there and it is known what their prices bill.
    ///
    /// # Errors
    /// The field at fault.
    pub fn find(
        &self,
        bills: &BTreeMap<PriceId, Bills>,
        known: &KnownMeters,
    ) -> Result<Found, NoObject> {
        if self.lines.has_more {
            let most = LINE_PAGES_MAX * ROWS_PER_PAGE;
            return Err(self.wrong(&format!("has no end of lines: more than {most}")));
        }
        let Some(customer) = &self.customer else {
            return Ok(Found { invoice: None, strangers: Vec::new() });
        };
        let account = objects::named("customer", customer.id(), AccountName::new)?;
        let (mut lines, mut strangers) = (Vec::new(), Vec::new());
        for line in &self.lines.data {
            let price = line.price().and_then(|price| PriceId::new(price).ok());
            let Some((price, Bills::Meter(id))) =
                price.and_then(|price| Some((price.clone(), bills.get(&price)?)))
            else {
                continue;
            };
            match known.of(id) {
                Some(meter) => lines.extend(self.line(line, price, (&account, meter))?),
                None => strangers.push(id.clone()),
            }
        }
        let status = self.status()?;
        let finalizes_at = match status {
            InvoiceStatus::Draft => self.automatically_finalizes_at,
            InvoiceStatus::Final | InvoiceStatus::Void => None,
        };
        let finalized_at = self.status_transitions.finalized_at;
        let invoice = Invoice {
            id: objects::named("id", &self.id, InvoiceId::new)?,
            status,
            created_at: objects::time("created", self.created)?,
            finalizes_at: objects::time_or_none("automatically_finalizes_at", finalizes_at)?,
            finalized_at: objects::time_or_none("finalized_at", finalized_at)?,
            lines,
            // Stripe has a line of every meter, also of one that was not used.
            term: None,
        };
        Ok(Found { invoice: Some(invoice), strangers })
    }

    /// A line that bills `meter`; nothing where it bills nothing of it.
    fn line(
        &self,
        line: &Line,
        price: PriceId,
        (account, meter): (&AccountName, &ProviderMeter),
    ) -> Result<Option<InvoiceLine>, NoObject> {
        let Some(quantity) = line.quantity()? else { return Ok(None) };
        if line.period.start == line.period.end && quantity.is_zero() {
            // A first invoice may show a meter that nothing could be used of yet.
            return Ok(None);
        }
        let subscription = line
            .subscription(self)
            .ok_or_else(|| self.wrong("has a line by an item of no subscription"))?;
        Ok(Some(InvoiceLine {
            id: objects::named("the id of a line", &line.id, LineId::new)?,
            subscription: objects::named(
                "the subscription of a line",
                subscription.id(),
                SubscriptionId::new,
            )?,
            account: account.clone(),
            price,
            meter: meter.clone(),
            period: objects::window("the period of a line", line.period)?,
            quantity,
        }))
    }

    /// How far it has come. Nothing is concluded from a word of next year: taken for a draft its
    /// quantities would never be looked at, taken for final they might still grow.
    fn status(&self) -> Result<InvoiceStatus, NoObject> {
        match self.status.as_str() {
            "draft" => Ok(InvoiceStatus::Draft),
            "open" | "paid" | "uncollectible" => Ok(InvoiceStatus::Final),
            "void" => Ok(InvoiceStatus::Void),
            _ => Err(self.wrong("has a status that this program does not know")),
        }
    }
}

#[cfg(test)]
mod tests;
