//! Subscriptions as a site tells them. PURE. Here: its object becomes what it bills, by which item
//! prices, in which term. Never here: a request for it ([`super::billing`]). Read next:
//! [`super::invoices`].
//!
//! Usage is billed where it is dated into a time at which the subscription was active or
//! non-renewing; anything else is stored and never billed ("Usages" of Chargebee's API
//! documentation). So what is still to begin, or in trial, has its first term expected; and one
//! that pauses or was cancelled bills nothing since, whatever its term says.

use chrono::{DateTime, Days, Months, Utc};
use serde::Deserialize;

use super::objects;
use crate::domain::billing::{BilledItem, Subscription, SubscriptionStatus};
use crate::domain::names::{AccountName, ProviderMeter, SubscriptionId};
use crate::domain::time::{Timestamp, Window};

/// A subscription as it is told, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    id: String,
    status: String,
    start_date: Option<i64>,
    started_at: Option<i64>,
    activated_at: Option<i64>,
    created_at: Option<i64>,
    trial_end: Option<i64>,
    current_term_start: Option<i64>,
    current_term_end: Option<i64>,
    billing_period: Option<u32>,
    billing_period_unit: Option<String>,
    pause_date: Option<i64>,
    cancelled_at: Option<i64>,
    updated_at: Option<i64>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    subscription_items: Vec<Item>,
}

#[derive(Clone, Debug, Deserialize)]
struct Item {
    item_price_id: String,
}

#[derive(Deserialize)]
struct One {
    subscription: Told,
}

/// How a subscription stands, in Chargebee's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not begun to bill.
    Ahead,
    /// It bills.
    Active,
    /// It bills until its end, which is known.
    Ending,
    /// It may bill again.
    Paused,
    /// It bills no longer.
    Over,
}

/// Reads the subscription of an answer, or of a row of a list.
///
/// # Errors
/// A sentence, when it is none.
pub fn read(body: &[u8]) -> Result<Told, String> {
    let one: Result<One, _> = serde_json::from_slice(body);
    one.map(|one| one.subscription).map_err(|_| "the subscription has not the form of one".into())
}

impl Told {
    /// What it comes to; item prices that are not among `known` are left out.
    ///
    /// # Errors
    /// A sentence that names the field at fault.
    pub fn find(&self, known: &[ProviderMeter]) -> Result<Subscription, String> {
        self.read(known).map_err(|why| format!("of the subscription {:?}, {why}", self.id))
    }

    fn read(&self, known: &[ProviderMeter]) -> Result<Subscription, String> {
        let standing = self.standing();
        let changed_at = objects::time_or_none("updated_at", self.updated_at)?;
        let cancelled_at = objects::time_or_none("cancelled_at", self.cancelled_at)?;
        let (ended_at, ends_at) = match standing {
            Standing::Ahead | Standing::Active => (None, None),
            Standing::Ending => {
                let term_end = objects::time_or_none("current_term_end", self.current_term_end)?;
                (None, cancelled_at.or(term_end))
            }
            // Its term goes on, and is invoiced at its end.
            Standing::Paused => (None, None),
            Standing::Over => (cancelled_at.or(changed_at), None),
        };
        let idle_since = match standing {
            Standing::Ahead | Standing::Active | Standing::Ending => None,
            Standing::Paused => {
                objects::time_or_none("pause_date", self.pause_date)?.or(changed_at)
            }
            Standing::Over => ended_at,
        };
        let started_at = self.began_at(standing)?;
        let term = self.term(standing, started_at)?;
        let is_known = |meter: &&ProviderMeter| {
            self.subscription_items.iter().any(|item| item.item_price_id == meter.as_str())
        };
        let item = |period: Window| {
            let item = move |meter: &ProviderMeter| BilledItem { meter: meter.clone(), period };
            known.iter().filter(is_known).map(item).collect()
        };
        Ok(Subscription {
            id: objects::named("id", &self.id, SubscriptionId::new)?,
            account: objects::named("id", &self.id, AccountName::new)?,
            status: match standing {
                Standing::Ahead | Standing::Active | Standing::Ending | Standing::Paused => {
                    SubscriptionStatus::Billing
                }
                Standing::Over => SubscriptionStatus::Ended,
            },
            started_at,
            ended_at,
            ends_at,
            idle_since,
            changed_at,
            items: term.map_or_else(Vec::new, item),
            latest_invoice: None,
        })
    }

    fn standing(&self) -> Standing {
        match self.status.as_str() {
            _ if self.deleted => Standing::Over,
            "future" | "in_trial" => Standing::Ahead,
            "non_renewing" => Standing::Ending,
            "paused" => Standing::Paused,
            "cancelled" | "transferred" => Standing::Over,
            // A word of next year counts as billing: usage that was kept back too long is lost.
            _ => Standing::Active,
        }
    }

