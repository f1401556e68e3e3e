//! `tallyd ledger archive`. Here: what is asked, how far it is, and what a person has to know then.
//! Never here: what may go (see `store`). Read next: [`super::verify`].

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, bail};

use super::args::LedgerArchive;
use super::exit::Exit;
use super::progress::Progress;
use super::{page, reading, words};
use crate::daemon::Time;
use crate::domain::time::Timestamp;
use crate::store::sqlite::SqliteLedger;
use crate::store::sqlite::archive::{Archive, Archiving, Step, Wanted};
use crate::store::{LockError, OpenError};

/// Moves settled records of long ago to a file.
///
/// # Errors
/// When a daemon runs, when the file is there already, or when it cannot be written.
pub(crate) async fn archive(asked: &LedgerArchive) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.configured)?;
    let text = &asked.before;
    let before = Timestamp::parse_rfc3339(text)
        .with_context(|| format!("--before {text} is no time like 2026-01-31T00:00:00Z"))?;
    let who = format!("tallyd ledger archive (pid {})", std::process::id());
    let now = Time::of(&config).await?.clock.now();
    let path = &config.store.path;
    if !path.exists() {
        return Err(OpenError::Missing(path.clone()).into());
    }
    let opened = SqliteLedger::open_fenced(&config.store, &config.fencing, &who, now).await;
    let ledger = match opened {
        Err(error @ OpenError::Locked(LockError::Held { .. })) => {
            return Err(anyhow::Error::new(error)
                .context("archives are made while no daemon runs: stop it, and start it after"));
        }
        other => other?,
    };
    let before_bytes = bytes_of(path)?;
    let (file, age_days) = (asked.file.clone(), config.archive_after_days);
    let wanted = Wanted { file, before, age_days };
    let mut progress: Option<Progress> = None;
    let made = ledger
        .archive(&wanted, now, &mut |step| {
            if let Step::Emptied(gone, whole) = step {
                let whole = u64::try_from(whole).unwrap_or(0);
                let bar = progress.get_or_insert_with(|| Progress::new("records", whole));
                bar.add(u64::try_from(gone).unwrap_or(0));
            }
            ControlFlow::Continue(())
        })
        .await;
    drop(progress);
    let shrunk = match (&made, asked.shrink) {
        (Ok(Archiving::Made(_)), true) => ledger.shrink().await,
        (Ok(_) | Err(_), _) => Ok(()),
    };
    ledger.close().await;
    match made? {
        Archiving::Made(archive) => {
            shrunk.context("the archive is made, and the ledger's file could not be shrunk")?;
            tell(asked, &archive, before_bytes, bytes_of(path)?)?;
        }
        Archiving::Nothing => page::print(|out| {
            writeln!(out, "Nothing of before {before} may go: nothing is settled, or it went.")
        })?,
        Archiving::Stopped => bail!("it was stopped; the same command goes on"),
        Archiving::Refused(why) => bail!(why),
    }
    Ok(Exit::Ok)
}

fn bytes_of(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

fn tell(asked: &LedgerArchive, archive: &Archive, from: u64, to: u64) -> anyhow::Result<()> {
    let Archive { number, records, bookings, .. } = archive;
    let file = archive.path.display();
    page::print(|out| {
        let what = (words::counted(*records, "record"), words::counted(*bookings, "booking"));
        writeln!(out, "Archive {number}, {file}, holds {} and {} now.", what.0, what.1)?;
        if archive.resumed {
            writeln!(out, "It had been cut short. Say it again to archive what came since.")?;
        }
        writeln!(out, "Check it, and keep it: tallyd ledger verify --archive {file}")?;
        if asked.shrink {
            return writeln!(out, "The ledger's file has {to} bytes; it had {from}.");
        }
        writeln!(
            out,
            "The ledger's file keeps its {to} bytes, and fills the room before it grows; \
             --shrink gives it back to the disk."
        )
    })
}
