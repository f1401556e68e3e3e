//! Remapping: history that is booked as the routes lead by now. PURE. Here: which lines take a
//! record from where it was booked, and bring it to where it would be booked today. Never here:
//! which records are meant, the ledger. Read next: [`super::remapper`].
//!
//! A record is remapped whole or left as it is. What a person decided of it stands: a write-off was
//! of the quantity that was booked then. Two lines do it at each destination, one that takes all
//! that the record stands for there and one that brings what it stands for now, so that the ledger
//! says both; where nothing differs there is none. What they change at the provider is posting's to
//! find out, as with every other change.

use super::follow::{Line, Stay, by_destination, follow, stay};
use super::route::Transform;
use crate::domain::balance::BalanceKey;
use crate::domain::closed::closed;
use crate::domain::correction::{Cause, Change, CorrectionId, Standing, fold};
use crate::domain::fold::Fold;
use crate::domain::names::ProviderName;
use crate::domain::quantity::Quantity;
use crate::domain::time::Timestamp;
use crate::ledger::accrual::{Booking, JournalRecord, RouteVersionId};

closed! {
    /// Why a record is left as it is booked.
    LeftAlone {
        /// No route takes it any longer: whether it is to be taken back is not said by that.
        NoRoute = "no_route",
        /// It would wait in front of a route, as for an account.
        Parked = "parked",
        /// A person decided about it, such as to write it off.
        Decided = "decided",
        /// It was carried to another window, and its account or its kind of windows changes.
        Carried = "carried",
        /// A sum becomes a level, a level a sum, or either a number of distinct values, or of those
        /// of another property: one balance cannot be both.
        Aggregate = "aggregate",
        /// It was booked to a provider that is told nothing any longer: nothing can be taken back.
        NotTold = "not_told",
    }
}

impl LeftAlone {
    /// Why, for a person, and what can be done.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::NoRoute => "no route takes them any longer; cancel them if they are not to count",
            Self::Parked => "they would wait in front of a route; see `tallyd status`",
            Self::Decided => "a person decided about them, such as to write them off",
            Self::Carried => {
                "they were carried to another window, and their account or windows change"
            }
            Self::Aggregate => {
                "a sum, a level or a number of distinct values of a property would become another \
                 of these"
            }
            Self::NotTold => {
                "they were booked to a provider that the config has no longer: nothing can be \
                 taken back there"
            }
        }
    }
}

/// Where a record goes by the routes in force.
#[derive(Clone, Debug)]
pub struct Aim {
    /// As it would be booked, in the window that it would go into.
    pub booking: Booking,
    /// What its route makes of a quantity.
    pub transform: Transform,
    /// How the balance there folds; nothing where there is none yet.
    pub folds: Option<Fold>,
}

/// A record as it is booked.
#[derive(Clone, Copy, Debug)]
pub struct Booked<'a> {
    /// The record.
    pub entry: &'a JournalRecord,
    /// Its corrections, of which those lines have each.
    pub corrections: &'a [(CorrectionId, Change)],
    /// The lines that balances have of it, in their order.
    pub lines: &'a [Line],
}

