//! Usage as it is asked for: levers over a real ledger. Here: any order of records, corrections,
//! counting and questions against a count by hand; archives, billing periods, levers that change;
//! and the daemon, asked over HTTP. Never here: the config of a lever. Read next:
//! [`crate::intake_http`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod asked;
mod counted;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tallyd::accrual::route::Route;
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{
    CorrectionName, CustomerName, LeverName, MeterName, RecordId, SourceName,
};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Property, UsageRecord};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::intake::{CorrectionLedger as _, IntakeLedger as _};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::service::Service as _;
use tallyd::store::sqlite::SqliteLedger;
use tallyd::usage::answer::LeverUsage;
use tallyd::usage::counter::Counter;
use tallyd::usage::desk::{Desk, Unknown};
use tallyd::usage::lever::{BUCKET_PROPERTY, Formula, Lever, Period, SUBSCRIPTION_PROPERTY};

use crate::support::journey::{provider_name, record};

fn lever(name: &str, formula: Formula, period: Period) -> Lever {
    Lever {
        name: LeverName::new(name).unwrap(),
        meter: MeterName::new("calls").unwrap(),
        formula,
        period,
        bucket_property: BUCKET_PROPERTY.to_owned(),
        subscription_property: SUBSCRIPTION_PROPERTY.to_owned(),
        products: BTreeSet::new(),
    }
}

fn customer(name: &str) -> CustomerName {
    CustomerName::new(name).unwrap()
}

/// A record of `cus_1`, with a bucket and a subscription where they are not empty.
fn used(id: &str, quantity: &str, at: Timestamp, bucket: &str, subscription: &str) -> UsageRecord {
    let mut record = record(id, "cus_1", "calls", quantity, at);
    for (name, text) in [(BUCKET_PROPERTY, bucket), (SUBSCRIPTION_PROPERTY, subscription)] {
        if !text.is_empty() {
            record.properties.insert(name.to_owned(), Property::Text(text.to_owned()));
        }
    }
    record
}

async fn accept(ledger: &SqliteLedger, records: &[UsageRecord], now: Timestamp) {
    let records = records.iter().cloned().map(Into::into).collect();
    ledger.accept(records, Vec::new(), now).await.unwrap();
}

fn correction(record: &str, name: &str, change: Change) -> Correction {
    Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new(record).unwrap(),
        name: CorrectionName::new(name).unwrap(),
        change,
        reason: "a test".to_owned(),
        who: "test".to_owned(),
    }
}

async fn correct(ledger: &SqliteLedger, correction: Correction, now: Timestamp) {
    ledger.correct(vec![correction], now).await.unwrap();
}

fn desk(ledger: &Arc<SqliteLedger>, levers: &[Lever], routes: Vec<Route>) -> Desk {
    let prefixes = HashMap::from([(provider_name(), "cus_")]);
    Desk::new(ledger.clone(), levers.to_vec(), routes, prefixes)
}

/// Has everything counted.
async fn count(ledger: &Arc<SqliteLedger>, levers: &[Lever], now: Timestamp) {
    let counter = Counter::adopt(ledger.clone(), levers).await.unwrap();
    while counter.run_once(now).await.unwrap().more {}
}

async fn ask(
    ledger: &Arc<SqliteLedger>,
    lever: &Lever,
    of: &str,
    now: Timestamp,
) -> Result<LeverUsage, Unknown> {
    let desk = desk(ledger, std::slice::from_ref(lever), Vec::new());
    let told = desk.ask(&customer(of), lever, now).await.unwrap();
    told.map(|figures| figures.usage)
}

/// The total, as text.
async fn total(ledger: &Arc<SqliteLedger>, lever: &Lever, of: &str, now: Timestamp) -> String {
    ask(ledger, lever, of, now).await.unwrap().total.to_string()
}

async fn verify(ledger: &SqliteLedger) {
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

fn amount(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

/// Buckets as texts; `-` is that of records without one.
fn buckets(of: &BTreeMap<Option<String>, Quantity>) -> Vec<(String, String)> {
    let name = |bucket: &Option<String>| bucket.clone().unwrap_or_else(|| "-".to_owned());
    of.iter().map(|(bucket, usage)| (name(bucket), usage.to_string())).collect()
}
