//! What people do to subscriptions in the provider's own pages, for whom the control stands. Here:
//! each change, and what it tells of. Never here: what happens by itself as time goes by.
//! Read next: [`super::billing`].

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::catalog::NewItemPrice;
use super::events::{Cause, EventType};
use super::refusal::Refusal;
use super::site::Site;
use super::subscriptions::{
    FOREVER, Held, NewSubscription, Status, Subscription, SubscriptionIndex,
};
use crate::domain::time::Timestamp;

/// When a subscription is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelAt {
    /// At once: the term ends, and what counts until then is invoiced.
    Now,
    /// At the end of the term; until then it is non-renewing.
    TermEnd,
}

/// What is done to a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is cancelled.
    Cancel(CancelAt),
    /// It is not cancelled at the end of its term after all.
    KeepOn,
    /// It is paused at once.
    Pause,
    /// It goes on after a pause.
    Resume,
    /// It begins anew after it was cancelled.
    Reactivate,
    /// It has this item price from now on.
    AddItemPrice(String),
    /// It has this item price no longer.
    RemoveItemPrice(String),
    /// It is deleted, as if it had never been; what it used is never invoiced.
    Delete,
}

impl Site {
    pub(super) fn create_item_price(
        &mut self,
        new: NewItemPrice,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is_first = self.catalog.find_item(&new.item).is_err();
        let (item, stamp) = (new.item.clone(), self.stamp(now));
        let price = json!({ "item_price": self.catalog.create(new, stamp)?.object() });
        if is_first {
            let item = json!({ "item": self.catalog.find_item(&item)?.object() });
            self.tell(EventType::ItemCreated, Cause::AdminConsole, item, now);
        }
        self.tell(EventType::ItemPriceCreated, Cause::AdminConsole, price, now);
        Ok(())
    }

    pub(super) fn subscribe(
        &mut self,
        new: &NewSubscription,
        now: Timestamp,
    ) -> Result<SubscriptionIndex, Refusal> {
        self.settle(now);
        let stamp = self.stamp(now);
        let place = self.subscriptions.create(new, &self.catalog, now.seconds(), stamp)?;
        self.know_customer(&new.customer, Cause::AdminConsole, now);
        let started_at = self.subscriptions.at(place)?.started_at;
        if started_at <= now.seconds() {
            self.start(place, started_at);
            self.subscriptions.change(place, |it| it.stamp = stamp)?;
        }
        self.tell_of_subscription(EventType::SubscriptionCreated, Cause::AdminConsole, place, now);
        // A trial that began in the past may be over.
        self.settle(now);
        Ok(place)
    }

    /// Changes a subscription, if its status admits that.
    pub(super) fn change_subscription(
        &mut self,
        id: &str,
        change: &Change,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.settle(now);
        let place = self.subscriptions.place(id)?;
        let kind = match change {
            Change::Cancel(at) => self.cancel(place, *at, now.seconds())?,
            Change::KeepOn => self.keep_on(place)?,
            Change::Pause => self.pause(place, now.seconds())?,
            Change::Resume => self.resume(place, now.seconds())?,
            Change::Reactivate => self.reactivate(place, now.seconds())?,
            Change::AddItemPrice(price) => self.add_item_price(place, price, now.seconds())?,
            Change::RemoveItemPrice(price) => {
                self.remove_item_price(place, price, now.seconds())?
            }
            Change::Delete => self.delete_subscription(place, now.seconds())?,
        };
        let stamp = self.stamp(now);
        self.subscriptions.change(place, |it| it.stamp = stamp)?;
        self.tell_of_subscription(kind, Cause::AdminConsole, place, now);
        Ok(())
    }

    /// Changes a subscription that has one of these statuses.
    fn from(
        &mut self,
        place: SubscriptionIndex,
        statuses: &[Status],
        change: impl FnOnce(&mut Subscription),
    ) -> Result<(), Refusal> {
        let found = self.subscriptions.at(place)?;
        if !statuses.contains(&found.status) {
            let (id, status) = (&found.id, found.status.name());
            return Err(Refusal::wrong_state(format!("The subscription {id} is {status}")));
        }
        self.subscriptions.change(place, change)
    }

