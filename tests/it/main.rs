//! One test binary.

mod provider_stripe;
mod sandbox;
mod support;
