//! What a total proves. PURE. Here: the search for the explanations of a total, and whether exactly
//! one fits. Never here: what follows from it ([`super::judge`]). Read next: [`super::judge`].
//!
//! A group's certain events make a base. Each open event adds its quantity or nothing; together
//! with its cancel it is one unit, which adds the target's quantity or nothing. An explanation says
//! which units count. Two explanations that leave every balance with the same sum are one: nobody
//! could tell them apart, and the same remains to be told.

use std::collections::{BTreeMap, BTreeSet};

use super::gauge::{self, is_gauge};
use crate::domain::balance::BalanceId;
use crate::domain::quantity::Quantity;
use crate::domain::state::EventState;
use crate::domain::time::Timestamp;
use crate::ledger::reconcile::{LaneEvent, Standing, Untold};
use crate::provider::ReadBack;

/// Most sums that are looked at in one search. A group in which nearly everything is there, or
/// nearly nothing, takes about as many as it has events; past this one, nobody could tell which
/// explanation is true.
pub const SUMS_MAX: usize = 400_000;

/// What a total comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// One explanation fits: for each event whether it counts, in the order of the events. An event
    /// that was certain is as it was.
    Settled(Vec<bool>),
    /// An event is too young for what would be proven of it.
    Early,
    /// More than one explanation fits, or too many would have to be tried.
    Ambiguous,
    /// None fits.
    Unexplained,
    /// Digits of it, or of a sum it may stand for, cannot be trusted.
    Incomparable,
}

/// What an event and its cancel may add to a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Its quantity, for certain.
    All,
    /// Nothing, for certain.
    Nothing,
    /// One or the other.
    Open,
}

/// What an event alone, or a cancel alone, may be.
fn share_of(standing: &Standing) -> Share {
    match standing.state {
        EventState::Settled => Share::All,
        EventState::Accepted | EventState::InFlight | EventState::Unknown => Share::Open,
        EventState::Held | EventState::Superseded | EventState::Dead if standing.may_exist => {
            Share::Open
        }
        EventState::Held
        | EventState::Superseded
        | EventState::Dead
        | EventState::Pending
        | EventState::Void => Share::Nothing,
    }
}

/// What an event, together with its cancel, may add to a total.
#[must_use]
pub fn share(event: &LaneEvent) -> Share {
    let cancelled = event.cancel.as_ref().map_or(Share::Nothing, share_of);
    match (share_of(&event.usage), cancelled) {
        (Share::Nothing, _) | (_, Share::All) => Share::Nothing,
        (alone, Share::Nothing) => alone,
        (Share::All | Share::Open, Share::Open) => Share::Open,
    }
}

/// Whether a cancel is open: what its event adds depends on it.
#[must_use]
pub fn open_cancel(event: &LaneEvent) -> Option<&Standing> {
    event.cancel.as_ref().filter(|cancel| share_of(cancel) == Share::Open)
}

/// Whether a total that was read then may lag behind what was sent of the event. That holds of what
/// is certain as well: a person may say so of what was sent a minute ago.
#[must_use]
pub fn is_young(event: &LaneEvent, read_at: Timestamp, promise: &ReadBack) -> bool {
    std::iter::once(&event.usage)
        .chain(&event.cancel)
        .filter(|standing| share_of(standing) != Share::Nothing)
        .any(|standing| standing.last_at.plus_micros(promise.lag_micros) > read_at)
}

/// From when on a total can prove that the event counts, or that it does not.
#[must_use]
pub fn provable_at(event: &LaneEvent, counts: bool, promise: &ReadBack) -> Timestamp {
    let seen = |standing: &Standing| standing.last_at.plus_micros(promise.lag_micros);
    let missed = |standing: &Standing| seen(standing).plus_micros(promise.landing_micros);
    let settled = event.usage.state == EventState::Settled;
    match (open_cancel(event), counts) {
        (None, true) => seen(&event.usage),
        (None, false) => missed(&event.usage),
        (Some(cancel), true) => seen(&event.usage).max(missed(cancel)),
        (Some(cancel), false) if settled => seen(cancel),
        (Some(cancel), false) => missed(&event.usage).max(seen(cancel)),
    }
}

