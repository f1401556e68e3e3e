//! What was rejected, over the operator's socket. Here: items that an import could not read, kept
//! for a person, and a person's word on any. Never here: judging them. Read next: [`super::usage`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal, refuse, with_json};
use super::app::App;
use super::holds::sentence;
use super::{operator, usage};
use crate::domain::names::SourceName;
use crate::domain::rejected::Form;
use crate::intake::admit::{Fault, Sources};
use crate::intake::batch::{Batch, Place, Raw};
use crate::intake::resubmit::Resubmission;
use crate::ledger::rejected::Ended;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: Option<String>,
    line: u64,
    field: String,
    reason: String,
    raw: String,
    form: String,
    whole: bool,
}

/// `POST /v1/rejected?source=NAME`: keeps the items, a JSON array. Without a source they are of
/// none, as lines of corrections may be.
pub(super) async fn keep(State(app): State<Arc<App>>, request: Request) -> Response {
    match keep_all(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn keep_all(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let bad = |code, said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, code, said));
    let source = operator::parameter(&request, "source")?;
    let sources = match source {
        None => Sources::Any,
        Some(source) if source.is_empty() => Sources::Any,
        Some(source) => {
            let named = SourceName::new(&source);
            let named =
                named.map_err(|why| bad("bad_query", format!("source \"{source}\" {why}")))?;
            Sources::These(vec![named])
        }
    };
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let items: Vec<Item> = serde_json::from_slice(&body).map_err(|why| {
        bad("malformed_body", format!("the body is no array of rejected items: {why}"))
    })?;
    let mut batch = Batch::default();
    for item in &items {
        let fault = Fault::new(item.field.as_str(), item.reason.as_str());
        let form = Form::parse(&item.form)
            .ok_or_else(|| bad("malformed_body", format!("form \"{}\" is none", item.form)))?;
        let raw = Raw { text: &item.raw, form, whole: item.whole };
        batch.reject(Place::Line(item.line), fault, item.id.as_deref(), raw, &sources);
    }
    let gate = Arc::clone(&app.rooms.gate);
    let keeping = app.work.spawn(async move {
        let kept = gate.admit(batch).await;
        drop(share);
        kept
    });
    let kept = answer::outcome(keeping, deadline).await?;
    let verdicts = kept.map_err(|why| Refusal::new(answer::gate_error(&why)))?;
    usage::count(&app.rooms.metrics, &verdicts);
    Ok(answer::verdicts(&verdicts))
}

/// A resubmission, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentAgain {
    instead: Option<String>,
    who: String,
}

/// `POST /v1/rejected/resubmit?number=NUMBER`: books the item, or what is sent in its place, and
/// ends it. What cannot be booked is answered 409, and the item stays open.
pub(super) async fn resubmit(State(app): State<Arc<App>>, request: Request) -> Response {
    match send_again(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn send_again(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let number = number(&request)?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let sent: SentAgain = serde_json::from_slice(&body)
        .map_err(|why| malformed(format!("the body is no resubmission: {why}")))?;
    let who = sentence("who", &sent.who).map_err(malformed)?;
    let asked = Resubmission { number, instead: sent.instead, who };
    let task = Arc::clone(&app);
    let sending = app.work.spawn(async move {
        let ended = task.rooms.gate.resubmit(task.rooms.rejected.as_ref(), asked).await;
        drop(share);
        ended
    });
    let ended = answer::outcome(sending, deadline).await?;
    told(&ended.map_err(|why| Refusal::new(answer::gate_error(&why)))?)
}

/// A dismissal, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentDismissal {
    why: String,
    who: String,
}

/// `POST /v1/rejected/dismiss?number=NUMBER`: ends the item without a record. One that is not open
/// is answered 409.
pub(super) async fn dismiss(State(app): State<Arc<App>>, request: Request) -> Response {
    match end_without(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn end_without(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let number = number(&request)?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let sent: SentDismissal = serde_json::from_slice(&body)
        .map_err(|why| malformed(format!("the body is no dismissal: {why}")))?;
    let why = sentence("why", &sent.why).map_err(malformed)?;
    let who = sentence("who", &sent.who).map_err(malformed)?;
    let task = Arc::clone(&app);
    let ending = app.work.spawn(async move {
        let now = task.rooms.gate.clock().now();
        let ended = task.rooms.rejected.dismiss(number, &why, &who, now).await;
        drop(share);
        ended
    });
    let ended = answer::outcome(ending, deadline).await?;
    told(&ended.map_err(|why| operator::ledger_error(&app, why))?)
}

fn malformed(said: String) -> Refusal {
    Refusal::new(refuse(StatusCode::BAD_REQUEST, "malformed_body", said))
}

fn number(request: &Request) -> Result<i64, Refusal> {
    let text = operator::parameter(request, "number")?.unwrap_or_default();
    text.parse().map_err(|_| {
        let said = format!("number \"{text}\" is not the number of a rejected item");
        Refusal::new(refuse(StatusCode::BAD_REQUEST, "bad_query", said))
    })
}

fn told(ended: &Ended) -> Result<Response, Refusal> {
    match ended {
        Ended::Refused(said) => {
            Err(refuse(StatusCode::CONFLICT, "not_ended", said.as_str()).into())
        }
        Ended::Done | Ended::Booked(_) | Ended::Duplicate(_) => {
            Ok(with_json(StatusCode::OK, &ended_json(ended)))
        }
    }
}

/// How an item ended, as JSON.
#[must_use]
pub fn ended_json(ended: &Ended) -> Value {
    let (status, position) = match ended {
        Ended::Done => ("dismissed", None),
        Ended::Booked(position) => ("accepted", Some(position.0)),
        Ended::Duplicate(position) => ("duplicate", Some(position.0)),
        Ended::Refused(_) => ("refused", None),
    };
    json!({ "status": status, "position": position })
}
