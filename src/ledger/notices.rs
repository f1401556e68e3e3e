//! What providers announced, as the ledger keeps it. Here: the port that archives notices, hands
//! out those that wait, and forgets old ones. Never here: whether a provider sent one
//! (`provider::NoticeReader`), what follows from it. Read next: [`crate::domain::notice`].

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::names::ProviderName;
use crate::domain::notice::{CameBy, Notice};
use crate::domain::time::Timestamp;

/// Most notices that are given up, and most that are forgotten, in one transaction: each may hold a
/// body of a quarter of a mebibyte, and usage waits meanwhile.
pub const FORGOTTEN_AT_ONCE: u32 = 200;

/// A notice in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeNumber(pub i64);

/// A notice that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Whose it is.
    pub provider: ProviderName,
    /// What was announced.
    pub notice: Notice,
    /// How it came.
    pub came_by: CameBy,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// It is kept, and waits.
    New(NoticeNumber),
    /// It was kept before, in this form or in the other, and was counted.
    Duplicate(NoticeNumber),
}

impl Archived {
    /// Whether it was not known before.
    #[must_use]
    pub const fn is_new(self) -> bool {
        match self {
            Self::New(_) => true,
            Self::Duplicate(_) => false,
        }
    }
}

/// A notice that waits to be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingNotice {
    /// Its number.
    pub number: NoticeNumber,
    /// What was announced, and how it came first.
    pub arrival: Arrival,
    /// When it came first.
    pub received_at: Timestamp,
    /// How often it came again.
    pub duplicates: i64,
}

/// What a notice led to, with a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// What follows from it was done: what.
    Acted(String),
    /// Nothing follows from it: why.
    Ignored(String),
}

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Notices that waited too long, and are ignored now.
    pub given_up: u64,
    /// Notices that were concluded long ago, and are gone.
    pub forgotten: u64,
}

impl Cleared {
    /// Whether there may be more to clear away.
    #[must_use]
    pub fn is_full(self) -> bool {
        let most = u64::from(FORGOTTEN_AT_ONCE);
        self.given_up >= most || self.forgotten >= most
    }
}

/// The port of notices.
#[async_trait]
pub trait NoticesLedger: Send + Sync {
    /// Keeps each arrival once, and has it wait; one that is kept already, under its own name or as
    /// the other form of the same announcement, is counted. What became of each, in their order:
    /// all of it is on disk.
    ///
    /// # Errors
    /// Then nothing was kept, except perhaps after [`LedgerError::Broken`].
    async fn archive_notices(
        &self,
        arrivals: &[Arrival],
        now: Timestamp,
    ) -> Result<Vec<Archived>, LedgerError>;

    /// The notices of `provider` that wait, in the order in which they came, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn waiting_notices(
        &self,
        provider: &ProviderName,
        limit: u32,
    ) -> Result<Vec<WaitingNotice>, LedgerError>;

    /// Says what a notice led to; whether it waited until now. The first conclusion stands.
    ///
    /// # Errors
    /// When nothing was concluded.
    async fn conclude_notice(
        &self,
        number: NoticeNumber,
        conclusion: &Conclusion,
        now: Timestamp,
    ) -> Result<bool, LedgerError>;

    /// Gives up notices that waited for longer than [`crate::domain::notice::KEPT_MICROS`], and
    /// forgets those that were concluded longer ago; at most [`FORGOTTEN_AT_ONCE`] of each.
    ///
    /// # Errors
    /// When nothing was cleared away.
    async fn clear_notices(&self, now: Timestamp) -> Result<Cleared, LedgerError>;
}
