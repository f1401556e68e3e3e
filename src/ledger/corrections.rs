//! What people ask about corrections. Here: the records that a filter finds, with what has become
//! of them, before a person corrects many at once. Never here: the corrections themselves
//! ([`super::intake::CorrectionLedger`]). Read next: [`super::operator`].

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::correction::Change;
use crate::domain::names::{CustomerName, MeterName, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;

/// Which records of the journal are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Only from this source.
    pub source: Option<SourceName>,
    /// Only of this customer.
    pub customer: Option<CustomerName>,
    /// Only of this meter.
    pub meter: Option<MeterName>,
    /// Only of this instant or later.
    pub from: Option<Timestamp>,
    /// Only before this instant.
    pub until: Option<Timestamp>,
}

/// How far the provider has been told of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// It has not: what is corrected now is never told.
    Untold,
    /// It may know.
    Told,
    /// Its own total was seen to contain it.
    Settled,
}

/// A record that can be corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its place in the journal.
    pub position: Position,
    /// Where it comes from.
    pub source: SourceName,
    /// Its name there.
    pub id: RecordId,
    /// Who used.
    pub customer: CustomerName,
    /// What was used.
    pub meter: MeterName,
    /// What it was booked with.
    pub quantity: Quantity,
    /// When the usage was.
    pub occurred_at: Timestamp,
    /// Its corrections in the order in which they were accepted: name, change.
    pub corrections: Vec<(String, Change)>,
    /// How far it got.
    pub reached: Reached,
}

/// The port through which records are found before they are corrected.
#[async_trait]
pub trait FindRecords: Send + Sync {
    /// The records behind `after` that `filter` lets through, in the order of the journal, at most
    /// `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn find_records(
        &self,
        filter: &RecordFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<FoundRecord>, LedgerError>;
}
