//! API keys. Here: who may ask. Never here: a real key; live ones are refused and none is repeated.
//! Read next: [`super::gate`].

use super::refusal::Refusal;
use super::settings::Keys;
use crate::sandbox::wire::{Request, user_of_basic};

/// Lets a request pass whose user name is an accepted test key. Chargebee's keys begin with
/// `test_` and `live_`; the password is empty, and whatever it is does not matter.
pub(super) fn authenticate(keys: &Keys, request: &Request) -> Result<(), Refusal> {
    let header = request.header("authorization").unwrap_or_default();
    let key = match header.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("basic") => user_of_basic(key.trim()),
        Some(_) | None => String::new(),
    };
    if key.is_empty() {
        return Err(Refusal::unauthorized(
            "Send the API key as the user of Basic authentication, with an empty password.",
        ));
    }
    if key.starts_with("live_") {
        return Err(Refusal::unauthorized(
            "A live API key was sent to the sandbox, which stands in for Chargebee and never takes \
             one. Use a test key, and revoke the live key if it should not be here.",
        ));
    }
    let is_known = match keys {
        Keys::AnyTest => true,
        Keys::Only(known) => known.contains(&key),
    };
    if key.starts_with("test_") && is_known {
        return Ok(());
    }
    // The key itself is never repeated: answers end in logs.
    Err(Refusal::unauthorized("Sorry, authentication failed. Invalid API key."))
}
