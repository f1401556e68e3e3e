//! Subscriptions as Stripe tells them. PURE. Here: its object becomes what it bills, by which
//! meters, in which periods. Never here: a request for it ([`super::billing`]). Read next:
//! [`super::invoices`].
//!
//! Since version `2025-03-31.basil` a period belongs to an item, not to the subscription: items of
//! one subscription may end their periods on different days.

use serde::Deserialize;

use super::objects::{self, NoObject, Period, ROWS_PER_PAGE, Reference};
use super::prices::{Bills, KnownMeters, Price};
use crate::domain::billing::{BilledItem, Subscription, SubscriptionStatus};
use crate::domain::names::{AccountName, InvoiceId, SubscriptionId};

/// Most pages of items that are read of one subscription. Stripe allows 20 items, and shows them
/// with the subscription: this is 25 times as many.
pub const ITEM_PAGES_MAX: usize = 5;

/// A subscription as it was told, while its items are read.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    id: String,
    object: String,
    livemode: bool,
    status: String,
    customer: Reference,
    start_date: i64,
    ended_at: Option<i64>,
    cancel_at: Option<i64>,
    #[serde(default)]
    cancel_at_period_end: bool,
    latest_invoice: Option<Reference>,
    items: Items,
}

#[derive(Clone, Debug, Deserialize)]
struct Items {
    data: Vec<Item>,
    has_more: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Item {
    id: String,
    current_period_start: i64,
    current_period_end: i64,
    price: Price,
}

/// What a subscription came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The subscription; its items of meters that are not known are left out.
    pub subscription: Subscription,
    /// The ids of those meters.
    pub strangers: Vec<String>,
}

/// Reads a subscription; nothing is said of its meters yet.
///
/// # Errors
/// When it is none, or of the other mode.
pub fn read(text: &[u8], livemode: bool) -> Result<Told, NoObject> {
    let wrong = |why: &str| NoObject::unreadable("the subscription", why);
    let told: Told = serde_json::from_slice(text).map_err(|_| wrong("has not the form of one"))?;
    if told.object != "subscription" || !objects::is_id(&told.id) {
        return Err(wrong("is something else"));
    }
    if told.livemode != livemode {
        return Err(NoObject::OtherMode("subscription"));
    }
    Ok(told)
}

impl Told {
    /// The prices of its items.
    pub fn prices(&self) -> impl Iterator<Item = &Price> {
        self.items.data.iter().map(|item| &item.price)
    }

    /// The path of the next page of its items, when it has more than it showed.
    #[must_use]
    pub fn more_items(&self) -> Option<String> {
        let last = self.items.data.last().filter(|_| self.items.has_more)?;
        let filters = [("subscription", self.id.as_str())];
        Some(objects::list_path("/v1/subscription_items", &filters, Some(&last.id)))
    }

    /// Takes the next page of its items.
    ///
    /// # Errors
    /// When it is no page of items.
    pub fn take_items(&mut self, body: &[u8]) -> Result<(), NoObject> {
        let after = self.items.data.last().map(|item| item.id.as_str());
        let page = objects::list(body, after)?;
        for row in page.rows {
            let item = serde_json::from_str(row.get());
            let wrong = |_| self.wrong("has an item without the form of one");
            self.items.data.push(item.map_err(wrong)?);
        }
        self.items.has_more = page.next.is_some();
        Ok(())
    }

    fn wrong(&self, why: &str) -> NoObject {
        NoObject::unreadable(&format!("the subscription {}", self.id), why)
    }

    /// What it comes to, once all of its items are there.
    ///
    /// # Errors
    /// The field at fault.
    pub fn find(&self, known: &KnownMeters) -> Result<Found, NoObject> {
        if self.items.has_more {
            let most = ITEM_PAGES_MAX * ROWS_PER_PAGE;
            return Err(self.wrong(&format!("has no end of items: more than {most}")));
        }
        let (mut items, mut strangers) = (Vec::new(), Vec::new());
        for item in &self.items.data {
            let Bills::Meter(id) = item.price.bills() else { continue };
            let Some(meter) = known.of(&id) else {
                strangers.push(id);
                continue;
            };
            let period = Period { start: item.current_period_start, end: item.current_period_end };
            let period = objects::window("the period of an item", period)?;
            items.push(BilledItem { meter: meter.clone(), period });
        }
        let last_end = self.items.data.iter().map(|item| item.current_period_end).max();
        let ends_at = self.cancel_at.or(last_end.filter(|_| self.cancel_at_period_end));
        let latest_invoice = self
            .latest_invoice
            .as_ref()
            .map(|invoice| objects::named("latest_invoice", invoice.id(), InvoiceId::new));
        let subscription = Subscription {
            id: objects::named("id", &self.id, SubscriptionId::new)?,
            account: objects::named("customer", self.customer.id(), AccountName::new)?,
            status: status(&self.status),
            started_at: objects::time("start_date", self.start_date)?,
            ended_at: objects::time_or_none("ended_at", self.ended_at)?,
            ends_at: objects::time_or_none("cancel_at", ends_at)?,
            // What is used in a pause is billed when the subscription goes on.
            idle_since: None,
            changed_at: None,
            items,
            latest_invoice: latest_invoice.transpose()?,
        };
        Ok(Found { subscription, strangers })
    }
}

