//! Subscriptions. Here: their items, periods and endings. Never here: usage, or what it costs.
//! Read next: [`super::billing`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use serde_json::{Value, json};

use super::prices::{PriceIndex, Prices};
use super::refusal::Refusal;
use crate::sandbox::calendar::next_bound;

/// Items of one subscription: Stripe's own limit.
const ITEMS_MAX: usize = 20;
/// Subscriptions in one account. Stripe publishes no figure; they are kept in memory, so there is
/// one here.
const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// What a subscription is. Stripe has more: those are about payments, which nobody makes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Paused,
    Canceled,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
        }
    }
}

/// How a subscription is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Never,
    PeriodEnd,
    At(i64),
}

/// A subscription to be created.
#[derive(Clone, Debug)]
pub(super) struct NewSubscription {
    pub(super) customer: String,
    pub(super) prices: Vec<String>,
    /// Where the first period ends; without it, a month after the beginning.
    pub(super) anchor: Option<i64>,
    pub(super) ending: Ending,
    pub(super) metadata: BTreeMap<String, String>,
}

/// One change to the items of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ItemChange {
    Add { price: String },
    Replace { id: String, price: String },
    Remove { id: String },
    Keep { id: String },
}

/// What is to change in a subscription.
#[derive(Clone, Debug)]
pub(super) struct SubscriptionChanges {
    pub(super) items: Vec<ItemChange>,
    pub(super) ending: Option<Ending>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// One price that a subscription bills by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) price: PriceIndex,
    /// From when on usage is billed by it: the period's start, or when it came during the period.
    pub(super) since: i64,
    created: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) customer: String,
    pub(super) items: Vec<Item>,
    pub(super) period: Range<i64>,
    pub(super) status: Status,
    pub(super) created: i64,
    pub(super) latest_invoice: Option<String>,
    anchor: i64,
    ending: Ending,
    canceled_at: Option<i64>,
    ended_at: Option<i64>,
    metadata: BTreeMap<String, String>,
}

impl Subscription {
    /// Where the period that begins at `start` ends: the month's end, or the subscription's own.
    fn end_after(&self, start: i64) -> i64 {
        let bound = next_bound(self.anchor, start);
        match self.ending {
            Ending::At(at) => at.clamp(start, bound),
            Ending::PeriodEnd | Ending::Never => bound,
        }
    }

    /// When it is to end, as far as that is known.
    const fn cancel_at(&self) -> Option<i64> {
        match self.ending {
            Ending::Never => None,
            Ending::PeriodEnd => Some(self.period.end),
            Ending::At(at) => Some(at),
        }
    }

    fn check_ending(ending: Ending, now: i64) -> Result<(), Refusal> {
        match ending {
            Ending::At(at) if at <= now => {
                let message = format!("cancel_at must be in the future, and {at} is not");
                Err(Refusal::invalid(message).param("cancel_at"))
            }
            Ending::At(_) | Ending::PeriodEnd | Ending::Never => Ok(()),
        }
    }

    pub(super) fn object(&self, prices: &Prices) -> Value {
        let items: Vec<Value> = self.items.iter().map(|item| self.item(item, prices)).collect();
        let currency = self.items.first().and_then(|item| prices.at(item.price));
        json!({
            "id": self.id,
            "object": "subscription",
            "billing_cycle_anchor": self.anchor,
            "cancel_at": self.cancel_at(),
            "cancel_at_period_end": self.ending == Ending::PeriodEnd,
            "canceled_at": self.canceled_at,
            "collection_method": "charge_automatically",
            "created": self.created,
            "currency": currency.map_or("usd", |price| price.new.currency.as_str()),
            "customer": self.customer,
            "ended_at": self.ended_at,
            "items": {
                "object": "list",
                "data": items,
                "has_more": false,
                "url": format!("/v1/subscription_items?subscription={}", self.id),
            },
            "latest_invoice": self.latest_invoice,
            "livemode": false,
            "metadata": self.metadata,
            "start_date": self.created,
            "status": self.status.name(),
        })
    }

    fn item(&self, item: &Item, prices: &Prices) -> Value {
        json!({
            "id": item.id,
            "object": "subscription_item",
            "created": item.created,
            "current_period_end": self.period.end,
            "current_period_start": self.period.start,
            "metadata": {},
            "price": prices.at(item.price).map(super::prices::Price::object),
            "subscription": self.id,
        })
    }
}

