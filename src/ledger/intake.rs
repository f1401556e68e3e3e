//! What intake asks of the ledger. Here: booking records, once each, for ever. Never here: whether
//! a record is well formed (`intake::admit`). Read next: [`super::accrual`].

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::correction::{Correction, CorrectionId, Standing};
use crate::domain::digest::Digest;
use crate::domain::names::SourceName;
use crate::domain::record::{Position, UsageRecord};
use crate::domain::rejected::Form;
use crate::domain::time::Timestamp;

/// A well-formed record with its two digests, made before the transaction so that the one writer
/// does no hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The record.
    pub record: UsageRecord,
    /// [`UsageRecord::identity`].
    pub identity: Digest,
    /// [`UsageRecord::content`].
    pub content: Digest,
}

impl From<UsageRecord> for Admitted {
    fn from(record: UsageRecord) -> Self {
        let (identity, content) = (record.identity(), record.content());
        Self { record, identity, content }
    }
}

/// Something that came in as a record and is not one: kept for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The source it came from; empty where its sender speaks for several.
    pub source: String,
    /// The sources that its sender may speak for; nothing where that is all.
    pub spoke_for: Option<Vec<SourceName>>,
    /// Its id, where one could be read.
    pub id: Option<String>,
    /// Where it stood: `line 7`, `record 3`.
    pub place: String,
    /// The field at fault.
    pub field: String,
    /// What is wrong with it, naming the value.
    pub reason: String,
    /// What came in, cut to a bound.
    pub raw: String,
    /// What it came as.
    pub form: Form,
    /// Whether [`Self::raw`] is all that came.
    pub whole: bool,
}

/// Where a record went that is in the ledger no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its place in the journal.
    pub position: Position,
    /// The archive's number.
    pub archive: i64,
    /// The archive's file, as it was named when it was made.
    pub path: String,
    /// When the archive was sealed.
    pub sealed_at: Timestamp,
}

/// What became of an admitted record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Booked now.
    Accepted(Position),
    /// Booked before with the same content; acknowledged again.
    Duplicate(Position),
    /// Booked before with other content. The first stays booked; this copy is kept beside it.
    Conflict(Position),
}

/// What became of a correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorrectionAdmission {
    /// Accepted now. `standing` is what the record counts with from here on; nothing while the
    /// record itself has not come.
    Accepted {
        /// The correction's number.
        id: CorrectionId,
        /// What the record counts with.
        standing: Option<Standing>,
    },
    /// Accepted before under the same name; or a cancellation of what is cancelled already. With
    /// what the record counts with now; nothing while it has not come.
    Duplicate(Option<Standing>),
    /// Accepted before under the same name, saying something else. Nothing was changed. With what
    /// the record counts with now; nothing while it has not come.
    Conflict(Option<Standing>),
    /// It replaces another quantity than the record counts with, or the record is cancelled.
    /// Nothing was changed.
    Stale(Standing),
    /// The record is archived, and can be corrected no longer. Nothing was changed.
    Archived(Archived),
}

/// The port of the `intake` room.
#[async_trait]
pub trait IntakeLedger: Send + Sync {
    /// Books each record that is new, finds the duplicates and conflicts among the others, and
    /// keeps the conflicting copies and the rejected items. When it returns, all of that is on
    /// disk. The answers stand in the order of the records.
    ///
    /// # Errors
    /// Then nothing of the call was kept, except after [`LedgerError::Broken`].
    async fn accept(
        &self,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError>;

    /// Bytes free on the ledger's disk; the ballast's room is not.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    fn free_bytes(&self) -> Result<u64, LedgerError>;
}

/// The port through which records are corrected.
#[async_trait]
pub trait CorrectionLedger: Send + Sync {
    /// Accepts corrections, each in its turn. When it returns, what was accepted is on disk. The
    /// answers stand in the order of the corrections.
    ///
    /// # Errors
    /// Then nothing of the call was kept, except after [`LedgerError::Broken`].
    async fn correct(
        &self,
        corrections: Vec<Correction>,
        now: Timestamp,
    ) -> Result<Vec<CorrectionAdmission>, LedgerError>;
}
