//! What another program told. PURE. Here: usage of before `bill_from` is never told: what was told
//! of it by nobody here is written off as told before. Never here: usage of after it. Read next:
//! [`super::lower`].
//!
//! What this program had told of such usage already, as somebody sets `bill_from` too late, is
//! neither cancelled nor written off: whether the provider holds it once or twice only its total
//! tells, to a person.

use super::{Plan, Rules};
use crate::domain::cutover::{Side, side};
use crate::domain::event::EventKind;
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::domain::write_off::{Ground, PolicyWriteOff};
use crate::ledger::posting::{DueBalance, PostedEvent};

/// The plan of a balance of which all, or some, is of before `bill_from`; nothing where none is.
pub(super) fn told_before(due: &DueBalance, rules: &Rules<'_>) -> Option<Plan> {
    let from = rules.bill_from?;
    let close = match side(due.balance.key.window, rules.bill_from) {
        Side::From => return None,
        Side::Before => write_off,
        Side::Across => across,
    };
    let mut plan = Plan::default();
    withdraw(due, &mut plan);
    if !plan.void.is_empty() || !plan.supersede.is_empty() {
        // What is outstanding then is looked at next, with all that went with it.
        plan.wait_until = Some(rules.now);
        return Some(plan);
    }
    close(due, from, &mut plan);
    Some(plan)
}

/// Takes back what the provider never took: another program told it.
fn withdraw(due: &DueBalance, plan: &mut Plan) {
    let is_more = |event: &&PostedEvent| match event.kind {
        EventKind::Usage => !event.quantity.is_negative(),
        // It takes back what this program told.
        EventKind::Cancel => false,
    };
    for event in due.events.iter().filter(is_more) {
        if event.was_never_sent() {
            plan.void.push(event.id);
        } else if event.is_refused() {
            plan.supersede.push(event.id);
        }
    }
}

/// Writes off what nobody here told.
fn write_off(due: &DueBalance, from: Timestamp, plan: &mut Plan) {
    let rest = due.balance.outstanding();
    if rest.is_negative() {
        let why = format!(
            "{} more than should be there was told of usage of before {from}, which another \
             program told: it may be there twice",
            -&rest
        );
        plan.hold((HoldReason::BillFrom, why));
    } else if !rest.is_zero() || says_nothing_yet(due) {
        plan.drop = Some(PolicyWriteOff { amount: rest, ground: Ground::ToldBefore(from) });
    }
}

/// A window that could not be parted: a level has no parts, and what was told of a sum is told of
/// all of it.
fn across(due: &DueBalance, from: Timestamp, plan: &mut Plan) {
    let rest = due.balance.outstanding();
    if !rest.is_zero() || says_nothing_yet(due) {
        let why = format!(
            "{rest} is outstanding in a window that {from} lies in: what another program told of \
             it before cannot be told apart"
        );
        plan.hold((HoldReason::BillFrom, why));
    }
}

/// Whether a reading of nothing is there, and was not told.
fn says_nothing_yet(due: &DueBalance) -> bool {
    due.balance.reads && due.is_unsaid()
}
