//! What an answer about usage events means. PURE. Here: status and body become an [`Answer`] for
//! each event that was told. Never here: what follows from it (`delivery::settle`). Read next:
//! [`super::summaries`].
//!
//! What an error's status and code mean stands in the room's other [`classify`]; here is what is
//! particular to events. A request that told many may fail for some: those are named in a list,
//! inside a yes as well, and are refused each by itself. A refusal of the whole request says
//! nothing of any one event, so that none is believed to be refused: each goes again, by itself,
//! and its own answer decides. That doubles nothing, as an event's identity goes with it.
//!
//! A yes is 200 by the documentation; Chargebee's own client of this endpoint counts on 202 and,
//! where some failed, on 207. <https://github.com/openaudr/audr>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::encode::Identity;
use crate::domain::answer::{Answer, Outcome, cut};
use crate::domain::state::HoldReason;
use crate::provider::chargebee::classify::{self, done, unreadable};
use crate::provider::wire::Received;

/// A yes to one event.
#[derive(Deserialize)]
struct One {
    usage_event: Identity,
}

/// A yes to several, and a refusal of them too.
#[derive(Deserialize)]
struct Several {
    failed_events: Vec<Value>,
}

/// What the answer to one event comes to.
#[must_use]
pub fn told(received: &Received, event: &Identity) -> Answer {
    if !is_yes(received) {
        let answer = classify::reading(received);
        let outcome = match answer.outcome {
            Outcome::Refused(_) => refused(answer.code.as_deref(), param(received).as_deref()),
            known @ (Outcome::Accepted
            | Outcome::Duplicate
            | Outcome::Busy
            | Outcome::RateLimited
            | Outcome::Unauthorized
            | Outcome::NotSent
            | Outcome::Failed
            | Outcome::Unknown
            | Outcome::WrongAccount) => known,
        };
        return Answer { outcome, ..answer };
    }
    match read::<One>(received) {
        Ok(One { usage_event }) if usage_event == *event => done(received),
        Ok(_) => unreadable(received, "the body is about another event"),
        Err(why) => unreadable(received, &why),
    }
}

/// What the answer to several events comes to, for each of them in their order.
#[must_use]
pub fn all_told(received: &Received, events: &[Identity]) -> Vec<Answer> {
    let list = read::<Several>(received);
    let whole = match (&list, is_yes(received)) {
        (Ok(_), true) => done(received),
        (Err(why), true) => unreadable(received, why),
        (Ok(_) | Err(_), false) => not_decided(classify::reading(received)),
    };
    let failed = list.map(|Several { failed_events }| failed_events).unwrap_or_default();
    let failures: Vec<Failure<'_>> = failed.iter().map(Failure::read).collect();
    let is_named = |failure: &Failure<'_>| events.iter().any(|event| failure.is_of(event));
    let strangers = failures.iter().filter(|failure| !is_named(failure)).count();
    let unnamed = if strangers > 0 && whole.outcome == Outcome::Accepted {
        // Any of the others may be the one that failed.
        unreadable(received, "an event failed that was not named, or not told")
    } else {
        whole
    };
    let answer = |event| match failures.iter().find(|failure| failure.is_of(event)) {
        Some(failure) => failure.answer(received),
        None => unnamed.clone(),
    };
    events.iter().map(answer).collect()
}

/// A refusal of a whole request is none of its events.
fn not_decided(answer: Answer) -> Answer {
    if answer.outcome.is_refusal() {
        classify::undecided(answer, "that was said of many events at once")
    } else {
        answer
    }
}

/// An event that failed, as far as the list of them says. What an entry looks like is documented
/// nowhere: its fields stand by themselves, or the event and the error each in an object.
struct Failure<'a> {
    name: Option<&'a str>,
    subscription: Option<&'a str>,
    timestamp: Option<i64>,
    code: Option<&'a str>,
    param: Option<&'a str>,
    message: Option<&'a str>,
}

impl<'a> Failure<'a> {
    fn read(entry: &'a Value) -> Self {
        let within = |objects: [&str; 2], names: &[&str]| {
            let places = [Some(entry), entry.get(objects[0]), entry.get(objects[1])];
            let mut places = places.into_iter().flatten();
            places.find_map(|place| names.iter().find_map(|name| place.get(name)))
        };
        let event = |name| within(["event", "usage_event"], &[name]);
        let error = |names| within(["error", "error_details"], names);
        let timestamp = |value: &Value| {
            // The documentation's own example has it as text.
            value.as_i64().or_else(|| value.as_str()?.parse().ok())
        };
        Self {
            name: event("deduplication_id").and_then(Value::as_str),
            subscription: event("subscription_id").and_then(Value::as_str),
            timestamp: event("usage_timestamp").and_then(timestamp),
            code: error(&["api_error_code", "error_code", "code"]).and_then(Value::as_str),
            param: error(&["param", "error_param"]).and_then(Value::as_str),
            message: error(&["message", "error_msg", "error_message"]).and_then(Value::as_str),
        }
    }

    /// Whether it is this event that failed, as far as the entry tells.
    fn is_of(&self, event: &Identity) -> bool {
        self.name == Some(event.deduplication_id.as_str())
            && self.subscription.is_none_or(|id| id == event.subscription_id)
            && self.timestamp.is_none_or(|at| at == event.usage_timestamp)
    }

    fn answer(&self, received: &Received) -> Answer {
        let message = self.message.unwrap_or("it failed, and nothing was said of why");
        Answer {
            code: self.code.map(|code| cut(code.to_owned())),
            message: Some(cut(classify::redacted(message))),
            provider_at: received.provider_at(),
            ..received.answer(refused(self.code, self.param))
        }
    }
}

/// What the refusal of one event with this code comes to.
fn refused(code: Option<&str>, param: Option<&str>) -> Outcome {
    match (code, param) {
        // Whether an event that is there already is refused or taken again is not documented.
        (Some("duplicate_entry"), _) => Outcome::Duplicate,
        (Some("lock_timeout" | "api_request_limit_exceeded"), _) => Outcome::Busy,
        (
            Some(
                "internal_error"
                | "internal_temporary_error"
                | "db_connection_failure"
                | "site_not_ready"
                | "site_read_only_mode",
            ),
            _,
        ) => Outcome::Failed,
        (_, Some("usage_timestamp")) => Outcome::Refused(HoldReason::TooOldRefused),
        (_, Some("properties")) => Outcome::Refused(HoldReason::ValueRefused),
        (Some(_) | None, Some(_) | None) => Outcome::Refused(HoldReason::Refused),
    }
}

/// The parameter that an error names.
fn param(received: &Received) -> Option<String> {
    let error: Value = serde_json::from_slice(&received.body).ok()?;
    error.get("param")?.as_str().map(str::to_owned)
}

const fn is_yes(received: &Received) -> bool {
    matches!(received.status, 200..=202 | 207)
}

fn read<'a, T: Deserialize<'a>>(received: &'a Received) -> Result<T, Cow<'a, str>> {
    if let Some(why) = &received.broken {
        return Err(Cow::Borrowed(why));
    }
    serde_json::from_slice(&received.body)
        .map_err(|_| Cow::Borrowed("the body is no answer about usage events"))
}

#[cfg(test)]
mod tests;
