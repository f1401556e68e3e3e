//! What an import could not read, handed to the daemon that holds the ledger. Here: items that came
//! as records and are none, kept for a person. Never here: judging them. Read next:
//! [`super::usage`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse};
use super::app::App;
use super::{operator, usage};
use crate::domain::names::SourceName;
use crate::intake::admit::{Fault, Sources};
use crate::intake::batch::{Batch, Place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: Option<String>,
    line: u64,
    field: String,
    reason: String,
    raw: String,
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
        batch.reject(Place::Line(item.line), fault, item.id.as_deref(), &item.raw, &sources);
    }
    let gate = Arc::clone(&app.rooms.gate);
    let keeping = app.work.spawn(async move {
        let kept = gate.admit(batch).await;
        drop(share);
        kept
    });
    match timeout_at(deadline.0, keeping).await {
        Err(_) => Err(answer::too_slow().into()),
        Ok(Err(why)) => {
            tracing::error!(error = %why, "a request's task failed");
            Err(answer::broken().into())
        }
        Ok(Ok(Err(why))) => Err(answer::gate_error(&why).into()),
        Ok(Ok(Ok(verdicts))) => {
            usage::count(&app, &verdicts);
            Ok(answer::verdicts(&verdicts))
        }
    }
}
