//! What the account announces. Here: events in both forms, kept as long as Stripe keeps them. Never
//! here: how they reach anybody, over the API ([`super::feed`]) or by [`super::webhooks`].
//! Read next: [`super::reports`].
//!
//! A snapshot shows the object as it was; a thin event only names it, and its data is fetched.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::gate::VERSION_DEFAULT;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

/// How long an event can be read, in microseconds: Stripe's 30 days.
const KEPT_MICROS: i64 = 30 * MICROS_PER_DAY;
/// Events that are kept at once, the newest. Far more than 30 days of any test bring; it bounds the
/// memory of a sandbox whose clock stands still.
const KEPT_MAX: usize = 1_000_000;

/// What a snapshot tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SubscriptionCreated,
    SubscriptionUpdated,
    SubscriptionDeleted,
    SubscriptionPaused,
    SubscriptionResumed,
    CustomerDeleted,
    InvoiceCreated,
    InvoiceFinalized,
    MeterUpdated,
    MeterDeactivated,
    MeterReactivated,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::SubscriptionCreated => "customer.subscription.created",
            Self::SubscriptionUpdated => "customer.subscription.updated",
            Self::SubscriptionDeleted => "customer.subscription.deleted",
            Self::SubscriptionPaused => "customer.subscription.paused",
            Self::SubscriptionResumed => "customer.subscription.resumed",
            Self::CustomerDeleted => "customer.deleted",
            Self::InvoiceCreated => "invoice.created",
            Self::InvoiceFinalized => "invoice.finalized",
            Self::MeterUpdated => "billing.meter.updated",
            Self::MeterDeactivated => "billing.meter.deactivated",
            Self::MeterReactivated => "billing.meter.reactivated",
        }
    }
}

/// The two forms of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Snapshot,
    Thin,
}

#[derive(Clone, Debug)]
enum Body {
    Snapshot {
        object: Value,
        previous: Option<Value>,
    },
    /// `meter` is the id of the meter it is about, if it is about one.
    Thin {
        meter: Option<String>,
        data: Value,
    },
}

/// Something that the account announced.
#[derive(Clone, Debug)]
pub(super) struct Announcement {
    pub(super) id: String,
    pub(super) name: &'static str,
    pub(super) created: Timestamp,
    body: Body,
}

impl Announcement {
    pub(super) const fn form(&self) -> Form {
        match &self.body {
            Body::Snapshot { .. } => Form::Snapshot,
            Body::Thin { .. } => Form::Thin,
        }
    }

    /// Whether it is about the object of this id.
    pub(super) fn is_about(&self, id: &str) -> bool {
        match &self.body {
            Body::Snapshot { object, .. } => object["id"] == id,
            Body::Thin { meter, .. } => meter.as_deref() == Some(id),
        }
    }

    /// The event as it is sent: a snapshot whole, a thin one without its data.
    pub(super) fn object(&self) -> Value {
        match &self.body {
            Body::Snapshot { object, previous } => {
                let mut data = Map::new();
                data.insert("object".to_owned(), object.clone());
                if let Some(previous) = previous {
                    data.insert("previous_attributes".to_owned(), previous.clone());
                }
                json!({
                    "id": self.id,
                    "object": "event",
                    "api_version": VERSION_DEFAULT,
                    "created": self.created.seconds(),
                    "data": data,
                    "livemode": false,
                    "pending_webhooks": 0,
                    "request": { "id": null, "idempotency_key": null },
                    "type": self.name,
                })
            }
            Body::Thin { meter, .. } => self.thin(meter.as_deref(), None),
        }
    }

    /// The event as it is fetched: with its data.
    pub(super) fn whole(&self) -> Value {
        match &self.body {
            Body::Snapshot { .. } => self.object(),
            Body::Thin { meter, data } => self.thin(meter.as_deref(), Some(data)),
        }
    }

    fn thin(&self, meter: Option<&str>, data: Option<&Value>) -> Value {
        let mut object = json!({
            "id": self.id,
            "object": "v2.core.event",
            "context": null,
            "created": self.created.to_rfc3339(),
            "livemode": false,
            "type": self.name,
        });
        if let Some(fields) = object.as_object_mut() {
            if let Some(id) = meter {
                let url = format!("/v1/billing/meters/{id}");
                let related = json!({ "id": id, "type": "billing.meter", "url": url });
                fields.insert("related_object".to_owned(), related);
            }
            if let Some(data) = data {
                fields.insert("data".to_owned(), data.clone());
            }
        }
        object
    }
}

/// What was announced, oldest first.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    kept: VecDeque<Announcement>,
    made: u64,
}

impl Announcements {
    /// Announces a change. `before` is the object as it was, when the change is an update.
    pub(super) fn snapshot(
        &mut self,
        kind: Kind,
        object: Value,
        before: Option<&Value>,
        at: Timestamp,
    ) {
        let previous = before.map(|before| difference(before, &object));
        self.add(kind.name(), Body::Snapshot { object, previous }, at);
    }

    pub(super) fn thin(
        &mut self,
        name: &'static str,
        meter: Option<String>,
        data: Value,
        at: Timestamp,
    ) {
        self.add(name, Body::Thin { meter, data }, at);
    }

    fn add(&mut self, name: &'static str, body: Body, created: Timestamp) {
        self.made += 1;
        let id = format!("evt_sandbox{:012}", self.made);
        self.kept.push_back(Announcement { id, name, created, body });
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// What was announced last.
    pub(super) fn newest(&self) -> Option<&Announcement> {
        self.kept.back()
    }

    /// Forgets what is too old to be read.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.kept.front() {
            if now.micros_since(oldest.created) < KEPT_MICROS {
                break;
            }
            self.kept.pop_front();
        }
    }

    pub(super) fn newest_first(&self, form: Form) -> impl Iterator<Item = &Announcement> {
        self.kept.iter().rev().filter(move |found| found.form() == form)
    }

    pub(super) fn find(&self, form: Form, id: &str) -> Option<&Announcement> {
        self.kept.iter().find(|found| found.id == id && found.form() == form)
    }
}

/// The fields of `before` that are not so any more.
fn difference(before: &Value, after: &Value) -> Value {
    let fields = before.as_object().into_iter().flatten();
    let changed = fields.filter(|(name, value)| after.get(name.as_str()) != Some(*value));
    Value::Object(changed.map(|(name, value)| (name.clone(), value.clone())).collect())
}
