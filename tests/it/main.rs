//! One test binary.

mod provider_stripe;
mod support;
