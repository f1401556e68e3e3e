//! What the answer to a cancellation means. PURE. Here: an adjustment's answer becomes an
//! [`Answer`]. Never here: the statuses that every endpoint shares ([`super`]). Read next:
//! [`crate::provider::stripe::client`].
//!
//! Stripe publishes no errors of this endpoint. That an event is cancelled already is believed only
//! of a sentence, or a code, that says just this of the event: taken wrongly, usage that still
//! counts would pass for cancelled. Every other no is a refusal, whose event waits for a person.

use serde::Deserialize;

use super::{
    Received, StripeError, done, names, no_refusal, not_done, reason, redacted, unreadable,
};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::state::HoldReason;

/// What the answer has to echo.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The identifier of the event that is cancelled.
    pub target: &'a str,
    /// Whether the key is a live one.
    pub livemode: bool,
}

/// An adjustment, as far as the answer is checked.
#[derive(Deserialize)]
struct Adjustment {
    object: String,
    cancel: Cancel,
    livemode: bool,
    status: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Cancel {
    identifier: String,
}

/// What the answer to one `POST /v1/billing/meter_event_adjustments` comes to.
#[must_use]
pub fn adjustment(received: &Received, expected: Expected<'_>) -> Answer {
    if received.status == 200 {
        booked(received, expected)
    } else {
        not_done(received, |error| refusal(received, error, expected.target))
    }
}

fn booked(received: &Received, expected: Expected<'_>) -> Answer {
    if let Some(why) = &received.broken {
        return unreadable(received, why);
    }
    let Ok(adjustment) = serde_json::from_slice::<Adjustment>(&received.body) else {
        return unreadable(received, "the body is no adjustment");
    };
    let about_it = adjustment.object == "billing.meter_event_adjustment"
        && adjustment.kind == "cancel"
        && adjustment.cancel.identifier == expected.target;
    if !about_it {
        return unreadable(received, "the body is about something else");
    }
    match adjustment.status.as_str() {
        // Pending cannot be polled: the endpoint has no reading side. Like any yes, it counts as
        // said, and only a total proves it.
        "pending" | "complete" => done(received, adjustment.livemode == expected.livemode),
        other => {
            let status = redacted(other);
            unreadable(received, &format!("the adjustment's status is \"{status}\""))
        }
    }
}

/// A 4xx that looked at the cancellation of `target`.
fn refusal(received: &Received, error: &StripeError, target: &str) -> Outcome {
    if received.status == 400 && is_cancelled_already(error, target) {
        return Outcome::Duplicate;
    }
    no_refusal(received, error).unwrap_or_else(|| Outcome::Refused(why(error)))
}

/// Whether the error says that `target` is cancelled already. Which words Stripe has for it is not
/// published; both spellings and both orders are taken, and a sentence that also speaks of what was
/// not found, of a time that has passed or of a bill is not, whatever else it says.
fn is_cancelled_already(error: &StripeError, target: &str) -> bool {
    if !error.is_kind("invalid_request_error") {
        return false;
    }
    let message = error.message.as_deref().unwrap_or_default();
    // A name of the form of ours that is not the target's: the sentence is about another event.
    let form = target.split('-').next().unwrap_or_default();
    let about_another = !names(message, target) && !form.is_empty() && message.contains(form);
    let code = error.code.as_deref().unwrap_or_default().replace('_', " ");
    let said = [message.to_ascii_lowercase(), code.to_ascii_lowercase()];
    let spoiled = said.iter().any(|text| SPOILING.iter().any(|words| text.contains(words)));
    !about_another && !spoiled && said.iter().any(|text| says_cancelled_already(text))
}

/// Words of other reasons why a cancellation is refused.
const SPOILING: [&str; 12] = [
    "not found",
    "not find",
    "no event",
    "no such",
    "not exist",
    "unknown",
    "too late",
    "24 hours",
    "window",
    "expired",
    "invoice",
    "finalized",
];

/// "already (been) cancelled", "cancelled already", "previously cancelled": adjacent words, so that
/// "cannot be cancelled: already billed" is not among them.
fn says_cancelled_already(text: &str) -> bool {
    let clauses = text.split(['.', ':', ';', ',', '(', ')']);
    clauses.into_iter().any(|clause| {
        let words: Vec<&str> = clause.split_whitespace().collect();
        let is_cancelled = |word: &&str| matches!(*word, "cancelled" | "canceled");
        let is_already = |word: &str| matches!(word, "already" | "previously");
        words.iter().enumerate().any(|(at, word)| {
            let before = &words[at.saturating_sub(2)..at];
            let denied = before.iter().any(|word| matches!(*word, "not" | "cannot" | "can't"));
            let already = before.last().is_some_and(|word| is_already(word))
                || matches!(before, [first, "been" | "be"] if is_already(first))
                || words.get(at + 1).is_some_and(|word| is_already(word));
            is_cancelled(word) && already && !denied
        })
    })
}

/// Why a cancellation was refused.
fn why(error: &StripeError) -> HoldReason {
    let message = error.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if error.is_code("out_of_window") || says(&["24 hours", "too late", "window", "expired"]) {
        HoldReason::TooOldRefused
    } else if says(&["invoice", "finalized"]) {
        HoldReason::LateForPeriod
    } else {
        reason(error)
    }
}

#[cfg(test)]
mod tests;
