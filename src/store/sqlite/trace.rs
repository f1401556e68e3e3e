//! The life of a record. Here: the reading behind `trace`, from the record and its corrections to
//! the attempts of the events that carry it. Never here: how it is printed. Read next:
//! [`super::verify`].

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::archived::archived_of;
use super::operator::rows_of;
use super::{corrections, sql};
use crate::domain::correction::fold;
use crate::domain::names::{RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::identity;
use crate::ledger::LedgerError;
use crate::ledger::operator::{
    Trace, TraceAttempt, TraceBooking, TraceConflict, TraceCorrection, TraceEvent, TraceLine,
    TraceMove, TraceRecord, TraceResolution,
};
use crate::store::codec::{Columns, ledger_error};

/// The life of a record; nothing when neither it nor a correction of it has come.
pub(super) async fn life(
    reader: &mut SqliteConnection,
    source: &SourceName,
    id: &RecordId,
) -> Result<Option<Trace>, LedgerError> {
    let identity = identity(source, id);
    let mut trace = Trace {
        source: source.clone(),
        id: id.clone(),
        record: None,
        archived: None,
        standing: None,
        corrections: corrections_of(reader, &identity).await?,
        conflicts: Vec::new(),
        parked: Vec::new(),
        bookings: Vec::new(),
    };
    let row = sqlx::query(sql!("trace_record"))
        .bind(identity.as_slice())
        .fetch_optional(&mut *reader)
        .await
        .map_err(ledger_error)?;
    trace.archived = archived_of(reader, [&identity]).await?.remove(&identity);
    let Some(row) = row else {
        if let Some(archived) = &trace.archived {
            trace.conflicts = conflicts_of(reader, archived.position.0).await?;
            return Ok(Some(trace));
        }
        return Ok(Some(trace).filter(|trace| !trace.corrections.is_empty()));
    };
    let changes = trace.corrections.iter().map(|correction| &correction.change);
    let (effects, standing) = fold(&row.quantity("quantity")?, changes);
    trace.standing = Some(standing);
    for (correction, effect) in trace.corrections.iter_mut().zip(effects) {
        correction.effect = Some(effect);
    }
    let record = record(&row)?;
    let position = record.position;
    trace.record = Some(record);
    trace.conflicts = conflicts_of(reader, position).await?;
    for row in rows_of(reader, sql!("trace_parked"), position).await? {
        let place = (row.text("route")?, row.text("reason")?);
        trace.parked.push((place.0, place.1, row.text("detail")?, row.time("parked_at")?));
    }
    trace.bookings = bookings(reader, position).await?;
    Ok(Some(trace))
}

async fn conflicts_of(
    reader: &mut SqliteConnection,
    position: i64,
) -> Result<Vec<TraceConflict>, LedgerError> {
    let mut conflicts = Vec::new();
    for row in rows_of(reader, sql!("trace_conflicts"), position).await? {
        conflicts.push(TraceConflict {
            recorded_at: row.time("recorded_at")?,
            says: format!("{}, time {}", row.text("says")?, row.time("occurred_at")?),
            decided: row.maybe_text("decided")?,
            resolutions: resolutions(reader, "conflict", row.integer("id")?).await?,
        });
    }
    Ok(conflicts)
}

fn record(row: &SqliteRow) -> Result<TraceRecord, LedgerError> {
    Ok(TraceRecord {
        position: row.integer("position")?,
        fields: vec![
            ("source", row.text("source")?),
            ("id", row.text("id")?),
            ("customer", row.text("customer")?),
            ("meter", row.text("meter")?),
            ("quantity", row.text("quantity")?),
            ("time", row.time("occurred_at")?.to_rfc3339()),
            ("properties", row.text("properties")?),
        ],
        recorded_at: row.time("recorded_at")?,
    })
}

async fn corrections_of(
    reader: &mut SqliteConnection,
    identity: &[u8],
) -> Result<Vec<TraceCorrection>, LedgerError> {
    let rows = sqlx::query(sql!("trace_corrections"))
        .bind(identity)
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            Ok(TraceCorrection {
                id: row.integer("id")?,
                name: row.text("name")?,
                change: corrections::change(row)?,
                effect: None,
                reason: row.text("reason")?,
                who: row.text("who")?,
                recorded_at: row.time("recorded_at")?,
            })
        })
        .collect()
}

async fn resolutions(
    reader: &mut SqliteConnection,
    item: &str,
    id: i64,
) -> Result<Vec<TraceResolution>, LedgerError> {
    let rows = sqlx::query(sql!("trace_resolutions"))
        .bind(item)
        .bind(id)
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            Ok(TraceResolution {
                at: row.time("resolved_at")?,
                verdict: row.text("verdict")?,
                quantity: row.quantity("quantity")?,
                why: row.text("why")?,
                who: row.text("who")?,
            })
        })
        .collect()
}

