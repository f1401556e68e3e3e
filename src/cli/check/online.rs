//! `tallyd check --online`. Here: asking every provider instance, and what all of it comes to.
//! Never here: whether what one says agrees with the config ([`super::agreement`]). Read next:
//! [`super::agreement`].
//!
//! The providers are asked beside one another: one that does not answer keeps the others waiting
//! for no longer than its requests may take.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::agreement::{Agreement, compare};
use crate::cli::exit::Exit;
use crate::config::{Config, Problems};
use crate::daemon::providers::{Instance, instances};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::ledger::delivery::{DeliveryLedger as _, ProviderFacts};
use crate::provider::Inspection;
use crate::store::sqlite::SqliteLedger;

/// What the providers were asked, and what came of it.
pub(super) struct Asked {
    /// What was seen, a line each.
    pub(super) lines: Vec<String>,
    /// What does not agree, among what may not be meant by the config alone.
    pub(super) problems: Problems,
    /// What follows for the exit.
    pub(super) exit: Exit,
}

impl Asked {
    /// Nobody was asked.
    pub(super) fn nothing(config: &Config) -> Self {
        Self { lines: Vec::new(), problems: config.warnings.clone(), exit: Exit::Ok }
    }
}

/// Asks every provider instance.
///
/// # Errors
/// When one cannot be asked as it is set, or the ledger cannot be read.
pub(super) async fn ask(config: &Config) -> anyhow::Result<Asked> {
    let instances = instances(config)?;
    let inspections = join_all(instances.iter().map(|each| inspect(config, each))).await;
    let mut all = Asked::nothing(config);
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut is_unanswered = false;
    for (instance, inspection) in instances.iter().zip(inspections) {
        let pinned = pinned(config, instance.name()).await?;
        let Agreement { lines, disagreements, silence, doubts } =
            compare(config, instance.name(), pinned.as_ref(), &inspection);
        is_unanswered |= silence.is_some();
        all.lines.extend(lines);
        all.exit = if disagreements.is_empty() { all.exit } else { Exit::Config };
        errors.extend(disagreements);
        errors.extend(silence);
        warnings.extend(doubts);
    }
    // What does not agree stays so; who gave no answer may give one later.
    if all.exit == Exit::Ok && is_unanswered {
        all.exit = Exit::TryLater;
    }
    all.problems = all.problems.and(errors, warnings);
    Ok(all)
}

async fn inspect(config: &Config, instance: &Instance) -> Inspection {
    let its = config.routes.iter().filter(|route| route.provider == *instance.name());
    let routed: BTreeSet<ProviderMeter> = its.map(|route| route.provider_meter.clone()).collect();
    instance.provider.inspect(&routed).await
}

/// What the ledger has pinned of a provider instance; nothing without a ledger.
async fn pinned(config: &Config, name: &ProviderName) -> anyhow::Result<Option<ProviderFacts>> {
    if !config.store.path.exists() {
        return Ok(None);
    }
    let ledger = SqliteLedger::open_to_read(&config.store.path).await?;
    let facts = ledger.provider_facts(name).await;
    ledger.close().await;
    Ok(Some(facts?))
}
