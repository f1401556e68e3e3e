//! Presence as lines of a balance. Here: the lines that take back a write-off whose event was found
//! at the provider. Never here: how that was found; the write-off itself. Read next:
//! [`super::moves`].

use sqlx::sqlite::SqliteConnection;

use super::running::{Line, Running, append_lines, newest_line};
use super::sql;
use crate::domain::correction::Cause;
use crate::domain::event::EventId;
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::domain::unique::Member;
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::store::codec::{Columns, ledger_error};

/// What was written off of one record of an event.
struct Written {
    position: Position,
    route: RouteVersionId,
    identity: Vec<u8>,
    occurred_at: Timestamp,
    member: Option<Member>,
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
        let position = Position(row.integer("record_position")?);
        if written.last().is_none_or(|last| last.position != position) {
            written.push(Written {
                position,
                route: RouteVersionId(row.integer("route_version_id")?),
                identity: row.blob("identity")?,
                occurred_at: row.time("occurred_at")?,
                member: row.maybe_digest("member")?.map(Member),
                line: row.quantity("quantity")?,
                standing: Quantity::zero(),
            });
        }
        if let Some(last) = written.last_mut() {
            last.standing = &last.standing + &row.quantity("other")?;
        }
    }
    let mut running = Running::read(connection, balance).await?;
    let mut number = newest_line(connection).await?;
    let mut lines = Vec::with_capacity(written.len());
    for each in &written {
        let quantity = each.taken_back();
        // A reading of nothing counts again.
        let reads_nothing = running.fold.is_of_readings() && each.line.is_zero();
        if quantity.is_zero() && !reads_nothing {
            continue;
        }
        number += 1;
        let line = Line {
            position: each.position,
            identity: &each.identity,
            occurred_at: each.occurred_at,
            route: each.route,
            quantity: &quantity,
            member: each.member,
            cause: (Cause::Presence, event.0),
        };
        lines.push(running.add(number, &line));
    }
    if lines.is_empty() {
        return Ok(());
    }
    append_lines(connection, lines, std::iter::once(&mut running), now).await
}
