//! The demo's usage: real requests to a web site. Here: the file, its shift to the present, its
//! sums. Never here: sending it. Read next: [`super::child`].

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use crate::domain::names::{MeterName, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::UsageRecord;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
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

/// The usage, shifted to the present.
pub(super) struct Usage {
    records: Vec<UsageRecord>,
    rows: usize,
    shift_days: i64,
    windows: u64,
}

impl Usage {
    /// Reads the file as `tallyd import` would, and shifts its times by whole days, so that its
    /// last day is the day before `now`.
    pub(super) fn load(now: Timestamp) -> anyhow::Result<Self> {
        let mut records = Vec::new();
        let settings = Settings::default();
        let source = SourceName::new(SOURCE)?;
        let sources = Sources::These(vec![source]);
        let rules = Rules { settings: &settings, sources: &sources, now };
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
        let newest = records.iter().map(|record| record.occurred_at).max().unwrap_or(now);
        let shift_days =
            (now.floor_to(MICROS_PER_DAY).micros_since(newest.floor_to(MICROS_PER_DAY))
                / MICROS_PER_DAY)
                - 1;
        for record in &mut records {
            record.occurred_at = record.occurred_at.plus_micros(shift_days * MICROS_PER_DAY);
        }
        let windows: std::collections::BTreeSet<_> = records
            .iter()
            .filter(|record| !record.quantity.is_zero())
            .map(|record| {
                let hour = record.occurred_at.floor_to(MICROS_PER_HOUR);
                (record.meter.as_str(), record.customer.as_str(), hour)
            })
            .collect();
        let windows = u64::try_from(windows.len())?;
        let rows = FILE.lines().count().saturating_sub(1);
        Ok(Self { records, rows, shift_days, windows })
    }

    /// What it is, in words.
    pub(super) fn introduction(&self) -> String {
        let customers: std::collections::BTreeSet<_> =
            self.records.iter().map(|record| record.customer.as_str()).collect();
        format!(
            "usage: {} requests of {} customers to a real web site in May 2015, shifted by {} \
             whole days;\n       {} records, to be told as {} hourly sums",
            self.rows,
            customers.len(),
            self.shift_days,
            self.records.len(),
            self.windows,
        )
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// How many hourly sums they make: a customer's hour of a meter each.
    pub(super) fn windows(&self) -> u64 {
        self.windows
    }

    /// The records as HTTP bodies, in the order of the file.
    pub(super) fn batches(&self) -> Vec<Batch> {
        self.records
            .chunks(BATCH_RECORDS)
            .map(|records| {
                let lines: Vec<String> = records.iter().map(write_record).collect();
                Batch { body: lines.join("\n"), records: records.len() }
            })
            .collect()
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
