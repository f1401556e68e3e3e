//! How fast. Here: the request budget of one provider instance, a pure state machine over a clock
//! that the caller tells it. Never here: a timer, a lane, when to try an event again
//! (`delivery::settle`). Read next: [`crate::ledger::delivery`].
//!
//! Two promises, for a quota of Q requests a second:
//!
//! - the receiver never sees more than Q in any second, wherever that second starts, as long as the
//!   way there makes no request more than [`JITTER_NANOS`] later than another;
//! - at least 98 % of Q is used, when there is work and the caller wakes within [`TOLERANCE_NANOS`]
//!   of the time it was told.
//!
//! So a bucket is not enough: one that holds a second's worth lets 2·Q through in its first second,
//! and one that holds a single request loses a timer tick with each. This one holds the tolerance's
//! worth, and spaces requests by `(1 s + tolerance + jitter) / Q`: any Q + 1 in a row then span at
//! least a second and the jitter. The rule is the same for every Q. A quota too small to have more
//! than one request in the tolerance has no burst at all, and its requests are evenly spaced: at 1
//! a second one leaves every 1.016 s, at 25 one every 40.6 ms.
//!
//! Others may use the same quota. So a 429 lowers the rate, at once and for long, and time without
//! one raises it slowly.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::Rate;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// How late a caller may wake without losing its turn, in nanoseconds: a few ticks of a timer that
/// ticks every millisecond. It is also the burst's worth.
pub const TOLERANCE_NANOS: u64 = 5_000_000;
/// How much later than another a request may arrive, in nanoseconds. On a loopback 0.9 % of a
/// second was measured.
pub const JITTER_NANOS: u64 = 11_000_000;
/// The rate is kept in thousandths of a request a second, so that small rates can rise slowly too.
const MILLI: u64 = 1000;
/// The rate that a lowered budget never falls below, in thousandths of a request a second, unless
/// it was set to less than [`RAISED_PARTS`] times that: then it is a step. Slow enough for any
/// provider, and fast enough to notice that the storm is over.
const RATE_MIN: u64 = MILLI;
/// What is left of the rate after a 429, in tenths.
const LOWERED_TENTHS: u64 = 7;
/// The rate is lowered at most once in this time, in nanoseconds: what was in flight when the first
/// 429 came back is answered by more of them, which say nothing new.
const LOWERED_EVERY: u64 = SECOND;
/// Time without a 429 after which the rate rises by a step, in nanoseconds: long enough to see
/// whether the last step was one too many.
const RAISED_EVERY: u64 = 10 * SECOND;
/// A step upwards is the configured rate divided by this: from the floor to the full rate in 200 s.
const RAISED_PARTS: u64 = 20;
/// Longest time that a provider's wish to wait is honoured for, in seconds: an hour. A longer one
/// would stop a provider's delivery for longer than an operator overlooks; the next 429 may ask
/// again.
const PAUSE_SECONDS_MAX: u32 = 3600;
/// A clock that goes back by more than this was set back, and time goes on from there; less is the
/// order in which callers read it. In nanoseconds.
const SET_BACK: u64 = SECOND;
/// Parts that a request is counted in, so that the burst can be a fraction of one.
const CELLS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not zero");

/// The clock that the limiter reads: whatever the caller said last.
#[derive(Clone, Debug, Default)]
struct ToldClock(Arc<AtomicU64>);

impl ToldClock {
    fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for ToldClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.get())
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Nanos>>;

/// How many requests may go to one provider instance, and when. Times are nanoseconds of any one
/// clock that does not run backwards; a monotonic one is best.
pub struct Budget {
    clock: ToldClock,
    limiter: Limiter,
    /// The configured rate, in thousandths of a request a second.
    ceiling: u64,
    /// Nothing is sent for this long after a 429 that names no time.
    pause_unasked: u64,
    /// The present rate, in the same.
    rate: u64,
    /// Nothing is sent before this.
    closed_until: u64,
    /// When the rate was last lowered.
    lowered_at: Option<u64>,
    /// Since when the present rate has seen no 429.
    quiet_since: u64,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("ceiling", &self.ceiling)
            .field("rate", &self.rate)
            .field("closed_until", &self.closed_until)
            .finish_non_exhaustive()
    }
}

