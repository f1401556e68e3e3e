//! Reading beside a daemon. Here: the config as a listing needs it, and the ledger opened to be
//! read. Never here: a listing. Read next: [`super::check`].

use crate::cli::args::Configured;
use crate::config::{Config, Outside, Overrides, SecretPolicy};
use crate::daemon::Time;
use crate::domain::time::Timestamp;
use crate::store::sqlite::SqliteLedger;

/// What a listing needs.
pub(crate) struct Reading {
    /// The config.
    pub(crate) config: Config,
    /// The ledger, open for reading.
    pub(crate) ledger: SqliteLedger,
    /// The instant at which the listing is made.
    pub(crate) now: Timestamp,
}

/// Reads the config without a word about what may not be meant, which is `tallyd check`'s to say,
/// and without its secrets, which whoever reads a ledger need not have.
///
/// # Errors
/// With every problem of the file.
pub(crate) fn configure(configured: &Configured) -> anyhow::Result<Config> {
    load(configured, SecretPolicy::Unneeded)
}

/// The same with its secrets, for whoever asks a provider.
///
/// # Errors
/// With every problem of the file, and where a secret cannot be read.
pub(crate) fn configure_with_secrets(configured: &Configured) -> anyhow::Result<Config> {
    load(configured, SecretPolicy::Resolve)
}

fn load(configured: &Configured, secrets: SecretPolicy) -> anyhow::Result<Config> {
    let overrides = Overrides { ledger: configured.ledger.clone(), ..Overrides::default() };
    let environment = |name: &str| std::env::var(name).ok();
    let outside = Outside { overrides, environment: &environment };
    Ok(crate::config::load(&configured.config, &outside, secrets)?)
}

/// Opens the ledger that the config names, to read it.
///
/// # Errors
/// When the config is not valid, it is not known what time it is, or there is no ledger that can be
/// read.
pub(crate) async fn open(configured: &Configured) -> anyhow::Result<Reading> {
    let config = configure(configured)?;
    let ledger = SqliteLedger::open_to_read(&config.store.path).await?;
    let now = Time::of(&config).await?.clock.now();
    Ok(Reading { config, ledger, now })
}
