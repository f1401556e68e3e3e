//! Meters that are told a total. PURE. Here: overwriting. Never here: sums of events, which are
//! told by their changes. Read next: [`super::entry`].
//!
//! Such a meter keeps what it received last, whenever that was sent. So the next total goes only
//! once what became of the one before is certain: an older one that may still land, or be sent
//! again, must not come after a newer. What waits for that is visible as the event it waits for.
//!
//! A gauge is told a reading for its own time, and its meter bills the newest by time. Only a later
//! one says something else: a value that is restored is told for a second after the one that it
//! replaces, or for a later one that the provider still takes, and an older reading that comes late
//! is not told.

use super::level::leave_to_period;
use super::lower::{by_person, waits};
use super::{Means, Plan, Rules, Tell, When, deadline, too_late, when};
use crate::domain::event::EventKind;
use crate::domain::fold::Fold;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Timestamp};
use crate::ledger::posting::{DueBalance, PostedEvent};

/// How long the provider still takes a value, in microseconds, that is told for a later second than
/// the one after what it replaces: a day, in which it is tried again through an outage.
const STILL_TAKEN_MICROS: i64 = MICROS_PER_DAY;

/// Which time a total is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// The newest record's own, within the window: one total a window.
    OfTheWindow,
    /// That of the reading which counts, and after the one that was told last: the newest value is
    /// the one that counts, also when it restores an older one.
    AfterTheLast,
}

