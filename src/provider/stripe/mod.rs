//! Stripe's room. Here: capabilities and assembly. Never here: when to send. Read next: [`settings`],
//! `encode`, `classify`, `client`.

pub mod settings;
