//! What an answer of Stripe's means. PURE. Here: status, headers and body become an [`Answer`].
//! Never here: what follows from it (`delivery::settle`). Read next: [`super::client`].
//!
//! Only what Stripe itself said is believed. A refusal, a "busy" or a "not accepted" counts when
//! its body has the shape of a Stripe error: a proxy's own page may stand in front of a request
//! that Stripe processed, so it proves nothing and comes to [`Outcome::Unknown`]. Stripe's version
//! 1 gives most refusals no code, only a sentence; where the sentence is matched, a miss costs
//! precision of the reason, never safety, with one exception: the duplicate, which is matched in
//! full. Version 2 gives each a code.

use serde::Deserialize;

use crate::domain::answer::{Answer, Outcome, cut};
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::provider::wire;

pub mod adjustment;
pub mod stream;

/// Longest header value that is kept, in bytes: a request id has about 20, a limiter's reason
/// fewer.
const HEADER_BYTES_MAX: usize = 100;

/// An answer as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The HTTP status.
    pub status: u16,
    /// `Request-Id`.
    pub request_id: Option<String>,
    /// `Stripe-Should-Retry`.
    pub should_retry: Option<String>,
    /// `Stripe-Rate-Limited-Reason`.
    pub rate_limited_reason: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `Date`.
    pub date: Option<String>,
    /// The body; as much of it as came when it broke off.
    pub body: Vec<u8>,
    /// Why the body is not whole, when it is not.
    pub broken: Option<String>,
}

/// What the answer has to echo.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The event's identifier.
    pub identifier: &'a str,
    /// Whether the key is a live one.
    pub livemode: bool,
}

/// What a meter event calls itself, by the version that answers.
const METER_EVENTS: [&str; 2] = ["billing.meter_event", "v2.billing.meter_event"];

/// A meter event, as far as the answer is checked.
#[derive(Deserialize)]
struct MeterEvent {
    object: String,
    identifier: String,
    livemode: bool,
}

/// An account, as far as it is read: async-stripe's billing crate has no accounts.
#[derive(Deserialize)]
struct Account {
    id: String,
    object: String,
}

/// The envelope of every Stripe error, of either API version.
#[derive(Deserialize)]
struct ErrorBody {
    error: StripeError,
}

#[derive(Deserialize)]
struct StripeError {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

impl StripeError {
    fn read(received: &Received) -> Option<Self> {
        if received.broken.is_some() {
            return None;
        }
        let body: ErrorBody = serde_json::from_slice(&received.body).ok()?;
        (body.error.kind.is_some() || body.error.code.is_some()).then_some(body.error)
    }

