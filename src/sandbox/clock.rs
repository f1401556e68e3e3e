//! The sandbox's own clock. Here: an offset over the clock the process gave us. Never here: a
//! decision by time; those take `now`. Read next: [`crate::sandbox`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// A clock that runs with another one, some microseconds ahead of it.
///
/// It only ever moves forward by command: Stripe's clock does not run backwards, and every window
/// here (uniqueness, cancellation, rate) would have to be rebuilt if this one did.
#[derive(Debug)]
pub(super) struct ShiftedClock {
    base: Arc<dyn Clock>,
    ahead_micros: AtomicI64,
}

impl ShiftedClock {
    pub(super) fn new(base: Arc<dyn Clock>) -> Self {
        Self { base, ahead_micros: AtomicI64::new(0) }
    }

    pub(super) fn advance_micros(&self, micros: i64) {
        self.ahead_micros.fetch_add(micros.max(0), Ordering::SeqCst);
    }

    /// Moves the clock forward to `at`; says whether it could.
    pub(super) fn advance_to(&self, at: Timestamp) -> bool {
        let missing = at.micros_since(self.now());
        if missing < 0 {
            return false;
        }
        self.advance_micros(missing);
        true
    }
}

/// A duration in microseconds; one that is too long is for ever.
pub(super) fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        self.base.now().plus_micros(self.ahead_micros.load(Ordering::SeqCst))
    }
}
