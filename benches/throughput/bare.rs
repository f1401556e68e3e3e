//! The ceilings of intake. Here: the same rows inserted with nothing but sqlx, into the ledger's
//! own table or into one without an index. Never here: code of the ledger, beyond its schema.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tallyd::ledger::intake::Admitted;
use tallyd::store::CACHE_KIB;
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::stand::{folder, open};

/// Rows in one statement, as many as the ledger puts there.
const STATEMENT_ROWS: usize = 512;

/// Where rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Into {
    /// The ledger's journal, with its unique index on random identities.
    Journal,
    /// The same columns without a unique index: raw append.
    Append,
}

impl Into {
    const fn table(self) -> &'static str {
        match self {
            Self::Journal => "usage_record",
            Self::Append => "appended",
        }
    }
}

/// The values of a row, made before anything is timed.
#[derive(Debug)]
pub(crate) struct Row {
    identity: [u8; 16],
    content: [u8; 16],
    texts: [String; 6],
    times: [i64; 2],
}

impl Row {
    /// The row of a record.
    pub(crate) fn of(admitted: &Admitted) -> Self {
        let record = &admitted.record;
        let properties: serde_json::Map<String, serde_json::Value> = record
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), value.as_text().into()))
            .collect();
        Self {
            identity: admitted.identity,
            content: admitted.content,
            texts: [
                record.source.to_string(),
                record.id.to_string(),
                record.customer.to_string(),
                record.meter.to_string(),
                record.quantity.to_string(),
                serde_json::Value::from(properties).to_string(),
            ],
            times: [record.occurred_at.micros(), record.occurred_at.micros()],
        }
    }
}

/// Inserts `rows`, `batch` of them in each transaction, into a fresh ledger file with the daemon's
/// own settings; how long it took.
pub(crate) fn insert(rows: &[Row], batch: usize, into: Into) -> anyhow::Result<Duration> {
    let folder = folder()?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = connect(folder.path()).await?;
        let began = Instant::now();
        fill(&mut connection, rows, batch, into.table()).await?;
        let took = began.elapsed();
        connection.close().await?;
        Ok(took)
    })
}

/// Appends `rows` out of a table in memory, so that the engine does nothing but append: sqlx, the
/// one door to it here, pays more to hand rows in than the engine to write them.
pub(crate) fn append_inside(rows: &[Row], batch: usize) -> anyhow::Result<Duration> {
    let folder = folder()?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = connect(folder.path()).await?;
        sqlx::query("ATTACH ':memory:' AS staged").execute(&mut connection).await?;
        sqlx::query("CREATE TABLE staged.rows AS SELECT * FROM appended")
            .execute(&mut connection)
            .await?;
        fill(&mut connection, rows, batch, "staged.rows").await?;
        let began = Instant::now();
        for first in (1..=rows.len()).step_by(batch) {
            let text = format!(
                "INSERT INTO appended ({COLUMNS}) SELECT {COLUMNS} FROM staged.rows \
                 WHERE rowid BETWEEN ? AND ?"
            );
            let (first, last) = (i64::try_from(first)?, i64::try_from(first + batch - 1)?);
            let query = sqlx::query(AssertSqlSafe(text)).bind(first).bind(last);
            query.execute(&mut connection).await?;
        }
        let took = began.elapsed();
        connection.close().await?;
        Ok(took)
    })
}

/// The columns that are given, in the order in which they are bound.
const COLUMNS: &str = "identity, content, source, id, customer, meter, quantity, properties, \
    occurred_at, recorded_at";

/// A connection to a fresh ledger file, which also has the table for raw append.
async fn connect(folder: &Path) -> anyhow::Result<SqliteConnection> {
    // The ledger makes its schema.
    open(folder).await?.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.join("ledger"))
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("wal_autocheckpoint", "16384")
        .connect()
        .await?;
    let make = "CREATE TABLE appended (position INTEGER NOT NULL PRIMARY KEY, identity BLOB NOT \
        NULL, content BLOB NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, customer TEXT NOT \
        NULL, meter TEXT NOT NULL, quantity TEXT NOT NULL, occurred_at INTEGER NOT NULL, \
        recorded_at INTEGER NOT NULL, properties TEXT NOT NULL) STRICT";
    sqlx::query(make).execute(&mut connection).await?;
    Ok(connection)
}

async fn fill(
    connection: &mut SqliteConnection,
    rows: &[Row],
    batch: usize,
    table: &str,
) -> anyhow::Result<()> {
    let mut inserted = 0;
    for batch in rows.chunks(batch) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for rows in batch.chunks(STATEMENT_ROWS) {
            inserted += insert_statement(&mut transaction, rows, table).await?;
        }
        transaction.commit().await?;
    }
    ensure!(usize::try_from(inserted)? == rows.len(), "{inserted} rows were inserted");
    Ok(())
}

async fn insert_statement(
    connection: &mut SqliteConnection,
    rows: &[Row],
    table: &str,
) -> anyhow::Result<u64> {
    let places = vec!["(?,?,?,?,?,?,?,?,?,?)"; rows.len()].join(",");
    let text = format!("INSERT INTO {table} ({COLUMNS}) VALUES {places}");
    let mut query = sqlx::query(AssertSqlSafe(text));
    for row in rows {
        query = query.bind(row.identity.as_slice()).bind(row.content.as_slice());
        for text in &row.texts {
            query = query.bind(text.as_str());
        }
        for time in row.times {
            query = query.bind(time);
        }
    }
    Ok(query.execute(connection).await?.rows_affected())
}
