//! `GET /v1/customers/{id}/usage` and `…/usage/{lever}`. Here: figures of usage as JSON, which
//! `tallyd usage --json` prints as well. Never here: what they come to (see `usage`). Read next:
//! [`super::trace`].

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse, refuse_for, with_json};
use super::app::{App, Deadline};
use super::usage;
use crate::domain::names::CustomerName;
use crate::domain::quantity::Quantity;
use crate::intake::admit::quoted;
use crate::ledger::LedgerError;
use crate::usage::desk::{Figures, Unknown};
use crate::usage::lever::{Lever, Period};

/// How long to wait, in seconds, before a figure is asked for again that is not known yet.
const RETRY_SECONDS: u32 = 1;

/// A customer in a path.
type OfCustomer = Result<Path<String>, PathRejection>;
/// A customer and a lever in a path.
type OfLever = Result<Path<(String, String)>, PathRejection>;

/// All levers of a customer, for whoever shows a token.
pub(super) async fn all_for_caller(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: OfCustomer,
    request: Request,
) -> Response {
    match usage::caller(&app, request.headers()) {
        Ok(_) => all(&app, path, deadline).await.unwrap_or_else(|refusal| *refusal),
        Err(refusal) => *refusal,
    }
}

/// All levers of a customer, at the operator's socket.
pub(super) async fn all_for_operator(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: OfCustomer,
) -> Response {
    all(&app, path, deadline).await.unwrap_or_else(|refusal| *refusal)
}

/// One lever of a customer, for whoever shows a token.
pub(super) async fn one_for_caller(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: OfLever,
    request: Request,
) -> Response {
    match usage::caller(&app, request.headers()) {
        Ok(_) => one(&app, path, deadline).await.unwrap_or_else(|refusal| *refusal),
        Err(refusal) => *refusal,
    }
}

/// One lever of a customer, at the operator's socket.
pub(super) async fn one_for_operator(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: OfLever,
) -> Response {
    one(&app, path, deadline).await.unwrap_or_else(|refusal| *refusal)
}

fn bad_path(said: String) -> Refusal {
    Refusal::new(refuse(StatusCode::BAD_REQUEST, "bad_path", said))
}

fn named<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Refusal> {
    let said = |why: PathRejection| format!("the path names no customer: {}", why.body_text());
    path.map(|Path(named)| named).map_err(|why| bad_path(said(why)))
}

fn customer(text: &str) -> Result<CustomerName, Refusal> {
    let said = |why| format!("the customer {} {why}", quoted(text));
    CustomerName::new(text).map_err(|why| bad_path(said(why)))
}

async fn all(app: &App, path: OfCustomer, deadline: Deadline) -> Result<Response, Refusal> {
    let customer = customer(&named(path)?)?;
    let mut told = Vec::new();
    for lever in app.rooms.usage.levers() {
        told.push((lever, asked(app, &customer, lever, deadline).await?));
    }
    let told = told.iter().map(|(lever, figures)| (*lever, figures));
    Ok(with_json(StatusCode::OK, &customer_json(&customer, told)))
}

async fn one(app: &App, path: OfLever, deadline: Deadline) -> Result<Response, Refusal> {
    let (of, name) = named(path)?;
    let customer = customer(&of)?;
    let Some(lever) = app.rooms.usage.lever(&name) else {
        let said = format!("there is no lever {}", quoted(&name));
        return Err(refuse(StatusCode::NOT_FOUND, "no_lever", said).into());
    };
    match asked(app, &customer, lever, deadline).await? {
        Ok(figures) => {
            let mut told = json!({ "customer": customer.as_str(), "lever": lever.name.as_str() });
            if let (Value::Object(all), Value::Object(figures)) =
                (&mut told, figures_json(lever, &figures))
            {
                all.extend(figures);
            }
            Ok(with_json(StatusCode::OK, &told))
        }
        Err(why) => Err(refused(&why).into()),
    }
}

/// What a lever says, before the request has to be answered.
pub(super) async fn asked(
    app: &App,
    customer: &CustomerName,
    lever: &Lever,
    deadline: Deadline,
) -> Result<Result<Figures, Unknown>, Refusal> {
    let now = app.rooms.gate.clock().now();
    match timeout_at(deadline.0, app.rooms.usage.ask(customer, lever, now)).await {
        Err(_) => Err(answer::too_slow().into()),
        Ok(Err(why)) => Err(unreadable(app, why).into()),
        Ok(Ok(told)) => Ok(told),
    }
}

fn unreadable(app: &App, why: LedgerError) -> Response {
    let refusal = app.rooms.gate.refuse(why);
    usage::log_refusal(&refusal);
    answer::gate_error(&refusal)
}

pub(super) fn refused(why: &Unknown) -> Response {
    if why.passes() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        refuse_for(status, why.code(), why.to_string(), RETRY_SECONDS)
    } else {
        refuse(StatusCode::CONFLICT, why.code(), why.to_string())
    }
}

/// What levers say of a customer, or why they have no figures.
#[must_use]
pub fn customer_json<'a>(
    customer: &CustomerName,
    told: impl Iterator<Item = (&'a Lever, &'a Result<Figures, Unknown>)>,
) -> Value {
    let said = |(lever, figures): (&Lever, &Result<Figures, Unknown>)| {
        let said = match figures {
            Ok(figures) => figures_json(lever, figures),
            Err(why) => json!({ "error": { "code": why.code(), "message": why.to_string() } }),
        };
        (lever.name.to_string(), said)
    };
    let levers: Map<String, Value> = told.map(said).collect();
    json!({ "customer": customer.as_str(), "levers": levers })
}

/// The word for a lever's period.
#[must_use]
pub const fn period_word(period: Period) -> &'static str {
    match period {
        Period::AllTime => "all_time",
        Period::Subscription => "subscription",
        Period::Rolling(_) => "rolling",
    }
}

/// What a lever says of a customer. Quantities are exact decimals, and so texts.
fn figures_json(lever: &Lever, figures: &Figures) -> Value {
    let by_subscription: Map<String, Value> = figures
        .usage
        .by_subscription
        .iter()
        .map(|(name, buckets)| (name.clone(), buckets_json(buckets)))
        .collect();
    json!({
        "metering_id": lever.meter.as_str(),
        "formula": lever.formula.as_str(),
        "period": period_word(lever.period),
        "from": figures.window.map(|window| window.start.to_rfc3339()),
        "until": figures.window.map(|window| window.end.to_rfc3339()),
        "total": figures.usage.total.to_string(),
        "by_bucket": buckets_json(&figures.usage.by_bucket),
        "by_subscription": by_subscription,
    })
}

fn buckets_json(buckets: &BTreeMap<Option<String>, Quantity>) -> Value {
    let bucket = |(name, quantity): (&Option<String>, &Quantity)| {
        let usage = quantity.to_string();
        json!({ "bucket": name, "usage": usage })
    };
    buckets.iter().map(bucket).collect()
}
