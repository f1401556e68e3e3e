//! Corrections: what changes a record after it was booked. Here: what a correction says, and what
//! the corrections of one record come to. PURE. Never here: balances, providers (see `accrual`,
//! `posting`). Read next: [`crate::domain::resolution`].
//!
//! A record never changes; a correction is another entry beside it. An adjustment carries its own
//! name, the new quantity, and the quantity it replaces: a retry is known by its name, and one that
//! was made from an outdated view is known by what it replaces. A cancellation is final.

use std::fmt;

use super::closed::closed;
use super::digest::Digest;
use super::names::{CorrectionName, RecordId, SourceName};
use super::quantity::Quantity;
use super::record::identity;

/// Longest reason for a correction or a decision, in bytes: a sentence or two, and no document.
pub const REASON_BYTES_MAX: usize = 500;

/// A correction's number in the ledger: 1, 2, 3, … in the order in which they were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorrectionId(pub i64);

impl fmt::Display for CorrectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

closed! {
    /// What kind of correction it is.
    CorrectionKind {
        /// The record shall not count.
        Cancel = "cancel",
        /// The record shall count with another quantity.
        Adjust = "adjust",
    }
}

closed! {
    /// Why a line of a balance is there.
    Cause {
        /// The record itself.
        Record = "record",
        /// A correction of the record.
        Correction = "correction",
        /// A person wrote off what could not be told.
        WriteOff = "write_off",
        /// A correction took from what was written off before.
        Reversal = "reversal",
        /// What was written off was found at the provider after all.
        Presence = "presence",
        /// It went to another balance: a line in each, which sum to nothing.
        Transfer = "transfer",
        /// The routes lead elsewhere by now, or nowhere: a person had history mapped anew.
        RemapFrom = "remap_from",
        /// The routes lead here by now, or make another quantity of it.
        RemapTo = "remap_to",
    }
}

impl Cause {
    /// Whether such a line is of usage that came, changed or went elsewhere. The others are of what
    /// a person decided not to tell, and what became of that.
    #[must_use]
    pub const fn is_usage(self) -> bool {
        match self {
            Self::Record | Self::Correction | Self::Transfer | Self::RemapFrom | Self::RemapTo => {
                true
            }
            Self::WriteOff | Self::Reversal | Self::Presence => false,
        }
    }
}

closed! {
    /// How a route has what was already told taken back; the more careful the later.
    CorrectionPolicy {
        /// By cancelling the event while the provider does that, else by a negative one.
        CancelThenNegative = "cancel_then_negative",
        /// By a negative event.
        Negative = "negative",
        /// By a person.
        Hold = "hold",
    }
}

/// What a correction does to its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// See [`CorrectionKind::Cancel`].
    Cancel,
    /// See [`CorrectionKind::Adjust`].
    Adjust {
        /// The new quantity: zero or more.
        quantity: Quantity,
        /// The quantity it replaces.
        replaces: Quantity,
    },
}

impl Change {
    /// Which of the closed set it is.
    #[must_use]
    pub const fn kind(&self) -> CorrectionKind {
        match self {
            Self::Cancel => CorrectionKind::Cancel,
            Self::Adjust { .. } => CorrectionKind::Adjust,
        }
    }
}

/// A correction of a record, which may come before the record itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Where the record comes from.
    pub source: SourceName,
    /// The record's name there.
    pub record: RecordId,
    /// The caller's own name for this correction, unique for the record: by it a retry is known.
    pub name: CorrectionName,
    /// What it does.
    pub change: Change,
    /// Why, for whoever reads the books.
    pub reason: String,
    /// Who made it: `http:web`, `file:fixes.csv`, `cli:ada`.
    pub who: String,
}

impl Correction {
    /// The identity of the record it names.
    #[must_use]
    pub fn identity(&self) -> Digest {
        identity(&self.source, &self.record)
    }
}

/// What a record counts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// With this quantity.
    Counts(Quantity),
    /// Not at all, and never again.
    Cancelled,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts(quantity) => quantity.fmt(f),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// What one correction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changed what the record counts with: from, to.
    Applied(Standing, Standing),
    /// The record counted with something else than what it replaces; it changed nothing.
    Stale(Standing),
    /// The record was cancelled before; it changed nothing.
    Idle,
}

/// Applies `change` to a record that counts with `present`; answers what it came to, and what the
/// record counts with after it.
#[must_use]
pub fn apply(present: &Standing, change: &Change) -> (Effect, Standing) {
    let to = match (present, change) {
        (Standing::Cancelled, Change::Cancel) => return (Effect::Idle, present.clone()),
        (Standing::Cancelled, Change::Adjust { .. }) => {
            return (Effect::Stale(present.clone()), present.clone());
        }
        (Standing::Counts(_), Change::Cancel) => Standing::Cancelled,
        (Standing::Counts(quantity), Change::Adjust { replaces, .. }) if quantity != replaces => {
            return (Effect::Stale(present.clone()), present.clone());
        }
        (Standing::Counts(_), Change::Adjust { quantity, .. }) => {
            Standing::Counts(quantity.clone())
        }
    };
    (Effect::Applied(present.clone(), to.clone()), to)
}

/// What the corrections of a record, in the order in which they were accepted, come to: one effect
/// each, and what the record counts with in the end.
pub fn fold<'c>(
    quantity: &Quantity,
    changes: impl IntoIterator<Item = &'c Change>,
) -> (Vec<Effect>, Standing) {
    let mut standing = Standing::Counts(quantity.clone());
    let mut effects = Vec::new();
    for change in changes {
        let (effect, next) = apply(&standing, change);
        effects.push(effect);
        standing = next;
    }
    (effects, standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    fn adjust(replaces: &str, to: &str) -> Change {
        Change::Adjust { quantity: quantity(to), replaces: quantity(replaces) }
    }

    fn check(changes: &[Change], standing: &str, effects: &str) {
        let (found, end) = fold(&quantity("5"), changes);
        let letter = |effect: &Effect| match effect {
            Effect::Applied(..) => 'a',
            Effect::Stale(_) => 's',
            Effect::Idle => 'i',
        };
        assert_eq!(found.iter().map(letter).collect::<String>(), effects);
        assert_eq!(end.to_string(), standing);
    }

    #[test]
    fn adjust_to_7_answer_lost_adjust_to_10_retry_of_7_leaves_10() {
        check(&[adjust("5", "7"), adjust("7", "10"), adjust("5", "7")], "10", "aas");
    }

    #[test]
    fn a_cancellation_is_final_and_repeats_without_effect() {
        check(&[Change::Cancel, Change::Cancel, adjust("5", "7")], "cancelled", "ais");
    }

    #[test]
    fn a_record_can_be_adjusted_to_nothing_and_back() {
        check(&[adjust("5", "0"), adjust("0", "3")], "3", "aa");
    }

    #[test]
    fn what_is_replaced_is_compared_by_value() {
        check(&[adjust("5.0", "7")], "7", "a");
    }
}
