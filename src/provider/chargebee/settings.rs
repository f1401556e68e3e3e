//! What the operator set for a Chargebee site, already validated. Never here: TOML. Read next:
//! `super::promises`.

use secrecy::SecretString;

use crate::domain::names::{ProviderMeter, ProviderName};

/// What the address of a site ends with.
pub const HOST_SUFFIX: &str = ".chargebee.com";
/// The path of the API.
pub const API_PATH: &str = "/api/v2";
/// What the name of a test site ends with: its hosts are `{site}-test.chargebee.com`.
pub const TEST_SITE_SUFFIX: &str = "-test";

/// Requests a minute, when the operator set none. Every test site, and a live one of the smallest
/// plan, serves 150 in any minute; a third is left to its other users, to readings and to people.
/// One that asks for more is blocked, with everybody else who uses it.
pub const RATE_PER_MINUTE: u32 = 100;
/// Seconds for which nothing is sent after a 429 that names no time: the limiter looks back over a
/// minute, and a site that is asked meanwhile is flagged.
pub const LIMITED_PAUSE_SECONDS: u32 = 60;
/// Requests in flight at once, when the operator set none. Chargebee counts concurrent requests
/// too, and says no number any more; the last that it gave was fifty writes.
pub const CONCURRENCY: u32 = 10;
/// Digits after the point of a usage's quantity, when the operator set none: those of a site
/// without "multi-decimal support".
pub const DECIMALS: u32 = 2;
/// Longest id of an item price, in characters.
pub const ITEM_PRICE_CHARS_MAX: usize = 100;

/// One Chargebee site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider instance's name, such as `chargebee.main`.
    pub name: ProviderName,
    /// The site's name, such as `acme` or `acme-test`.
    pub site: String,
    /// The API's base address, without a slash at its end; a live site's is its own.
    pub api: String,
    /// The API key, with full access.
    pub key: SecretString,
    /// The metered item prices that usage is told for. Their usages add up: the site's, or the
    /// price's own, aggregation is "sum".
    pub item_prices: Vec<ProviderMeter>,
    /// Most digits after the point that the site takes.
    pub decimals: u32,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}

impl Settings {
    /// Whether the site moves money.
    #[must_use]
    pub fn livemode(&self) -> bool {
        !self.site.ends_with(TEST_SITE_SUFFIX)
    }
}

/// The API of a site, at Chargebee itself. The region is not in it.
/// <https://apidocs.chargebee.com/docs/api/auth>
#[must_use]
pub fn api_of(site: &str) -> String {
    format!("https://{site}{HOST_SUFFIX}{API_PATH}")
}
