//! Verdicts over what is held, from the operator's socket. Here: one verdict a request, and the one
//! JSON form of what it changed. Never here: what a verdict makes of anything. Read next:
//! [`super::standing`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse, with_json};
use super::app::App;
use super::{operator, usage};
use crate::domain::correction::REASON_BYTES_MAX;
use crate::domain::resolution::{ItemName, Token, Verdict};
use crate::ledger::holds::{CaughtUp, Changed, Decision, HoldsLedger, Resolution, Resolved};
use crate::service::Bell;

/// What the listeners need of what is held.
#[derive(Clone)]
pub struct Holds {
    /// The ledger, for verdicts.
    pub ledger: Arc<dyn HoldsLedger>,
    /// Rung after a verdict: posting, delivery and accrual may go on.
    pub bells: Vec<Bell>,
    /// What about the holds needs a person's look, if anything does.
    pub notice: watch::Receiver<Option<String>>,
}

/// A verdict, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    verdict: String,
    expect: String,
    why: String,
    who: String,
    dry_run: bool,
}

/// `POST /v1/held?item=NAME`: decides one item. What cannot be decided so is answered 409.
pub(super) async fn resolve(State(app): State<Arc<App>>, request: Request) -> Response {
    match decide(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn decide(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let bad = |code, said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, code, said));
    let item = operator::parameter(&request, "item")?.unwrap_or_default();
    let item = ItemName::parse(&item)
        .ok_or_else(|| bad("bad_query", format!("item \"{item}\" names nothing that is held")))?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let sent: Sent = serde_json::from_slice(&body)
        .map_err(|why| bad("malformed_body", format!("the body is no verdict: {why}")))?;
    let verdict = Verdict::from_typed(&sent.verdict)
        .ok_or_else(|| bad("malformed_body", format!("verdict \"{}\" is none", sent.verdict)))?;
    let resolution = Resolution {
        item,
        verdict,
        expect: Token::typed(&sent.expect),
        why: sentence("why", &sent.why).map_err(|said| bad("malformed_body", said))?,
        who: sentence("who", &sent.who).map_err(|said| bad("malformed_body", said))?,
        dry_run: sent.dry_run,
    };
    let task = Arc::clone(&app);
    let deciding = app.work.spawn(async move {
        let rooms = &task.rooms;
        let now = rooms.gate.clock().now();
        let decision = rooms.holds.ledger.resolve(&resolution, now).await;
        drop(share);
        decision
    });
    let decision = answer::outcome(deciding, deadline).await?;
    match decision.map_err(|why| operator::ledger_error(&app, why))? {
        Decision::Done(resolved) => {
            app.rooms.holds.bells.iter().for_each(Bell::ring);
            Ok(with_json(StatusCode::OK, &resolved_json(&resolved)))
        }
        Decision::Refused(said) => Err(refuse(StatusCode::CONFLICT, "not_decided", said).into()),
    }
}

/// A word that the ledger has caught up, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentCaughtUp {
    why: String,
    who: String,
}

/// `POST /v1/caught-up`: notes that the sources sent again what a restored ledger lacked. Where
/// there is nothing to note, the answer is 409.
pub(super) async fn caught_up(State(app): State<Arc<App>>, request: Request) -> Response {
    match note(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn note(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let bad = |said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, "malformed_body", said));
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let sent: SentCaughtUp =
        serde_json::from_slice(&body).map_err(|why| bad(format!("the body is no word: {why}")))?;
    let (why, who) = (sentence("why", &sent.why), sentence("who", &sent.who));
    let by = format!("{}: {}", who.map_err(bad)?, why.map_err(bad)?);
    let now = app.rooms.gate.clock().now();
    let noted = timeout_at(deadline.0, app.rooms.holds.ledger.caught_up(&by, now)).await;
    drop(share);
    match noted {
        Err(_) => Err(answer::too_slow().into()),
        Ok(noted) => match noted.map_err(|why| operator::ledger_error(&app, why))? {
            CaughtUp::Noted => Ok(with_json(StatusCode::OK, &json!({}))),
            CaughtUp::Refused(said) => Err(refuse(StatusCode::CONFLICT, "not_noted", said).into()),
        },
    }
}

/// A reason or a person's name as it is kept, for whoever reads the books years later.
///
/// # Errors
/// When there is none, or it is a document, or no line of text.
pub fn sentence(field: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{field} is empty, and is kept with the decision"));
    }
    if text.len() > REASON_BYTES_MAX {
        let bytes = text.len();
        return Err(format!("{field} has {bytes} bytes, and may have {REASON_BYTES_MAX}"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{field} is more than one line of text: {text:?}"));
    }
    Ok(text.to_owned())
}

/// What a verdict changed, or would change, as JSON.
#[must_use]
pub fn resolved_json(resolved: &Resolved) -> Value {
    let changed = |sum: &Changed| json!({ "from": sum.from.to_string(), "to": sum.to.to_string() });
    let moves: Vec<Value> = resolved
        .moves
        .iter()
        .map(|moved| json!({ "event": moved.event, "from": moved.from, "to": moved.to }))
        .collect();
    let balance = resolved.balance.as_ref().map(|change| {
        json!({
            "balance": change.balance,
            "accrued": changed(&change.accrued),
            "told": changed(&change.told),
            "outstanding": changed(&change.outstanding),
        })
    });
    json!({
        "resolution": resolved.id,
        "moves": moves,
        "balance": balance,
        "records_written_off": resolved.records,
        "next": resolved.next,
    })
}