/// The subscriptions of one account, oldest first.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: Vec<Subscription>,
    by_id: HashMap<String, usize>,
    by_customer: HashMap<String, Vec<usize>>,
    items_made: u64,
    /// The ends of all periods that will end, soonest first.
    ends: BTreeSet<(i64, usize)>,
}

impl Subscriptions {
    pub(super) fn create(
        &mut self,
        new: &NewSubscription,
        prices: &Prices,
        now: i64,
    ) -> Result<&Subscription, Refusal> {
        Subscription::check_ending(new.ending, now)?;
        let natural = next_bound(now, now);
        let anchor = new.anchor.unwrap_or(now);
        if new.anchor.is_some_and(|anchor| anchor <= now || anchor > natural) {
            let message = format!("billing_cycle_anchor must be after {now} and at most {natural}");
            return Err(Refusal::invalid(message).param("billing_cycle_anchor"));
        }
        let place = self.all.len();
        if place >= SUBSCRIPTIONS_MAX {
            let message = format!("An account has at most {SUBSCRIPTIONS_MAX} subscriptions");
            return Err(Refusal::invalid(message));
        }
        let add = |price: &String| ItemChange::Add { price: price.clone() };
        let changes: Vec<ItemChange> = new.prices.iter().map(add).collect();
        let items = self.changed(&[], &changes, prices, now)?;
        let mut subscription = Subscription {
            id: format!("sub_sandbox{place:08}"),
            customer: new.customer.clone(),
            items,
            period: now..now,
            status: Status::Active,
            created: now,
            latest_invoice: None,
            anchor,
            ending: new.ending,
            canceled_at: (new.ending != Ending::Never).then_some(now),
            ended_at: None,
            metadata: new.metadata.clone(),
        };
        subscription.period.end = subscription.end_after(now);
        self.ends.insert((subscription.period.end, place));
        self.by_id.insert(subscription.id.clone(), place);
        self.by_customer.entry(new.customer.clone()).or_default().push(place);
        self.all.push(subscription);
        self.at(place)
    }

    /// The items after `changes`. A replaced item keeps its id and bills from now on only.
    fn changed(
        &mut self,
        items: &[Item],
        changes: &[ItemChange],
        prices: &Prices,
        now: i64,
    ) -> Result<Vec<Item>, Refusal> {
        let mut items = items.to_vec();
        let find = |items: &[Item], id: &str| {
            let place = items.iter().position(|item| item.id == *id);
            place.ok_or_else(|| Refusal::no_reference("subscription item", id, "items"))
        };
        let price_of = |id: &str| {
            prices.place(id).ok_or_else(|| Refusal::no_reference("price", id, "items[price]"))
        };
        for change in changes {
            match change {
                ItemChange::Keep { id } => {
                    find(&items, id)?;
                }
                ItemChange::Remove { id } => drop(items.remove(find(&items, id)?)),
                ItemChange::Replace { id, price } => {
                    let (place, price) = (find(&items, id)?, price_of(price)?);
                    if let Some(item) = items.get_mut(place).filter(|item| item.price != price) {
                        (item.price, item.since) = (price, now);
                    }
                }
                ItemChange::Add { price } => {
                    let price = price_of(price)?;
                    let id = format!("si_sandbox{:08}", self.items_made);
                    self.items_made += 1;
                    items.push(Item { id, price, since: now, created: now });
                }
            }
        }
        let distinct: BTreeSet<PriceIndex> = items.iter().map(|item| item.price).collect();
        if distinct.len() < items.len() {
            let message = "Subscription items must have different prices";
            return Err(Refusal::invalid(message).param("items"));
        }
        if items.is_empty() || items.len() > ITEMS_MAX {
            let message = format!("A subscription has 1 to {ITEMS_MAX} items");
            return Err(Refusal::invalid(message).param("items"));
        }
        Ok(items)
    }

    pub(super) fn at(&self, place: usize) -> Result<&Subscription, Refusal> {
        self.all.get(place).ok_or_else(Refusal::internal)
    }

