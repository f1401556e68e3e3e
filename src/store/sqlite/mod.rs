//! The ledger on SQLite. Here: opening it, its promises to the engine, the one writer's connection
//! and the readers'. Never here: a statement (each stands in its own file under `queries/`). Read
//! next: [`intake`], then the other rooms' verbs.
//!
//! One connection writes, behind a lock, so a verb is one transaction and verbs never interleave.
//! Readers see the last committed state through the write-ahead log and never wait for the writer.
//! sqlx pays some 55 µs for each execute, so a verb takes one statement per batch: many rows travel
//! as one JSON array, or as one statement with many rows of values.

mod accrual;
pub mod archive;
pub mod archived;
pub mod backup;
mod billing;
mod conflicts;
mod corrections;
mod cutover;
mod delivery;
mod export;
mod fencing;
mod find;
mod holds;
mod gauges;
mod idle;
mod intake;
mod late;
mod moves;
mod notices;
mod operator;
mod posting;
mod presence;
mod receipts;
mod reconcile;
mod report;
mod recovery;
mod rejected;
mod rejections;
mod remap;
mod reserve;
mod resolve;
mod running;
mod shares;
mod silence;
mod spool;
mod trace;
mod transfer;
mod unique;
mod usage;
mod verify;
mod written_off;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::ballast::{self, Ballast};
use super::codec::{Columns, commit_error, is_no_database, ledger_error};
use super::fence::Fence;
use super::{Fencing, Holder, OpenError, Settings};
use crate::domain::digest::{Digest, Fields};
use crate::domain::event::LedgerId;
use crate::domain::time::Timestamp;
use crate::ledger::{LedgerError, Source};

/// The statement in `queries/NAME.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/store/sqlite/queries/",
            $name,
            ".sql"
        ))
    };
}
pub(crate) use sql;

/// How long a statement waits for another process's lock on the file, in milliseconds. Only
/// operators' tools can hold one, and only for an instant.
const BUSY_MILLIS: u64 = 5_000;
/// Readers' connections: an operator's listing, the metrics and two steps can read at once.
const READERS_MAX: u32 = 4;
/// How long a reader waits for one of them, in seconds.
const READER_SECONDS_MAX: u64 = 10;
/// Pages in the write-ahead log before it is moved into the file: 64 MiB. Random record identities
/// dirty a page a record, and a small log would be moved at every commit.
const CHECKPOINT_PAGES: &str = "16384";
/// SQLite before this may corrupt a ledger when a checkpoint meets a write (its WAL-reset bug).
const ENGINE_VERSION_MIN: [u32; 3] = [3, 51, 3];

/// The number at a ledger's head by which it is told from other databases: "TALY".
const APPLICATION: i64 = 0x5441_4C59;

/// A ledger in a SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    id: LedgerId,
    epoch: i64,
    opened_at: Timestamp,
    writer: Option<Mutex<SqliteConnection>>,
    /// How the writer's connection is made, for when it has to be made again.
    writing: SqliteConnectOptions,
    readers: SqlitePool,
    group: intake::Group,
    ballast: Arc<Ballast>,
    /// Where it is noted, outside the ledger, how far sending went; only whoever writes has it.
    fence: Option<Fence>,
    _holder: Option<Holder>,
}

