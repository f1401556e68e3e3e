//! Which span is asked for. PURE. Here: where a lane can be judged now, and how many requests that
//! takes. Never here: the request; what its answer means. Read next: [`super::settler`].
//!
//! A total can be judged only where nothing moves: no event in flight, unknown or tried and
//! waiting, and none that is too young. A lane that is never at rest would never be judged, so the
//! span ends before the first such event, or begins after it.

use std::collections::BTreeSet;

use super::calendar::ceiling;
use super::explain::{Share, is_young, share};
use crate::domain::reading::Grouping;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp, Window};
use crate::ledger::reconcile::{LaneEvent, Standing, UnprovenLane};
use crate::provider::ReadBack;

/// Longest span, in days: a day more than any provider takes usage late. What is held for longer
/// waits for a person, and must not keep newer usage from being judged.
pub const SPAN_DAYS_MAX: i64 = 36;
/// Parts that one request tells, by the least that a provider gives.
const PARTS_PER_CALL: i64 = 100;

/// What decides whether an event can be judged.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    /// What the provider promises of its totals.
    pub promise: &'a ReadBack,
    /// The provider's clock.
    pub provider_now: Timestamp,
    /// Whether what a lost ledger may have told can be judged.
    pub caught_up: bool,
}

impl Outlook<'_> {
    /// Whether nothing can be said of any total that may contain the event.
    #[must_use]
    pub fn blocks(&self, event: &LaneEvent) -> bool {
        let moving = |standing: &Standing| match standing.state {
            EventState::InFlight | EventState::Unknown => true,
            EventState::Pending => standing.attempts > 0,
            EventState::Held => standing.hold == Some(HoldReason::Restored) && !self.caught_up,
            EventState::Accepted
            | EventState::Settled
            | EventState::Void
            | EventState::Superseded
            | EventState::Dead => false,
        };
        moving(&event.usage)
            || event.cancel.as_ref().is_some_and(moving)
            || is_young(event, self.provider_now, self.promise)
    }
}

/// Where the events of a lane are looked for, the first place first: from the UTC day of its oldest
/// unproven usage to the end of the UTC day of the newest. Where that is too long for one span, its
/// end and the first of it that the provider said yes to take turns: what is held at either for a
/// person must not keep the other from being judged.
#[must_use]
pub fn horizons(lane: &UnprovenLane) -> Vec<Window> {
    const LONGEST: i64 = SPAN_DAYS_MAX * MICROS_PER_DAY;
    let end = lane.newest.floor_to(MICROS_PER_DAY).plus_micros(MICROS_PER_DAY);
    let oldest = lane.oldest.floor_to(MICROS_PER_DAY);
    let newer = Window { start: oldest.max(end.plus_micros(-LONGEST)), end };
    let older = lane
        .accepted_from
        .map(|from| from.floor_to(MICROS_PER_DAY))
        .filter(|from| *from < newer.start)
        .map(|start| Window { start, end: start.plus_micros(LONGEST) });
    match older {
        None => vec![newer],
        Some(older) if lane.last_from.is_some_and(|from| from >= newer.start) => vec![older, newer],
        Some(older) => vec![newer, older],
    }
}

/// The parts of a horizon that this program alone tells from `bill_from` on, and how finely each is
/// asked for. A day or an hour that this instant lies in has no total that is not another program's
/// as well: the rest of it is asked for as a whole.
#[must_use]
pub fn own_parts(
    horizon: Window,
    grouping: Grouping,
    bill_from: Option<Timestamp>,
) -> Vec<(Window, Grouping)> {
    let Some(from) = bill_from.filter(|from| horizon.start < *from) else {
        return vec![(horizon, grouping)];
    };
    let start = match grouping {
        Grouping::Whole => from,
        Grouping::Day => ceiling(from, MICROS_PER_DAY),
        Grouping::Hour => ceiling(from, MICROS_PER_HOUR),
    };
    let parts = [
        (Window { start, end: horizon.end }, grouping),
        (Window { start: from, end: start.min(horizon.end) }, Grouping::Whole),
    ];
    parts.into_iter().filter(|(part, _)| part.start < part.end).collect()
}

