//! `POST /v1/usage/{source}/{id}/cancel` and `adjust`, and the operator's corrections. Here: from a
//! request to the desk and back. Never here: what a correction means. Read next:
//! [`super::trace`].

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{self, LISTED_WHOLE_MAX, Refusal, refuse, with_json};
use super::app::App;
use super::{operator, usage};
use crate::domain::correction::CorrectionKind;
use crate::domain::names::SourceName;
use crate::intake::Settings;
use crate::intake::admit::{Fault, Sources, Written, quoted};
use crate::intake::batch::Place;
use crate::intake::correct::{CorrectionBatch, CorrectionRules, Fields};
use crate::intake::desk::{CorrectionStatus, CorrectionVerdict, CorrectionVerdicts};
use crate::intake::json::BodyError;

/// The header in which the correction's own name may stand instead of in the body.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A record's source and id, as a path names them. Each is percent-decoded.
pub(super) type Named = Result<Path<(String, String)>, PathRejection>;

/// The source and id of a path.
pub(super) fn named(path: Named) -> Result<(String, String), Refusal> {
    let Path(named) = path.map_err(|why| {
        let said = format!("the path names no record: {}", why.body_text());
        Refusal::new(refuse(StatusCode::BAD_REQUEST, "bad_path", said))
    })?;
    Ok(named)
}

/// Cancels a record.
pub(super) async fn cancel(State(app): State<Arc<App>>, path: Named, request: Request) -> Response {
    ended(one(app, CorrectionKind::Cancel, path, request).await)
}

/// Adjusts a record.
pub(super) async fn adjust(State(app): State<Arc<App>>, path: Named, request: Request) -> Response {
    ended(one(app, CorrectionKind::Adjust, path, request).await)
}

/// `POST /v1/corrections?who=NAME` at the operator's socket: a correction a line, of any source.
pub(super) async fn from_operator(State(app): State<Arc<App>>, request: Request) -> Response {
    ended(many(app, request).await)
}

fn ended(answer: Result<Response, Refusal>) -> Response {
    answer.unwrap_or_else(|refusal| *refusal)
}

async fn one(
    app: Arc<App>,
    kind: CorrectionKind,
    path: Named,
    request: Request,
) -> Result<Response, Refusal> {
    let sources = usage::caller(&app, request.headers())?;
    let (source, record) = named(path)?;
    let key = key(request.headers());
    let judge = move |settings: &Settings, body: &[u8]| {
        let who = format!("http:{source}");
        let rules = CorrectionRules { settings, sources: &sources, who: &who };
        read_one(body, kind, (&source, &record), key, &rules)
    };
    correct(app, request, judge).await
}

/// The correction's name in the head; a fault when it is not text.
fn key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Fault::new("Idempotency-Key", "is not plain text"))?;
    // Some clients send the key in quotation marks, as a structured header.
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Ok(Some(bare.to_owned()))
}

/// Reads the body of a correction whose record and kind the path names.
fn read_one(
    body: &[u8],
    kind: CorrectionKind,
    (source, record): (&str, &str),
    key: Result<Option<String>, Fault>,
    rules: &CorrectionRules<'_>,
) -> Result<CorrectionBatch, BodyError> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let text = str::from_utf8(body).map_err(|why| BodyError::NotUtf8(why.valid_up_to()))?;
    if text.trim_ascii().is_empty() {
        return Err(BodyError::Empty);
    }
    let place = Place::Record(1);
    let mut batch = CorrectionBatch::default();
    let most = rules.settings.record_bytes_max;
    let (mut fields, mut fault) = match Fields::of_json(text) {
        Ok(read) => read,
        Err(Fault { reason, .. }) => return Err(BodyError::Malformed(reason)),
    };
    let by_path = [("source", &fields.source), ("record", &fields.record), ("kind", &fields.kind)];
    for (name, written) in by_path {
        if written.is_some() {
            fault.get_or_insert(Fault::new(name, "is said by the path, and not taken here"));
        }
    }
    match key {
        Err(why) => {
            fault.get_or_insert(why);
        }
        Ok(Some(key)) => match &fields.id {
            None | Some(Written::Null) => fields.id = Some(Written::Text(key.into())),
            Some(Written::Text(id)) if *id == key => {}
            Some(_) => {
                let why = format!("is not the Idempotency-Key, which is {}", quoted(&key));
                fault.get_or_insert(Fault::new("id", why));
            }
        },
        Ok(None) if matches!(fields.id, None | Some(Written::Null)) => {
            let why = "is missing: it is the correction's own name, by which a retry is known, \
                here or in the header Idempotency-Key";
            fault.get_or_insert(Fault::new("id", why));
        }
        Ok(None) => {}
    }
    fields.source = Some(Written::Text(source.into()));
    fields.record = Some(Written::Text(record.into()));
    fields.kind = Some(Written::Text(kind.as_str().into()));
    if text.len() > most {
        let why = format!("is {} bytes long, and at most {most} are taken", text.len());
        fault = Some(Fault::new("correction", why));
    }
    batch.judge(place, (fields, fault), text, rules);
    Ok(batch)
}

