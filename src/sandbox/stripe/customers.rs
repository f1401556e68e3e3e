//! Customers. Here: who exists, who was deleted, and how a customer looks. Never here: what a
//! customer owes. Read next: [`super::subscriptions`].

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::settings::Customers;
use super::summary::Row;
use crate::domain::time::Timestamp;

/// Customers that may be created in one account. Stripe publishes no figure; they are kept in
/// memory, so there is one here.
const CUSTOMERS_MAX: usize = 1_000_000;

/// How a customer came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Over the API.
    Created,
    /// By being named, while the settings let any id be a customer.
    Named,
}

/// What a request says about a customer.
#[derive(Clone, Debug, Default)]
pub(super) struct CustomerParts {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Customer {
    id: String,
    created: i64,
    origin: Origin,
    parts: CustomerParts,
    is_deleted: bool,
}

impl Customer {
    fn object(&self) -> Value {
        if self.is_deleted {
            return json!({ "id": self.id, "object": "customer", "deleted": true });
        }
        json!({
            "id": self.id,
            "object": "customer",
            "created": self.created,
            "email": self.parts.email,
            "livemode": false,
            "metadata": self.parts.metadata,
            "name": self.parts.name,
        })
    }
}

/// Who exists, by what was created and by what the settings let exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) directory: &'a Directory,
    pub(super) mode: &'a Customers,
}

impl Known<'_> {
    pub(super) fn know(&self, id: &str) -> bool {
        self.directory.knows(self.mode, id)
    }
}

/// The customers of one account, oldest first.
#[derive(Debug, Default)]
pub(super) struct Directory {
    all: Vec<Customer>,
    by_id: HashMap<String, usize>,
}

impl Directory {
    /// Whether the customer exists and was not deleted.
    pub(super) fn knows(&self, mode: &Customers, id: &str) -> bool {
        match self.entry(id) {
            Some(Customer { is_deleted: true, .. }) => false,
            Some(Customer { origin: Origin::Created, .. }) => true,
            Some(Customer { origin: Origin::Named, .. }) | None => mode.know(id),
        }
    }

    fn entry(&self, id: &str) -> Option<&Customer> {
        self.by_id.get(id).and_then(|place| self.all.get(*place))
    }

    fn enter(&mut self, id: String, origin: Origin, parts: CustomerParts, now: Timestamp) -> usize {
        let place = self.all.len();
        self.by_id.insert(id.clone(), place);
        let created = now.seconds();
        self.all.push(Customer { id, created, origin, parts, is_deleted: false });
        place
    }

    /// Enters a customer that exists by being named; without effect for any other id.
    pub(super) fn name(&mut self, mode: &Customers, id: &str, now: Timestamp) {
        if self.entry(id).is_none() && mode.know(id) {
            self.enter(id.to_owned(), Origin::Named, CustomerParts::default(), now);
        }
    }

    pub(super) fn create(
        &mut self,
        parts: CustomerParts,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        if self.all.len() >= CUSTOMERS_MAX {
            let message = format!("An account has at most {CUSTOMERS_MAX} customers");
            return Err(Refusal::invalid(message));
        }
        let id = format!("cus_sandbox{:08}", self.all.len());
        let place = self.enter(id, Origin::Created, parts, now);
        Ok(self.all.get(place).ok_or_else(Refusal::internal)?.object())
    }

    /// The place of a customer that exists, or existed, by the id in a path.
    fn find(&mut self, mode: &Customers, id: &str, now: Timestamp) -> Result<usize, Refusal> {
        self.name(mode, id, now);
        let place = self.by_id.get(id).copied();
        let is_visible = self.knows(mode, id) || self.entry(id).is_some_and(|it| it.is_deleted);
        place.filter(|_| is_visible).ok_or_else(|| Refusal::no_object("customer", id))
    }

    /// A deleted customer stays retrievable, and says that it was deleted.
    pub(super) fn retrieve(
        &mut self,
        mode: &Customers,
        id: &str,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let place = self.find(mode, id, now)?;
        Ok(self.all.get(place).ok_or_else(Refusal::internal)?.object())
    }

    fn find_live(
        &mut self,
        mode: &Customers,
        id: &str,
        now: Timestamp,
    ) -> Result<&mut Customer, Refusal> {
        let place = self.find(mode, id, now)?;
        let found = self.all.get_mut(place).filter(|customer| !customer.is_deleted);
        found.ok_or_else(|| Refusal::no_object("customer", id))
    }

    pub(super) fn update(
        &mut self,
        mode: &Customers,
        id: &str,
        parts: &CustomerParts,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let customer = self.find_live(mode, id, now)?;
        if parts.name.is_some() {
            customer.parts.name.clone_from(&parts.name);
        }
        if parts.email.is_some() {
            customer.parts.email.clone_from(&parts.email);
        }
        customer.parts.metadata.extend(parts.metadata.clone());
        Ok(customer.object())
    }

    /// Deletes a customer for good; gives back how it looked before.
    pub(super) fn delete(
        &mut self,
        mode: &Customers,
        id: &str,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let customer = self.find_live(mode, id, now)?;
        let before = customer.object();
        customer.is_deleted = true;
        Ok(before)
    }

    /// Those who exist, newest first.
    pub(super) fn rows(&self, mode: &Customers) -> Vec<Row> {
        let alive = self.all.iter().rev().filter(|customer| self.knows(mode, &customer.id));
        alive.map(|customer| Row { id: customer.id.clone(), object: customer.object() }).collect()
    }
}
