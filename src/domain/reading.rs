//! Readings of a provider's totals. Here: how finely a total is asked for, and what a reading came
//! to. Never here: whether a total agrees with the ledger (`reconcile`). Read next:
//! [`crate::domain::state`].

use super::closed::closed;
use super::time::MICROS_PER_HOUR;

closed! {
    /// How finely a total is asked for.
    Grouping {
        /// One total for the whole span.
        Whole = "whole",
        /// One for each UTC day of it.
        Day = "day",
        /// One for each UTC hour of it.
        Hour = "hour",
    }
}

impl Grouping {
    /// The next finer one; the finest is its own.
    #[must_use]
    pub const fn finer(self) -> Self {
        match self {
            Self::Whole => Self::Day,
            Self::Day | Self::Hour => Self::Hour,
        }
    }

    /// The next finer one of which each part is a multiple of `grain_micros`; the finest of those
    /// is its own.
    #[must_use]
    pub const fn finer_by(self, grain_micros: i64) -> Self {
        match self.finer() {
            Self::Hour if grain_micros > MICROS_PER_HOUR => self,
            finer @ (Self::Whole | Self::Day | Self::Hour) => finer,
        }
    }
}

closed! {
    /// What a reading of a total came to.
    FindingKind {
        /// Exactly one explanation fits, and what it proves is so.
        Settled = "settled",
        /// It would prove something, and a second look has to say the same.
        FirstSeen = "first_seen",
        /// Something that it could prove is too young yet.
        Early = "early",
        /// More than one explanation fits.
        Ambiguous = "ambiguous",
        /// No explanation fits: somebody else writes to the meter, or counts otherwise.
        Unexplained = "unexplained",
        /// The total has more digits than can be trusted.
        Incomparable = "incomparable",
    }
}
