//! Remaps, over the operator's socket. Here: the wish of a person who saw what a remap changes, and
//! the wish to have one stopped.
//! Never here: the preview, which is made beside the daemon. Read next: [`super::operator`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{self, Refusal, refuse, with_json};
use super::app::App;
use super::holds::sentence;
use super::{operator, usage};
use crate::domain::names::{CustomerName, MeterName, NameError, SourceName};
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::accrual::MappingVersion;
use crate::ledger::corrections::RecordFilter;
use crate::ledger::remap::{RemapBegun, RemapEnd, RemapId, RemapStop, RemapWish, StopWish};

/// A wish, as it is sent.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    source: Option<String>,
    customer: Option<String>,
    meter: Option<String>,
    from_micros: Option<i64>,
    until_micros: Option<i64>,
    to: i64,
    why: String,
    who: String,
}

impl Sent {
    /// A wish, to be sent.
    #[must_use]
    pub fn of(wish: &RemapWish) -> Self {
        let RecordFilter { source, customer, meter, from, until } = &wish.filter;
        Self {
            source: source.as_ref().map(ToString::to_string),
            customer: customer.as_ref().map(ToString::to_string),
            meter: meter.as_ref().map(ToString::to_string),
            from_micros: from.map(Timestamp::micros),
            until_micros: until.map(Timestamp::micros),
            to: wish.to.0,
            why: wish.why.clone(),
            who: wish.who.clone(),
        }
    }

    fn wish(self, mapping: MappingVersion) -> Result<RemapWish, String> {
        fn name<T>(
            field: &str,
            text: Option<String>,
            new: fn(&str) -> Result<T, NameError>,
        ) -> Result<Option<T>, String> {
            let read = |text: String| new(&text).map_err(|why| format!("{field} \"{text}\" {why}"));
            text.map(read).transpose()
        }
        if self.to < 0 {
            return Err(format!("to \"{}\" is no place of the journal", self.to));
        }
        Ok(RemapWish {
            filter: RecordFilter {
                source: name("source", self.source, SourceName::new)?,
                customer: name("customer", self.customer, CustomerName::new)?,
                meter: name("meter", self.meter, MeterName::new)?,
                from: self.from_micros.map(Timestamp::from_micros),
                until: self.until_micros.map(Timestamp::from_micros),
            },
            mapping,
            to: Position(self.to),
            why: sentence("why", &self.why)?,
            who: sentence("who", &self.who)?,
        })
    }
}

/// `POST /v1/remaps?mapping=NUMBER`: has history remapped, if the routes and accounts are still
/// those of the preview. What is not done for that is answered 409.
pub(super) async fn begin(State(app): State<Arc<App>>, request: Request) -> Response {
    match begin_remap(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn begin_remap(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let bad = |code, said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, code, said));
    let mapping = operator::parameter(&request, "mapping")?.unwrap_or_default();
    let mapping = mapping.parse().map(MappingVersion);
    let mapping = mapping.map_err(|_| bad("bad_query", "mapping is no number".to_owned()))?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let malformed = |said: String| bad("malformed_body", format!("the body is no remap: {said}"));
    let sent: Sent = serde_json::from_slice(&body).map_err(|why| malformed(why.to_string()))?;
    let wish = sent.wish(mapping).map_err(malformed)?;
    let task = Arc::clone(&app);
    let beginning = app.work.spawn(async move {
        let now = task.rooms.gate.clock().now();
        let begun = task.rooms.remaps.begin_remap(&wish, now).await;
        drop(share);
        begun
    });
    let begun = answer::outcome(beginning, deadline).await?;
    let begun = begun.map_err(|why| operator::ledger_error(&app, why))?;
    app.rooms.accrual.ring();
    match begun_json(begun) {
        Ok(document) => Ok(with_json(StatusCode::OK, &document)),
        Err(why) => Err(refuse(StatusCode::CONFLICT, "not_remapped", why).into()),
    }
}

/// Why a remap is stopped, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentStop {
    why: String,
    who: String,
}

/// `POST /v1/remaps/stop?remap=NUMBER`: stops a remap where it is. One that had ended, or that
/// never was, is answered 409.
pub(super) async fn stop(State(app): State<Arc<App>>, request: Request) -> Response {
    match stop_remap(app, request).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn stop_remap(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let bad = |code, said: String| Refusal::new(refuse(StatusCode::BAD_REQUEST, code, said));
    let remap = operator::parameter(&request, "remap")?.unwrap_or_default();
    let remap = remap.parse().map(RemapId);
    let remap = remap.map_err(|_| bad("bad_query", "remap is no number".to_owned()))?;
    let (body, share, _, deadline) = usage::receive(&app, request).await?;
    let malformed = |said: String| bad("malformed_body", format!("the body is no word: {said}"));
    let sent: SentStop = serde_json::from_slice(&body).map_err(|why| malformed(why.to_string()))?;
    let why = sentence("why", &sent.why).map_err(malformed)?;
    let who = sentence("who", &sent.who).map_err(malformed)?;
    let task = Arc::clone(&app);
    let stopping = app.work.spawn(async move {
        let now = task.rooms.gate.clock().now();
        let stopped = task.rooms.remaps.stop_remap(remap, &StopWish { why, who }, now).await;
        drop(share);
        stopped
    });
    let stopped = answer::outcome(stopping, deadline).await?;
    let stopped = stopped.map_err(|why| operator::ledger_error(&app, why))?;
    match stopped_json(remap, &stopped) {
        Ok(document) => Ok(with_json(StatusCode::OK, &document)),
        Err(why) => Err(refuse(StatusCode::CONFLICT, "not_stopped", why).into()),
    }
}

/// What was done of a remap that is stopped.
///
/// # Errors
/// With the reason why it is not.
pub fn stopped_json(remap: RemapId, stopped: &RemapStop) -> Result<Value, String> {
    match stopped {
        RemapStop::Stopped(status) => Ok(json!({
            "remap": remap.0,
            "at": status.at.0,
            "to": status.to.0,
            "changed": status.changed,
            "left": status.left_alone,
        })),
        RemapStop::Over(status) => {
            let ended = status.ended.map_or("over", RemapEnd::as_str);
            Err(format!("remap {remap} is {ended} already: nothing of it is left to be stopped"))
        }
        RemapStop::Unknown => Err(format!("there is no remap {remap} (tallyd remap --list)")),
    }
}

/// What became of a wish.
///
/// # Errors
/// With the reason why nothing will.
pub fn begun_json(begun: RemapBegun) -> Result<Value, &'static str> {
    match begun {
        RemapBegun::Begun(id) => Ok(json!({ "remap": id.0 })),
        RemapBegun::Outdated => {
            Err("the routes or accounts changed since the preview: look at it again")
        }
        RemapBegun::Restored => Err(
            "the ledger was restored from a backup, and what it told since is not known: first say \
             that its inputs were read again (tallyd ledger caught-up)",
        ),
    }
}
