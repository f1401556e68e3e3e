//! Archives that are read. Here: an archive's digest, what it says of itself, and whether it still
//! is what the ledger sealed. Never here: making one ([`super`]). Read next: [`super`].

use std::collections::HashMap;
use std::path::Path;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection};

use super::super::running::chain;
use super::super::{SqliteLedger, connect_options, sql};
use super::of_archive;
use crate::domain::digest::{Digest, Fields};
use crate::domain::quantity::Quantity;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::verification::Verification;
use crate::store::codec::{Columns, ledger_error, usage_record};

/// What an archive says of itself.
pub(super) struct Header {
    pub(super) ledger: String,
    pub(super) number: i64,
    pub(super) before: Timestamp,
    pub(super) records: i64,
}

/// What came of checking an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is an archive of this ledger; what was looked at, and what does not hold.
    Archive(i64, Verification),
    /// It is none, or one of another ledger.
    Refused(String),
}

/// What balances come to by an archive's bookings: (accrued, digest, last booking).
type Folds = HashMap<i64, (Quantity, Digest, i64)>;

impl SqliteLedger {
    /// Checks that the archive at `file` is what was sealed: its records what their digests say,
    /// its bookings what its balances came to.
    ///
    /// # Errors
    /// When the ledger or the file cannot be read.
    pub async fn verify_archive(&self, file: &Path) -> Result<Checked, LedgerError> {
        if !file.exists() {
            return Ok(Checked::Refused(format!("there is no file {}", file.display())));
        }
        let Ok(header) = header(file).await else {
            return Ok(Checked::Refused(format!("{} is no archive", file.display())));
        };
        if header.ledger != self.id.as_str() {
            return Ok(Checked::Refused(format!(
                "{} is an archive of the ledger {}, and this one is {}",
                file.display(),
                header.ledger,
                self.id.as_str()
            )));
        }
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let row = sqlx::query(sql!("archive_read"))
            .bind(header.number)
            .fetch_optional(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let Some(row) = row else {
            return Ok(Checked::Refused(format!(
                "{} is archive {} of this ledger, which knows of none: it was made before the \
                 ledger was restored from a backup",
                file.display(),
                header.number
            )));
        };
        let mut found = Verification::default();
        if digest_of_file(file).await? != row.digest("digest")? {
            found.note("archive: it is not what was sealed, by its digest".to_owned());
        }
        let mut archive = open(file).await?;
        check_records(&mut reader, &mut archive, header.number, &mut found).await?;
        check_balances(&mut reader, &mut archive, header.number, &mut found).await?;
        archive.close().await.map_err(ledger_error)?;
        Ok(Checked::Archive(header.number, found))
    }
}

async fn open(file: &Path) -> Result<SqliteConnection, LedgerError> {
    connect_options(file).read_only(true).connect().await.map_err(ledger_error)
}

/// What the archive at `file` says of itself.
///
/// # Errors
/// When it is none.
pub(super) async fn header(file: &Path) -> Result<Header, LedgerError> {
    let mut archive = open(file).await?;
    let row =
        sqlx::query(of_archive!("header")).fetch_one(&mut archive).await.map_err(ledger_error)?;
    archive.close().await.map_err(ledger_error)?;
    Ok(Header {
        ledger: row.text("ledger")?,
        number: row.integer("id")?,
        before: row.time("before_at")?,
        records: row.integer("records")?,
    })
}

/// The digest of the archive at `file`, read from it anew.
pub(super) async fn digest_of_file(file: &Path) -> Result<Digest, LedgerError> {
    let mut archive = open(file).await?;
    let whole = (of_archive!("records"), of_archive!("bookings"));
    let digest = digest_of(&mut archive, whole).await?;
    archive.close().await.map_err(ledger_error)?;
    Ok(digest)
}

/// The digest over what two statements read: records, then bookings, each field of them, in their
/// order.
pub(super) async fn digest_of(
    connection: &mut SqliteConnection,
    statements: (&'static str, &'static str),
) -> Result<Digest, LedgerError> {
    let mut digest = Digest::default();
    let mut rows = sqlx::query(statements.0).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        digest = record(&digest, &row)?;
    }
    drop(rows);
    let mut rows = sqlx::query(statements.1).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        digest = booking(&digest, &row)?;
    }
    Ok(digest)
}