    fn is_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    fn is_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether it says that `identifier` exists. Version 1 says so in words only, and they have to
    /// name our identifier: a sentence about another one is no answer to this request.
    fn is_duplicate_of(&self, identifier: &str) -> bool {
        let said = self.is_kind("invalid_request_error")
            && self
                .message
                .as_deref()
                .is_some_and(|message| is_about_duplicates(message) && names(message, identifier));
        // A reading request has no identifier, and can be no duplicate whatever it is told.
        !identifier.is_empty() && (said || self.is_code("duplicate_meter_event"))
    }
}

/// What the answer to one `POST /v1/billing/meter_events`, or to one of version 2, comes to.
#[must_use]
pub fn meter_event(received: &Received, expected: Expected<'_>) -> Answer {
    if received.status == 200 {
        booked(received, expected)
    } else {
        not_done(received, |error| refusal(received, error, expected.identifier))
    }
}

/// What an answer other than 200 to a reading request comes to.
#[must_use]
pub fn reading(received: &Received) -> Answer {
    // A reading request has no identifier, and no text names the empty one as a duplicate.
    not_done(received, |error| refusal(received, error, ""))
}

/// The provider's clock, as the answer tells it; nothing when that is no time of this age.
#[must_use]
pub fn provider_at(received: &Received) -> Option<Timestamp> {
    wire::provider_at(received.date.as_deref())
}

/// The id of the account that the body of a 200 describes; nothing when it describes none.
#[must_use]
pub fn account(body: &[u8]) -> Option<String> {
    let account: Account = serde_json::from_slice(body).ok()?;
    (account.object == "account").then_some(account.id)
}

fn booked(received: &Received, expected: Expected<'_>) -> Answer {
    if let Some(why) = &received.broken {
        return unreadable(received, why);
    }
    let Ok(event) = serde_json::from_slice::<MeterEvent>(&received.body) else {
        return unreadable(received, "the body is no meter event");
    };
    let is_event = METER_EVENTS.contains(&event.object.as_str());
    if !is_event || event.identifier != expected.identifier {
        return unreadable(received, "the body is about something else");
    }
    done(received, event.livemode == expected.livemode)
}

/// A yes that is not one.
fn unreadable(received: &Received, why: &str) -> Answer {
    Answer {
        message: Some(cut(format!("answered 200, but {why}"))),
        ..head(received, Outcome::Unknown)
    }
}

/// A yes, of the mode that was asked or of the other.
fn done(received: &Received, same_mode: bool) -> Answer {
    let outcome = if same_mode { Outcome::Accepted } else { Outcome::WrongAccount };
    Answer { provider_at: provider_at(received), ..head(received, outcome) }
}

/// What an answer other than 200 comes to; `refusal` judges those that looked at the request.
fn not_done(received: &Received, refusal: impl FnOnce(&StripeError) -> Outcome) -> Answer {
    let error = StripeError::read(received);
    let outcome = outcome(received, error.as_ref(), refusal);
    let message = match &error {
        Some(error) => error.message.as_deref().map(redacted),
        None => Some(stranger(received)),
    };
    let code = match outcome {
        Outcome::RateLimited => received.rate_limited_reason.clone(),
        Outcome::Accepted
        | Outcome::Duplicate
        | Outcome::Refused(_)
        | Outcome::Busy
        | Outcome::Unauthorized
        | Outcome::NotSent
        | Outcome::Failed
        | Outcome::Unknown
        | Outcome::WrongAccount => None,
    };
    let said = error.as_ref().and_then(|error| error.code.clone());
    Answer {
        code: code.or(said).map(short),
        message: message.map(cut),
        // A proxy's clock is not the provider's.
        provider_at: error.as_ref().and_then(|_| provider_at(received)),
        ..head(received, outcome)
    }
}

/// The status decides, once it is known that Stripe spoke.
fn outcome(
    received: &Received,
    error: Option<&StripeError>,
    refusal: impl FnOnce(&StripeError) -> Outcome,
) -> Outcome {
    let Some(error) = error else {
        return match received.status {
            // Stripe puts this header on what its limiters turned away before it was looked at.
            429 if received.rate_limited_reason.is_some() => Outcome::RateLimited,
            500..=599 => Outcome::Failed,
            // A redirect is never followed: Stripe sends none, so it comes from something in
            // between, which may have passed the request on. A refusal would free the usage for a
            // new identifier; only `Unknown` keeps this one.
            _ => Outcome::Unknown,
        };
    };
    match received.status {
        // `Stripe-Should-Retry: false` cannot be obeyed after a 5xx: the event may have been
        // counted, and only the same identifier again, while it is recognised, can tell.
        500..=599 => Outcome::Failed,
        // 424: something Stripe relies on failed under way. How far the request got is not said,
        // and the answer may be pinned to the key like a 5xx.
        424 => Outcome::Failed,
        401 | 403 => Outcome::Unauthorized,
        // Another call for this customer and meter, or an earlier attempt with this key that is
        // still running. Either way this request was not processed a second time; what the earlier
        // attempt comes to stays as uncertain as it was. `Stripe-Should-Retry: false` asks not to
        // repeat at once; the lane and the backoff see to that.
        409 => Outcome::Busy,
        429 if received.rate_limited_reason.is_some() || error.is_code("rate_limit") => {
            Outcome::RateLimited
        }
        // Without the header no limiter spoke: a lock on the object was not to be had.
        429 => Outcome::Busy,
        // The server gave up waiting for a request that it may have had in full.
        408 => Outcome::Unknown,
        400..=499 => refusal(error),
        _ => Outcome::Unknown,
    }
}

/// A 4xx that looked at the meter event of this `identifier`.
fn refusal(received: &Received, error: &StripeError, identifier: &str) -> Outcome {
    if received.status == 400 && error.is_duplicate_of(identifier) {
        return Outcome::Duplicate;
    }
    if error.message.as_deref().is_some_and(is_about_duplicates) && !error.is_kind("api_error") {
        // A duplicate of something that is not clearly ours. Refused would free the usage for a new
        // identifier, and bill it twice if this is our event after all.
        return Outcome::Unknown;
    }
    no_refusal(received, error).unwrap_or_else(|| Outcome::Refused(reason(error)))
}

/// What looks like a refusal and is none, or is one of the key; nothing when it is one.
fn no_refusal(received: &Received, error: &StripeError) -> Option<Outcome> {
    if error.is_kind("api_error") {
        // Stripe's own failure under a client's status.
        return Some(Outcome::Failed);
    }
    if received.should_retry.as_deref() == Some("true") {
        // Stripe asks for the same request again: then this was no final no.
        return Some(Outcome::Unknown);
    }
    (error.is_kind("idempotency_error") || error.is_code("idempotency_error"))
        .then_some(Outcome::Refused(HoldReason::KeyConflict))
}

/// Why it was refused: by code where there is one, else by the words that were seen.
fn reason(error: &StripeError) -> HoldReason {
    let by_code = match error.code.as_deref() {
        Some("no_meter" | "archived_meter") => Some(HoldReason::NoMeter),
        Some("payload_no_customer_defined") => Some(HoldReason::Refused),
        Some("timestamp_too_far_in_past") => Some(HoldReason::TooOldRefused),
        Some("timestamp_in_future") => Some(HoldReason::AheadRefused),
        Some(
            "payload_invalid_value"
            | "payload_no_value_defined"
            | "meter_event_invalid_value"
            | "meter_event_value_not_found"
            | "meter_event_value_too_many_digits",
        ) => Some(HoldReason::ValueRefused),
        Some(_) | None => None,
    };
    by_code.unwrap_or_else(|| {
        let message = error.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().all(|word| message.contains(word));
        if says(&["timestamp", "past"]) {
            HoldReason::TooOldRefused
        } else if says(&["timestamp", "future"]) {
            HoldReason::AheadRefused
        } else if says(&["no active meter"]) || says(&["no meter"]) {
            HoldReason::NoMeter
        } else if says(&["value", "digits"]) || says(&["payload", "value"]) {
            HoldReason::ValueRefused
        } else {
            HoldReason::Refused
        }
    })
}

fn is_about_duplicates(message: &str) -> bool {
    message.to_ascii_lowercase().contains("already exists with identifier")
}

/// Whether `message` names `identifier` whole, and not merely a longer name that begins like it.
fn names(message: &str, identifier: &str) -> bool {
    !identifier.is_empty()
        && message.split(|each: char| !is_name_character(each)).any(|word| word == identifier)
}

fn is_name_character(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '-' | '_')
}