/// The balances of a record, in the order in which it was booked in them.
async fn bookings(
    reader: &mut SqliteConnection,
    position: i64,
) -> Result<Vec<TraceBooking>, LedgerError> {
    let mut found: Vec<(TraceBooking, Vec<i64>)> = Vec::new();
    let mut places: BTreeMap<i64, usize> = BTreeMap::new();
    for row in rows_of(reader, sql!("trace_bookings"), position).await? {
        let balance = row.integer("balance_id")?;
        let place = *places.entry(balance).or_insert(found.len());
        if place == found.len() {
            found.push((booking(&row, balance)?, Vec::new()));
        }
        let (booking, numbers) = &mut found[place];
        let line = TraceLine {
            quantity: row.quantity("quantity")?,
            cause: row.text("cause")?,
            cause_id: row.integer("cause_id")?,
            booked_at: row.time("booked_at")?,
        };
        booking.quantity = &booking.quantity + &line.quantity;
        booking.lines.push(line);
        numbers.push(row.integer("id")?);
    }
    let mut bookings = Vec::with_capacity(found.len());
    for (mut booking, numbers) in found {
        let rows = sqlx::query(sql!("trace_events"))
            .bind(booking.balance)
            .bind(json!(numbers).to_string())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        for row in &rows {
            booking.events.push(event(reader, row).await?);
        }
        booking.invoices = invoices(reader, &booking).await?;
        booking.resolutions = resolutions(reader, "balance", booking.balance).await?;
        bookings.push(booking);
    }
    Ok(bookings)
}

fn booking(row: &SqliteRow, balance: i64) -> Result<TraceBooking, LedgerError> {
    Ok(TraceBooking {
        route: row.text("route")?,
        route_version: row.integer("route_version_id")?,
        destination: (row.text("provider")?, row.text("account")?, row.text("meter")?),
        balance,
        window: (row.time("window_start")?, row.time("window_end")?),
        quantity: Quantity::zero(),
        lines: Vec::new(),
        sums: (row.quantity("accrued")?, row.quantity("told")?),
        hold: hold(row)?,
        events: Vec::new(),
        invoices: Vec::new(),
        resolutions: Vec::new(),
    })
}

/// Why an event or a balance is held, and the particulars.
fn hold(row: &SqliteRow) -> Result<Option<(String, String)>, LedgerError> {
    Ok(row.maybe_text("hold_reason")?.zip(row.maybe_text("hold_detail")?))
}

async fn invoices(
    reader: &mut SqliteConnection,
    booking: &TraceBooking,
) -> Result<Vec<(String, Option<Quantity>)>, LedgerError> {
    let (provider, account, meter) = &booking.destination;
    let rows = sqlx::query(sql!("trace_invoices"))
        .bind(provider)
        .bind(account)
        .bind(meter)
        .bind(booking.window.0.micros())
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    let invoice = |row: &SqliteRow| Ok((row.text("invoice")?, row.maybe_quantity("billed")?));
    rows.iter().map(invoice).collect()
}

/// An event with its attempts, its moves, and what people decided of it.
pub(super) async fn event(
    reader: &mut SqliteConnection,
    row: &SqliteRow,
) -> Result<TraceEvent, LedgerError> {
    let id = row.integer("id")?;
    let mut traced = TraceEvent {
        id,
        cancels: row.maybe_integer("target_id")?,
        identifier: row.text("identifier")?,
        state: row.text("state")?,
        hold: hold(row)?,
        quantity: row.quantity("quantity")?,
        occurred_at: row.time("occurred_at")?,
        attempts: Vec::new(),
        moves: Vec::new(),
        resolutions: resolutions(reader, "event", id).await?,
    };
    for row in rows_of(reader, sql!("trace_attempts"), id).await? {
        traced.attempts.push(TraceAttempt {
            begun_at: row.time("begun_at")?,
            idempotency_key: row.text("idempotency_key")?,
            outcome: row.maybe_text("outcome")?,
            status: row.maybe_integer("status")?,
            request_id: row.maybe_text("request_id")?,
            message: row.maybe_text("message")?,
        });
    }
    for row in rows_of(reader, sql!("trace_moves"), id).await? {
        traced.moves.push(TraceMove {
            at: row.time("moved_at")?,
            from: row.text("from_state")?,
            to: row.text("to_state")?,
            why: row.text("why")?,
        });
    }
    Ok(traced)
}