fn record(before: &Digest, row: &SqliteRow) -> Result<Digest, LedgerError> {
    Ok(Fields::of("archived record 1")
        .bytes(before)
        .number(row.integer("position")?)
        .bytes(&row.digest("identity")?)
        .bytes(&row.digest("content")?)
        .text(&row.text("source")?)
        .text(&row.text("id")?)
        .text(&row.text("customer")?)
        .text(&row.text("meter")?)
        .text(&row.text("quantity")?)
        .number(row.integer("occurred_at")?)
        .number(row.integer("recorded_at")?)
        .text(&row.text("properties")?)
        .finish())
}

fn booking(before: &Digest, row: &SqliteRow) -> Result<Digest, LedgerError> {
    Ok(Fields::of("archived booking 1")
        .bytes(before)
        .number(row.integer("id")?)
        .number(row.integer("record_position")?)
        .number(row.integer("destination_id")?)
        .number(row.integer("route_version_id")?)
        .number(row.integer("balance_id")?)
        .text(&row.text("quantity")?)
        .text(&row.text("cause")?)
        .number(row.integer("cause_id")?)
        .number(row.integer("booked_at")?)
        .finish())
}

/// Each record is what its digests say, and each is what the ledger still knows of it.
async fn check_records(
    reader: &mut SqliteConnection,
    archive: &mut SqliteConnection,
    number: i64,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let mut known = sqlx::query(sql!("archive_identities")).bind(number).fetch(reader);
    let mut rows = sqlx::query(of_archive!("records")).fetch(archive);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let position = row.integer("position")?;
        let record = usage_record(&row)?;
        if record.identity() != row.digest("identity")?
            || record.content() != row.digest("content")?
        {
            found.note(format!("record {position}: it is not what its digests say"));
        }
        let same = match known.try_next().await.map_err(ledger_error)? {
            Some(kept) => {
                kept.integer("position")? == position
                    && kept.digest("identity")? == row.digest("identity")?
                    && kept.digest("content")? == row.digest("content")?
            }
            None => false,
        };
        if !same {
            found.note(format!("record {position}: the ledger does not know it as archived"));
        }
    }
    if known.try_next().await.map_err(ledger_error)?.is_some() {
        found.note("archive: it lacks records that the ledger knows as archived".to_owned());
    }
    found.checked.push(("records", count));
    Ok(())
}

/// The bookings of each balance lead from what it had come to before to what it was sealed with.
async fn check_balances(
    reader: &mut SqliteConnection,
    archive: &mut SqliteConnection,
    number: i64,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let seals = sqlx::query(sql!("archive_seals"))
        .bind(number)
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    let mut folds: Folds = HashMap::with_capacity(seals.len());
    for seal in &seals {
        let accrued = seal.maybe_quantity("accrued_before")?.unwrap_or_default();
        let digest = match seal.maybe_text("accrued_before")? {
            Some(_) => seal.digest("digest_before")?,
            None => Digest::default(),
        };
        folds.insert(seal.integer("balance_id")?, (accrued, digest, 0));
    }
    let mut rows = sqlx::query(of_archive!("lines")).fetch(archive);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let balance = row.integer("balance_id")?;
        let Some(fold) = folds.get_mut(&balance) else {
            found.note(format!("balance {balance}: it was not sealed for this archive"));
            continue;
        };
        let quantity = row.quantity("quantity")?;
        fold.0 = &fold.0 + &quantity;
        fold.1 = chain(&fold.1, &row.blob("identity")?, &quantity, row.time("occurred_at")?);
        fold.2 = row.integer("id")?;
    }
    for seal in &seals {
        let balance = seal.integer("balance_id")?;
        let sealed =
            (seal.quantity("accrued")?, seal.digest("digest")?, seal.integer("booked_to")?);
        if folds.get(&balance) != Some(&sealed) {
            let accrued = &sealed.0;
            found.note(format!("balance {balance}: its bookings do not come to {accrued}"));
        }
    }
    found.checked.push(("bookings", count));
    found.checked.push(("balances", i64::try_from(seals.len()).unwrap_or(i64::MAX)));
    Ok(())
}
