//! Subscriptions. Here: their status, terms, item prices and endings. Never here: usage, or what it
//! costs. Read next: [`super::changes`].
//!
//! Unconfirmed at Chargebee, and read here so: a pause leaves the term as it is, so that the term's
//! invoice comes at its end; no term begins while the pause lasts. A subscription that is resumed
//! after its term begins a new one then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::catalog::{CURRENCY, Catalog, PriceIndex};
use super::invoices::InvoiceIndex;
use super::query::{Field, Listed};
use super::refusal::Refusal;
use super::site::Stamp;
use super::usages::UsageIndex;
use crate::sandbox::calendar::next_bound_of;

/// Subscriptions on one site. Chargebee publishes no figure; they are kept in memory, so there is
/// one here.
const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// The end of what has no end.
pub(super) const FOREVER: i64 = i64::MAX;

/// A subscription by its place.
pub(super) type SubscriptionIndex = usize;

/// What a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Future,
    InTrial,
    Active,
    /// Active, and to be cancelled at the term's end.
    NonRenewing,
    Paused,
    Cancelled,
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Future => "future",
            Self::InTrial => "in_trial",
            Self::Active => "active",
            Self::NonRenewing => "non_renewing",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A subscription to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    /// Its id.
    pub id: String,
    /// The id of its customer, who comes into being with the first one.
    pub customer: String,
    /// The ids of its item prices.
    pub item_prices: Vec<String>,
    /// When it starts, in Unix seconds. Terms are counted from there. Default: now.
    #[serde(default)]
    pub started_at: Option<i64>,
    /// Until when it is in trial, in Unix seconds; terms are then counted from there. Default: no
    /// trial.
    #[serde(default)]
    pub trial_end: Option<i64>,
    /// How long a term is, in months. Default: 1.
    #[serde(default = "term_default")]
    pub term_months: u32,
}

const fn term_default() -> u32 {
    1
}

impl NewSubscription {
    /// One that starts now and has terms of a month.
    #[must_use]
    pub fn new(id: &str, customer: &str, item_prices: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            customer: customer.to_owned(),
            item_prices: item_prices.iter().map(|id| (*id).to_owned()).collect(),
            started_at: None,
            trial_end: None,
            term_months: term_default(),
        }
    }
}

/// An item price that a subscription has or had, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) price: PriceIndex,
    pub(super) span: Range<i64>,
}

/// A term that is over, and the invoice over it, if there had to be one.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) term: Range<i64>,
    pub(super) invoice: Option<InvoiceIndex>,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) customer: String,
    pub(super) status: Status,
    pub(super) held: Vec<Held>,
    /// When it was active or non-renewing; the last one may have no end.
    pub(super) billable: Vec<Range<i64>>,
    /// The term that goes on, or the last one.
    pub(super) term: Range<i64>,
    pub(super) term_is_open: bool,
    /// In the order of time.
    pub(super) ended: Vec<Ended>,
    pub(super) months: u32,
    pub(super) anchor: i64,
    pub(super) started_at: i64,
    pub(super) activated_at: Option<i64>,
    pub(super) trial_end: Option<i64>,
    pub(super) pause_date: Option<i64>,
    pub(super) resume_date: Option<i64>,
    /// When it was cancelled, or is going to be.
    pub(super) cancelled_at: Option<i64>,
    pub(super) deleted: bool,
    /// Its usages that are not deleted: one a second and item price.
    pub(super) usages: BTreeMap<(i64, PriceIndex), UsageIndex>,
    /// Usages that it ever had. Whether deleted ones count for the limit is unconfirmed; they do
    /// here, which is the strict side.
    pub(super) usages_ever: u32,
    created_at: i64,
    pub(super) stamp: Stamp,
}

impl Subscription {
    fn new(new: &NewSubscription, prices: Vec<PriceIndex>, now: i64, stamp: Stamp) -> Self {
        let started_at = new.started_at.unwrap_or(now);
        let hold = |price| Held { price, span: started_at..FOREVER };
        Self {
            id: new.id.clone(),
            customer: new.customer.clone(),
            status: Status::Future,
            held: prices.into_iter().map(hold).collect(),
            billable: Vec::new(),
            term: started_at..started_at,
            term_is_open: false,
            ended: Vec::new(),
            months: new.term_months,
            anchor: new.trial_end.unwrap_or(started_at),
            started_at,
            activated_at: None,
            trial_end: new.trial_end,
            pause_date: None,
            resume_date: None,
            cancelled_at: None,
            deleted: false,
            usages: BTreeMap::new(),
            usages_ever: 0,
            created_at: now,
            stamp,
        }
    }

    /// When something is next to happen to it by itself.
    const fn due(&self) -> Option<i64> {
        match self.status {
            Status::Future => Some(self.started_at),
            Status::InTrial => self.trial_end,
            Status::Active | Status::NonRenewing => Some(self.term.end),
            Status::Paused if self.term_is_open => Some(self.term.end),
            Status::Paused | Status::Cancelled => None,
        }
    }