impl Budget {
    /// A budget for a receiver that shall see at most `rate`, and that is left alone for
    /// `limited_pause_seconds` when it says that this is too much and not for how long.
    #[must_use]
    pub fn new(rate: Rate, limited_pause_seconds: u32) -> Self {
        let requests = u64::from(rate.requests.max(1)) * MILLI;
        let ceiling = (requests / u64::from(rate.seconds.get())).max(1);
        let clock = ToldClock::default();
        Self {
            limiter: limiter(ceiling, &clock),
            clock,
            ceiling,
            pause_unasked: u64::from(limited_pause_seconds) * SECOND,
            rate: ceiling,
            closed_until: 0,
            lowered_at: None,
            quiet_since: 0,
        }
    }

    /// Takes one request out of the budget, at `now`.
    ///
    /// # Errors
    /// The nanoseconds to wait before asking again, when there is none. Never zero.
    pub fn try_take(&mut self, now: u64) -> Result<(), u64> {
        let now = self.advance(now);
        self.recover(now);
        if now < self.closed_until {
            return Err(self.closed_until - now);
        }
        match self.limiter.check_n(CELLS).expect("the burst holds at least one whole request") {
            Ok(()) => Ok(()),
            Err(not_until) => {
                let wait = not_until.wait_time_from(Nanos::new(now));
                Err(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX).max(1))
            }
        }
    }

    /// Takes note of a 429: nothing is sent until what the provider asked for has passed, and then
    /// more slowly than before.
    pub fn rate_limited(&mut self, now: u64, retry_after_seconds: Option<u32>) {
        let now = self.advance(now);
        self.recover(now);
        let pause = match retry_after_seconds {
            Some(seconds) => u64::from(seconds.min(PAUSE_SECONDS_MAX)) * SECOND,
            None => self.pause_unasked,
        };
        self.closed_until = self.closed_until.max(now.saturating_add(pause));
        self.quiet_since = self.closed_until;
        if self.lowered_at.is_none_or(|at| now.saturating_sub(at) >= LOWERED_EVERY) {
            self.lowered_at = Some(now);
            let least = RATE_MIN.min(self.ceiling.div_ceil(RAISED_PARTS));
            self.set_rate((self.rate * LOWERED_TENTHS / 10).max(least));
        }
    }

    /// The present rate, in whole requests a second that the receiver may see.
    #[must_use]
    pub fn current_rate(&self) -> u32 {
        u32::try_from(self.rate / MILLI).unwrap_or(u32::MAX)
    }

    /// Raises the rate by a step for each quiet span since the last 429 or step.
    fn recover(&mut self, now: u64) {
        let quiet = now.saturating_sub(self.quiet_since);
        if self.rate >= self.ceiling {
            return;
        }
        let steps = quiet / RAISED_EVERY;
        if steps > 0 {
            self.quiet_since += steps * RAISED_EVERY;
            let step = self.ceiling.div_ceil(RAISED_PARTS);
            let raised = self.rate.saturating_add(step.saturating_mul(steps));
            self.set_rate(raised.min(self.ceiling));
        }
    }

    /// Goes on at another rate, with nothing left of the burst: so the change itself lets no second
    /// see more than the higher of the two rates.
    fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
        self.limiter = limiter(rate, &self.clock);
        self.empty();
    }

    fn empty(&self) {
        let cells = burst_cells(self.rate);
        // A new limiter is full, so this takes exactly what is there.
        let taken = self.limiter.check_n(cells).expect("the burst holds itself");
        debug_assert!(taken.is_ok(), "a limiter that was just made is full");
    }

    /// The time to go by. It never goes back, unless the clock was set back: then everything this
    /// budget waits for moves with it, and the burst is forgotten.
    fn advance(&mut self, now: u64) -> u64 {
        let newest = self.clock.get();
        if now >= newest {
            self.clock.set(now);
            return now;
        }
        let back = newest - now;
        if back <= SET_BACK {
            return newest;
        }
        self.closed_until = self.closed_until.saturating_sub(back);
        self.quiet_since = self.quiet_since.saturating_sub(back);
        self.lowered_at = self.lowered_at.map(|at| at.saturating_sub(back));
        self.clock.set(now);
        self.set_rate(self.rate);
        now
    }
}

/// The time of one cell at `rate`, in nanoseconds, rounded up: never faster than promised.
fn cell_nanos(rate: u64) -> u64 {
    let span = SECOND + TOLERANCE_NANOS + JITTER_NANOS;
    (span * MILLI).div_ceil(rate * u64::from(CELLS.get())).max(1)
}

