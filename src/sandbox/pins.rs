//! Idempotency keys. Here: which request a key belongs to, and the answer it replays. Never here:
//! ids that providers keep for longer; those are each stand-in's own. Read next:
//! [`super::stand_in`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::domain::time::Timestamp;

/// What a key says about a request.
#[derive(Debug)]
pub(super) enum Pinned<R> {
    /// Nothing: the key is new.
    Free,
    /// Another request with this key is being carried out.
    InUse,
    /// The key was used with other parameters.
    Other,
    /// The key's first request was answered like this.
    Replay(R),
}

#[derive(Debug)]
struct Pin<R> {
    fingerprint: [u8; 32],
    /// `None` while the first request is being carried out.
    reply: Option<R>,
}

/// The keys of one account, whose requests are answered by an `R`.
#[derive(Debug)]
pub(super) struct Pins<R> {
    /// How long a key replays its answer, in microseconds. A provider promises to keep it so long;
    /// the stand-in forgets at once after it, so a client that leans on more is found out.
    kept_micros: i64,
    pins: HashMap<Arc<str>, Pin<R>>,
    by_age: VecDeque<(Timestamp, Arc<str>)>,
}

impl<R: Clone> Pins<R> {
    pub(super) fn new(kept_micros: i64) -> Self {
        Self { kept_micros, pins: HashMap::new(), by_age: VecDeque::new() }
    }

    pub(super) fn look_up(
        &mut self,
        key: &str,
        fingerprint: &[u8; 32],
        now: Timestamp,
    ) -> Pinned<R> {
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
    pub(super) fn pin(&mut self, key: &str, reply: R, at: Timestamp) {
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
            if now.micros_since(*pinned_at) < self.kept_micros {
                break;
            }
            if let Some((_, key)) = self.by_age.pop_front() {
                self.pins.remove(&key);
            }
        }
    }
}
