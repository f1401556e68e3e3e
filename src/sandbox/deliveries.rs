//! What is on its way to webhook endpoints. Here: the queue that every stand-in delivers by, and
//! what goes wrong with it on purpose. Never here: an endpoint's form, a signature, how long a
//! provider tries; those are each stand-in's. Read next: [`super::courier`].
//!
//! The time of everything is the sandbox's: what is late, and when a refused delivery is tried
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::faults::{BASIS_POINTS_MAX, draw};
use crate::domain::time::Timestamp;

/// How far a delivery is put back so that later ones overtake it, in seconds.
const DISORDER_SECONDS_MAX: u32 = 30;
/// How far a late delivery is put back, in seconds: a day, past any tolerance of signatures, which
/// are fresh all the same.
const LATE_SECONDS_MAX: u32 = 24 * 60 * 60;
/// Deliveries that wait at once. What comes on top is lost, as it is when a provider fails to make
/// one.
const WAITING_MAX: usize = 1_000_000;

/// Who carries an endpoint's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// The sandbox itself, over HTTP.
    #[default]
    Socket,
    /// Whoever takes them from the handle.
    Hand,
}

/// How often deliveries go wrong, in basis points (10,000 = always), drawn by the event's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookFaults {
    /// The seed of every draw.
    pub seed: u64,
    /// Never delivered.
    pub lost: u32,
    /// Delivered twice.
    pub doubled: u32,
    /// Put back by up to half a minute, so that later ones overtake it.
    pub disordered: u32,
    /// Put back by up to a day.
    pub late: u32,
}

impl WebhookFaults {
    /// Says what is wrong with these rates, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, rate) in [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("disordered", self.disordered),
            ("late", self.late),
        ] {
            if rate > BASIS_POINTS_MAX {
                return Err(format!("{name} is {rate}, and {BASIS_POINTS_MAX} is always"));
            }
        }
        Ok(())
    }
}

/// A request that is to be posted to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Its number, under which its outcome is told.
    pub number: u64,
    /// Where it goes.
    pub url: String,
    /// Its headers, whatever proves it among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its body, to the byte.
    pub body: Bytes,
}

/// What became of deliveries since the endpoints were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookCounts {
    /// Those that wait for their time, or for their outcome.
    pub waiting: usize,
    /// Those that were taken by their endpoint.
    pub delivered: u64,
    /// Tries that their endpoint refused, or that did not reach it.
    pub refused: u64,
    /// Those that were tried for as long as the provider tries, in vain.
    pub given_up: u64,
    /// Those that were never delivered, on purpose.
    pub lost: u64,
}

/// Something that is to be delivered to one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The endpoint's place.
    pub(super) endpoint: usize,
    /// The id of the event.
    pub(super) event: Arc<str>,
    pub(super) body: Arc<str>,
    /// How often it was tried in vain.
    pub(super) tries: u32,
    /// When the event happened.
    pub(super) first: Timestamp,
}

/// What became of a delivery by its outcome.
#[derive(Clone, Debug)]
pub(super) enum Settled {
    Delivered(Waiting),
    TriedAgain(Waiting),
    GivenUp(Waiting),
}

/// What the endpoints of one account are still to get.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    faults: WebhookFaults,
    /// By the time it is due and its number, so that what is due at once keeps its order.
    queue: BTreeMap<(Timestamp, u64), Waiting>,
    /// What was taken and whose outcome is not known.
    under_way: BTreeMap<u64, Waiting>,
    numbers: u64,
    counts: WebhookCounts,
}

impl Deliveries {
    /// Forgets everything, and goes wrong by `faults` from here on.
    pub(super) fn reset(&mut self, faults: WebhookFaults) {
        // The numbers go on, so that an outcome told late cannot meet another delivery.
        *self = Self { faults, numbers: self.numbers, ..Self::default() };
    }

    /// Queues an event that happened at `waiting.first`.
    pub(super) fn post(&mut self, waiting: Waiting) {
        let faults = self.faults;
        let subject = format!("{}\n{}", waiting.endpoint, waiting.event);
        let drawn = |name: &str| draw(faults.seed, name, &subject, 0);
        let within = |name: &str, most: u32| i64::from(drawn(name) % most) + 1;
        if drawn("lost") < faults.lost || self.counts().waiting >= WAITING_MAX {
            self.counts.lost += 1;
            return;
        }
        let mut due = waiting.first;
        if drawn("disordered") < faults.disordered {
            due = due.plus_seconds(within("disorder", DISORDER_SECONDS_MAX));
        }
        if drawn("late") < faults.late {
            // The draw has ten thousand values, so that it counts in steps of some seconds.
            let step = i64::from(LATE_SECONDS_MAX / BASIS_POINTS_MAX);
            due = due.plus_seconds(within("lateness", BASIS_POINTS_MAX) * step);
        }
        if drawn("doubled") < faults.doubled {
            let again = due.plus_seconds(within("again", DISORDER_SECONDS_MAX));
            self.enqueue(again, waiting.clone());
        }
        self.enqueue(due, waiting);
    }

    fn enqueue(&mut self, due: Timestamp, waiting: Waiting) {
        self.numbers += 1;
        self.queue.insert((due, self.numbers), waiting);
    }

    /// Takes what is due of the endpoints that `is_theirs` says, by its number. Whoever takes it
    /// tells the outcome.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        is_theirs: impl Fn(usize) -> bool,
    ) -> Vec<(u64, Waiting)> {
        let due = self.queue.range(..=(now, u64::MAX));
        let theirs = due.filter(|(_, waiting)| is_theirs(waiting.endpoint));
        let keys: Vec<(Timestamp, u64)> = theirs.map(|(key, _)| *key).collect();
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(waiting) = self.queue.remove(&key) else { continue };
            self.under_way.insert(key.1, waiting.clone());
            taken.push((key.1, waiting));
        }
        taken
    }

    /// Tells what became of a delivery. Any answer but a 2xx is a refusal, and so is none: then
    /// `again` says when it is tried next, if ever.
    pub(super) fn settle(
        &mut self,
        number: u64,
        status: Option<u16>,
        again: impl FnOnce(&Waiting) -> Option<Timestamp>,
    ) -> Option<Settled> {
        let mut waiting = self.under_way.remove(&number)?;
        if status.is_some_and(|status| (200..300).contains(&status)) {
            self.counts.delivered += 1;
            return Some(Settled::Delivered(waiting));
        }
        self.counts.refused += 1;
        let Some(due) = again(&waiting) else {
            self.counts.given_up += 1;
            return Some(Settled::GivenUp(waiting));
        };
        waiting.tries += 1;
        self.enqueue(due, waiting.clone());
        Some(Settled::TriedAgain(waiting))
    }

    pub(super) fn counts(&self) -> WebhookCounts {
        let waiting = self.queue.len() + self.under_way.len();
        WebhookCounts { waiting, ..self.counts }
    }
}
