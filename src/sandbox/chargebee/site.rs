//! Carrying out. Here: what a site holds, and what each sound request does to it. Never here: keys,
//! limits, faults; those are at the [`super::gate`]. Read next: [`super::billing`].

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::catalog::{CURRENCY, Catalog};
use super::documents::Files;
use super::events::{Cause, EventType, Events};
use super::ingest;
use super::invoices::Invoices;
use super::operation::{NewUsage, Operation};
use super::quantity;
use super::query::{Listed, Query};
use super::refusal::{Refusal, Reply};
use super::settings::Settings;
use super::subscriptions::{self, Subscription, SubscriptionIndex, Subscriptions};
use super::usages::{self, Source, State, Usage, UsageIndex, Usages};
use super::webhooks::Webhooks;
use crate::domain::time::Timestamp;
use crate::sandbox::clock::micros_of;

/// Microseconds in one of the milliseconds that versions are counted in.
const MICROS_PER_MILLI: i64 = 1_000;

/// When something was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Milliseconds of the clock, and more than any change before had.
    pub(super) version: i64,
    /// Unix seconds.
    pub(super) at: i64,
}

/// A customer: nothing but a name here.
#[derive(Clone, Copy, Debug)]
struct Customer {
    stamp: Stamp,
}

/// What came of a request that was carried out.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) reply: Reply,
    /// Whether a usage was created.
    pub(super) created: bool,
    /// Whether something was refused as a duplicate.
    pub(super) duplicate: bool,
}

/// Everything a site holds.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) settings: Settings,
    pub(super) catalog: Catalog,
    pub(super) subscriptions: Subscriptions,
    pub(super) usages: Usages,
    pub(super) invoices: Invoices,
    pub(super) events: Events,
    pub(super) webhooks: Webhooks,
    pub(super) files: Files,
    /// Usage events, and the features that add them up.
    pub(super) ingested: ingest::Events,
    /// Batches of them that were taken so far.
    pub(super) batches: u64,
    /// Where the stand-in is reached, without a slash at its end.
    pub(super) address: String,
    customers: HashMap<String, Customer>,
    version: i64,
}