/// A meter that keeps the last total it was told: the newest one is told, unless it says just that
/// already, and what is not sent yet is withdrawn.
pub(super) fn by_total(due: &DueBalance, rules: &Rules<'_>, time: Time) -> Plan {
    let balance = &due.balance;
    let total = balance.accrued.cut_to_decimals(rules.capabilities.decimals_max);
    let finer = &balance.accrued - &total;
    let stays = due.events.iter().rfind(|event| event.kind == EventKind::Usage);
    let stays = stays.map(|newest| newest.total.as_ref());
    let nothing_to_say = match stays.or_else(|| said(due).map(Some)) {
        Some(says) => says == Some(&total) && balance.outstanding() == finer,
        None => total.is_zero() && !reads_nothing(due, time),
    };
    if (nothing_to_say && !is_said_over(due)) || has_given_all(due) {
        return Plan { finer, ..Plan::default() };
    }
    // A window that two periods share would be billed in the one or the other.
    if due.spans_bound {
        return Plan::held(shared_by_periods(&total));
    }
    if time == Time::AfterTheLast && !balance.reads && may_hide_an_older(due, rules) {
        return Plan::held(nothing_stands(due));
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
    let occurred_at = occurred_at(due, time, rules);
    if !balance.key.window.contains(occurred_at) {
        return Plan::held(no_second_left(&total, due));
    }
    match when(occurred_at, rules) {
        When::Now => Plan { finer, ..tell(due, total, (occurred_at, time), rules) },
        When::Later(at) => Plan { wait_until: Some(at), ..Plan::default() },
        When::TooLate => Plan::held(too_late(&total, occurred_at)),
    }
}

/// Whether an earlier total may still land, or be sent again.
fn is_open(due: &DueBalance) -> bool {
    let may_land = |event: &PostedEvent| event.state == EventState::Held && event.may_exist;
    waits(due) || due.events.iter().any(may_land)
}

/// Whether a gauge reads nothing, which is a value that it is told: what its meter bills of a
/// period in which it heard nothing is not left to be known.
fn reads_nothing(due: &DueBalance, time: Time) -> bool {
    match time {
        Time::OfTheWindow => false,
        Time::AfterTheLast => due.balance.reads,
    }
}

/// Whether a value of before a gauge's window may be what its period is billed, once nothing of the
/// gauge stands: another program told it, or the window begins where a bound was that has moved.
fn may_hide_an_older(due: &DueBalance, rules: &Rules<'_>) -> bool {
    let start = due.balance.key.window.start;
    rules.bill_from == Some(start) || due.billing.starts_at.is_some_and(|at| at < start)
}

/// The time that was told last, of what is at the provider or may be.
fn told_last(due: &DueBalance) -> Option<Timestamp> {
    let stays = |event: &&PostedEvent| !event.was_never_sent() && !event.is_refused();
    due.events.iter().filter(stays).map(|event| event.occurred_at).max().max(due.told_at)
}

/// Whether a gauge was parted, and nothing of it was ever told: its parts say what there is to say.
fn has_given_all(due: &DueBalance) -> bool {
    let is_gauge = due.balance.fold == Fold::Gauge;
    is_gauge && due.spans_bound && !due.balance.reads && due.is_unsaid()
}

/// What a gauge was told as it was part of another.
fn said(due: &DueBalance) -> Option<&Quantity> {
    due.said.as_ref().map(|said| &said.total)
}

/// Whether another than a gauge's own newest event is the newest within its window, or may be: one
/// of a gauge that had the window before, or one that was given up and may be there.
fn is_said_over(due: &DueBalance) -> bool {
    let own = due.events.iter().filter(|event| event.kind == EventKind::Usage);
    let said_at = due.said.as_ref().map(|said| said.at);
    due.told_at > own.map(|event| event.occurred_at).max().max(said_at)
}

/// The time that the total is told for. What was brought here from beside the window is told for
/// its nearest end; what is of a minute that a gauge shares with the one before, for the next one.
fn occurred_at(due: &DueBalance, time: Time, rules: &Rules<'_>) -> Timestamp {
    let window = due.balance.key.window;
    let last = window.end.plus_micros(-1);
    let first = match time {
        Time::OfTheWindow => window.start,
        Time::AfterTheLast => first_alone(window.start, rules).min(last),
    };
    let within = |at: Timestamp| at.clamp(first, last);
    match (time, due.balance.stands_at, told_last(due)) {
        (Time::OfTheWindow, _, _) | (Time::AfterTheLast, None, None) => {
            within(due.balance.newest_at)
        }
        (Time::AfterTheLast, Some(own), None) => within(own),
        // Stripe's times are whole seconds: the next one is after whatever was told within this.
        (Time::AfterTheLast, own, Some(last)) => {
            let next = last.floor_to(MICROS_PER_SECOND).plus_seconds(1);
            let own = own.map(within).filter(|own| *own >= next);
            own.unwrap_or_else(|| still_taken(due, (last, next), rules))
        }
    }
}

/// The first instant from `start` on, where a gauge's period begins, that is in no span of totals
/// with what was told of the period before: of those in one span only the newest can be proven.
fn first_alone(start: Timestamp, rules: &Rules<'_>) -> Timestamp {
    let Some(promise) = rules.capabilities.read_back else { return start };
    let whole = start.floor_to(promise.grain_micros);
    if whole < start { whole.plus_micros(promise.grain_micros) } else { start }
}

/// The second that a value is told for which comes after the one told `last`: the `next` one, or a
/// later one of the same period where the provider does not take that any longer. Of a gauge whose
/// period is not known nobody can tell which later one is of it.
fn still_taken(
    due: &DueBalance,
    (last, next): (Timestamp, Timestamp),
    rules: &Rules<'_>,
) -> Timestamp {
    let lasts = deadline(next, rules.capabilities).micros_since(next);
    let oldest = rules.provider_now.plus_micros(-lasts);
    let period = due.billing.starts_at.zip(due.billing.ends_at);
    let period = period.filter(|(start, end)| *start <= last && last < *end);
    let end = period.map(|(_, end)| end.min(due.balance.key.window.end));
    let Some(end) = end.filter(|end| next <= oldest && oldest < *end) else { return next };
    // Others may have to come after it: it takes no more than half of what is left.
    let ahead = (end.micros_since(oldest) / 2).min(STILL_TAKEN_MICROS);
    next.max(oldest.plus_micros(ahead).floor_to(MICROS_PER_SECOND))
}

/// Tells a total. What is not sent yet is withdrawn, and what was refused is superseded: neither is
/// at the provider.
fn tell(
    due: &DueBalance,
    total: Quantity,
    (occurred_at, time): (Timestamp, Time),
    rules: &Rules<'_>,
) -> Plan {
    let mut plan = Plan::default();
    let mut told = due.balance.told.clone();
    let mut newest = said(due);
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
    if quantity.is_negative() && takes_back(due, time) && by_person(&quantity, rules, &mut plan) {
        return plan;
    }
    // Withdrawing may be all that is needed: the provider holds the total already.
    let says_else = newest.map_or(reads_nothing(due, time), |newest| *newest != total);
    let says_else = says_else || is_said_over(due);
    if !quantity.is_zero() || says_else {
        plan.tell = vec![Tell { quantity, occurred_at, by: Means::Total(total) }];
    }
    plan
}

/// Whether a lower total takes back what was told: a gauge's newer reading only says another thing.
fn takes_back(due: &DueBalance, time: Time) -> bool {
    match time {
        Time::OfTheWindow => true,
        Time::AfterTheLast => due.balance.stands_at.is_none_or(|own| told_last(due) >= Some(own)),
    }
}

fn nothing_stands(due: &DueBalance) -> (HoldReason, String) {
    let start = due.balance.key.window.start;
    let why = format!(
        "no reading since {start} stands any longer, and its period began before: nothing (0) \
         would be billed instead of what stood then"
    );
    (HoldReason::CannotLower, why)
}

fn no_second_left(total: &Quantity, due: &DueBalance) -> (HoldReason, String) {
    let end = due.balance.key.window.end;
    let why = format!(
        "{total} is to be told after what was told last, and no second is left for it before its \
         period ends at {end}"
    );
    (HoldReason::LateForPeriod, why)
}

fn shared_by_periods(total: &Quantity) -> (HoldReason, String) {
    let why = format!(
        "its window comes to {total} and holds the bound of a period: which of the two would bill \
         a total of it is not known, and no whole window beside it is of one period"
    );
    (HoldReason::MeterMismatch, why)
}
