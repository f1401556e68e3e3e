//! What an answer of Planship's means. PURE. Here: status and body become an [`Answer`], or a
//! session. Never here: what follows from it (`delivery::settle`). Read next:
//! [`super::inspection`].
//!
//! Documented are 200 and 422, and no other status. A yes is a metering record, and counts when it
//! is of what was sent; its `customer_id` is Planship's own, whatever the path called the customer,
//! and is not compared. A no is believed when its body has a `detail`, as its framework writes it:
//! the one of a 422 is documented, and those of the rest are of the same framework. Whatever else
//! says no is a stranger and proves nothing; so does a status that nobody can say of that nothing
//! was counted. <https://fastapi.tiangolo.com/tutorial/handling-errors/>

use serde::Deserialize;
use serde_json::Value;

use super::promises;
use crate::domain::answer::{Answer, Outcome, cut};
use crate::domain::state::HoldReason;
use crate::provider::session::{self, Opened};
use crate::provider::wire::Received;

/// What a report was of, which its answer has to repeat.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The metering id of its path.
    pub metering_id: &'a str,
    /// The usage of its body; nothing where that is no report.
    pub usage: Option<i64>,
}

/// A metering record. All of these are required of it.
#[derive(Deserialize)]
struct Record {
    id: String,
    usage: i64,
    metering_id: String,
    customer_id: String,
    product_id: String,
}

impl Record {
    /// Whether it is one, and of what was sent.
    fn is_of(&self, sent: Sent<'_>) -> bool {
        let ids = [&self.id, &self.customer_id, &self.product_id];
        self.metering_id == sent.metering_id
            && Some(self.usage) == sent.usage
            && ids.iter().all(|id| !id.is_empty())
    }
}

/// A token as it is given. All of these are required of it.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    token_type: String,
    expires_in: i64,
}

/// A product, as far as it is looked at.
#[derive(Deserialize)]
struct Product {
    slug: String,
}

/// What a refusal says.
struct Refusal {
    said: String,
    /// Whether it blames the usage.
    blames_usage: bool,
}

impl Refusal {
    /// Nothing when the body is no refusal of Planship's.
    fn read(received: &Received) -> Option<Self> {
        if received.broken.is_some() {
            return None;
        }
        let Value::Object(mut fields) = serde_json::from_slice(&received.body).ok()? else {
            return None;
        };
        match fields.remove("detail")? {
            Value::String(said) => Some(Self { said, blames_usage: false }),
            Value::Array(errors) => {
                let said: Vec<String> = errors.iter().map(error).collect();
                let blames_usage = errors.iter().any(|error| {
                    error["loc"].as_array().is_some_and(|loc| loc.iter().any(|at| at == "usage"))
                });
                Some(Self { said: said.join("; "), blames_usage })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }
}

/// Where an error of a 422 is, and what it says; never what was sent, which it may hold too.
fn error(error: &Value) -> String {
    let place = |at: &Value| at.as_str().map_or_else(|| at.to_string(), str::to_owned);
    let places = error["loc"].as_array().into_iter().flatten();
    let places: Vec<String> = places.map(place).collect();
    let said = error["msg"].as_str().unwrap_or("refused");
    if places.is_empty() { said.to_owned() } else { format!("{}: {said}", places.join(".")) }
}

/// What the answer to a report comes to.
#[must_use]
pub fn reported(received: &Received, sent: Sent<'_>) -> Answer {
    if received.status != 200 {
        return not_done(received);
    }
    match &received.broken {
        Some(why) => unreadable(received, why),
        None => match serde_json::from_slice::<Record>(&received.body) {
            Ok(record) if record.is_of(sent) => {
                let provider_at = received.provider_at();
                Answer { provider_at, ..received.answer(Outcome::Accepted) }
            }
            Ok(_) => unreadable(received, "the body is a metering record of something else"),
            Err(_) => unreadable(received, "the body is no metering record"),
        },
    }
}

/// Whether the token of a request had ended, or was never one: nothing of the request was looked
/// at.
#[must_use]
pub fn is_expired(received: &Received) -> bool {
    received.status == 401 && Refusal::read(received).is_some()
}

/// What the answer to the question for a token comes to.
///
/// # Errors
/// The answer, when no token is in it.
pub fn token(received: &Received) -> Result<Opened, Box<Answer>> {
    if received.status != 200 {
        return Err(Box::new(not_done(received)));
    }
    if let Some(why) = &received.broken {
        return Err(Box::new(unreadable(received, why)));
    }
    let token = serde_json::from_slice::<Token>(&received.body).ok();
    let is_sound = |token: &Token| {
        token.token_type.eq_ignore_ascii_case("bearer") && session::is_token(&token.access_token)
    };
    let Some(token) = token.filter(is_sound) else {
        return Err(Box::new(unreadable(received, "the body is no token")));
    };
    let used_for_micros = promises::token_used_for_micros(token.expires_in);
    Ok(Opened { token: token.access_token.into(), used_for_micros })
}

/// What the answer to the question for a product comes to.
///
/// # Errors
/// The answer, when it is not there, or nobody says whether it is.
pub fn product(received: &Received, slug: &str) -> Result<(), Box<Answer>> {
    if received.status != 200 {
        return Err(Box::new(not_done(received)));
    }
    let product = serde_json::from_slice::<Product>(&received.body).ok();
    match product.filter(|product| received.broken.is_none() && product.slug == slug) {
        Some(_) => Ok(()),
        None => Err(Box::new(unreadable(received, "the body is not the product"))),
    }
}

/// What anything but a 200 comes to.
fn not_done(received: &Received) -> Answer {
    let refusal = Refusal::read(received);
    // Whoever failed, and whatever they say: it may have been counted before.
    if received.status >= 500 {
        let said = refusal.map_or_else(|| "it failed".to_owned(), |refusal| refusal.said);
        return Answer { message: Some(cut(said)), ..received.answer(Outcome::Failed) };
    }
    let Some(refusal) = refusal else {
        return unreadable(received, "the body is no answer of Planship's");
    };
    let outcome = match received.status {
        // What may not be done is the client's whole matter: the next report would fare no better.
        401 | 403 => Outcome::Unauthorized,
        429 => Outcome::RateLimited,
        422 if refusal.blames_usage => Outcome::Refused(HoldReason::ValueRefused),
        400 | 404 | 422 => Outcome::Refused(HoldReason::Refused),
        _ => return unreadable(received, "the status is none that Planship is known to answer"),
    };
    let (message, provider_at) = (Some(cut(refusal.said)), received.provider_at());
    Answer { message, provider_at, ..received.answer(outcome) }
}

/// Whose answer it is, is not known: neither does their clock count.
fn unreadable(received: &Received, why: &str) -> Answer {
    let why = received.broken.as_deref().unwrap_or(why);
    Answer { message: Some(cut(why.to_owned())), ..received.answer(Outcome::Unknown) }
}

#[cfg(test)]
mod tests;
