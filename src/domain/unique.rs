//! Distinct values. PURE. Here: the value that a record is counted by, and what records come to
//! together where each value counts once. Never here: which property has the value
//! (`accrual::route`), the lines that say so (`store`). Read next: [`super::fold`].
//!
//! A record stands for one, or for nothing. A value stands for as much as that of its records which
//! stands for most: it goes only with the last of them. That may be more than one where a person
//! said that the provider was told more for good.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use super::digest::{Digest, Fields};
use super::fold::Share;
use super::names::NAME_BYTES_MAX;
use super::quantity::Quantity;
use super::record::{Position, Properties};

/// Longest value that a record is counted by, in bytes: as long as any name is. What is longer is a
/// text and names nobody, so that each record would be counted by itself.
pub const VALUE_BYTES_MAX: usize = NAME_BYTES_MAX;

/// A value that records are counted by, as a digest of its text: `1`, `"1"` and no other are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(pub Digest);

/// Why a record cannot be counted by a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncountable {
    /// It does not have it.
    Missing,
    /// It has it, with no text at all.
    Empty,
    /// It has it, with so many bytes.
    TooLong(usize),
}

impl fmt::Display for Uncountable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Empty => f.write_str("is empty"),
            Self::TooLong(bytes) => {
                write!(f, "has {bytes} bytes, and at most {VALUE_BYTES_MAX} are told apart")
            }
        }
    }
}

impl Member {
    /// What the value of the property `name` counts as.
    ///
    /// # Errors
    /// With the reason why a record with these properties is not counted by it.
    pub fn of(properties: &Properties, name: &str) -> Result<Self, Uncountable> {
        let text = properties.get(name).ok_or(Uncountable::Missing)?.as_text();
        match text.len() {
            0 => Err(Uncountable::Empty),
            1..=VALUE_BYTES_MAX => Ok(Self(Fields::of("member 1").text(text).finish())),
            bytes => Err(Uncountable::TooLong(bytes)),
        }
    }
}

/// What some records have in common; one that was booked without a value is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Member(Member),
    Alone(Position),
}

/// What a value stands for by what each of its records does.
#[must_use]
pub fn level<'q>(records: impl IntoIterator<Item = &'q Quantity>) -> Quantity {
    records.into_iter().max().cloned().unwrap_or_default().max(Quantity::zero())
}

/// What all values come to together.
pub(super) fn count(shares: &[Share]) -> Quantity {
    let made = Lines::new(shares);
    let levels: Vec<Quantity> = by_value(shares).iter().map(|value| made.level(value)).collect();
    levels.iter().sum()
}

/// Where the records of each value stand among `shares`: first the value that came last, by its
/// oldest record.
fn by_value(shares: &[Share]) -> Vec<Vec<usize>> {
    let mut values: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
    for (place, share) in shares.iter().enumerate() {
        let value = share.member.map_or(Value::Alone(share.position), Value::Member);
        values.entry(value).or_default().push(place);
    }
    let mut values: Vec<Vec<usize>> = values.into_values().collect();
    values.sort_by_key(|places| Reverse(places.iter().map(|place| shares[*place].position).min()));
    values
}

/// Lines that are made for the records of some shares, one each.
struct Lines<'s> {
    shares: &'s [Share],
    lines: Vec<Quantity>,
}

impl<'s> Lines<'s> {
    fn new(shares: &'s [Share]) -> Self {
        Self { shares, lines: vec![Quantity::zero(); shares.len()] }
    }

    fn level(&self, places: &[usize]) -> Quantity {
        level(places.iter().map(|place| &self.shares[*place].quantity))
    }

    /// Has a value stand for less, by `most` at the most; answers by how much.
    fn lower(&mut self, places: &[usize], most: &Quantity) -> Quantity {
        let stands_for = self.level(places);
        let less = stands_for.clone().min(most.clone());
        let left = &stands_for - &less;
        for place in places {
            let quantity = &self.shares[*place].quantity;
            self.lines[*place] = (&left - quantity).min(Quantity::zero());
        }
        less
    }

    /// Has a value that stands for nothing stand for one again, by its newest record, or for less
    /// where `most` is; answers by how much.
    fn raise(&mut self, places: &[usize], most: &Quantity) -> Quantity {
        if !self.level(places).is_zero() {
            return Quantity::zero();
        }
        let newest = places.iter().max_by_key(|place| self.shares[**place].position);
        let Some(newest) = newest else { return Quantity::zero() };
        let more = Quantity::one().min(most.clone());
        self.lines[*newest] = &more - &self.shares[*newest].quantity;
        more
    }
}

/// The line for each record, in their order, by which they come to `level`: the values that came
/// last go first, and come back first.
pub(super) fn bring(shares: &[Share], level: &Quantity) -> Vec<Quantity> {
    let mut made = Lines::new(shares);
    let values = by_value(shares);
    let present = count(shares);
    let (mut less, mut more) = (&present - level, level - &present);
    for places in &values {
        if less > Quantity::zero() {
            less = &less - &made.lower(places, &less);
        } else if more > Quantity::zero() {
            more = &more - &made.raise(places, &more);
        }
    }
    // More was told than there ever were values of: the newest one stands for the rest as well.
    let newest = values.first().and_then(|places| {
        let stands_for = |place: &&usize| &shares[**place].quantity + &made.lines[**place];
        places.iter().max_by_key(stands_for)
    });
    if let (true, Some(newest)) = (more > Quantity::zero(), newest) {
        made.lines[*newest] = &made.lines[*newest] + &more;
    }
    made.lines
}

/// A record of a window, and what it stood for before the lines that an event says, and with them.
#[derive(Clone, Debug)]
pub struct Said {
    /// What it stands for by now.
    pub share: Share,
    /// What it stood for before them.
    pub before: Quantity,
    /// What it stood for with them.
    pub after: Quantity,
}

/// The line for each record, in their order, by which the values that an event brought go by
/// `amount`, as nothing of it is told; where it took values away, and is not to, those come back.
/// What has gone by itself since, and is `outstanding` for that, does not go a second time.
#[must_use]
pub fn without(records: &[Said], amount: &Quantity, outstanding: &Quantity) -> Vec<Quantity> {
    let shares: Vec<Share> = records.iter().map(|record| record.share.clone()).collect();
    let mut made = Lines::new(&shares);
    let stood_for = |places: &[usize]| {
        let before = level(places.iter().map(|place| &records[*place].before));
        &level(places.iter().map(|place| &records[*place].after)) - &before
    };
    let brings = amount.is_negative();
    let changed: Vec<(Vec<usize>, Quantity)> = by_value(&shares)
        .into_iter()
        .map(|places| {
            let change = stood_for(&places);
            (places, change)
        })
        .filter(|(_, change)| !change.is_zero() && change.is_negative() != brings)
        .collect();
    let zero = Quantity::zero();
    let mut rest = if brings { -amount } else { amount.clone() };
    let undone = |(places, change): &(Vec<usize>, Quantity)| {
        let now = made.level(places);
        if brings { (change - &now).max(zero.clone()) } else { now }
    };
    let undone: Vec<Quantity> = changed.iter().map(undone).collect();
    let undone: Quantity = undone.iter().sum();
    let explained = if brings { -outstanding } else { outstanding.clone() };
    rest = &rest - &undone.min(explained.max(zero.clone()));
    for (places, change) in &changed {
        if rest <= zero {
            break;
        }
        let done = match brings {
            true => made.lower(places, &change.clone().min(rest.clone())),
            false => made.raise(places, &rest),
        };
        rest = &rest - &done;
    }
    made.lines
}

#[cfg(test)]
mod tests;
