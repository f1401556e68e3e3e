//! The stand-in for Stripe. Here: the billing-meter part of API v1, read from Stripe's published
//! rules. Never here: code of `provider`, or a float beyond the summaries' own. Read next: `gate`.
//!
//! A request passes, in this order: authentication, the rate limiter, the idempotency key, its
//! parameters, the lane of its customer and meter; only then is it carried out. An accepted event
//! counts when its lag has passed and its customer and value turn out to be sound.

mod auth;
mod billing;
mod billing_request;
mod calendar;
mod customers;
mod form;
mod gate;
mod invoices;
mod invoicing;
mod ledger;
mod limiter;
mod meter;
mod operation;
mod outside;
mod perform;
mod pins;
mod prices;
mod refusal;
mod settings;
mod subscriptions;
mod summary;
mod tally;
mod value;

pub use ledger::{BookLine, EventLine, EventStatus, RejectionCode};
pub use meter::{Formula, Meter, NewMeter, TimeWindow};
pub use settings::{
    Customers, INVOICE_GRACE_DEFAULT, INVOICE_GRACE_MAX, Keys, Limits, Settings,
    UNIQUENESS_WINDOW_DEFAULT,
};

pub(super) use gate::{Admission, Admitted, Pace, Stripe, too_large};
