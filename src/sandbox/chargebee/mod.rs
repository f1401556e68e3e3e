//! The stand-in for Chargebee. Here: what of its API concerns usage and the bills made of it, read
//! from Chargebee's published rules. Never here: code of `provider`, or a float.
//! Read next: `gate`.
//!
//! A site meters by usages, or by usage events, which its ingest host takes; both are here at one
//! address. A request passes, in this order: authentication, the rate limiters, the idempotency
//! key, its parameters, the lock of its subscription; only then is it carried out. Where
//! Chargebee's own behaviour is unconfirmed the code says so, and takes the side that finds a
//! client out.
//!
//! By itself, as its clock goes by, the site begins and ends terms, makes pending invoices and
//! closes them; all of that is told of. What a person does in the provider's own pages, the handle
//! and the control do here: tallyd never makes a subscription.

mod auth;
mod billing;
mod books;
mod catalog;
mod changes;
pub(super) mod control;
mod documents;
mod events;
mod form;
mod gate;
mod handle;
mod ingest;
mod invoices;
mod operation;
mod outside;
mod pdf;
mod quantity;
mod query;
mod refusal;
mod settings;
mod site;
mod statistics;
mod subscriptions;
mod usages;
mod webhooks;

pub use super::deliveries::{Carrier, WebhookCounts, WebhookDelivery, WebhookFaults};
pub use billing::Unbilled;
pub use books::{BookLine, Fate, UsageLine};
pub use catalog::{Aggregation, ItemType, NewItemPrice};
pub use changes::{CancelAt, Change};
pub use handle::ChargebeeHandle;
pub use ingest::{EventLine, NewFeature};
pub use settings::{
    DOWNLOADS_VALID_DEFAULT, Keys, Limits, PENDING_DEFAULT, PENDING_MAX, Settings,
    USAGES_MAX_DEFAULT,
};
pub use statistics::Statistics;
pub use subscriptions::NewSubscription;
pub use webhooks::{WebhookEndpoint, WebhookSettings};

pub(super) use gate::Chargebee;
