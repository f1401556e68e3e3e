//! A provider that keeps entries. PURE. Here: entering what is not told yet, each entry at a second
//! of its own; and taking entries away, to enter anew what should be left of them. Never here: a
//! sum that events change. Read next: [`crate::provider`].
//!
//! An entry cannot be changed. Where less should be there, entries that hold it are taken away, and
//! what should have stayed is entered anew: but only once it is certain that they are gone, or both
//! would be billed. Until then less is there than should be, never more. The same holds where usage
//! went to another balance, as a bound of its window was learned late.

use std::collections::BTreeSet;

use super::lower::{by_person, is_cancelled, waits};
use super::{Means, Plan, Rules, Tell, When, add, cancel_deadline, too_late, when, withdraw};
use crate::domain::event::EventKind;
use crate::domain::period::BillingStanding;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{
    MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Timestamp, Window,
};
use crate::ledger::posting::{DueBalance, PostedEvent, StillTold};

/// How long a balance waits whose account takes no more entries, before it is looked at again, in
/// microseconds: an hour. A person has to have the limit raised, and to set it.
const ENTRIES_WAIT_MICROS: i64 = MICROS_PER_HOUR;

/// How long before its bill is closed an entry is taken away at the latest of which something
/// should stay, in microseconds: an hour, in which a deletion that is not answered is asked about
/// several times.
const ANEW_MICROS: i64 = MICROS_PER_HOUR;
/// How long after the end of a period its draft is waited for, in microseconds: ten minutes.
const DRAFT_MICROS: i64 = 10 * MICROS_PER_MINUTE;
/// How long a balance waits for entries of another one to be taken away, before it is looked at
/// again, in microseconds: a minute, in which a deletion is answered as a rule.
const OTHERS_WAIT_MICROS: i64 = MICROS_PER_MINUTE;

/// The plan of a meter that keeps entries.
pub(super) fn by_entry(due: &DueBalance, rules: &Rules<'_>) -> Plan {
    let mut plan = Plan::default();
    let rest = withdraw(due, &mut plan, is_worth_withdrawing);
    let goes = rest.is_negative() && is_on_no_bill(due, rules);
    if rest.is_zero() || (!goes && plan.leave_to_period(&rest, rules)) {
        return plan;
    }
    if rest.is_negative() {
        take_away(due, &rest, rules, &mut plan);
    } else if !is_taking_away(due, &plan) && !plan.waits_for_others(&rest, due, rules) {
        enter(due, &rest, rules, &mut plan);
    }
    plan
}

/// Whether the newest usage is of a time that nothing bills, and its period is not closed. What was
/// told too much can go then: it is on no bill, or on one that is still open.
pub(super) fn is_on_no_bill(due: &DueBalance, rules: &Rules<'_>) -> bool {
    match rules.billing {
        BillingStanding::Idle(_) | BillingStanding::NotYet(_) | BillingStanding::NoLonger(_) => {
            due.billing.closed_at.is_none()
        }
        BillingStanding::Open
        | BillingStanding::Closed(_)
        | BillingStanding::Unseen(_)
        | BillingStanding::Unlearned(_) => false,
    }
}

/// Whether something that was never sent is withdrawn, though `rest` remains. What is to be entered
/// anew in place of an entry does not bring that entry back, unless all of it fits.
fn is_worth_withdrawing(event: &PostedEvent, rest: &Quantity) -> bool {
    match event.kind {
        EventKind::Usage => true,
        EventKind::Cancel => !(rest + &event.quantity).is_negative(),
    }
}

/// Whether an entry is on its way out.
pub(super) fn is_taking_away(due: &DueBalance, plan: &Plan) -> bool {
    due.events.iter().any(|event| {
        event.kind == EventKind::Cancel
            && !plan.void.contains(&event.id)
            && !plan.supersede.contains(&event.id)
            && (event.state.awaits_delivery() || event.state == EventState::Held)
    })
}

/// Enters what is outstanding.
fn enter(due: &DueBalance, rest: &Quantity, rules: &Rules<'_>, plan: &mut Plan) {
    let told = rest.cut_to_decimals(rules.capabilities.decimals_max);
    let parts = told.split_to_digits(rules.capabilities.digits_max);
    if enter_parts(due, rest, parts, rules, plan) {
        plan.finer = rest - &told;
    }
}

/// Enters each of `parts`, which say `rest`, at a second of its own; whether they are entered.
pub(super) fn enter_parts(
    due: &DueBalance,
    rest: &Quantity,
    parts: Vec<Quantity>,
    rules: &Rules<'_>,
    plan: &mut Plan,
) -> bool {
    if plan.lacks_entries(parts.len(), rest, rules) {
        return false;
    }
    let mut taken = due.seconds_taken.clone();
    let mut entries = Vec::new();
    for part in parts {
        let Some(at) = free_second(due.balance.newest_at, due.balance.key.window, &taken) else {
            let why = format!("{rest} is outstanding, and no second of its window is free");
            plan.hold((HoldReason::MeterMismatch, why));
            return false;
        };
        match when(at, rules) {
            When::Now => {}
            When::Later(at) => {
                plan.wait_until = Some(at);
                return false;
            }
            When::TooLate => {
                plan.hold(too_late(rest, at));
                return false;
            }
        }
        taken.insert(at.seconds());
        entries.push(add(part, at));
    }
    plan.tell = entries;
    true
}

