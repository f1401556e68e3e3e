//! Where a report leaves what it has to. Here: the port, and the ledger behind it. Never here: what
//! is kept. Read next: [`super::reporter`].
//!
//! Only one process writes to a ledger. A report that is made beside a daemon reads the ledger
//! itself, and has the daemon keep what is to be kept.

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::domain::names::ProviderName;
use crate::ledger::reconcile::{Comparison, Concluded, ReconcileLedger};
use crate::ledger::report::{ReportLedger, Run};

/// Why something was not kept.
pub type KeepError = Box<dyn std::error::Error + Send + Sync>;

/// Where a report leaves what it has to: the ledger, or whoever holds it.
#[async_trait]
pub trait Keeper: Send + Sync {
    /// Counts requests for totals, before they are made.
    ///
    /// # Errors
    /// Then they were not counted.
    async fn count_reads(&self, provider: &ProviderName, calls: u32) -> Result<(), KeepError>;

    /// Keeps a run; answers its number.
    ///
    /// # Errors
    /// Then it was not kept.
    async fn keep(&self, run: &Run) -> Result<i64, KeepError>;

    /// Keeps a comparison with all that it proves, and has its lane compared again next.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn conclude(&self, comparison: Comparison) -> Result<Concluded, KeepError>;
}

/// A ledger that is open to be written.
pub struct InLedger<L: ?Sized> {
    /// The ledger.
    pub ledger: Arc<L>,
    /// By which the day of a request is told.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl<L: ReportLedger + ReconcileLedger + ?Sized> Keeper for InLedger<L> {
    async fn count_reads(&self, provider: &ProviderName, calls: u32) -> Result<(), KeepError> {
        Ok(self.ledger.count_reads(provider, calls, self.clock.now()).await?)
    }

    async fn keep(&self, run: &Run) -> Result<i64, KeepError> {
        Ok(self.ledger.keep_run(run).await?)
    }

    async fn conclude(&self, comparison: Comparison) -> Result<Concluded, KeepError> {
        let now = self.clock.now();
        Ok(self.ledger.conclude_and_compare_next(comparison, now).await?)
    }
}
