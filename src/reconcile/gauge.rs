//! What a total of a gauge proves. PURE. Here: which reading it is, and what follows for those told
//! before and after. Never here: sums ([`super::explain`]). Read next: [`super::judge`].
//!
//! Of a gauge the provider tells the newest reading in a span. So its total is that of one event,
//! or nothing where none is there: the newest that is certain, or one that is newer and may be
//! there. What is newer than that one is not there. What is older no total tells, and it is on no
//! bill: it stays as it was told. A total speaks of one period, which is that of the newest event.

use super::calendar::ceiling;
use super::explain::{Finding, Share, is_young, provable_at, share};
use super::span::Outlook;
use crate::domain::quantity::Quantity;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::reconcile::LaneEvent;
use crate::provider::ReadBack;

/// Whether these are events of a gauge.
#[must_use]
pub fn is_gauge(events: &[LaneEvent]) -> bool {
    events.iter().any(|event| event.level.is_some())
}

/// Of a gauge's events, oldest first, those of the period of the newest that may count; of any
/// others all.
#[must_use]
pub fn newest_period(events: &[LaneEvent]) -> &[LaneEvent] {
    let newest = events.iter().rfind(|event| share(event) != Share::Nothing);
    let Some(newest) = newest.filter(|event| event.level.is_some()) else { return events };
    let from = bounds(events).filter(|bound| *bound <= newest.occurred_at).max();
    let from = from.unwrap_or(newest.occurred_at);
    let before = events.partition_point(|event| event.occurred_at < from);
    events.get(before..).unwrap_or_default()
}

/// The events of a gauge's periods before the newest that share with it the grain in which it
/// begins, where something of it is there: a total of that grain tells only of the newest period.
pub fn hidden<'e>(
    events: &'e [LaneEvent],
    counts: &[bool],
    grain_micros: i64,
) -> impl Iterator<Item = &'e LaneEvent> {
    let newest = newest_period(events);
    let (before, _) = events.split_at(events.len() - newest.len());
    let begins = newest.first().map(|event| event.window.start.floor_to(grain_micros));
    let begins = begins.filter(|_| is_gauge(newest) && counts.contains(&true));
    before.iter().filter(move |event| begins.is_some_and(|begins| begins <= event.occurred_at))
}

/// Where the periods of a gauge's events begin and end, as far as their balances know: an event may
/// have been told before its own period was learned.
fn bounds(events: &[LaneEvent]) -> impl Iterator<Item = Timestamp> {
    events.iter().flat_map(|event| [event.window.start, event.window.end])
}

/// The part of a horizon that a total of a gauge is asked for: of one period, from the first event
/// on that can be judged. The horizon itself where its events are of no gauge.
#[must_use]
pub fn within_period(horizon: Window, events: &[LaneEvent], outlook: &Outlook<'_>) -> Window {
    let can_be_judged = |event: &&LaneEvent| {
        event.level.is_some() && share(event) == Share::Open && !outlook.blocks(event)
    };
    let Some(first) = events.iter().find(can_be_judged) else { return horizon };
    let grain = outlook.promise.grain_micros;
    let start = horizon.start.max(first.occurred_at.floor_to(grain));
    let bound = bounds(events).filter(|bound| first.occurred_at < *bound).min();
    let bound = bound.unwrap_or(horizon.end);
    let (whole, over) = (bound.floor_to(grain), ceiling(bound, grain));
    // What the next period was told within the grain that both share would be all that is seen.
    let next = Window { start: bound, end: over };
    let is_shared = events
        .iter()
        .any(|event| next.contains(event.occurred_at) && share(event) != Share::Nothing);
    let end = if is_shared && first.occurred_at < whole { whole } else { over };
    Window { start, end: horizon.end.min(end) }
}

