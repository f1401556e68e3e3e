//! What follows from a total. PURE. Here: a finding becomes moves, or only a sentence. Never here:
//! the search for explanations ([`super::explain`]); the moves themselves (see `store`). Read next:
//! [`super::span`].
//!
//! Nothing moves on a first look. What was proven present is settled, wherever it stood. Of what
//! was proven absent, a yes that came to nothing is held as disproved, and what was held only for
//! want of this proof goes again, as the same bytes. Where two explanations fit, what was accepted
//! is held; where none does, nothing moves, as the fault may lie with another writer.

use super::explain::{Finding, Share, explain, open_cancel, share};
use super::gauge::{hidden, newest_period};
use crate::domain::quantity::Quantity;
use crate::domain::reading::{FindingKind, Grouping};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp, Window};
use crate::ledger::reconcile::{Fate, Judged, LaneEvent, Standing, Untold, fingerprint};
use crate::provider::ReadBack;

/// How far apart the two looks at a total are at least, in microseconds: ten minutes. A total that
/// is made of several parts catches up with all of them, or with another copy of it, in less.
pub const LOOKS_APART_MICROS: i64 = 10 * MICROS_PER_MINUTE;
/// Most events that a sentence names; more only make it long.
const NAMED_MAX: usize = 10;

/// A total, beside the events that it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The span.
    pub span: Window,
    /// The total.
    pub total: &'a Quantity,
    /// All events of the lane with their time in the span.
    pub events: &'a [LaneEvent],
    /// What no event says and may count there all the same.
    pub untold: &'a [Untold],
    /// The provider's clock.
    pub read_at: Timestamp,
    /// How finely it was asked for.
    pub grouping: Grouping,
}

/// What the reading comes to if a second look says the same: its moves are those of that look.
#[must_use]
pub fn judge(reading: &Reading<'_>, promise: &ReadBack) -> Judged {
    let all = reading.events;
    let reading = &Reading { events: newest_period(all), ..*reading };
    let finding =
        explain(reading.total, reading.events, reading.untold, (reading.read_at, promise));
    let (kind, fates) = match &finding {
        Finding::Settled(counts) => {
            let hidden = hidden(all, counts, promise.grain_micros);
            let unproven: Vec<Fate> =
                hidden.filter_map(|event| unprovable(reading, &event.usage)).collect();
            let kind =
                if unproven.is_empty() { FindingKind::Settled } else { FindingKind::Ambiguous };
            (kind, proven(reading, counts).into_iter().chain(unproven).collect())
        }
        Finding::Early => (FindingKind::Early, Vec::new()),
        Finding::Ambiguous => (FindingKind::Ambiguous, doubted(reading, promise.grain_micros)),
        Finding::Unexplained => (FindingKind::Unexplained, Vec::new()),
        Finding::Incomparable => (FindingKind::Incomparable, Vec::new()),
    };
    Judged {
        span: reading.span,
        total: reading.total.clone(),
        fingerprint: fingerprint(all),
        detail: detail(reading, &finding, &fates),
        finding: kind,
        fates,
    }
}

/// A judgement of which the first look is to be kept: nothing moves yet.
#[must_use]
pub fn first_seen(judged: Judged) -> Judged {
    let finding = FindingKind::FirstSeen;
    let detail = format!("if a second look says the same: {}", judged.detail);
    Judged { finding, detail, fates: Vec::new(), ..judged }
}

/// How finely the lane is asked for next. What waits for a second look is looked at in the same
/// way; where nothing fits, the next reading tells smaller groups apart, of this grain at least.
#[must_use]
pub fn next_grouping(grouping: Grouping, parts: &[Judged], grain_micros: i64) -> Grouping {
    let any = |kinds: &[FindingKind]| parts.iter().any(|part| kinds.contains(&part.finding));
    if any(&[FindingKind::FirstSeen]) {
        grouping
    } else if any(&[FindingKind::Ambiguous, FindingKind::Unexplained, FindingKind::Incomparable]) {
        grouping.finer_by(grain_micros)
    } else if any(&[FindingKind::Early]) {
        grouping
    } else {
        Grouping::Whole
    }
}

/// The moves of the one explanation.
fn proven(reading: &Reading<'_>, counts: &[bool]) -> Vec<Fate> {
    let mut fates = Vec::new();
    for (event, counts) in reading.events.iter().zip(counts) {
        if share(event) != Share::Open {
            continue;
        }
        // No total tells of an event of nothing whether it is there: it stays as it was answered.
        let was_answered = |standing: &Standing| {
            matches!(standing.state, EventState::Accepted | EventState::Settled)
        };
        let is_answered =
            was_answered(&event.usage) && event.cancel.as_ref().is_none_or(was_answered);
        let is_seen = event.level.is_some() || !event.quantity.is_zero();
        if !is_seen && !is_answered {
            continue;
        }
        match (open_cancel(event), counts) {
            (None, true) => fates.extend(present(reading, &event.usage)),
            (None, false) => fates.extend(absent(reading, event, &event.usage)),
            (Some(cancel), true) => {
                fates.extend(present(reading, &event.usage));
                fates.extend(absent(reading, event, cancel));
            }
            // The pair adds nothing, as was told: whether the cancel took the usage back or there
            // was none comes to the same.
            (Some(cancel), false) => {
                fates.extend(present(reading, &event.usage));
                fates.extend(present(reading, cancel));
            }
        }
    }
    fates
}

