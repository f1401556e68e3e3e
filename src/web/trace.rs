//! `GET /v1/usage/{source}/{id}`. Here: a record's whole life as JSON, which `tallyd trace --json`
//! prints as well. Never here: reading it (see `ledger`). Read next: [`super::operator`].

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse, with_json};
use super::app::{App, Deadline};
use super::corrections::{Named, named};
use super::usage;
use crate::domain::correction::{Change, CorrectionKind, Effect};
use crate::domain::names::{RecordId, SourceName};
use crate::domain::state::{HoldReason, ParkReason};
use crate::intake::admit::{Sources, quoted};
use crate::ledger::intake::Archived;
use crate::ledger::operator::{
    Trace, TraceBooking, TraceConflict, TraceCorrection, TraceEvent, TraceLine, TraceRecord,
    TraceResolution,
};

/// The life of a record of a source that the request's token speaks for.
pub(super) async fn for_caller(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: Named,
    request: Request,
) -> Response {
    let answer = match usage::caller(&app, request.headers()) {
        Ok(sources) => life(&app, &sources, path, deadline).await,
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|refusal| *refusal)
}

/// The life of any record, at the operator's socket.
pub(super) async fn for_operator(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: Named,
) -> Response {
    let answer = life(&app, &Sources::Any, path, deadline).await;
    answer.unwrap_or_else(|refusal| *refusal)
}

async fn life(
    app: &App,
    sources: &Sources,
    path: Named,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let (source, id) = named(path)?;
    let bad = |said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, "bad_path", said));
    let name = SourceName::new(&source)
        .map_err(|why| bad(format!("the source {} {why}", quoted(&source))))?;
    let record = RecordId::new(&id).map_err(|why| bad(format!("the id {} {why}", quoted(&id))))?;
    match sources {
        Sources::Any | Sources::AnyOr(_) => {}
        Sources::These(names) if names.contains(&name) => {}
        Sources::These(_) => {
            let said = format!("the source {} is not one this sender may ask for", quoted(&source));
            return Err(refuse(StatusCode::FORBIDDEN, "forbidden", said).into());
        }
    }
    match timeout_at(deadline.0, app.rooms.ledger.trace(&name, &record)).await {
        Err(_) => Err(answer::too_slow().into()),
        Ok(Err(why)) => {
            let refusal = app.rooms.gate.refuse(why);
            usage::log_refusal(&refusal);
            Err(answer::gate_error(&refusal).into())
        }
        Ok(Ok(None)) => {
            let (source, id) = (quoted(&source), quoted(&id));
            let said = format!("the source {source} sent no record with the id {id} so far");
            Err(refuse(StatusCode::NOT_FOUND, "no_record", said).into())
        }
        Ok(Ok(Some(trace))) => Ok(with_json(StatusCode::OK, &trace_json(&trace))),
    }
}

/// Where a record went: the archive's file without its folder, which is nobody's but the host's.
pub fn archived_json(archived: &Archived) -> Value {
    let file = Path::new(&archived.path).file_name().map(OsStr::to_string_lossy);
    json!({
        "number": archived.archive,
        "file": file,
        "position": archived.position.0,
        "sealed_at": archived.sealed_at.to_rfc3339(),
    })
}

/// A record's whole life.
#[must_use]
pub fn trace_json(trace: &Trace) -> Value {
    let parked: Vec<Value> = trace
        .parked
        .iter()
        .map(|(route, reason, detail, since)| {
            json!({
                "route": named_or_nothing(route),
                "reason": reason,
                "detail": detail,
                "since": since.to_rfc3339(),
                "ended_by": ParkReason::parse(reason).map(ParkReason::ended_by),
            })
        })
        .collect();
    let record = trace.record.as_ref();
    json!({
        "source": trace.source.as_str(),
        "id": trace.id.as_str(),
        "position": record.map(|record| record.position),
        "record": record.map(record_json),
        "recorded_at": record.map(|record| record.recorded_at.to_rfc3339()),
        "archive": trace.archived.as_ref().map(archived_json),
        "standing": trace.standing.as_ref().map(ToString::to_string),
        "corrections": all(&trace.corrections, correction_json),
        "conflicts": all(&trace.conflicts, conflict_json),
        "parked": parked,
        "bookings": all(&trace.bookings, booking_json),
    })
}

fn all<T>(items: &[T], json: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(json).collect()
}

