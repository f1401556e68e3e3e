//! Which span is asked for. PURE. Here: where a lane can be judged now, and how many requests that
//! takes. Never here: the request; what its answer means. Read next: [`super::settler`].
//!
//! A total can be judged only where nothing moves: no event in flight, unknown or tried and waiting,
//! and none that is too young. A lane that is never at rest would never be judged, so the span ends
//! before the first such event, or begins after it.

use std::collections::BTreeSet;

use super::explain::{Share, open_cancel, share};
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
        let young = |standing: &Standing| {
            standing.last_at.plus_micros(self.promise.lag_micros) > self.provider_now
        };
        let unproven = share(event) == Share::Open;
        let both = || std::iter::once(&event.usage).chain(open_cancel(event));
        moving(&event.usage)
            || event.cancel.as_ref().is_some_and(moving)
            || (unproven && both().any(young))
    }
}

/// Where the events of a lane are looked for: from the UTC day of its oldest unproven usage to the
/// end of the UTC day of the newest.
#[must_use]
pub fn horizon(lane: &UnprovenLane) -> Window {
    let end = lane.newest.floor_to(MICROS_PER_DAY).plus_micros(MICROS_PER_DAY);
    let start = lane.oldest.floor_to(MICROS_PER_DAY);
    Window { start: start.max(end.plus_micros(-SPAN_DAYS_MAX * MICROS_PER_DAY)), end }
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
        Grouping::Day | Grouping::Hour => (first.floor_to(MICROS_PER_DAY), horizon.end),
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
