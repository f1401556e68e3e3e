//! Archives: settled records that go from the ledger to a file, while nobody else writes to it.
//! Here: what goes, and the steps by which it goes, so that a crash between any two loses nothing.
//! Never here: what is kept of a record that went ([`super::archived`]). Read next: [`check`].
//!
//! What goes are the records, and their bookings, of windows in which nothing can change any more.
//! Their balances and meter events stay, so that every sum, and all that is compared with a
//! provider, stays what it was. Of each record its two digests stay, by which it is known when it
//! is sent again; of each balance a seal, from which its later bookings are folded on.
//!
//! ```text
//!  copy to FILE.partial ─► on disk, compared ─► seal, at once ─► name it FILE ─► empty, in batches
//!  nothing has changed in the ledger            from here on its records are archived
//! ```
//!
//! Cut short before it is sealed, an archive is begun again; later it is finished by the next call.

mod check;
mod copy;

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};

use self::check::{digest_of, header};
use super::backup::PARTIAL;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::digest::Digest;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::ledger::LedgerError;
use crate::store::archiving::ARCHIVE_AGE_DAYS_MIN;
use crate::store::codec::{Columns, ledger_error};
use crate::store::fence::{Fence, sync_folder_of};

pub use self::check::Checked;

/// The statement in `archive/NAME.sql`: it names an archive beside the ledger.
macro_rules! of_archive {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/store/sqlite/archive/",
            $name,
            ".sql"
        ))
    };
}
use of_archive;

/// Most bookings in one archive. Some 50 bytes for each pass through the write-ahead log in one
/// transaction: a quarter of a gigabyte.
pub const BOOKINGS_MAX: i64 = 5_000_000;
/// Records that go from the ledger in one transaction.
const BATCH_RECORDS: i64 = 5_000;

/// What is to be archived, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file, which must not be there yet.
    pub file: PathBuf,
    /// Only windows that ended before this, or at it.
    pub before: Timestamp,
    /// How many days ago that is at least, [`ARCHIVE_AGE_DAYS_MIN`] or more.
    pub age_days: u32,
}

/// How far an archive is. What was done by then is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is copied, under a name that is not the archive's yet.
    Copied,
    /// The copy is on disk, and says what the ledger says.
    Compared,
    /// The ledger says that its records are archived.
    Sealed,
    /// The archive has its name.
    Named,
    /// So many records of it, of so many, are gone from the ledger.
    Emptied(i64, i64),
}

/// Told of each step; it may stop the work after any.
pub type Watch<'w> = &'w mut (dyn FnMut(Step) -> ControlFlow<()> + Send);

/// What was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its number.
    pub number: i64,
    /// Its file.
    pub path: PathBuf,
    /// How many records it holds.
    pub records: i64,
    /// How many bookings of them.
    pub bookings: i64,
    /// Whether it was begun by an earlier call that was cut short.
    pub resumed: bool,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// The archive is whole, and what it holds is gone from the ledger.
    Made(Archive),
    /// Nothing may go.
    Nothing,
    /// It was stopped after a step; the next call goes on.
    Stopped,
    /// It cannot be done, for a reason that a person can mend. Nothing was changed.
    Refused(String),
}

/// An archive that is sealed, and not emptied yet.
struct Sealed {
    archive: Archive,
    digest: Digest,
}

impl SqliteLedger {
    /// Archives what is settled and older than `wanted` says; or finishes an archive that was cut
    /// short, and only that.
    ///
    /// # Errors
    /// When the ledger or the file cannot be read or written. Whatever was done by then is told by
    /// the last step, and is whole.
    pub async fn archive(
        &self,
        wanted: &Wanted,
        now: Timestamp,
        watch: Watch<'_>,
    ) -> Result<Archiving, LedgerError> {
        // Nobody else of this process writes meanwhile; and no other process can.
        let _writer = self.writer().await?;
        let mut connection = self.writing.connect().await.map_err(ledger_error)?;
        let done = archive(&mut connection, self.fence.as_ref(), (wanted, now), watch).await;
        connection.close().await.map_err(ledger_error)?;
        done
    }

    /// Gives the room that archives left in the ledger's file back to the disk. It takes as much
    /// room as the ledger has, while it lasts.
    ///
    /// # Errors
    /// When there is not that much room; nothing was changed then.
    pub async fn shrink(&self) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        for statement in [of_archive!("vacuum"), sql!("checkpoint")] {
            sqlx::query(statement).execute(&mut *writer).await.map_err(ledger_error)?;
        }
        Ok(())
    }
}

