//! `tallyd ledger backup`, `restore` and `caught-up`. Here: what is copied where, and what a person
//! has to know then. Never here: what a restored ledger holds (see `store`). Read next:
//! [`super::import`].

use anyhow::{anyhow, bail};
use serde::Deserialize;
use serde_json::json;

use super::args::{LedgerBackup, LedgerCaughtUp, LedgerRestore};
use super::exit::Exit;
use super::import::door::ledger_or_socket;
use super::resolve::invoker;
use super::{page, reading};
use crate::daemon::Time;
use crate::ledger::holds::{CaughtUp, HoldsLedger};
use crate::ledger::operator::OperatorLedger;
use crate::ledger::posting::PostingLedger;
use crate::store::sqlite::{SqliteLedger, backup};
use crate::web::holds::sentence;

/// Copies the ledger, beside a daemon or without one.
///
/// # Errors
/// When there is none, or the copy cannot be made.
pub(crate) async fn backup(asked: &LedgerBackup) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.configured)?;
    backup::copy(&config.store.path, &asked.file).await?;
    let (from, to) = (config.store.path.display(), asked.file.display());
    page::print(|out| writeln!(out, "{to} is {from} as it was a moment ago."))?;
    Ok(Exit::Ok)
}

/// Puts a backup in the ledger's place.
///
/// # Errors
/// When a daemon runs, or the backup is no ledger or not this one.
pub(crate) async fn restore(asked: &LedgerRestore) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.configured)?;
    let who = format!("tallyd ledger restore (pid {})", std::process::id());
    let now = Time::of(&config).await?.clock.now();
    let aside = backup::replace(&config.store.path, &asked.file, &who, now).await?;
    let ledger = SqliteLedger::open_fenced(&config.store, &config.fencing, &who, now).await?;
    let restored = ledger.restored().await?;
    let held = ledger.status().await?.held;
    ledger.close().await;
    let held: i64 = held.iter().map(|(_, _, count)| count).sum();
    page::print(|out| {
        let (ledger, from) = (config.store.path.display(), asked.file.display());
        writeln!(out, "{ledger} is {from} now.")?;
        if let Some(aside) = &aside {
            writeln!(out, "What lay there is kept as {}.", aside.display())?;
        }
        match restored.filter(|restored| restored.caught_up_at.is_none()) {
            None => writeln!(out, "Nothing was sent since it was made."),
            Some(restored) => {
                let until = restored.sent_through_at;
                writeln!(
                    out,
                    "It is older than what was sent: usage of until {until} may have been told \
                     since, and is held ({held} now). Start the daemon, have the sources send \
                     again what the ledger lacks, then say so: tallyd ledger caught-up --why TEXT"
                )
            }
        }
    })?;
    Ok(Exit::Ok)
}

#[derive(Deserialize)]
struct Told {}

/// Notes that the sources sent again what the ledger lacked.
///
/// # Errors
/// When the ledger was not rolled back, or has caught up.
pub(crate) async fn caught_up(asked: &LedgerCaughtUp) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.configured)?;
    let why = sentence("--why", &asked.why).map_err(|said| anyhow!(said))?;
    let who = asked.who.clone().map_or_else(invoker, Ok)?;
    let who = sentence("--who", &who).map_err(|said| anyhow!(said))?;
    match ledger_or_socket(&config, "ledger caught-up").await? {
        Ok(ledger) => {
            let now = Time::of(&config).await?.clock.now();
            let noted = ledger.caught_up(&format!("{who}: {why}"), now).await;
            ledger.close().await;
            match noted? {
                CaughtUp::Noted => {}
                CaughtUp::Refused(said) => bail!(said),
            }
        }
        Err(socket) => {
            let body = json!({ "why": why, "who": who }).to_string();
            let item = ("of", "inputs");
            let Told {} = socket.post("/v1/caught-up", item, "application/json", body).await?;
        }
    }
    page::print(|out| {
        writeln!(out, "It is noted: from here on the provider's totals settle what is held.")
    })?;
    Ok(Exit::Ok)
}
