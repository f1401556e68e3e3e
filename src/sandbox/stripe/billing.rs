//! Customers and what they pay. Here: what each sound request about them does. Never here: what
//! happens by itself as time goes by. Read next: [`super::invoicing`].

use serde_json::{Value, json};

use super::announcements::Kind;
use super::billing_request::{BillingOperation, SubscriptionQuery};
use super::perform::Account;
use super::refusal::Refusal;
use super::subscriptions::{NewSubscription, Subscription, SubscriptionChanges};
use super::summary::{self, Row};
use crate::domain::time::Timestamp;

impl Account {
    /// Carries out a sound request about customers, prices or subscriptions.
    pub(super) fn perform_billing(
        &mut self,
        operation: &BillingOperation,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let mode = &self.settings.customers;
        match operation {
            BillingOperation::CreateCustomer(parts) => self.directory.create(parts.clone(), now),
            BillingOperation::ListCustomers(page) => {
                summary::page(self.directory.rows(mode), page, "/v1/customers")
            }
            BillingOperation::RetrieveCustomer(id) => self.directory.retrieve(mode, id, now),
            BillingOperation::UpdateCustomer(id, parts) => {
                self.directory.update(mode, id, parts, now)
            }
            BillingOperation::DeleteCustomer(id) => self.delete_customer(id, now),
            BillingOperation::CreatePrice(new) => {
                self.prices.create(new.clone(), &self.meters, now)
            }
            BillingOperation::RetrievePrice(id) => Ok(self.prices.find(id)?.object()),
            BillingOperation::CreateSubscription(new) => self.subscribe(new, now),
            BillingOperation::ListSubscriptions(query) => self.list_subscriptions(query),
            BillingOperation::RetrieveSubscription(id) => {
                let place = self.subscriptions.place(id)?;
                self.subscription_object(place)
            }
            BillingOperation::UpdateSubscription(id, changes) => {
                self.update_subscription(id, changes, now)
            }
            BillingOperation::CancelSubscription { id, invoice_now } => {
                let place = self.subscriptions.place(id)?;
                self.cancel_subscription(place, *invoice_now, now)
            }
            BillingOperation::PauseSubscription(id) => {
                let place = self.subscriptions.place(id)?;
                self.subscriptions.pause(place)?;
                let paused = self.subscription_object(place)?;
                Ok(self.announced(Kind::SubscriptionPaused, paused, None, now))
            }
            BillingOperation::ResumeSubscription { id, keeps_anchor } => {
                let place = self.subscriptions.place(id)?;
                self.subscriptions.resume(place, *keeps_anchor, now.seconds())?;
                let resumed = self.subscription_object(place)?;
                Ok(self.announced(Kind::SubscriptionResumed, resumed, None, now))
            }
            BillingOperation::ListInvoices(query) => self.list_invoices(query),
            BillingOperation::RetrieveInvoice(id) => {
                Ok(self.invoice_object(self.invoices.find(id)?))
            }
            BillingOperation::ListLines(id, page) => self.list_lines(id, page),
        }
    }

    fn subscription_object(&self, place: usize) -> Result<Value, Refusal> {
        Ok(self.subscriptions.at(place)?.object(&self.prices))
    }

    /// Deletes a customer, which ends its subscriptions at once and bills nothing more of them.
    fn delete_customer(&mut self, id: &str, now: Timestamp) -> Result<Value, Refusal> {
        let before = self.directory.delete(&self.settings.customers, id, now)?;
        for place in self.subscriptions.alive_of(id) {
            self.cancel_subscription(place, false, now)?;
        }
        self.announced(Kind::CustomerDeleted, before, None, now);
        Ok(json!({ "id": id, "object": "customer", "deleted": true }))
    }

    fn subscribe(&mut self, new: &NewSubscription, now: Timestamp) -> Result<Value, Refusal> {
        let mode = &self.settings.customers;
        if !self.directory.knows(mode, &new.customer) {
            return Err(Refusal::no_reference("customer", &new.customer, "customer"));
        }
        self.directory.name(mode, &new.customer, now);
        let created = self.subscriptions.create(new, &self.prices, now.seconds())?;
        let created = created.object(&self.prices);
        Ok(self.announced(Kind::SubscriptionCreated, created, None, now))
    }

    fn update_subscription(
        &mut self,
        id: &str,
        changes: &SubscriptionChanges,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let place = self.subscriptions.place(id)?;
        let before = self.subscriptions.at(place)?.clone();
        self.subscriptions.update(place, changes, &self.prices, now.seconds())?;
        self.keep_removed(place, &before, now.seconds());
        let (before, after) = (before.object(&self.prices), self.subscription_object(place)?);
        if after == before {
            return Ok(after);
        }
        Ok(self.announced(Kind::SubscriptionUpdated, after, Some(&before), now))
    }

    fn cancel_subscription(
        &mut self,
        place: usize,
        invoice_now: bool,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        self.subscriptions.cancel(place, now.seconds())?;
        if invoice_now {
            self.invoice_now(place, now.seconds());
        }
        self.removed.remove(&place);
        let ended = self.subscription_object(place)?;
        Ok(self.announced(Kind::SubscriptionDeleted, ended, None, now))
    }

    fn list_subscriptions(&self, query: &SubscriptionQuery) -> Result<Value, Refusal> {
        let price = match &query.price {
            Some(id) => Some(
                self.prices.place(id).ok_or_else(|| Refusal::no_reference("price", id, "price"))?,
            ),
            None => None,
        };
        let is_wanted = |found: &&Subscription| {
            query.customer.as_ref().is_none_or(|customer| found.customer == *customer)
                && price.is_none_or(|price| found.items.iter().any(|item| item.price == price))
                && query.statuses.contains(&found.status)
                && query.created.contains(&found.created)
        };
        let rows = self.subscriptions.newest_first().filter(is_wanted);
        let row = |it: &Subscription| Row { id: it.id.clone(), object: it.object(&self.prices) };
        summary::page(rows.map(row).collect(), &query.page, "/v1/subscriptions")
    }
}
