//! The account and its books. Here: what RecordUsage and GetProducts do, and what was recorded.
//! Never here: faults, limits, HTTP ([`super::gate`]). Read next: [`super::gate`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Billing, Keys, Settings};
use crate::domain::time::Timestamp;

/// What a key's subscription item was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// The product.
    pub product: i64,
    /// The license key.
    pub key: String,
    /// The sum of what was recorded.
    pub total: i64,
    /// How often something was.
    pub records: u64,
}

/// One record of usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordLine {
    /// The product.
    pub product: i64,
    /// The license key.
    pub key: String,
    /// How much.
    pub amount: i64,
    /// When it was received, in microseconds since 1970.
    pub received_at_micros: i64,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    RecordUsage {
        product: Option<i64>,
        key: Option<String>,
        amount: Option<i64>,
    },
    GetProducts,
    /// Nothing that there is.
    Other,
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) settings: Settings,
    recorded: Vec<RecordLine>,
}

/// A no, in the provider's words.
pub(super) fn no(message: &str) -> Value {
    json!({ "result": 1, "message": message })
}

impl Account {
    pub(super) const fn new(settings: Settings) -> Self {
        Self { settings, recorded: Vec::new() }
    }

    /// Does what is asked for; whether something was recorded.
    pub(super) fn perform(
        &mut self,
        operation: &Operation,
        token: &str,
        now: Timestamp,
    ) -> (u16, Value, bool) {
        if !self.settings.tokens.contains(token) {
            return (200, no("Unable to authenticate"), false);
        }
        match operation {
            Operation::RecordUsage { product, key, amount } => {
                match self.record(*product, key.as_deref(), *amount, now) {
                    Ok(()) => (200, json!({ "result": 0, "message": "" }), true),
                    Err(why) => (200, no(why), false),
                }
            }
            Operation::GetProducts => {
                let products: Vec<Value> = self
                    .settings
                    .products
                    .iter()
                    .map(|id| json!({ "id": id, "name": format!("Product {id}") }))
                    .collect();
                (200, json!({ "products": products, "result": 0, "message": "" }), false)
            }
            Operation::Other => (404, no("There is no such method."), false),
        }
    }

    fn record(
        &mut self,
        product: Option<i64>,
        key: Option<&str>,
        amount: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        let (Some(product), Some(key), Some(amount)) = (product, key, amount) else {
            return Err("The input parameters were incorrect.");
        };
        // It is a number of 32 bits.
        if i32::try_from(amount).is_err() {
            return Err("The input parameters were incorrect.");
        }
        if !self.settings.products.contains(&product) {
            return Err("Could not find the product.");
        }
        let is_known = match &self.settings.keys {
            Keys::Any => !key.is_empty(),
            Keys::Only(keys) => keys.contains(key),
        };
        if !is_known {
            return Err("Could not find the key.");
        }
        match self.settings.billing {
            Billing::UsageRecords => {}
            Billing::Meters => return Err("Could not increment the usage counter."),
            Billing::Nothing => return Err("No Stripe payment processor was set up."),
        }
        // What Stripe's increment takes is a number that is not below zero.
        if amount < 0 {
            return Err("Could not increment the usage counter.");
        }
        let key = key.to_owned();
        let received_at_micros = now.micros();
        self.recorded.push(RecordLine { product, key, amount, received_at_micros });
        Ok(())
    }

    pub(super) fn records(&self) -> &[RecordLine] {
        &self.recorded
    }

    pub(super) fn books(&self) -> Vec<BookLine> {
        let mut books: BTreeMap<(i64, &str), (i64, u64)> = BTreeMap::new();
        for line in &self.recorded {
            let (total, records) = books.entry((line.product, line.key.as_str())).or_default();
            *total = total.saturating_add(line.amount);
            *records += 1;
        }
        let line = |((product, key), (total, records)): ((i64, &str), (i64, u64))| BookLine {
            product,
            key: key.to_owned(),
            total,
            records,
        };
        books.into_iter().map(line).collect()
    }
}
