//! What the ledger holds back, by name. Here: the list of it, and which item explains what. Never
//! here: what is compared with it. Read next: [`super::compare`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{list, place_and, text};
use super::daemon::Home;
use super::record::Place;

/// What stands at the head of a hold that has no event.
const BALANCE: &str = "balance:";
/// Usage that is older than the provider takes.
pub(crate) const TOO_OLD: &str = "deadline_passed";
/// Usage that no subscription bills: it is older than the first.
pub(crate) const NO_PERIOD: &str = "no_period";
/// What was told is more than it should be, and nothing proves yet that it is there.
pub(crate) const BELOW_ZERO: &str = "below_zero";
/// Most items that are asked for: more than a run makes.
const ITEMS_MAX: &str = "1000000";

/// One item, in the ledger's own words.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// What is outstanding, in thousandths: below zero when too much is told.
    pub(crate) quantity: i128,
    reason: String,
    /// The balance's number, if it is a balance's: then no event of it is on its way.
    balance: Option<i64>,
    whole: Value,
}

/// Everything that is held and not explained yet.
#[derive(Debug, Default)]
pub(crate) struct Held {
    items: BTreeMap<Place, Vec<Item>>,
    /// Corrections that came before their record, and to nothing with it.
    pub(crate) without_effect: u64,
    /// How often a reason explained something, and how much it came to, in thousandths.
    pub(crate) explained: BTreeMap<&'static str, (u64, i128)>,
}

impl Held {
    pub(crate) async fn list(home: &Home) -> anyhow::Result<Self> {
        let (_, listed) = home.read(&["held", "list", "--limit", ITEMS_MAX]).await?;
        let without_effect = u64::try_from(list(&listed, "corrections").len())?;
        let mut held = Self { without_effect, ..Self::default() };
        for whole in list(&listed, "held") {
            let (place, quantity) = place_and(whole, "meter", "account", "quantity")?;
            let reason = text(whole, "reason").to_owned();
            let number = text(whole, "name").strip_prefix(BALANCE);
            let balance = number.and_then(|number| number.parse().ok());
            let item = Item { quantity, reason, balance, whole: whole.clone() };
            held.items.entry(place).or_default().push(item);
        }
        Ok(held)
    }

    /// Where something is held.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.items.keys().copied()
    }

    /// Takes the balance that is held at a place for a reason, and lacks exactly so much. Whether
    /// there is one.
    pub(crate) fn explains(&mut self, place: Place, reason: &'static str, quantity: i128) -> bool {
        let Some(items) = self.items.get_mut(&place) else { return false };
        let fits = |item: &Item| {
            item.balance.is_some() && item.reason == reason && item.quantity == quantity
        };
        let Some(at) = items.iter().position(fits) else { return false };
        items.swap_remove(at);
        self.count(reason, quantity);
        true
    }

    /// Takes all balances of a place whose corrections wait for a proof; how much they take back
    /// together.
    pub(crate) fn waits_below_zero(&mut self, place: Place) -> i128 {
        let items = self.items.entry(place).or_default();
        let fits = |item: &mut Item| {
            item.balance.is_some() && item.reason == BELOW_ZERO && item.quantity < 0
        };
        let taken: Vec<Item> = items.extract_if(.., fits).collect();
        taken.iter().for_each(|item| self.count(BELOW_ZERO, item.quantity));
        taken.iter().map(|item| item.quantity).sum()
    }

    /// Takes what is held of these balances of a place for a reason; how much it is together.
    pub(crate) fn waits(&mut self, place: Place, balances: &[i64], reason: &'static str) -> i128 {
        let items = self.items.entry(place).or_default();
        let fits = |item: &mut Item| {
            item.balance.is_some_and(|number| balances.contains(&number)) && item.reason == reason
        };
        let taken: Vec<Item> = items.extract_if(.., fits).collect();
        taken.iter().for_each(|item| self.count(reason, item.quantity));
        taken.iter().map(|item| item.quantity).sum()
    }

    fn count(&mut self, reason: &'static str, quantity: i128) {
        let (count, sum) = self.explained.entry(reason).or_default();
        *count += 1;
        *sum += quantity;
    }

    /// What nothing was explained by.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &Value> {
        self.items.values().flatten().map(|item| &item.whole)
    }
}
