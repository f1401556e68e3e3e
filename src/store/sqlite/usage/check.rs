//! Checking views of usage. Here: that the sums of a view agree with each other, and with the
//! records that they are of. Never here: a repair. Read next: [`crate::store::sqlite`].
//!
//! Sums are compared by weighing them: each customer's are added up, every one multiplied by a
//! number that is drawn from what it is of. So a hundred million sums are checked in the memory of
//! their customers, and a quantity that stands in a wrong place shows as one that is wrong: but for
//! one chance in 2^63.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteConnection;

use super::super::sql;
use super::{counted_to, view};
use crate::domain::correction::{Change, CorrectionId};
use crate::domain::digest::{Digest, Fields};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::domain::usage::{CountedRecord, Grain, Part, Sum, View};
use crate::ledger::LedgerError;
use crate::ledger::usage::CountedTo;
use crate::ledger::verification::Verification;
use crate::store::codec::{Columns, ledger_error, usage_record};

/// What a customer's sums weigh: their quantities, and their records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Weight(Quantity, Quantity);

impl Weight {
    fn add(&mut self, start: Timestamp, part: &Part, sum: &Sum) {
        let digest = Fields::of("usage weight 1")
            .number(start.micros())
            .text(&part.bucket)
            .text(&part.subscription)
            .finish();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let factor = Quantity::from(i64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1);
        self.0 = &self.0 + &(&sum.quantity * &factor);
        self.1 = &self.1 + &(&Quantity::from(sum.records) * &factor);
    }
}

/// What one customer's sums of a view weigh: those of each grain, as if they were of all time; and
/// the finest, where they are.
#[derive(Default)]
struct Customer {
    grains: BTreeMap<Grain, Weight>,
    finest: Weight,
}

type Corrections = HashMap<Digest, Vec<(CorrectionId, Change)>>;

/// Every view says what the records come to that it has counted.
pub(in crate::store::sqlite) async fn check_usage(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let views =
        sqlx::query(sql!("usage_views")).fetch_all(&mut *reader).await.map_err(ledger_error)?;
    if views.is_empty() {
        return Ok(());
    }
    let archived = sqlx::query(sql!("usage_archived"))
        .fetch_one(&mut *reader)
        .await
        .map_err(ledger_error)?
        .maybe_time("before_at")?;
    let corrections = corrections(reader).await?;
    let mut count = 0;
    for row in &views {
        let (id, view, counted) = (row.integer("id")?, view(row)?, counted_to(row)?);
        let (kept, sums) = kept(reader, (id, &view), archived, found).await?;
        count += sums;
        // What was archived is in the sums, and cannot be counted again; where time is told apart,
        // what occurred since can.
        if archived.is_none() || view.is_timed {
            let derived = derived(reader, (&view, &counted), archived, &corrections).await?;
            compare(id, kept, derived, found);
        }
    }
    found.checked.push(("sums of usage", count));
    Ok(())
}

async fn corrections(reader: &mut SqliteConnection) -> Result<Corrections, LedgerError> {
    let mut rows = sqlx::query(sql!("usage_corrections")).fetch(reader);
    let mut corrections = Corrections::new();
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        let correction =
            (CorrectionId(row.integer("id")?), super::super::corrections::change(&row)?);
        corrections.entry(row.digest("identity")?).or_default().push(correction);
    }
    Ok(corrections)
}

/// What the sums of each customer weigh, and how many sums there are. The grains of one have to
/// weigh the same.
async fn kept(
    reader: &mut SqliteConnection,
    (id, view): (i64, &View),
    archived: Option<Timestamp>,
    found: &mut Verification,
) -> Result<(HashMap<String, Weight>, i64), LedgerError> {
    let mut rows = sqlx::query(sql!("usage_sums_all")).bind(id).fetch(reader);
    let finest = if view.is_timed { Grain::Instant } else { Grain::All };
    let mut customers: HashMap<String, Customer> = HashMap::new();
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let (grain, start) = (row.member("grain", Grain::parse)?, row.time("start_at")?);
        let part = Part { bucket: row.text("bucket")?, subscription: row.text("subscription")? };
        let sum = Sum { quantity: row.quantity("quantity")?, records: row.integer("records")? };
        let customer = customers.entry(row.text("customer")?).or_default();
        let whole = Timestamp::from_micros(0);
        customer.grains.entry(grain).or_default().add(whole, &part, &sum);
        if grain == finest && archived.is_none_or(|before| start >= before) {
            customer.finest.add(start, &part, &sum);
        }
    }
    let grains = view.grains();
    let mut weights = HashMap::with_capacity(customers.len());
    for (name, customer) in customers {
        let weight = |grain: &Grain| customer.grains.get(grain).cloned().unwrap_or_default();
        let first = grains.first().map(weight).unwrap_or_default();
        if customer.grains.len() != grains.len() || grains.iter().any(|each| weight(each) != first)
        {
            found.note(format!("usage view {id}: the sums of \"{name}\" contradict each other"));
        }
        weights.insert(name, customer.finest);
    }
    Ok((weights, count))
}

/// What the counted records of each customer weigh.
async fn derived(
    reader: &mut SqliteConnection,
    (view, counted): (&View, &CountedTo),
    archived: Option<Timestamp>,
    corrections: &Corrections,
) -> Result<HashMap<String, Weight>, LedgerError> {
    let mut rows = sqlx::query(sql!("usage_counted"))
        .bind(view.meter.as_str())
        .bind(counted.position.0)
        .fetch(reader);
    let grain = if view.is_timed { Grain::Instant } else { Grain::All };
    let mut weights: HashMap<String, Weight> = HashMap::new();
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        let record = usage_record(&row)?;
        let start = grain.slice_of(record.occurred_at);
        let Some(part) = view.part_of(&record) else { continue };
        if archived.is_some_and(|before| start < before) {
            continue;
        }
        let corrections = corrections.get(&record.identity()).cloned().unwrap_or_default();
        let position = Position(row.integer("position")?);
        let record = CountedRecord { position, record, corrections };
        let customer = record.record.customer.as_str();
        let sum = record.counts_at(counted.corrected);
        weights.entry(customer.to_owned()).or_default().add(start, &part, &sum);
    }
    Ok(weights)
}

fn compare(
    id: i64,
    mut kept: HashMap<String, Weight>,
    derived: HashMap<String, Weight>,
    found: &mut Verification,
) {
    let nothing = Weight::default();
    let mut wrong: Vec<String> = Vec::new();
    for (customer, weight) in derived {
        if kept.remove(&customer).unwrap_or_default() != weight {
            wrong.push(customer);
        }
    }
    wrong.extend(kept.into_iter().filter(|(_, weight)| *weight != nothing).map(|(name, _)| name));
    wrong.sort();
    for customer in wrong {
        found.note(format!("usage view {id}: the sums of \"{customer}\" are not of its records"));
    }
}
