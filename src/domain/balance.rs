//! Balances: what a provider should hold, and what it was told. Here: a balance's key, which is its
//! destination, and its sums. Never here: which records make it up (bookings, in the ledger), how
//! the difference is closed (`posting::plan`). Read next: [`crate::domain::event`].

use std::fmt;

use super::digest::Digest;
use super::fold::Fold;
use super::names::{AccountName, ProviderMeter, ProviderName};
use super::quantity::Quantity;
use super::record::Position;
use super::time::{Timestamp, Window};

/// A balance's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BalanceId(pub i64);

impl fmt::Display for BalanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The destination of usage. Not the route that brought it there: renaming or splitting a route
/// must not accrue history again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BalanceKey {
    /// The configured provider instance.
    pub provider: ProviderName,
    /// Who pays there.
    pub account: AccountName,
    /// What is counted there.
    pub meter: ProviderMeter,
    /// Canonical text of the dimensions the usage is told under; empty where there are none.
    pub dimensions: String,
    /// The span of usage it sums; stored, never derived again.
    pub window: Window,
    /// The one record it stands for, where records are told one by one.
    pub record: Option<Position>,
}

/// Where usage is billed: periods are known by provider instance, account and meter.
pub type Place = (ProviderName, AccountName, ProviderMeter);

impl BalanceKey {
    /// Where its usage is billed.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.provider.clone(), self.account.clone(), self.meter.clone())
    }

    /// Whether the same provider instance counts it by the same meter, for whomever. No record goes
    /// to such a destination twice.
    #[must_use]
    pub fn has_destination_of(&self, other: &Self) -> bool {
        (&self.provider, &self.meter) == (&other.provider, &other.meter)
    }
}

/// What the provider should hold for one destination, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Its number.
    pub id: BalanceId,
    /// Its destination.
    pub key: BalanceKey,
    /// What the ledger says the provider should hold.
    pub accrued: Quantity,
    /// What live meter events have said: the sum over the states that count as told.
    pub told: Quantity,
    /// A running digest over the records booked to it, in order: who, how much, when.
    pub digest: Digest,
    /// The newest booked record's own time.
    pub newest_at: Timestamp,
    /// The newest booking it holds, by number; what an event covers ends here.
    pub booked_to: i64,
    /// The newest booking that a live event covers.
    pub told_to: i64,
    /// How many events it ever had: the next one's ordinal.
    pub events: i64,
    /// How what its records stand for comes to what it accrued.
    pub fold: Fold,
    /// Whether any record counts in what it accrued: a newest value of nothing is one, and says
    /// something; no value says nothing. Not kept of sums.
    pub reads: bool,
    /// The time of the record that counts alone, where the newest does and any counts.
    pub stands_at: Option<Timestamp>,
    /// Counts its changes, so that a plan made from an older reading is not applied.
    pub version: i64,
}

impl Balance {
    /// What remains to be told. Below zero when more was told than should be held.
    #[must_use]
    pub fn outstanding(&self) -> Quantity {
        &self.accrued - &self.told
    }
}
