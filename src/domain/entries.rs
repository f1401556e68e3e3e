//! Entries that an account takes in its life. Here: how many it was told, and from how many on few
//! are left. Never here: what becomes of usage then. Read next: `crate::accrual::widen`.

use super::names::AccountName;
use super::time::Timestamp;

/// How much of the entries that an account takes in its life is used when few are left, in percent:
/// at one entry a day, the last tenth of 5,000 lasts for sixteen months.
const FEW_PERCENT: u64 = 90;

/// From how many entries of an account on few are left, where it takes `most`.
#[must_use]
pub fn few_from(most: u32) -> u32 {
    u32::try_from(u64::from(most) * FEW_PERCENT / 100).unwrap_or(u32::MAX)
}

/// How many entries an account was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesTold {
    /// The account.
    pub account: AccountName,
    /// How many, whatever became of them.
    pub entries: i64,
    /// How many of them lately.
    pub recent: i64,
    /// When the first was made.
    pub first_at: Timestamp,
}
