//! What an answer of Cryptolens' means. PURE. Here: status and body become an [`Answer`]. Never
//! here: what follows from it (`delivery::settle`). Read next: [`super::inspection`].
//!
//! An answer is an object with `result`, 0 for a yes and 1 for a no, and `message`. Which status
//! comes with which no is documented nowhere, so a no is told by its text, and one whose text is
//! not known is nobody's proof: it comes to `Unknown`. So does the one that Stripe was asked and
//! the counter not increased, as that answer may have been lost in between; and so does an object
//! without `result`, which is a fault of the server's.
//! <https://app.cryptolens.io/docs/api/v3/RecordUsage>

use serde_json::{Map, Value};

use crate::domain::answer::{Answer, Outcome, cut};
use crate::domain::names::ProviderMeter;
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::provider::wire::Received;

/// The products of an account, as far as they were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Products {
    /// Their numbers; nothing where the token may not list them.
    pub listed: Option<Vec<String>>,
    /// What was said instead of a list.
    pub refusal: Option<String>,
    /// The provider's clock.
    pub provider_at: Option<Timestamp>,
}

impl Products {
    /// Whether a product is there, as far as that was told.
    #[must_use]
    pub fn has(&self, product: &ProviderMeter) -> Option<bool> {
        let listed = self.listed.as_ref()?;
        Some(listed.iter().any(|id| id == product.as_str()))
    }
}

/// A reply of Cryptolens' own.
struct Reply {
    is_yes: bool,
    message: String,
    fields: Map<String, Value>,
}

impl Reply {
    /// Nothing when the body is none. Names are not told apart by case, and clients have met both.
    fn read(received: &Received) -> Option<Self> {
        if received.broken.is_some() {
            return None;
        }
        let Value::Object(fields) = serde_json::from_slice(&received.body).ok()? else {
            return None;
        };
        let result = field(&fields, "result")?.as_i64()?;
        let message = field(&fields, "message").and_then(Value::as_str).unwrap_or_default();
        let message = message.to_owned();
        let is_yes = match result {
            0 => true,
            1 => false,
            _ => return None,
        };
        Some(Self { is_yes, message, fields })
    }
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut all = fields.iter();
    all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// What the texts of a no come to. Each stands at the beginning of what is said.
const REFUSALS: [(&str, Outcome); 9] = [
    // The token, or the account behind it: the next one would fare no better.
    ("Unable to authenticate", Outcome::Unauthorized),
    ("No active subscription found", Outcome::Unauthorized),
    // A token may be of some products alone: those of others must not stop them.
    ("Access denied", Outcome::Refused(HoldReason::Refused)),
    ("Not enough permission", Outcome::Refused(HoldReason::Refused)),
    ("The input parameters were incorrect", Outcome::Refused(HoldReason::ValueRefused)),
    ("Could not find the product", Outcome::Refused(HoldReason::NoMeter)),
    ("Could not find the key", Outcome::Refused(HoldReason::Refused)),
    ("No Stripe payment processor was set up", Outcome::Refused(HoldReason::Refused)),
    ("The subscription item id could not be found", Outcome::Refused(HoldReason::Refused)),
];

/// What the answer to a record of usage comes to.
#[must_use]
pub fn recorded(received: &Received) -> Answer {
    // Whoever failed, and whatever they say: it may have been recorded before.
    if received.status >= 500 {
        return failed(received);
    }
    let Some(reply) = Reply::read(received) else {
        return unreadable(received, "the body is no answer of Cryptolens'");
    };
    match received.status {
        200 if reply.is_yes => said(received, Outcome::Accepted, &reply.message),
        429 => said(received, Outcome::RateLimited, &reply.message),
        401 | 403 if !reply.is_yes => said(received, Outcome::Unauthorized, &reply.message),
        200 | 400..=499 if !reply.is_yes => said(received, refused(&reply.message), &reply.message),
        _ => unreadable(received, "the status and the body do not agree"),
    }
}

fn refused(message: &str) -> Outcome {
    let known = REFUSALS.iter().find(|(text, _)| message.starts_with(text));
    known.map_or(Outcome::Unknown, |(_, outcome)| *outcome)
}

/// What the answer to the question for products comes to. A token that may not list them is a token
/// all the same.
///
/// # Errors
/// The answer, when it says nothing of the token, or that there is none.
pub fn products(received: &Received) -> Result<Products, Box<Answer>> {
    if received.status >= 500 {
        return Err(Box::new(failed(received)));
    }
    let answer = recorded(received);
    let provider_at = received.provider_at();
    match Reply::read(received) {
        Some(reply) if answer.outcome == Outcome::Accepted => {
            let Some(Value::Array(rows)) = field(&reply.fields, "products") else {
                let why = "the body is no list of products";
                return Err(Box::new(unreadable(received, why)));
            };
            let number = |row: &Value| {
                let id = field(row.as_object()?, "id")?;
                id.as_number().map(ToString::to_string)
            };
            let listed = Some(rows.iter().filter_map(number).collect());
            Ok(Products { listed, refusal: None, provider_at })
        }
        Some(reply) if is_of_permission(&reply.message) => {
            Ok(Products { listed: None, refusal: Some(cut(reply.message)), provider_at })
        }
        Some(_) | None => Err(Box::new(answer)),
    }
}

/// Whether a token was recognised, and may not do this.
fn is_of_permission(message: &str) -> bool {
    ["Access denied", "Not enough permission"].iter().any(|text| message.starts_with(text))
}

fn said(received: &Received, outcome: Outcome, message: &str) -> Answer {
    let message = (!message.is_empty()).then(|| cut(message.to_owned()));
    Answer { message, provider_at: received.provider_at(), ..received.answer(outcome) }
}

fn failed(received: &Received) -> Answer {
    let message = match Reply::read(received) {
        Some(reply) => cut(reply.message),
        None => "it failed".to_owned(),
    };
    Answer { message: Some(message), ..received.answer(Outcome::Failed) }
}

/// Whose answer it is, is not known: neither does their clock count.
fn unreadable(received: &Received, why: &str) -> Answer {
    let why = received.broken.as_deref().unwrap_or(why);
    Answer { message: Some(cut(why.to_owned())), ..received.answer(Outcome::Unknown) }
}

#[cfg(test)]
mod tests;
