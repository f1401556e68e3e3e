//! The plan: how to close the difference between what a provider should hold and what it was told.
//! PURE. Here: one total function over a balance, its events and what the provider can do. Never
//! here: bytes, the ledger, a clock. Read next: [`super::poster`].
//!
//! The order of the moves is fixed, cheapest and safest first: wait for the balance's time;
//! withdraw what was never leased; tell the rest by the means the meter has; hold what no means can
//! tell.

use crate::domain::event::EventId;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::Timestamp;
use crate::ledger::posting::DueBalance;
use crate::provider::{Capabilities, ToldAs};

/// What is to be done for a balance, with no choices left in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Events to withdraw: pending, never leased.
    pub void: Vec<EventId>,
    /// Events to supersede: definitely refused.
    pub supersede: Vec<EventId>,
    /// Events to tell, oldest first.
    pub tell: Vec<Tell>,
    /// Why what remains cannot be told, and the particulars.
    pub hold: Option<(HoldReason, String)>,
    /// When to look again, though nothing changes.
    pub wait_until: Option<Timestamp>,
}

/// One event to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// How much it says.
    pub quantity: Quantity,
    /// When it says the usage was.
    pub occurred_at: Timestamp,
}

/// Makes the plan for a balance that is due. `provider_now` is the provider's time; `now` is this
/// host's, which only decides when to look again.
#[must_use]
pub fn plan(
    due: &DueBalance,
    capabilities: &Capabilities,
    provider_now: Timestamp,
    now: Timestamp,
) -> Plan {
    let outstanding = due.balance.outstanding();
    if outstanding.is_zero() {
        return Plan::default();
    }
    match capabilities.told_as {
        ToldAs::Delta => by_delta(due, &outstanding, capabilities, provider_now, now),
        ToldAs::EachRecord => by_record(due, &outstanding, capabilities, provider_now, now),
    }
}

/// A sum that each event adds to.
fn by_delta(
    due: &DueBalance,
    outstanding: &Quantity,
    capabilities: &Capabilities,
    provider_now: Timestamp,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let mut rest = outstanding.clone();
    if rest.is_negative() {
        // Newest first: what was posted last is the most likely not to have left yet.
        let withdrawable = due.events.iter().rev().filter(|event| {
            event.state == EventState::Pending && !event.leased && !event.quantity.is_negative()
        });
        for event in withdrawable {
            if !rest.is_negative() {
                break;
            }
            rest = &rest + &event.quantity;
            plan.void.push(event.id);
        }
        if rest.is_negative() {
            // Told, and not to be withdrawn. Nothing is changed half way: the hold says it all.
            let why = format!("{} more than should be there was told", -outstanding);
            return Plan { hold: Some((HoldReason::CannotLower, why)), ..Plan::default() };
        }
    }
    let occurred_at = due.balance.newest_at;
    match when(occurred_at, capabilities, provider_now, now) {
        When::Now => {
            // What is finer than the provider's decimals stays outstanding: it is not rounded away.
            let told = rest.cut_to_decimals(capabilities.decimals_max);
            let parts = told.split_to_digits(capabilities.digits_max);
            plan.tell = parts.into_iter().map(|quantity| Tell { quantity, occurred_at }).collect();
            plan
        }
        When::Later(at) => Plan { wait_until: Some(at), ..Plan::default() },
        When::TooLate => Plan { hold: Some(too_late(outstanding, occurred_at)), ..Plan::default() },
    }
}

/// A number of events, one for each record: a record folds to one or to nothing, and is never
/// netted with another, nor split.
fn by_record(
    due: &DueBalance,
    outstanding: &Quantity,
    capabilities: &Capabilities,
    provider_now: Timestamp,
    now: Timestamp,
) -> Plan {
    if due.balance.key.record.is_none() || *outstanding != Quantity::one() {
        let why = format!("the meter counts records one by one, and {outstanding} is outstanding");
        return Plan { hold: Some((HoldReason::MeterMismatch, why)), ..Plan::default() };
    }
    let occurred_at = due.balance.newest_at;
    match when(occurred_at, capabilities, provider_now, now) {
        When::Now => {
            Plan { tell: vec![Tell { quantity: Quantity::one(), occurred_at }], ..Plan::default() }
        }
        When::Later(at) => Plan { wait_until: Some(at), ..Plan::default() },
        When::TooLate => Plan { hold: Some(too_late(outstanding, occurred_at)), ..Plan::default() },
    }
}

/// Whether the provider takes an event's time.
enum When {
    Now,
    Later(Timestamp),
    TooLate,
}

fn when(
    occurred_at: Timestamp,
    capabilities: &Capabilities,
    provider_now: Timestamp,
    now: Timestamp,
) -> When {
    let ahead = occurred_at.micros_since(provider_now) - capabilities.accepts_ahead_micros;
    if ahead > 0 {
        return When::Later(now.plus_micros(ahead));
    }
    if deadline(occurred_at, capabilities) <= provider_now { When::TooLate } else { When::Now }
}

/// The last instant, on the provider's clock, at which an event of this time is sent: the
/// provider's own limit less the margin.
#[must_use]
pub fn deadline(occurred_at: Timestamp, capabilities: &Capabilities) -> Timestamp {
    occurred_at
        .plus_micros(capabilities.accepts_past_micros - capabilities.accepts_past_margin_micros)
}

fn too_late(outstanding: &Quantity, occurred_at: Timestamp) -> (HoldReason, String) {
    let why = format!("{outstanding} of {occurred_at} is older than the provider takes");
    (HoldReason::DeadlinePassed, why)
}

#[cfg(test)]
mod tests;
