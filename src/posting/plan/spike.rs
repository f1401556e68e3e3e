//! More than anybody expects. PURE. Here: a balance that comes to more than its route lets through
//! unseen waits for a person, and is told once that person confirmed it. Never here: what is too
//! much told, which is taken back in any case. Read next: [`super::lower`].
//!
//! What was told of it before it grew so stays told, and what was posted goes out: only what would
//! be added waits. What was confirmed is a quantity: where it grows beyond that, it waits again.

use super::{Plan, Rules};
use crate::domain::state::HoldReason;
use crate::ledger::posting::DueBalance;

/// The plan of a balance that nobody confirmed; nothing where that is not needed.
pub(super) fn unconfirmed(due: &DueBalance, rules: &Rules<'_>) -> Option<Plan> {
    let most = rules.hold_above?;
    let (accrued, rest) = (&due.balance.accrued, due.balance.outstanding());
    let rises = !rest.is_zero() && !rest.is_negative();
    let is_confirmed = due.confirmed.as_ref().is_some_and(|confirmed| accrued <= confirmed);
    if accrued <= most || !rises || is_confirmed {
        return None;
    }
    let why = match &due.confirmed {
        Some(confirmed) => format!(
            "its window comes to {accrued}, of which {confirmed} was confirmed, and more than \
             {most} is not told unseen"
        ),
        None => format!("its window comes to {accrued}, and more than {most} is not told unseen"),
    };
    Some(Plan::held((HoldReason::Spike, why)))
}
