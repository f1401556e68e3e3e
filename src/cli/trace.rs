//! `tallyd trace`. Here: a record's whole life, and that of the events that carry it. Never here: a
//! judgement. Read next: [`super::held`].

use std::io::{self, Write};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::args::Trace as Asked;
use super::exit::Exit;
use super::held::hold_ended_by;
use super::reading::{self, Reading};
use super::status::park_ended_by;
use super::table::{Side, Table};
use super::{page, words};
use crate::domain::names::{RecordId, SourceName};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::operator::{OperatorLedger, Trace, TraceBooking, TraceEvent};

/// Shows the life of a record.
///
/// # Errors
/// When there is no such record, or the ledger cannot be read.
pub(crate) async fn trace(asked: &Asked) -> anyhow::Result<Exit> {
    // At the first slash: ids may hold slashes.
    let Some((source, id)) = asked.record.split_once('/') else {
        bail!("a record is named SOURCE/ID, and \"{}\" has no slash", asked.record);
    };
    let name = SourceName::new(source).with_context(|| format!("the source \"{source}\""))?;
    let record = RecordId::new(id).with_context(|| format!("the id \"{id}\""))?;
    let Reading { ledger, now, .. } = reading::open(&asked.listing.configured).await?;
    let found = ledger.trace(&name, &record).await?;
    ledger.close().await;
    let Some(trace) = found else {
        bail!("the source \"{source}\" never sent a record with the id \"{id}\"");
    };
    if asked.listing.json {
        page::print_json(&json_of(&trace))?;
    } else {
        page::print(|out| write(out, &trace, now))?;
    }
    Ok(Exit::Ok)
}

fn json_of(trace: &Trace) -> Value {
    let mut fields = Map::new();
    for (name, text) in &trace.fields {
        // Properties come as the JSON text that the ledger keeps.
        let value = match *name {
            "properties" => serde_json::from_str(text).unwrap_or_else(|_| Value::from(&**text)),
            _ => Value::from(&**text),
        };
        fields.insert((*name).to_owned(), value);
    }
    let conflicts: Vec<Value> = trace
        .conflicts
        .iter()
        .map(|(at, says)| json!({ "recorded_at": at.to_rfc3339(), "says": says }))
        .collect();
    let parked: Vec<Value> = trace
        .parked
        .iter()
        .map(|(route, reason, detail, since)| {
            json!({
                "route": named(route),
                "reason": reason,
                "detail": detail,
                "since": since.to_rfc3339(),
                "ended_by": park_ended_by(reason),
            })
        })
        .collect();
    let bookings: Vec<Value> = trace.bookings.iter().map(booking_json).collect();
    json!({
        "position": trace.position,
        "record": fields,
        "recorded_at": trace.recorded_at.to_rfc3339(),
        "conflicts": conflicts,
        "parked": parked,
        "bookings": bookings,
    })
}

fn booking_json(booking: &TraceBooking) -> Value {
    let (provider, account, meter) = &booking.destination;
    let events: Vec<Value> = booking.events.iter().map(event_json).collect();
    json!({
        "route": booking.route,
        "route_version": booking.route_version,
        "provider": provider,
        "account": account,
        "meter": meter,
        "balance": booking.balance,
        "start": booking.window.0.to_rfc3339(),
        "end": booking.window.1.to_rfc3339(),
        "quantity": booking.quantity.to_string(),
        "accrued": booking.sums.0.to_string(),
        "told": booking.sums.1.to_string(),
        "events": events,
    })
}

/// An event as JSON, with its attempts and moves.
pub(crate) fn event_json(event: &TraceEvent) -> Value {
    let hold = event.hold.as_ref().map(|(reason, detail)| {
        json!({ "reason": reason, "detail": detail, "ended_by": hold_ended_by(reason) })
    });
    let attempts: Vec<Value> = event
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "begun_at": attempt.begun_at.to_rfc3339(),
                "idempotency_key": attempt.idempotency_key,
                "outcome": attempt.outcome,
                "status": attempt.status,
                "request_id": attempt.request_id,
                "message": attempt.message,
            })
        })
        .collect();
    let moves: Vec<Value> = event
        .moves
        .iter()
        .map(|each| {
            json!({
                "at": each.at.to_rfc3339(),
                "from": named(&each.from),
                "to": each.to,
                "why": each.why,
            })
        })
        .collect();
    json!({
        "id": event.id,
        "identifier": event.identifier,
        "state": event.state,
        "hold": hold,
        "quantity": event.quantity.to_string(),
        "occurred_at": event.occurred_at.to_rfc3339(),
        "attempts": attempts,
        "moves": moves,
    })
}

