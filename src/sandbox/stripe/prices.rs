//! Prices. Here: what one unit of a meter costs, by the month. Never here: an amount that is owed.
//! Read next: [`super::subscriptions`].

use std::collections::HashMap;

use bigdecimal::{BigDecimal, ToPrimitive};
use serde_json::{Value, json};

use super::meter::{MeterIndex, Meters};
use super::refusal::Refusal;
use crate::domain::time::Timestamp;

/// Prices in one account. Stripe publishes no figure; they are kept in memory, so there is one
/// here.
const PRICES_MAX: usize = 100_000;

/// A price to be created: metered, and billed by the month.
#[derive(Clone, Debug)]
pub(super) struct NewPrice {
    pub(super) meter: String,
    pub(super) currency: String,
    /// In the currency's smallest unit.
    pub(super) unit_amount: BigDecimal,
    pub(super) product: Option<String>,
}

/// A price's place in its account.
pub(super) type PriceIndex = usize;

#[derive(Debug)]
pub(super) struct Price {
    pub(super) id: String,
    pub(super) meter: MeterIndex,
    pub(super) new: NewPrice,
    created: i64,
}

impl Price {
    /// The product's id: the one that was named, or one made up for this price.
    pub(super) fn product(&self) -> String {
        self.new.product.clone().unwrap_or_else(|| self.id.replacen("price_", "prod_", 1))
    }

    pub(super) fn object(&self) -> Value {
        let amount = &self.new.unit_amount;
        json!({
            "id": self.id,
            "object": "price",
            "active": true,
            "billing_scheme": "per_unit",
            "created": self.created,
            "currency": self.new.currency,
            "livemode": false,
            "metadata": {},
            "product": self.product(),
            "recurring": {
                "interval": "month",
                "interval_count": 1,
                "meter": self.new.meter,
                "usage_type": "metered",
            },
            "type": "recurring",
            "unit_amount": if amount.is_integer() { amount.to_i64() } else { None },
            "unit_amount_decimal": amount.normalized().to_plain_string(),
        })
    }
}

/// The prices of one account, oldest first.
#[derive(Debug, Default)]
pub(super) struct Prices {
    all: Vec<Price>,
    by_id: HashMap<String, PriceIndex>,
}

impl Prices {
    pub(super) fn create(
        &mut self,
        new: NewPrice,
        meters: &Meters,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let param = "recurring[meter]";
        let missing = |_| Refusal::no_reference("billing meter", &new.meter, param);
        let (meter, _) = meters.find(&new.meter).map_err(missing)?;
        let place = self.all.len();
        if place >= PRICES_MAX {
            return Err(Refusal::invalid(format!("An account has at most {PRICES_MAX} prices")));
        }
        let id = format!("price_sandbox{place:08}");
        self.by_id.insert(id.clone(), place);
        let price = Price { id, meter, new, created: now.seconds() };
        let object = price.object();
        self.all.push(price);
        Ok(object)
    }

    pub(super) fn place(&self, id: &str) -> Option<PriceIndex> {
        self.by_id.get(id).copied()
    }

    pub(super) fn at(&self, place: PriceIndex) -> Option<&Price> {
        self.all.get(place)
    }

    pub(super) fn find(&self, id: &str) -> Result<&Price, Refusal> {
        let found = self.place(id).and_then(|place| self.at(place));
        found.ok_or_else(|| Refusal::no_object("price", id))
    }
}
