//! What is pinned of a provider. Here: the account, the meters and the clock of a provider
//! instance, as they were learned or declared. Never here: how they are learned. Read next:
//! [`crate::domain::answer`].

use super::names::ProviderMeter;
use super::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp};

/// A reading of the provider's clock older than this, in microseconds, judges no window: this
/// host's clock may have stepped since. Every answer is a reading, so only an idle courier meets
/// this, and it reads the clock anew.
pub const READING_MICROS_MAX: i64 = 10 * MICROS_PER_MINUTE;

/// Which account a provider instance writes to: pinned, so that a changed key cannot redirect
/// usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPin {
    /// The provider's id of the account; nothing where the key may not read it.
    pub account: Option<String>,
    /// Whether it is the live one.
    pub livemode: bool,
}

/// A provider's meter as it was learned or declared: pinned, so that a name reused for another
/// meter is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterPin {
    /// What events name.
    pub meter: ProviderMeter,
    /// The provider's own id; nothing when it was declared without one.
    pub id: Option<String>,
    /// How it adds up.
    pub formula: Formula,
    /// The payload key that carries the customer.
    pub customer_key: String,
    /// The payload key that carries the value.
    pub value_key: String,
    /// Where the provider takes totals per span instead of raw events.
    pub span: Option<Span>,
    /// Whether the provider takes events for it.
    pub active: bool,
    /// Whether it was learned from the provider, rather than declared.
    pub learned: bool,
}

impl MeterPin {
    /// Whether events mean the same to `other`: the same meter, adding up the same way.
    #[must_use]
    pub fn means_the_same(&self, other: &Self) -> bool {
        let same_id = match (&self.id, &other.id) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, _) | (_, None) => true,
        };
        same_id
            && self.formula == other.formula
            && self.customer_key == other.customer_key
            && self.value_key == other.value_key
            && self.span == other.span
    }
}

super::closed::closed! {
    /// How a provider's meter adds events up.
    Formula {
        /// The sum of their values.
        Sum = "sum",
        /// How many there are.
        Count = "count",
        /// The value of the last one.
        Last = "last",
    }
}

super::closed::closed! {
    /// The span a pre-aggregated meter keeps one total for.
    Span {
        /// A UTC hour.
        Hour = "hour",
        /// A UTC day.
        Day = "day",
    }
}

impl Span {
    /// Its length, in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        match self {
            Self::Hour => MICROS_PER_HOUR,
            Self::Day => MICROS_PER_DAY,
        }
    }
}

/// A reading of a provider's clock: what an answer's `Date` said, and when that was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The provider's `Date`. Readings that answers bring along never go back; a contact's own
    /// reading stands as it is.
    pub provider_at: Timestamp,
    /// This host's clock when it was read.
    pub local_at: Timestamp,
}

impl ClockReading {
    /// The provider's time at this host's `now`: exact to a second and a round trip, while this
    /// host's clock does not step.
    #[must_use]
    pub fn estimate(&self, now: Timestamp) -> Timestamp {
        self.provider_at.plus_micros(now.micros_since(self.local_at).max(0))
    }

    /// Whether the reading is too old, at this host's `now`, to judge a provider's window by. A
    /// reading from the future means that this host's clock was set back, and is too old too.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        !(0..=READING_MICROS_MAX).contains(&now.micros_since(self.local_at))
    }
}

/// What a provider is told one after the other: it has at most one request at a time in each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// What concerns one account and one meter.
    OfMeters,
    /// What concerns one account, whatever the meter.
    OfAccounts,
}