    fn cancel(
        &mut self,
        place: SubscriptionIndex,
        when: CancelAt,
        at: i64,
    ) -> Result<EventType, Refusal> {
        match when {
            CancelAt::Now => {
                self.cancel_now(place, at)?;
                Ok(EventType::SubscriptionCancelled)
            }
            CancelAt::TermEnd => {
                self.from(place, &[Status::Active], |it| {
                    (it.status, it.cancelled_at) = (Status::NonRenewing, Some(it.term.end));
                })?;
                Ok(EventType::SubscriptionCancellationScheduled)
            }
        }
    }

    fn cancel_now(&mut self, place: SubscriptionIndex, at: i64) -> Result<(), Refusal> {
        let alive =
            [Status::Future, Status::InTrial, Status::Active, Status::NonRenewing, Status::Paused];
        self.from(place, &alive, |it| it.cease_to_be_billable(at))?;
        if self.subscriptions.at(place)?.term_is_open {
            self.end_term(place, at);
        }
        self.subscriptions.change(place, |it| {
            (it.status, it.cancelled_at) = (Status::Cancelled, Some(at));
        })
    }

    fn keep_on(&mut self, place: SubscriptionIndex) -> Result<EventType, Refusal> {
        self.from(place, &[Status::NonRenewing], |it| {
            (it.status, it.cancelled_at) = (Status::Active, None);
        })?;
        Ok(EventType::SubscriptionScheduledCancellationRemoved)
    }

    fn pause(&mut self, place: SubscriptionIndex, at: i64) -> Result<EventType, Refusal> {
        self.from(place, &[Status::Active], |it| {
            it.cease_to_be_billable(at);
            (it.status, it.pause_date, it.resume_date) = (Status::Paused, Some(at), None);
        })?;
        Ok(EventType::SubscriptionPaused)
    }

    /// Goes on in the term that was open, or begins a new one when that is over.
    fn resume(&mut self, place: SubscriptionIndex, at: i64) -> Result<EventType, Refusal> {
        self.from(place, &[Status::Paused], |it| {
            it.become_billable(at);
            it.resume_date = Some(at);
            if !it.term_is_open {
                it.anchor = at;
                it.begin_term(at);
            }
        })?;
        Ok(EventType::SubscriptionResumed)
    }

    fn reactivate(&mut self, place: SubscriptionIndex, at: i64) -> Result<EventType, Refusal> {
        self.from(place, &[Status::Cancelled], |it| {
            (it.anchor, it.cancelled_at, it.activated_at) = (at, None, Some(at));
            it.become_billable(at);
            it.begin_term(at);
        })?;
        Ok(EventType::SubscriptionReactivated)
    }

    fn delete_subscription(
        &mut self,
        place: SubscriptionIndex,
        at: i64,
    ) -> Result<EventType, Refusal> {
        self.subscriptions.change(place, |it| {
            it.cease_to_be_billable(at);
            (it.status, it.deleted) = (Status::Cancelled, true);
        })?;
        Ok(EventType::SubscriptionDeleted)
    }

    fn add_item_price(
        &mut self,
        place: SubscriptionIndex,
        id: &str,
        at: i64,
    ) -> Result<EventType, Refusal> {
        let unknown = || Refusal::not_found("Item price", id).param("item_price_id");
        let price = self.catalog.place(id).ok_or_else(unknown)?;
        if self.subscriptions.at(place)?.current().any(|held| held == price) {
            return Err(Refusal::duplicate("item_price_id", "It has the item price already"));
        }
        let held = Held { price, span: at..FOREVER };
        self.subscriptions.change(place, |it| it.held.push(held))?;
        Ok(EventType::SubscriptionChanged)
    }

    fn remove_item_price(
        &mut self,
        place: SubscriptionIndex,
        id: &str,
        at: i64,
    ) -> Result<EventType, Refusal> {
        let price = self.catalog.place(id);
        let found = self.subscriptions.at(place)?;
        let price = price.filter(|price| found.current().any(|held| held == *price));
        let price = price.ok_or_else(|| Refusal::not_found("Item price", id))?;
        if found.current().count() == 1 {
            return Err(Refusal::invalid("A subscription has at least one item price"));
        }
        self.subscriptions.change(place, |it| {
            for held in it.held.iter_mut().filter(|held| held.price == price) {
                held.span.end = held.span.end.min(at);
            }
        })?;
        Ok(EventType::SubscriptionChanged)
    }
}
