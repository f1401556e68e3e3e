//! How fast a site is read. PURE. Here: how long the next reading waits, so that readings and what
//! is told keep to one rate together. Never here: a timer ([`super::client`] sleeps), the pace of
//! what is told (`crate::delivery`). Read next: [`super::client`].
//!
//! A site counts all requests of a minute, and one that is asked for more is blocked with everybody
//! who uses it. What is told keeps to the rate by itself, and goes first: it only leaves its mark
//! here. A reading waits until there is room beside that; but not for ever, as what is told must
//! not keep tallyd from learning that a term has ended.

use std::time::Duration;

/// Longest time that a reading waits. Three services read, each one thing at a time: that is 18
/// readings a minute beside what is told, which leaves the most of the third that a site keeps for
/// others (`super::settings::RATE_PER_MINUTE`).
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Requests that may go at once after a silence: a question takes two or three.
const BURST: u32 = 5;
/// How far what went is remembered: longer than a minute of it says nothing of the next minute.
const REMEMBERED_MAX: Duration = Duration::from_secs(60);

/// The pace of one site. Times are those since any one moment, by a clock that does not run
/// backwards.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// When all that went would have gone, had it gone evenly.
    even_until: Option<Duration>,
}

impl Pace {
    /// A pace of so many requests a minute.
    #[must_use]
    pub fn new(requests_per_minute: u32) -> Self {
        let interval = Duration::from_secs(60) / requests_per_minute.max(1);
        Self { interval, even_until: None }
    }

    /// Takes note of a request that goes now.
    pub fn note(&mut self, now: Duration) {
        let even_until = self.even_until.map_or(now, |at| at.max(now)) + self.interval;
        self.even_until = Some(even_until.min(now + REMEMBERED_MAX));
    }

    /// Takes note of a reading, and says how long it waits.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let ahead = self.even_until.map_or(Duration::ZERO, |at| at.saturating_sub(now));
        self.note(now);
        ahead.saturating_sub(self.interval * (BURST - 1)).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Reads as often as it may for `seconds`, beside `told` requests a minute that are told; how
    /// many readings went.
    fn readings(pace: &mut Pace, start: Duration, seconds: u32, told: u32) -> u32 {
        let (end, mut now) = (start + SECOND * seconds, start);
        let mut next_told = (told > 0).then_some(start);
        let mut count = 0;
        while now < end {
            let at = now + pace.wait(now);
            while let Some(told_at) = next_told.filter(|told_at| *told_at <= at) {
                pace.note(told_at);
                next_told = Some(told_at + Duration::from_secs(60) / told);
            }
            now = at;
            count += 1;
        }
        count
    }

    #[test]
    fn readings_alone_keep_to_the_rate_after_a_first_few() {
        let mut pace = Pace::new(60);
        let start = Duration::from_secs(1_000);
        let waits: Vec<Duration> = (0..8).map(|_| pace.wait(start)).collect();
        let seconds: Vec<u64> = waits.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 0, 1, 2, 3]);
        let count = readings(&mut Pace::new(60), start, 600, 0);
        assert!((600..=606).contains(&count), "{count}");
    }

    #[test]
    fn what_is_told_goes_first_and_keeps_no_reading_for_ever() {
        let start = Duration::from_secs(1_000);
        let beside_half = readings(&mut Pace::new(100), start, 600, 50);
        assert!((480..=520).contains(&beside_half), "{beside_half}");
        let beside_all = readings(&mut Pace::new(100), start, 600, 100);
        assert!((60..=80).contains(&beside_all), "{beside_all}");
    }

    #[test]
    fn a_silence_is_not_saved_up() {
        let mut pace = Pace::new(60);
        let start = Duration::from_secs(1_000);
        pace.note(start);
        let later = start + SECOND * 3_600;
        let waited: Duration = (0..6).map(|_| pace.wait(later)).sum();
        assert_eq!(waited, SECOND);
    }
}
