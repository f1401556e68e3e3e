//! Write-offs as lines of a balance. Here: the lines that a resolution adds for the records it is
//! about. Never here: how a quantity is shared out over them (`domain::write_off`). Read next:
//! [`super::accrual`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sqlx::sqlite::SqliteConnection;

use super::accrual::{Line, Running, append_lines, newest_line};
use super::sql;
use crate::domain::balance::BalanceId;
use crate::domain::correction::Cause;
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::resolution::{ItemKind, Verdict};
use crate::domain::time::Timestamp;
use crate::domain::write_off::{Written, share};
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::store::codec::{Columns, ledger_error};

/// Which lines of a balance are meant, and the resolution that writes them off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meant {
    /// They come after this one.
    pub(super) from: i64,
    /// The last of them.
    pub(super) to: i64,
    /// The resolution's number.
    pub(super) resolution: i64,
}

/// A record of a balance.
struct Booked {
    identity: Vec<u8>,
    occurred_at: Timestamp,
    route: RouteVersionId,
    written: Written,
}

/// Adds lines to a balance that sum to `amount`, which is below zero when usage is written off.
/// Answers over how many records.
pub(super) async fn write_off(
    connection: &mut SqliteConnection,
    balance: i64,
    amount: &Quantity,
    meant: Meant,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    if amount.is_zero() {
        return Ok(0);
    }
    let records = records(connection, balance, meant).await?;
    let mut running = Running::read(connection, balance).await?;
    let written: Vec<Written> = records.values().map(|record| record.written.clone()).collect();
    let mut number = newest_line(connection).await?;
    let mut rows = Vec::new();
    for ((position, record), quantity) in records.iter().zip(share(amount, &written)) {
        if quantity.is_zero() {
            continue;
        }
        number += 1;
        let line = Line {
            position: Position(*position),
            identity: &record.identity,
            occurred_at: record.occurred_at,
            route: record.route,
            quantity: &quantity,
            cause: (Cause::WriteOff, meant.resolution),
        };
        rows.push(running.add(number, &line));
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if rows.is_empty() {
        let why = format!("balance {balance} has nothing to be written off from");
        return Err(LedgerError::Contradiction(why));
    }
    append_lines(connection, rows, std::iter::once(&running), now).await?;
    Ok(count)
}

/// Writes off what no event of a balance covers, as its route's policy for late usage wants it: a
/// resolution as a person's would be, in the policy's name. `lines` are the last that an event
/// covers, and the last of all.
pub(super) async fn drop_late(
    connection: &mut SqliteConnection,
    balance: BalanceId,
    amount: &Quantity,
    lines: (i64, i64),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let resolution = sqlx::query(sql!("resolution_insert"))
        .bind(ItemKind::Balance.as_str())
        .bind(balance.0)
        .bind(Verdict::WriteOff.as_str())
        .bind(amount.to_string())
        .bind("its period was closed when it came")
        .bind("policy:late=drop")
        .bind(now.micros())
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("id")?;
    let meant = Meant { from: lines.0, to: lines.1, resolution };
    write_off(connection, balance.0, &-amount, meant, now).await?;
    Ok(())
}

/// The records of a balance by their positions, with what each stands for in it.
async fn records(
    connection: &mut SqliteConnection,
    balance: i64,
    meant: Meant,
) -> Result<BTreeMap<i64, Booked>, LedgerError> {
    let rows = sqlx::query(sql!("balance_lines"))
        .bind(balance)
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut records: BTreeMap<i64, Booked> = BTreeMap::new();
    for row in &rows {
        let position = row.integer("record_position")?;
        let record = match records.entry(position) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Booked {
                identity: row.blob("identity")?,
                occurred_at: row.time("occurred_at")?,
                route: RouteVersionId(row.integer("route_version_id")?),
                written: Written {
                    meant: Quantity::zero(),
                    whole: Quantity::zero(),
                    covered: false,
                },
            }),
        };
        let (line, quantity) = (row.integer("id")?, row.quantity("quantity")?);
        record.written.whole = &record.written.whole + &quantity;
        let is_meant = meant.from < line && line <= meant.to;
        // What was written off before, or came back, was not told by what is decided now.
        let is_usage = match row.member("cause", Cause::parse)? {
            Cause::Record | Cause::Correction => true,
            Cause::WriteOff | Cause::Reversal | Cause::Presence => false,
            // Usage came to this balance, or left it again.
            Cause::Transfer => true,
        };
        if is_meant && is_usage {
            record.written.meant = &record.written.meant + &quantity;
            record.written.covered = true;
        }
    }
    Ok(records)
}