async fn archive(
    connection: &mut SqliteConnection,
    fence: Option<&Fence>,
    (wanted, now): (&Wanted, Timestamp),
    watch: Watch<'_>,
) -> Result<Archiving, LedgerError> {
    let sealed = match unfinished(connection).await? {
        Some(sealed) => sealed,
        None => {
            if let Some(why) = refused(connection, wanted, now).await? {
                return Ok(Archiving::Refused(why));
            }
            let file = std::path::absolute(&wanted.file).map_err(file_error)?;
            let partial = file.with_added_extension(PARTIAL);
            let least = fence.map_or(0, |fence| fence.numbers().1);
            let copied = copy::to(connection, &partial, (wanted.before, least), now).await?;
            match copied {
                copy::Copied::All => {}
                copy::Copied::Nothing => return Ok(Archiving::Nothing),
                copy::Copied::TooMany(bookings) => {
                    return Ok(Archiving::Refused(format!(
                        "{bookings} bookings would go, and an archive takes {BOOKINGS_MAX}: choose \
                         an earlier --before, and archive in steps"
                    )));
                }
            }
            if watch(Step::Copied).is_break() {
                return Ok(Archiving::Stopped);
            }
            let digest = compare(connection, &partial).await?;
            if watch(Step::Compared).is_break() {
                return Ok(Archiving::Stopped);
            }
            keep_number(fence, &partial).await?;
            let archive = seal(connection, &file, &digest, now).await?;
            if watch(Step::Sealed).is_break() {
                return Ok(Archiving::Stopped);
            }
            Sealed { archive, digest }
        }
    };
    finish(connection, sealed, now, watch).await
}

/// Has the fence know the number of the archive that is about to be sealed: whoever puts a backup
/// of before it in the ledger's place does not get another archive of that number.
async fn keep_number(fence: Option<&Fence>, partial: &Path) -> Result<(), LedgerError> {
    let Some(fence) = fence else { return Ok(()) };
    let number = header(partial).await?.number;
    fence.advance_archives(number).await.map_err(|why| {
        let path = fence.path().display();
        LedgerError::Refused(format!("the fence {path} cannot be written"), Some(why.into()))
    })
}

