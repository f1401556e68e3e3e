//! Copies of a whole ledger. Here: a copy made beside whoever writes, and a backup put in the place
//! of a ledger. Never here: what a ledger is that is older than what was sent from it
//! ([`super::fencing`]). Read next: [`super::fencing`].

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection};

use super::{connect_options, recognise, sql};
use crate::domain::time::Timestamp;
use crate::ledger::Source;
use crate::store::fence::sync_folder_of;
use crate::store::{Holder, OpenError};

/// What is put behind the name of a copy that is not finished.
pub(super) const PARTIAL: &str = "partial";

/// Copies the ledger at `ledger` to `to`, as it stands at one instant, beside whoever writes to it.
/// The copy has its name only once it is whole and on disk.
///
/// # Errors
/// When there is no ledger, when `to` is there already, or when it cannot be written.
pub async fn copy(ledger: &Path, to: &Path) -> Result<(), OpenError> {
    let storage = |source: Source| OpenError::Storage { path: ledger.to_owned(), source };
    if !ledger.exists() || !recognise(ledger).await.map_err(storage)? {
        return Err(OpenError::Missing(ledger.to_owned()));
    }
    copy_to(ledger, to).await.map_err(|source| {
        let source: Source = format!("it cannot be copied to {}: {source}", to.display()).into();
        storage(source)
    })
}

async fn copy_to(ledger: &Path, to: &Path) -> Result<(), Source> {
    if to.exists() {
        return Err("there is such a file already".into());
    }
    let partial = to.with_added_extension(PARTIAL);
    match std::fs::remove_file(&partial) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let name = partial.to_str().ok_or("its name is no text")?;
    let mut reader = connect_options(ledger).read_only(true).connect().await?;
    sqlx::query(sql!("backup")).bind(name).execute(&mut reader).await?;
    reader.close().await?;
    File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, to)?;
    sync_folder_of(to)?;
    Ok(())
}

/// Puts a copy of the backup at `from` in the place of the ledger at `ledger`, which nobody may
/// have open. Answers where the ledger that lay there was put, if one did.
///
/// # Errors
/// When somebody has the ledger open, when `from` is no ledger, or when a file cannot be moved.
pub async fn replace(
    ledger: &Path,
    from: &Path,
    who: &str,
    now: Timestamp,
) -> Result<Option<PathBuf>, OpenError> {
    let _holder = Holder::take(ledger, who)?;
    let storage = |source: Source| OpenError::Storage { path: ledger.to_owned(), source };
    // All of the backup is read before anything is moved.
    let fresh = ledger.with_added_extension("restored");
    match std::fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(storage(error.into())),
    }
    copy(from, &fresh).await?;
    check(&fresh).await.map_err(|source| OpenError::Storage { path: from.to_owned(), source })?;
    let aside = move_aside(ledger, now).map_err(|error| storage(error.into()))?;
    std::fs::rename(&fresh, ledger).map_err(|error| storage(error.into()))?;
    sync_folder_of(ledger).map_err(|error| storage(error.into()))?;
    Ok(aside)
}

/// The engine's own check of every page.
async fn check(path: &Path) -> Result<(), Source> {
    let mut reader = connect_options(path).read_only(true).connect().await?;
    let rows = sqlx::query(sql!("verify_storage")).fetch_all(&mut reader).await?;
    reader.close().await?;
    for row in &rows {
        let said: String = sqlx::Row::try_get(row, 0)?;
        if said != "ok" {
            return Err(format!("it is damaged: {said}").into());
        }
    }
    Ok(())
}

/// Gives a ledger another name, with the log that belongs to it: a log that was left behind would
/// be read into whatever is put in the ledger's place.
fn move_aside(ledger: &Path, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
    let aside = ledger.with_added_extension(format!("replaced-{}", now.seconds()));
    let beside = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    // The log goes first: a crash then leaves an older ledger, which its fence tells; the other way
    // round, it would leave a log for whatever comes in the ledger's place.
    let moved = std::fs::rename(beside(ledger, "-wal"), beside(&aside, "-wal"));
    if let Err(error) = moved
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let there = match std::fs::rename(ledger, &aside) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    match std::fs::remove_file(beside(ledger, "-shm")) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(there.then_some(aside))
}
