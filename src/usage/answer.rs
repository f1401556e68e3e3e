//! What a figure comes to. PURE. Here: from the sums of a view and what it has not counted yet to
//! total, buckets and subscriptions. Never here: reading them. Read next: [`super::desk`].

use std::collections::{BTreeMap, BTreeSet};

use super::lever::Formula;
use crate::domain::correction::CorrectionId;
use crate::domain::quantity::Quantity;
use crate::domain::usage::{Part, Span, Sum, View};
use crate::ledger::usage::UsageRead;

/// A lever's figures for a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeverUsage {
    /// The figure.
    pub total: Quantity,
    /// The same bucket by bucket; nothing is the bucket of records that have none.
    pub by_bucket: BTreeMap<Option<String>, Quantity>,
    /// The same subscription by subscription, of records that say theirs.
    pub by_subscription: BTreeMap<String, BTreeMap<Option<String>, Quantity>>,
}

/// What the records of `span` come to, part by part.
#[must_use]
pub fn parts(view: &View, span: Span, read: &UsageRead) -> BTreeMap<Part, Sum> {
    let mut parts: BTreeMap<Part, Sum> = BTreeMap::new();
    for (part, sum) in &read.sums {
        parts.entry(part.clone()).or_default().add(sum);
    }
    let newest = CorrectionId(i64::MAX);
    let since = read.records.iter().map(|record| (record, record.counts_at(newest)));
    let corrected =
        read.corrected.iter().map(|record| (record, record.change(read.counted.corrected, newest)));
    for (counted, sum) in since.chain(corrected) {
        if let Some(part) = view.part_of(&counted.record)
            && span.contains(counted.record.occurred_at)
        {
            parts.entry(part).or_default().add(&sum);
        }
    }
    parts.retain(|_, sum| sum.records > 0);
    parts
}

/// What these parts come to by `formula`.
#[must_use]
pub fn figure(formula: Formula, parts: &BTreeMap<Part, Sum>) -> LeverUsage {
    match formula {
        Formula::Total | Formula::PerBucket => summed(formula, parts),
        Formula::UniqueBuckets => distinct(parts),
    }
}

fn bucket_of(part: &Part) -> Option<String> {
    Some(part.bucket.clone()).filter(|bucket| !bucket.is_empty())
}

fn summed(formula: Formula, parts: &BTreeMap<Part, Sum>) -> LeverUsage {
    let mut usage = LeverUsage::default();
    if formula == Formula::Total {
        // It has one bucket, also where there is no usage.
        usage.by_bucket.insert(None, Quantity::zero());
    }
    for (part, sum) in parts {
        let add = |to: &mut Quantity| *to = &*to + &sum.quantity;
        add(&mut usage.total);
        add(usage.by_bucket.entry(bucket_of(part)).or_default());
        if !part.subscription.is_empty() {
            let of = usage.by_subscription.entry(part.subscription.clone()).or_default();
            add(of.entry(bucket_of(part)).or_default());
        }
    }
    usage
}

/// Each bucket counts once, in all and with each subscription; records without one count nothing.
fn distinct(parts: &BTreeMap<Part, Sum>) -> LeverUsage {
    let mut usage = LeverUsage::default();
    let named = |part: &&Part| !part.bucket.is_empty();
    let buckets: BTreeSet<_> = parts.keys().filter(named).filter_map(bucket_of).collect();
    usage.total = Quantity::from(i64::try_from(buckets.len()).unwrap_or(i64::MAX));
    usage.by_bucket = buckets.into_iter().map(|bucket| (Some(bucket), Quantity::one())).collect();
    for part in parts.keys().filter(named).filter(|part| !part.subscription.is_empty()) {
        let of = usage.by_subscription.entry(part.subscription.clone()).or_default();
        of.insert(bucket_of(part), Quantity::one());
    }
    usage
}
