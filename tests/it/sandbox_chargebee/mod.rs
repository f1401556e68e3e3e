//! The stand-in for Chargebee against the rules it stands in for. Here: one file a rule book. Never
//! here: tallyd's own provider code. Read next: [`usages`].

mod control;
mod documents;
mod door;
mod events;
mod faults;
mod idempotency;
mod ingest;
mod invoices;
mod lists;
mod referee;
mod subscriptions;
mod usages;
mod webhooks;
