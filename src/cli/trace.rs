//! `tallyd trace`. Here: a record's whole life, and that of the events that carry it. Never here: a
//! judgement. Read next: [`super::held`].

use std::io::{self, Write};

use anyhow::{Context, bail};

use super::args::Trace as Asked;
use super::exit::Exit;
use super::held::hold_ended_by;
use super::reading::{self, Reading};
use super::status::park_ended_by;
use super::table::{Side, Table};
use super::{page, words};
use crate::domain::correction::{Change, Effect};
use crate::domain::names::{RecordId, SourceName};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::operator::{
    OperatorLedger, Trace, TraceBooking, TraceCorrection, TraceEvent, TraceResolution,
};
use crate::web::trace::{effect_word, trace_json};

/// The source and id of a record that is written SOURCE/ID.
///
/// # Errors
/// When it is not.
pub(crate) fn named_record(text: &str) -> anyhow::Result<(SourceName, RecordId)> {
    // At the first slash: ids may hold slashes.
    let Some((source, id)) = text.split_once('/') else {
        bail!("a record is named SOURCE/ID, and \"{text}\" has no slash");
    };
    let name = SourceName::new(source).with_context(|| format!("the source \"{source}\""))?;
    let record = RecordId::new(id).with_context(|| format!("the id \"{id}\""))?;
    Ok((name, record))
}

/// Shows the life of a record.
///
/// # Errors
/// When there is no such record, or the ledger cannot be read.
pub(crate) async fn trace(asked: &Asked) -> anyhow::Result<Exit> {
    let (name, record) = named_record(&asked.record)?;
    let Reading { ledger, now, .. } = reading::open(&asked.listing.configured).await?;
    let found = ledger.trace(&name, &record).await?;
    ledger.close().await;
    let Some(trace) = found else {
        bail!("the source \"{name}\" never sent a record with the id \"{record}\"");
    };
    if asked.listing.json {
        page::print_json(&trace_json(&trace))?;
    } else {
        page::print(|out| write(out, &trace, now))?;
    }
    Ok(Exit::Ok)
}

/// Nothing, where the ledger's empty text stands for that.
fn named(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn write(out: &mut dyn Write, trace: &Trace, now: Timestamp) -> io::Result<()> {
    match &trace.record {
        Some(record) => {
            let since = words::instant(record.recorded_at, now);
            writeln!(out, "record {}, booked {since}", record.position)?;
            let mut table = Table::bare([Side::Left, Side::Left]);
            for (name, text) in &record.fields {
                table.row([(*name).to_owned(), text.clone()]);
            }
            if let Some(standing) =
                trace.standing.as_ref().filter(|_| !trace.corrections.is_empty())
            {
                table.row(["counts".to_owned(), standing.to_string()]);
            }
            table.write(out, "  ")?;
        }
        None if trace.archived.is_some() => {}
        None => {
            let (source, id) = (&trace.source, &trace.id);
            writeln!(out, "{source}/{id} has not come yet; what corrects it waits for it")?;
        }
    }
    if let Some(archived) = &trace.archived {
        let (number, since) = (archived.archive, words::instant(archived.sealed_at, now));
        let position = archived.position.0;
        writeln!(out, "record {position}, archived {since}: its content is in archive {number},")?;
        writeln!(out, "  {}", archived.path)?;
    }
    for correction in &trace.corrections {
        write_correction(out, correction, now)?;
    }
    for conflict in &trace.conflicts {
        writeln!(out, "\nconflict, kept {}", words::instant(conflict.recorded_at, now))?;
        writeln!(out, "  the copy says {}", conflict.says)?;
        write_resolutions(out, &conflict.resolutions, "  ")?;
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
    if trace.record.is_some() && trace.parked.is_empty() && trace.bookings.is_empty() {
        writeln!(out, "\nAccrual has not reached it yet.")?;
    }
    Ok(())
}

fn write_correction(
    out: &mut dyn Write,
    correction: &TraceCorrection,
    now: Timestamp,
) -> io::Result<()> {
    let TraceCorrection { id, name, who, reason, .. } = correction;
    let since = words::instant(correction.recorded_at, now);
    writeln!(out, "\ncorrection {id} \"{name}\", made by {who} {since}")?;
    let says = match &correction.change {
        Change::Cancel => "cancel".to_owned(),
        Change::Adjust { quantity, replaces } => format!("adjust to {quantity} from {replaces}"),
    };
    let came_to = match &correction.effect {
        Some(Effect::Applied(from, to)) => format!(", from {from} to {to}"),
        Some(Effect::Stale(present)) => format!(", as the record counted with {present}"),
        Some(Effect::Idle) | None => String::new(),
    };
    let mut table = Table::bare([Side::Left, Side::Left]);
    table.row(["says".to_owned(), says]);
    let effect = effect_word(correction.effect.as_ref());
    table.row(["effect".to_owned(), format!("{effect}{came_to}")]);
    table.row(["reason".to_owned(), reason.clone()]);
    table.write(out, "  ")
}

fn write_resolutions(
    out: &mut dyn Write,
    resolutions: &[TraceResolution],
    indent: &str,
) -> io::Result<()> {
    for each in resolutions {
        let TraceResolution { at, verdict, quantity, why, who } = each;
        writeln!(out, "{indent}resolved {verdict} over {quantity} by {who} at {at}: {why}")?;
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
    if let Some((reason, detail)) = &booking.hold {
        table.row(["held".to_owned(), format!("{reason}: {detail}")]);
        table.row(["ended by".to_owned(), words::or_dash(hold_ended_by(reason))]);
    }
    for (invoice, billed) in &booking.invoices {
        let bills = match billed {
            Some(billed) => format!("{invoice}, which bills {billed} for its period"),
            None => format!("{invoice}, a draft"),
        };
        table.row(["invoice".to_owned(), bills]);
    }
    table.write(out, "  ")?;
    if booking.lines.len() > 1 {
        let [line, cause, at] = ["line", "cause", "booked"];
        let mut table = Table::new([(line, Side::Right), (cause, Side::Left), (at, Side::Left)]);
        for line in &booking.lines {
            let cause = match line.cause_id {
                0 => line.cause.clone(),
                id => format!("{} {id}", line.cause),
            };
            table.row([line.quantity.to_string(), cause, line.booked_at.to_rfc3339()]);
        }
        table.write(out, "  ")?;
    }
    write_resolutions(out, &booking.resolutions, "  ")?;
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
    let cancels = match event.cancels {
        Some(target) => format!("cancels event:{target}, "),
        None => String::new(),
    };
    let at = event.occurred_at;
    writeln!(out, "{indent}event:{id} {state}, {cancels}says {quantity} at {at}")?;
    writeln!(out, "{indent}  identifier {}", event.identifier)?;
    if let Some((reason, detail)) = &event.hold {
        writeln!(out, "{indent}  {reason}: {detail}")?;
        if let Some(ended_by) = hold_ended_by(reason) {
            writeln!(out, "{indent}  ended by: {ended_by}")?;
        }
    }
    let deeper = format!("{indent}  ");
    write_resolutions(out, &event.resolutions, &deeper)?;
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