fn present(reading: &Reading<'_>, standing: &Standing) -> Option<Fate> {
    let why = format!("the provider's total of {} is {}", reading.span, reading.total);
    let settle = || Fate { event: standing.event, to: EventState::Settled, why, hold: None };
    match standing.state {
        // A file told it, and its invoice bills less than the total: that it is in the total was
        // seen when it was held for this.
        EventState::Held
            if standing.hold == Some(HoldReason::LateForPeriod) && standing.attempts == 0 =>
        {
            None
        }
        EventState::Accepted | EventState::Held | EventState::Superseded | EventState::Dead => {
            Some(settle())
        }
        EventState::Settled
        | EventState::Pending
        | EventState::InFlight
        | EventState::Unknown
        | EventState::Void => None,
    }
}

fn absent(reading: &Reading<'_>, of: &LaneEvent, standing: &Standing) -> Option<Fate> {
    let why = format!("not in the provider's total of {}, {}", reading.span, reading.total);
    let event = standing.event;
    match standing.state {
        EventState::Accepted => {
            let at = reading.read_at;
            let detail = format!("the provider said yes, but at {at} it was {why}");
            let hold = Some((HoldReason::Disproved, detail));
            Some(Fate { event, to: EventState::Held, why, hold })
        }
        // A lost ledger may have told the same usage with other usage of its window, at another
        // time of it: that only a total over all of the window says something of.
        EventState::Held
            if standing.hold == Some(HoldReason::Restored)
                && of.level.is_none()
                && !reading.span.covers(of.window) =>
        {
            None
        }
        EventState::Held if standing.hold.is_some_and(HoldReason::waits_for_proof) => {
            Some(Fate { event, to: EventState::Pending, why, hold: None })
        }
        EventState::Held
        | EventState::Superseded
        | EventState::Dead
        | EventState::Settled
        | EventState::Pending
        | EventState::InFlight
        | EventState::Unknown
        | EventState::Void => None,
    }
}

/// A gauge's event of which no total of a whole minute will ever tell, as that tells of the newer
/// one of the next period: it is not left as if its proof were still to come.
fn unprovable(reading: &Reading<'_>, standing: &Standing) -> Option<Fate> {
    let (span, total) = (reading.span, reading.total);
    let detail = format!(
        "the provider said yes, and in the same minute the next period begins, whose reading is \
         all that its total of {span}, {total}, tells: what the period's invoice bills tells of it"
    );
    let why = "no total tells of it, as two periods share its minute".to_owned();
    let hold = Some((HoldReason::MayExist, detail));
    let held = Fate { event: standing.event, to: EventState::Held, why, hold };
    (standing.state == EventState::Accepted).then_some(held)
}

/// Of a group that cannot be told apart any further, what was accepted is held.
fn doubted(reading: &Reading<'_>, grain_micros: i64) -> Vec<Fate> {
    if reading.grouping.finer_by(grain_micros) != reading.grouping {
        return Vec::new();
    }
    let open = || reading.events.iter().filter(|event| share(event) == Share::Open);
    let group = names(open().map(|event| event.usage.event.0));
    let (span, total) = (reading.span, reading.total);
    let detail = format!("the provider's total of {span}, {total}, fits more than one of {group}");
    open()
        .flat_map(|event| std::iter::once(&event.usage).chain(open_cancel(event)))
        .filter(|standing| standing.state == EventState::Accepted)
        .map(|standing| Fate {
            event: standing.event,
            to: EventState::Held,
            why: "a total does not tell which of several events it contains".to_owned(),
            hold: Some((HoldReason::MayExist, detail.clone())),
        })
        .collect()
}

fn detail(reading: &Reading<'_>, finding: &Finding, fates: &[Fate]) -> String {
    let open = reading.events.iter().filter(|event| share(event) == Share::Open);
    let certain: Quantity = reading
        .events
        .iter()
        .filter(|event| share(event) == Share::All)
        .map(|event| &event.quantity)
        .sum();
    let total = reading.total;
    match finding {
        Finding::Settled(_) => {
            let to = |to: EventState| fates.iter().filter(|fate| fate.to == to).count();
            let settled = to(EventState::Settled);
            let (held, again) = (to(EventState::Held), to(EventState::Pending));
            format!("{total}: {settled} settled, {held} disproved, {again} sent again")
        }
        Finding::Early => format!("{total}: some event is too young to be judged"),
        Finding::Ambiguous => {
            let group = names(open.map(|event| event.usage.event.0));
            format!("{total}: {certain} is certain, and the rest fits more than one of {group}")
        }
        Finding::Unexplained => {
            let group = names(open.map(|event| event.usage.event.0));
            format!("{total}: {certain} is certain, and no choice of {group} makes the rest")
        }
        Finding::Incomparable => format!("{total}: more digits than can be trusted"),
    }
}

/// `no event`, `event 3`, `events 3, 4 and 7 more`.
fn names(events: impl Iterator<Item = i64>) -> String {
    let all: Vec<String> = events.map(|event| event.to_string()).collect();
    let (named, more) = all.split_at(all.len().min(NAMED_MAX));
    match (named, more.len()) {
        ([], _) => "no event".to_owned(),
        ([one], _) => format!("event {one}"),
        (several, 0) => format!("events {}", several.join(", ")),
        (several, more) => format!("events {} and {more} more", several.join(", ")),
    }
}