impl Site {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            catalog: Catalog::default(),
            subscriptions: Subscriptions::default(),
            usages: Usages::default(),
            invoices: Invoices::default(),
            events: Events::default(),
            webhooks: Webhooks::default(),
            files: Files::default(),
            ingested: ingest::Events::default(),
            batches: 0,
            address: String::new(),
            customers: HashMap::new(),
            version: 0,
        }
    }

    /// The stamp of a change at `now`.
    pub(super) fn stamp(&mut self, now: Timestamp) -> Stamp {
        let millis = now.micros().div_euclid(MICROS_PER_MILLI);
        self.version = millis.max(self.version.saturating_add(1));
        Stamp { version: self.version, at: now.seconds() }
    }

    /// Tells of something, and queues it for the webhook endpoints.
    pub(super) fn tell(&mut self, kind: EventType, cause: Cause, content: Value, at: Timestamp) {
        let webhooks = &mut self.webhooks;
        self.events.add(kind, cause, content, at, |event| webhooks.offer(event));
    }

    /// Makes a customer known, if this is the first that is heard of it.
    pub(super) fn know_customer(&mut self, id: &str, cause: Cause, now: Timestamp) {
        if self.customers.contains_key(id) {
            return;
        }
        let stamp = self.stamp(now);
        self.customers.insert(id.to_owned(), Customer { stamp });
        let content = json!({ "customer": self.customer(id) });
        self.tell(EventType::CustomerCreated, cause, content, now);
    }

    pub(super) fn customer(&self, id: &str) -> Value {
        let stamp = self.customers.get(id).map(|customer| customer.stamp);
        let (version, at) = stamp.map_or((0, 0), |stamp| (stamp.version, stamp.at));
        json!({
            "id": id,
            "auto_collection": "on",
            "net_term_days": 0,
            "allow_direct_debit": false,
            "created_at": at,
            "taxability": "taxable",
            "updated_at": at,
            "resource_version": version,
            "deleted": false,
            "promotional_credits": 0,
            "unbilled_charges": 0,
            "refundable_credits": 0,
            "excess_payments": 0,
            "preferred_currency_code": CURRENCY,
            "object": "customer",
        })
    }

    /// Carries out a sound request.
    pub(super) fn perform(&mut self, operation: &Operation, now: Timestamp) -> Performed {
        self.settle(now);
        match self.carry_out(operation, now) {
            Ok(object) => {
                let created = matches!(operation, Operation::CreateUsage(_));
                Performed { reply: Reply::ok(&object), created, duplicate: false }
            }
            Err(refusal) => {
                let duplicate = refusal.is_duplicate();
                Performed { reply: refusal.reply(), created: false, duplicate }
            }
        }
    }

    fn carry_out(&mut self, operation: &Operation, now: Timestamp) -> Result<Value, Refusal> {
        if operation.is_about_usages() && !self.settings.usages_enabled {
            return Err(Refusal::restricted("Usages are not enabled for this site."));
        }
        match operation {
            Operation::CreateUsage(new) => {
                let place = self.create_usage(new, Source::Api, now)?;
                self.usage(place)
            }
            Operation::RetrieveUsage { subscription, id } => {
                let subscription = self.subscriptions.place(subscription)?;
                let place = self.usages.find(subscription, id)?;
                self.usage(place)
            }
            Operation::DeleteUsage { subscription, id } => self.delete_usage(subscription, id, now),
            Operation::ListUsages(query) => Ok(self.list_usages(query, now)),
            Operation::UsagePdf(invoice) => self.usage_pdf(invoice, now),
            Operation::ListSubscriptions(query) => Ok(self.list_subscriptions(query)),
            Operation::RetrieveSubscription(id) => {
                let place = self.subscriptions.place(id)?;
                Ok(self.subscription(self.subscriptions.at(place)?))
            }
            Operation::ListItems(query) => {
                let rows = query.page(self.catalog.all_items());
                Ok(listed("item", rows, |row| row.object()))
            }
            Operation::RetrieveItem(id) => {
                Ok(json!({ "item": self.catalog.find_item(id)?.object() }))
            }
            Operation::ListItemPrices(query) => {
                let rows = query.page(self.catalog.all());
                Ok(listed("item_price", rows, |row| row.object()))
            }
            Operation::RetrieveItemPrice(id) => {
                Ok(json!({ "item_price": self.catalog.find(id)?.object() }))
            }
            Operation::Configurations => Ok(json!({ "configurations": [{
                "domain": self.settings.site,
                "product_catalog_version": "v2",
                "chargebee_response_schema_type": "items",
                "object": "configuration",
            }] })),
            Operation::ListInvoices(query) => Ok(self.list_invoices(query)),
            Operation::RetrieveInvoice(id, lines) => {
                let place = self.invoices.place(id)?;
                Ok(json!({ "invoice": self.invoice(place, *lines)? }))
            }
            Operation::ChangeInvoice(id, act) => self.change_invoice(id, *act, now),
            Operation::IngestOne(sent) => self.ingest_one(sent, now),
            Operation::IngestSeveral(sent) => Ok(self.ingest_several(sent, now)),
            Operation::UsageSummary(id, asked) => self.summarize(id, asked, now),
            Operation::ListEvents(query) => {
                let rows = query.page(self.events.all());
                Ok(listed("event", rows, |row| row.object()))
            }
            Operation::RetrieveEvent(id) => Ok(json!({ "event": self.events.find(id)?.object() })),
        }
    }

    /// The subscription that a write is about, if there is one of that name.
    pub(super) fn subscription_of(&self, operation: &Operation) -> Option<String> {
        match operation {
            Operation::CreateUsage(new) => Some(new.subscription.clone()),
            Operation::DeleteUsage { subscription, .. } => Some(subscription.clone()),
            Operation::ChangeInvoice(id, _) => {
                let invoice = self.invoices.at(self.invoices.place(id).ok()?).ok()?;
                Some(self.subscriptions.at(invoice.subscription).ok()?.id.clone())
            }
            Operation::RetrieveUsage { .. }
            | Operation::ListUsages(_)
            | Operation::UsagePdf(_)
            | Operation::ListSubscriptions(_)
            | Operation::RetrieveSubscription(_)
            | Operation::ListItems(_)
            | Operation::RetrieveItem(_)
            | Operation::ListItemPrices(_)
            | Operation::RetrieveItemPrice(_)
            | Operation::Configurations
            | Operation::ListInvoices(_)
            | Operation::RetrieveInvoice(..)
            | Operation::IngestOne(_)
            | Operation::IngestSeveral(_)
            | Operation::UsageSummary(..)
            | Operation::ListEvents(_)
            | Operation::RetrieveEvent(_) => None,
        }
    }

    /// A subscription beside its customer, as it is answered and told of.
    pub(super) fn subscription(&self, subscription: &Subscription) -> Value {
        json!({
            "subscription": subscription.object(&self.catalog),
            "customer": self.customer(&subscription.customer),
        })
    }

    fn list_subscriptions(&self, query: &Query) -> Value {
        let rows = self.subscriptions.all().filter(|(_, it)| query.include_deleted || !it.deleted);
        let catalog = &self.catalog;
        let shown = |(place, subscription)| (place, subscriptions::Shown { subscription, catalog });
        let (rows, next) = query.page(rows.map(shown));
        let rows = rows.iter().map(|row| self.subscription(row.subscription)).collect();
        page(rows, next)
    }

    /// Records a usage. The checks are made in this order; Chargebee's own is unconfirmed, and only
    /// matters for a usage that breaks two rules.
    ///
    /// Any usage date is taken, and so is a subscription that is not active: what cannot be billed
    /// is stored all the same.
    pub(super) fn create_usage(
        &mut self,
        new: &NewUsage,
        source: Source,
        now: Timestamp,
    ) -> Result<UsageIndex, Refusal> {
        let subscription = self.subscriptions.place(&new.subscription)?;
        let place = self.catalog.place(&new.item_price);
        let unknown = || Refusal::not_found("Item price", &new.item_price).param("item_price_id");
        let price = place.ok_or_else(unknown)?;
        let is_metered = self.catalog.at(price).is_some_and(|it| it.new.metered);
        let found = self.subscriptions.at(subscription)?;
        if !is_metered || !found.ever_had(price) {
            let why =
                if is_metered { "was never part of the subscription" } else { "is not metered" };
            let message = format!("The item price {} {why}", new.item_price);
            return Err(Refusal::invalid(message).param("item_price_id"));
        }
        let quantity = quantity::parse(&new.quantity, self.settings.multi_decimal)
            .map_err(|why| Refusal::wrong_value("quantity", why))?;
        if let Some(id) = new.id.as_ref().filter(|id| self.usages.is_taken(id)) {
            return Err(Refusal::duplicate("id", format!("The usage {id} exists already")));
        }
        if found.usages.contains_key(&(new.usage_date, price)) {
            let message = "There is a usage of this item price at this second already";
            return Err(Refusal::duplicate("usage_date", message));
        }
        let most = self.settings.usages_max;
        if found.usages_ever >= most {
            return Err(Refusal::exhausted(format!("A subscription has at most {most} usages")));
        }
        let usage = Usage {
            id: new.id.clone().unwrap_or_else(|| self.usages.generate_id()),
            subscription,
            price,
            quantity,
            usage_date: new.usage_date,
            note: new.note.clone(),
            source,
            state: State::Stored,
            created: now,
            stamp: self.stamp(now),
        };
        let place = self.usages.add(usage);
        self.subscriptions.change(subscription, |it| {
            it.usages.insert((new.usage_date, price), place);
            it.usages_ever += 1;
        })?;
        Ok(place)
    }

    /// Deletes a usage, which is refused once it is invoiced. The code of that refusal is one of
    /// two candidates.
    pub(super) fn delete_usage(
        &mut self,
        subscription: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let subscription = self.subscriptions.place(subscription)?;
        let place = self.usages.find(subscription, id)?;
        let usage = self.usages.at(place)?.clone();
        if self.invoice_of(&usage).is_some() {
            return Err(Refusal::wrong_state(format!("The usage {id} is invoiced")));
        }
        let object = self.usage(place)?;
        let stamp = self.stamp(now);
        self.usages.set(place, State::Deleted { at: now }, stamp);
        self.subscriptions.change(subscription, |it| {
            it.usages.remove(&(usage.usage_date, usage.price));
        })?;
        Ok(object)
    }

    fn shown<'a>(&'a self, usage: &'a Usage) -> usages::Shown<'a> {
        let subscription = self.subscriptions.at(usage.subscription);
        usages::Shown {
            usage,
            subscription: subscription.map(|it| it.id.as_str()).unwrap_or_default(),
            item_price: self.catalog.id(usage.price),
            invoice: self.invoice_of(usage),
        }
    }

    fn usage(&self, place: UsageIndex) -> Result<Value, Refusal> {
        Ok(json!({ "usage": self.shown(self.usages.at(place)?).object() }))
    }

    fn list_usages(&self, query: &Query, now: Timestamp) -> Value {
        let lag = micros_of(self.settings.list_lag);
        // Most lists ask for one subscription, and naming the others' usages takes longer.
        let only: Option<Option<SubscriptionIndex>> =
            query.only("subscription_id").map(|id| self.subscriptions.place(id).ok());
        let rows = self.usages.all().filter(|(_, usage)| {
            only.is_none_or(|only| only == Some(usage.subscription)) && usage.is_listed(lag, now)
        });
        let rows = query.page(rows.map(|(place, usage)| (place, self.shown(usage))));
        listed("usage", rows, |row| row.object())
    }
}

/// The answer of a list whose rows are called `name`.
pub(super) fn listed<T: Listed>(
    name: &str,
    (rows, next): (Vec<T>, Option<String>),
    object: impl Fn(&T) -> Value,
) -> Value {
    page(rows.iter().map(|row| json!({ name: object(row) })).collect(), next)
}

/// The answer of a list. There is no `next_offset` on its last page.
fn page(rows: Vec<Value>, next: Option<String>) -> Value {
    let mut answer = Map::new();
    answer.insert("list".to_owned(), Value::Array(rows));
    if let Some(next) = next {
        answer.insert("next_offset".to_owned(), Value::from(next));
    }
    Value::Object(answer)
}
