//! What the alarm of silence asks of the ledger. Here: that this program listens, who was heard,
//! and which silences were told. Never here: when somebody is silent
//! ([`crate::domain::silence`]), what was heard (accrual writes that down, [`super::accrual`]).
//! Read next: [`super::operator`].
//!
//! Nothing that is billed rests on it: a ledger that lost all of it would learn it anew.

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::silence::{Heard, Speaker};
use crate::domain::time::Timestamp;

/// What became of silences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Those that were told to have begun.
    pub begun: Vec<Speaker>,
    /// Those that were told to have ended.
    pub ended: Vec<Speaker>,
    /// Those who are not remembered any longer.
    pub forgotten: Vec<Speaker>,
}

impl Told {
    /// Whether nothing became of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.ended.is_empty() && self.forgotten.is_empty()
    }
}

/// The port of the alarm of silence.
#[async_trait]
pub trait SilenceLedger: Send + Sync {
    /// Notes that this program listens at `now`. Where it was noted last too long ago
    /// ([`crate::domain::silence::absence`]), nobody listened in between, and that is kept.
    ///
    /// # Errors
    /// What the ledger says; nothing was noted then.
    async fn listen(&self, now: Timestamp) -> Result<(), LedgerError>;

    /// Everybody who was heard, and when nobody listened.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn heard(&self) -> Result<Heard, LedgerError>;

    /// Keeps what was told of silences, so that each is told once, whatever ends this process.
    ///
    /// # Errors
    /// What the ledger says; nothing was kept then.
    async fn keep_told(&self, told: &Told, now: Timestamp) -> Result<(), LedgerError>;
}
