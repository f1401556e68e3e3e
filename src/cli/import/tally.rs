//! What an import came to. PURE. Here: the counts, and the first reasons. Never here: printing.
//! Read next: [`super::door`].

use serde_json::{Value, json};

/// Most reasons that are listed: enough to see what is wrong with a file, too few to hide the
/// counts. The ledger keeps each rejected item.
const REASONS_MAX: usize = 20;

/// Why a row was not booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The file.
    pub(crate) file: String,
    /// The line it begins on.
    pub(crate) line: u64,
    /// Its id, where one could be read.
    pub(crate) id: Option<String>,
    /// `conflict` or `rejected`.
    pub(crate) status: String,
    /// The field at fault.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// What became of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Booked now.
    pub(crate) accepted: u64,
    /// Booked before, with the same content.
    pub(crate) duplicate: u64,
    /// Booked before, with other content.
    pub(crate) conflict: u64,
    /// No records.
    pub(crate) rejected: u64,
    /// Why, of the first of them.
    pub(crate) reasons: Vec<Reason>,
}

impl Tally {
    /// Adds what another part came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.conflict += other.conflict;
        self.rejected += other.rejected;
        other.reasons.into_iter().for_each(|reason| self.explain(reason));
    }

    /// Keeps a reason, if there is room.
    pub(crate) fn explain(&mut self, reason: Reason) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }

    /// How many items it covers.
    pub(crate) const fn items(&self) -> u64 {
        self.accepted + self.duplicate + self.conflict + self.rejected
    }

    /// How many are not booked as they came.
    pub(crate) const fn not_booked(&self) -> u64 {
        self.conflict + self.rejected
    }

    /// The counts as JSON.
    pub(crate) fn counts_json(&self) -> Value {
        json!({
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "conflict": self.conflict,
            "rejected": self.rejected,
        })
    }
}
