//! `POST /v1/usage`. Here: from a request to the gate and back, and the bounds on its body. Never
//! here: what a record means. Read next: [`super::operator`].

use std::error::Error as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse};
use super::app::{App, BodyRead, Deadline};
use super::operator;
use crate::domain::names::SourceName;
use crate::intake::admit::{Rules, Sources};
use crate::intake::gate::{Gate, GateError, Reservation, Verdicts};
use crate::intake::json::{BodyError, BodyKind, read_body};
use crate::telemetry::metrics::Metrics;

/// Longest body that is parsed on the thread that answers requests, in bytes: a few hundred
/// records, well under a millisecond. A longer one is parsed where it delays nobody.
const PARSE_INLINE_BYTES_MAX: usize = 64 * 1024;
/// The headers that a CloudEvent in binary mode has to have.
const EVENT_HEADERS: [&str; 4] = ["ce-specversion", "ce-id", "ce-source", "ce-type"];

/// Usage from whoever shows a token.
pub(super) async fn from_caller(State(app): State<Arc<App>>, request: Request) -> Response {
    match caller(&app, request.headers()) {
        Ok(sources) => submit(app, sources, request).await,
        Err(refusal) => *refusal,
    }
}

/// What the request's token speaks for.
pub(super) fn caller(app: &App, headers: &HeaderMap) -> Result<Arc<Sources>, Refusal> {
    app.callers.present().of(headers).ok_or_else(|| {
        let said = "usage is taken with a token that is known: Authorization: Bearer …";
        let mut response = refuse(StatusCode::UNAUTHORIZED, "unauthorized", said);
        let challenge = HeaderValue::from_static("Bearer realm=\"tallyd\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        Refusal::new(response)
    })
}

/// Usage from the operator, who may speak for any source. With `?source=NAME` the records need not
/// name it, and may name no other.
pub(super) async fn from_operator(State(app): State<Arc<App>>, request: Request) -> Response {
    let sources = match operator::parameter(&request, "source") {
        Err(refusal) => return *refusal,
        Ok(None) => Sources::Any,
        Ok(Some(name)) => match SourceName::new(&name) {
            Ok(name) => Sources::These(vec![name]),
            Err(why) => {
                return refuse(StatusCode::BAD_REQUEST, "bad_query", format!("source {why}"));
            }
        },
    };
    submit(app, Arc::new(sources), request).await
}

/// Refuses a CloudEvent whose attributes are in the head and whose data alone is the body: read as
/// a record, it would be rejected for want of what stands in the head.
fn check_event_mode(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let named = EVENT_HEADERS.into_iter().find(|name| headers.contains_key(*name));
    match named {
        // Whole events may repeat their attributes in the head.
        Some(name) if !BodyKind::of(kind).is_of_events() => {
            let said = format!(
                "{name} is of a CloudEvent in binary mode, which is not taken; send the whole \
                 event as the body, as application/cloudevents+json, or several as \
                 application/cloudevents-batch+json"
            );
            Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_event_mode", said).into())
        }
        Some(_) | None => Ok(()),
    }
}

async fn submit(app: Arc<App>, sources: Arc<Sources>, request: Request) -> Response {
    if let Err(refusal) = check_event_mode(request.headers()) {
        return *refusal;
    }
    let (body, share, kind, deadline) = match receive(&app, request).await {
        Ok(received) => received,
        Err(refusal) => return *refusal,
    };
    // In a task of the server's own: a client that goes away must not take back a commit that
    // others wait for, nor leave it half done.
    let gate = Arc::clone(&app.rooms.gate);
    let booking = app.work.spawn(book(gate, body, share, kind, sources));
    match answer::outcome(booking, deadline).await {
        Err(refusal) => *refusal,
        Ok(Booked::Unread(why)) => unread(&why),
        Ok(Booked::Refused(why)) => {
            log_refusal(&why);
            answer::gate_error(&why)
        }
        Ok(Booked::Done(verdicts)) => {
            count(&app.rooms.metrics, &verdicts);
            answer::verdicts(&verdicts)
        }
    }
}

enum Booked {
    Unread(BodyError),
    Refused(GateError),
    Done(Verdicts),
}

async fn book(
    gate: Arc<Gate>,
    body: Bytes,
    share: Reservation,
    kind: BodyKind,
    sources: Arc<Sources>,
) -> Booked {
    let settings = gate.settings();
    let now = gate.clock().now();
    let long = body.len() > PARSE_INLINE_BYTES_MAX;
    let parse = move || {
        let rules = Rules { settings: &settings, sources: &sources, now };
        read_body(&body, kind, &rules)
    };
    let batch = if long {
        match tokio::task::spawn_blocking(parse).await {
            Ok(batch) => batch,
            Err(why) => std::panic::resume_unwind(why.into_panic()),
        }
    } else {
        parse()
    };
    let booked = match batch {
        Err(why) => Booked::Unread(why),
        Ok(batch) => match gate.admit(batch).await {
            Ok(verdicts) => Booked::Done(verdicts),
            Err(why) => Booked::Refused(why),
        },
    };
    // Until here the body, or what was made of it, took memory.
    drop(share);
    booked
}

/// Counts what became of a batch.
pub fn count(metrics: &Metrics, verdicts: &Verdicts) {
    metrics.batch(verdicts.items.len());
    metrics.records("accepted", verdicts.accepted);
    metrics.records("duplicate", verdicts.duplicate);
    metrics.records("conflict", verdicts.conflict);
    metrics.records("rejected", verdicts.rejected);
}

/// What went wrong, and what lies beneath it.
pub(super) fn with_cause(why: &GateError) -> String {
    let cause = why.source().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{why}{cause}")
}

pub(super) fn log_refusal(why: &GateError) {
    match why {
        // Told to the supervisor with its cause, which logs it.
        GateError::Fatal => {}
        GateError::Overloaded => tracing::warn!("usage refused: too much is in work at once"),
        GateError::LowDisk { .. }
        | GateError::LedgerFull(_)
        | GateError::LedgerBusy(_)
        | GateError::Refused(_) => tracing::warn!(error = with_cause(why), "usage refused"),
    }
}

pub(super) fn unread(why: &BodyError) -> Response {
    let (status, code) = match why {
        BodyError::Empty
        | BodyError::NotUtf8(_)
        | BodyError::Malformed(_)
        | BodyError::EventExpected
        | BodyError::EventsExpected => (StatusCode::BAD_REQUEST, "malformed_body"),
        BodyError::EventFormat => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_event_format"),
        BodyError::TooMany(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_records"),
    };
    refuse(status, code, why.to_string())
}

/// A body with its share of what may be in work, the shape its head announced, and the deadline.
pub(super) type Received = (Bytes, Reservation, BodyKind, Deadline);

/// Receives a request's body within its bounds.
pub(super) async fn receive(app: &App, request: Request) -> Result<Received, Refusal> {
    let received = receive_at_most(app, request, app.rooms.gate.settings().body_bytes_max).await;
    if received.as_ref().is_err_and(|why| why.status() == StatusCode::TOO_MANY_REQUESTS) {
        log_refusal(&GateError::Overloaded);
    }
    received
}

/// Receives a request's body of at most so many bytes, within the other bounds. The log is not told
/// of a refusal.
pub(super) async fn receive_at_most(
    app: &App,
    request: Request,
    bytes_max: usize,
) -> Result<Received, Refusal> {
    if app.stop.is_cancelled() {
        return Err(answer::shutting_down().into());
    }
    let deadline = request.extensions().get::<Deadline>().copied();
    let deadline = deadline.expect("the server gives each request a deadline");
    let (head, body) = request.into_parts();
    let read = head.extensions.get::<BodyRead>().cloned().unwrap_or_default();
    check_encoding(&head.headers)?;
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = BodyKind::of(kind);
    match timeout_at(deadline.0, collect(&app.rooms.gate, body, bytes_max)).await {
        Ok(received) => {
            let (body, share) = received?;
            read.set(true);
            Ok((body, share, kind, deadline))
        }
        Err(_) => {
            let said = "the body did not arrive in time; nothing of it was booked";
            Err(refuse(StatusCode::REQUEST_TIMEOUT, "timeout", said).into())
        }
    }
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let said = "bodies are taken as they are, without a Content-Encoding";
            Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", said).into())
        }
        Some(_) | None => Ok(()),
    }
}

async fn collect(
    gate: &Gate,
    mut body: Body,
    most: usize,
) -> Result<(Bytes, Reservation), Refusal> {
    let too_large = || {
        let said = format!("the body is longer than {most} bytes, which is the most that is taken");
        refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", said)
    };
    // What the head announces is refused before it is read.
    let announced = body.size_hint().lower();
    if announced > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large().into());
    }
    let mut share = gate.reservation();
    let mut whole: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            let said = "the body broke off; nothing of it was booked";
            return Err(refuse(StatusCode::BAD_REQUEST, "malformed_body", said).into());
        };
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > most {
            return Err(too_large().into());
        }
        gate.grow(&mut share, data.len()).map_err(|why| answer::gate_error(&why))?;
        whole.extend_from_slice(&data);
    }
    Ok((whole.into(), share))
}
