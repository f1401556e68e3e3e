//! Exports, from the operator's socket. Here: beginning one, holding events for it, its steps, and
//! giving its events back, a request each. Never here: files, or which events a form can say. Read
//! next: [`super::standing`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{self, Refusal, refuse, with_json};
use super::app::App;
use super::holds::sentence;
use super::{operator, usage};
use crate::domain::event::EventId;
use crate::domain::export::{ExportForm, ExportId, ExportStep};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::export::{Exported, NewExport, NewStep, Released, RowPlace};
use crate::service::Bell;

/// What is to be exported, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentExport {
    form: String,
    meters: Vec<String>,
    before_micros: Option<i64>,
    who: String,
}

/// Events, as they are sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentEvents {
    events: Vec<i64>,
}

/// A step, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentStep {
    step: String,
    files: Option<i64>,
    digest: Option<String>,
    why: String,
    who: String,
}

/// A place in an export, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentPlace {
    destination: i64,
    event: i64,
}

/// What one request asks of the ledger.
enum Asked {
    Begin(NewExport),
    Mark(ExportId, Vec<EventId>),
    Note(ExportId, NewStep),
    Release(ExportId, RowPlace),
}

/// `POST /v1/export/begin?provider=NAME`: begins one. What cannot be is answered 409.
pub(super) async fn begin(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = operator::parameter(&request, "provider").and_then(|name| {
        let name = name.unwrap_or_default();
        ProviderName::new(&name)
            .map_err(|why| bad("bad_query", format!("provider \"{name}\" {why}")))
    });
    answered(app, request, asked, |provider, sent: SentExport| {
        let form = ExportForm::parse(&sent.form)
            .ok_or_else(|| malformed(format!("form \"{}\" is none", sent.form)))?;
        let meter = |name: &String| {
            ProviderMeter::new(name).map_err(|why| malformed(format!("meter \"{name}\" {why}")))
        };
        let meters = sent.meters.iter().map(meter).collect::<Result<_, _>>()?;
        let before = sent.before_micros.map(Timestamp::from_micros);
        let who = sentence("who", &sent.who).map_err(malformed)?;
        Ok(Asked::Begin(NewExport { provider, form, meters, before, who }))
    })
    .await
}

/// `POST /v1/export/mark?export=NUMBER`: holds events for it; answers how many.
pub(super) async fn mark(State(app): State<Arc<App>>, request: Request) -> Response {
    let export = number(&request);
    answered(app, request, export, |export, sent: SentEvents| {
        Ok(Asked::Mark(export, sent.events.into_iter().map(EventId).collect()))
    })
    .await
}

/// `POST /v1/export/step?export=NUMBER`: notes a step of it.
pub(super) async fn step(State(app): State<Arc<App>>, request: Request) -> Response {
    let export = number(&request);
    answered(app, request, export, |export, sent: SentStep| {
        let step = ExportStep::parse(&sent.step)
            .ok_or_else(|| malformed(format!("step \"{}\" is none", sent.step)))?;
        let why = match step {
            ExportStep::Abandoned => sentence("why", &sent.why).map_err(malformed)?,
            ExportStep::Sealed | ExportStep::Written | ExportStep::Confirmed => String::new(),
        };
        let who = sentence("who", &sent.who).map_err(malformed)?;
        let files = sent.files.zip(sent.digest);
        if files.is_some() != (step == ExportStep::Written) {
            return Err(malformed("files and digest are said of what was written".to_owned()));
        }
        Ok(Asked::Note(export, NewStep { step, files, why, who }))
    })
    .await
}

/// `POST /v1/export/release?export=NUMBER`: has some of the events of an abandoned one told by
/// requests; answers how many, and where the next request goes on.
pub(super) async fn release(State(app): State<Arc<App>>, request: Request) -> Response {
    let export = number(&request);
    answered(app, request, export, |export, sent: SentPlace| {
        let SentPlace { destination, event } = sent;
        Ok(Asked::Release(export, RowPlace { destination, event }))
    })
    .await
}

fn bad(code: &'static str, said: String) -> Refusal {
    Refusal::new(refuse(StatusCode::BAD_REQUEST, code, said))
}

fn malformed(said: String) -> Refusal {
    bad("malformed_body", said)
}

fn number(request: &Request) -> Result<ExportId, Refusal> {
    let text = operator::parameter(request, "export")?.unwrap_or_default();
    let number = text.parse().map(ExportId);
    number.map_err(|_| bad("bad_query", format!("export \"{text}\" is no export's number")))
}

async fn answered<N, S: DeserializeOwned>(
    app: Arc<App>,
    request: Request,
    named: Result<N, Refusal>,
    read: impl FnOnce(N, S) -> Result<Asked, Refusal> + Send,
) -> Response {
    match answer(app, request, named, read).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn answer<N, S: DeserializeOwned>(
    app: Arc<App>,
    request: Request,
    named: Result<N, Refusal>,
    read: impl FnOnce(N, S) -> Result<Asked, Refusal> + Send,
) -> Result<Response, Refusal> {
    let named = named?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let sent: S = serde_json::from_slice(&body)
        .map_err(|why| malformed(format!("the body is nothing of an export: {why}")))?;
    let asked = read(named, sent)?;
    let task = Arc::clone(&app);
    let doing = app.work.spawn(async move {
        let done = perform(&task, asked).await;
        drop(share);
        done
    });
    let done = answer::outcome(doing, deadline).await?;
    match done.map_err(|why| operator::ledger_error(&app, why))? {
        Exported::Done(said) => Ok(with_json(StatusCode::OK, &said)),
        Exported::Refused(said) => Err(refuse(StatusCode::CONFLICT, "not_exported", said).into()),
    }
}

async fn perform(app: &App, asked: Asked) -> Result<Exported<Value>, LedgerError> {
    let (ledger, now) = (&app.rooms.exports, app.rooms.gate.clock().now());
    let said = match asked {
        Asked::Begin(export) => match ledger.begin_export(&export, now).await? {
            Exported::Done(id) => json!({ "export": id.0 }),
            Exported::Refused(why) => return Ok(Exported::Refused(why)),
        },
        Asked::Mark(export, events) => match ledger.mark_exported(export, &events, now).await? {
            Exported::Done(count) => json!({ "events": count }),
            Exported::Refused(why) => return Ok(Exported::Refused(why)),
        },
        Asked::Note(export, step) => match ledger.note_export(export, &step, now).await? {
            Exported::Done(()) => json!({}),
            Exported::Refused(why) => return Ok(Exported::Refused(why)),
        },
        Asked::Release(export, after) => match ledger.release_exported(export, after, now).await? {
            Exported::Done(Released { events, next }) => {
                app.rooms.holds.bells.iter().for_each(Bell::ring);
                let next =
                    next.map(|at| json!({ "destination": at.destination, "event": at.event }));
                json!({ "events": events, "next": next })
            }
            Exported::Refused(why) => return Ok(Exported::Refused(why)),
        },
    };
    Ok(Exported::Done(said))
}
