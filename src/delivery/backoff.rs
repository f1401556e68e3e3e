//! When to try again. PURE. Here: an instant from what is stored, spread by a hash. Never here: a
//! timer, chance. Read next: [`super::breaker`].

use super::Settings;
use crate::domain::digest::Fields;
use crate::domain::time::Timestamp;
use crate::ledger::delivery::Leased;

/// Doublings after which the longest wait is reached whatever the first one is.
const DOUBLINGS_MAX: i64 = 30;

/// When `leased` may be tried again after `failures` failed attempts in its life: the first wait,
/// doubled with each failure, at most the longest one, of which half is spread by a hash of the
/// event and the attempt. So a thousand events that failed together do not come back together, and
/// a replay waits exactly as long.
#[must_use]
pub fn next_attempt_at(
    leased: &Leased,
    failures: i64,
    settings: &Settings,
    now: Timestamp,
) -> Timestamp {
    let first = i64::from(settings.backoff_first_millis) * 1_000;
    let most = i64::from(settings.backoff_seconds_max) * 1_000_000;
    let doublings = (failures - 1).clamp(0, DOUBLINGS_MAX);
    let whole = first.saturating_mul(1 << doublings).min(most).max(1);
    let digest = Fields::of("backoff 1")
        .text(leased.identifier.as_str())
        .number(leased.attempt_number)
        .finish();
    let dice = i64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
    let half = whole / 2;
    now.plus_micros(whole - half + half * dice / i64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::settle::tests::{leased, settings};
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn waits_grow_stay_bounded_and_are_the_same_when_replayed() {
        let mut longest = 0;
        for failures in 1..200 {
            let at = next_attempt_at(&leased(false), failures, &settings(), NOON);
            let wait = at.micros_since(NOON);
            assert_eq!(at, next_attempt_at(&leased(false), failures, &settings(), NOON));
            assert!((250_000..=300_000_000).contains(&wait), "{wait}");
            longest = longest.max(wait);
        }
        assert!(longest > 150_000_000);
    }

    #[test]
    fn events_that_failed_together_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<i64> = (0..100)
            .map(|attempt| {
                let mut leased = leased(false);
                leased.attempt_number = attempt;
                next_attempt_at(&leased, 5, &settings(), NOON).micros()
            })
            .collect();
        assert!(waits.len() > 95);
    }
}