    pub(super) fn place(&self, id: &str) -> Result<usize, Refusal> {
        let place = self.by_id.get(id).copied();
        place.ok_or_else(|| Refusal::no_object("subscription", id))
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Subscription> {
        self.all.iter().rev()
    }

    /// Those of one customer that have not ended, oldest first.
    pub(super) fn alive_of(&self, customer: &str) -> Vec<usize> {
        let places = self.by_customer.get(customer).map(Vec::as_slice).unwrap_or_default();
        let is_alive = |place: &&usize| {
            self.all.get(**place).is_some_and(|found| found.status != Status::Canceled)
        };
        places.iter().filter(is_alive).copied().collect()
    }

    /// Changes one subscription, and keeps the list of ends in step with it.
    fn change<T>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Subscription) -> T,
    ) -> Result<T, Refusal> {
        let subscription = self.all.get_mut(place).ok_or_else(Refusal::internal)?;
        self.ends.remove(&(subscription.period.end, place));
        let done = change(subscription);
        if subscription.status == Status::Active {
            self.ends.insert((subscription.period.end, place));
        }
        Ok(done)
    }

    pub(super) fn update(
        &mut self,
        place: usize,
        changes: &SubscriptionChanges,
        prices: &Prices,
        now: i64,
    ) -> Result<(), Refusal> {
        let subscription = self.at(place)?.clone();
        let has_ended = subscription.status == Status::Canceled;
        if has_ended && (!changes.items.is_empty() || changes.ending.is_some()) {
            let message = "A canceled subscription can only update its metadata";
            return Err(Refusal::invalid(message));
        }
        let ending = changes.ending.unwrap_or(subscription.ending);
        if changes.ending.is_some() {
            Subscription::check_ending(ending, now)?;
        }
        let items = self.changed(&subscription.items, &changes.items, prices, now)?;
        self.change(place, |it| {
            if it.ending != ending {
                it.canceled_at = (ending != Ending::Never).then_some(now);
                it.ending = ending;
            }
            it.items = items;
            it.metadata.extend(changes.metadata.clone());
            if it.status == Status::Active {
                it.period.end = it.end_after(it.period.start);
            }
        })
    }

    /// Ends a subscription at once.
    pub(super) fn cancel(&mut self, place: usize, now: i64) -> Result<(), Refusal> {
        if self.at(place)?.status == Status::Canceled {
            let id = &self.at(place)?.id;
            return Err(Refusal::no_object("subscription", id));
        }
        self.change(place, |it| {
            it.status = Status::Canceled;
            it.canceled_at = it.canceled_at.or(Some(now));
            it.ended_at = Some(now);
        })
    }

    pub(super) fn pause(&mut self, place: usize) -> Result<(), Refusal> {
        if self.at(place)?.status != Status::Active {
            return Err(Refusal::invalid("Only an active subscription can be paused"));
        }
        self.change(place, |it| it.status = Status::Paused)
    }

    /// Takes a paused subscription up again, in a new period from now on or, when it keeps its
    /// anchor, in the one that now lies in. Periods that ended meanwhile are billed to nobody, and
    /// so is what was used in the one before now; what Stripe does with that is unconfirmed.
    pub(super) fn resume(
        &mut self,
        place: usize,
        keeps_anchor: bool,
        now: i64,
    ) -> Result<(), Refusal> {
        if self.at(place)?.status != Status::Paused {
            return Err(Refusal::invalid("Only a paused subscription can be resumed"));
        }
        self.change(place, |it| {
            it.status = Status::Active;
            let has_passed = it.period.end <= now;
            if !keeps_anchor {
                (it.anchor, it.period.start) = (now, now);
            }
            it.period.end = it.end_after(it.period.start);
            while it.period.end <= now && it.ending_is_after(it.period.end) {
                it.period = it.period.end..it.end_after(it.period.end);
            }
            if !keeps_anchor || has_passed {
                it.items.iter_mut().for_each(|item| item.since = now);
            }
        })
    }

    /// The period that ends first, and whose it is.
    pub(super) fn next_end(&self) -> Option<(i64, usize)> {
        self.ends.first().copied()
    }

    /// Ends the current period of a subscription: the next one begins, or it has ended.
    pub(super) fn turn(&mut self, place: usize) -> Result<(), Refusal> {
        self.change(place, |it| {
            let at = it.period.end;
            if !it.ending_is_after(at) {
                (it.status, it.ended_at) = (Status::Canceled, Some(at));
                return;
            }
            it.period = at..it.end_after(at);
            it.items.iter_mut().for_each(|item| item.since = at);
        })
    }

    pub(super) fn set_latest_invoice(&mut self, place: usize, id: &str) {
        if let Some(subscription) = self.all.get_mut(place) {
            subscription.latest_invoice = Some(id.to_owned());
        }
    }
}

impl Subscription {
    /// Whether it goes on after a period that ends at `at`.
    const fn ending_is_after(&self, at: i64) -> bool {
        match self.ending {
            Ending::Never => true,
            Ending::PeriodEnd => false,
            Ending::At(end) => end > at,
        }
    }
}
