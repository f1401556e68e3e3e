//! The demo's usage: real requests to a web site. Here: the file, whose usage of it is taken, its
//! shift to the present, its sums. Never here: sending it. Read next: [`super::child`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

use crate::domain::names::{MeterName, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::UsageRecord;
use crate::domain::time::{MICROS_PER_DAY, TIMESTAMP_MAX, Timestamp};
use crate::intake::Settings;
use crate::intake::admit::{Rules, Sources};
use crate::intake::import::{FileRecords, Format, Mapping, QuantityRule, RecordRule, WhenEmpty};
use crate::intake::json::write_record;

/// The requests, with their attribution beside them.
const FILE: &str = include_str!("web-requests-2015.csv");
/// The source that the demo speaks for.
pub(super) const SOURCE: &str = "web";
/// The meters: one for the requests, one for the bytes they answered.
pub(super) const METERS: [&str; 2] = ["requests", "bytes"];
/// Records in one HTTP request.
const BATCH_RECORDS: usize = 500;

/// A sum for each meter and customer.
pub(super) type Sums = BTreeMap<(String, String), Quantity>;

/// Records as one HTTP body.
pub(super) struct Batch {
    /// NDJSON.
    pub(super) body: String,
    /// How many records.
    pub(super) records: usize,
}

/// The usage of a journey.
pub(super) struct Usage {
    records: Vec<UsageRecord>,
    shift_days: i64,
}

impl Usage {
    /// Reads the file as `tallyd import` would; of the customers, the busiest so `many`, or all.
    pub(super) fn load(many: Option<usize>) -> anyhow::Result<Self> {
        let mut records = Vec::new();
        let settings = Settings::default();
        let source = SourceName::new(SOURCE)?;
        let sources = Sources::These(vec![source]);
        // All of it is long past, whatever the time is.
        let rules = Rules { settings: &settings, sources: &sources, now: TIMESTAMP_MAX };
        let mut file = FileRecords::open(
            FILE.as_bytes(),
            "web-requests-2015.csv",
            Some(mapping()?),
            &settings,
        )
        .context("cannot read the demo's usage")?;
        while let Some(part) = file.next_batch(&rules)? {
            if let Some((place, rejected)) = part.batch.rejected.first() {
                bail!("the demo's usage, {place}: {} {}", rejected.field, rejected.reason);
            }
            records.extend(part.batch.admitted.into_iter().map(|(_, admitted)| admitted.record));
        }
        let mut usage = Self { records, shift_days: 0 };
        if let Some(many) = many {
            let kept: BTreeSet<String> = usage.customers().into_iter().take(many).collect();
            usage.records.retain(|record| kept.contains(record.customer.as_str()));
        }
        Ok(usage)
    }

    /// The same, its times shifted by whole days, so that its last day is the day before `now`.
    pub(super) fn shifted_to_end_before(mut self, now: Timestamp) -> Self {
        let newest = self.records.iter().map(|record| record.occurred_at).max().unwrap_or(now);
        self.shift_days =
            (now.floor_to(MICROS_PER_DAY).micros_since(newest.floor_to(MICROS_PER_DAY))
                / MICROS_PER_DAY)
                - 1;
        for record in &mut self.records {
            record.occurred_at = record.occurred_at.plus_micros(self.shift_days * MICROS_PER_DAY);
        }
        self
    }

    /// By how many days it was shifted.
    pub(super) const fn shift_days(&self) -> i64 {
        self.shift_days
    }

    /// All records, in the order of the file.
    pub(super) fn records(&self) -> &[UsageRecord] {
        &self.records
    }

    /// A record was none.
    pub(super) fn withdraw(&mut self, record: &UsageRecord) {
        self.records.retain(|other| other.identity() != record.identity());
    }

    /// A record was of another quantity.
    pub(super) fn adjust(&mut self, record: &UsageRecord, quantity: &Quantity) {
        for other in &mut self.records {
            if other.identity() == record.identity() {
                other.quantity = quantity.clone();
            }
        }
    }

    /// There was more.
    pub(super) fn add(&mut self, record: &UsageRecord) {
        self.records.push(record.clone());
    }

    /// How many records there are.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// How many requests they are of: each makes one record of the first meter.
    pub(super) fn requests(&self) -> usize {
        let [requests, _] = METERS;
        self.records.iter().filter(|record| record.meter.as_str() == requests).count()
    }

    /// The customers, those with the most records first.
    pub(super) fn customers(&self) -> Vec<String> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for record in &self.records {
            *counts.entry(record.customer.as_str()).or_default() += 1;
        }
        let mut customers: Vec<(&str, u64)> = counts.into_iter().collect();
        customers.sort_by_key(|(_, count)| Reverse(*count));
        customers.into_iter().map(|(customer, _)| customer.to_owned()).collect()
    }

    /// How many sums they make: one for each customer, meter and aligned span of `micros` in which
    /// anything was used.
    pub(super) fn windows(&self, micros: i64) -> u64 {
        let used = self.records.iter().filter(|record| !record.quantity.is_zero());
        let windows: BTreeSet<_> = used
            .map(|record| {
                let start = record.occurred_at.floor_to(micros);
                (record.meter.as_str(), record.customer.as_str(), start)
            })
            .collect();
        u64::try_from(windows.len()).unwrap_or(u64::MAX)
    }

    /// The records as HTTP bodies, in the order of the file.
    pub(super) fn batches(&self) -> Vec<Batch> {
        batches(&self.records.iter().collect::<Vec<_>>())
    }

    /// What each customer used of each meter: summed here, by nothing that the daemon uses.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        for record in &self.records {
            let place = (record.meter.to_string(), record.customer.to_string());
            let sum = sums.entry(place).or_insert_with(Quantity::zero);
            *sum = &*sum + &record.quantity;
        }
        sums
    }
}

/// Records as HTTP bodies.
pub(super) fn batches(records: &[&UsageRecord]) -> Vec<Batch> {
    records
        .chunks(BATCH_RECORDS)
        .map(|records| {
            let lines: Vec<String> = records.iter().map(|record| write_record(record)).collect();
            Batch { body: lines.join("\n"), records: records.len() }
        })
        .collect()
}

/// How a row becomes records: a `requests` record of 1, and a `bytes` record where there were any.
fn mapping() -> anyhow::Result<Mapping> {
    let [requests, bytes] = METERS;
    let rule = |meter, quantity, suffix: &str| -> anyhow::Result<RecordRule> {
        Ok(RecordRule {
            meter: MeterName::new(meter)?,
            quantity,
            id_suffix: suffix.to_owned(),
            when_empty: WhenEmpty::Skip,
        })
    };
    Ok(Mapping {
        name: SOURCE.to_owned(),
        format: Format::Csv { delimiter: b',' },
        id: "id".to_owned(),
        time: "time".to_owned(),
        customer: "customer".to_owned(),
        properties: vec!["method".to_owned(), "status".to_owned()],
        records: vec![
            rule(requests, QuantityRule::Constant(Quantity::one()), "")?,
            rule(bytes, QuantityRule::Column("bytes".to_owned()), "-bytes")?,
        ],
    })
}
