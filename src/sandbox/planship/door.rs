//! Who asks. Here: clients, the tokens that they are given, and for how long those are accepted.
//! Never here: what is asked for ([`super::gate`]). Read next: [`super::gate`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::time::Timestamp;
use crate::sandbox::clock::micros_of;
use crate::sandbox::wire::basic_of_user;

/// Tokens that are remembered at once. Past it all are forgotten, as when the provider forgets
/// them: whoever bears one asks for another.
const TOKENS_MAX: usize = 10_000;

/// The tokens that were given.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Until when each is accepted.
    given: BTreeMap<String, Timestamp>,
    count: u64,
}

impl Tokens {
    /// Gives a token to the client whose Basic credentials these are; nothing where there is none.
    pub(super) fn give(
        &mut self,
        clients: &BTreeMap<String, String>,
        authorization: &str,
        lives: Duration,
        now: Timestamp,
    ) -> Option<Value> {
        clients.iter().find(|(id, secret)| basic_of_user(id, secret) == authorization)?;
        if self.given.len() >= TOKENS_MAX {
            self.given.clear();
        }
        self.count += 1;
        let mut hash = Sha256::new();
        hash.update(b"a token of the stand-in for Planship");
        hash.update(self.count.to_be_bytes());
        let token = hex::encode(hash.finalize());
        let seconds = lives.as_secs();
        let lives = micros_of(Duration::from_secs(seconds));
        self.given.insert(token.clone(), now.plus_micros(lives));
        Some(json!({ "access_token": token, "token_type": "bearer", "expires_in": seconds }))
    }

    /// Whether this header bears a token that is accepted at `now`.
    pub(super) fn accept(&self, authorization: &str, now: Timestamp) -> bool {
        let bearer = authorization.split_once(' ');
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        bearer.and_then(|(_, token)| self.given.get(token)).is_some_and(|until| now < *until)
    }

    /// Forgets all of them, before their time.
    pub(super) fn end(&mut self) {
        self.given.clear();
    }
}
