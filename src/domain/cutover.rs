//! Where this program takes over from another. PURE. Here: from which instant on a provider is told
//! by it, and whether it is told at all. Never here: what becomes of usage before that instant
//! (`posting::plan`), the configuration. Read next: [`crate::domain::write_off`].
//!
//! Before the cutover another program told the same usage to the same meters. What it told is
//! booked here as any other usage is, and never told again.

use std::collections::{BTreeMap, BTreeSet};

use super::balance::BalanceKey;
use super::closed::closed;
use super::names::{AccountName, ProviderMeter};
use super::time::{Timestamp, Window};

closed! {
    /// Whether a provider instance is told.
    Mode {
        /// It is told what is booked.
        Live = "live",
        /// All is booked, its totals are read, and it is told nothing.
        Shadow = "shadow",
    }
}

closed! {
    /// Of what a total is that this program did not tell alone.
    ForeignKind {
        /// Of a period before this program's telling began.
        Opening = "opening",
        /// Of a UTC day, while the provider was in shadow.
        Shadow = "shadow",
    }
}

/// How a provider instance is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Whether it is.
    pub mode: Mode,
    /// From when on.
    pub cutover: Cutover,
}

impl Default for Telling {
    fn default() -> Self {
        Self { mode: Mode::Live, cutover: Cutover::default() }
    }
}

/// From which instant on the usage of one provider instance is told: usage of before was told by
/// another program. Of several that are set, the most specific counts: an account's, then that of
/// what is counted, then the provider's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cutover {
    /// Of all usage.
    pub all: Option<Timestamp>,
    /// Of what is counted: that of the routes that lead to it.
    pub meters: BTreeMap<ProviderMeter, Timestamp>,
    /// Of who pays.
    pub accounts: BTreeMap<AccountName, Timestamp>,
}

impl Cutover {
    /// From when on an account's usage of a meter is told; nothing where all of it is.
    #[must_use]
    pub fn bill_from(&self, account: &AccountName, meter: &ProviderMeter) -> Option<Timestamp> {
        self.accounts.get(account).copied().or_else(|| self.of_meter(meter))
    }

    /// The same of an account that has none of its own.
    #[must_use]
    pub fn of_meter(&self, meter: &ProviderMeter) -> Option<Timestamp> {
        self.meters.get(meter).copied().or(self.all)
    }

    /// The same of a balance.
    #[must_use]
    pub fn of(&self, balance: &BalanceKey) -> Option<Timestamp> {
        self.bill_from(&balance.account, &balance.meter)
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The latest that is set.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.instants().max()
    }

    /// The earliest that is set.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        self.instants().min()
    }

    fn instants(&self) -> impl Iterator<Item = Timestamp> {
        self.all.iter().chain(self.meters.values()).chain(self.accounts.values()).copied()
    }
}

/// How a provider instance was told once, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// How.
    pub telling: Telling,
    /// Since when.
    pub since: Timestamp,
}

/// Usage that would be told though another program may have told it: nothing says from when on it
/// is to be told any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// What is counted.
    pub meter: ProviderMeter,
    /// Who pays, where it is one of them.
    pub account: Option<AccountName>,
    /// The mode of the time that it is about: in shadow, or told from an instant on that was set.
    pub mode: Mode,
    /// Since when that was so.
    pub since: Timestamp,
}

/// What lacks an instant to be told from: of `places`, where something is booked, and of `meters`,
/// which routes lead to. Whatever was booked in shadow needs one for ever, and so does whatever had
/// one: late usage, or usage that waited, would be told else.
#[must_use]
pub fn lacking(
    earlier: &[Earlier],
    telling: &Telling,
    places: &[(AccountName, ProviderMeter)],
    meters: &BTreeSet<ProviderMeter>,
) -> Option<Lacking> {
    if telling.mode == Mode::Shadow {
        return None;
    }
    let asked = |had: &dyn Fn(&Cutover) -> bool| {
        let is_about = |each: &&Earlier| match each.telling.mode {
            Mode::Shadow => true,
            Mode::Live => had(&each.telling.cutover),
        };
        earlier.iter().find(is_about).map(|each| (each.telling.mode, each.since))
    };
    let of_places = places
        .iter()
        .filter(|(account, meter)| telling.cutover.bill_from(account, meter).is_none());
    let of_places = of_places.filter_map(|(account, meter)| {
        let (mode, since) = asked(&|had| had.bill_from(account, meter).is_some())?;
        Some(Lacking { meter: meter.clone(), account: Some(account.clone()), mode, since })
    });
    let of_meters = meters.iter().filter(|meter| telling.cutover.of_meter(meter).is_none());
    let of_meters = of_meters.filter_map(|meter| {
        let (mode, since) = asked(&|had| had.of_meter(meter).is_some())?;
        Some(Lacking { meter: meter.clone(), account: None, mode, since })
    });
    of_meters.chain(of_places).next()
}

/// How a window lies to the instant that usage is told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// All of it is told by this program.
    From,
    /// All of it was told before.
    Before,
    /// The instant lies inside.
    Across,
}

