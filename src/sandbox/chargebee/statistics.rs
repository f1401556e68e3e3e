//! What the stand-in saw. Here: its counts, and the busiest minute. Never here: a rule.
//! Read next: [`super::gate`].

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::domain::time::{MICROS_PER_MINUTE, Timestamp};

/// Counts since the sandbox started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Requests by route (`POST /subscriptions/{id}/usages`) and answer: a status, or `closed` when
    /// the connection was closed without one.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// Faults injected, by kind; `outage` and `storm` count what those spans hit.
    pub faults: BTreeMap<String, u64>,
    /// Usages created over the API (answered or not).
    pub usages_created: u64,
    /// Requests refused because something was there already.
    pub duplicates_refused: u64,
    /// Answers of 429, injected ones too.
    pub rate_limited: u64,
    /// Requests that came while the limiter refused: a client that waits as it is told makes few.
    pub asked_while_limited: u64,
    /// Whether the site is blocked because of too many of those.
    pub blocked: bool,
    /// Answers replayed from an idempotency key.
    pub replays: u64,
    /// The largest number of requests admitted within any one minute of the sandbox's clock.
    pub busiest_minute: u64,
}

/// The busiest minute so far. Each instant enters and leaves the queue once, so the cost is
/// constant on average.
#[derive(Debug, Default)]
pub(super) struct Busiest {
    recent: VecDeque<Timestamp>,
    pub(super) minute: u64,
}

impl Busiest {
    pub(super) fn count(&mut self, now: Timestamp) {
        while let Some(oldest) = self.recent.front() {
            // An instant ahead of now means that the base clock was set back: it is not recent.
            if (0..MICROS_PER_MINUTE).contains(&now.micros_since(*oldest)) {
                break;
            }
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.minute = self.minute.max(u64::try_from(self.recent.len()).unwrap_or(u64::MAX));
    }
}
