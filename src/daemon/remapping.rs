//! Looking at where the routes of a config lead, beside a daemon. Here: accrual as a daemon with
//! that config books, only to be asked. Never here: booking by it. Read next: [`super::assemble`].
//!
//! No provider instance is made for it: whoever only looks has no key.

use std::sync::Arc;

use super::assemble::kept_whole;
use super::providers::account_prefixes;
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
    let prefixes = account_prefixes(config);
    let widening = config
        .chargebee
        .iter()
        .filter_map(|site| Some((site.delivery.provider.clone(), site.widened_from?)));
    let tellings = config.tellings.iter();
    let cutovers = tellings.map(|(name, telling)| (name.clone(), telling.cutover.clone()));
    let accruer = Accruer::by_adopted(ledger, config.routes.clone(), prefixes).await?;
    let accruer = accruer.ok_or(LookError::NotAdopted)?;
    let accruer = accruer.widening(widening.collect());
    let accruer = accruer.cutting_over(cutovers.collect());
    Ok(accruer.keeping_whole(kept_whole(&config.stripe)))
}