/// What `total`, read when the provider's clock was at a time, proves of `events`: all events of a
/// lane and a span. What is `untold` may be in the total as well: a ledger that was lost may have
/// told it, and then what this one's events say of the same balance is not all that is there.
#[must_use]
pub fn explain(
    total: &Quantity,
    events: &[LaneEvent],
    untold: &[Untold],
    (read_at, promise): (Timestamp, &ReadBack),
) -> Finding {
    let open: Vec<usize> =
        (0..events.len()).filter(|at| share(&events[*at]) == Share::Open).collect();
    if is_gauge(events) {
        return gauge::explain(total, events, (read_at, promise));
    }
    if events.iter().any(|event| is_young(event, read_at, promise)) {
        return Finding::Early;
    }
    let Some(search) = Search::of(total, events, (&open, untold), promise.digits_max) else {
        return Finding::Incomparable;
    };
    let counting = match search.run() {
        Found::None => return Finding::Unexplained,
        Found::Several | Found::TooMany => return Finding::Ambiguous,
        Found::One(counting) => counting,
    };
    let mut counts: Vec<bool> = events.iter().map(|event| share(event) == Share::All).collect();
    for at in counting {
        // What is untold has no event that could move.
        if let Some(counts) = counts.get_mut(at) {
            *counts = true;
        }
    }
    let ripe = |at: &usize| provable_at(&events[*at], counts[*at], promise) <= read_at;
    if open.iter().all(ripe) { Finding::Settled(counts) } else { Finding::Early }
}

/// An open event, alone or with its cancel.
struct Unit {
    /// Its place among all events; behind them all, where it is none.
    at: usize,
    /// What it may add.
    value: i128,
    /// Whether it adds that if all that was told is so, and nothing else.
    as_told: bool,
}

/// The open events of one balance; those first that are to be taken for what was told of them where
/// nothing tells two apart.
struct Group(Vec<Unit>);

/// The question in whole numbers: which sums of open events make `target`?
struct Search {
    target: i128,
    groups: Vec<Group>,
}

/// What the search found.
enum Found {
    None,
    /// The places of the events that count.
    One(Vec<usize>),
    Several,
    TooMany,
}

impl Search {
    /// Nothing when the digits of the total, or of a sum that it may stand for, are past
    /// `digits_max`.
    fn of(
        total: &Quantity,
        events: &[LaneEvent],
        (open, untold): (&[usize], &[Untold]),
        digits_max: u32,
    ) -> Option<Self> {
        let said = events.iter().map(|event| &event.quantity);
        let said = said.chain(untold.iter().map(|each| &each.quantity));
        let decimals = said.map(Quantity::decimals).fold(total.decimals(), u32::max);
        if total.digits() > digits_max {
            return None;
        }
        let bound = 10_i128.checked_pow(digits_max)?;
        let total = total.in_units_of(decimals)?;
        let (mut base, mut low, mut high) = (0_i128, 0_i128, 0_i128);
        let mut groups: BTreeMap<BalanceId, Vec<Unit>> = BTreeMap::new();
        for event in events.iter().filter(|event| share(event) == Share::All) {
            base = base.checked_add(event.quantity.in_units_of(decimals)?)?;
        }
        for at in open {
            let event = &events[*at];
            let value = event.quantity.in_units_of(decimals)?;
            low = low.checked_add(value.min(0))?;
            high = high.checked_add(value.max(0))?;
            let as_told = event.usage.state.counts_as_told() && event.cancel.is_none();
            groups.entry(event.balance).or_default().push(Unit { at: *at, value, as_told });
        }
        for (at, each) in (events.len()..).zip(untold) {
            let value = each.quantity.in_units_of(decimals)?;
            low = low.checked_add(value.min(0))?;
            high = high.checked_add(value.max(0))?;
            groups.entry(each.balance).or_default().push(Unit { at, value, as_told: false });
        }
        let fits = |sum: i128| -bound < sum && sum < bound;
        if ![total, base, base.checked_add(low)?, base.checked_add(high)?].into_iter().all(fits) {
            return None;
        }
        let groups = groups
            .into_values()
            .map(|mut group| {
                group.sort_by_key(|unit| match events.get(unit.at) {
                    Some(LaneEvent { usage, .. }) => (doubt(usage.state), Some(usage.event)),
                    None => (UNTOLD_DOUBT, None),
                });
                Group(group)
            })
            .collect();
        Some(Self { target: total - base, groups })
    }

