//! A provider of whose entries the newest or the largest counts. PURE. Here: one entry that says
//! what a window came to, and its replacement by another. Never here: entries that add up
//! ([`super::entry`]); which record of a window counts (`domain::fold`). Read next:
//! [`super::entry`].
//!
//! An entry beside a wrong one would not put it right: the wrong one may be the one that counts. So
//! whatever changes, the entry is taken away first, and another is made once it is certainly gone.
//! A newest value of nothing is told as any other: without it an older window's would be billed.

use super::entry::{can_be_taken_away, cancel, enter_parts, is_on_no_bill, is_taking_away};
use super::lower::waits;
use super::{Plan, Rules};
use crate::domain::correction::CorrectionPolicy;
use crate::domain::event::EventKind;
use crate::domain::period::LatePolicy;
use crate::domain::quantity::Quantity;
use crate::domain::state::HoldReason;
use crate::ledger::posting::{DueBalance, PostedEvent};

/// The plan of a meter of whose entries one counts.
pub(super) fn by_level(due: &DueBalance, rules: &Rules<'_>) -> Plan {
    let accrued = &due.balance.accrued;
    let wanted = (due.balance.reads || !accrued.is_zero())
        .then(|| accrued.cut_to_decimals(rules.capabilities.decimals_max));
    let mut plan = Plan::default();
    let Sorted { stays, goes, withdrawn } = sort(due, wanted.as_ref(), &mut plan);
    let rest = &due.balance.outstanding() + &withdrawn;
    if goes.is_empty() {
        match (stays, wanted) {
            (Some(stays), _) => plan.finer = accrued - &stays.quantity,
            (None, Some(wanted)) => enter(due, &rest, wanted, rules, &mut plan),
            (None, None) => {}
        }
        return plan;
    }
    let is_unbilled = wanted.is_none() && is_on_no_bill(due, rules);
    if is_unbilled || !leave_to_period(&rest, !rest.is_zero(), rules, &mut plan) {
        take_away(due, &rest, goes, wanted.is_some(), rules, &mut plan);
    }
    plan
}

/// The entries of a balance, beside those that are withdrawn.
struct Sorted<'e> {
    /// The one that says what should be said.
    stays: Option<&'e PostedEvent>,
    /// Those that are at the provider, or may be, and say another thing.
    goes: Vec<&'e PostedEvent>,
    /// What those that are withdrawn say together.
    withdrawn: Quantity,
}

/// Withdraws what the provider never took: entries that say another thing than `wanted`, and what
/// was to take one away that says just that.
fn sort<'e>(due: &'e DueBalance, wanted: Option<&Quantity>, plan: &mut Plan) -> Sorted<'e> {
    let mut sorted = Sorted { stays: None, goes: Vec::new(), withdrawn: Quantity::zero() };
    // A deletion that was refused counts as told, and is to be gone about in another way.
    let refused = due.events.iter().filter(|event| event.kind == EventKind::Cancel);
    for cancel in refused.filter(|event| event.is_refused()) {
        plan.supersede.push(cancel.id);
        sorted.withdrawn = &sorted.withdrawn + &cancel.quantity;
    }
    // Newest first: of two that say the same, what was posted last stays.
    for event in due.events.iter().rev().filter(|event| event.kind == EventKind::Usage) {
        let deletion = due
            .events
            .iter()
            .find(|other| other.target == Some(event.id) && !plan.supersede.contains(&other.id));
        let says_it = wanted == Some(&event.quantity) && sorted.stays.is_none();
        match deletion {
            None if says_it => sorted.stays = Some(event),
            Some(deletion) if says_it && deletion.was_never_sent() => {
                plan.void.push(deletion.id);
                sorted.withdrawn = &sorted.withdrawn + &deletion.quantity;
                sorted.stays = Some(event);
            }
            // It is on its way out.
            Some(_) => {}
            None if event.was_never_sent() => {
                plan.void.push(event.id);
                sorted.withdrawn = &sorted.withdrawn + &event.quantity;
            }
            None if event.is_refused() => {
                plan.supersede.push(event.id);
                sorted.withdrawn = &sorted.withdrawn + &event.quantity;
            }
            None => sorted.goes.push(event),
        }
    }
    sorted
}

/// Makes the one entry of a window, once no other is there.
fn enter(due: &DueBalance, rest: &Quantity, wanted: Quantity, rules: &Rules<'_>, plan: &mut Plan) {
    // What becomes of another entry is known first, also of what comes too late.
    if is_taking_away(due, plan)
        || leave_to_period(rest, true, rules, plan)
        || plan.waits_for_others(rest, due, rules)
    {
        return;
    }
    if wanted.is_negative() {
        plan.hold((HoldReason::BelowZero, format!("its window would come to {wanted}")));
        return;
    }
    if wanted.split_to_digits(rules.capabilities.digits_max).len() > 1 {
        let most = rules.capabilities.digits_max;
        let why = format!("{wanted} has more than {most} digits, and one entry has to say it");
        plan.hold((HoldReason::MeterMismatch, why));
        return;
    }
    let finer = &due.balance.accrued - &wanted;
    if enter_parts(due, rest, vec![wanted], rules, plan) {
        plan.finer = finer;
    }
}

/// Takes away what says another thing than it should.
fn take_away(
    due: &DueBalance,
    rest: &Quantity,
    goes: Vec<&PostedEvent>,
    anew: bool,
    rules: &Rules<'_>,
    plan: &mut Plan,
) {
    let said: Quantity = goes.iter().map(|event| &event.quantity).sum();
    let should = if anew { format!("{} is", due.balance.accrued) } else { "nothing is".to_owned() };
    match rules.corrections {
        CorrectionPolicy::CancelThenNegative | CorrectionPolicy::Negative => {}
        CorrectionPolicy::Hold => {
            let why = format!("{said} was told, and {should} to be there instead");
            plan.hold((HoldReason::CorrectionPolicy, why));
            return;
        }
    }
    if waits(due) {
        return;
    }
    if !goes.iter().all(|event| can_be_taken_away(event, due, rules)) {
        let why = format!(
            "{said} was told, {should} to be there instead, and it can no longer be taken away: \
             what is billed is put right by voiding its invoice, or by a credit note"
        );
        plan.hold((HoldReason::CannotLower, why));
        return;
    }
    let lacks = plan.lacks_entries(usize::from(anew), rest, rules)
        || (anew && (plan.lacks_time(rest, due, rules) || plan.waits_for_others(rest, due, rules)));
    if !lacks {
        plan.tell = goes.into_iter().map(cancel).collect();
    }
}

/// Leaves what remains to whoever decides over usage that its period does not take, if that is so;
/// whether it is. A level is never carried: in another period it would be that one's. What differs
/// by nothing is never dropped while an entry stands, as it would differ as before.
pub(super) fn leave_to_period(
    rest: &Quantity,
    can_be_dropped: bool,
    rules: &Rules<'_>,
    plan: &mut Plan,
) -> bool {
    let late = match rules.late {
        LatePolicy::Drop if can_be_dropped => LatePolicy::Drop,
        LatePolicy::Drop | LatePolicy::NextPeriod | LatePolicy::Hold => LatePolicy::Hold,
    };
    plan.leave_to_period(rest, &Rules { late, ..rules.clone() })
}
