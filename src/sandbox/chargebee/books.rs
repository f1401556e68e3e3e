//! The books for whoever checks them. Here: what counts, and what has become of each stored usage.
//! Never here: what the API shows of it. Read next: [`super::outside`].

use std::collections::BTreeMap;
use std::ops::Range;

use bigdecimal::BigDecimal;
use serde::{Serialize, Serializer};

use super::billing::{Unbilled, check_billable};
use super::catalog::PriceIndex;
use super::invoices::InvoiceStatus;
use super::quantity;
use super::site::Site;
use super::subscriptions::SubscriptionIndex;
use super::usages::{State, Usage, UsageIndex};

/// What has become of a stored usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "of")]
pub enum Fate {
    /// It is going to be billed, as things stand: its term goes on, or its invoice is pending.
    Counts,
    /// It is on a closed invoice of this id.
    Invoiced(String),
    /// It is stored and not billed, and why.
    Unbilled(Unbilled),
    /// It was deleted.
    Deleted,
    /// It was deleted together with its invoice.
    Destroyed,
}

/// One usage that was ever stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageLine {
    /// Its id, sent or generated.
    pub id: String,
    /// Its subscription's id.
    pub subscription: String,
    /// Its item price's id.
    pub item_price: String,
    /// Its exact quantity, plainly written.
    pub quantity: String,
    /// Its time, in Unix seconds.
    pub usage_date: i64,
    /// Its note.
    pub note: Option<String>,
    /// Who recorded it: `api` or `admin_console`.
    pub source: &'static str,
    /// When it was received, in microseconds of the sandbox's clock.
    pub received_at_micros: i64,
    /// What has become of it.
    pub fate: Fate,
}

/// What is or will be billed of one item price of one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// The subscription's id.
    pub subscription: String,
    /// The item price's id.
    pub item_price: String,
    /// What its terms come to, each by the price's aggregation, added up exactly.
    #[serde(serialize_with = "plain_text")]
    pub total: BigDecimal,
    /// How many usages that is made of.
    pub usages: u64,
}

fn plain_text<S: Serializer>(total: &BigDecimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&quantity::text(total))
}

/// The usages of one term, by their price and the term's beginning.
type Terms = BTreeMap<(SubscriptionIndex, PriceIndex), BTreeMap<i64, Vec<UsageIndex>>>;

impl Site {
    fn fate(&self, usage: &Usage) -> Fate {
        match usage.state {
            State::Deleted { .. } => return Fate::Deleted,
            State::Destroyed { .. } => return Fate::Destroyed,
            State::Invoiced { invoice, .. } => {
                let id = self.invoices.at(invoice).map(|it| it.id.clone());
                return Fate::Invoiced(id.unwrap_or_default());
            }
            State::Stored => {}
        }
        let Ok(found) = self.subscriptions.at(usage.subscription) else { return Fate::Deleted };
        if let Err(why) = check_billable(found, usage.price, usage.usage_date) {
            return Fate::Unbilled(why);
        }
        let Some(ended) = found.ended_at(usage.usage_date) else {
            // Time before a resumption that lies in no term is nobody's.
            return if usage.usage_date >= found.term.start && !found.deleted {
                Fate::Counts
            } else {
                Fate::Unbilled(Unbilled::Inactive)
            };
        };
        let invoice = ended.invoice.and_then(|place| self.invoices.at(place).ok());
        match invoice.filter(|it| !it.deleted).map(|it| it.status) {
            Some(InvoiceStatus::Pending) => Fate::Counts,
            Some(InvoiceStatus::Voided) => Fate::Unbilled(Unbilled::InvoiceVoided),
            Some(InvoiceStatus::Paid | InvoiceStatus::PaymentDue) | None => {
                Fate::Unbilled(Unbilled::TermInvoiced)
            }
        }
    }

    /// The stored usages of these places in the order of receipt, deleted ones among them.
    pub(super) fn usage_lines(&self, places: &Range<usize>) -> Vec<UsageLine> {
        let wanted = self.usages.all().skip(places.start).take(places.len());
        let name = |place| self.subscriptions.at(place).map(|it| it.id.clone()).unwrap_or_default();
        let line = |(_, usage): (u64, &Usage)| UsageLine {
            id: usage.id.clone(),
            subscription: name(usage.subscription),
            item_price: self.catalog.id(usage.price).to_owned(),
            quantity: quantity::text(&usage.quantity),
            usage_date: usage.usage_date,
            note: usage.note.clone(),
            source: usage.source.name(),
            received_at_micros: usage.created.micros(),
            fate: self.fate(usage),
        };
        wanted.map(line).collect()
    }

    /// What counts or is invoiced, per subscription and item price.
    pub(super) fn book_lines(&self) -> Vec<BookLine> {
        let mut terms: Terms = BTreeMap::new();
        for (subscription, found) in self.subscriptions.all() {
            let Ok(subscription) = usize::try_from(subscription) else { continue };
            for ((at, price), place) in &found.usages {
                let Ok(usage) = self.usages.at(*place) else { continue };
                match self.fate(usage) {
                    Fate::Counts | Fate::Invoiced(_) => {}
                    Fate::Unbilled(_) | Fate::Deleted | Fate::Destroyed => continue,
                }
                // Usage dated ahead belongs to no term yet, and is taken for the open one.
                let start = found.ended_at(*at).map_or(i64::MAX, |ended| ended.term.start);
                let its = terms.entry((subscription, *price)).or_default();
                its.entry(start).or_default().push(*place);
            }
        }
        let line = |((subscription, price), its): (_, BTreeMap<i64, Vec<UsageIndex>>)| {
            let totals = its.values().filter_map(|usages| self.aggregate(price, usages));
            let usages: usize = its.values().map(Vec::len).sum();
            Some(BookLine {
                subscription: self.subscriptions.at(subscription).ok()?.id.clone(),
                item_price: self.catalog.id(price).to_owned(),
                total: totals.sum(),
                usages: u64::try_from(usages).unwrap_or(u64::MAX),
            })
        };
        terms.into_iter().filter_map(line).collect()
    }
}