/// The span to be asked for: `events` are all of the lane within `horizon`, oldest first. Nothing
/// where nothing can be judged yet.
#[must_use]
pub fn plan(
    grouping: Grouping,
    horizon: Window,
    events: &[LaneEvent],
    outlook: &Outlook<'_>,
) -> Option<Window> {
    let grain = match grouping {
        Grouping::Whole => outlook.promise.grain_micros,
        Grouping::Day => MICROS_PER_DAY,
        Grouping::Hour => MICROS_PER_HOUR,
    };
    let blocked: BTreeSet<Timestamp> = events
        .iter()
        .filter(|event| outlook.blocks(event))
        .map(|event| event.occurred_at.floor_to(grain))
        .collect();
    let first = events
        .iter()
        .filter(|event| share(event) == Share::Open)
        .map(|event| event.occurred_at.floor_to(grain))
        .find(|part| !blocked.contains(part))?;
    let (start, end) = match grouping {
        Grouping::Whole => {
            let before = blocked.range(..first).next_back();
            let start = before.map_or(horizon.start, |at| at.plus_micros(grain));
            (start, blocked.range(first..).next().copied().unwrap_or(horizon.end))
        }
        // Each part is judged by itself, and one that is blocked is left out then.
        Grouping::Day | Grouping::Hour => {
            (first.floor_to(MICROS_PER_DAY).max(horizon.start), horizon.end)
        }
    };
    // Whether a provider tells of a span that is not over is not known.
    let end = end.min(outlook.provider_now.floor_to(grain));
    (first < end).then_some(Window { start, end })
}

