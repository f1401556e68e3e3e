//! Who plays which part in the journey with Chargebee. PURE. Here: the customers and records that
//! something happens to, found in the usage. Never here: what happens. Read next: [`super`].

use anyhow::{Context, bail};

use super::{DAY, HOUR};
use crate::cli::demo::usage::{METERS, SOURCE, Usage};
use crate::domain::names::{CustomerName, MeterName, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::{Properties, UsageRecord};
use crate::domain::time::Timestamp;

/// What the adjusted record counts with afterwards, in bytes: a kibibyte.
const ADJUSTED_TO: i64 = 1_024;
/// Requests that come late.
const LATE: i64 = 25;
/// Requests that come too late.
const TOO_LATE: i64 = 40;

/// The parts.
pub(super) struct Cast {
    /// One request of the second day, which is cancelled.
    pub(super) cancelled: UsageRecord,
    /// The largest answer of the second day to another customer, which is adjusted.
    pub(super) adjusted: UsageRecord,
    /// What that is adjusted to.
    pub(super) adjusted_to: Quantity,
    /// The customer whose subscription is cancelled.
    pub(super) leaver: String,
    /// When that is: at noon of the third day.
    pub(super) leaves_at: Timestamp,
    /// A record of the customer whose usage comes late, which came in time.
    pub(super) before_late: UsageRecord,
    /// Usage that comes while its invoice is pending.
    pub(super) late: UsageRecord,
    /// A record of the customer whose usage comes too late, which came in time.
    pub(super) before_too_late: UsageRecord,
    /// Usage that comes when its invoice is closed.
    pub(super) too_late: UsageRecord,
}

impl Cast {
    /// Finds who plays in usage whose first day is `first`, among the busiest customers.
    pub(super) fn of(usage: &Usage, first: Timestamp) -> anyhow::Result<Self> {
        let [requests, bytes] = METERS;
        let second = first.plus_seconds(DAY);
        let leaves_at = first.plus_seconds(2 * DAY + 12 * HOUR);
        let last = first.plus_seconds(3 * DAY);
        let all = usage.records();
        let of = |customer: &str, meter: &str| {
            let (customer, meter) = (customer.to_owned(), meter.to_owned());
            let its = move |record: &&UsageRecord| {
                record.customer.as_str() == customer && record.meter.as_str() == meter
            };
            all.iter().filter(its)
        };
        let is_of_second = |record: &&UsageRecord| {
            (second..second.plus_seconds(DAY)).contains(&record.occurred_at)
        };
        let mut customers = usage.customers().into_iter();
        let mut next = || customers.next().context("the usage is of too few customers");

        let cancelled = of(&next()?, requests).find(is_of_second);
        let of_second = of(&next()?, bytes).filter(is_of_second);
        let adjusted = of_second.max_by_key(|record| record.quantity.clone());
        // Who leaves used something on the day of it, before and after, and on the day after.
        let leaver = loop {
            let customer = next()?;
            let is_within = |from: Timestamp, until: Timestamp| {
                of(&customer, requests).any(|record| (from..until).contains(&record.occurred_at))
            };
            let today = first.plus_seconds(2 * DAY);
            if is_within(today, leaves_at)
                && is_within(leaves_at, last)
                && is_within(last, last.plus_seconds(DAY))
            {
                break customer;
            }
        };
        let before_late = of(&next()?, requests).next().cloned().context("nobody is late")?;
        let before_too_late = of(&next()?, requests).next().cloned().context("nobody is late")?;
        let afternoon = last.plus_seconds(15 * HOUR);
        let late = like(&before_late, "late-1", LATE, afternoon)?;
        let too_late = like(&before_too_late, "late-2", TOO_LATE, afternoon)?;
        let (Some(cancelled), Some(adjusted)) = (cancelled.cloned(), adjusted.cloned()) else {
            bail!("the busiest customers used nothing on the second day");
        };
        let adjusted_to = Quantity::from(ADJUSTED_TO);
        Ok(Self {
            cancelled,
            adjusted,
            adjusted_to,
            leaver,
            leaves_at,
            before_late,
            late,
            before_too_late,
            too_late,
        })
    }
}

/// A record of the same customer and meter.
fn like(other: &UsageRecord, id: &str, used: i64, at: Timestamp) -> anyhow::Result<UsageRecord> {
    Ok(UsageRecord {
        source: SourceName::new(SOURCE)?,
        id: RecordId::new(id)?,
        customer: CustomerName::new(other.customer.as_str())?,
        meter: MeterName::new(other.meter.as_str())?,
        quantity: Quantity::from(used),
        occurred_at: at,
        properties: Properties::new(),
    })
}
