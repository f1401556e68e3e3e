//! Invoices. Here: pending and closed ones, their lines, and how they look. Never here: when a term
//! ends, or what was used in it. Read next: [`super::billing`].
//!
//! Only usage is billed here. What a fixed price costs is on no invoice of the stand-in's.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use bigdecimal::BigDecimal;
use serde_json::{Map, Value, json};

use super::catalog::{CURRENCY, Catalog, PriceIndex};
use super::operation::Lines;
use super::quantity;
use super::query::{Field, Listed};
use super::refusal::Refusal;
use super::site::Stamp;
use super::subscriptions::SubscriptionIndex;
use super::usages::UsageIndex;

/// An invoice by its place.
pub(super) type InvoiceIndex = usize;

/// What an invoice is. Nobody pays here, so one that costs something stays due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvoiceStatus {
    Pending,
    Paid,
    PaymentDue,
    Voided,
}

impl InvoiceStatus {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::PaymentDue => "payment_due",
            Self::Voided => "voided",
        }
    }
}

/// What one item price comes to on an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) price: PriceIndex,
    pub(super) quantity: BigDecimal,
    /// The usages that it is made of.
    pub(super) usages: Vec<UsageIndex>,
}

#[derive(Clone, Debug)]
pub(super) struct Invoice {
    pub(super) id: String,
    /// Its place among all, which its lines are named after.
    pub(super) place: InvoiceIndex,
    pub(super) subscription: SubscriptionIndex,
    pub(super) term: Range<i64>,
    pub(super) status: InvoiceStatus,
    pub(super) closes_at: i64,
    /// What it came to when it stopped to be pending.
    pub(super) lines: Option<Vec<Line>>,
    pub(super) closed_at: Option<i64>,
    pub(super) voided_at: Option<i64>,
    pub(super) deleted: bool,
    pub(super) is_first: bool,
    pub(super) stamp: Stamp,
}

/// Who an invoice is to, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressee<'a> {
    pub(super) subscription: &'a str,
    pub(super) customer: &'a str,
}

/// The id of an invoice's line over a price. It stays when the invoice gets another id.
pub(super) fn line_id(invoice: InvoiceIndex, price: PriceIndex) -> String {
    format!("li_sandbox{invoice:08}_{price}")
}

impl Invoice {
    pub(super) fn object(
        &self,
        to: Addressee<'_>,
        lines: &[Line],
        shown: Lines,
        catalog: &Catalog,
        multi_decimal: bool,
    ) -> Value {
        let total: i64 = lines.iter().map(|line| amount(line, catalog)).sum();
        let is_due = self.status == InvoiceStatus::PaymentDue;
        let mut object = Map::new();
        let mut tell = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        tell("id", json!(self.id));
        tell("customer_id", json!(to.customer));
        tell("subscription_id", json!(to.subscription));
        tell("recurring", json!(true));
        tell("status", json!(self.status.name()));
        tell("price_type", json!("tax_exclusive"));
        tell("date", json!(self.term.end));
        tell("net_term_days", json!(0));
        tell("currency_code", json!(CURRENCY));
        tell("sub_total", json!(total));
        tell("total", json!(total));
        tell("amount_due", json!(if is_due { total } else { 0 }));
        for name in ["tax", "amount_paid", "amount_adjusted", "write_off_amount"] {
            tell(name, json!(0));
        }
        tell("credits_applied", json!(0));
        for (name, at) in [("generated_at", self.closed_at), ("voided_at", self.voided_at)] {
            if let Some(at) = at {
                tell(name, json!(at));
            }
        }
        tell("resource_version", json!(self.stamp.version));
        tell("updated_at", json!(self.stamp.at));
        tell("first_invoice", json!(self.is_first));
        tell("has_advance_charges", json!(false));
        tell("term_finalized", json!(true));
        tell("is_gifted", json!(false));
        tell("deleted", json!(self.deleted));
        let on_page = lines.iter().skip(shown.offset).take(shown.limit);
        let on_page = on_page.map(|line| self.line(line, to, catalog, multi_decimal)).collect();
        tell("line_items", Value::Array(on_page));
        let next = shown.offset.saturating_add(shown.limit);
        if next < lines.len() {
            tell("line_items_next_offset", json!(next.to_string()));
        }
        tell("channel", json!("web"));
        tell("object", json!("invoice"));
        Value::Object(object)
    }

