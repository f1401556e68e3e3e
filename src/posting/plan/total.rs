//! Meters that are told a total. PURE. Here: overwriting. Never here: sums of events, which are
//! told by their changes. Read next: [`super::entry`].
//!
//! Such a meter keeps what it received last, whenever that was sent. So the next total goes only
//! once what became of the one before is certain: an older one that may still land, or be sent
//! again, must not come after a newer. What waits for that is visible as the event it waits for.

use super::level::leave_to_period;
use super::lower::{by_person, waits};
use super::{Means, Plan, Rules, Tell, When, too_late, when};
use crate::domain::event::EventKind;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ledger::posting::{DueBalance, PostedEvent};

/// Which time a total is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// The newest record's own, within the window: one total a window.
    OfTheWindow,
    /// After the one that was told last: the newest value is the one that counts, also when it
    /// restores an older one.
    AfterTheLast,
}

/// A meter that keeps the last total it was told: the newest one is told, unless it says just that
/// already, and what is not sent yet is withdrawn.
pub(super) fn by_total(due: &DueBalance, rules: &Rules<'_>, time: Time) -> Plan {
    let balance = &due.balance;
    let total = balance.accrued.cut_to_decimals(rules.capabilities.decimals_max);
    let finer = &balance.accrued - &total;
    let stays = due.events.iter().rfind(|event| event.kind == EventKind::Usage);
    let nothing_to_say = match stays {
        Some(newest) => newest.total.as_ref() == Some(&total) && balance.outstanding() == finer,
        None => total.is_zero(),
    };
    if nothing_to_say {
        return Plan { finer, ..Plan::default() };
    }
    // A window that two periods share would be billed in the one or the other.
    if due.spans_bound {
        return Plan::held(shared_by_periods(&total));
    }
    let mut plan = Plan::default();
    // Usage that is carried would overwrite what the other window says.
    if leave_to_period(&balance.outstanding(), true, rules, &mut plan) || is_open(due) {
        return plan;
    }
    if total.is_negative() {
        return Plan::held((HoldReason::BelowZero, format!("the total would be {total}")));
    }
    if total.split_to_digits(rules.capabilities.digits_max).len() > 1 {
        let most = rules.capabilities.digits_max;
        let why = format!("the total {total} has more than {most} digits, and cannot be split");
        return Plan::held((HoldReason::MeterMismatch, why));
    }
    match when(occurred_at(due, time), rules) {
        When::Now => Plan { finer, ..tell(due, total, occurred_at(due, time), rules) },
        When::Later(at) => Plan { wait_until: Some(at), ..Plan::default() },
        When::TooLate => Plan::held(too_late(&total, balance.newest_at)),
    }
}

/// Whether an earlier total may still land, or be sent again.
fn is_open(due: &DueBalance) -> bool {
    let may_land = |event: &PostedEvent| event.state == EventState::Held && event.may_exist;
    waits(due) || due.events.iter().any(may_land)
}

/// The time that the total is told for. What was brought here from beside the window is told for
/// its nearest end.
fn occurred_at(due: &DueBalance, time: Time) -> Timestamp {
    let window = due.balance.key.window;
    let newest = due.balance.newest_at.clamp(window.start, window.end.plus_micros(-1));
    let told_last = due.events.iter().map(|event| event.occurred_at).max();
    match (time, told_last) {
        (Time::AfterTheLast, Some(last)) => newest.max(last.plus_micros(MICROS_PER_SECOND)),
        (Time::AfterTheLast, None) | (Time::OfTheWindow, _) => newest,
    }
}

/// Tells a total. What is not sent yet is withdrawn, and what was refused is superseded: neither is
/// at the provider.
fn tell(due: &DueBalance, total: Quantity, occurred_at: Timestamp, rules: &Rules<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut told = due.balance.told.clone();
    let mut newest = None;
    for event in due.events.iter().filter(|event| event.kind == EventKind::Usage) {
        if event.was_never_sent() {
            plan.void.push(event.id);
        } else if event.is_refused() {
            plan.supersede.push(event.id);
        } else {
            newest = event.total.as_ref();
            continue;
        }
        told = &told - &event.quantity;
    }
    let quantity = &total - &told;
    if quantity.is_negative() && by_person(&quantity, rules, &mut plan) {
        return plan;
    }
    // Withdrawing may be all that is needed: the provider holds the total already.
    if !quantity.is_zero() || newest.is_some_and(|newest| *newest != total) {
        plan.tell = vec![Tell { quantity, occurred_at, by: Means::Total(total) }];
    }
    plan
}

fn shared_by_periods(total: &Quantity) -> (HoldReason, String) {
    let why = format!(
        "its window comes to {total} and holds the bound of a period: which of the two would bill \
         a total of it is not known, and no whole window beside it is of one period"
    );
    (HoldReason::MeterMismatch, why)
}
