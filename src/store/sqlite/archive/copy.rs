//! The copy that becomes an archive. Here: which balances' bookings may go, and copying them with
//! their records. Never here: taking them out of the ledger ([`super`]). Read next:
//! [`super::check`].

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use sqlx::sqlite::SqliteConnection;

use super::{BOOKINGS_MAX, attach, begin, commit, file_error, of_archive};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};

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
    before: Timestamp,
    now: Timestamp,
) -> Result<Copied, LedgerError> {
    remove(partial)?;
    // The ledger's own connections make no files.
    File::create_new(partial).map_err(file_error)?;
    attach(connection, partial).await?;
    sqlx::raw_sql(of_archive!("schema")).execute(&mut *connection).await.map_err(ledger_error)?;
    let mut transaction = begin(connection).await?;
    sqlx::query(of_archive!("choose"))
        .bind(before.micros())
        .execute(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    // Each balance that stays may hold others back, by the records that they share. Every round but
    // the last takes one out at least.
    loop {
        let done = sqlx::query(of_archive!("narrow"))
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
        .execute(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    commit(transaction).await?;
    Ok(Copied::All)
}

fn remove(partial: &Path) -> Result<(), LedgerError> {
    match std::fs::remove_file(partial) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error(error)),
    }
}
