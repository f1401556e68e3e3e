//! Looking at where the routes of a config lead, beside a daemon. Here: accrual as a daemon with
//! that config books, only to be asked. Never here: booking by it. Read next: [`super::assemble`].
//!
//! No provider instance is made for it: whoever only looks has no key.

use std::sync::Arc;

use super::providers::{account_prefixes, placing};
use crate::accrual::accruer::Accruer;
use crate::config::Config;
use crate::ledger::LedgerError;
use crate::ledger::accrual::AccrualLedger;

/// Why it cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The ledger books by other routes: no daemon ran with this config yet.
    #[error(
        "the ledger books by other routes than this config has: start the daemon with it, or have \
         the running one read it (SIGHUP), and ask again"
    )]
    NotAdopted,
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What books by the routes of `config`, if the ledger has adopted just those. It adopts nothing.
///
/// # Errors
/// When the ledger has adopted others, or it cannot be looked at.
pub async fn accruer(
    config: &Config,
    ledger: Arc<dyn AccrualLedger>,
) -> Result<Accruer, LookError> {
    let (routes, prefixes) = (config.routes.clone(), account_prefixes(config));
    let accruer = Accruer::by_adopted(ledger, routes, prefixes).await?;
    Ok(placing(accruer.ok_or(LookError::NotAdopted)?, config))
}