/// Whether a subscription of this status bills. What is unpaid or incomplete bills all the same:
/// its usage is on the invoices that somebody may still pay.
fn status(word: &str) -> SubscriptionStatus {
    match word {
        "paused" => SubscriptionStatus::Paused,
        "canceled" | "incomplete_expired" => SubscriptionStatus::Ended,
        // A word of next year counts as billing: usage that is told of a subscription that does not
        // bill is on no invoice, while usage that was kept back too long is lost.
        _ => SubscriptionStatus::Billing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::names::ProviderMeter;

    const JANUARY: (i64, i64) = (1_832_889_600, 1_835_395_200);

    fn item(id: &str, meter: Option<&str>, period: (i64, i64)) -> Value {
        json!({
            "id": id, "object": "subscription_item", "subscription": "sub_1",
            "current_period_start": period.0, "current_period_end": period.1,
            "price": {
                "id": format!("price_{id}"), "object": "price",
                "recurring": {"interval": "month", "meter": meter},
            },
        })
    }

    fn subscription() -> Value {
        json!({
            "id": "sub_1", "object": "subscription", "livemode": false, "status": "active",
            "customer": "cus_1", "start_date": 1_832_889_600, "ended_at": null,
            "cancel_at": null, "cancel_at_period_end": false, "latest_invoice": null,
            "items": {
                "object": "list", "has_more": false,
                "data": [item("si_1", Some("mtr_1"), JANUARY), item("si_2", None, JANUARY)],
            },
        })
    }

    fn known() -> KnownMeters {
        let tokens = ProviderMeter::new("tokens").unwrap();
        KnownMeters([("mtr_1".to_owned(), tokens)].into())
    }

    fn found(subscription: &Value) -> Result<Found, String> {
        let told = read(subscription.to_string().as_bytes(), false);
        told.and_then(|told| told.find(&known())).map_err(|error| error.to_string())
    }

    fn changed(pointer: &str, value: Value) -> Value {
        let mut subscription = subscription();
        *subscription.pointer_mut(pointer).unwrap() = value;
        subscription
    }

    #[test]
    fn a_subscription_tells_what_it_bills_and_when() {
        let found = found(&subscription()).unwrap();
        assert_eq!(found.strangers, [""; 0]);
        let read = found.subscription;
        assert_eq!((read.id.as_str(), read.account.as_str()), ("sub_1", "cus_1"));
        assert_eq!(read.status, SubscriptionStatus::Billing);
        assert_eq!(read.started_at.seconds(), 1_832_889_600);
        assert_eq!((read.ended_at, read.ends_at, read.latest_invoice), (None, None, None));
        let items: Vec<String> =
            read.items.iter().map(|item| format!("{} {}", item.meter, item.period)).collect();
        assert_eq!(items, ["tokens [2028-01-31T00:00:00Z, 2028-02-29T00:00:00Z)"]);
    }

    #[test]
    fn expanded_objects_are_read_by_their_ids() {
        let mut whole = subscription();
        whole["customer"] = json!({"id": "cus_2", "object": "customer", "deleted": true});
        whole["latest_invoice"] = json!({"id": "in_2", "object": "invoice", "lines": {}});
        let read = found(&whole).unwrap().subscription;
        assert_eq!(read.account.as_str(), "cus_2");
        assert_eq!(read.latest_invoice.unwrap().as_str(), "in_2");
    }

    #[test]
    fn every_status_is_read_and_one_of_next_year_bills() {
        for (word, status) in [
            ("active", SubscriptionStatus::Billing),
            ("trialing", SubscriptionStatus::Billing),
            ("past_due", SubscriptionStatus::Billing),
            ("unpaid", SubscriptionStatus::Billing),
            ("incomplete", SubscriptionStatus::Billing),
            ("hibernating", SubscriptionStatus::Billing),
            ("paused", SubscriptionStatus::Paused),
            ("canceled", SubscriptionStatus::Ended),
            ("incomplete_expired", SubscriptionStatus::Ended),
        ] {
            let read = found(&changed("/status", json!(word))).unwrap();
            assert_eq!(read.subscription.status, status, "{word}");
        }
    }

    #[test]
    fn an_end_is_known_by_its_time_or_by_the_latest_period() {
        let ends_at = |subscription: &Value| {
            found(subscription).unwrap().subscription.ends_at.map(|at| at.seconds())
        };
        let mut with_period = changed("/cancel_at_period_end", json!(true));
        assert_eq!(ends_at(&with_period), Some(JANUARY.1));
        with_period["items"]["data"][1]["current_period_end"] = json!(JANUARY.1 + 60);
        assert_eq!(ends_at(&with_period), Some(JANUARY.1 + 60), "also of an item without a meter");
        with_period["cancel_at"] = json!(JANUARY.1 + 1);
        assert_eq!(ends_at(&with_period), Some(JANUARY.1 + 1), "a time that was told comes first");
        let ended = changed("/ended_at", json!(JANUARY.0 + 1));
        let read = found(&ended).unwrap().subscription;
        assert_eq!(read.ended_at.map(|at| at.seconds()), Some(JANUARY.0 + 1));
        assert_eq!(read.ends_at, None);
    }

    #[test]
    fn a_meter_that_is_not_known_is_named_and_left_out() {
        let mut odd = subscription();
        odd["items"]["data"][1] = item("si_2", Some("mtr_2"), JANUARY);
        let read = found(&odd).unwrap();
        assert_eq!(read.subscription.items.len(), 1);
        assert_eq!(read.strangers, ["mtr_2"]);
    }

    #[test]
    fn further_items_are_read_page_by_page() {
        let long = changed("/items/has_more", json!(true));
        let error = found(&long).unwrap_err();
        assert!(error.contains("has no end of items: more than 500"), "{error}");
        let mut told = read(long.to_string().as_bytes(), false).unwrap();
        let path = "/v1/subscription_items?subscription=sub_1&limit=100&starting_after=si_2";
        assert_eq!(told.more_items().as_deref(), Some(path));
        let page = |has_more: bool| {
            let third = item("si_3", Some("mtr_1"), (JANUARY.0, JANUARY.0 + 60));
            json!({"object": "list", "has_more": has_more, "data": [third]}).to_string()
        };
        told.take_items(page(true).as_bytes()).unwrap();
        assert!(told.more_items().unwrap().ends_with("starting_after=si_3"));
        told.take_items(page(true).as_bytes()).unwrap_err();
        told.take_items(page(false).replace("current_period_end", "end").as_bytes()).unwrap_err();
        told.take_items(page(false).as_bytes()).unwrap();
        assert_eq!(told.more_items(), None);
        assert_eq!(told.prices().count(), 4);
        assert_eq!(told.find(&known()).unwrap().subscription.items.len(), 3);
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        for (pointer, value, why) in [
            ("/id", json!("sub/1"), "is something else"),
            ("/object", json!("invoice"), "is something else"),
            ("/livemode", json!(true), "another mode than the subscription"),
            ("/livemode", Value::Null, "has not the form"),
            ("/status", Value::Null, "has not the form"),
            ("/customer", Value::Null, "has not the form"),
            ("/customer", json!(""), "customer is no id"),
            ("/customer", json!({"id": "cus 1"}), "customer is no id"),
            ("/latest_invoice", json!("../in_1"), "latest_invoice is no id"),
            ("/start_date", json!(1.5), "has not the form"),
            ("/start_date", json!(0), "start_date is no time"),
            ("/ended_at", json!(i64::MAX), "ended_at is no time"),
            ("/cancel_at", json!(-1), "cancel_at is no time"),
            ("/items", json!([]), "has not the form"),
            ("/items/data/0/price", json!("price_1"), "has not the form"),
            ("/items/data/0/current_period_end", Value::Null, "has not the form"),
            ("/items/data/0/current_period_end", json!(JANUARY.0), "the period of an item"),
        ] {
            let error = found(&changed(pointer, value)).unwrap_err();
            assert!(error.contains(why), "{pointer}: {error}");
        }
        for text in ["", "null", "[]", "{}", "\u{0}", "<html>"] {
            assert!(read(text.as_bytes(), false).is_err(), "{text}");
        }
    }
}
