//! Taking over from another program. Here: how each provider instance is to be told is adopted, at
//! a start and with other routes, or refused. Never here: whether it may be (`domain::cutover`).
//! Read next: [`super::assemble`].

use std::collections::BTreeSet;

use crate::config::Config;
use crate::domain::cutover::{Earlier, Lacking, Mode, Telling};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::cutover::{Adoption, CutoverLedger};

/// Nothing says from when on something is to be told that another program may have told.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(provider, lacking))]
pub struct NoBillFrom {
    provider: ProviderName,
    lacking: Lacking,
}

fn said(provider: &ProviderName, lacking: &Lacking) -> String {
    let Lacking { meter, account, mode, since } = lacking;
    let whose = account.as_ref().map_or(String::new(), |account| format!(" of {account}"));
    let why = match mode {
        Mode::Shadow => format!("was in shadow since {since}, and what was booked meanwhile"),
        Mode::Live => format!("had a `bill_from` since {since}, and late usage of before it"),
    };
    format!(
        "{provider} {why} would be told now, though another program told it: \"{meter}\"{whose} \
         has no `bill_from`. Write into [{provider}] the instant that the other program tells \
         until and tallyd from, such as bill_from = \"2026-02-01T00:00:00Z\", and keep it there; \
         or write shadow = true"
    )
}

/// Has `provider` told as the config wants it; why not, where that would tell what another program
/// may have told.
///
/// # Errors
/// When the ledger failed. Then nothing was adopted.
pub(super) async fn adopt(
    config: &Config,
    ledger: &dyn CutoverLedger,
    provider: &ProviderName,
    telling: &Telling,
    now: Timestamp,
) -> Result<Option<NoBillFrom>, LedgerError> {
    let its = config.routes.iter().filter(|route| route.provider == *provider);
    let meters: BTreeSet<ProviderMeter> = its.map(|route| route.provider_meter.clone()).collect();
    match ledger.adopt_telling(provider, telling, &meters, now).await? {
        Adoption::Refused(lacking) => {
            let provider = provider.clone();
            return Ok(Some(NoBillFrom { provider, lacking }));
        }
        Adoption::Adopted { before, withdrawn } => {
            if let Some(before) = before {
                let (was, mode) = (before.telling.mode, telling.mode);
                tracing::warn!(%provider, %was, %mode, withdrawn, "it is told otherwise from now");
                say_told_since_shadow(provider, &before, telling);
            }
        }
    }
    if telling.mode == Mode::Shadow {
        tracing::warn!(%provider, "in shadow: usage is booked, and nothing is told");
    }
    if let Some(from) = telling.cutover.latest().filter(|from| *from > now) {
        tracing::warn!(%provider, %from, "some usage of before this instant is never told");
    }
    Ok(None)
}

/// Says aloud that usage of a time in shadow is told, where `bill_from` is of before that: the
/// shadow may have been a pause in which nobody told anything, or one in which another program did.
fn say_told_since_shadow(provider: &ProviderName, before: &Earlier, telling: &Telling) {
    let ended = before.telling.mode == Mode::Shadow && telling.mode == Mode::Live;
    let Some(from) = telling.cutover.earliest().filter(|from| ended && *from < before.since) else {
        return;
    };
    tracing::warn!(
        %provider,
        in_shadow_since = %before.since,
        bill_from = %from,
        "what was booked in shadow is told now; if another program told it meanwhile, stop, and \
         set bill_from to when that one ended"
    );
}
