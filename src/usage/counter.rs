//! The step of counting. Here: reading what views have not counted, writing back. Never here: what
//! is counted how ([`super::count`]). Read next: [`super::answer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::count::count;
use super::lever::{Lever, views};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::usage::UsageLedger;
use crate::service::{Service, Step, StepError};

/// Positions of the journal in one step, and corrections: enough that the transaction's flush is
/// paid off, few enough that intake is not kept waiting for the writer.
pub const BATCH_RECORDS: u32 = 2_000;
/// Sums of a view that nobody asks for any more that go in one step.
const FORGOTTEN_MAX: u32 = 10_000;

/// The service that counts views.
pub struct Counter {
    ledger: Arc<dyn UsageLedger>,
    /// Whether views may be left that nobody asks for any more.
    forgets: AtomicBool,
}

impl Counter {
    /// Has the views of exactly these levers counted.
    ///
    /// # Errors
    /// When the ledger failed.
    pub async fn adopt(
        ledger: Arc<dyn UsageLedger>,
        levers: &[Lever],
    ) -> Result<Self, LedgerError> {
        let views: Vec<_> = views(levers).into_iter().collect();
        ledger.adopt_views(&views).await?;
        Ok(Self { ledger, forgets: AtomicBool::new(true) })
    }
}

#[async_trait]
impl Service for Counter {
    fn name(&self) -> &str {
        "usage"
    }

    async fn run_once(&self, _: Timestamp) -> Result<Step, StepError> {
        let (mut records, mut corrected, mut more) = (0, 0, false);
        for uncounted in self.ledger.uncounted(BATCH_RECORDS).await? {
            if uncounted.is_empty() {
                continue;
            }
            // One page may not have been all: the next step finds out.
            more = true;
            records += uncounted.records.len();
            corrected += uncounted.corrected.len();
            self.ledger.count(&count(&uncounted)).await?;
        }
        let mut forgotten = 0;
        if self.forgets.load(Ordering::Relaxed) {
            forgotten = self.ledger.forget_views(FORGOTTEN_MAX).await?;
            self.forgets.store(forgotten > 0, Ordering::Relaxed);
        }
        let number = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let counts = vec![
            ("counted", number(records)),
            ("corrected", number(corrected)),
            ("forgotten", forgotten),
        ];
        Ok(Step { counts, more: more || forgotten > 0, wake_at: None })
    }
}
