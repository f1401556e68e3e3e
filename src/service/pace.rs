//! A pace. Here: a step that is taken no more often than it is meant to be, whoever rings. Never
//! here: a clock, what a step does. Read next: [`super::pulse`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::time::Timestamp;

/// How often something is begun at the most.
#[derive(Debug)]
pub struct Pace {
    every_micros: i64,
    not_before: Mutex<Option<Timestamp>>,
}

impl Pace {
    /// Once in so many microseconds, and at once the first time.
    #[must_use]
    pub const fn every(every_micros: i64) -> Self {
        Self { every_micros, not_before: Mutex::new(None) }
    }

    /// Begins at `now`; or answers until when it is too early, and begins nothing. A clock that was
    /// set back ends the wait.
    ///
    /// # Errors
    /// When the next one may begin.
    pub fn begin(&self, now: Timestamp) -> Result<(), Timestamp> {
        let next = now.plus_micros(self.every_micros);
        let mut not_before = self.not_before();
        match not_before.filter(|at| now < *at && *at <= next) {
            Some(at) => Err(at),
            None => {
                *not_before = Some(next);
                Ok(())
            }
        }
    }

    /// The next one may begin at once: there is more to do.
    pub fn go_on(&self) {
        *self.not_before() = None;
    }

    fn not_before(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.not_before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_waits_for_its_time_unless_there_is_more_to_do_or_the_clock_went_back() {
        let (pace, noon) = (Pace::every(60_000_000), Timestamp::from_seconds(1_790_000_000));
        assert_eq!(pace.begin(noon), Ok(()));
        assert_eq!(pace.begin(noon.plus_seconds(59)), Err(noon.plus_seconds(60)));
        assert_eq!(pace.begin(noon.plus_seconds(60)), Ok(()));
        pace.go_on();
        assert_eq!(pace.begin(noon.plus_seconds(61)), Ok(()));
        assert_eq!(pace.begin(noon.plus_seconds(-3_600)), Ok(()));
        assert_eq!(pace.begin(noon.plus_seconds(-3_599)), Err(noon.plus_seconds(-3_540)));
    }
}
