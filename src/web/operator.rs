//! The operator's socket. Here: the import of accounts, and what the ledger stands at. Never here:
//! a token; the file system says who may connect. Read next: [`super::holds`].

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse, with_json};
use super::app::{App, Deadline};
use super::standing::status_json;
use super::usage;
use crate::domain::names::{AccountName, CustomerName, ProviderName};
use crate::ledger::LedgerError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountRow {
    customer: String,
    account: String,
}

/// The only parameter of a request's query, which must be called `name`.
pub(super) fn parameter(request: &Request, name: &str) -> Result<Option<String>, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let mut value = None;
    for (key, text) in form_urlencoded::parse(query.as_bytes()) {
        if key != name || value.is_some() {
            let said = format!("the only parameter taken here is one {name}");
            return Err(refuse(StatusCode::BAD_REQUEST, "bad_query", said).into());
        }
        value = Some(text.into_owned());
    }
    Ok(value)
}

/// `POST /v1/customers?provider=NAME`: adds or changes accounts, all of them or none.
pub(super) async fn customers(State(app): State<Arc<App>>, request: Request) -> Response {
    match import(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn import(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let provider = provider(&app, &request)?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let accounts = accounts(&body)?;
    let task = Arc::clone(&app);
    let importing = app.work.spawn(async move {
        let rooms = &task.rooms;
        let now = rooms.gate.clock().now();
        let changed = rooms.ledger.import_accounts(&provider, &accounts, now).await;
        drop(share);
        changed
    });
    let changed = answer::outcome(importing, deadline).await?;
    let changed = changed.map_err(|why| ledger_error(&app, why))?;
    app.rooms.accrual.ring();
    Ok(with_json(StatusCode::OK, &json!({ "changed": changed })))
}

pub(super) fn provider(app: &App, request: &Request) -> Result<ProviderName, Refusal> {
    let bad = |said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, "bad_query", said));
    let name = parameter(request, "provider")?;
    let Some(name) = name else { return Err(bad("provider is missing".to_owned())) };
    let known = &app.rooms.providers;
    let found = known.iter().find(|each| each.as_str() == name);
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(ProviderName::as_str).collect();
        bad(format!("provider \"{name}\" is not configured; there is {}", known.join(", ")))
    })
}

fn accounts(body: &[u8]) -> Result<Vec<(CustomerName, AccountName)>, Refusal> {
    let malformed =
        |said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, "malformed_body", said));
    let rows: Vec<AccountRow> = serde_json::from_slice(body)
        .map_err(|why| malformed(format!("the body is no array of accounts: {why}")))?;
    let mut accounts = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let customer = CustomerName::new(&row.customer);
        let customer = customer.map_err(|why| malformed(format!("[{index}].customer {why}")))?;
        let account = AccountName::new(&row.account);
        let account = account.map_err(|why| malformed(format!("[{index}].account {why}")))?;
        accounts.push((customer, account));
    }
    Ok(accounts)
}

/// `GET /v1/status`.
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
) -> Response {
    match timeout_at(deadline.0, app.rooms.ledger.status()).await {
        Err(_) => answer::too_slow(),
        Ok(Err(why)) => ledger_error(&app, why),
        Ok(Ok(status)) => with_json(StatusCode::OK, &status_json(&status)),
    }
}

pub(super) fn ledger_error(app: &App, why: LedgerError) -> Response {
    let refusal = app.rooms.gate.refuse(why);
    tracing::warn!(error = %refusal, "an operator's request was refused");
    answer::gate_error(&refusal)
}
