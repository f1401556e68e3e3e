//! Rate limits. Here: a window that slides exactly. Never here: the sandbox's own pace.
//! Read next: [`super::gate`].

use std::collections::VecDeque;

use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// Admits at most `limit` requests within any second, exactly: it remembers when each of the last
/// `limit` were admitted. A token bucket would let a burst at the border of two seconds through.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: Option<usize>,
    admitted: VecDeque<Timestamp>,
}

impl Limiter {
    pub(super) fn new(limit: Option<u32>) -> Self {
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { limit, admitted: VecDeque::new() }
    }

    /// Whether one more request may pass at `now`; if so, it is counted.
    pub(super) fn admit(&mut self, now: Timestamp) -> bool {
        let Some(limit) = self.limit else { return true };
        while let Some(oldest) = self.admitted.front() {
            // An instant ahead of now means that the base clock was set back: start afresh.
            if (0..MICROS_PER_SECOND).contains(&now.micros_since(*oldest)) {
                break;
            }
            self.admitted.pop_front();
        }
        if self.admitted.len() >= limit {
            return false;
        }
        self.admitted.push_back(now);
        true
    }
}
