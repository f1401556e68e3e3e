//! What can be sold. Here: items and their prices. Never here: who has them.
//! Read next: [`super::subscriptions`].

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::operation::ID_LENGTH_MAX;
use super::query::{Field, Listed};
use super::refusal::Refusal;
use super::site::Stamp;

/// Item prices on one site. Chargebee publishes no figure; they are kept in memory, so there is one
/// here.
const ITEM_PRICES_MAX: usize = 100_000;

/// The currency of every price here: nothing of it matters to usage.
pub(super) const CURRENCY: &str = "USD";

/// An item price by its place.
pub(super) type PriceIndex = usize;

/// What an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemType {
    /// What a subscription is to.
    Plan,
    /// What comes on top of a plan. The default.
    #[default]
    Addon,
    /// What is paid once; it is never metered.
    Charge,
}

impl ItemType {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Addon => "addon",
            Self::Charge => "charge",
        }
    }

    /// What an invoice's line calls it.
    pub(super) const fn entity(self) -> &'static str {
        match self {
            Self::Plan => "plan_item_price",
            Self::Addon => "addon_item_price",
            Self::Charge => "charge_item_price",
        }
    }
}

/// What is made of the usages of one term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// All of them are added up. The default.
    #[default]
    Sum,
    /// The one of the latest usage date counts, whenever it came.
    MostRecent,
    /// The largest counts.
    Max,
}

impl Aggregation {
    const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum_of_usages",
            Self::MostRecent => "last_usage",
            Self::Max => "max_usage",
        }
    }
}

/// An item price to be created; its item comes into being with its first price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewItemPrice {
    /// Its id.
    pub id: String,
    /// The id of its item.
    pub item: String,
    /// What its item is.
    #[serde(default)]
    pub item_type: ItemType,
    /// Whether usage is recorded for it. Default: yes.
    #[serde(default = "metered_default")]
    pub metered: bool,
    /// What is made of the usages of one term. Default: their sum.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// What one unit costs, in cents. Default: 100.
    #[serde(default = "unit_price_default")]
    pub unit_price: i64,
}

const fn metered_default() -> bool {
    true
}

const fn unit_price_default() -> i64 {
    100
}

impl NewItemPrice {
    /// A metered price of an addon of its own, whose usages are added up.
    #[must_use]
    pub fn metered(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            item: format!("{id}-item"),
            item_type: ItemType::Addon,
            metered: true,
            aggregation: Aggregation::Sum,
            unit_price: unit_price_default(),
        }
    }

    /// The same with another aggregation.
    #[must_use]
    pub fn by(self, aggregation: Aggregation) -> Self {
        Self { aggregation, ..self }
    }

    /// A plan that is not metered.
    #[must_use]
    pub fn plan(id: &str) -> Self {
        Self { item_type: ItemType::Plan, metered: false, ..Self::metered(id) }
    }
}

/// One item price.
#[derive(Clone, Debug)]
pub(super) struct ItemPrice {
    pub(super) new: NewItemPrice,
    stamp: Stamp,
    created_at: i64,
}

impl ItemPrice {
    pub(super) fn object(&self) -> Value {
        json!({
            "id": self.new.id,
            "name": self.new.id,
            "item_id": self.new.item,
            "item_type": self.new.item_type.name(),
            "status": "active",
            "pricing_model": "per_unit",
            "price": self.new.unit_price,
            "period": 1,
            "period_unit": "month",
            "currency_code": CURRENCY,
            "free_quantity": 0,
            "is_taxable": false,
            "channel": "web",
            "resource_version": self.stamp.version,
            "updated_at": self.stamp.at,
            "created_at": self.created_at,
            "deleted": false,
            "object": "item_price",
        })
    }
}

impl Listed for &ItemPrice {
    fn field<'a>(&'a self, name: &str) -> Field<'a> {
        match name {
            "id" => Field::Text(&self.new.id),
            "item_id" => Field::Text(&self.new.item),
            "item_type" => Field::Text(self.new.item_type.name()),
            "status" => Field::Text("active"),
            "updated_at" => Field::Time(self.stamp.at),
            _ => Field::Absent,
        }
    }
}

/// One item: what its prices have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a>(&'a ItemPrice);

