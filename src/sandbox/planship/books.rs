//! The organization and its books. Here: what a report, a read and a product come to, and what was
//! reported. Never here: tokens ([`super::door`]), faults, limits, HTTP ([`super::gate`]). Read
//! next: [`super::door`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Settings;
use super::levers::{self, Lever};
use crate::domain::time::Timestamp;
use crate::sandbox::clock::micros_of;

/// What a customer was reported of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// The product.
    pub product: String,
    /// The customer, as reports named it.
    pub customer: String,
    /// The metering id.
    pub metering_id: String,
    /// The sum of what was reported, whether levers have it already or not.
    pub total: i64,
    /// How often something was.
    pub records: u64,
}

/// One metering record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordLine {
    /// Its id, which the answer told.
    pub id: String,
    /// The product.
    pub product: String,
    /// The customer, as the report named it.
    pub customer: String,
    /// The metering id.
    pub metering_id: String,
    /// How much.
    pub usage: i64,
    /// Where the report named one.
    pub bucket: Option<String>,
    /// When it was received, in microseconds since 1970.
    pub received_at_micros: i64,
    /// From when on levers have it.
    pub counts_at_micros: i64,
}

/// What is asked for, once it is known by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Report { customer: String, product: String, metering_id: String, body: Vec<u8> },
    MeteringId { customer: String, product: String, metering_id: String },
    Lever { customer: String, product: String, lever: String },
    Product(String),
}

#[derive(Debug)]
pub(super) struct Organization {
    pub(super) settings: Settings,
    recorded: Vec<RecordLine>,
    /// When the subscriptions' first period began, or the one that was renewed by hand.
    began: Timestamp,
}

/// A no of Planship's framework.
pub(super) fn no(detail: &str) -> Value {
    json!({ "detail": detail })
}

/// A no that looked at the body.
fn invalid(field: &str, message: &str, kind: &str) -> (u16, Value) {
    let loc = if field.is_empty() { json!(["body"]) } else { json!(["body", field]) };
    (422, json!({ "detail": [{ "loc": loc, "msg": message, "type": kind }] }))
}

/// An id in the form of theirs that follows from what it is of.
fn uuid(of: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in of {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let text = hex::encode(hash.finalize());
    let part = |from: usize, until: usize| text.get(from..until).unwrap_or_default();
    // Of version 4 and the usual variant, as far as its letters say.
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// What a report says.
struct Report {
    usage: i64,
    bucket: Option<String>,
    subscription: Option<String>,
}

impl Report {
    fn read(body: &[u8]) -> Result<Self, (u16, Value)> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Err(invalid("", "value is not a valid dict", "type_error.dict"));
        };
        let usage = match fields.get("usage") {
            None => return Err(invalid("usage", "field required", "value_error.missing")),
            Some(usage) => usage.as_i64(),
        };
        let integer = "value is not a valid integer";
        let usage = usage.ok_or_else(|| invalid("usage", integer, "type_error.integer"))?;
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(name, "str type expected", "type_error.str")),
        };
        Ok(Self { usage, bucket: text("bucket")?, subscription: text("subscription_id")? })
    }
}

impl Organization {
    pub(super) const fn new(settings: Settings, now: Timestamp) -> Self {
        Self { settings, recorded: Vec::new(), began: now }
    }

    /// Does what is asked for; whether something was recorded.
    pub(super) fn perform(&mut self, operation: &Operation, now: Timestamp) -> (u16, Value, bool) {
        let read = match operation {
            Operation::Report { customer, product, metering_id, body } => {
                return match self.report((customer, product, metering_id), body, now) {
                    Ok(record) => (200, record, true),
                    Err((status, why)) => (status, why, false),
                };
            }
            Operation::MeteringId { customer, product, metering_id } => {
                self.metering_id((customer, product, metering_id), now)
            }
            Operation::Lever { customer, product, lever } => {
                self.lever((customer, product, lever), now)
            }
            Operation::Product(slug) => self.product(slug),
        };
        let (status, body) = read.map_or_else(|no| no, |found| (200, found));
        (status, body, false)
    }

    /// That there are such a product and customer.
    fn knows(&self, customer: &str, product: &str) -> Result<(), (u16, Value)> {
        if !self.settings.products.contains(product) {
            return Err((404, no("Product not found")));
        }
        if !self.settings.customers.has(customer) {
            return Err((404, no("Customer not found")));
        }
        Ok(())
    }

