//! Levers. PURE. Here: what a figure is of, and which view it is read from. Never here: sums. Read
//! next: [`super::count`].

use std::collections::BTreeSet;

use crate::domain::closed::closed;
use crate::domain::names::{LeverName, MeterName};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use crate::domain::usage::View;

/// The property that says a record's bucket, when the operator named none.
pub const BUCKET_PROPERTY: &str = "bucket";
/// The property that says a record's subscription, when the operator named none.
pub const SUBSCRIPTION_PROPERTY: &str = "subscription_id";

closed! {
    /// How records are counted.
    Formula {
        /// Their quantities, added up, whatever their buckets.
        Total = "total",
        /// Their quantities, added up bucket by bucket.
        PerBucket = "per_bucket",
        /// How many buckets they have.
        UniqueBuckets = "unique_buckets",
    }
}

/// How far ahead of now a record may be, in microseconds: the year and a day that intake takes at
/// the most.
const AHEAD_MICROS: i64 = 366 * MICROS_PER_DAY;

/// Over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// All time.
    AllTime,
    /// The billing period that the customer's account is in.
    Subscription,
    /// So many microseconds until now.
    Rolling(i64),
}

impl Period {
    /// The instants of the last `micros` until `now`, which is the last of them.
    #[must_use]
    pub const fn rolling(micros: i64, now: Timestamp) -> Window {
        Window { start: now.plus_micros(1 - micros), end: now.plus_micros(1) }
    }

    /// The instants whose records count over `window`, which is of this period. Until now is also
    /// what was taken from a host whose clock is ahead: it was used.
    #[must_use]
    pub const fn span(self, window: Window) -> Window {
        match self {
            Self::Rolling(_) => {
                Window { start: window.start, end: window.end.plus_micros(AHEAD_MICROS) }
            }
            Self::AllTime | Self::Subscription => window,
        }
    }
}

/// A figure of a customer's usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lever {
    /// Its name.
    pub name: LeverName,
    /// The meter.
    pub meter: MeterName,
    /// How its records are counted.
    pub formula: Formula,
    /// Over which time.
    pub period: Period,
    /// The property that says a record's bucket.
    pub bucket_property: String,
    /// The property that says a record's subscription.
    pub subscription_property: String,
    /// The products it is a lever of, where Planship's API is served; of all where none is named.
    pub products: BTreeSet<String>,
}

impl Lever {
    /// The view that it is read from.
    #[must_use]
    pub fn view(&self) -> View {
        let bucket = match self.formula {
            Formula::Total => None,
            Formula::PerBucket | Formula::UniqueBuckets => Some(self.bucket_property.clone()),
        };
        let is_timed = match self.period {
            Period::AllTime => false,
            Period::Subscription | Period::Rolling(_) => true,
        };
        let subscription = self.subscription_property.clone();
        View { meter: self.meter.clone(), bucket, subscription, is_timed }
    }
}

/// The views that some levers are read from. A lever's view is its own matter: what other levers
/// there are changes nothing of it, and so nothing of what it has counted before.
#[must_use]
pub fn views(levers: &[Lever]) -> BTreeSet<View> {
    levers.iter().map(Lever::view).collect()
}
