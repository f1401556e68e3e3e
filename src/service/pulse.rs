//! Proof that the parts move. Here: the beat that a part's loop gives, and who has not beaten
//! within its bound. Never here: what follows from that (see `daemon::watchdog`). Read next:
//! [`super`].
//!
//! A part beats whenever something that it waited for has come: an answer, a row, a bell, the end
//! of its longest sleep. A step may take minutes, as a report of thousands of readings does; what
//! it may not do is wait for one thing longer than its bound. A loop that is blocked, or that waits
//! for what never comes, beats no more, however well a timer beside it runs.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::IDLE_SECONDS_MAX;

/// What a part beats on.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    part: String,
    bound: Duration,
    started: Instant,
    /// When the newest beat was, in microseconds since it was started.
    newest_micros: AtomicU64,
    has_ended: AtomicBool,
}

impl Pulse {
    /// The pulse of a part that starts at `now` and beats at least every `bound`.
    #[must_use]
    pub fn new(part: impl Into<String>, bound: Duration, now: Instant) -> Self {
        Self(Arc::new(Beats {
            part: part.into(),
            bound,
            started: now,
            newest_micros: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        }))
    }

    /// The part moved at `now`.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.0.started);
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.0.newest_micros.fetch_max(micros, Ordering::Relaxed);
    }

    /// The part has come to its end, and beats no more.
    pub fn end(&self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }

    /// Waits for `work`, and beats each time that something it waits for has come.
    pub async fn during<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.beat(Instant::now());
            work.as_mut().poll(context)
        })
        .await
    }

    /// Waits for `part`, which has no step because it serves whoever calls: it beats also when
    /// nobody does, as long as its task is free to.
    pub async fn serving<F: Future>(&self, part: F) -> F::Output {
        let mut part = pin!(part);
        let idle = Duration::from_secs(IDLE_SECONDS_MAX.unsigned_abs());
        loop {
            tokio::select! {
                ended = self.during(part.as_mut()) => return ended,
                () = tokio::time::sleep(idle) => {}
            }
        }
    }

    /// How long it has not moved at `now`, if that is longer than its bound.
    fn late(&self, now: Instant) -> Option<Late> {
        if self.0.has_ended.load(Ordering::Relaxed) {
            return None;
        }
        let newest = Duration::from_micros(self.0.newest_micros.load(Ordering::Relaxed));
        let since = now.saturating_duration_since(self.0.started).saturating_sub(newest);
        (since > self.0.bound).then(|| Late { part: self.0.part.clone(), since })
    }
}

/// A part that has not moved within its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Its name.
    pub part: String,
    /// For how long.
    pub since: Duration,
}

/// The pulses of all parts. A copy has the same.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<Vec<Pulse>>>);

impl Pulses {
    /// The pulse of one more part, which starts at `now`.
    #[must_use]
    pub fn of(&self, part: impl Into<String>, bound: Duration, now: Instant) -> Pulse {
        let pulse = Pulse::new(part, bound, now);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pulse.clone());
        pulse
    }

    /// The parts that have not moved within their bounds at `now`. With none, everyone is alive.
    #[must_use]
    pub fn late(&self, now: Instant) -> Vec<Late> {
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.iter().filter_map(|pulse| pulse.late(now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn names(late: Vec<Late>) -> Vec<(String, Duration)> {
        late.into_iter().map(|late| (late.part, late.since)).collect()
    }

    #[test]
    fn a_part_is_late_past_its_own_bound_and_not_at_it() {
        let (start, pulses) = (Instant::now(), Pulses::default());
        let quick = pulses.of("quick", SECOND, start);
        let slow = pulses.of("slow", 5 * SECOND, start);
        assert_eq!(pulses.late(start + SECOND), []);
        let late = start + SECOND + Duration::from_micros(1);
        assert_eq!(names(pulses.late(late)), [("quick".to_owned(), late - start)]);
        quick.beat(start + 3 * SECOND);
        assert_eq!(pulses.late(start + 4 * SECOND), []);
        assert_eq!(pulses.late(start + 6 * SECOND).len(), 2);
        // A beat that is noted late takes nothing back.
        slow.beat(start + 6 * SECOND);
        slow.beat(start + 2 * SECOND);
        assert_eq!(names(pulses.late(start + 6 * SECOND)), [("quick".to_owned(), 3 * SECOND)]);
        quick.end();
        assert_eq!(pulses.late(start + 7 * SECOND), []);
    }
}