/// On which side of `bill_from` a window lies.
#[must_use]
pub fn side(window: Window, bill_from: Option<Timestamp>) -> Side {
    match bill_from {
        None => Side::From,
        Some(from) if from <= window.start => Side::From,
        Some(from) if window.end <= from => Side::Before,
        Some(_) => Side::Across,
    }
}

/// The part of `span` in which nobody but this program tells: nothing where there is none.
#[must_use]
pub fn own_part(span: Window, bill_from: Option<Timestamp>) -> Option<Window> {
    let start = bill_from.map_or(span.start, |from| from.max(span.start));
    (start < span.end).then_some(Window { start, end: span.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_seconds(minute * 60)
    }

    #[test]
    fn the_most_specific_instant_counts() {
        let (account, meter) =
            (AccountName::new("cus_1").unwrap(), ProviderMeter::new("calls").unwrap());
        let mut cutover = Cutover::default();
        assert!(cutover.is_none());
        assert_eq!(cutover.bill_from(&account, &meter), None);
        cutover.all = Some(at(5));
        assert_eq!(cutover.bill_from(&account, &meter), Some(at(5)));
        cutover.meters.insert(meter.clone(), at(3));
        assert_eq!(cutover.bill_from(&account, &meter), Some(at(3)));
        cutover.accounts.insert(account.clone(), at(4));
        assert_eq!(cutover.bill_from(&account, &meter), Some(at(4)));
        let (other, bytes) =
            (AccountName::new("cus_2").unwrap(), ProviderMeter::new("bytes").unwrap());
        assert_eq!(cutover.bill_from(&other, &bytes), Some(at(5)));
        assert_eq!(cutover.bill_from(&account, &bytes), Some(at(4)));
        assert_eq!(cutover.latest(), Some(at(5)));
    }

    #[test]
    fn what_was_in_shadow_or_had_an_instant_needs_one_for_ever() {
        let account = |name| AccountName::new(name).unwrap();
        let meter = |name| ProviderMeter::new(name).unwrap();
        let (one, two) = (account("cus_1"), account("cus_2"));
        let (calls, bytes) = (meter("calls"), meter("bytes"));
        let routes = BTreeSet::from([calls.clone()]);
        let live = |cutover: &Cutover| Telling { mode: Mode::Live, cutover: cutover.clone() };
        let shadow = Telling { mode: Mode::Shadow, cutover: Cutover::default() };
        let none = Cutover::default();
        let all = Cutover { all: Some(at(5)), ..none.clone() };
        let of_calls = Cutover { meters: BTreeMap::from([(calls.clone(), at(5))]), ..none.clone() };
        let of_one = Cutover { accounts: BTreeMap::from([(one.clone(), at(5))]), ..none.clone() };
        let check = |earlier: &[&Telling], telling: &Telling, places, expected: Option<&str>| {
            let earlier: Vec<Earlier> = earlier
                .iter()
                .map(|telling| Earlier { telling: (*telling).clone(), since: at(1) })
                .collect();
            let found = lacking(&earlier, telling, places, &routes).map(|lacking| {
                let account = lacking.account.map_or(String::new(), |name| format!(" {name}"));
                format!("{} {}{account}", lacking.mode, lacking.meter)
            });
            assert_eq!(found.as_deref(), expected, "{earlier:?}, then {telling:?}");
        };
        let gone = [(two.clone(), bytes.clone())];
        let paid = [(one.clone(), calls.clone())];
        // A ledger that never knew of a cutover needs none.
        check(&[], &live(&none), &gone, None);
        check(&[&live(&none)], &live(&none), &gone, None);
        // After a shadow all needs one: what routes lead to, and what they once led to.
        check(&[&shadow], &shadow, &gone, None);
        check(&[&shadow], &live(&none), &[], Some("shadow calls"));
        check(&[&shadow, &live(&all)], &live(&none), &[], Some("shadow calls"));
        check(&[&shadow], &live(&of_calls), &gone, Some("shadow bytes cus_2"));
        check(&[&shadow], &live(&of_one), &paid, Some("shadow calls"));
        check(&[&shadow], &live(&all), &gone, None);
        check(&[&shadow], &live(&of_calls), &paid, None);
        // One that was set does not go; another time may take its place.
        check(&[&live(&all)], &live(&none), &[], Some("live calls"));
        check(&[&live(&of_one)], &live(&of_one), &paid, None);
        check(&[&live(&of_one)], &live(&none), &paid, Some("live calls cus_1"));
        check(&[&live(&of_one)], &live(&of_calls), &paid, None);
        check(&[&live(&of_one)], &live(&none), &gone, None);
    }

    #[test]
    fn a_window_lies_on_one_side_or_across() {
        let window = Window { start: at(10), end: at(20) };
        assert_eq!(side(window, None), Side::From);
        assert_eq!(side(window, Some(at(10))), Side::From);
        assert_eq!(side(window, Some(at(11))), Side::Across);
        assert_eq!(side(window, Some(at(20))), Side::Before);
        assert_eq!(own_part(window, Some(at(12))), Some(Window { start: at(12), end: at(20) }));
        assert_eq!(own_part(window, Some(at(20))), None);
        assert_eq!(own_part(window, None), Some(window));
    }
}
