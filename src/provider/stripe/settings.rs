//! What the operator set for a Stripe account, already validated. Never here: TOML. Read next:
//! `super::encode`.

use secrecy::SecretString;

use crate::domain::names::ProviderName;
use crate::domain::provider_facts::MeterPin;

/// Where Stripe's API is.
pub const API: &str = "https://api.stripe.com";

/// One Stripe account.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider instance's name, such as `stripe.main`.
    pub name: ProviderName,
    /// The API's base address, without a slash at its end. Anything but [`API`] is refused with a live
    /// key, unless it is a loopback address.
    pub api: String,
    /// The secret or restricted key.
    pub key: SecretString,
    /// The account the key has to belong to, where the operator said so.
    pub account: Option<String>,
    /// Meters declared because the key may not list them.
    pub meters: Vec<MeterPin>,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}
