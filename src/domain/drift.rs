//! Differences between what was used and what is billed. Here: the kinds of them, and what an event
//! would have to be to make one up. Never here: finding one (`reconcile::drift`). Read next:
//! [`crate::domain::reading`].

use super::closed::closed;

closed! {
    /// How the ledger, the provider's total and an invoice differ.
    DriftKind {
        /// The provider counts less than it certainly was told.
        Missing = "missing",
        /// The provider counts more than all that may be there.
        Excess = "excess",
        /// The provider counts something of which the ledger told nothing.
        UnknownRemote = "unknown_remote",
        /// Usage waits in front of a route: nobody is told of it.
        Unmapped = "unmapped",
        /// Usage came too late for its period, or belongs to none.
        Late = "late",
        /// The total cannot be judged.
        Unverifiable = "unverifiable",
        /// The invoice bills another quantity than its period holds.
        Unbilled = "unbilled",
    }
}

impl DriftKind {
    /// Whether it may bill a customer for what was not used.
    #[must_use]
    pub const fn is_loud(self) -> bool {
        match self {
            Self::Excess | Self::UnknownRemote => true,
            Self::Missing | Self::Unmapped | Self::Late | Self::Unverifiable | Self::Unbilled => {
                false
            }
        }
    }
}

closed! {
    /// What came of comparing what was billed with what was told.
    Agreement {
        /// It may be the same.
        Agrees = "agrees",
        /// It cannot be the same.
        Differs = "differs",
    }
}

closed! {
    /// What would have to be true of an event, or a balance, for it to make up a difference.
    Role {
        /// It was told, and is not there.
        Absent = "absent",
        /// It was taken for not there, and is.
        Present = "present",
        /// It counts twice.
        Twice = "twice",
        /// Nobody knows yet whether it is there.
        Open = "open",
        /// It is held.
        Held = "held",
    }
}
