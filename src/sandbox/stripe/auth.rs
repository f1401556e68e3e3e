//! API keys. Here: who may ask. Never here: a real key; live ones are refused and none is repeated.
//! Read next: [`super::gate`].

use super::refusal::Refusal;
use super::settings::{Keys, Settings};
use crate::sandbox::wire::{Request, user_of_basic};

/// Lets a request pass that carries an accepted test key and means this account.
pub(super) fn authenticate(settings: &Settings, request: &Request) -> Result<(), Refusal> {
    let header = request.header("authorization").unwrap_or_default();
    let key = match header.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim().to_owned(),
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("basic") => user_of_basic(key.trim()),
        Some(_) | None => String::new(),
    };
    if key.is_empty() {
        return Err(Refusal::unauthorized(
            "You did not provide an API key. Send it as a Bearer token or as the user of Basic \
             authentication.",
        ));
    }
    if key.starts_with("sk_live_") || key.starts_with("rk_live_") {
        return Err(Refusal::unauthorized(
            "A live API key was sent to the sandbox, which stands in for Stripe and never takes \
             one. Use a test key, and roll the live key if it should not be here.",
        ));
    }
    let is_test = ["sk_test_", "rk_test_"].iter().any(|prefix| key.starts_with(prefix));
    let is_known = match &settings.keys {
        Keys::AnyTest => true,
        Keys::Only(known) => known.contains(&key),
    };
    if !(is_test && is_known) {
        // The key itself is never repeated: answers end in logs.
        return Err(Refusal::unauthorized("Invalid API Key provided"));
    }
    match request.header("stripe-account") {
        Some(other) if other != settings.account => {
            Err(Refusal::forbidden("The key does not have access to that account"))
        }
        Some(_) | None => Ok(()),
    }
}
