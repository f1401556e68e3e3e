//! What the sandbox saw. Here: counters, and the busiest second. Never here: a rule of a provider.
//! Read next: [`crate::sandbox::stripe`].

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// Counts since the sandbox started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Requests by route (`POST /v1/billing/meter_events`) and answer: a status, or `closed` when
    /// the connection was closed without one.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// Faults injected, by kind; `outage` and `storm` count what those spans hit.
    pub faults: BTreeMap<String, u64>,
    /// Meter events accepted (answered or not).
    pub meter_events_accepted: u64,
    /// Meter events refused, or dropped by the stream, because their identifier was already used.
    pub duplicates_refused: u64,
    /// Answers of 429, injected ones too.
    pub rate_limited: u64,
    /// Answers replayed from an idempotency key.
    pub replays: u64,
    /// The largest number of meter events accepted within any one second of the sandbox's clock.
    pub busiest_second: u64,
}

/// The counters while they grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: BTreeMap<(&'static str, u16), u64>,
    faults: BTreeMap<&'static str, u64>,
    pub(super) duplicates_refused: u64,
    pub(super) replays: u64,
    accepted: u64,
    rate_limited: u64,
    recent: VecDeque<Timestamp>,
    busiest_second: u64,
}

/// Stands for "no answer" among the statuses.
pub(super) const CLOSED: u16 = 0;

impl Counters {
    pub(super) fn count_request(&mut self, route: &'static str, status: u16) {
        *self.requests.entry((route, status)).or_insert(0) += 1;
        if status == 429 {
            self.rate_limited += 1;
        }
    }

    pub(super) fn count_fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_insert(0) += 1;
    }

    /// Counts an accepted meter event and keeps the busiest second. Each instant enters and leaves
    /// the queue once, so the cost is constant on average.
    pub(super) fn count_accepted(&mut self, now: Timestamp) {
        self.accepted += 1;
        while let Some(oldest) = self.recent.front() {
            // An instant ahead of now means that the base clock was set back: it is not recent.
            let age = now.micros_since(*oldest);
            if (0..MICROS_PER_SECOND).contains(&age) {
                break;
            }
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let recent = u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
        self.busiest_second = self.busiest_second.max(recent);
    }

    pub(super) fn view(&self) -> Statistics {
        let mut requests: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((route, status), count) in &self.requests {
            let status = if *status == CLOSED { "closed".to_owned() } else { status.to_string() };
            requests.entry((*route).to_owned()).or_default().insert(status, *count);
        }
        Statistics {
            requests,
            faults: self.faults.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            meter_events_accepted: self.accepted,
            duplicates_refused: self.duplicates_refused,
            rate_limited: self.rate_limited,
            replays: self.replays,
            busiest_second: self.busiest_second,
        }
    }
}
