//! `/healthz`, `/readyz`, `/metrics`. Here: what probes and scrapers ask. Never here: a number that
//! is not counted anyway. Read next: [`crate::telemetry::metrics`].

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;
use tokio::time::timeout_at;

use super::answer::{refuse, with_json};
use super::app::{App, Deadline, Readiness};
use crate::telemetry::metrics::CONTENT_TYPE as METRICS;

/// The process lives.
pub(super) async fn live() -> Response {
    with_json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// Usage would be taken now.
pub(super) async fn ready(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
) -> Response {
    match why_not_ready(&app, deadline).await {
        None => {
            // Usage is taken all the same: what is held waits for a person, not for a restart.
            let notice = app.rooms.holds.notice.borrow().clone();
            let body = match notice {
                None => json!({ "status": "ready" }),
                Some(notice) => json!({ "status": "ready", "notice": notice }),
            };
            with_json(StatusCode::OK, &body)
        }
        Some(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, "not_ready", why),
    }
}

async fn why_not_ready(app: &App, deadline: Deadline) -> Option<String> {
    if app.stop.is_cancelled() {
        return Some("the daemon is shutting down".to_owned());
    }
    let readiness = app.rooms.readiness.borrow().clone();
    match readiness {
        Readiness::Ready => {}
        Readiness::NotReady(why) => return Some(why),
    }
    if let Err(why) = app.rooms.gate.check_room() {
        return Some(why.to_string());
    }
    // The cheapest question there is: events are numbered from one, so one row is looked for by its
    // key and not found. Anyone may ask here, so the ledger must not be made to count.
    match timeout_at(deadline.0, app.rooms.ledger.event(0)).await {
        Ok(Ok(_)) => None,
        // A probe may be the first to meet a ledger that failed: then the process must stop.
        Ok(Err(why)) => Some(app.rooms.gate.refuse(why).to_string()),
        Err(_) => Some("the ledger does not answer".to_owned()),
    }
}

/// Everything that is counted.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = Response::new(Body::from(app.rooms.metrics.encode()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS));
    response
}