impl SqliteLedger {
    /// Opens the ledger for writing, with its fence beside it, as [`Self::open_fenced`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn open(settings: &Settings, who: &str, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_fenced(settings, &Fencing::beside(&settings.path), who, now).await
    }

    /// Opens the ledger for writing, and makes it when there is none and never was one. One that
    /// was rolled back is opened with what it has not finished held. `who` is shown to whoever
    /// tries to open it meanwhile.
    ///
    /// # Errors
    /// When another process writes to it, when it is not the ledger that its fence knows, or when
    /// its storage or engine cannot be trusted.
    pub async fn open_fenced(
        settings: &Settings,
        fencing: &Fencing,
        who: &str,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let holder = Holder::take(&settings.path, who)?;
        let path = settings.path.clone();
        let storage = |source: Source| OpenError::Storage { path: path.clone(), source };
        let is_ledger = path.exists() && recognise(&path).await.map_err(&storage)?;
        if !is_ledger {
            fencing::refuse_anew(&path, fencing)?;
        }
        let writing = writer_options(settings);
        let mut writer = writing
            .clone()
            .create_if_missing(true)
            .connect()
            .await
            .map_err(|error| storage(opening(error)))?;
        check_engine(&mut writer).await?;
        migrator().run(&mut writer).await.map_err(|error| storage(migrating(error)))?;
        let judged = fencing::hold_against(&mut writer, &settings.path, fencing).await?;
        let (id, epoch) = begin_run(&mut writer, &settings.path, now)
            .await
            .map_err(|error| storage(error.into()))?;
        let place = (&id, epoch);
        let fence = fencing::settle_finding(&mut writer, judged, place, fencing, now).await?;
        let readers = readers(&settings.path).await.map_err(|error| storage(opening(error)))?;
        Ok(Self {
            path: settings.path.clone(),
            id,
            epoch,
            opened_at: now,
            writer: Some(Mutex::new(writer)),
            writing,
            readers,
            group: intake::Group::default(),
            ballast: Arc::new(Ballast::beside(&settings.path)),
            fence: Some(fence),
            _holder: Some(holder),
        })
    }

    /// Opens an existing ledger for reading, beside whoever writes to it. Verbs that write answer
    /// [`LedgerError::Refused`].
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let storage = |source: Source| OpenError::Storage { path: path.to_owned(), source };
        if !recognise(path).await.map_err(storage)? {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let readers = readers(path).await.map_err(|error| storage(opening(error)))?;
        let row = sqlx::query(sql!("ledger_read"))
            .fetch_one(&readers)
            .await
            .map_err(|error| storage(opening(error)))?;
        let id = row.text("id").map_err(|error| storage(error.into()))?;
        let id = LedgerId::new(&id).ok_or_else(|| storage("its id is malformed".into()))?;
        let epoch = row.integer("epoch").map_err(|error| storage(error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            id,
            epoch,
            opened_at: Timestamp::from_micros(0),
            writer: None,
            writing: connect_options(path).read_only(true),
            readers,
            group: intake::Group::default(),
            ballast: Arc::new(Ballast::beside(path)),
            fence: None,
            _holder: None,
        })
    }

    /// Tells this run over this ledger from every other: no two that wrote to one have the same.
    #[must_use]
    pub fn name_of_run(&self) -> Digest {
        let path = self.path.to_string_lossy();
        let run = Fields::of("ledger run 1").text(self.id.as_str()).text(&path);
        run.number(self.epoch).number(self.opened_at.micros()).finish()
    }

    /// Closes every connection, so that the write-ahead log is moved into the file.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(writer) = self.writer
            && let Err(error) = writer.into_inner().close().await
        {
            // Nothing is lost: the log is read again at the next start.
            tracing::warn!(error = %error, "the ledger did not close cleanly");
        }
    }

    /// Bytes that the ledger's disk still has for this process, but for the ballast's room.
    fn free_bytes_on_disk(&self) -> Result<u64, LedgerError> {
        let free = ballast::free_bytes(&self.path)
            .map_err(|error| LedgerError::Refused(error.to_string(), Some(error.into())))?;
        Ok(free.saturating_sub(self.ballast.missing_bytes()))
    }

    /// The writer's connection, in no transaction.
    ///
    /// Where the engine rolls back by itself, as it does when a commit finds the disk full, sqlx's
    /// own rollback fails, and sqlx goes on counting a transaction that is none. Every later verb
    /// would be refused, long after there is room again; so such a connection is given up for a new
    /// one.
    async fn writer(&self) -> Result<MutexGuard<'_, SqliteConnection>, LedgerError> {
        let Some(writer) = &self.writer else {
            return Err(LedgerError::Refused("it is open for reading only".to_owned(), None));
        };
        let mut writer = writer.lock().await;
        if writer.is_in_transaction() {
            // The rollback of a transaction that was dropped may be under way; this comes after it.
            writer.ping().await.map_err(ledger_error)?;
        }
        if writer.is_in_transaction() {
            tracing::warn!("the engine rolled back by itself; the ledger is connected to anew");
            *writer = self.writing.connect().await.map_err(ledger_error)?;
        }
        Ok(writer)
    }
}

