//! Sessions of the meter event stream. Here: their tokens, and how long each lives. Never here:
//! what is sent by one. Read next: [`super::second`].

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp};
use crate::sandbox::wire::Request;

/// How long a session lives, in microseconds: Stripe's 15 minutes.
const LIFE_MICROS: i64 = 15 * MICROS_PER_MINUTE;
/// Sessions that are remembered. Of one that is forgotten nobody says any more that it has ended:
/// its token is as good as none.
const SESSIONS_MAX: usize = 10_000;

/// The sessions of one account, by their tokens.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    ends: BTreeMap<String, Timestamp>,
    opened: u64,
}

impl Sessions {
    /// Opens one. Its token hashes its place, so that a replayed run has the same.
    pub(super) fn open(&mut self, account: &str, now: Timestamp) -> Value {
        self.opened += 1;
        let digest = Sha256::digest(format!("{account}\nsession {}", self.opened));
        let token = format!("sandbox_session_{}", hex::encode(digest));
        let expires_at = now.plus_micros(LIFE_MICROS);
        if self.ends.len() >= SESSIONS_MAX {
            self.ends.retain(|_, end| *end > now);
        }
        self.ends.insert(token.clone(), expires_at);
        json!({
            "object": "v2.billing.meter_event_session",
            "authentication_token": token,
            "created": now.to_rfc3339(),
            "expires_at": expires_at.to_rfc3339(),
            "id": format!("mes_sandbox{:08}", self.opened),
            "livemode": false,
        })
    }

    /// Lets a request pass that bears the token of a session that is open.
    pub(super) fn authenticate(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let header = request.header("authorization").unwrap_or_default();
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => "",
        };
        match self.ends.get(token) {
            Some(end) if now < *end => Ok(()),
            Some(_) => Err(Refusal::session_expired()),
            // The token is never repeated: answers end in logs.
            None => Err(Refusal::unauthorized("The stream takes the token of a session")),
        }
    }

    /// Ends all of them at once, before their time.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.ends.values_mut().for_each(|end| *end = (*end).min(now));
    }
}
