//! What the operator set for an account at Cryptolens, already validated. Never here: TOML. Read
//! next: `super::promises`.

use secrecy::SecretString;

use crate::domain::names::{ProviderMeter, ProviderName};
use crate::provider::counting::OnUnknown;

/// Where Cryptolens is, without a slash at its end.
/// <https://app.cryptolens.io/docs/api/v3/RecordUsage>
pub const API: &str = "https://api.cryptolens.io";
/// Where it was before, and still answers by its own documentation's older pages.
pub const API_OF_BEFORE: &str = "https://app.cryptolens.io";
/// Requests a second, when the operator set none. No limit is published: this is a twentieth of
/// what Stripe took of usage records in a second, which every request here becomes.
pub const RATE_PER_SECOND: u32 = 5;
/// Most requests a second that can be set: what Stripe took of usage records.
/// <https://docs.stripe.com/billing/subscriptions/usage-based-legacy/recording-usage>
pub const RATE_PER_SECOND_MAX: i64 = 100;
/// Requests at once, when the operator set none. Each key has one at a time; nothing says how many
/// an account may have.
pub const CONCURRENCY: u32 = 4;

/// One account at Cryptolens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider instance's name, such as `cryptolens.main`.
    pub name: ProviderName,
    /// The address of the API, without a slash at its end.
    pub api: String,
    /// The access token, which may record usage.
    pub token: SecretString,
    /// The products that usage is told for, by their numbers.
    pub products: Vec<ProviderMeter>,
    /// What becomes of an event whose answer was lost.
    pub on_unknown: OnUnknown,
    /// Whether money moves. Cryptolens knows no test accounts: the operator says so of one whose
    /// Stripe is in test mode.
    pub livemode: bool,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}

impl Settings {
    /// Whether it is told at Cryptolens itself.
    #[must_use]
    pub fn is_at_cryptolens(&self) -> bool {
        is_own(&self.api)
    }
}

/// Whether an address is Cryptolens' own.
#[must_use]
pub fn is_own(api: &str) -> bool {
    api == API || api == API_OF_BEFORE
}
