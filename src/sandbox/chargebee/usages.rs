//! Usages as they were stored. Here: their ids, what each says, and when lists show it. Never here:
//! which of them are billed. Read next: [`super::billing`].

use std::collections::HashMap;

use bigdecimal::BigDecimal;
use serde_json::{Map, Value, json};

use super::catalog::PriceIndex;
use super::invoices::InvoiceIndex;
use super::quantity;
use super::query::{Field, Listed};
use super::refusal::Refusal;
use super::site::Stamp;
use super::subscriptions::SubscriptionIndex;
use crate::domain::time::Timestamp;

/// A usage by its place in the order of receipt.
pub(super) type UsageIndex = usize;

/// Who recorded a usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Api,
    /// A person, in the provider's own pages.
    AdminConsole,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::AdminConsole => "admin_console",
        }
    }
}

/// What has become of a stored usage, as far as it alone knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Stored,
    /// On a line of an invoice that is closed.
    Invoiced {
        invoice: InvoiceIndex,
        line: usize,
    },
    /// Deleted by somebody.
    Deleted {
        at: Timestamp,
    },
    /// Deleted together with its invoice.
    Destroyed {
        at: Timestamp,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Usage {
    pub(super) id: String,
    pub(super) subscription: SubscriptionIndex,
    pub(super) price: PriceIndex,
    pub(super) quantity: BigDecimal,
    pub(super) usage_date: i64,
    pub(super) note: Option<String>,
    pub(super) source: Source,
    pub(super) state: State,
    pub(super) created: Timestamp,
    pub(super) stamp: Stamp,
}

impl Usage {
    /// Whether it is there for whoever asks for it by its id.
    pub(super) const fn is_standing(&self) -> bool {
        match self.state {
            State::Stored | State::Invoiced { .. } => true,
            State::Deleted { .. } | State::Destroyed { .. } => false,
        }
    }

    /// Whether lists show it, when they lag by so much.
    pub(super) fn is_listed(&self, lag_micros: i64, now: Timestamp) -> bool {
        let is_known = |at: Timestamp| now.micros_since(at) >= lag_micros;
        let is_gone = match self.state {
            State::Stored | State::Invoiced { .. } => false,
            State::Deleted { at } | State::Destroyed { at } => is_known(at),
        };
        is_known(self.created) && !is_gone
    }
}

/// A usage with the names of what it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Shown<'a> {
    pub(super) usage: &'a Usage,
    pub(super) subscription: &'a str,
    pub(super) item_price: &'a str,
    /// The ids of its invoice and line, once they are told.
    pub(super) invoice: Option<(&'a str, String)>,
}

impl Shown<'_> {
    pub(super) fn object(&self) -> Value {
        let it = self.usage;
        let mut object = Map::new();
        let mut tell = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        tell("id", json!(it.id));
        tell("usage_date", json!(it.usage_date));
        tell("subscription_id", json!(self.subscription));
        tell("item_price_id", json!(self.item_price));
        if let Some((invoice, line)) = &self.invoice {
            tell("invoice_id", json!(invoice));
            tell("line_item_id", json!(line));
        }
        tell("quantity", json!(quantity::text(&it.quantity)));
        tell("source", json!(it.source.name()));
        if let Some(note) = &it.note {
            tell("note", json!(note));
        }
        tell("resource_version", json!(it.stamp.version));
        tell("updated_at", json!(it.stamp.at));
        tell("created_at", json!(it.created.seconds()));
        tell("object", json!("usage"));
        Value::Object(object)
    }
}

impl Listed for Shown<'_> {
    fn field<'a>(&'a self, name: &str) -> Field<'a> {
        match name {
            "id" => Field::Text(&self.usage.id),
            "subscription_id" => Field::Text(self.subscription),
            "item_price_id" => Field::Text(self.item_price),
            "invoice_id" => match &self.invoice {
                Some((invoice, _)) => Field::Text(invoice),
                None => Field::Absent,
            },
            "source" => Field::Text(self.usage.source.name()),
            "usage_date" => Field::Time(self.usage.usage_date),
            "updated_at" => Field::Time(self.usage.stamp.at),
            _ => Field::Absent,
        }
    }
}

/// The usages of one site in the order of receipt, deleted ones among them.
#[derive(Debug, Default)]
pub(super) struct Usages {
    all: Vec<Usage>,
    by_id: HashMap<String, UsageIndex>,
}

impl Usages {
    /// Whether a usage has or had this id. That a deleted one's stays taken, and that ids are
    /// unique on the whole site, is the strict side: Chargebee says neither.
    pub(super) fn is_taken(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// An id for a usage that came without one.
    pub(super) fn generate_id(&self) -> String {
        // Somebody may have chosen an id that looks like these.
        let mut number = self.all.len();
        loop {
            let id = format!("usage_sandbox{number:010}");
            if !self.is_taken(&id) {
                return id;
            }
            number += 1;
        }
    }

    pub(super) fn add(&mut self, usage: Usage) -> UsageIndex {
        let place = self.all.len();
        self.by_id.insert(usage.id.clone(), place);
        self.all.push(usage);
        place
    }

    pub(super) fn at(&self, place: UsageIndex) -> Result<&Usage, Refusal> {
        self.all.get(place).ok_or_else(Refusal::internal)
    }

    /// One of a subscription's that is not deleted. This is immediate, whatever lists show.
    pub(super) fn find(
        &self,
        subscription: SubscriptionIndex,
        id: &str,
    ) -> Result<UsageIndex, Refusal> {
        let is_its = |place: &UsageIndex| {
            let found = self.all.get(*place);
            found.is_some_and(|it| it.subscription == subscription && it.is_standing())
        };
        let place = self.by_id.get(id).copied().filter(is_its);
        place.ok_or_else(|| Refusal::not_found("Usage", id))
    }

    pub(super) fn set(&mut self, place: UsageIndex, state: State, stamp: Stamp) {
        if let Some(usage) = self.all.get_mut(place) {
            (usage.state, usage.stamp) = (state, stamp);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Usage)> {
        (0..).zip(&self.all)
    }
}
