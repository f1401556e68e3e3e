//! Usage that came too late for its invoice by a file. Here: which events that a total proves to be
//! there are held all the same, as their invoice was final before. Never here: what a total proves
//! (`crate::reconcile`), files ([`super::export`]). Read next: [`super::reconcile`].

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::moves::{Move, move_events};
use super::reconcile::events_of;
use super::sql;
use crate::domain::event::EventId;
use crate::domain::export::unbilled;
use crate::domain::names::InvoiceId;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::reconcile::{LaneEvent, LaneId};
use crate::store::codec::{Columns, ledger_error};

/// Holds those of `exported` that were just settled, and whose period is closed by an invoice that
/// bills less than the provider holds of it: only the invoice can say whether it bills them.
pub(super) async fn hold_unbilled(
    connection: &mut SqliteConnection,
    exported: Vec<EventId>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if exported.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = exported.iter().map(|event| event.0).collect();
    let rows = sqlx::query(sql!("export_closed"))
        .bind(json!(ids).to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut moves = Vec::new();
    for row in &rows {
        let span = Window { start: row.time("start_at")?, end: row.time("end_at")? };
        let lane = LaneId(row.integer("lane_id")?);
        let events = events_of(connection, lane, span, u32::MAX).await?;
        let counted: Quantity =
            events.iter().filter(|event| counts(event)).map(|event| &event.quantity).sum();
        let invoice = row.name("invoice", InvoiceId::new)?;
        let closed = (&invoice, row.time("closed_at")?);
        let Some(why) = unbilled(closed, &row.quantity("billed")?, &counted) else { continue };
        let event = EventId(row.integer("id")?);
        let said = "its invoice bills less than the provider counts";
        let hold = Some((HoldReason::LateForPeriod, why));
        moves.push(Move { hold, ..Move::to(event, EventState::Held, true, said) });
    }
    move_events(connection, &moves, now).await?;
    Ok(())
}

/// Whether it certainly adds to what the provider counts.
fn counts(event: &LaneEvent) -> bool {
    let is_settled = |state: EventState| state == EventState::Settled;
    let is_cancelled = event.cancel.as_ref().is_some_and(|cancel| is_settled(cancel.state));
    is_settled(event.usage.state) && !is_cancelled
}
