//! What the site tells of itself. Here: events, as they are read and delivered. Never here: when
//! one is due, or how it reaches anybody. Read next: [`super::webhooks`].
//!
//! A usage is never told of: whoever wants to know of usages must list them.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::query::{Field, Listed};
use super::refusal::Refusal;
use crate::domain::time::Timestamp;

/// Events that are kept at once, the newest. Chargebee names no time after which it forgets one;
/// this bounds the memory of a sandbox that runs for long.
const KEPT_MAX: usize = 1_000_000;

/// Who writes over the API, as its events name them.
const API_USER: &str = "full_access_key";

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventType {
    CustomerCreated,
    SubscriptionCreated,
    SubscriptionStarted,
    SubscriptionActivated,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionCancellationScheduled,
    SubscriptionScheduledCancellationRemoved,
    SubscriptionCancelled,
    SubscriptionReactivated,
    SubscriptionPaused,
    SubscriptionResumed,
    SubscriptionDeleted,
    PendingInvoiceCreated,
    InvoiceGenerated,
    /// Also what tells of a void: the invoice's status says so.
    InvoiceUpdated,
    InvoiceDeleted,
    ItemCreated,
    ItemPriceCreated,
}

impl EventType {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CustomerCreated => "customer_created",
            Self::SubscriptionCreated => "subscription_created",
            Self::SubscriptionStarted => "subscription_started",
            Self::SubscriptionActivated => "subscription_activated",
            Self::SubscriptionChanged => "subscription_changed",
            Self::SubscriptionRenewed => "subscription_renewed",
            Self::SubscriptionCancellationScheduled => "subscription_cancellation_scheduled",
            Self::SubscriptionScheduledCancellationRemoved => {
                "subscription_scheduled_cancellation_removed"
            }
            Self::SubscriptionCancelled => "subscription_cancelled",
            Self::SubscriptionReactivated => "subscription_reactivated",
            Self::SubscriptionPaused => "subscription_paused",
            Self::SubscriptionResumed => "subscription_resumed",
            Self::SubscriptionDeleted => "subscription_deleted",
            Self::PendingInvoiceCreated => "pending_invoice_created",
            Self::InvoiceGenerated => "invoice_generated",
            Self::InvoiceUpdated => "invoice_updated",
            Self::InvoiceDeleted => "invoice_deleted",
            Self::ItemCreated => "item_created",
            Self::ItemPriceCreated => "item_price_created",
        }
    }
}

/// What made something happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A person in the provider's own pages, for whom the control stands.
    AdminConsole,
    Api,
    /// Time.
    ScheduledJob,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::AdminConsole => "admin_console",
            Self::Api => "api",
            Self::ScheduledJob => "scheduled_job",
        }
    }
}

/// How an event's delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WebhookStatus {
    NotConfigured,
    Scheduled,
    Succeeded,
    ReScheduled,
    Failed,
}

impl WebhookStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Scheduled => "scheduled",
            Self::Succeeded => "succeeded",
            Self::ReScheduled => "re_scheduled",
            Self::Failed => "failed",
        }
    }
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: EventType,
    pub(super) occurred: Timestamp,
    place: u64,
    cause: Cause,
    content: Value,
    webhook_status: WebhookStatus,
}

impl Event {
    pub(super) fn object(&self) -> Value {
        self.object_as(self.webhook_status)
    }

    /// The event as it looks while its delivery stands so.
    pub(super) fn object_as(&self, status: WebhookStatus) -> Value {
        let mut object = json!({
            "id": self.id,
            "occurred_at": self.occurred.seconds(),
            "source": self.cause.name(),
            "object": "event",
            "api_version": "v2",
            "content": self.content,
            "event_type": self.kind.name(),
            "webhook_status": status.name(),
        });
        if self.cause == Cause::Api {
            object["user"] = Value::from(API_USER);
        }
        object
    }
}

impl Listed for &Event {
    fn field<'a>(&'a self, name: &str) -> Field<'a> {
        match name {
            "id" => Field::Text(&self.id),
            "event_type" => Field::Text(self.kind.name()),
            "source" => Field::Text(self.cause.name()),
            "webhook_status" => Field::Text(self.webhook_status.name()),
            "occurred_at" => Field::Time(self.occurred.seconds()),
            _ => Field::Absent,
        }
    }
}

/// What was told, oldest first.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: VecDeque<Event>,
    by_id: HashMap<String, u64>,
    made: u64,
}

impl Events {
    /// Makes an event; `offer` takes it to the endpoints and says how its delivery stands.
    pub(super) fn add(
        &mut self,
        kind: EventType,
        cause: Cause,
        content: Value,
        occurred: Timestamp,
        offer: impl FnOnce(&Event) -> WebhookStatus,
    ) {
        self.made += 1;
        let (id, webhook_status) =
            (format!("ev_sandbox{:012}", self.made), WebhookStatus::NotConfigured);
        let place = self.made;
        let mut event = Event { id, kind, occurred, place, cause, content, webhook_status };
        event.webhook_status = offer(&event);
        self.by_id.insert(event.id.clone(), place);
        self.kept.push_back(event);
        if self.kept.len() > KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.by_id.remove(&oldest.id);
        }
    }

    fn index(&self, id: &str) -> Option<usize> {
        let first = self.kept.front()?.place;
        usize::try_from(self.by_id.get(id)?.checked_sub(first)?).ok()
    }

    pub(super) fn set_webhook_status(&mut self, id: &str, status: WebhookStatus) {
        if let Some(event) = self.index(id).and_then(|index| self.kept.get_mut(index)) {
            event.webhook_status = status;
        }
    }

    pub(super) fn find(&self, id: &str) -> Result<&Event, Refusal> {
        let found = self.index(id).and_then(|index| self.kept.get(index));
        found.ok_or_else(|| Refusal::not_found("Event", id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Event)> {
        self.kept.iter().map(|event| (event.place, event))
    }
}