    /// Begins a term, which may be the first.
    pub(super) fn begin_term(&mut self, at: i64) {
        self.term = at..next_bound_of(self.months, self.anchor, at);
        self.term_is_open = true;
    }

    /// Is active from `at` on.
    pub(super) fn become_billable(&mut self, at: i64) {
        self.status = Status::Active;
        self.billable.push(at..FOREVER);
    }

    /// Is active no longer.
    pub(super) fn cease_to_be_billable(&mut self, at: i64) {
        if let Some(last) = self.billable.last_mut() {
            last.end = last.end.min(at);
        }
    }

    /// The prices that it has now.
    pub(super) fn current(&self) -> impl Iterator<Item = PriceIndex> {
        self.held.iter().filter(|held| held.span.end == FOREVER).map(|held| held.price)
    }

    /// Whether it has or had this price.
    pub(super) fn ever_had(&self, price: PriceIndex) -> bool {
        self.held.iter().any(|held| held.price == price)
    }

    /// The prices that it had at any time of a span, each once, in the order in which they came.
    pub(super) fn had_within(&self, span: &Range<i64>) -> Vec<PriceIndex> {
        let mut prices = Vec::new();
        for held in &self.held {
            let overlaps = held.span.start < span.end && span.start < held.span.end;
            if overlaps && !prices.contains(&held.price) {
                prices.push(held.price);
            }
        }
        prices
    }

    /// The term that is over and that `at` lies in.
    pub(super) fn ended_at(&self, at: i64) -> Option<&Ended> {
        // A term of no length holds nothing, so that at most one is right.
        let place = self.ended.partition_point(|ended| ended.term.end <= at);
        self.ended.get(place).filter(|ended| ended.term.contains(&at))
    }

    pub(super) fn object(&self, catalog: &Catalog) -> Value {
        let mut object = Map::new();
        let mut tell = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        tell("id", json!(self.id));
        tell("billing_period", json!(self.months));
        tell("billing_period_unit", json!("month"));
        tell("customer_id", json!(self.customer));
        tell("status", json!(self.status.name()));
        if self.term_is_open || !self.ended.is_empty() {
            tell("current_term_start", json!(self.term.start));
            tell("current_term_end", json!(self.term.end));
        }
        let times = [
            ("next_billing_at", self.next_billing_at()),
            ("trial_start", self.trial_end.map(|_| self.started_at)),
            ("trial_end", self.trial_end),
            ("started_at", Some(self.started_at)),
            ("activated_at", self.activated_at),
            ("cancelled_at", self.cancelled_at),
            ("pause_date", self.pause_date),
            ("resume_date", self.resume_date),
        ];
        for (name, at) in times {
            if let Some(at) = at {
                tell(name, json!(at));
            }
        }
        tell("created_at", json!(self.created_at));
        tell("updated_at", json!(self.stamp.at));
        tell("resource_version", json!(self.stamp.version));
        tell("has_scheduled_changes", json!(false));
        tell("has_scheduled_advance_invoices", json!(false));
        tell("create_pending_invoices", json!(true));
        tell("auto_close_invoices", json!(true));
        tell("channel", json!("web"));
        tell("deleted", json!(self.deleted));
        tell("decommissioned", json!(false));
        tell("currency_code", json!(CURRENCY));
        let items = self.current().filter_map(|price| item(catalog, price)).collect();
        tell("subscription_items", Value::Array(items));
        tell("object", json!("subscription"));
        Value::Object(object)
    }

    fn next_billing_at(&self) -> Option<i64> {
        match self.status {
            Status::Future => Some(self.started_at),
            Status::InTrial => self.trial_end,
            Status::Active => Some(self.term.end),
            Status::NonRenewing | Status::Paused | Status::Cancelled => None,
        }
    }
}

/// One item of a subscription. A metered one has no quantity.
fn item(catalog: &Catalog, price: PriceIndex) -> Option<Value> {
    let new = &catalog.at(price)?.new;
    let mut item = json!({
        "item_price_id": new.id,
        "item_type": new.item_type.name(),
        "unit_price": new.unit_price,
        "free_quantity": 0,
        "object": "subscription_item",
    });
    if !new.metered {
        item["quantity"] = Value::from(1);
        item["amount"] = Value::from(new.unit_price);
    }
    Some(item)
}

/// A subscription in a list, with what it can be filtered by of its items.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) subscription: &'a Subscription,
    pub(super) catalog: &'a Catalog,
}

