//! Where time comes from. Here: the only code that reads a clock. Never here: a decision; those
//! take `now` as an argument. Read next: [`crate::service`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// A source of the present instant.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present instant, by this clock.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            // A clock before 1970 is wrong; admission refuses what such a clock would stamp.
            Err(_) => 0,
        };
        Timestamp::from_micros(micros)
    }
}

/// A clock that stands still until it is told to move: for stepped tests and simulations.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.micros()))
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the clock to `at`.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A clock that runs with `base`, as far ahead of it as another clock was when it was last asked:
/// simulated time for the real program.
#[derive(Debug)]
pub struct FollowingClock {
    base: Arc<dyn Clock>,
    ahead_micros: AtomicI64,
}

impl FollowingClock {
    /// A clock that shows what `base` does, until it learns of another.
    #[must_use]
    pub fn new(base: Arc<dyn Clock>) -> Self {
        Self { base, ahead_micros: AtomicI64::new(0) }
    }

    /// The present instant by the clock that this one runs with: what is told to [`Self::learn`].
    #[must_use]
    pub fn base_now(&self) -> Timestamp {
        self.base.now()
    }

    /// Learns that the other clock showed `shown` at some instant between `asked_at` and
    /// `answered_at` of the base. Answers by how many microseconds this clock was moved: by none
    /// as long as it may have shown the same, so that it does not waver with each answer.
    pub fn learn(&self, shown: Timestamp, asked_at: Timestamp, answered_at: Timestamp) -> i64 {
        let (one, other) = (shown.micros_since(answered_at), shown.micros_since(asked_at));
        let (least, most) = (one.min(other), one.max(other));
        let before = self.ahead_micros.load(Ordering::SeqCst);
        if (least..=most).contains(&before) {
            return 0;
        }
        let ahead = least + (most - least) / 2;
        self.ahead_micros.store(ahead, Ordering::SeqCst);
        ahead - before
    }
}

impl Clock for FollowingClock {
    fn now(&self) -> Timestamp {
        self.base.now().plus_micros(self.ahead_micros.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn a_following_clock_jumps_with_the_other_and_does_not_waver_with_its_answers() {
        let base = Arc::new(ManualClock::new(NOON));
        let clock = FollowingClock::new(base.clone());
        assert_eq!(clock.now(), NOON);
        // The other is a day ahead; its answer took 100 microseconds.
        let other = |at: Timestamp, days: i64| at.plus_seconds(days * 86_400);
        let asked = |days: i64, shown_after: i64, took: i64| {
            let asked_at = clock.base_now();
            base.advance_micros(took);
            let shown = other(asked_at.plus_micros(shown_after), days);
            clock.learn(shown, asked_at, clock.base_now())
        };
        assert_eq!(asked(1, 50, 100), 86_400_000_000);
        assert_eq!(clock.now(), other(base.now(), 1));
        // Whenever it is asked within a request of any length: nothing is new.
        for (shown_after, took) in [(0, 0), (0, 900), (900, 900), (10, 5_000)] {
            assert_eq!(asked(1, shown_after, took), 0, "{shown_after} of {took}");
        }
        assert_eq!(asked(3, 0, 0), 2 * 86_400_000_000);
        assert_eq!(clock.now(), other(base.now(), 3));
        // A sandbox that was started anew has a clock of its own.
        assert_eq!(asked(0, 0, 0), -3 * 86_400_000_000);
        assert_eq!(clock.now(), base.now());
    }
}
