//! Which meter a price bills. PURE. Here: prices as Stripe tells them, and what is remembered of
//! them. Never here: what a unit costs. Read next: [`super::subscriptions`].
//!
//! A price keeps its meter for life, so what was learned of it stays true. What is remembered only
//! saves requests: it is not in the ledger, and may be forgotten at any time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::objects::NoObject;
use crate::domain::names::{PriceId, ProviderMeter};

/// Most prices that are remembered: a price for each of many customers, in a few megabytes. With
/// more than this, some are asked for again.
pub const PRICES_MAX: usize = 20_000;
/// Most unknown meters that are remembered as warned of: far more than an account has. With more,
/// some are warned of again.
const STRANGERS_MAX: usize = 10_000;

/// A price that stands inside another object, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Price {
    /// Its id.
    pub id: String,
    recurring: Option<Recurring>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Recurring {
    meter: Option<String>,
}

/// What a price bills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bills {
    /// The usage of the meter of this id.
    Meter(String),
    /// No meter's: a fixed fee, or usage that is reported in another way.
    NoMeter,
}

impl Price {
    /// What it bills.
    #[must_use]
    pub fn bills(&self) -> Bills {
        let meter = self.recurring.as_ref().and_then(|recurring| recurring.meter.clone());
        meter.map_or(Bills::NoMeter, Bills::Meter)
    }

    /// Its id as a name; nothing when it cannot be one.
    #[must_use]
    pub fn name(&self) -> Option<PriceId> {
        PriceId::new(&self.id).ok()
    }
}

#[derive(Deserialize)]
struct Whole {
    object: String,
    livemode: bool,
    #[serde(flatten)]
    price: Price,
}

/// Reads the price of this id.
///
/// # Errors
/// When it is no price, another one, or of the other mode.
pub fn read(body: &[u8], id: &PriceId, livemode: bool) -> Result<Price, NoObject> {
    let wrong = |why: &str| NoObject::unreadable(&format!("the price {id}"), why);
    let whole: Whole =
        serde_json::from_slice(body).map_err(|_| wrong("has not the form of one"))?;
    if whole.object != "price" || whole.price.id != id.as_str() {
        return Err(wrong("is something else"));
    }
    if whole.livemode != livemode {
        return Err(NoObject::OtherMode("price"));
    }
    Ok(whole.price)
}

/// The meters that are pinned, by the provider's ids of them.
#[derive(Clone, Debug, Default)]
pub struct KnownMeters(pub BTreeMap<String, ProviderMeter>);

impl KnownMeters {
    /// The meter of this id.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&ProviderMeter> {
        self.0.get(id)
    }
}

/// What is remembered of prices.
#[derive(Debug, Default)]
pub struct Catalogue {
    prices: BTreeMap<PriceId, Bills>,
    strangers: BTreeSet<String>,
}

impl Catalogue {
    /// Remembers what a price bills.
    pub fn learn(&mut self, price: PriceId, bills: Bills) {
        if self.prices.len() >= PRICES_MAX && !self.prices.contains_key(&price) {
            // Which one goes does not matter: all are as easily asked for again.
            self.prices.pop_first();
        }
        self.prices.insert(price, bills);
    }

    /// What a price bills, as far as that is remembered.
    #[must_use]
    pub fn of(&self, price: &PriceId) -> Option<&Bills> {
        self.prices.get(price)
    }

    /// Whether the unknown meter of this id was not warned of before.
    pub fn is_new_stranger(&mut self, id: &str) -> bool {
        if self.strangers.len() >= STRANGERS_MAX && !self.strangers.contains(id) {
            self.strangers.pop_first();
        }
        self.strangers.insert(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn price() -> Value {
        json!({
            "id": "price_1", "object": "price", "livemode": false, "active": true,
            "recurring": {"interval": "month", "meter": "mtr_1", "usage_type": "metered"},
            "unit_amount_decimal": "2.5",
        })
    }

    fn id(text: &str) -> PriceId {
        PriceId::new(text).unwrap()
    }

    #[test]
    fn a_price_tells_its_meter_or_that_it_has_none() {
        let bills = |price: &Value| {
            let read = read(price.to_string().as_bytes(), &id("price_1"), false);
            read.map(|price| price.bills()).map_err(|error| error.to_string())
        };
        assert_eq!(bills(&price()), Ok(Bills::Meter("mtr_1".to_owned())));
        for (pointer, value) in [
            ("/recurring", Value::Null),
            ("/recurring/meter", Value::Null),
            ("/recurring", json!({"usage_type": "licensed"})),
        ] {
            let mut price = price();
            *price.pointer_mut(pointer).unwrap() = value;
            assert_eq!(bills(&price), Ok(Bills::NoMeter));
        }
        for (pointer, value, why) in [
            ("/id", json!("price_2"), "is something else"),
            ("/object", json!("plan"), "is something else"),
            ("/livemode", json!(true), "another mode than the price"),
            ("/livemode", Value::Null, "has not the form"),
            ("/recurring/meter", json!({"id": "mtr_1"}), "has not the form"),
        ] {
            let mut price = price();
            *price.pointer_mut(pointer).unwrap() = value;
            let error = bills(&price).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_is_remembered_of_prices_stays_within_its_bound() {
        let mut catalogue = Catalogue::default();
        for place in 0..=PRICES_MAX {
            catalogue.learn(id(&format!("price_{place:08}")), Bills::NoMeter);
        }
        assert_eq!(catalogue.prices.len(), PRICES_MAX);
        assert_eq!(catalogue.of(&id("price_00000000")), None);
        let meter = Bills::Meter("mtr_1".to_owned());
        catalogue.learn(id("price_00000001"), meter.clone());
        assert_eq!(catalogue.prices.len(), PRICES_MAX);
        assert_eq!(catalogue.of(&id("price_00000001")), Some(&meter));
        assert_eq!(catalogue.of(&id("price_00000002")), Some(&Bills::NoMeter));
    }

    #[test]
    fn an_unknown_meter_is_new_once() {
        let mut catalogue = Catalogue::default();
        assert!(catalogue.is_new_stranger("mtr_1"));
        assert!(!catalogue.is_new_stranger("mtr_1"));
        for place in 0..STRANGERS_MAX {
            assert!(catalogue.is_new_stranger(&format!("mtr_x{place}")));
        }
        assert_eq!(catalogue.strangers.len(), STRANGERS_MAX);
        assert!(catalogue.is_new_stranger("mtr_1"), "forgotten, and said again");
    }
}