impl Listed for Shown<'_> {
    fn field<'a>(&'a self, name: &str) -> Field<'a> {
        let it = self.subscription;
        let time = |at: Option<i64>| at.map_or(Field::Absent, Field::Time);
        let prices = || it.current().filter_map(|price| self.catalog.at(price));
        match name {
            "id" => Field::Text(&it.id),
            "customer_id" => Field::Text(&it.customer),
            "item_id" => Field::Texts(prices().map(|price| price.new.item.as_str()).collect()),
            "item_price_id" => Field::Texts(prices().map(|price| price.new.id.as_str()).collect()),
            "status" => Field::Text(it.status.name()),
            "created_at" => Field::Time(it.created_at),
            "activated_at" => time(it.activated_at),
            "next_billing_at" => time(it.next_billing_at()),
            "cancelled_at" => time(it.cancelled_at),
            "updated_at" => Field::Time(it.stamp.at),
            _ => Field::Absent,
        }
    }
}

/// The subscriptions of one site, oldest first.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: Vec<Subscription>,
    by_id: HashMap<String, SubscriptionIndex>,
    /// What is next to happen to each by itself, soonest first.
    due: BTreeSet<(i64, SubscriptionIndex)>,
}

impl Subscriptions {
    pub(super) fn create(
        &mut self,
        new: &NewSubscription,
        catalog: &Catalog,
        now: i64,
        stamp: Stamp,
    ) -> Result<SubscriptionIndex, Refusal> {
        let prices = check(new, catalog, now)?;
        if self.by_id.contains_key(&new.id) {
            let message = format!("The subscription {} exists already", new.id);
            return Err(Refusal::duplicate("id", message));
        }
        let place = self.all.len();
        if place >= SUBSCRIPTIONS_MAX {
            let message = format!("A site has at most {SUBSCRIPTIONS_MAX} subscriptions");
            return Err(Refusal::exhausted(message));
        }
        let subscription = Subscription::new(new, prices, now, stamp);
        self.due.extend(subscription.due().map(|at| (at, place)));
        self.by_id.insert(new.id.clone(), place);
        self.all.push(subscription);
        Ok(place)
    }

    pub(super) fn at(&self, place: SubscriptionIndex) -> Result<&Subscription, Refusal> {
        self.all.get(place).ok_or_else(Refusal::internal)
    }

    /// The place of one that is not deleted. Whether Chargebee still shows a deleted one by its id
    /// is unconfirmed; a client must do without.
    pub(super) fn place(&self, id: &str) -> Result<SubscriptionIndex, Refusal> {
        let place = self.by_id.get(id).copied();
        let place = place.filter(|place| self.all.get(*place).is_some_and(|it| !it.deleted));
        place.ok_or_else(|| Refusal::not_found("Subscription", id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Subscription)> {
        (0..).zip(&self.all)
    }

    /// Changes one, and keeps the list of what is due in step with it.
    pub(super) fn change<T>(
        &mut self,
        place: SubscriptionIndex,
        change: impl FnOnce(&mut Subscription) -> T,
    ) -> Result<T, Refusal> {
        let subscription = self.all.get_mut(place).ok_or_else(Refusal::internal)?;
        if let Some(at) = subscription.due() {
            self.due.remove(&(at, place));
        }
        let done = change(subscription);
        self.due.extend(subscription.due().map(|at| (at, place)));
        Ok(done)
    }

    /// What is due first, and whose it is.
    pub(super) fn next_due(&self) -> Option<(i64, SubscriptionIndex)> {
        self.due.first().copied()
    }
}

/// The prices of a subscription to be created, if it makes sense.
fn check(new: &NewSubscription, catalog: &Catalog, now: i64) -> Result<Vec<PriceIndex>, Refusal> {
    for (name, id) in [("id", &new.id), ("customer", &new.customer)] {
        if id.is_empty() || id.chars().count() > super::operation::ID_LENGTH_MAX {
            return Err(Refusal::wrong_value(name, "is empty or too long"));
        }
    }
    let find = |id: &String| {
        catalog.place(id).ok_or_else(|| Refusal::not_found("Item price", id).param("item_prices"))
    };
    let prices: Vec<PriceIndex> = new.item_prices.iter().map(find).collect::<Result<_, _>>()?;
    let distinct: BTreeSet<PriceIndex> = prices.iter().copied().collect();
    if prices.is_empty() || distinct.len() < prices.len() {
        return Err(Refusal::wrong_value("item_prices", "are none, or one is there twice"));
    }
    let started_at = new.started_at.unwrap_or(now);
    let anchor = new.trial_end.unwrap_or(started_at);
    if new.term_months == 0 || started_at < 0 || anchor < started_at {
        return Err(Refusal::invalid("The term, the start and the trial do not make sense"));
    }
    // A term that is over already would be billed in the past.
    if next_bound_of(new.term_months, anchor, started_at) <= now {
        return Err(Refusal::wrong_value("started_at", "is more than a term ago"));
    }
    Ok(prices)
}