    fn report(
        &mut self,
        (customer, product, metering_id): (&str, &str, &str),
        body: &[u8],
        now: Timestamp,
    ) -> Result<Value, (u16, Value)> {
        // Its framework looks at the body first.
        let report = Report::read(body)?;
        self.knows(customer, product)?;
        if !self.settings.metering_ids.has(metering_id) {
            return Err((404, no("Metering ID not found")));
        }
        let id = uuid(&["record", &self.recorded.len().to_string()]);
        let answer = json!({
            "id": id, "is_allocated": false, "usage": report.usage, "metering_id": metering_id,
            "customer_id": uuid(&["customer", customer]), "product_id": uuid(&["product", product]),
            "subscription_id": report.subscription, "bucket": report.bucket,
        });
        self.recorded.push(RecordLine {
            id,
            product: product.to_owned(),
            customer: customer.to_owned(),
            metering_id: metering_id.to_owned(),
            usage: report.usage,
            bucket: report.bucket,
            received_at_micros: now.micros(),
            counts_at_micros: now.plus_micros(micros_of(self.settings.lag)).micros(),
        });
        Ok(answer)
    }

    /// What each lever that a metering id feeds comes to.
    fn metering_id(
        &self,
        (customer, product, metering_id): (&str, &str, &str),
        now: Timestamp,
    ) -> Result<Value, (u16, Value)> {
        self.knows(customer, product)?;
        let fed = self.settings.levers.iter();
        let fed = fed.filter(|lever| lever.metering_ids.contains(metering_id));
        let usage: Map<String, Value> = fed
            .map(|lever| (lever.slug.clone(), self.usage(lever, (customer, product), now)))
            .collect();
        Ok(Value::Object(usage))
    }

    fn lever(
        &self,
        (customer, product, slug): (&str, &str, &str),
        now: Timestamp,
    ) -> Result<Value, (u16, Value)> {
        self.knows(customer, product)?;
        let lever = self.settings.levers.iter().find(|lever| lever.slug == slug);
        let lever = lever.ok_or_else(|| (404, no("Lever not found")))?;
        Ok(self.usage(lever, (customer, product), now))
    }

    fn usage(&self, lever: &Lever, (customer, product): (&str, &str), now: Timestamp) -> Value {
        let from = lever.period.from(self.period_began(now), now);
        let from = from.map_or(i64::MIN, |from| from.micros());
        let counts = |line: &&RecordLine| {
            line.customer == customer
                && line.product == product
                && lever.metering_ids.contains(&line.metering_id)
                && line.counts_at_micros <= now.micros()
                && from <= line.received_at_micros
        };
        let reports = self.recorded.iter().filter(counts);
        let reports = reports.map(|line| (line.bucket.as_deref(), line.usage));
        levers::usage(lever.formula, reports, &uuid(&["subscription", customer, product]))
    }

    fn product(&self, slug: &str) -> Result<Value, (u16, Value)> {
        if !self.settings.products.contains(slug) {
            return Err((404, no("Product not found")));
        }
        Ok(json!({
            "id": uuid(&["product", slug]), "slug": slug, "name": slug, "description": "",
            "organization_id": uuid(&["organization"]),
        }))
    }

    /// When the period that runs at `now` began.
    fn period_began(&self, now: Timestamp) -> Timestamp {
        let period = micros_of(self.settings.period).max(1);
        let passed = now.micros_since(self.began).max(0) / period;
        self.began.plus_micros(passed.saturating_mul(period))
    }

    /// Begins another period now.
    pub(super) const fn renew(&mut self, now: Timestamp) {
        self.began = now;
    }

    pub(super) fn records(&self) -> &[RecordLine] {
        &self.recorded
    }

    pub(super) fn books(&self) -> Vec<BookLine> {
        let mut books: BTreeMap<(&str, &str, &str), (i64, u64)> = BTreeMap::new();
        for line in &self.recorded {
            let place = (line.product.as_str(), line.customer.as_str(), line.metering_id.as_str());
            let (total, records) = books.entry(place).or_default();
            *total = total.saturating_add(line.usage);
            *records += 1;
        }
        books
            .into_iter()
            .map(|((product, customer, metering_id), (total, records))| BookLine {
                product: product.to_owned(),
                customer: customer.to_owned(),
                metering_id: metering_id.to_owned(),
                total,
                records,
            })
            .collect()
    }
}