    fn run(&self) -> Found {
        let mut left = SUMS_MAX;
        let ranges: Vec<(i128, i128)> = self.groups.iter().map(Group::range).collect();
        let (low, high) = sum(&ranges);
        // For each group the sums it can make, given what the others can make of the rest.
        let mut layers = Vec::with_capacity(self.groups.len());
        for (group, range) in self.groups.iter().zip(&ranges) {
            let others = (low - range.0, high - range.1);
            let within = (self.target - others.1, self.target - others.0);
            let Some(made) = group.sums(within, &mut left) else { return Found::TooMany };
            layers.push(made);
        }
        // From the last group to the first: in how many ways the groups from there on make a sum.
        let mut ways: Vec<BTreeMap<i128, u8>> = vec![BTreeMap::from([(0, 1)])];
        let mut before = (low, high);
        for at in (0..layers.len()).rev() {
            before = (before.0 - ranges[at].0, before.1 - ranges[at].1);
            let reach = (self.target - before.1, self.target - before.0);
            let mut next: BTreeMap<i128, u8> = BTreeMap::new();
            let after = ways.last().cloned().unwrap_or_default();
            for mine in layers[at].first().into_iter().flatten() {
                for (theirs, count) in &after {
                    let made = mine + theirs;
                    if reach.0 <= made && made <= reach.1 {
                        let known = next.entry(made).or_default();
                        *known = known.saturating_add(*count).min(2);
                    }
                    match left.checked_sub(1) {
                        Some(rest) => left = rest,
                        None => return Found::TooMany,
                    }
                }
            }
            ways.push(next);
        }
        match ways.last().and_then(|ways| ways.get(&self.target)) {
            None => Found::None,
            Some(1) => Found::One(self.retrace(&layers, &ways)),
            Some(_) => Found::Several,
        }
    }

    /// The events of the one explanation.
    fn retrace(&self, layers: &[Vec<BTreeSet<i128>>], ways: &[BTreeMap<i128, u8>]) -> Vec<usize> {
        let mut counting = Vec::new();
        let mut rest = self.target;
        for (at, group) in self.groups.iter().enumerate() {
            let after = &ways[self.groups.len() - at - 1];
            let mine = layers[at].first().and_then(|sums| {
                sums.iter().copied().find(|mine| after.contains_key(&(rest - mine)))
            });
            let Some(mut mine) = mine else { return counting };
            rest -= mine;
            for (place, unit) in group.0.iter().enumerate() {
                // It is as it was told, if the ones behind it can then make what is left.
                let behind = &layers[at][place + 1];
                let (with, without) =
                    (behind.contains(&(mine - unit.value)), behind.contains(&mine));
                if if unit.as_told { with } else { !without } {
                    counting.push(unit.at);
                    mine -= unit.value;
                }
            }
        }
        counting
    }
}

impl Group {
    /// The least and the most that it can make.
    fn range(&self) -> (i128, i128) {
        self.0
            .iter()
            .fold((0, 0), |(low, high), unit| (low + unit.value.min(0), high + unit.value.max(0)))
    }

    /// For each place, the sums that the events from there on can make and that can still lead to
    /// one within `within`; nothing when there are more than `left`.
    fn sums(&self, within: (i128, i128), left: &mut usize) -> Option<Vec<BTreeSet<i128>>> {
        let (mut low, mut high) = self.range();
        let mut layers = vec![BTreeSet::from([0])];
        for unit in self.0.iter().rev() {
            // What those before this place can add.
            low -= unit.value.min(0);
            high -= unit.value.max(0);
            let reach = (within.0 - high, within.1 - low);
            let after = layers.last().cloned().unwrap_or_default();
            let made: BTreeSet<i128> = after
                .iter()
                .flat_map(|made| [*made, made + unit.value])
                .filter(|made| reach.0 <= *made && *made <= reach.1)
                .collect();
            *left = left.checked_sub(made.len().max(1))?;
            layers.push(made);
        }
        layers.reverse();
        Some(layers)
    }
}

/// What no event says is believed least.
const UNTOLD_DOUBT: u8 = 3;

/// How little of an event is believed where the provider's total leaves a choice: what it said yes
/// to is there before what is held, and that before what is told no longer.
const fn doubt(state: EventState) -> u8 {
    match state {
        EventState::Settled | EventState::Accepted => 0,
        EventState::InFlight | EventState::Unknown | EventState::Held => 1,
        EventState::Pending | EventState::Void | EventState::Superseded | EventState::Dead => 2,
    }
}

fn sum(ranges: &[(i128, i128)]) -> (i128, i128) {
    ranges.iter().fold((0, 0), |all, range| (all.0 + range.0, all.1 + range.1))
}

#[cfg(test)]
mod tests;
