//! One test binary.

/// The journey of usage, stepped by hand: ledger, accrual, posting, delivery, sandbox.
mod journey;
/// The config file: its example, every problem it can have, and what is never shown.
mod config;
/// The real binary, typed at.
mod cli;
mod import;
mod intake_http;
mod provider_stripe;
mod sandbox;
mod support;
