//! Idempotency keys. Here: which request a key belongs to, and the answer it replays. Never here:
//! the identifiers of meter events; those live in [`super::ledger`]. Read next: [`super::gate`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::refusal::Reply;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

/// How long a key replays its answer, in microseconds. Stripe may forget it after 24 hours; the
/// stand-in forgets at once, so a client that leans on more is found out.
const KEY_MICROS: i64 = MICROS_PER_DAY;

/// The longest key, in characters.
pub(super) const KEY_LENGTH_MAX: usize = 255;

/// What a key says about a request.
#[derive(Debug)]
pub(super) enum Pinned {
    /// Nothing: the key is new.
    Free,
    /// Another request with this key is being carried out.
    InUse,
    /// The key was used with other parameters.
    Other,
    /// The key's first request was answered like this.
    Replay(Reply),
}

#[derive(Debug)]
struct Pin {
    fingerprint: [u8; 32],
    /// `None` while the first request is being carried out.
    reply: Option<Reply>,
}

/// The keys of one account.
#[derive(Debug, Default)]
pub(super) struct Pins {
    pins: HashMap<Arc<str>, Pin>,
    by_age: VecDeque<(Timestamp, Arc<str>)>,
}

impl Pins {
    pub(super) fn look_up(&mut self, key: &str, fingerprint: &[u8; 32], now: Timestamp) -> Pinned {
        self.forget_old(now);
        match self.pins.get(key) {
            None => Pinned::Free,
            Some(pin) if pin.fingerprint != *fingerprint => Pinned::Other,
            Some(Pin { reply: None, .. }) => Pinned::InUse,
            Some(Pin { reply: Some(reply), .. }) => Pinned::Replay(reply.clone()),
        }
    }

    /// Marks a free key as being in use.
    pub(super) fn occupy(&mut self, key: &str, fingerprint: [u8; 32]) {
        self.pins.insert(Arc::from(key), Pin { fingerprint, reply: None });
    }

    /// Remembers the answer of the key's first request, which was carried out at `at`.
    pub(super) fn pin(&mut self, key: &str, reply: Reply, at: Timestamp) {
        let Some((name, _)) = self.pins.get_key_value(key) else { return };
        self.by_age.push_back((at, Arc::clone(name)));
        if let Some(pin) = self.pins.get_mut(key) {
            pin.reply = Some(reply);
        }
    }

    /// Frees the key if its request ended without an answer to remember.
    pub(super) fn release(&mut self, key: &str) {
        if self.pins.get(key).is_some_and(|pin| pin.reply.is_none()) {
            self.pins.remove(key);
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((pinned_at, _)) = self.by_age.front() {
            if now.micros_since(*pinned_at) < KEY_MICROS {
                break;
            }
            if let Some((_, key)) = self.by_age.pop_front() {
                self.pins.remove(&key);
            }
        }
    }
}
