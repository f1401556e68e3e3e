//! The sandbox against the rules it stands in for. Here: one file a rule book. Never here: tallyd's
//! own provider code. Read next: [`events`].

mod adjustments;
mod announcements;
mod control;
mod customers;
mod events;
mod faults;
mod idempotency;
mod invoices;
mod limits;
mod meters;
mod model;
mod referee;
mod second;
mod subscriptions;
mod summaries;
mod surroundings;
mod webhooks;