/// One whole request, and what of the tolerance can be had at `rate`, rounded down.
fn burst_cells(rate: u64) -> NonZeroU32 {
    let tolerance = TOLERANCE_NANOS / cell_nanos(rate);
    CELLS.saturating_add(u32::try_from(tolerance).unwrap_or(u32::MAX))
}

/// A limiter that has its whole burst, at `rate`.
fn limiter(rate: u64, clock: &ToldClock) -> Limiter {
    let quota = Quota::with_period(Duration::from_nanos(cell_nanos(rate)))
        .expect("a cell takes at least a nanosecond")
        .allow_burst(burst_cells(rate));
    RateLimiter::direct_with_clock(quota, clock.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1_000_000;
    const QUOTAS: [u32; 12] = [1, 2, 3, 10, 20, 25, 99, 100, 101, 900, 1000, 10_000];

    /// A reproducible stream of numbers.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % bound
        }
    }

    /// Takes whatever can be had at each tick of a millisecond; `wanted` says whether there is
    /// work.
    fn run(
        budget: &mut Budget,
        from: u64,
        ticks: u64,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> Vec<u64> {
        let mut sent = Vec::new();
        for now in (0..ticks).map(|tick| from + tick * TICK) {
            if wanted(now) {
                while budget.try_take(now).is_ok() {
                    sent.push(now);
                }
            }
        }
        sent
    }

    /// Most arrivals in any second, wherever it starts.
    fn most_in_a_second(arrivals: &[u64]) -> usize {
        let mut start = 0;
        let mut most = 0;
        for (end, at) in arrivals.iter().enumerate() {
            while arrivals[start] + SECOND <= *at {
                start += 1;
            }
            most = most.max(end - start + 1);
        }
        most
    }

    fn within(most: usize, quota: u32) -> bool {
        most <= usize::try_from(quota).unwrap()
    }

    #[test]
    fn no_second_sees_more_than_the_quota_and_98_percent_of_it_is_used() {
        for quota in QUOTAS {
            let mut budget = Budget::new(Rate::per_second(quota), 1);
            let seconds = if quota < 1000 { 60 } else { 10 };
            let sent = run(&mut budget, 7 * SECOND, seconds * 1000, |_| true);
            let most = most_in_a_second(&sent);
            assert!(within(most, quota), "{quota}: {most}");
            let used = u64::try_from(sent.len()).unwrap() * 100;
            assert!(used >= 98 * seconds * u64::from(quota), "{quota}: {used}");
        }
    }

    #[test]
    fn the_wait_that_is_told_is_neither_too_short_nor_too_long() {
        for quota in QUOTAS {
            let mut budget = Budget::new(Rate::per_second(quota), 1);
            let (mut now, mut sent) = (SECOND, 0_u64);
            while now < 11 * SECOND {
                match budget.try_take(now) {
                    Ok(()) => sent += 1,
                    Err(wait) => {
                        assert!(wait == 1 || budget.try_take(now + wait - 1).is_err(), "{quota}");
                        now += wait;
                    }
                }
            }
            assert!(sent * 100 >= 95 * 10 * u64::from(quota), "{quota}: {sent}");
        }
    }

    #[test]
    fn idle_time_is_not_saved_up_and_late_arrivals_do_not_pile_up() {
        for quota in QUOTAS {
            let mut chance = Chance(u64::from(quota));
            let mut budget = Budget::new(Rate::per_second(quota), 1);
            let mut busy = true;
            let sent = run(&mut budget, 0, 20_000, |_| {
                if chance.below(200) == 0 {
                    busy = !busy;
                }
                busy
            });
            let mut arrivals: Vec<u64> =
                sent.iter().map(|at| at + chance.below(11 * TICK)).collect();
            arrivals.sort_unstable();
            let most = most_in_a_second(&arrivals);
            assert!(within(most, quota), "{quota}: {most}");
        }
    }

    #[test]
    fn a_storm_of_429_slows_down_to_the_floor_and_the_calm_after_it_brings_all_back() {
        for quota in QUOTAS {
            let mut budget = Budget::new(Rate::per_second(quota), 1);
            let mut all = Vec::new();
            let mut now = SECOND;
            for _ in 0..60 {
                all.extend(run(&mut budget, now, 2000, |_| true));
                now += 2 * SECOND;
                budget.rate_limited(now, None);
                budget.rate_limited(now + 1, None);
            }
            // One a second, or a twentieth of a quota that is small itself.
            assert_eq!(budget.current_rate(), u32::from(quota >= 20), "{quota}");
            let lowest = budget.current_rate();
            let mut before = lowest;
            for _ in 0..25 {
                all.extend(run(&mut budget, now, 10_000, |_| true));
                now += 10 * SECOND;
                assert!(budget.current_rate() >= before, "{quota}");
                before = budget.current_rate();
            }
            assert_eq!(budget.current_rate(), quota);
            let most = most_in_a_second(&all);
            assert!(within(most, quota), "{quota}: {most}");
        }
    }

    #[test]
    fn no_minute_sees_more_than_a_quota_by_the_minute_and_no_second_a_burst_of_it() {
        for quota in [1, 30, 100, 150, 1_000] {
            let mut budget = Budget::new(Rate::per_minute(quota), 60);
            let sent = run(&mut budget, SECOND, 200_000, |_| true);
            let in_minutes: Vec<u64> = sent.iter().map(|at| at / 60).collect();
            let most = most_in_a_second(&in_minutes);
            assert!(within(most, quota), "{quota}: {most}");
            let used = u64::try_from(sent.len()).unwrap() * 60 * 100;
            assert!(used >= 97 * 200 * u64::from(quota), "{quota}: {used}");
            assert!(within(most_in_a_second(&sent), quota.div_ceil(60) + 1), "{quota}");
        }
    }

    #[test]
    fn a_limiter_that_names_no_time_is_left_alone_for_as_long_as_was_set() {
        let mut budget = Budget::new(Rate::per_minute(100), 60);
        budget.rate_limited(SECOND, None);
        assert_eq!(budget.try_take(SECOND), Err(60 * SECOND));
        assert_eq!(budget.try_take(61 * SECOND), Ok(()));
        // More is asked for, and the rate is lower from then on.
        budget.rate_limited(62 * SECOND, Some(90));
        assert_eq!(budget.try_take(62 * SECOND), Err(90 * SECOND));
    }

    #[test]
    fn one_429_lowers_the_rate_once_however_often_it_is_told() {
        let mut budget = Budget::new(Rate::per_second(1000), 1);
        for at in 0..100 {
            budget.rate_limited(SECOND + at * TICK, None);
        }
        assert_eq!(budget.current_rate(), 700);
        budget.rate_limited(2 * SECOND, None);
        assert_eq!(budget.current_rate(), 490);
    }

    #[test]
    fn nothing_is_sent_until_the_provider_wants_it() {
        let mut budget = Budget::new(Rate::per_second(1000), 1);
        budget.rate_limited(SECOND, Some(7));
        // A later wish for less time does not shorten the first.
        budget.rate_limited(2 * SECOND, Some(1));
        assert_eq!(budget.try_take(2 * SECOND), Err(6 * SECOND));
        assert_eq!(budget.try_take(8 * SECOND - 1), Err(1));
        assert_eq!(budget.try_take(8 * SECOND), Ok(()));
        // Nobody waits for years.
        budget.rate_limited(9 * SECOND, Some(u32::MAX));
        assert_eq!(budget.try_take(9 * SECOND), Err(3600 * SECOND));
        // The time of the pause itself is no sign of calm.
        assert_eq!(budget.current_rate(), 343);
        assert_eq!(budget.try_take(3609 * SECOND), Ok(()));
        assert_eq!(budget.current_rate(), 343);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_stops_nor_floods() {
        let mut budget = Budget::new(Rate::per_second(100), 1);
        let start = 10_000 * SECOND;
        let sent = run(&mut budget, start, 2000, |_| true);
        assert!(sent.len() > 190);
        // Callers may read the clock in another order than they ask.
        assert!(budget.try_take(start + 1900 * TICK).is_err());
        let later = run(&mut budget, SECOND, 2000, |_| true);
        assert!((190..=200).contains(&later.len()), "{}", later.len());
        budget.rate_limited(3 * SECOND, Some(60));
        assert_eq!(budget.try_take(SECOND), Err(60 * SECOND));
    }

    #[test]
    fn a_quota_of_none_or_of_more_than_can_be_counted_still_works() {
        assert_eq!(Budget::new(Rate::per_second(0), 1).current_rate(), 1);
        let mut budget = Budget::new(Rate::per_second(u32::MAX), 1);
        assert_eq!(budget.try_take(0), Ok(()));
        budget.rate_limited(0, None);
        assert!(budget.current_rate() < u32::MAX);
    }
}