/// Nothing, where the ledger's empty text stands for that.
fn named(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn write(out: &mut dyn Write, trace: &Trace, now: Timestamp) -> io::Result<()> {
    writeln!(out, "record {}, booked {}", trace.position, words::instant(trace.recorded_at, now))?;
    let mut table = Table::bare([Side::Left, Side::Left]);
    for (name, text) in &trace.fields {
        table.row([(*name).to_owned(), text.clone()]);
    }
    table.write(out, "  ")?;
    for (at, says) in &trace.conflicts {
        writeln!(out, "\nconflict, kept {}", words::instant(*at, now))?;
        writeln!(out, "  the copy says {says}")?;
    }
    for (route, reason, detail, since) in &trace.parked {
        let place = match named(route) {
            Some(route) => format!("in front of the route {route}"),
            None => "in front of all routes".to_owned(),
        };
        writeln!(out, "\nparked {place} since {}", words::instant(*since, now))?;
        writeln!(out, "  {reason}: {detail}")?;
        if let Some(ended_by) = park_ended_by(reason) {
            writeln!(out, "  ended by: {ended_by}")?;
        }
    }
    for booking in &trace.bookings {
        writeln!(out)?;
        write_booking(out, booking)?;
    }
    if trace.parked.is_empty() && trace.bookings.is_empty() {
        writeln!(out, "\nAccrual has not reached it yet.")?;
    }
    Ok(())
}

fn write_booking(out: &mut dyn Write, booking: &TraceBooking) -> io::Result<()> {
    let (provider, account, meter) = &booking.destination;
    let (route, version) = (&booking.route, booking.route_version);
    writeln!(out, "booked by the route {route} (version {version})")?;
    let window = Window { start: booking.window.0, end: booking.window.1 };
    let (accrued, told) = (&booking.sums.0, &booking.sums.1);
    let mut table = Table::bare([Side::Left, Side::Left]);
    for (name, text) in [
        ("to", format!("{provider}, account {account}, meter {meter}")),
        ("window", window.to_string()),
        ("adds", booking.quantity.to_string()),
        ("balance", format!("{}: accrued {accrued}, told {told}", booking.balance)),
    ] {
        table.row([name.to_owned(), text]);
    }
    table.write(out, "  ")?;
    if booking.events.is_empty() {
        writeln!(out, "  No event covers it yet.")?;
    }
    for event in &booking.events {
        writeln!(out)?;
        write_event(out, event, "  ")?;
    }
    Ok(())
}

/// Writes an event with its attempts and moves, each line behind `indent`.
pub(crate) fn write_event(out: &mut dyn Write, event: &TraceEvent, indent: &str) -> io::Result<()> {
    let (id, state, quantity) = (event.id, &event.state, &event.quantity);
    writeln!(out, "{indent}event:{id} {state}, says {quantity} at {}", event.occurred_at)?;
    writeln!(out, "{indent}  identifier {}", event.identifier)?;
    if let Some((reason, detail)) = &event.hold {
        writeln!(out, "{indent}  {reason}: {detail}")?;
        if let Some(ended_by) = hold_ended_by(reason) {
            writeln!(out, "{indent}  ended by: {ended_by}")?;
        }
    }
    let deeper = format!("{indent}  ");
    if event.attempts.is_empty() {
        writeln!(out, "{deeper}No attempt was made to tell it.")?;
    } else {
        let columns = ["attempt", "outcome", "status", "request", "message", "key"];
        let mut table = Table::new(columns.map(|name| (name, Side::Left)));
        for attempt in &event.attempts {
            table.row([
                attempt.begun_at.to_rfc3339(),
                words::or_dash(attempt.outcome.as_deref()),
                attempt.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
                words::or_dash(attempt.request_id.as_deref()),
                words::or_dash(attempt.message.as_deref()),
                attempt.idempotency_key.clone(),
            ]);
        }
        table.write(out, &deeper)?;
    }
    let mut table = Table::new(["moved", "from", "to", "why"].map(|name| (name, Side::Left)));
    for each in &event.moves {
        let (from, why) = (words::or_dash(named(&each.from)), each.why.clone());
        table.row([each.at.to_rfc3339(), from, each.to.clone(), why]);
    }
    table.write(out, &deeper)
}
