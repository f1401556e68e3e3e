//! `POST /webhooks/{provider}`. Here: from a provider's request to the archive of notices and back.
//! Never here: how one is proven and read (`provider::NoticeReader`), what follows from it. Read
//! next: [`super::trace`].
//!
//! Anybody may send here, as nobody needs a token: a request costs its bytes and one hash of them
//! for each secret, until it is proven. Only then is it parsed; and it is answered only once it is
//! on disk, as the provider forgets what was answered with a yes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use tokio::time::timeout_at;

use super::answer::{self, Refusal, refuse, with_json};
use super::app::App;
use super::usage;
use crate::domain::names::ProviderName;
use crate::domain::notice::{CameBy, Notice, WebhookOutcome};
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::intake::gate::{GateError, Reservation};
use crate::ledger::LedgerError;
use crate::ledger::notices::{Archived, Arrival, NoticesLedger};
use crate::provider::{NoticeReader, NoticeRefusal, Posted};
use crate::service::changing::Changing;

/// Longest body, in bytes: the largest events that are known have some tens of kibibytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest body that is hashed and parsed on the thread that answers requests, in bytes: well under
/// a millisecond. A longer one is read where it delays nobody.
const READ_INLINE_BYTES_MAX: usize = 32 * 1024;
/// Time between two lines in the log on refused webhooks, in microseconds: whoever forges them must
/// not be able to fill the log.
const TOLD_EVERY_MICROS: i64 = 10 * MICROS_PER_SECOND;

/// Who reads the webhooks of which provider instance.
pub type Readers = Vec<(ProviderName, Arc<dyn NoticeReader>)>;

/// Who reads webhooks, and where they are kept.
#[derive(Clone)]
pub struct Webhooks {
    /// Those who take webhooks.
    pub readers: Arc<Changing<Readers>>,
    /// The ledger.
    pub ledger: Arc<dyn NoticesLedger>,
}

/// What the log was told of refused webhooks.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Silence>);

#[derive(Debug, Default)]
struct Silence {
    told_at: Option<Timestamp>,
    untold: u64,
}

impl Refusals {
    /// How many were passed over since the log was told of one, if it is to be told of this one.
    fn tell(&self, now: Timestamp) -> Option<u64> {
        let mut silence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: Timestamp| (0..TOLD_EVERY_MICROS).contains(&now.micros_since(at));
        if silence.told_at.is_some_and(recent) {
            silence.untold += 1;
            return None;
        }
        silence.told_at = Some(now);
        Some(std::mem::take(&mut silence.untold))
    }
}

/// Where a request ends that is not kept.
type Ended = (WebhookOutcome, Refusal);

/// Takes a webhook.
pub(super) async fn receive(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let named = path.ok().map(|Path(name)| name);
    let readers = app.rooms.webhooks.readers.present();
    let found = readers.iter().find(|(name, _)| named.as_deref() == Some(name.as_str()));
    let Some((provider, reader)) = found.cloned() else {
        let said = "no webhooks are taken here: no such provider is configured, or it has no \
            webhook secrets";
        // The path is anybody's text, and not for the log.
        tell(&app, &"none", WebhookOutcome::NotTaken, &"no provider takes webhooks at its path");
        app.rooms.metrics.webhook(None, WebhookOutcome::NotTaken);
        return refuse(StatusCode::NOT_FOUND, "unknown_webhook", said);
    };
    let (outcome, response) = match take(&app, &provider, reader, request).await {
        Ok((outcome, response)) => (outcome, response),
        Err((outcome, refusal)) => (outcome, *refusal),
    };
    app.rooms.metrics.webhook(Some(&provider), outcome);
    response
}

async fn take(
    app: &Arc<App>,
    provider: &ProviderName,
    reader: Arc<dyn NoticeReader>,
    request: Request,
) -> Result<(WebhookOutcome, Response), Ended> {
    let headers = request.headers().clone();
    let received = usage::receive_at_most(app, request, BODY_BYTES_MAX).await;
    let (body, share, _, deadline) = received.map_err(|refusal| {
        tell(app, provider, WebhookOutcome::NotRead, &refusal.status());
        (WebhookOutcome::NotRead, refusal)
    })?;
    let task = Arc::clone(app);
    let name = provider.clone();
    // In a task of the server's own: a client that goes away must not take back what is committed.
    let keeping =
        app.work.spawn(async move { keep(&task, name, reader, headers, body, share).await });
    match timeout_at(deadline.0, keeping).await {
        Err(_) => Err((WebhookOutcome::NotKept, answer::too_slow().into())),
        Ok(Err(why)) => {
            tracing::error!(error = %why, "a webhook's task failed");
            Err((WebhookOutcome::NotKept, answer::broken().into()))
        }
        Ok(Ok(kept)) => kept,
    }
}

