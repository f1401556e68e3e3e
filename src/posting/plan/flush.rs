//! Telling at set times. PURE. Here: how long what could be told now waits for the time that a
//! schedule sets. Never here: cron text ([`crate::schedule`]). Read next: [`super::entry`].
//!
//! A schedule is a wish, and a deadline is not: what would come too near to the last instant at
//! which the provider takes it, or whose period has ended, is told at once. So is what takes
//! something back, as a provider cancels an event only for so long, and what is entered anew in its
//! place: it must not be gone meanwhile.

use super::{Means, Plan, Rules, deadline};
use crate::domain::event::EventKind;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
use crate::ledger::posting::DueBalance;

/// Longest time before the last instant at which a provider takes an event in which it waits for
/// nothing, in microseconds: a day, in which a provider that is down may come back.
const LEAD_MICROS_MAX: i64 = MICROS_PER_DAY;
/// Which part of the time that a provider takes events for is left for telling them, where that is
/// less: a quarter.
const LEAD_PART: i64 = 4;
/// Longest wait until it is looked again, in microseconds: a schedule that was changed, or a period
/// that was learned, is followed within an hour.
const LOOK_MICROS: i64 = MICROS_PER_HOUR;

/// Until when a balance waits that would be told `plan` now, if a schedule would have it told
/// later.
pub(super) fn waits_until(due: &DueBalance, plan: &Plan, rules: &Rules<'_>) -> Option<Timestamp> {
    let flush_at = rules.flush_at.filter(|at| *at > rules.now)?;
    let takes_back = due.balance.outstanding().is_negative()
        || due.events.iter().any(|event| event.kind == EventKind::Cancel)
        || plan.tell.iter().any(|tell| matches!(tell.by, Means::Cancel(..)));
    if takes_back || plan.tell.is_empty() {
        return None;
    }
    let capabilities = rules.capabilities;
    let lead = (capabilities.accepts_past_micros / LEAD_PART).min(LEAD_MICROS_MAX);
    let at_last = deadline(due.balance.newest_at, capabilities).plus_micros(-lead);
    let draft = due.billing.closes_at.or(due.billing.ends_at);
    let until = due.billing.ends_at.into_iter().chain(draft).fold(at_last, Timestamp::min);
    // The last two are on the provider's clock.
    let left = until.micros_since(rules.provider_now);
    let at = flush_at.min(rules.now.plus_micros(left)).min(rules.now.plus_micros(LOOK_MICROS));
    (left > 0).then_some(at)
}