    fn line(
        &self,
        line: &Line,
        to: Addressee<'_>,
        catalog: &Catalog,
        multi_decimal: bool,
    ) -> Value {
        let price = catalog.at(line.price).map(|price| &price.new);
        let unit_price = price.map_or(0, |price| price.unit_price);
        let mut object = json!({
            "id": line_id(self.place, line.price),
            "subscription_id": to.subscription,
            "customer_id": to.customer,
            "date_from": self.term.start,
            "date_to": self.term.end,
            "unit_amount": unit_price,
            "quantity": quantity::whole(&line.quantity),
            "amount": amount(line, catalog),
            "pricing_model": "per_unit",
            "is_taxed": false,
            "tax_amount": 0,
            "discount_amount": 0,
            "item_level_discount_amount": 0,
            "metered": true,
            "is_percentage_pricing": false,
            "description": price.map_or("", |price| price.id.as_str()),
            "entity_type": price.map_or("adhoc", |price| price.item_type.entity()),
            "entity_id": price.map_or("", |price| price.id.as_str()),
            "object": "line_item",
        });
        // A site without multi-decimal support shows decimals only where it must: clients have to
        // read both forms.
        if multi_decimal || !quantity::is_whole(&line.quantity) {
            object["quantity_in_decimal"] = Value::from(quantity::text(&line.quantity));
        }
        object
    }
}

/// What a line costs, in cents.
pub(super) fn amount(line: &Line, catalog: &Catalog) -> i64 {
    let price = catalog.at(line.price).map_or(0, |price| price.new.unit_price);
    quantity::amount(&line.quantity, price)
}

/// An invoice in a list, with the names it can be filtered by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) invoice: &'a Invoice,
    pub(super) to: Addressee<'a>,
}

impl Listed for Shown<'_> {
    fn field<'a>(&'a self, name: &str) -> Field<'a> {
        match name {
            "id" => Field::Text(&self.invoice.id),
            "subscription_id" => Field::Text(self.to.subscription),
            "customer_id" => Field::Text(self.to.customer),
            "status" => Field::Text(self.invoice.status.name()),
            "date" => Field::Time(self.invoice.term.end),
            "updated_at" => Field::Time(self.invoice.stamp.at),
            "voided_at" => self.invoice.voided_at.map_or(Field::Absent, Field::Time),
            _ => Field::Absent,
        }
    }
}

/// The invoices of one site, oldest first.
#[derive(Debug, Default)]
pub(super) struct Invoices {
    all: Vec<Invoice>,
    by_id: HashMap<String, InvoiceIndex>,
    /// The pending ones, by the time they close by themselves.
    due: BTreeSet<(i64, InvoiceIndex)>,
    /// Invoices that got a number.
    numbered: u64,
}

impl Invoices {
    pub(super) fn add(
        &mut self,
        subscription: SubscriptionIndex,
        term: Range<i64>,
        closes_at: i64,
        is_first: bool,
        stamp: Stamp,
    ) -> InvoiceIndex {
        let place = self.all.len();
        let id = format!("draft_inv_sandbox{place:08}");
        self.by_id.insert(id.clone(), place);
        self.due.insert((closes_at, place));
        self.all.push(Invoice {
            id,
            place,
            subscription,
            term,
            status: InvoiceStatus::Pending,
            closes_at,
            lines: None,
            closed_at: None,
            voided_at: None,
            deleted: false,
            is_first,
            stamp,
        });
        place
    }

    pub(super) fn at(&self, place: InvoiceIndex) -> Result<&Invoice, Refusal> {
        self.all.get(place).ok_or_else(Refusal::internal)
    }

    /// The place of one that is not deleted.
    pub(super) fn place(&self, id: &str) -> Result<InvoiceIndex, Refusal> {
        let place = self.by_id.get(id).copied();
        let place = place.filter(|place| self.all.get(*place).is_some_and(|it| !it.deleted));
        place.ok_or_else(|| Refusal::not_found("Invoice", id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Invoice)> {
        (0..).zip(&self.all)
    }

    /// The pending one that closes first, and when.
    pub(super) fn next_due(&self) -> Option<(i64, InvoiceIndex)> {
        self.due.first().copied()
    }

    /// Changes one; one that is pending no longer does not close by itself any more.
    pub(super) fn change(&mut self, place: InvoiceIndex, change: impl FnOnce(&mut Invoice)) {
        let Some(invoice) = self.all.get_mut(place) else { return };
        change(invoice);
        if invoice.status != InvoiceStatus::Pending || invoice.deleted {
            self.due.remove(&(invoice.closes_at, place));
        }
    }

    /// Gives an invoice a number of the main sequence for its id. The old one is forgotten.
    pub(super) fn rename(&mut self, place: InvoiceIndex) {
        let Some(invoice) = self.all.get_mut(place) else { return };
        self.by_id.remove(&invoice.id);
        self.numbered += 1;
        invoice.id = self.numbered.to_string();
        self.by_id.insert(invoice.id.clone(), place);
    }
}
