//! Rate limits. Here: a window that slides exactly. Never here: the sandbox's own pace.
//! Read next: [`super::stand_in`].

use std::collections::VecDeque;

use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// Admits at most `limit` requests within any window, exactly: it remembers when each of the last
/// `limit` were admitted. A token bucket would let a burst at the border of two windows through.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: Option<usize>,
    window_micros: i64,
    admitted: VecDeque<Timestamp>,
}

impl Limiter {
    pub(super) fn new(limit: Option<u32>, window_micros: i64) -> Self {
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { limit, window_micros, admitted: VecDeque::new() }
    }

    /// A limit for any one second.
    pub(super) fn of_second(limit: Option<u32>) -> Self {
        Self::new(limit, MICROS_PER_SECOND)
    }

    /// Whether one more request may pass at `now`; if so, it is counted.
    pub(super) fn admit(&mut self, now: Timestamp) -> bool {
        let Some(limit) = self.limit else { return true };
        self.forget_old(now);
        if self.admitted.len() >= limit {
            return false;
        }
        self.admitted.push_back(now);
        true
    }

    /// Whether `count` more may pass together at `now`; if so, they are counted.
    pub(super) fn admit_all(&mut self, count: usize, now: Timestamp) -> bool {
        let passes = self.wait_for_micros(count, now) == 0;
        if passes && self.limit.is_some() {
            self.admitted.extend(std::iter::repeat_n(now, count));
        }
        passes
    }

    /// How long until one more may pass, in microseconds: zero when it may now.
    pub(super) fn wait_micros(&mut self, now: Timestamp) -> i64 {
        let Some(limit) = self.limit else { return 0 };
        self.forget_old(now);
        if self.admitted.len() < limit {
            return 0;
        }
        let oldest = self.admitted.front().copied();
        // A limit of zero has no oldest: the window is as good a guess as any.
        let oldest = oldest.unwrap_or(now);
        self.window_micros.saturating_sub(now.micros_since(oldest)).max(1)
    }

    /// How long until `count` more may pass together, in microseconds: zero when they may now. More
    /// than the limit never may, and wait for as long as a window.
    pub(super) fn wait_for_micros(&mut self, count: usize, now: Timestamp) -> i64 {
        let Some(limit) = self.limit else { return 0 };
        self.forget_old(now);
        let over = (self.admitted.len() + count).saturating_sub(limit);
        if over == 0 {
            return 0;
        }
        let last = self.admitted.get(over - 1).copied().unwrap_or(now);
        self.window_micros.saturating_sub(now.micros_since(last)).max(1)
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some(oldest) = self.admitted.front() {
            // An instant ahead of now means that the base clock was set back: start afresh.
            if (0..self.window_micros).contains(&now.micros_since(*oldest)) {
                break;
            }
            self.admitted.pop_front();
        }
    }
}