/// How many requests a span takes at most.
#[must_use]
pub fn calls(grouping: Grouping, span: Window) -> u32 {
    let length = span.end.micros_since(span.start);
    let parts = match grouping {
        Grouping::Whole => 1,
        Grouping::Day => length / MICROS_PER_DAY,
        Grouping::Hour => length / MICROS_PER_HOUR,
    };
    u32::try_from((parts + PARTS_PER_CALL - 1) / PARTS_PER_CALL).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::EventId;
    use crate::domain::names::{AccountName, ProviderMeter};
    use crate::domain::quantity::Quantity;
    use crate::domain::time::MICROS_PER_MINUTE;
    use crate::ledger::reconcile::LaneId;

    const PROMISE: ReadBack = ReadBack {
        lag_micros: 7 * MICROS_PER_HOUR,
        landing_micros: 24 * MICROS_PER_HOUR,
        grain_micros: MICROS_PER_MINUTE,
        digits_max: 15,
    };
    /// Midnight of a day.
    const DAY: Timestamp = Timestamp::from_seconds(20_717 * 86_400);

    fn minute(minute: i64) -> Timestamp {
        DAY.plus_micros(minute * MICROS_PER_MINUTE)
    }

    fn event(at: i64, state: EventState, sent_at: i64) -> LaneEvent {
        let usage = Standing {
            event: EventId(at),
            state,
            may_exist: true,
            hold: None,
            attempts: 1,
            last_at: minute(sent_at),
        };
        LaneEvent {
            usage,
            cancel: None,
            balance: BalanceId(1),
            window: Window { start: minute(at), end: minute(at + 1) },
            quantity: Quantity::one(),
            level: None,
            occurred_at: minute(at).plus_seconds(30),
        }
    }

    fn planned(grouping: Grouping, events: &[LaneEvent], now: i64) -> Option<(i64, i64)> {
        let outlook = Outlook { promise: &PROMISE, provider_now: minute(now), caught_up: true };
        let lane = UnprovenLane {
            lane: LaneId(1),
            meter: ProviderMeter::new("calls").unwrap(),
            account: AccountName::new("cus_1").unwrap(),
            grouping,
            waits: false,
            oldest: events.first().unwrap().occurred_at,
            newest: events.last().unwrap().occurred_at,
            accepted_from: None,
            last_from: None,
            first_seen: None,
        };
        let span = plan(grouping, horizons(&lane)[0], events, &outlook)?;
        let minutes = |at: Timestamp| at.micros_since(DAY) / MICROS_PER_MINUTE;
        Some((minutes(span.start), minutes(span.end)))
    }

    #[test]
    fn a_lane_that_is_never_at_rest_is_judged_up_to_where_it_rests() {
        let accepted = |at| event(at, EventState::Accepted, at + 60);
        let all: Vec<LaneEvent> = (0..20).map(|each| accepted(100 + 60 * each)).collect();
        // At minute 1,000 those sent before minute 580 are old enough.
        assert_eq!(planned(Grouping::Whole, &all, 1_000), Some((0, 580)));
        // A whole day later everything is.
        assert_eq!(planned(Grouping::Whole, &all, 3_000), Some((0, 1_440)));
        let mut moving = all.clone();
        moving[0] = event(100, EventState::Unknown, 160);
        assert_eq!(planned(Grouping::Whole, &moving, 1_000), Some((101, 580)));
        assert_eq!(planned(Grouping::Whole, &all[15..], 1_000), None);
    }

    #[test]
    fn nothing_is_asked_for_that_another_program_told() {
        let day = Window { start: DAY, end: minute(3 * 1_440) };
        let said = |grouping, from: Option<i64>| -> Vec<(i64, i64, Grouping)> {
            let minutes = |at: Timestamp| at.micros_since(DAY) / MICROS_PER_MINUTE;
            own_parts(day, grouping, from.map(minute))
                .into_iter()
                .map(|(part, grouping)| (minutes(part.start), minutes(part.end), grouping))
                .collect()
        };
        let (whole, day, hour) = (Grouping::Whole, Grouping::Day, Grouping::Hour);
        assert_eq!(said(day, None), [(0, 4_320, day)]);
        assert_eq!(said(day, Some(-10)), [(0, 4_320, day)]);
        assert_eq!(said(whole, Some(90)), [(90, 4_320, whole)]);
        assert_eq!(said(day, Some(90)), [(1_440, 4_320, day), (90, 1_440, whole)]);
        assert_eq!(said(hour, Some(90)), [(120, 4_320, hour), (90, 120, whole)]);
        assert_eq!(said(hour, Some(120)), [(120, 4_320, hour)]);
        assert_eq!(said(day, Some(4_000)), [(4_000, 4_320, whole)]);
        assert_eq!(said(whole, Some(5_000)), []);
    }

    #[test]
    fn days_and_hours_are_asked_for_whole_and_when_they_are_over() {
        let one = [event(100, EventState::Accepted, 160)];
        assert_eq!(planned(Grouping::Hour, &one, 1_000), Some((0, 960)));
        assert_eq!(planned(Grouping::Day, &one, 1_000), None);
        assert_eq!(planned(Grouping::Day, &one, 1_500), Some((0, 1_440)));
        assert_eq!(planned(Grouping::Whole, &one, 1_000), Some((0, 1_000)));
    }

    #[test]
    fn what_was_held_for_long_does_not_keep_newer_usage_from_being_judged() {
        let days = 50 * 1_440;
        let events = [
            event(100, EventState::Held, 160),
            event(days + 100, EventState::Accepted, days + 160),
        ];
        let span = planned(Grouping::Whole, &events, days + 3_000).unwrap();
        assert_eq!(span, (days + 1_440 - SPAN_DAYS_MAX * 1_440, days + 1_440));
    }

    #[test]
    fn what_was_accepted_long_before_takes_turns_with_what_is_held() {
        let days = |count: i64| DAY.plus_micros(count * MICROS_PER_DAY);
        let lane = |last_from| UnprovenLane {
            lane: LaneId(1),
            meter: ProviderMeter::new("calls").unwrap(),
            account: AccountName::new("cus_1").unwrap(),
            grouping: Grouping::Whole,
            waits: true,
            oldest: days(0),
            newest: days(90),
            accepted_from: Some(days(10)),
            last_from,
            first_seen: None,
        };
        let begins = |last_from| {
            let starts = horizons(&lane(last_from))
                .into_iter()
                .map(|window| window.start.micros_since(DAY) / MICROS_PER_DAY);
            starts.collect::<Vec<_>>()
        };
        assert_eq!(begins(None), [55, 10]);
        assert_eq!(begins(Some(days(60))), [10, 55]);
        assert_eq!(begins(Some(days(10))), [55, 10]);
    }

    #[test]
    fn a_span_takes_a_request_for_each_hundred_parts() {
        let days = |count| Window { start: DAY, end: DAY.plus_micros(count * MICROS_PER_DAY) };
        assert_eq!(calls(Grouping::Whole, days(36)), 1);
        assert_eq!(calls(Grouping::Day, days(36)), 1);
        assert_eq!(calls(Grouping::Hour, days(4)), 1);
        assert_eq!(calls(Grouping::Hour, days(36)), 9);
    }
}