/// The lines that book a record as `aims` say, by the step of this number; none where it is booked
/// so, is cancelled, or is not booked at all and waits for a route.
///
/// # Errors
/// With the reason why it is left as it is.
pub fn remap(
    record: Booked<'_>,
    aims: &[Aim],
    is_told: impl Fn(&ProviderName) -> bool,
    step: i64,
    now: Timestamp,
) -> Result<Vec<Booking>, LeftAlone> {
    let Booked { entry, corrections, lines } = record;
    let changes = corrections.iter().map(|(_, change)| change);
    let (_, standing) = fold(&entry.record.quantity, changes);
    if standing == Standing::Cancelled || lines.is_empty() {
        return Ok(Vec::new());
    }
    if aims.is_empty() {
        return Err(LeftAlone::NoRoute);
    }
    if aims.iter().any(|aim| aim.folds.is_some_and(|folds| folds != aim.transform.fold())) {
        return Err(LeftAlone::Aggregate);
    }
    let mut bookings = Vec::new();
    let destinations = by_destination(lines);
    for here in &destinations {
        let aim = aims.iter().find(|aim| here.iter().any(|line| leads_to(aim, line)));
        let stay = stay(here);
        let target = match (stay, aim) {
            (None, None) => continue,
            (Some(stay), Some(aim)) => {
                let target = target(stay, aim)?;
                let is_there = target == *stay.home;
                if is_there && aim.transform.counts_like(&stay.booked.transform) {
                    continue;
                }
                Some((aim, target))
            }
            (None, Some(aim)) => Some((aim, aim.booking.balance.clone())),
            (Some(_), None) => None,
        };
        // Also where it was taken away since: what somebody decided then is of what it was.
        if here.iter().any(|line| !line.cause.0.is_usage()) {
            return Err(LeftAlone::Decided);
        }
        if let Some(Stay { booked, home }) = stay {
            if !is_told(&booked.balance.provider) {
                return Err(LeftAlone::NotTold);
            }
            let stands_for: Quantity = here.iter().map(|line| &line.quantity).sum();
            let from = Way { route: booked.route, transform: &booked.transform };
            bookings.push(line(
                entry,
                from,
                home.clone(),
                -&stands_for,
                (Cause::RemapFrom, step),
                now,
            ));
        }
        if let Some((aim, target)) = target {
            let to = Way { route: aim.booking.route, transform: &aim.transform };
            let stands_for = aim.transform.contribution(&standing);
            bookings.push(line(entry, to, target, stands_for, (Cause::RemapTo, step), now));
        }
    }
    for aim in aims {
        if !lines.iter().any(|line| leads_to(aim, line)) {
            bookings.extend(book_anew(entry, corrections, aim, now));
        }
    }
    Ok(bookings)
}

/// Books a record where it never was: as accrual would have, and with its corrections behind it.
fn book_anew(
    entry: &JournalRecord,
    corrections: &[(CorrectionId, Change)],
    aim: &Aim,
    now: Timestamp,
) -> Vec<Booking> {
    let Aim { booking, transform, folds: _ } = aim;
    let line = Line {
        balance: booking.balance.clone(),
        route: booking.route,
        transform: transform.clone(),
        quantity: booking.quantity.clone(),
        cause: booking.cause,
        corrected_to: CorrectionId::default(),
    };
    let mut bookings = follow(entry, corrections, &[line], now);
    bookings.insert(0, booking.clone());
    bookings
}

fn leads_to(aim: &Aim, line: &Line) -> bool {
    aim.booking.balance.has_destination_of(&line.balance)
}

/// The balance that a record goes to. Where it would go to windows of the same kind of the same
/// account it stays in the one that it is in, though that be another than it would get today: it
/// was cut at a period's end, or carried, or is yet to be.
fn target(stay: Stay<'_>, aim: &Aim) -> Result<BalanceKey, LeftAlone> {
    let Stay { booked, home } = stay;
    if !aim.transform.mixes_with(&booked.transform) {
        return Err(LeftAlone::Aggregate);
    }
    let wanted = &aim.booking.balance;
    let is_alike = wanted.place() == home.place()
        && wanted.dimensions == home.dimensions
        && aim.transform.window == booked.transform.window;
    if is_alike {
        Ok(home.clone())
    } else if *home == booked.balance {
        Ok(wanted.clone())
    } else {
        Err(LeftAlone::Carried)
    }
}

/// By which route version a line is made.
#[derive(Clone, Copy)]
struct Way<'a> {
    route: RouteVersionId,
    transform: &'a Transform,
}

fn line(
    entry: &JournalRecord,
    way: Way<'_>,
    balance: BalanceKey,
    quantity: Quantity,
    cause: (Cause, i64),
    now: Timestamp,
) -> Booking {
    Booking {
        position: entry.position,
        route: way.route,
        due_at: way.transform.due_at(balance.window, now),
        fold: way.transform.fold(),
        balance,
        quantity,
        member: way.transform.member(&entry.record),
        cause,
        occurred_at: entry.record.occurred_at,
    }
}

#[cfg(test)]
mod tests;
