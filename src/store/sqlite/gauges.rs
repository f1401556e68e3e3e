//! Gauges, whose windows end where periods do. Here: which time was told last of one, and what
//! becomes of those that a bound parts which is learned late. Never here: what is told of one (see
//! `posting`), usage that goes to another balance ([`super::transfer`]). Read next:
//! [`super::transfer`].

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::running::{append_lines, open_balances};
use super::sql;
use super::transfer::{bounds, give_parts, key_of, part_of};
use crate::domain::balance::{BalanceId, BalanceKey};
use crate::domain::fold::Fold;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::posting::{DueBalance, Said};
use crate::store::codec::{Columns as _, ledger_error};

/// Reads the newest times that gauges among these were told for, and what was told of them as they
/// were parts of others.
pub(super) async fn read_told(
    reader: &mut SqliteConnection,
    due: &mut [DueBalance],
) -> Result<(), LedgerError> {
    let gauges = due.iter().filter(|each| each.balance.fold == Fold::Gauge);
    let gauges: Vec<i64> = gauges.map(|each| each.balance.id.0).collect();
    if gauges.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(sql!("gauges_told"))
        .bind(json!(gauges).to_string())
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    let mut told: HashMap<i64, (Option<Timestamp>, Option<Said>)> = HashMap::new();
    for row in rows {
        let said = row.maybe_time("said_at")?.zip(row.maybe_quantity("said")?);
        let said = said.map(|(at, total)| Said { at, total });
        told.insert(row.integer("balance_id")?, (row.maybe_time("told_at")?, said));
    }
    for each in due {
        (each.told_at, each.said) = told.remove(&each.balance.id.0).unwrap_or_default();
    }
    Ok(())
}

/// Narrows gauges that new bounds part: each keeps the part that was told last, with all its
/// events, and gives away what it has of the others. A gauge that gave all of its usage away
/// would be told that it has none, after what the other is told. Of each part that was told
/// something there is a gauge then: its readings may be cancelled, and that is told there.
pub(super) async fn narrow_gauges(
    connection: &mut SqliteConnection,
    periods: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let rows = sqlx::query(sql!("gauges_of_periods"))
        .bind(periods)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    for row in &rows {
        let balance = BalanceId(row.integer("id")?);
        let (key, _) = key_of(connection, balance).await?;
        let bounds = bounds(connection, &key, None).await?;
        let own = part_of(&key, &bounds, row.time("told_at")?, false);
        let narrowed = sqlx::query(sql!("gauge_narrow"))
            .bind(balance.0)
            .bind(own.window.start.micros())
            .bind(own.window.end.micros())
            .bind(now.micros())
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
        if narrowed.rows_affected() == 1 {
            give_parts(connection, (balance, &key), &own, (&bounds, false), now).await?;
            open_told_parts(connection, (balance, &key), &own, &bounds, now).await?;
            sqlx::query(sql!("gauge_clamp"))
                .bind(balance.0)
                .execute(&mut *connection)
                .await
                .map_err(ledger_error)?;
        }
    }
    Ok(())
}

/// Has the gauges looked at of those parts, beside its `own`, in which a gauge's lane was told
/// anything. What was told last of each says it, until it is told otherwise.
async fn open_told_parts(
    connection: &mut SqliteConnection,
    (balance, key): (BalanceId, &BalanceKey),
    own: &BalanceKey,
    bounds: &[Timestamp],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let rows = sqlx::query(sql!("gauge_times"))
        .bind(balance.0)
        .bind(key.window.start.micros())
        .bind(key.window.end.micros())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    // The newest of each part counts.
    let mut parts = BTreeMap::new();
    for row in &rows {
        let part = part_of(key, bounds, row.time("occurred_at")?, false);
        parts.insert(part, row.integer("id")?);
    }
    parts.remove(own);
    if parts.is_empty() {
        return Ok(());
    }
    let keys: BTreeMap<&BalanceKey, Fold> = parts.keys().map(|part| (part, Fold::Gauge)).collect();
    let mut gauges = open_balances(connection, &keys).await?;
    for (part, gauge) in &mut gauges {
        gauge.due_at = Some(now);
        sqlx::query(sql!("gauge_said_by"))
            .bind(gauge.id)
            .bind(parts.get(part))
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
    }
    append_lines(connection, Vec::new(), gauges.values_mut(), now).await
}