/// What the newest reading of a span may be: the one that is certain, or nothing where none is, and
/// each that is newer and may be there, with its place.
fn candidates(
    events: &[LaneEvent],
    share: impl Fn(&LaneEvent) -> Share,
) -> Vec<(Option<usize>, Quantity)> {
    let mut newest_first = Vec::new();
    for (place, event) in events.iter().enumerate().rev() {
        let level = || event.level.clone().unwrap_or_default();
        match share(event) {
            Share::Nothing => {}
            Share::Open => newest_first.push((Some(place), level())),
            Share::All => {
                newest_first.push((Some(place), level()));
                return newest_first;
            }
        }
    }
    newest_first.push((None, Quantity::zero()));
    newest_first
}

/// The least and the most that the newest reading of a span may be.
#[must_use]
pub fn range(events: &[LaneEvent], share: impl Fn(&LaneEvent) -> Share) -> (Quantity, Quantity) {
    let values: Vec<Quantity> =
        candidates(events, share).into_iter().map(|(_, value)| value).collect();
    let (low, high) = (values.iter().min().cloned(), values.iter().max().cloned());
    (low.unwrap_or_default(), high.unwrap_or_default())
}

/// What `total`, read when the provider's clock was at a time, proves of a gauge's `events` of one
/// period, oldest first.
#[must_use]
pub fn explain(
    total: &Quantity,
    events: &[LaneEvent],
    (read_at, promise): (Timestamp, &ReadBack),
) -> Finding {
    if events.iter().any(|event| is_young(event, read_at, promise)) {
        return Finding::Early;
    }
    if total.digits() > promise.digits_max {
        return Finding::Incomparable;
    }
    // Of several that say the same the newest: nobody could tell them apart, and it is as told.
    let is = |(_, value): &(Option<usize>, Quantity)| value == total;
    let Some((newest, _)) = candidates(events, share).into_iter().find(is) else {
        return Finding::Unexplained;
    };
    let counts = |place: usize| newest.is_some_and(|newest| place <= newest);
    let is_ripe = |(place, event): (usize, &LaneEvent)| {
        let is_open = share(event) == Share::Open;
        // An older one is as it was told, whether it is there or not.
        let is_older = newest.is_some_and(|newest| place < newest);
        !is_open || is_older || provable_at(event, counts(place), promise) <= read_at
    };
    if !events.iter().enumerate().all(is_ripe) {
        return Finding::Early;
    }
    let there = |(place, event): (usize, &LaneEvent)| match share(event) {
        Share::All => true,
        Share::Nothing => false,
        Share::Open => counts(place),
    };
    Finding::Settled(events.iter().enumerate().map(there).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::EventId;
    use crate::domain::state::{EventState, HoldReason};
    use crate::domain::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE};
    use crate::ledger::reconcile::Standing;
    use EventState::{Accepted, Held, Settled};

    const PROMISE: ReadBack = ReadBack {
        lag_micros: 7 * MICROS_PER_HOUR,
        landing_micros: 24 * MICROS_PER_HOUR,
        grain_micros: MICROS_PER_MINUTE,
        digits_max: 15,
    };
    const SENT: Timestamp = Timestamp::from_seconds(1_790_000_040);

    /// Events told a minute apart, each of a state and the level that it says.
    fn told(all: &[(EventState, i64)]) -> Vec<LaneEvent> {
        let mut before = 0;
        let event = |(id, (state, level)): (i64, &(EventState, i64))| {
            let hold = (*state == Held).then_some(HoldReason::WindowPassed);
            let usage = Standing {
                event: EventId(id),
                state: *state,
                may_exist: true,
                hold,
                attempts: 1,
                last_at: SENT,
            };
            let quantity = Quantity::from(level - std::mem::replace(&mut before, *level));
            let occurred_at = SENT.plus_seconds(60 * id);
            let (balance, window) = (BalanceId(1), Window::ALWAYS);
            let level = Some(Quantity::from(*level));
            LaneEvent { usage, cancel: None, balance, window, quantity, level, occurred_at }
        };
        (0..).zip(all).map(event).collect()
    }

    fn check(total: i64, events: &[LaneEvent], hours: i64, expected: Finding) {
        let read_at = SENT.plus_micros(hours * MICROS_PER_HOUR);
        let total = Quantity::from(total);
        assert_eq!(explain(&total, events, (read_at, &PROMISE)), expected);
    }

    #[test]
    fn the_newest_that_a_total_can_be_is_there_and_what_is_newer_is_not() {
        let events = told(&[(Settled, 10), (Accepted, 15), (Accepted, 12)]);
        check(12, &events, 8, Finding::Settled(vec![true, true, true]));
        check(15, &events, 32, Finding::Settled(vec![true, true, false]));
        check(10, &events, 32, Finding::Settled(vec![true, false, false]));
        // Of changes, 10 less 3 would explain it.
        check(7, &events, 32, Finding::Unexplained);
    }

    #[test]
    fn nothing_is_absent_that_may_still_land_nor_there_that_is_too_young() {
        let events = told(&[(Settled, 10), (Accepted, 15)]);
        check(15, &events, 6, Finding::Early);
        check(10, &events, 30, Finding::Early);
        check(10, &events, 31, Finding::Settled(vec![true, false]));
    }

    #[test]
    fn a_total_of_nothing_is_that_of_no_event_at_all_or_of_one_that_says_nothing() {
        check(0, &told(&[(Held, 5)]), 32, Finding::Settled(vec![false]));
        check(0, &told(&[(Accepted, 5), (Accepted, 0)]), 8, Finding::Settled(vec![true, true]));
    }

    #[test]
    fn of_two_that_say_the_same_it_is_as_told() {
        let events = told(&[(Settled, 5), (Accepted, 8), (Accepted, 5)]);
        check(5, &events, 8, Finding::Settled(vec![true, true, true]));
    }

    #[test]
    fn only_the_newest_period_is_judged() {
        let mut events = told(&[(Accepted, 5), (Accepted, 8), (Accepted, 9)]);
        let bound = events[1].occurred_at;
        events[0].window.end = bound;
        for event in &mut events[1..] {
            event.window.start = bound;
        }
        assert_eq!(newest_period(&events), &events[1..]);
        assert_eq!(newest_period(&events[..1]), &events[..1]);
        let now = SENT.plus_micros(40 * MICROS_PER_HOUR);
        let outlook = Outlook { promise: &PROMISE, provider_now: now, caught_up: true };
        let horizon = Window { start: SENT.plus_seconds(-600), end: now };
        let asked = within_period(horizon, &events, &outlook);
        assert_eq!(asked, Window { start: SENT, end: bound });
    }

    #[test]
    fn what_shares_its_minute_with_the_next_period_is_hidden_once_something_of_that_is_there() {
        let mut events = told(&[(Accepted, 5), (Accepted, 8), (Accepted, 9)]);
        let bound = events[2].occurred_at.plus_seconds(-10);
        events[1].occurred_at = bound.plus_seconds(-10);
        events[2].window.start = bound;
        for event in &mut events[..2] {
            event.window.end = bound;
        }
        events[2].occurred_at = bound.plus_seconds(5);
        let levels = |counts: &[bool]| -> Vec<String> {
            let found = hidden(&events, counts, MICROS_PER_MINUTE);
            found.filter_map(|event| Some(event.level.clone()?.to_string())).collect()
        };
        assert_eq!(levels(&[true]), ["8"]);
        assert_eq!(levels(&[false]), [""; 0]);
    }

    #[test]
    fn what_may_be_there_makes_the_range_and_what_it_came_after_does_not() {
        let events = told(&[(Accepted, 50), (Settled, 10), (Accepted, 15), (Accepted, 12)]);
        let whole = |value: i64| Quantity::from(value);
        assert_eq!(range(&events, share), (whole(10), whole(15)));
        assert_eq!(range(&events[..1], share), (whole(0), whole(50)));
    }
}
