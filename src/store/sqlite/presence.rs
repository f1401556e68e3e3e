//! Presence as lines of a balance. Here: the lines that take back a write-off whose event was found
//! at the provider. Never here: how that was found; the write-off itself. Read next:
//! [`super::moves`].

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;

use super::accrual::chain;
use super::sql;
use crate::domain::correction::Cause;
use crate::domain::digest::Digest;
use crate::domain::event::EventId;
use crate::domain::quantity::Quantity;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};

/// What was written off of one record of an event.
struct Written {
    position: i64,
    destination: i64,
    route: i64,
    identity: Vec<u8>,
    occurred_at: Timestamp,
    /// The line of this event's own write-off.
    line: Quantity,
    /// What of all write-offs of the record still stands.
    standing: Quantity,
}

impl Written {
    /// What is taken back: the line, as far as no correction has consumed it.
    fn taken_back(&self) -> Quantity {
        let same_side = self.standing.is_negative() == self.line.is_negative();
        if self.standing.is_zero() || !same_side {
            return Quantity::zero();
        }
        let least = if self.line.is_negative() {
            self.line.clone().max(self.standing.clone())
        } else {
            self.line.clone().min(self.standing.clone())
        };
        -&least
    }
}

/// Adds to the balance of a written-off event what its write-off took from it.
pub(super) async fn reverse_write_off(
    connection: &mut SqliteConnection,
    event: EventId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let rows = sqlx::query(sql!("written_off_lines"))
        .bind(event.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let Some(first) = rows.first() else { return Ok(()) };
    let balance = first.integer("balance_id")?;
    let mut written: Vec<Written> = Vec::new();
    for row in &rows {
        let position = row.integer("record_position")?;
        if written.last().is_none_or(|last| last.position != position) {
            written.push(Written {
                position,
                destination: row.integer("destination_id")?,
                route: row.integer("route_version_id")?,
                identity: row.blob("identity")?,
                occurred_at: row.time("occurred_at")?,
                line: row.quantity("quantity")?,
                standing: Quantity::zero(),
            });
        }
        if let Some(last) = written.last_mut() {
            last.standing = &last.standing + &row.quantity("other")?;
        }
    }
    append(connection, balance, event, &written, now).await
}

async fn append(
    connection: &mut SqliteConnection,
    balance: i64,
    event: EventId,
    written: &[Written],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let row = sqlx::query(sql!("balance_proving"))
        .bind(balance)
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let (mut accrued, mut digest): (Quantity, Digest) =
        (row.quantity("accrued")?, row.digest("digest")?);
    let mut number = sqlx::query(sql!("booking_end"))
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("id")?;
    let mut lines = Vec::with_capacity(written.len());
    for each in written {
        let quantity = each.taken_back();
        if quantity.is_zero() {
            continue;
        }
        number += 1;
        accrued = &accrued + &quantity;
        digest = chain(&digest, &each.identity, &quantity, each.occurred_at);
        lines.push(json!([
            number,
            each.position,
            each.destination,
            each.route,
            balance,
            quantity.to_string(),
            Cause::Presence.as_str(),
            event.0,
        ]));
    }
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("bookings_insert"))
        .bind(Value::from(lines).to_string())
        .bind(now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let changed = json!([[
        balance,
        accrued.to_string(),
        hex::encode(digest),
        row.integer("newest_at")?,
        number,
        row.maybe_integer("due_at")?,
    ]]);
    sqlx::query(sql!("balances_accrue"))
        .bind(changed.to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}
