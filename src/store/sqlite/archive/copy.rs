//! The copy that becomes an archive. Here: which balances' bookings may go, and copying them with
//! their records. Never here: taking them out of the ledger ([`super`]). Read next:
//! [`super::check`].

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::check::digest_of_file;
use super::{Archive, BOOKINGS_MAX, attach, begin, commit, file_error, of_archive};
use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};
use crate::store::fence::sync_folder_of;
use crate::store::sqlite::backup::PARTIAL;
use crate::store::sqlite::holds::unanswered;

/// What came of copying.
pub(super) enum Copied {
    /// All that may go is in the file.
    All,
    /// Nothing may go; there is no file.
    Nothing,
    /// More bookings would go than an archive takes; there is no file.
    TooMany(i64),
}

/// Copies what may go to a new file at `partial`, which stays open beside the ledger. What an
/// earlier call left there was never sealed.
pub(super) async fn to(
    connection: &mut SqliteConnection,
    partial: &Path,
    (before, least): (Timestamp, i64),
    now: Timestamp,
) -> Result<Copied, LedgerError> {
    remove(partial)?;
    open(connection, partial).await?;
    let mut transaction = begin(connection).await?;
    let waiting = unanswered(&mut transaction).await?;
    let waiting: Vec<String> = waiting.iter().map(hex::encode).collect();
    let waiting = json!(waiting).to_string();
    sqlx::query(of_archive!("choose"))
        .bind(before.micros())
        .execute(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    // Each balance that stays may hold others back, by the records that they share. Every round but
    // the last takes one out at least.
    loop {
        let done = sqlx::query(of_archive!("narrow"))
            .bind(&waiting)
            .bind(before.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        if done.rows_affected() == 0 {
            break;
        }
    }
    let row = sqlx::query(of_archive!("count"))
        .fetch_one(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    let bookings = row.integer("bookings")?;
    if bookings == 0 || bookings > BOOKINGS_MAX {
        drop(transaction);
        remove(partial)?;
        return Ok(if bookings == 0 { Copied::Nothing } else { Copied::TooMany(bookings) });
    }
    for statement in [
        of_archive!("copy_bookings"),
        of_archive!("copy_records"),
        of_archive!("copy_routes"),
        of_archive!("copy_corrections"),
    ] {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(ledger_error)?;
    }
    sqlx::query(of_archive!("describe"))
        .bind(before.micros())
        .bind(now.micros())
        .bind(least)
        .execute(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    commit(transaction).await?;
    Ok(Copied::All)
}

/// What a file that is made again has behind its name until it is whole. It is none that was
/// sealed, and a call that was cut short leaves it for the next one to take away.
const REMADE: &str = "remade";

/// Makes the file of a sealed archive again where it is lost, as long as the ledger still has all
/// that it held. Whether it did: the file then stays open beside the ledger.
pub(super) async fn again(
    connection: &mut SqliteConnection,
    archive: &Archive,
    digest: &Digest,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let partial = archive.path.with_added_extension(PARTIAL);
    if archive.path.exists() || partial.exists() {
        return Ok(false);
    }
    let remade = archive.path.with_added_extension(REMADE);
    remove(&remade)?;
    open(connection, &remade).await?;
    let mut transaction = begin(connection).await?;
    let number = archive.number;
    for statement in [of_archive!("again_balances"), of_archive!("again_bookings")] {
        sqlx::query(statement)
            .bind(number)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
    }
    for statement in
        [of_archive!("copy_records"), of_archive!("copy_routes"), of_archive!("copy_corrections")]
    {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(ledger_error)?;
    }
    sqlx::query(of_archive!("again_describe"))
        .bind(number)
        .bind(now.micros())
        .execute(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    commit(transaction).await?;
    if kept(&remade).await? == *digest {
        std::fs::rename(&remade, &partial).map_err(file_error)?;
        return Ok(true);
    }
    // Some of it had gone from the ledger already.
    sqlx::query(of_archive!("detach")).execute(connection).await.map_err(ledger_error)?;
    remove(&remade)?;
    Ok(false)
}

/// Opens a new file beside the ledger, for an archive.
async fn open(connection: &mut SqliteConnection, partial: &Path) -> Result<(), LedgerError> {
    // The ledger's own connections make no files.
    File::create_new(partial).map_err(file_error)?;
    attach(connection, partial).await?;
    sqlx::raw_sql(of_archive!("schema")).execute(connection).await.map_err(ledger_error)?;
    Ok(())
}

/// Has a copy on disk, and its name too, as nothing else makes it once it is sealed. What it holds,
/// read back.
pub(super) async fn kept(partial: &Path) -> Result<Digest, LedgerError> {
    File::open(partial)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync_folder_of(partial))
        .map_err(file_error)?;
    digest_of_file(partial).await
}

fn remove(partial: &Path) -> Result<(), LedgerError> {
    match std::fs::remove_file(partial) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error(error)),
    }
}
