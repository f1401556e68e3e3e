//! What is still known of records that were archived. Here: which of some identities are, and where
//! each went. Never here: making an archive ([`super::archive`]). Read next: [`super::archive`].

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::{SqliteLedger, sql};
use crate::domain::digest::Digest;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::intake::Archived;
use crate::store::codec::{Columns, ledger_error};

/// What archives hold, as far as the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archives {
    /// How many records.
    pub records: i64,
    /// Until when the newest of their windows ended.
    pub before: Timestamp,
}

impl SqliteLedger {
    /// What archives hold; nothing where there are none.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn archives(&self) -> Result<Option<Archives>, LedgerError> {
        let row = sqlx::query(sql!("archives_through"))
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?;
        let records = row.integer("records")?;
        let before = row.maybe_time("before_at")?;
        Ok(before.map(|before| Archives { records, before }))
    }
}

/// Those of some records that are archived.
pub(super) async fn archived_of(
    connection: &mut SqliteConnection,
    identities: impl IntoIterator<Item = &Digest>,
) -> Result<BTreeMap<Digest, Archived>, LedgerError> {
    let named: Vec<String> = identities.into_iter().map(hex::encode).collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(sql!("archived_of"))
        .bind(json!(named).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            let archived = Archived {
                position: Position(row.integer("position")?),
                archive: row.integer("archive")?,
                path: row.text("path")?,
                sealed_at: row.time("sealed_at")?,
            };
            Ok((row.digest("identity")?, archived))
        })
        .collect()
}
