//! What may be done about a total that lacks something. PURE. Here: which settled events a total
//! disproves. Never here: doing it ([`super::reporter`]); what a total proves of what is open
//! ([`super::judge`]). Read next: [`super::judge`].
//!
//! What was settled was seen in two totals, so that it is given up only by two others, and only
//! where one explanation is left. A total that has too much disproves nothing: nobody here can tell
//! who wrote it, and nothing is moved.

use super::explain::{Finding, Share, explain, share};
use super::gauge::newest_period;
use super::judge::Reading;
use crate::domain::reading::FindingKind;
use crate::domain::state::{EventState, HoldReason};
use crate::ledger::reconcile::{Fate, Judged, LaneEvent, fingerprint};
use crate::provider::ReadBack;

/// What the reading comes to for the settled events that it may lack: those without which alone it
/// is explained are held as disproved.
#[must_use]
pub fn disprove(reading: &Reading<'_>, promise: &ReadBack) -> Judged {
    let all = reading.events;
    let reading = &Reading { events: newest_period(all), ..*reading };
    let (span, total) = (reading.span, reading.total);
    let doubted: Vec<LaneEvent> = reading.events.iter().map(doubted).collect();
    let finding = explain(total, &doubted, reading.untold, (reading.read_at, promise));
    let (kind, fates) = match &finding {
        Finding::Settled(counts) => (FindingKind::Settled, absent(reading, counts)),
        Finding::Early => (FindingKind::Early, Vec::new()),
        Finding::Ambiguous => (FindingKind::Ambiguous, Vec::new()),
        Finding::Unexplained => (FindingKind::Unexplained, Vec::new()),
        Finding::Incomparable => (FindingKind::Incomparable, Vec::new()),
    };
    let detail = match kind {
        FindingKind::Settled => format!("{total}: {} settled before and gone", fates.len()),
        FindingKind::FirstSeen
        | FindingKind::Early
        | FindingKind::Ambiguous
        | FindingKind::Unexplained
        | FindingKind::Incomparable => format!("{total}: what was settled and is gone: {kind}"),
    };
    let fingerprint = fingerprint(all);
    Judged { span, total: total.clone(), fingerprint, finding: kind, detail, fates }
}

/// The event as it would be, had no total contained it.
fn doubted(event: &LaneEvent) -> LaneEvent {
    let mut event = event.clone();
    if share(&event) == Share::All {
        event.usage.state = EventState::Accepted;
    }
    event
}

fn absent(reading: &Reading<'_>, counts: &[bool]) -> Vec<Fate> {
    let (at, span, total) = (reading.read_at, reading.span, reading.total);
    let gone = reading
        .events
        .iter()
        .zip(counts)
        .filter(|(event, counts)| share(event) == Share::All && !**counts);
    gone.map(|(event, _)| {
        let why = format!("no longer in the provider's total of {span}, {total}");
        let detail = format!("it was in the provider's total, but at {at} {why}");
        let hold = Some((HoldReason::Disproved, detail));
        Fate { event: event.usage.event, to: EventState::Held, why, hold }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::EventId;
    use crate::domain::quantity::Quantity;
    use crate::domain::reading::Grouping;
    use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};
    use crate::domain::time::{Timestamp, Window};
    use crate::ledger::reconcile::Standing;

    const PROMISE: ReadBack = ReadBack {
        lag_micros: 7 * MICROS_PER_HOUR,
        landing_micros: 24 * MICROS_PER_HOUR,
        grain_micros: MICROS_PER_MINUTE,
        digits_max: 15,
    };
    const SENT: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn settled(id: i64, quantity: i64) -> LaneEvent {
        let usage = Standing {
            event: EventId(id),
            state: EventState::Settled,
            may_exist: true,
            hold: None,
            attempts: 1,
            last_at: SENT,
        };
        let quantity = quantity.into();
        let window = Window { start: SENT, end: SENT.plus_seconds(1) };
        let balance = BalanceId(id);
        let level = None;
        LaneEvent { usage, cancel: None, balance, window, quantity, level, occurred_at: SENT }
    }

    fn disproved(total: i64, events: &[LaneEvent], hours: i64) -> Vec<i64> {
        let span = Window { start: SENT, end: SENT.plus_micros(MICROS_PER_DAY) };
        let read_at = SENT.plus_micros(hours * MICROS_PER_HOUR);
        let total = Quantity::from(total);
        let reading = Reading {
            span,
            total: &total,
            events,
            untold: &[],
            read_at,
            grouping: Grouping::Whole,
        };
        let fates = disprove(&reading, &PROMISE).fates;
        assert!(fates.iter().all(|fate| fate.to == EventState::Held));
        fates.into_iter().map(|fate| fate.event.0).collect()
    }

    #[test]
    fn only_what_nothing_else_explains_and_could_not_still_land_is_disproved() {
        let events = [settled(1, 5), settled(2, 7), settled(3, 11)];
        assert_eq!(disproved(16, &events, 32), [2]);
        assert_eq!(disproved(16, &events, 30), [0; 0], "it may still land");
        assert_eq!(disproved(23, &events, 32), [0; 0]);
        assert_eq!(disproved(15, &events, 32), [0; 0], "nothing explains it");
        let alike = [settled(1, 5), settled(2, 5)];
        assert_eq!(disproved(5, &alike, 32), [0; 0], "it may be either");
        assert_eq!(disproved(0, &alike, 32), [1, 2]);
    }
}
