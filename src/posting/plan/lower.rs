//! Taking back what was told. PURE. Here: by cancelling an event, by a negative one, or not yet.
//! Never here: what was never sent, which is withdrawn before. Read next: [`super::total`].

use super::{Means, Plan, Rules, Tell, When, add, cancel_deadline, too_late, when};
use crate::domain::correction::CorrectionPolicy;
use crate::domain::event::EventKind;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::ledger::posting::{DueBalance, PostedEvent};

/// For a sum: the cancellation of the event that says exactly this much, else a negative event.
pub(super) fn by_cancel_or_negative(
    due: &DueBalance,
    rest: &Quantity,
    rules: &Rules<'_>,
    plan: &mut Plan,
) {
    if by_person(rest, rules, plan) || cancel(due, rest, rules, plan) || waits(due) {
        return;
    }
    if !rules.capabilities.negative {
        plan.hold(cannot_lower(rest));
        return;
    }
    let low = certainly_held(due, plan);
    if (&low + rest).is_negative() {
        // Stripe bills a period below zero as nothing: what is missing there would be lost.
        let why = format!("{} is to be taken back, and only {low} is proven to be there", -rest);
        plan.hold((HoldReason::BelowZero, why));
        return;
    }
    let occurred_at = due.balance.newest_at;
    match when(occurred_at, rules) {
        When::Now => {
            let told = rest.cut_to_decimals(rules.capabilities.decimals_max);
            plan.finer = rest - &told;
            let parts = told.split_to_digits(rules.capabilities.digits_max);
            plan.tell.extend(parts.into_iter().map(|part| add(part, occurred_at)));
        }
        When::Later(at) => plan.wait_until = Some(at),
        When::TooLate => plan.hold(too_late(rest, occurred_at)),
    }
}

/// For a count: the cancellation of the record's own event, and nothing else. No event subtracts.
pub(super) fn by_cancel(due: &DueBalance, rest: &Quantity, rules: &Rules<'_>, plan: &mut Plan) {
    if by_person(rest, rules, plan) || cancel(due, rest, rules, plan) || waits(due) {
        return;
    }
    plan.hold(cannot_lower(rest));
}

pub(super) fn by_person(rest: &Quantity, rules: &Rules<'_>, plan: &mut Plan) -> bool {
    match rules.corrections {
        CorrectionPolicy::CancelThenNegative | CorrectionPolicy::Negative => false,
        CorrectionPolicy::Hold => {
            let why = format!("{} more than should be there was told", -rest);
            plan.hold((HoldReason::CorrectionPolicy, why));
            true
        }
    }
}

/// Whether something was sent whose fate decides first: an unknown is resolved before anything is
/// done about it. Its answer has the balance looked at again.
pub(super) fn waits(due: &DueBalance) -> bool {
    due.events.iter().any(|event| event.leased && event.state.awaits_delivery())
}

/// Cancels the newest event that says exactly what must go, if there is one, while the provider
/// still does that.
fn cancel(due: &DueBalance, rest: &Quantity, rules: &Rules<'_>, plan: &mut Plan) -> bool {
    match rules.corrections {
        CorrectionPolicy::CancelThenNegative => {}
        // A counted record can only be cancelled.
        CorrectionPolicy::Negative if due.balance.key.record.is_some() => {}
        CorrectionPolicy::Negative | CorrectionPolicy::Hold => return false,
    }
    let whole = -rest;
    let fits = |event: &&PostedEvent| {
        let said_yes = matches!(event.state, EventState::Accepted | EventState::Settled);
        let in_time = || {
            cancel_deadline(event, rules.capabilities)
                .is_some_and(|until| until > rules.provider_now)
        };
        event.kind == EventKind::Usage
            && said_yes
            && event.quantity == whole
            && !event.cancel_spent
            && !is_cancelled(event, due)
            && in_time()
    };
    let Some(event) = due.events.iter().rev().find(fits) else { return false };
    plan.tell.push(Tell {
        quantity: rest.clone(),
        occurred_at: event.occurred_at,
        by: Means::Cancel(event.id, event.identifier.clone()),
    });
    true
}

/// Whether a cancel of `event` lives.
pub(super) fn is_cancelled(event: &PostedEvent, due: &DueBalance) -> bool {
    due.events.iter().any(|other| other.target == Some(event.id))
}

/// The least that the provider holds of the balance: what its totals were seen to contain, less all
/// that may take from it. An event with a cancel counts for nothing.
fn certainly_held(due: &DueBalance, plan: &Plan) -> Quantity {
    let left = || {
        let gone = |id| plan.void.contains(id) || plan.supersede.contains(id);
        due.events.iter().filter(move |event| !gone(&event.id))
    };
    let is_cancelled = |event: &PostedEvent| left().any(|other| other.target == Some(event.id));
    left()
        .filter(|event| match event.kind {
            EventKind::Cancel => false,
            EventKind::Usage if event.quantity.is_negative() => true,
            EventKind::Usage => event.state == EventState::Settled && !is_cancelled(event),
        })
        .map(|event| &event.quantity)
        .sum()
}

fn cannot_lower(rest: &Quantity) -> (HoldReason, String) {
    (HoldReason::CannotLower, format!("{} more than should be there was told", -rest))
}