    /// When it began, or begins, to bill.
    fn began_at(&self, standing: Standing) -> Result<Timestamp, String> {
        let start = self.start_date.or(self.started_at).or(self.created_at);
        let seconds = match standing {
            Standing::Ahead => self.trial_end.or(start),
            Standing::Active | Standing::Ending | Standing::Paused | Standing::Over => {
                // One that is reactivated may be told to have been activated only then.
                [self.activated_at, self.current_term_start].into_iter().flatten().min().or(start)
            }
        };
        let seconds = seconds.ok_or("it has no time at which it began")?;
        objects::time("the time at which it began", seconds)
    }

    /// The term in which usage is billed next: the present one, else the first one to come.
    fn term(&self, standing: Standing, began_at: Timestamp) -> Result<Option<Window>, String> {
        match (standing, self.current_term_start.zip(self.current_term_end)) {
            (Standing::Ahead, _) => Ok(self.first_term(began_at)),
            (_, None) => Ok(None),
            // One that was cancelled as it began has a term of no length.
            (_, Some((start, end))) if start == end => Ok(None),
            (_, Some(term)) => objects::window("the current term", term).map(Some),
        }
    }

    /// The term that begins then, by the calendar; what an invoice says of it counts for more.
    fn first_term(&self, start: Timestamp) -> Option<Window> {
        let begins = DateTime::<Utc>::from_timestamp_micros(start.micros())?;
        let count = self.billing_period?;
        let end = match self.billing_period_unit.as_deref()? {
            "day" => begins.checked_add_days(Days::new(count.into()))?,
            "week" => begins.checked_add_days(Days::new(u64::from(count) * 7))?,
            "month" => begins.checked_add_months(Months::new(count))?,
            "year" => begins.checked_add_months(Months::new(count.checked_mul(12)?))?,
            _ => return None,
        };
        let end = Timestamp::from_micros(end.timestamp_micros());
        (start < end).then_some(Window { start, end })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// From noon of 2026-09-21 to noon of 2026-10-21.
    const TERM: (i64, i64) = (1_789_992_000, 1_792_584_000);

    fn known() -> Vec<ProviderMeter> {
        ["calls-EUR", "seats-EUR"].map(|id| ProviderMeter::new(id).unwrap()).into()
    }

    fn subscription() -> Value {
        json!({
            "id": "sub_1", "object": "subscription", "status": "active", "customer_id": "cus_1",
            "billing_period": 1, "billing_period_unit": "month", "created_at": TERM.0,
            "started_at": TERM.0, "activated_at": TERM.0, "updated_at": TERM.0 + 100,
            "current_term_start": TERM.0, "current_term_end": TERM.1, "deleted": false,
            "subscription_items": [
                {"item_price_id": "calls-EUR", "item_type": "plan"},
                {"item_price_id": "base-EUR", "item_type": "addon", "quantity": 1},
            ],
        })
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut subscription = subscription();
        for (field, value) in changes {
            subscription[*field] = value.clone();
        }
        subscription
    }

    fn found(subscription: &Value) -> Result<Subscription, String> {
        let row = json!({"subscription": subscription, "customer": {"id": "cus_1"}});
        read(row.to_string().as_bytes())?.find(&known())
    }

    #[test]
    fn a_subscription_is_an_account_and_bills_the_item_prices_that_are_known() {
        let read = found(&subscription()).unwrap();
        assert_eq!((read.id.as_str(), read.account.as_str()), ("sub_1", "sub_1"));
        assert_eq!(read.status, SubscriptionStatus::Billing);
        assert_eq!(read.started_at.seconds(), TERM.0);
        assert_eq!((read.ended_at, read.ends_at, read.latest_invoice), (None, None, None));
        let items: Vec<String> =
            read.items.iter().map(|item| format!("{} {}", item.meter, item.period)).collect();
        assert_eq!(items, ["calls-EUR [2026-09-21T12:00:00Z, 2026-10-21T12:00:00Z)"]);
    }

    #[test]
    fn every_status_is_read_and_one_of_next_year_bills() {
        let (later, cancelled) = (TERM.0 + 60, json!(TERM.0 + 60));
        for (changes, status, ended_at, ends_at) in [
            (vec![("status", json!("active"))], SubscriptionStatus::Billing, None, None),
            (vec![("status", json!("hibernating"))], SubscriptionStatus::Billing, None, None),
            (vec![("status", json!("paused"))], SubscriptionStatus::Billing, None, None),
            (
                vec![("status", json!("non_renewing")), ("cancelled_at", cancelled.clone())],
                SubscriptionStatus::Billing,
                None,
                Some(later),
            ),
            (
                vec![("status", json!("non_renewing"))],
                SubscriptionStatus::Billing,
                None,
                Some(TERM.1),
            ),
            (
                vec![("status", json!("cancelled")), ("cancelled_at", cancelled)],
                SubscriptionStatus::Ended,
                Some(later),
                None,
            ),
            (
                vec![("status", json!("transferred"))],
                SubscriptionStatus::Ended,
                Some(TERM.0 + 100),
                None,
            ),
            (vec![("deleted", json!(true))], SubscriptionStatus::Ended, Some(TERM.0 + 100), None),
        ] {
            let read = found(&with(&changes)).unwrap();
            let times = (read.ended_at, read.ends_at);
            let said =
                (read.status, times.0.map(|at| at.seconds()), times.1.map(|at| at.seconds()));
            assert_eq!(said, (status, ended_at, ends_at), "{changes:?}");
        }
    }

    #[test]
    fn what_is_used_in_a_pause_or_after_the_end_is_on_no_bill() {
        for (changes, since) in [
            (vec![("status", json!("active")), ("pause_date", json!(TERM.0 + 7))], None),
            (vec![("status", json!("non_renewing")), ("cancelled_at", json!(TERM.1))], None),
            (
                vec![("status", json!("paused")), ("pause_date", json!(TERM.0 + 7))],
                Some(TERM.0 + 7),
            ),
            (vec![("status", json!("paused"))], Some(TERM.0 + 100)),
            (
                vec![("status", json!("cancelled")), ("cancelled_at", json!(TERM.0 + 7))],
                Some(TERM.0 + 7),
            ),
        ] {
            let read = found(&with(&changes)).unwrap();
            assert_eq!(read.idle_since.map(|at| at.seconds()), since, "{changes:?}");
            assert_eq!(read.changed_at.map(|at| at.seconds()), Some(TERM.0 + 100));
        }
    }

    #[test]
    fn what_is_still_to_begin_has_its_first_term_expected() {
        let ahead = |unit: &str, trial_end: Option<i64>| {
            let changes = [
                ("status", json!(if trial_end.is_some() { "in_trial" } else { "future" })),
                ("trial_end", json!(trial_end)),
                ("activated_at", Value::Null),
                ("current_term_start", Value::Null),
                ("current_term_end", Value::Null),
                ("billing_period_unit", json!(unit)),
            ];
            let read = found(&with(&changes)).unwrap();
            assert_eq!(read.status, SubscriptionStatus::Billing);
            let items = read.items.iter().map(|item| item.period.to_string());
            (read.started_at.to_rfc3339(), items.collect::<Vec<_>>().join(" "))
        };
        let start = "2026-09-21T12:00:00Z";
        for (unit, end) in [
            ("day", "2026-09-22T12:00:00Z"),
            ("week", "2026-09-28T12:00:00Z"),
            ("month", "2026-10-21T12:00:00Z"),
            ("year", "2027-09-21T12:00:00Z"),
        ] {
            assert_eq!(ahead(unit, None), (start.to_owned(), format!("[{start}, {end})")));
        }
        let (begins, term) = ahead("month", Some(TERM.0 + 86_400));
        assert_eq!(begins, "2026-09-22T12:00:00Z", "a trial bills nothing");
        assert_eq!(term, "[2026-09-22T12:00:00Z, 2026-10-22T12:00:00Z)");
        assert_eq!(ahead("fortnight", None).1, "");
    }

    #[test]
    fn what_was_cancelled_as_it_began_has_no_term() {
        let changes = [("status", json!("cancelled")), ("current_term_end", json!(TERM.0))];
        assert_eq!(found(&with(&changes)).unwrap().items, []);
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        for (field, value, why) in [
            ("id", json!(""), "id is empty"),
            ("id", json!(7), "has not the form"),
            ("status", Value::Null, "has not the form"),
            ("subscription_items", json!({}), "has not the form"),
            ("current_term_end", json!(TERM.0 - 1), "the current term ends before"),
            ("current_term_end", json!(i64::MAX), "the current term is no time"),
            ("activated_at", json!(-1), "the time at which it began is no time"),
            ("cancelled_at", json!(1), "cancelled_at is no time"),
        ] {
            let error = found(&with(&[(field, value.clone())])).unwrap_err();
            assert!(error.contains(why), "{field} {value}: {error}");
        }
        for body in ["", "null", "[]", "{}", "<html>", r#"{"subscription":[]}"#] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
