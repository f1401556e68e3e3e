//! What the meter event stream answers. PURE. Here: the answers to a session's opening, and to a
//! request that told events. Never here: the statuses that every endpoint shares ([`super`]). Read
//! next: [`crate::provider::stripe::client`].
//!
//! A yes is `{}`, and says that the events were taken to be looked at: which of them are refused is
//! reported later, and not for each. That one of them was taken before is never said: it is then
//! presumed to be dropped, as its identifier is recognised. A no is said of the request as a whole.
//! Whether nothing of it was taken is not documented, nor which event is at fault; so of several
//! none is believed to be refused. Each goes again, by itself and under its identifier, and what is
//! answered then is about it alone.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{
    Answer, Outcome, Received, StripeError, cut, done, is_about_duplicates, no_refusal, not_done,
    reason, unreadable,
};
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp};
use crate::provider::session::{Opened, is_token, not_opened};

/// How long a session lives where its answer makes no sense of it, in microseconds: 15 minutes
/// (Stripe's OpenAPI document, `POST /v2/billing/meter_event_session`). A longer life is not
/// believed.
const SESSION_MICROS_MAX: i64 = 15 * MICROS_PER_MINUTE;
/// How long before its end a session is not used any more, in microseconds: a minute. An attempt
/// that begins with it has to arrive before that end, and takes twenty seconds at most by default.
pub const RENEWAL_MARGIN_MICROS: i64 = MICROS_PER_MINUTE;

#[derive(Deserialize)]
struct Session {
    object: String,
    authentication_token: String,
    created: String,
    expires_at: String,
    livemode: bool,
}

/// What the answer to `POST /v2/billing/meter_event_session` comes to.
///
/// # Errors
/// An answer for whatever waits for the session: it was not sent.
pub fn session(received: &Received, livemode: bool) -> Result<Opened, Box<Answer>> {
    let not_opened = |answer| not_opened("no session of the stream was opened", answer);
    if received.status != 200 {
        return Err(not_opened(super::reading(received)));
    }
    let session = match &received.broken {
        Some(_) => None,
        None => serde_json::from_slice::<Session>(&received.body).ok(),
    };
    let is_sound = |session: &Session| {
        session.object == "v2.billing.meter_event_session"
            && is_token(&session.authentication_token)
    };
    let Some(session) = session.filter(is_sound) else {
        return Err(not_opened(unreadable(received, "the body is no session")));
    };
    if session.livemode != livemode {
        // The stream's own answers name no mode, so this one has to.
        let answer = unreadable(received, "the session is of the other mode");
        return Err(not_opened(Answer { outcome: Outcome::Unauthorized, ..answer }));
    }
    let at = |text: &str| Timestamp::parse_rfc3339(text);
    let lives_micros = match (at(&session.created), at(&session.expires_at)) {
        (Some(created), Some(expires_at)) => expires_at.micros_since(created),
        (None, _) | (_, None) => SESSION_MICROS_MAX,
    };
    let used_for_micros = (lives_micros.min(SESSION_MICROS_MAX) - RENEWAL_MARGIN_MICROS).max(0);
    Ok(Opened { token: session.authentication_token.into(), used_for_micros })
}

/// Whether the session of a request had ended: then nothing of the request was looked at.
#[must_use]
pub fn is_expired(received: &Received) -> bool {
    received.status == 401
        && StripeError::read(received).is_some_and(|error| {
            error.is_code("billing_meter_event_session_expired")
                || error.is_kind("temporary_session_expired")
        })
}

/// What the answer to one `POST /v2/billing/meter_event_stream` comes to, for each of the `events`
/// that it told.
#[must_use]
pub fn told(received: &Received, events: usize) -> Answer {
    if received.status != 200 {
        let answer = not_done(received, |error| refusal(received, error));
        return if events > 1 { not_decided(answer) } else { answer };
    }
    match &received.broken {
        Some(why) => unreadable(received, why),
        None if !is_yes(&received.body) => unreadable(received, "the body is none of the stream's"),
        // The mode was told with the session.
        None => done(received, true),
    }
}

/// Whether this is the whole of a yes: an object with nothing in it.
fn is_yes(body: &[u8]) -> bool {
    serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body).is_ok_and(|said| said.is_empty())
}

/// A 4xx that looked at the request. That an event is there already is no answer of the stream's;
/// where it gives it all the same, it is not said of which.
fn refusal(received: &Received, error: &StripeError) -> Outcome {
    let message = error.message.as_deref();
    if error.is_code("duplicate_meter_event") || message.is_some_and(is_about_duplicates) {
        return Outcome::Unknown;
    }
    no_refusal(received, error).unwrap_or_else(|| Outcome::Refused(reason(error)))
}

/// A refusal of a whole request is none of its events.
fn not_decided(answer: Answer) -> Answer {
    if !answer.outcome.is_refusal() {
        return answer;
    }
    let said = answer.message.unwrap_or_default();
    let message = Some(cut(format!("{said} (that was said of many events at once)")));
    Answer { outcome: Outcome::Unknown, message, ..answer }
}

#[cfg(test)]
mod tests;
