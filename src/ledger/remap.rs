//! What remapping asks of the ledger. Here: history that a person wants booked as the routes lead
//! by now, and how far that is. Never here: where they lead (`accrual::remap`). Read next:
//! [`super::accrual`].

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;

use super::LedgerError;
use super::accrual::{CorrectedRecord, MappingVersion};
use super::corrections::RecordFilter;
use crate::domain::balance::Place;
use crate::domain::closed::closed;
use crate::domain::correction::CorrectionId;
use crate::domain::record::Position;
use crate::domain::time::{Timestamp, Window};

/// A remap's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemapId(pub i64);

impl fmt::Display for RemapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

closed! {
    /// How a remap ended.
    RemapEnd {
        /// Every record that it asked for was looked at.
        Done = "done",
        /// The routes or the accounts changed before: nobody had seen where they lead then. What
        /// was remapped until then stays.
        Outdated = "outdated",
        /// The ledger was rolled back since: what its lines told before is not known any longer.
        Restored = "restored",
        /// A person stopped it. What was remapped until then stays.
        Stopped = "stopped",
    }
}

/// A wish to have history booked as the routes lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemapWish {
    /// Which records.
    pub filter: RecordFilter,
    /// The routes and accounts under which a person saw what it changes.
    pub mapping: MappingVersion,
    /// How far the journal was looked at then.
    pub to: Position,
    /// Why.
    pub why: String,
    /// Who wants it.
    pub who: String,
}

/// A wish to have a remap stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopWish {
    /// Why.
    pub why: String,
    /// Who wants it.
    pub who: String,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemapBegun {
    /// Accrual will do it, under this number.
    Begun(RemapId),
    /// The routes or the accounts are others by now: what was seen does not hold.
    Outdated,
    /// The ledger was restored from a backup, and its inputs were not read again: what is told is
    /// not known.
    Restored,
}

/// What became of the wish to stop a remap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemapStop {
    /// It is stopped where it was.
    Stopped(RemapStatus),
    /// It had ended before.
    Over(RemapStatus),
    /// There is none of this number.
    Unknown,
}

/// A page of the records that a filter lets through, with all that remapping has to know of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemapPage {
    /// The mapping in force when it was read.
    pub mapping: MappingVersion,
    /// Every correction up to this one is in the lines.
    pub corrected_to: CorrectionId,
    /// The newest line of any balance when it was read.
    pub lines_to: i64,
    /// The last record of the page; where the page holds all that is left, the end that was asked
    /// for.
    pub to: Position,
    /// Whether it holds all that is left.
    pub is_last: bool,
    /// The records, with their corrections and lines, in the order of the journal.
    pub records: Vec<CorrectedRecord>,
}

/// A remap that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRemap {
    /// Which.
    pub id: RemapId,
    /// The routes and accounts that it was asked for under.
    pub mapping: MappingVersion,
    /// Whether the ledger was rolled back since it was asked for.
    pub is_restored: bool,
    /// The number that its next step gets.
    pub step: i64,
    /// How far it is.
    pub from: Position,
    /// Its next records.
    pub page: RemapPage,
}

/// A step of a remap, beside its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemapStep {
    /// Of which.
    pub remap: RemapId,
    /// The number that its lines name it by.
    pub number: i64,
    /// Where it began.
    pub from: Position,
    /// Where it is now.
    pub to: Position,
    /// The corrections that its lines have in them.
    pub corrected_to: CorrectionId,
    /// Records whose lines changed.
    pub changed: u64,
    /// Records that were left as they are, for a reason that a person has to see to.
    pub left_alone: u64,
    /// How the remap ended with it; nothing while it goes on.
    pub ended: Option<RemapEnd>,
}

/// What stands of a remap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemapStatus {
    /// Which.
    pub id: RemapId,
    /// Who wanted it.
    pub who: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub asked_at: Timestamp,
    /// Where it is, and where it ends.
    pub at: Position,
    /// See [`RemapWish::to`].
    pub to: Position,
    /// Records whose lines changed.
    pub changed: i64,
    /// Records that were left as they are.
    pub left_alone: i64,
    /// How it ended; nothing while it goes on.
    pub ended: Option<RemapEnd>,
    /// Who stopped it, and why, where a person did.
    pub stopped: Option<(String, String)>,
}

/// The port through which people have history remapped.
#[async_trait]
pub trait RemapLedger: Send + Sync {
    /// At most `limit` of the accrued records behind `after` that `filter` lets through.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn remappable(
        &self,
        filter: &RecordFilter,
        after: Position,
        limit: u32,
    ) -> Result<RemapPage, LedgerError>;

    /// Has history remapped, by accrual's next steps.
    ///
    /// # Errors
    /// Then nothing was asked for.
    async fn begin_remap(
        &self,
        wish: &RemapWish,
        now: Timestamp,
    ) -> Result<RemapBegun, LedgerError>;

    /// The newest `limit` remaps, the newest first; only one, if it is named.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn remaps(
        &self,
        only: Option<RemapId>,
        limit: u32,
    ) -> Result<Vec<RemapStatus>, LedgerError>;

    /// Stops a remap where it is: what it booked stays booked, and the rest as it was.
    ///
    /// # Errors
    /// Then it goes on.
    async fn stop_remap(
        &self,
        remap: RemapId,
        said: &StopWish,
        now: Timestamp,
    ) -> Result<RemapStop, LedgerError>;

    /// The places in `windows` of those whose periods are closed, as far as any is known.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn closed_windows(
        &self,
        windows: &[(Place, Window)],
    ) -> Result<BTreeSet<usize>, LedgerError>;
}
