//! The ceilings of intake. Here: the same rows inserted with nothing but sqlx, into the ledger's
//! own table or into one without an index. Never here: code of the ledger, beyond its schema.

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
        // The ledger makes its schema.
        open(folder.path()).await?.close().await;
        let mut connection = SqliteConnectOptions::new()
            .filename(folder.path().join("ledger"))
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
        let began = Instant::now();
        let mut inserted = 0;
        for batch in rows.chunks(batch) {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            for rows in batch.chunks(STATEMENT_ROWS) {
                inserted += insert_statement(&mut transaction, rows, into).await?;
            }
            transaction.commit().await?;
        }
        let took = began.elapsed();
        ensure!(usize::try_from(inserted)? == rows.len(), "{inserted} rows were inserted");
        connection.close().await?;
        Ok(took)
    })
}

async fn insert_statement(
    connection: &mut SqliteConnection,
    rows: &[Row],
    into: Into,
) -> anyhow::Result<u64> {
    let places = vec!["(?,?,?,?,?,?,?,?,?,?)"; rows.len()].join(",");
    let text = format!(
        "INSERT INTO {} (identity, content, source, id, customer, meter, quantity, properties, \
         occurred_at, recorded_at) VALUES {places}",
        into.table()
    );
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