async fn many(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let bad = |said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, "bad_query", said));
    let who = operator::parameter(&request, "who")?;
    let who = who.ok_or_else(|| bad("who is missing: it says who corrects".to_owned()))?;
    // The bounds and rules are those of the names.
    SourceName::new(&who).map_err(|why| bad(format!("who {} {why}", quoted(&who))))?;
    let judge = move |settings: &Settings, body: &[u8]| {
        let rules = CorrectionRules { settings, sources: &Sources::Any, who: &who };
        let mut batch = CorrectionBatch::default();
        for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            if batch.len() == settings.batch_records_max {
                return Err(BodyError::TooMany(settings.batch_records_max));
            }
            batch.read_line(line, Place::Line(number), &rules);
        }
        if batch.is_empty() { Err(BodyError::Empty) } else { Ok(batch) }
    };
    correct(app, request, judge).await
}

/// Receives a body, judges it, and hands it to the desk: in a task of the server's own, as a client
/// that goes away must not take back a commit.
async fn correct(
    app: Arc<App>,
    request: Request,
    judge: impl FnOnce(&Settings, &[u8]) -> Result<CorrectionBatch, BodyError>,
) -> Result<Response, Refusal> {
    let (body, share, _, deadline): (Bytes, _, _, _) = usage::receive(&app, request).await?;
    let gate = Arc::clone(&app.rooms.gate);
    let batch = judge(&gate.settings(), &body);
    let batch = batch.map_err(|why| Refusal::new(usage::unread(&why)))?;
    let ledger = Arc::clone(&app.rooms.corrections);
    let correcting = app.work.spawn(async move {
        let corrected = gate.correct(ledger.as_ref(), batch).await;
        drop(share);
        corrected
    });
    let verdicts = answer::outcome(correcting, deadline).await?.map_err(|why| {
        usage::log_refusal(&why);
        Refusal::new(answer::gate_error(&why))
    })?;
    for item in &verdicts.items {
        app.rooms.metrics.correction(item.kind, item.status.as_str());
    }
    Ok(answered(&verdicts))
}

/// What became of corrections: 200 when all of them are in the ledger, 422 when something is not,
/// which does not undo the rest.
fn answered(verdicts: &CorrectionVerdicts) -> Response {
    let good = verdicts.all_accepted();
    let status = if good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    with_json(status, &verdicts_json(verdicts))
}

/// What became of corrections, as it is answered. Of many, those that were plainly accepted are
/// only counted.
#[must_use]
pub fn verdicts_json(verdicts: &CorrectionVerdicts) -> Value {
    let all = verdicts.items.len() <= LISTED_WHOLE_MAX;
    let plain = |verdict: &CorrectionVerdict| match verdict.status {
        CorrectionStatus::Accepted => !verdict.waiting,
        CorrectionStatus::Duplicate
        | CorrectionStatus::Conflict
        | CorrectionStatus::Stale
        | CorrectionStatus::Rejected => false,
    };
    let listed = verdicts.items.iter().filter(|verdict| all || !plain(verdict));
    json!({
        "accepted": verdicts.accepted,
        "waiting": verdicts.waiting,
        "duplicate": verdicts.duplicate,
        "conflict": verdicts.conflict,
        "stale": verdicts.stale,
        "rejected": verdicts.rejected,
        "corrections": listed.map(verdict_json).collect::<Vec<Value>>(),
    })
}

fn verdict_json(verdict: &CorrectionVerdict) -> Value {
    let mut document = json!({
        "source": verdict.source,
        "record": verdict.record,
        "id": verdict.id,
        "kind": verdict.kind.map(CorrectionKind::as_str),
        "status": verdict.status.as_str(),
        // What the record counts with now: a quantity, or "cancelled".
        "standing": verdict.standing.as_ref().map(ToString::to_string),
        "waiting": verdict.waiting,
    });
    match verdict.place {
        Place::Record(number) => document["index"] = number.saturating_sub(1).into(),
        Place::Line(number) => document["line"] = number.into(),
    }
    if let Some((field, reason)) = &verdict.fault {
        document["field"] = field.as_str().into();
        document["reason"] = reason.as_str().into();
    }
    document
}