/// The whole second of the newest usage; where that is taken, the next one after it in the window
/// that is not, else the last one before it. A subscription may begin with its first usage, and
/// before that nothing is billed; where it ends is a bound of the window, once that is known.
fn free_second(newest: Timestamp, window: Window, taken: &BTreeSet<i64>) -> Option<Timestamp> {
    let rounded_up = window.start.plus_micros(MICROS_PER_SECOND - 1);
    let (first, end) = (rounded_up.seconds(), window.end.seconds());
    let newest = newest.seconds().clamp(first, end);
    let is_free = |second: &i64| !taken.contains(second);
    let later = (newest..end).find(is_free);
    later.or_else(|| (first..newest).rev().find(is_free)).map(Timestamp::from_seconds)
}

/// Takes away entries that hold what must go: one that says exactly that, else the smallest that
/// holds more, else the newest that do so together. What of them should stay is outstanding then.
fn take_away(due: &DueBalance, rest: &Quantity, rules: &Rules<'_>, plan: &mut Plan) {
    if by_person(rest, rules, plan) || waits(due) {
        return;
    }
    let must_go = -rest;
    let entries: Vec<&PostedEvent> =
        due.events.iter().rev().filter(|event| can_be_taken_away(event, due, rules)).collect();
    let exact = entries.iter().find(|event| event.quantity == must_go);
    let larger = || {
        let larger = entries.iter().filter(|event| event.quantity > must_go);
        larger.min_by(|one, other| one.quantity.cmp(&other.quantity))
    };
    let chosen = match exact.or_else(larger) {
        Some(event) => vec![*event],
        None => together(&entries, &must_go),
    };
    if chosen.is_empty() {
        let why = format!(
            "{must_go} more than should be there was told, and no entries that can still be taken \
             away hold it: what is billed is put right by voiding its invoice, or by a credit note"
        );
        plan.hold((HoldReason::CannotLower, why));
        return;
    }
    // What should stay of them is entered anew: without room for that it is not taken away, or it
    // would be billed by nobody.
    let held_by: Quantity = chosen.iter().map(|event| &event.quantity).sum();
    let anew = usize::from(held_by != must_go);
    if plan.lacks_entries(anew, rest, rules) {
        return;
    }
    if anew > 0 && plan.lacks_time(rest, due, rules) {
        return;
    }
    plan.tell = chosen.into_iter().map(cancel).collect();
}

impl Plan {
    /// Waits, or holds `rest`, while usage in it is still said by entries of balances that gave it;
    /// whether it does.
    pub(super) fn waits_for_others(
        &mut self,
        rest: &Quantity,
        due: &DueBalance,
        rules: &Rules<'_>,
    ) -> bool {
        match due.still_told {
            StillTold::No => return false,
            StillTold::Going => {}
            StillTold::Held => {
                let why = format!(
                    "{rest} is outstanding, and some of it was told in a window that a bound has \
                     cut since: it would be billed twice, as what was told there is held"
                );
                self.hold((HoldReason::CannotLower, why));
            }
        }
        self.wait_until = Some(rules.now.plus_micros(OTHERS_WAIT_MICROS));
        true
    }

    /// Waits, or holds `rest`, if its bill may be closed before what should stay is entered anew;
    /// whether it does.
    pub(super) fn lacks_time(
        &mut self,
        rest: &Quantity,
        due: &DueBalance,
        rules: &Rules<'_>,
    ) -> bool {
        let left = |at: Timestamp| at.micros_since(rules.provider_now);
        match (due.billing.closes_at, due.billing.ends_at) {
            (Some(closes), _) if left(closes) < ANEW_MICROS => {
                let why = format!(
                    "{rest} is outstanding, and its bill is closed at {closes}: what is taken away \
                     now may not be entered anew before, and is billed by nobody then"
                );
                self.hold((HoldReason::CannotLower, why));
                true
            }
            // Whether a draft of it takes usage for long enough is known once that is seen.
            (None, Some(end)) if left(end) < ANEW_MICROS => {
                self.wait_until = Some(rules.now.plus_micros(left(end).max(0) + DRAFT_MICROS));
                true
            }
            (Some(_) | None, Some(_) | None) => false,
        }
    }

    /// Holds `rest` if its account takes fewer than `wanted` entries more; whether it does.
    pub(super) fn lacks_entries(
        &mut self,
        wanted: usize,
        rest: &Quantity,
        rules: &Rules<'_>,
    ) -> bool {
        let (Some(left), Some(most)) = (rules.entries_left, rules.capabilities.entries_max) else {
            return false;
        };
        if wanted <= left {
            return false;
        }
        let why = format!(
            "{rest} is outstanding, and its account takes no more than {most} entries in its life"
        );
        self.hold((HoldReason::EntriesUsedUp, why));
        self.wait_until = Some(rules.now.plus_micros(ENTRIES_WAIT_MICROS));
        true
    }
}

pub(super) fn can_be_taken_away(event: &PostedEvent, due: &DueBalance, rules: &Rules<'_>) -> bool {
    event.kind == EventKind::Usage
        && matches!(event.state, EventState::Accepted | EventState::Settled)
        && !event.cancel_spent
        && !is_cancelled(event, due)
        && cancel_deadline(event, rules.capabilities)
            .is_some_and(|until| until > rules.provider_now)
}

/// The newest of `entries` that hold `must_go` together; none where all of them hold less.
fn together<'e>(entries: &[&'e PostedEvent], must_go: &Quantity) -> Vec<&'e PostedEvent> {
    let mut sum = Quantity::zero();
    let mut chosen = Vec::new();
    for event in entries {
        sum = &sum + &event.quantity;
        chosen.push(*event);
        if sum >= *must_go {
            return chosen;
        }
    }
    Vec::new()
}

pub(super) fn cancel(event: &PostedEvent) -> Tell {
    Tell {
        quantity: -&event.quantity,
        occurred_at: event.occurred_at,
        by: Means::Cancel(event.id, event.identifier.clone()),
    }
}