fn record_json(record: &TraceRecord) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, text) in &record.fields {
        // Properties come as the JSON text that the ledger keeps.
        let value = match *name {
            "properties" => serde_json::from_str(text).unwrap_or_else(|_| Value::from(&**text)),
            _ => Value::from(&**text),
        };
        fields.insert((*name).to_owned(), value);
    }
    fields
}

/// What a correction came to, in a word.
#[must_use]
pub const fn effect_word(effect: Option<&Effect>) -> &'static str {
    match effect {
        None => "waiting",
        Some(Effect::Applied(..)) => "applied",
        Some(Effect::Stale(_)) => "stale",
        Some(Effect::Idle) => "repeated",
    }
}

fn correction_json(correction: &TraceCorrection) -> Value {
    let (quantity, replaces) = match &correction.change {
        Change::Cancel => (None, None),
        Change::Adjust { quantity, replaces } => {
            (Some(quantity.to_string()), Some(replaces.to_string()))
        }
    };
    let (from, to) = match &correction.effect {
        Some(Effect::Applied(from, to)) => (Some(from.to_string()), Some(to.to_string())),
        Some(Effect::Stale(present)) => (Some(present.to_string()), Some(present.to_string())),
        Some(Effect::Idle) | None => (None, None),
    };
    let kind: CorrectionKind = correction.change.kind();
    json!({
        "number": correction.id,
        "id": correction.name,
        "kind": kind.as_str(),
        "quantity": quantity,
        "replaces": replaces,
        "effect": effect_word(correction.effect.as_ref()),
        "from": from,
        "to": to,
        "reason": correction.reason,
        "who": correction.who,
        "recorded_at": correction.recorded_at.to_rfc3339(),
    })
}

fn conflict_json(conflict: &TraceConflict) -> Value {
    json!({
        "recorded_at": conflict.recorded_at.to_rfc3339(),
        "says": conflict.says,
        "decided": conflict.decided,
        "resolutions": all(&conflict.resolutions, resolution_json),
    })
}

fn resolution_json(resolution: &TraceResolution) -> Value {
    json!({
        "at": resolution.at.to_rfc3339(),
        "verdict": resolution.verdict,
        "quantity": resolution.quantity.to_string(),
        "why": resolution.why,
        "who": resolution.who,
    })
}

/// Why an event or a balance is held, and what ends that.
fn hold_json((reason, detail): &(String, String)) -> Value {
    let ended_by = HoldReason::parse(reason).map(HoldReason::ended_by);
    json!({ "reason": reason, "detail": detail, "ended_by": ended_by })
}

fn booking_json(booking: &TraceBooking) -> Value {
    let (provider, account, meter) = &booking.destination;
    let line = |line: &TraceLine| {
        json!({
            "quantity": line.quantity.to_string(),
            "cause": line.cause,
            "cause_id": Some(line.cause_id).filter(|id| *id != 0),
            "booked_at": line.booked_at.to_rfc3339(),
        })
    };
    let invoices: Vec<Value> = booking
        .invoices
        .iter()
        .map(|(invoice, billed)| {
            json!({ "invoice": invoice, "billed": billed.as_ref().map(ToString::to_string) })
        })
        .collect();
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
        "lines": all(&booking.lines, line),
        "accrued": booking.sums.0.to_string(),
        "told": booking.sums.1.to_string(),
        "hold": booking.hold.as_ref().map(hold_json),
        "invoices": invoices,
        "resolutions": all(&booking.resolutions, resolution_json),
        "events": all(&booking.events, event_json),
    })
}

/// An event with its attempts and moves.
#[must_use]
pub fn event_json(event: &TraceEvent) -> Value {
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
                "from": named_or_nothing(&each.from),
                "to": each.to,
                "why": each.why,
            })
        })
        .collect();
    json!({
        "id": event.id,
        "kind": if event.cancels.is_some() { "cancel" } else { "usage" },
        "cancels": event.cancels,
        "identifier": event.identifier,
        "state": event.state,
        "hold": event.hold.as_ref().map(hold_json),
        "quantity": event.quantity.to_string(),
        "occurred_at": event.occurred_at.to_rfc3339(),
        "attempts": attempts,
        "moves": moves,
        "resolutions": all(&event.resolutions, resolution_json),
    })
}

/// Nothing, where the ledger's empty text stands for that.
fn named_or_nothing(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
