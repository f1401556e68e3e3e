//! Corrections follow their record. PURE. Here: which lines a record's corrections add to the
//! balances that it was booked to. Never here: whether a correction is accepted (`intake`), the
//! ledger. Read next: [`super::accruer`].
//!
//! A correction goes where its record went, through the transform by which it went there, whatever
//! the routes say now. It is looked at whenever its record is booked somewhere, and when it comes
//! in; each line is made once, so both may look at it.

use super::route::Transform;
use crate::domain::balance::BalanceKey;
use crate::domain::correction::{Cause, Change, CorrectionId, Effect, Standing, fold};
use crate::domain::quantity::Quantity;
use crate::domain::time::Timestamp;
use crate::ledger::accrual::{Booking, JournalRecord, RouteVersionId};

/// A line that a balance has of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The balance.
    pub balance: BalanceKey,
    /// The route version that booked the record there.
    pub route: RouteVersionId,
    /// What that version makes of a quantity, and when it posts.
    pub transform: Transform,
    /// What the line adds.
    pub quantity: Quantity,
    /// Why it is there.
    pub cause: (Cause, i64),
    /// Corrections up to this one are in it already.
    pub corrected_to: CorrectionId,
}

/// The lines of a record at one destination.
#[derive(Clone, Copy, Debug)]
pub struct Stay<'l> {
    /// The one that brought it there.
    pub booked: &'l Line,
    /// Which balance it is in by now.
    pub home: &'l BalanceKey,
}

/// Where a record is at a destination, by its lines there in their order; nothing where a remap
/// took it away.
#[must_use]
pub fn stay<'l>(lines: &[&'l Line]) -> Option<Stay<'l>> {
    let mut stay = None;
    for line in lines {
        match line.cause.0 {
            Cause::Record | Cause::RemapTo => {
                stay = Some(Stay { booked: line, home: &line.balance });
            }
            Cause::RemapFrom => stay = None,
            Cause::Transfer => {
                stay = stay.map(|stay| Stay { home: &line.balance, ..stay });
            }
            Cause::Correction | Cause::WriteOff | Cause::Reversal | Cause::Presence => {}
        }
    }
    stay
}

/// The lines of a record by their destinations, a provider's meter each, in their order.
#[must_use]
pub fn by_destination(lines: &[Line]) -> Vec<Vec<&Line>> {
    let mut destinations: Vec<Vec<&Line>> = Vec::new();
    for line in lines {
        let its = |lines: &&mut Vec<&Line>| {
            lines.first().is_some_and(|first| first.balance.has_destination_of(&line.balance))
        };
        match destinations.iter_mut().find(its) {
            Some(destination) => destination.push(line),
            None => destinations.push(vec![line]),
        }
    }
    destinations
}

/// The lines that are missing: for each destination that the record was booked to, what each of its
/// corrections changes there, in the balance that has the record by now. What was written off of
/// the record is taken back first: usage that the provider was never to hold, and what it was told
/// too much and holds for good, so that usage which comes back is not billed beside it.
#[must_use]
pub fn follow(
    entry: &JournalRecord,
    corrections: &[(CorrectionId, Change)],
    lines: &[Line],
    now: Timestamp,
) -> Vec<Booking> {
    let (effects, _) = fold(&entry.record.quantity, corrections.iter().map(|(_, change)| change));
    let mut missing = Vec::new();
    // A destination takes a record once, whichever of its balances the record is moved to.
    for here in by_destination(lines) {
        let Some(Stay { booked, home }) = stay(&here) else { continue };
        // What somebody decided at another account is no matter of this one's.
        let decided = here
            .iter()
            .filter(|line| !line.cause.0.is_usage() && line.balance.place() == home.place());
        let so_far: Quantity = decided.map(|line| &line.quantity).sum();
        let mut written_off = -&so_far;
        for ((id, _), effect) in corrections.iter().zip(&effects) {
            let Effect::Applied(from, to) = effect else { continue };
            if *id <= booked.corrected_to {
                continue;
            }
            let transform = &booked.transform;
            let fold = transform.fold();
            let change = &transform.contribution(to) - &transform.contribution(from);
            let cause = (Cause::Correction, id.0);
            // A reading of nothing counts, and does no longer once it is cancelled.
            let ends_nothing = fold.is_of_readings() && *to == Standing::Cancelled;
            let says_nothing = change.is_zero() && !ends_nothing;
            if says_nothing || here.iter().any(|line| line.cause == cause) {
                continue;
            }
            missing.push(line(entry, booked, home, change.clone(), cause, now));
            let is_level = !fold.adds_up();
            let is_contrary = written_off.is_negative() != change.is_negative();
            if !written_off.is_zero() && (is_level || is_contrary) {
                // A level that is said anew is that, whatever was made of the old one.
                let taken_back = if is_level {
                    written_off.clone()
                } else {
                    (-&change).nearer_to_zero(written_off.clone())
                };
                written_off = &written_off - &taken_back;
                let cause = (Cause::Reversal, id.0);
                missing.push(line(entry, booked, home, taken_back, cause, now));
            }
        }
    }
    missing
}

fn line(
    entry: &JournalRecord,
    booked: &Line,
    home: &BalanceKey,
    quantity: Quantity,
    cause: (Cause, i64),
    now: Timestamp,
) -> Booking {
    Booking {
        position: entry.position,
        route: booked.route,
        balance: home.clone(),
        fold: booked.transform.fold(),
        quantity,
        member: booked.transform.member(&entry.record),
        cause,
        occurred_at: entry.record.occurred_at,
        due_at: booked.transform.due_at(home.window, now),
    }
}

#[cfg(test)]
mod tests;
