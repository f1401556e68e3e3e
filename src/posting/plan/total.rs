//! Meters that are told a total. PURE. Here: overwriting. Never here: sums of events, which are
//! told by their changes. Read next: [`super::entry`].

use super::{Means, Plan, Rules, Tell, When, too_late, when};
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ledger::posting::{DueBalance, PostedEvent};

/// Which time a total is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// The newest record's own: one total a window.
    OfTheWindow,
    /// After the one that was told last: the newest value is the one that counts, also when it
    /// restores an older one.
    AfterTheLast,
}

/// A meter that keeps the last total it was told: the newest one is told, and what is not sent yet
/// is withdrawn, since an older total must never come after a newer.
pub(super) fn by_total(due: &DueBalance, rules: &Rules<'_>, time: Time) -> Plan {
    let outstanding = due.balance.outstanding();
    if outstanding.is_zero() {
        return Plan::default();
    }
    let mut late = Plan::default();
    if late.leave_to_period(&outstanding, rules) {
        return late;
    }
    // In order: the next one goes when the answer to the last is there, whatever it was.
    if due.events.iter().any(|event| event.state == EventState::InFlight) {
        return Plan::default();
    }
    let total = due.balance.accrued.clone();
    if total.is_negative() {
        let why = format!("the total would be {total}");
        return Plan::held((HoldReason::BelowZero, why));
    }
    if total.split_to_digits(rules.capabilities.digits_max).len() > 1 {
        let most = rules.capabilities.digits_max;
        let why = format!("the total {total} has more than {most} digits, and cannot be split");
        return Plan::held((HoldReason::MeterMismatch, why));
    }
    let newest = due.balance.newest_at;
    let told_last = due.events.iter().map(|event| event.occurred_at).max();
    let occurred_at = match (time, told_last) {
        (Time::AfterTheLast, Some(last)) => newest.max(last.plus_micros(MICROS_PER_SECOND)),
        (Time::AfterTheLast, None) | (Time::OfTheWindow, _) => newest,
    };
    tell_total(due, total, occurred_at, rules)
}

fn tell_total(
    due: &DueBalance,
    total: Quantity,
    occurred_at: Timestamp,
    rules: &Rules<'_>,
) -> Plan {
    match when(occurred_at, rules) {
        When::Now => {}
        When::Later(at) => return Plan { wait_until: Some(at), ..Plan::default() },
        When::TooLate => return Plan::held(too_late(&total, occurred_at)),
    }
    let void: Vec<&PostedEvent> =
        due.events.iter().filter(|event| event.was_never_sent()).collect();
    let withdrawn: Quantity = void.iter().map(|event| &event.quantity).sum();
    let told = &due.balance.told - &withdrawn;
    let quantity = &total - &told;
    let void = void.into_iter().map(|event| event.id).collect();
    // Withdrawing may be all that is needed: the provider holds the total already.
    let tell = if quantity.is_zero() {
        Vec::new()
    } else {
        vec![Tell { quantity, occurred_at, by: Means::Total(total) }]
    };
    Plan { void, tell, ..Plan::default() }
}