/// What every answer carries, whoever sent it.
fn head(received: &Received, outcome: Outcome) -> Answer {
    Answer {
        outcome,
        status: Some(received.status),
        request_id: received.request_id.clone().map(short),
        code: None,
        message: None,
        provider_at: None,
        retry_after_seconds: wire::retry_after(
            received.retry_after.as_deref(),
            received.date.as_deref(),
        ),
    }
}

/// A sentence about an answer that is not Stripe's. The body is not quoted: it is a stranger's
/// page.
fn stranger(received: &Received) -> String {
    let status = received.status;
    match &received.broken {
        Some(why) => format!("answered {status}, but {why}"),
        None if (300..400).contains(&status) => {
            format!("answered {status}, a redirect, which is never followed")
        }
        None => format!("answered {status} without a Stripe error in the body"),
    }
}

fn short(value: String) -> String {
    let mut value = cut(value);
    let mut end = value.len().min(HEADER_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.truncate(end);
    value
}

/// `message` with every secret key in it replaced: Stripe quotes a bad key, in part, in its
/// refusal.
#[must_use]
pub fn redacted(message: &str) -> String {
    let mut safe = String::with_capacity(message.len());
    let mut rest = message;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let secret = !after_word && ["sk_", "rk_", "whsec_"].iter().any(|p| rest.starts_with(p));
        if secret {
            let end = rest
                .find(|each: char| !is_name_character(each) && each != '*')
                .unwrap_or(rest.len());
            safe.push_str("[key]");
            rest = &rest[end..];
            after_word = false;
        } else {
            safe.push(first);
            after_word = first.is_ascii_alphanumeric();
            rest = &rest[first.len_utf8()..];
        }
    }
    safe
}

#[cfg(test)]
mod tests;
