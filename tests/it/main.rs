//! One test binary.

mod provider_stripe;
mod sandbox;
mod support;
/// The config file: its example, every problem it can have, and what is never shown.
mod config;
