//! What was rejected, as people end it. Here: the listing of items that came as records and are
//! none, and the two verbs that end one: a record in its place, or a word that there is none.
//! Never here: judging what is sent again (`intake::resubmit`). Read next: `store`.

use async_trait::async_trait;

use super::LedgerError;
use super::intake::{Admitted, Rejected};
use crate::domain::record::Position;
use crate::domain::rejected::Ending;
use crate::domain::time::Timestamp;

/// A rejected item as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedItem {
    /// Its number: 1, 2, 3, … in the order they came.
    pub number: i64,
    /// What is kept of it.
    pub kept: Rejected,
    /// When it came first.
    pub since: Timestamp,
    /// How it ended; nothing while it is open.
    pub end: Option<RejectedEnd>,
}

impl RejectedItem {
    /// Why it cannot be ended any more, if it cannot: a sentence.
    #[must_use]
    pub fn ended_before(&self) -> Option<String> {
        let RejectedEnd { ending, position, who, at, .. } = self.end.as_ref()?;
        let record = position.map_or_else(String::new, |position| format!(" as record {position}"));
        Some(format!("it was {ending}{record} by {who} at {at}"))
    }
}

/// How a rejected item ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedEnd {
    /// In which way.
    pub ending: Ending,
    /// The record that is booked in its place.
    pub position: Option<Position>,
    /// Why it was dismissed.
    pub why: Option<String>,
    /// Who ended it.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

/// Which items are listed: the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedFilter {
    /// Only from this source.
    pub source: Option<String>,
    /// Only after this number.
    pub after: i64,
    /// Also those that ended.
    pub ended: bool,
    /// At most so many.
    pub limit: u32,
}

/// What became of an attempt to end an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It ended.
    Done,
    /// A record was booked in its place, and it ended.
    Booked(Position),
    /// The record in its place was booked before, and it ended.
    Duplicate(Position),
    /// Nothing was changed. A sentence says why.
    Refused(String),
}

/// What is said of a number that no item has.
pub const UNKNOWN: &str = "nothing rejected has this number";

/// The port of those who see to what was rejected.
#[async_trait]
pub trait RejectedLedger: Send + Sync {
    /// The items, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn rejected(&self, filter: &RejectedFilter) -> Result<Vec<RejectedItem>, LedgerError>;

    /// One item, if there is one of that number.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn rejected_item(&self, number: i64) -> Result<Option<RejectedItem>, LedgerError>;

    /// Books `record` in the place of an open item and ends that, both or neither. A record that
    /// was booked before, with the same content, ends it as well, unless the item is known to have
    /// another id: nothing is booked then, and what it stands for would be lost. One that
    /// contradicts what was booked is refused, and no copy of it is kept. For an item that ended
    /// with this very record nothing is changed, and the answer is again that it is booked: who got
    /// none may ask again.
    ///
    /// # Errors
    /// Then nothing was changed, except after [`LedgerError::Broken`].
    async fn resubmit(
        &self,
        number: i64,
        record: Admitted,
        who: &str,
        now: Timestamp,
    ) -> Result<Ended, LedgerError>;

    /// Ends an open item without a record, for the reason `why`. One that ended so, by the word of
    /// the same person, is left as it is, and the answer is the same.
    ///
    /// # Errors
    /// Then nothing was changed, except after [`LedgerError::Broken`].
    async fn dismiss(
        &self,
        number: i64,
        why: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<Ended, LedgerError>;
}