/// Names a sealed archive, and empties what it holds out of the ledger.
async fn finish(
    connection: &mut SqliteConnection,
    sealed: Sealed,
    now: Timestamp,
    watch: Watch<'_>,
) -> Result<Archiving, LedgerError> {
    let Sealed { archive, digest } = sealed;
    let remade = archive.resumed && copy::again(connection, &archive, &digest, now).await?;
    if let Some(why) = name(&archive, &digest).await? {
        return Ok(Archiving::Refused(why));
    }
    if watch(Step::Named).is_break() {
        return Ok(Archiving::Stopped);
    }
    // One that was made by this call is open beside the ledger already.
    if archive.resumed && !remade {
        attach(connection, &archive.path).await?;
    }
    let mut after = 0;
    let mut gone = 0;
    while let Some(to) = batch_end(connection, after).await? {
        gone += empty(connection, after, to).await?;
        after = to;
        if watch(Step::Emptied(gone, archive.records)).is_break() {
            return Ok(Archiving::Stopped);
        }
    }
    sqlx::query(sql!("archive_done"))
        .bind(archive.number)
        .bind(now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    sqlx::query(sql!("checkpoint")).execute(connection).await.map_err(ledger_error)?;
    Ok(Archiving::Made(archive))
}

/// Why nothing can be archived as it is wanted; nothing when it can.
async fn refused(
    connection: &mut SqliteConnection,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Option<String>, LedgerError> {
    let days = wanted.age_days.max(ARCHIVE_AGE_DAYS_MIN);
    let latest = now.plus_micros(-i64::from(days) * MICROS_PER_DAY);
    if wanted.before > latest {
        return Ok(Some(format!(
            "--before {} is less than {days} days ago: what is younger may still be corrected, \
             sent again or billed; the latest is {latest} (ledger.archive_after_days)",
            wanted.before
        )));
    }
    if wanted.file.exists() {
        return Ok(Some(taken(&wanted.file).await));
    }
    let remap = sqlx::query(sql!("remap_open"))
        .fetch_optional(&mut *connection)
        .await
        .map_err(ledger_error)?;
    if let Some(remap) = remap {
        return Ok(Some(format!(
            "remap {} is not done, and what it is of may be archived: let the daemon do it first \
             (tallyd remap --list)",
            remap.integer("id")?
        )));
    }
    let row = sqlx::query(sql!("ledger_restoration"))
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?;
    if row.maybe_time("restored_at")?.is_some() && row.maybe_time("caught_up_at")?.is_none() {
        return Ok(Some(
            "the ledger was restored from a backup and has not caught up: tallyd ledger caught-up"
                .to_owned(),
        ));
    }
    Ok(None)
}

/// Why nothing is written to a file that is there already.
async fn taken(file: &Path) -> String {
    let there = file.display();
    match header(file).await {
        Ok(header) => format!(
            "there is a file {there} already, and nothing is written over one: it is archive {} of \
             the ledger {}, and holds {} records of windows that ended until {}. Name another \
             file; where the ledger was restored from a backup that still has these records, both \
             files hold them then",
            header.number, header.ledger, header.records, header.before
        ),
        Err(_) => format!("there is a file {there} already, and nothing is written over one"),
    }
}

/// The archive that an earlier call sealed and did not finish.
async fn unfinished(connection: &mut SqliteConnection) -> Result<Option<Sealed>, LedgerError> {
    let row = sqlx::query(sql!("archive_unfinished"))
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)?;
    let Some(row) = row else { return Ok(None) };
    let archive = Archive {
        number: row.integer("id")?,
        path: PathBuf::from(row.text("path")?),
        records: row.integer("records")?,
        bookings: row.integer("bookings")?,
        resumed: true,
    };
    Ok(Some(Sealed { archive, digest: row.digest("digest")? }))
}

/// Has the copy kept: it must say what the ledger says.
async fn compare(connection: &mut SqliteConnection, partial: &Path) -> Result<Digest, LedgerError> {
    let live = (of_archive!("records_live"), of_archive!("bookings_live"));
    let here = digest_of(connection, live).await?;
    let there = copy::kept(partial).await?;
    if here != there {
        let why = format!("the copy {} is not what was copied to it", partial.display());
        return Err(LedgerError::Refused(why, None));
    }
    Ok(here)
}

/// Says in the ledger that what was copied is archived.
async fn seal(
    connection: &mut SqliteConnection,
    file: &Path,
    digest: &Digest,
    now: Timestamp,
) -> Result<Archive, LedgerError> {
    let path = text_of(file)?;
    let mut transaction = begin(connection).await?;
    let row = sqlx::query(of_archive!("seal_archive"))
        .bind(path)
        .bind(digest.as_slice())
        .bind(now.micros())
        .fetch_one(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    let number = row.integer("id")?;
    sqlx::query(of_archive!("keep_out")).execute(&mut *transaction).await.map_err(ledger_error)?;
    for statement in [of_archive!("seal_balances"), of_archive!("seal_records")] {
        sqlx::query(statement)
            .bind(number)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
    }
    commit(transaction).await?;
    let (records, bookings) = (row.integer("records")?, row.integer("bookings")?);
    Ok(Archive { number, path: file.to_owned(), records, bookings, resumed: false })
}

/// Gives a sealed archive its name, if it has not got it, once it is known to be whole. Answers why
/// that is not so.
async fn name(archive: &Archive, digest: &Digest) -> Result<Option<String>, LedgerError> {
    let file = &archive.path;
    let partial = file.with_added_extension(PARTIAL);
    let there = if file.exists() { file } else { &partial };
    if !there.exists() {
        return Ok(Some(format!(
            "archive {} was cut short, and its file {} is not there: put it back, so that it can \
             be finished; nothing of it is lost",
            archive.number,
            file.display()
        )));
    }
    if check::digest_of_file(there).await? != *digest {
        return Ok(Some(format!(
            "{} is not what archive {} was when it was sealed: put the right file back",
            there.display(),
            archive.number
        )));
    }
    if there == &partial {
        std::fs::rename(&partial, file).map_err(file_error)?;
    }
    sync_folder_of(file).map_err(file_error)?;
    Ok(None)
}

async fn batch_end(
    connection: &mut SqliteConnection,
    after: i64,
) -> Result<Option<i64>, LedgerError> {
    sqlx::query(of_archive!("batch_end"))
        .bind(after)
        .bind(BATCH_RECORDS)
        .fetch_one(connection)
        .await
        .map_err(ledger_error)?
        .maybe_integer("position")
}

/// Takes the archived records in `(after, to]` out of the ledger. Answers how many were there.
async fn empty(connection: &mut SqliteConnection, after: i64, to: i64) -> Result<i64, LedgerError> {
    let mut transaction = begin(connection).await?;
    let mut gone = 0;
    for statement in [of_archive!("empty_bookings"), of_archive!("empty_records")] {
        let done = sqlx::query(statement)
            .bind(after)
            .bind(to)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        gone = i64::try_from(done.rows_affected()).unwrap_or(i64::MAX);
    }
    commit(transaction).await?;
    Ok(gone)
}

/// Opens an archive beside the ledger.
async fn attach(connection: &mut SqliteConnection, file: &Path) -> Result<(), LedgerError> {
    sqlx::query(of_archive!("attach"))
        .bind(text_of(file)?)
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

fn text_of(file: &Path) -> Result<&str, LedgerError> {
    let unnamed = || LedgerError::Refused(format!("{} is no text", file.display()), None);
    file.to_str().ok_or_else(unnamed)
}

fn file_error(error: std::io::Error) -> LedgerError {
    let why = "the archive's file cannot be written".to_owned();
    if error.kind() == ErrorKind::StorageFull {
        return LedgerError::Full(error.into());
    }
    LedgerError::Refused(why, Some(error.into()))
}
