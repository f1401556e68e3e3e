//! What the operator set for a Chargebee site, already validated. Never here: TOML. Read next:
//! `super::promises`.

use secrecy::SecretString;

use crate::domain::fold::Fold;
use crate::domain::names::{ProviderMeter, ProviderName};

/// What the address of a site ends with.
pub const HOST_SUFFIX: &str = ".chargebee.com";
/// The path of the API.
pub const API_PATH: &str = "/api/v2";
/// What the name of a test site ends with: its hosts are `{site}-test.chargebee.com`.
const TEST_SITE_SUFFIX: &str = "-test";

/// Requests a minute, when the operator set none. Every test site, and a live one of the smallest
/// plan, serves 150 in any minute; a third is left to its other users, to readings and to people.
/// One that asks for more is blocked, with everybody else who uses it.
pub const RATE_PER_MINUTE: u32 = 100;
/// Readings in any 30 days, when the operator set none: ten a minute on average, a tenth of the
/// rate. Two thousand subscriptions take a third of it: two looks a day at what was told to each,
/// and eight readings when its term ends.
pub const READS_PER_MONTH: u32 = 400_000;
/// Seconds for which nothing is sent after a 429 that names no time: the limiter looks back over a
/// minute, and a site that is asked meanwhile is flagged.
pub const LIMITED_PAUSE_SECONDS: u32 = 60;
/// Requests in flight at once, when the operator set none. Chargebee counts concurrent requests
/// too, and says no number any more; the last that it gave was fifty writes.
pub const CONCURRENCY: u32 = 10;
/// Digits after the point of a usage's quantity, when the operator set none: those of a site
/// without "multi-decimal support".
pub const DECIMALS: u32 = 2;
/// Usages that a subscription takes in its life, when the operator set none: the number that was
/// published ("What is the maximum number of usages that can be recorded for a subscription?" of
/// Chargebee's knowledge base) until its API's documentation said "ask support". Whether deleted
/// ones count is not said; they do here.
pub const USAGES_MAX: u32 = 5_000;
/// Hours after its date when a pending invoice is closed, when the operator set none: little enough
/// to be safe where the site waits longer. It is the site's own setting, for a subscription too.
/// <https://www.chargebee.com/docs/billing/2.0/kb/ubb/configuring-metered-billing-pc-20>
pub const INVOICES_CLOSE_AFTER_HOURS: u32 = 1;
/// The longest such wait that a site can be set to, in hours: 50 days (the same page).
pub const INVOICES_CLOSE_AFTER_HOURS_MAX: i64 = 50 * 24;
/// The user name of webhooks, when the operator set none.
pub const WEBHOOK_USER: &str = "tallyd";
/// Shortest password of webhooks, in bytes: what nobody guesses who may try all day.
pub const WEBHOOK_PASSWORD_BYTES_MIN: usize = 16;
/// Longest id of an item price, in characters.
pub const ITEM_PRICE_CHARS_MAX: usize = 100;

/// What an endpoint's webhooks carry as Basic authentication.
#[derive(Clone, Debug)]
pub struct Password {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// A metered item price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPrice {
    /// Its id.
    pub id: ProviderMeter,
    /// How the usages of a term come to what is billed of it: by the site's aggregation, or the
    /// price's own.
    pub aggregation: Fold,
}

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
    /// The metered item prices that usage is told for.
    pub item_prices: Vec<ItemPrice>,
    /// Most digits after the point that the site takes.
    pub decimals: u32,
    /// Most usages that a subscription takes in its life.
    pub usages_max: u32,
    /// Hours after a pending invoice's date when the site closes it by itself. No answer tells it.
    pub invoices_close_after_hours: u32,
    /// What webhooks have to carry; nothing while none is taken.
    pub webhooks: Option<Password>,
    /// Requests a minute that readings keep to, together with what is told.
    pub rate_per_minute: u32,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}

impl Settings {
    /// Whether the site moves money.
    #[must_use]
    pub fn livemode(&self) -> bool {
        is_live(&self.site)
    }

    /// Whether it is told at the site's own address, and not at a stand-in.
    #[must_use]
    pub fn is_at_chargebee(&self) -> bool {
        self.api == api_of(&self.site)
    }
}

/// Whether a site moves money.
#[must_use]
pub fn is_live(site: &str) -> bool {
    !site.ends_with(TEST_SITE_SUFFIX)
}

/// The API of a site, at Chargebee itself. The region is not in it.
/// <https://apidocs.chargebee.com/docs/api/auth>
#[must_use]
pub fn api_of(site: &str) -> String {
    format!("https://{site}{HOST_SUFFIX}{API_PATH}")
}