/// Begins a transaction that takes the file's write lock at once, so that it cannot fail half way
/// for want of it.
async fn begin(writer: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, LedgerError> {
    writer.begin_with("BEGIN IMMEDIATE").await.map_err(ledger_error)
}

async fn commit(transaction: Transaction<'_, Sqlite>) -> Result<(), LedgerError> {
    transaction.commit().await.map_err(commit_error)
}

/// What an error at the opening is passed on as. A full disk and a busy ledger are told apart from
/// storage that failed, for they pass.
fn opening(error: sqlx::Error) -> Source {
    match ledger_error(error) {
        passing @ (LedgerError::Full(_) | LedgerError::Busy(_)) => passing.into(),
        LedgerError::Broken(source) | LedgerError::Refused(_, Some(source)) => source,
        LedgerError::Refused(text, None) | LedgerError::Contradiction(text) => text.into(),
    }
}

fn migrating(error: MigrateError) -> Source {
    if let MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) = error {
        opening(inner)
    } else {
        error.into()
    }
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(BUSY_MILLIS))
}

fn writer_options(settings: &Settings) -> SqliteConnectOptions {
    connect_options(&settings.path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", format!("-{}", settings.cache_kib))
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
}

async fn readers(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(Duration::from_secs(READER_SECONDS_MAX))
        .connect_with(connect_options(path).read_only(true))
        .await
}

/// Whether the file at `path` holds a ledger; an empty one may become one. What is something else
/// is refused before anything is written to it.
async fn recognise(path: &Path) -> Result<bool, Source> {
    let refused = |error: sqlx::Error| -> Source {
        if is_no_database(&error) {
            "it is not a ledger, nor any database".into()
        } else {
            opening(error)
        }
    };
    let mut reader = connect_options(path).read_only(true).connect().await.map_err(refused)?;
    let row = sqlx::query(sql!("recognise")).fetch_one(&mut reader).await.map_err(refused)?;
    reader.close().await?;
    let (application, filled) = (row.integer("application")?, row.flag("filled")?);
    if application == APPLICATION || (application == 0 && !filled) {
        Ok(filled)
    } else {
        Err("it is a database of something else, not a ledger".into())
    }
}

fn migrator() -> Migrator {
    let migration = |version, name: &'static str, sql: &'static str| {
        let name = Cow::Borrowed(name);
        Migration::new(version, name, MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![migration(
        1,
        "ledger",
        include_str!("../../../migrations/sqlite/0001_ledger.sql"),
    )])
}

/// Asserts what every promise of the ledger rests on.
async fn check_engine(writer: &mut SqliteConnection) -> Result<(), OpenError> {
    let engine = |error: sqlx::Error| OpenError::Engine(format!("cannot be asked: {error}"));
    let row = sqlx::query(sql!("engine")).fetch_one(&mut *writer).await.map_err(engine)?;
    let version: String = row.try_get("version").map_err(engine)?;
    let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    if parts.as_slice() < ENGINE_VERSION_MIN.as_slice() {
        return Err(OpenError::Engine(format!("is SQLite {version}, older than 3.51.3")));
    }
    let synchronous: i64 = row.try_get("synchronous").map_err(engine)?;
    let journal: String = row.try_get("journal").map_err(engine)?;
    if synchronous != 2 || journal != "wal" {
        return Err(OpenError::Engine(format!(
            "runs with synchronous={synchronous}, journal_mode={journal}; it must be FULL and WAL"
        )));
    }
    Ok(())
}

/// Makes the ledger's name at its first run, and counts this run.
async fn begin_run(
    writer: &mut SqliteConnection,
    path: &Path,
    now: Timestamp,
) -> Result<(LedgerId, i64), LedgerError> {
    // Two ledgers of one account must never share a name. The engine's random bytes decide; the
    // path and the time only join them.
    let mut transaction = begin(writer).await?;
    let seed: Vec<u8> = sqlx::query(sql!("random_seed"))
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get("seed"))
        .map_err(ledger_error)?;
    let digest = Fields::of("ledger id 1")
        .bytes(&seed)
        .text(&path.to_string_lossy())
        .number(now.micros())
        .finish();
    let fresh = &hex::encode(digest)[..LedgerId::DIGITS];
    let row = sqlx::query(sql!("ledger_begin"))
        .bind(fresh)
        .bind(now.micros())
        .fetch_one(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    let (id, epoch) = (row.text("id")?, row.integer("epoch")?);
    commit(transaction).await?;
    let id = LedgerId::new(&id)
        .ok_or_else(|| LedgerError::Contradiction(format!("the ledger's id is \"{id}\"")))?;
    Ok((id, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::{CustomerName, MeterName, RecordId, SourceName};
    use crate::domain::quantity::Quantity;
    use crate::domain::record::{Position, Properties, UsageRecord};
    use crate::ledger::accrual::{AccrualLedger, MappingVersion};
    use crate::ledger::intake::{Admission, Admitted, IntakeLedger};

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn records(from: i64, count: i64) -> Vec<Admitted> {
        (from..from + count)
            .map(|number| {
                Admitted::from(UsageRecord {
                    source: SourceName::new("web").unwrap(),
                    id: RecordId::new(&format!("r{number}")).unwrap(),
                    customer: CustomerName::new("cus_1").unwrap(),
                    meter: MeterName::new("calls").unwrap(),
                    quantity: Quantity::one(),
                    occurred_at: NOON,
                    properties: Properties::new(),
                })
            })
            .collect()
    }

    #[tokio::test]
    async fn a_transaction_that_the_engine_rolled_back_by_itself_does_not_stop_later_verbs() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { path: folder.path().join("ledger"), cache_kib: 2_048 };
        let ledger = SqliteLedger::open(&settings, "a test", NOON).await.unwrap();
        for number in 0..3 {
            {
                let mut writer = ledger.writer().await.unwrap();
                let mut transaction = begin(&mut writer).await.unwrap();
                // What the engine does when a commit finds the disk full, and sqlx does not notice.
                sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
            }
            let booked = ledger.accept(records(number, 1), Vec::new(), NOON).await.unwrap();
            assert_eq!(booked, [Admission::Accepted(Position(number + 1))]);
        }
    }

    #[tokio::test]
    async fn a_transaction_that_was_dropped_leaves_nothing_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { path: folder.path().join("ledger"), cache_kib: 2_048 };
        let ledger = SqliteLedger::open(&settings, "a test", NOON).await.unwrap();
        for number in 0..3 {
            {
                let mut writer = ledger.writer().await.unwrap();
                let mut transaction = begin(&mut writer).await.unwrap();
                sqlx::query(sql!("mapping_changed")).execute(&mut *transaction).await.unwrap();
            }
            let booked = ledger.accept(records(number, 1), Vec::new(), NOON).await.unwrap();
            assert_eq!(booked, [Admission::Accepted(Position(number + 1))]);
            let page = ledger.unaccrued(1).await.unwrap();
            assert_eq!(page.mapping, MappingVersion(1));
        }
    }
}
