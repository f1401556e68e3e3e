//! Answers. Here: the one form of errors, and of what became of usage. Never here: a decision. Read
//! next: [`super::usage`].

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::app::Deadline;
use crate::intake::batch::Place;
use crate::intake::gate::{GateError, Status, Verdict, Verdicts};

/// Up to this many items each is listed in the answer; of more, only those that were not plainly
/// accepted are. A sender of a few wants to see them, one of thousands only what needs a look.
pub const LISTED_WHOLE_MAX: usize = 100;
/// How long a refused client should wait, in seconds, before it sends the same again: a few
/// commits.
const RETRY_SECONDS: u32 = 1;
/// The same where a person may have to act first, as for a full disk.
const RETRY_LONG_SECONDS: u32 = 30;

/// An answer that ends a handler early. It stands apart from the stack, as most requests have none.
pub(super) type Refusal = Box<Response>;

/// An answer with a JSON body.
pub(super) fn with_json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("an answer is made of texts and numbers");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error: a code for programs, a sentence for people.
pub(super) fn refuse(status: StatusCode, code: &str, message: impl Into<String>) -> Response {
    let message: String = message.into();
    with_json(status, &json!({ "error": { "code": code, "message": message } }))
}

/// An error that passes by itself, and when to try again.
pub(super) fn refuse_for(
    status: StatusCode,
    code: &str,
    message: impl Into<String>,
    seconds: u32,
) -> Response {
    let mut response = refuse(status, code, message);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The answer while the process stops.
pub(super) fn shutting_down() -> Response {
    let said = "the daemon is shutting down; nothing of this request was booked";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    refuse_for(status, "shutting_down", said, RETRY_SECONDS)
}

/// What came of a request's task. It goes on past the deadline, though nobody waits for it any
/// longer.
pub(super) async fn outcome<T>(task: JoinHandle<T>, deadline: Deadline) -> Result<T, Refusal> {
    match timeout_at(deadline.0, task).await {
        Err(_) => Err(too_slow().into()),
        Ok(Err(why)) => {
            tracing::error!(error = %why, "a request's task failed");
            Err(broken().into())
        }
        Ok(Ok(done)) => Ok(done),
    }
}

/// The answer when the ledger did not answer by the deadline.
pub(super) fn too_slow() -> Response {
    let said = "the ledger did not answer in time, and may still do what was asked; send the same \
        again, as what is booked already is recognised";
    refuse_for(StatusCode::SERVICE_UNAVAILABLE, "timeout", said, RETRY_SECONDS)
}

/// The answer when a task of the daemon's own failed.
pub(super) fn broken() -> Response {
    let said = "the daemon failed; the cause is in its log";
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", said)
}

/// The answer when nothing was booked.
pub(super) fn gate_error(why: &GateError) -> Response {
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let said = why.to_string();
    match why {
        GateError::Overloaded => {
            refuse_for(StatusCode::TOO_MANY_REQUESTS, "overloaded", said, RETRY_SECONDS)
        }
        GateError::LowDisk { .. } => refuse_for(busy, "low_disk", said, RETRY_LONG_SECONDS),
        GateError::LedgerFull(_) => refuse_for(busy, "ledger_full", said, RETRY_LONG_SECONDS),
        GateError::LedgerBusy(_) => refuse_for(busy, "ledger_busy", said, RETRY_SECONDS),
        GateError::Fatal => {
            let said = "the ledger failed and the daemon restarts; whether this request was booked \
                is not known: send the same again, as what is booked already is recognised";
            refuse_for(busy, "ledger_failed", said, RETRY_LONG_SECONDS)
        }
        GateError::Refused(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", said),
    }
}

#[derive(Serialize)]
struct Told<'a> {
    accepted: u64,
    duplicate: u64,
    conflict: u64,
    rejected: u64,
    records: Vec<ToldRecord<'a>>,
}

#[derive(Serialize)]
struct ToldRecord<'a> {
    /// Where it stood in the array, counted from nought as arrays are.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// Its line, counted from one as editors do.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> From<&'a Verdict> for ToldRecord<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        let (index, line) = match verdict.place {
            Place::Record(number) => (Some(number.saturating_sub(1)), None),
            Place::Line(number) => (None, Some(number)),
        };
        let (field, reason) = match &verdict.fault {
            Some((field, reason)) => (Some(field.as_str()), Some(reason.as_str())),
            None => (None, None),
        };
        let status = verdict.status.as_str();
        Self { index, line, id: verdict.id.as_deref(), status, field, reason }
    }
}

/// What became of a batch: 200 when all of it is booked, 422 when something is not, which does not
/// undo the rest. The list is bounded by the bound on a request's records.
pub(super) fn verdicts(verdicts: &Verdicts) -> Response {
    let all = verdicts.items.len() <= LISTED_WHOLE_MAX;
    let plain = |verdict: &Verdict| matches!(verdict.status, Status::Accepted(_));
    let listed = verdicts.items.iter().filter(|verdict| all || !plain(verdict));
    let told = Told {
        accepted: verdicts.accepted,
        duplicate: verdicts.duplicate,
        conflict: verdicts.conflict,
        rejected: verdicts.rejected,
        records: listed.map(ToldRecord::from).collect(),
    };
    let booked = verdicts.all_booked();
    with_json(if booked { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, &told)
}
