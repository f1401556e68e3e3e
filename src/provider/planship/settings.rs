//! What the operator set for a product at Planship, already validated. Never here: TOML. Read next:
//! `super::promises`.

use secrecy::SecretString;

use crate::domain::names::{ProviderMeter, ProviderName};
use crate::provider::counting::OnUnknown;

/// Where Planship is, without a slash at its end. (The default of both official SDKs: PyPI planship
/// 0.2.1, npm @planship/fetch 0.3.4.)
pub const API: &str = "https://api.planship.io";
/// Requests a second, when the operator set none. No limit is published, nor what the answer to too
/// many is: few enough for any service, and 400,000 a day.
pub const RATE_PER_SECOND: u32 = 5;
/// Most requests a second that can be set: nothing says that more would be taken.
pub const RATE_PER_SECOND_MAX: i64 = 100;
/// Requests at once, when the operator set none. Each customer has one at a time for a metering id;
/// nothing says how many an organization may have.
pub const CONCURRENCY: u32 = 4;

/// One product of an organization at Planship.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider instance's name, such as `planship.main`.
    pub name: ProviderName,
    /// The address of the API, without a slash at its end.
    pub api: String,
    /// The client that asks for tokens, which is of one organization.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The product, by its slug.
    pub product: String,
    /// The metering ids that usage is reported of.
    pub metering_ids: Vec<ProviderMeter>,
    /// What becomes of an event whose answer was lost.
    pub on_unknown: OnUnknown,
    /// Whether money moves. Planship knows no test organizations: the operator says so of one.
    pub livemode: bool,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}

impl Settings {
    /// Whether it is told at Planship itself.
    #[must_use]
    pub fn is_at_planship(&self) -> bool {
        is_own(&self.api)
    }
}

/// Whether an address is Planship's own.
#[must_use]
pub fn is_own(api: &str) -> bool {
    api == API
}
