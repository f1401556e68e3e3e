//! What is read of usage. Here: a lever, and what it comes to. Never here: a report
//! ([`super::books`]). Read next: [`super::books`].
//!
//! A lever adds up the metering ids that feed it, by one of three formulas, over one of three
//! spans: the running period of the subscription, all time, or a span that rolls along.
//! <https://docs.planship.io/concepts/metered-levers>

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::time::Timestamp;

/// What no bucket is called where buckets are listed.
const NO_BUCKET: &str = "null";

/// What is read of some metering ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lever {
    /// What it is called by.
    pub slug: String,
    /// What feeds it.
    pub metering_ids: BTreeSet<String>,
    /// How that adds up.
    pub formula: Formula,
    /// Over which span.
    pub period: Period,
}

/// How the reports of a lever add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formula {
    /// All of it, whatever its bucket.
    Total,
    /// All of it, told by bucket.
    PerBucket,
    /// How many buckets have a name.
    UniqueBuckets,
}

/// The span of a lever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The running period of the subscription.
    Subscription,
    /// All time.
    AllTime,
    /// The last so many seconds.
    Rolling(u32),
}

impl Period {
    /// The first instant that counts at `now`, where the subscription's period began at `began`.
    pub(super) fn from(self, began: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Subscription => Some(began),
            Self::AllTime => None,
            Self::Rolling(seconds) => Some(now.plus_seconds(-i64::from(seconds))),
        }
    }
}

/// What a lever comes to, of these buckets and usages, of the subscription of this id.
pub(super) fn usage<'a>(
    formula: Formula,
    reports: impl Iterator<Item = (Option<&'a str>, i64)>,
    subscription: &str,
) -> Value {
    let mut sums: BTreeMap<Option<&str>, i64> = BTreeMap::new();
    for (bucket, usage) in reports {
        let bucket = match formula {
            Formula::Total => None,
            Formula::PerBucket | Formula::UniqueBuckets => bucket,
        };
        let sum = sums.entry(bucket).or_default();
        *sum = sum.saturating_add(usage);
    }
    let total = match formula {
        Formula::Total | Formula::PerBucket => {
            sums.values().fold(0_i64, |total, sum| total.saturating_add(*sum))
        }
        Formula::UniqueBuckets => {
            let named = sums.keys().filter(|bucket| bucket.is_some()).count();
            i64::try_from(named).unwrap_or(i64::MAX)
        }
    };
    let by_bucket: BTreeMap<&str, i64> =
        sums.iter().map(|(bucket, sum)| (bucket.unwrap_or(NO_BUCKET), *sum)).collect();
    let rows: Vec<Value> =
        sums.iter().map(|(bucket, sum)| json!({ "usage": sum, "bucket": bucket })).collect();
    let by_subscription = if rows.is_empty() { json!({}) } else { json!({ subscription: rows }) };
    json!({ "total": total, "by_bucket": by_bucket, "by_subscription": by_subscription })
}
