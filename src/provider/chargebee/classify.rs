//! What an answer of Chargebee's means. PURE. Here: status and body become an [`Answer`], or the
//! need to ask what is there. Never here: what follows from it (`delivery::settle`). Read next:
//! [`super::client`].
//!
//! Only what Chargebee itself said is believed: a refusal counts when its body has the shape of a
//! Chargebee error, as a proxy's page proves nothing. Errors are told apart by status,
//! `api_error_code` and `param`; the message is for people and may change. What the codes of a
//! second usage at a second, of a used id and of a deletion past the invoice are is not documented:
//! so whatever is refused is asked for by its id before the refusal is believed.
//! <https://apidocs.chargebee.com/docs/api/error-handling>

use serde::Deserialize;

use super::encode::Usage;
use crate::domain::answer::{Answer, Outcome, cut};
use crate::domain::quantity::Quantity;
use crate::domain::state::HoldReason;
use crate::provider::wire::Received;

/// What a key begins with that must never be in a log.
const KEY_PREFIXES: [&str; 2] = ["test_", "live_"];

/// The code of an object that there is none of.
const NOT_FOUND: &str = "resource_not_found";

/// A Chargebee error.
#[derive(Deserialize)]
struct Error {
    message: Option<String>,
    api_error_code: String,
    param: Option<String>,
    /// The code of before, which some refusals are only told by.
    error_code: Option<String>,
}

impl Error {
    fn read(received: &Received) -> Option<Self> {
        if received.broken.is_some() {
            return None;
        }
        serde_json::from_slice(&received.body).ok()
    }

    /// Whether something is switched off at the site.
    fn is_switched_off(&self) -> bool {
        self.api_error_code == "configuration_incompatible"
            || self.error_code.as_deref() == Some("api_restricted")
    }
}

/// A usage as Chargebee writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) subscription_id: String,
    pub(super) item_price_id: String,
    pub(super) quantity: String,
    pub(super) usage_date: i64,
}

/// A usage as an answer, or a row of a list, wraps it.
#[derive(Deserialize)]
pub(super) struct One {
    pub(super) usage: Found,
}

impl Found {
    /// Whether it is what was sent for `subscription`.
    fn is(&self, sent: &Usage, subscription: &str) -> bool {
        self.id == sent.id
            && self.subscription_id == subscription
            && self.item_price_id == sent.item_price
            && self.usage_date == sent.second
            && Quantity::parse_unbounded(&self.quantity).is_ok_and(|said| said == sent.quantity)
    }
}

/// What an answer comes to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// That is known.
    Known(Box<Answer>),
    /// It was refused, and what is there under its id says whether that is believed.
    Ask(Box<Answer>),
}

impl Verdict {
    fn known(answer: Answer) -> Self {
        Self::Known(Box::new(answer))
    }
}

/// What the answer to the creation of a usage comes to.
#[must_use]
pub fn created(received: &Received, sent: &Usage, subscription: &str) -> Verdict {
    if received.status != 200 {
        return not_done(received);
    }
    Verdict::known(match usage(received) {
        Ok(found) if found.is(sent, subscription) => done(received),
        Ok(_) => unreadable(received, "the body is about another usage"),
        Err(why) => unreadable(received, &why),
    })
}

/// What the answer to the deletion of the usage `id` of `subscription` comes to.
#[must_use]
pub fn deleted(received: &Received, id: &str, subscription: &str) -> Verdict {
    if received.status != 200 {
        return not_done(received);
    }
    Verdict::known(match usage(received) {
        Ok(found) if found.id == id && found.subscription_id == subscription => done(received),
        Ok(_) => unreadable(received, "the body is about another usage"),
        Err(why) => unreadable(received, &why),
    })
}

/// What the refusal of a creation comes to, now that it was asked for by its id.
#[must_use]
pub fn created_after_asking(
    refusal: Answer,
    received: &Received,
    sent: &Usage,
    subscription: &str,
) -> Answer {
    match is_there(received, &sent.id) {
        Ok(Some(found)) if found.is(sent, subscription) => {
            Answer { outcome: Outcome::Duplicate, ..refusal }
        }
        Ok(Some(_)) => {
            let message = "another usage has this id".to_owned();
            let outcome = Outcome::Refused(HoldReason::IdentifierConflict);
            Answer { outcome, message: Some(message), ..refusal }
        }
        Ok(None) => refusal,
        Err(why) => undecided(refusal, &why),
    }
}

/// What the refusal of a deletion comes to, now that its target was asked for by its `id`.
#[must_use]
pub fn deleted_after_asking(refusal: Answer, received: &Received, id: &str) -> Answer {
    match is_there(received, id) {
        Ok(Some(_)) => refusal,
        // It is gone, whoever deleted it: an earlier attempt, or somebody else.
        Ok(None) => Answer { outcome: Outcome::Duplicate, ..refusal },
        Err(why) => undecided(refusal, &why),
    }
}