/// Proves, reads and archives a webhook.
async fn keep(
    app: &App,
    provider: ProviderName,
    reader: Arc<dyn NoticeReader>,
    headers: HeaderMap,
    body: Bytes,
    share: Reservation,
) -> Result<(WebhookOutcome, Response), Ended> {
    let now = app.rooms.gate.clock().now();
    let long = body.len() > READ_INLINE_BYTES_MAX;
    let reading = move || read(reader.as_ref(), &headers, &body, now);
    let read = if long {
        match tokio::task::spawn_blocking(reading).await {
            Ok(read) => read,
            Err(why) => std::panic::resume_unwind(why.into_panic()),
        }
    } else {
        reading()
    };
    let notice = read.map_err(|why| {
        let (outcome, response) = refused(&why);
        tell(app, &provider, outcome, &format_args!("{}: {why}", why.code()));
        (outcome, response.into())
    })?;
    let arrival = Arrival { provider: provider.clone(), notice, came_by: CameBy::Webhook };
    let archived = archive(app, arrival, now).await;
    // Until here the body, or what was made of it, took memory.
    drop(share);
    let outcome = archived.map_err(|why| {
        match &why {
            // Told to the supervisor with its cause, which logs it.
            GateError::Fatal => {}
            GateError::Overloaded
            | GateError::LowDisk { .. }
            | GateError::LedgerFull(_)
            | GateError::LedgerBusy(_)
            | GateError::Refused(_) => {
                tell(app, &provider, WebhookOutcome::NotKept, &usage::with_cause(&why));
            }
        }
        (WebhookOutcome::NotKept, Refusal::new(answer::gate_error(&why)))
    })?;
    Ok((outcome, with_json(StatusCode::OK, &json!({}))))
}

fn read(
    reader: &dyn NoticeReader,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Notice, NoticeRefusal> {
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    reader.read(Posted { headers: &headers, body }, now)
}

async fn archive(app: &App, arrival: Arrival, now: Timestamp) -> Result<WebhookOutcome, GateError> {
    let gate = &app.rooms.gate;
    gate.check_room()?;
    let archived = app.rooms.webhooks.ledger.archive_notices(&[arrival], now).await;
    let archived = archived.map_err(|why| gate.refuse(why))?;
    match archived.as_slice() {
        [Archived::New(_)] => Ok(WebhookOutcome::Archived),
        [Archived::Duplicate(_)] => Ok(WebhookOutcome::Duplicate),
        [] | [_, _, ..] => {
            let why = format!("one notice was archived, and {} answers came", archived.len());
            Err(gate.refuse(LedgerError::Contradiction(why)))
        }
    }
}

fn refused(why: &NoticeRefusal) -> (WebhookOutcome, Response) {
    let outcome = match why {
        NoticeRefusal::Unproven { .. } => WebhookOutcome::Unproven,
        NoticeRefusal::Unreadable { .. } => WebhookOutcome::Unreadable,
    };
    (outcome, refuse(StatusCode::BAD_REQUEST, why.code(), why.to_string()))
}

/// Tells the log of a refusal, unless it was told of one just before.
fn tell(app: &App, provider: &dyn fmt::Display, outcome: WebhookOutcome, why: &dyn fmt::Display) {
    if let Some(untold) = app.refusals.tell(app.rooms.gate.clock().now()) {
        tracing::warn!(%provider, %outcome, %why, untold, "a webhook was refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_of_one_refusal_in_ten_seconds_and_of_how_many_there_were() {
        let refusals = Refusals::default();
        let at = |seconds: i64| Timestamp::from_seconds(1_790_000_000 + seconds);
        let told: Vec<Option<u64>> =
            [0, 0, 9, 10, 25, 26].into_iter().map(|second| refusals.tell(at(second))).collect();
        assert_eq!(told, [Some(0), None, None, Some(2), Some(0), None]);
        // A clock that was set back does not silence the log.
        assert_eq!(refusals.tell(at(-100)), Some(1));
    }
}