impl Item<'_> {
    pub(super) fn object(&self) -> Value {
        let new = &self.0.new;
        let mut object = json!({
            "id": new.item,
            "name": new.item,
            "status": "active",
            "type": new.item_type.name(),
            "is_shippable": false,
            "is_giftable": false,
            "enabled_for_checkout": true,
            "enabled_in_portal": true,
            "item_applicability": "all",
            "metered": new.metered,
            "channel": "web",
            "resource_version": self.0.stamp.version,
            "updated_at": self.0.stamp.at,
            "deleted": false,
            "object": "item",
        });
        if new.metered {
            object["usage_calculation"] = Value::from(new.aggregation.name());
        }
        object
    }
}

impl Listed for Item<'_> {
    fn field<'a>(&'a self, name: &str) -> Field<'a> {
        match name {
            "id" => Field::Text(&self.0.new.item),
            "type" => Field::Text(self.0.new.item_type.name()),
            "status" => Field::Text("active"),
            "updated_at" => Field::Time(self.0.stamp.at),
            _ => Field::Absent,
        }
    }
}

/// The items and prices of one site, oldest first.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    prices: Vec<ItemPrice>,
    by_id: HashMap<String, PriceIndex>,
    /// Each item's first price.
    items: HashMap<String, PriceIndex>,
}

impl Catalog {
    pub(super) fn create(
        &mut self,
        new: NewItemPrice,
        stamp: Stamp,
    ) -> Result<&ItemPrice, Refusal> {
        for (name, id) in [("id", &new.id), ("item_id", &new.item)] {
            if id.is_empty() || id.chars().count() > ID_LENGTH_MAX {
                return Err(Refusal::wrong_value(name, "is empty or too long"));
            }
        }
        if new.metered && new.item_type == ItemType::Charge {
            return Err(Refusal::invalid("Only plans and addons can be metered"));
        }
        if self.by_id.contains_key(&new.id) {
            let message = format!("The item price {} exists already", new.id);
            return Err(Refusal::duplicate("id", message));
        }
        if let Some(first) = self.items.get(&new.item).and_then(|place| self.at(*place)) {
            let kind = |it: &NewItemPrice| (it.item_type, it.metered, it.aggregation);
            if kind(&first.new) != kind(&new) {
                let message = format!("The item {} is of another kind", new.item);
                return Err(Refusal::invalid(message));
            }
        }
        let place = self.prices.len();
        if place >= ITEM_PRICES_MAX {
            return Err(Refusal::exhausted(format!("A site has {ITEM_PRICES_MAX} item prices")));
        }
        self.by_id.insert(new.id.clone(), place);
        self.items.entry(new.item.clone()).or_insert(place);
        self.prices.push(ItemPrice { new, stamp, created_at: stamp.at });
        self.at(place).ok_or_else(Refusal::internal)
    }

    pub(super) fn at(&self, place: PriceIndex) -> Option<&ItemPrice> {
        self.prices.get(place)
    }

    pub(super) fn place(&self, id: &str) -> Option<PriceIndex> {
        self.by_id.get(id).copied()
    }

    /// The id of the price at this place.
    pub(super) fn id(&self, place: PriceIndex) -> &str {
        self.at(place).map(|price| price.new.id.as_str()).unwrap_or_default()
    }

    pub(super) fn find(&self, id: &str) -> Result<&ItemPrice, Refusal> {
        let found = self.place(id).and_then(|place| self.at(place));
        found.ok_or_else(|| Refusal::not_found("Item price", id))
    }

    pub(super) fn find_item(&self, id: &str) -> Result<Item<'_>, Refusal> {
        let found = self.items.get(id).and_then(|place| self.at(*place));
        found.map(Item).ok_or_else(|| Refusal::not_found("Item", id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &ItemPrice)> {
        (0..).zip(&self.prices)
    }

    pub(super) fn all_items(&self) -> impl Iterator<Item = (u64, Item<'_>)> {
        let is_first = |found: &&ItemPrice| {
            self.items.get(&found.new.item).map(|place| self.id(*place)) == Some(&found.new.id)
        };
        (0..).zip(self.prices.iter().filter(is_first).map(Item))
    }
}