/// What an answer other than 200 to a reading request comes to.
#[must_use]
pub fn reading(received: &Received) -> Answer {
    match not_done(received) {
        Verdict::Known(answer) | Verdict::Ask(answer) => *answer,
    }
}

/// Whether an answer says that there is no such object, and not that there is no such site or path.
#[must_use]
pub fn is_missing(answer: &Answer) -> bool {
    answer.status == Some(404) && answer.code.as_deref() == Some(NOT_FOUND)
}

/// The usage that the answer to a question by its id tells, or that there is none.
fn is_there(received: &Received, id: &str) -> Result<Option<Found>, String> {
    if received.status == 200 {
        let found = usage(received)?;
        // One that was not asked for says nothing of the one that was.
        let other = || "the question for it was answered with another usage".to_owned();
        return (found.id == id).then_some(Some(found)).ok_or_else(other);
    }
    match Error::read(received) {
        Some(error) if error.api_error_code == NOT_FOUND => Ok(None),
        Some(_) | None => Err(format!("the question for it was answered {}", received.status)),
    }
}

fn usage(received: &Received) -> Result<Found, String> {
    if let Some(why) = &received.broken {
        return Err(why.clone());
    }
    let one: Result<One, _> = serde_json::from_slice(&received.body);
    one.map(|one| one.usage).map_err(|_| "the body is no usage".to_owned())
}

/// What an answer other than 200 comes to.
fn not_done(received: &Received) -> Verdict {
    let Some(error) = Error::read(received) else {
        let outcome = match received.status {
            // Its proxies answer in plain text when the site cannot be reached.
            500..=599 => Outcome::Failed,
            _ => Outcome::Unknown,
        };
        return Verdict::known(Answer {
            message: Some(stranger(received)),
            ..received.answer(outcome)
        });
    };
    let outcome = outcome(received.status, &error);
    let answer = Answer {
        code: Some(cut(error.api_error_code)),
        message: error.message.map(|message| cut(redacted(&message))),
        provider_at: received.provider_at(),
        ..received.answer(outcome)
    };
    if outcome.is_refusal() { Verdict::Ask(Box::new(answer)) } else { Verdict::known(answer) }
}

fn outcome(status: u16, error: &Error) -> Outcome {
    match status {
        500..=599 => Outcome::Failed,
        401 | 403 => Outcome::Unauthorized,
        // Nothing at this site can be told until somebody switches it on.
        _ if error.is_switched_off() || error.api_error_code == "site_not_found" => {
            Outcome::Unauthorized
        }
        // Several requests for one subscription at once: this one was not processed.
        429 if error.api_error_code == "lock_timeout" => Outcome::Busy,
        429 => Outcome::RateLimited,
        // The server gave up waiting for a request that it may have had in full.
        408 => Outcome::Unknown,
        422 => Outcome::Refused(HoldReason::KeyConflict),
        400..=499 => Outcome::Refused(reason(error)),
        _ => Outcome::Unknown,
    }
}

fn reason(error: &Error) -> HoldReason {
    match error.param.as_deref() {
        Some("item_price_id") => HoldReason::NoMeter,
        Some("quantity") => HoldReason::ValueRefused,
        Some(_) | None => HoldReason::Refused,
    }
}

/// A yes.
pub(super) fn done(received: &Received) -> Answer {
    Answer { provider_at: received.provider_at(), ..received.answer(Outcome::Accepted) }
}

/// A yes that is not one.
pub(super) fn unreadable(received: &Received, why: &str) -> Answer {
    let message = Some(cut(format!("answered {}, but {why}", received.status)));
    Answer { message, ..received.answer(Outcome::Unknown) }
}

/// A refusal of which it is not known whether it may be believed: the same bytes go again.
#[must_use]
pub fn undecided(refusal: Answer, why: &str) -> Answer {
    let said = refusal.message.as_deref().unwrap_or_default();
    let message = Some(cut(format!("refused ({said}), but {why}")));
    Answer { outcome: Outcome::Unknown, message, ..refusal }
}

/// A sentence about an answer that is not Chargebee's. The body is not quoted: it is a stranger's
/// page.
fn stranger(received: &Received) -> String {
    let status = received.status;
    match &received.broken {
        Some(why) => format!("answered {status}, but {why}"),
        None => format!("answered {status} without a Chargebee error in the body"),
    }
}

/// `message` with everything in it replaced that looks like a key.
#[must_use]
pub fn redacted(message: &str) -> String {
    let is_key = |word: &str| {
        KEY_PREFIXES.iter().any(|prefix| word.strip_prefix(prefix).is_some_and(|r| r.len() >= 8))
    };
    let mut safe = String::with_capacity(message.len());
    for piece in message.split_inclusive(|each: char| !each.is_ascii_alphanumeric() && each != '_')
    {
        let word =
            piece.trim_end_matches(|each: char| !each.is_ascii_alphanumeric() && each != '_');
        if is_key(word) {
            safe.push_str("[key]");
            safe.push_str(&piece[word.len()..]);
        } else {
            safe.push_str(piece);
        }
    }
    safe
}

#[cfg(test)]
mod tests;
