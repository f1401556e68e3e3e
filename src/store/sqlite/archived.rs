//! What is still known of records that were archived. Here: which of some identities are, and where
//! each went. Never here: making an archive ([`super::archive`]). Read next: [`super::archive`].

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::sql;
use crate::domain::digest::Digest;
use crate::domain::record::Position;
use crate::ledger::LedgerError;
use crate::ledger::intake::Archived;
use crate::store::codec::{Columns, ledger_error};

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
