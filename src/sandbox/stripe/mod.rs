//! The stand-in for Stripe. Here: what of its API concerns usage and the bills made of it, read
//! from Stripe's published rules. Never here: code of `provider`, or a float beyond the summaries'
//! own. Read next: `gate`.
//!
//! A request passes, in this order: authentication, the rate limiter, the idempotency key, its
//! parameters, the lane of its customer and meter; only then is it carried out. An accepted event
//! counts when its lag has passed and its customer and value turn out to be sound.
//!
//! Version 2 takes usage too: event by event, and many at once by a stream, which looks at them
//! only when their lag has passed. Usage also comes by files, past all of that.
//!
//! By itself, as its clock goes by, the account ends periods, drafts and finalizes invoices, and
//! reports what it rejected; all of that is announced. `settle` in [`perform`] keeps the order.

mod announcements;
mod auth;
mod billing;
mod billing_request;
mod bulk;
mod checks;
mod customers;
mod feed;
mod form;
mod gate;
mod invoices;
mod invoicing;
mod ledger;
mod meter;
mod operation;
mod outside;
mod perform;
mod prices;
mod refusal;
mod reports;
mod second;
mod sessions;
mod settings;
mod subscriptions;
mod summary;
mod tally;
mod value;
mod webhooks;

pub use bulk::FileReport;
pub use ledger::{BookLine, EventLine, EventStatus, RejectionCode};
pub use meter::{Formula, Meter, NewMeter, TimeWindow};
pub use settings::{
    Customers, INVOICE_GRACE_DEFAULT, INVOICE_GRACE_MAX, Keys, Limits, Settings,
    UNIQUENESS_WINDOW_DEFAULT,
};

pub use super::deliveries::{Carrier, WebhookCounts, WebhookDelivery, WebhookFaults};
pub use webhooks::{Payload, WebhookEndpoint, WebhookSettings};

pub(super) use gate::Stripe;
