//! What the stand-in for Chargebee is to be. Here: typed settings and their defaults. Never here:
//! TOML, flags, a rule. Read next: [`super::gate`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::catalog::NewItemPrice;
use super::webhooks::WebhookSettings;
use crate::sandbox::faults::Faults;

/// Usages that a subscription may ever have by default. Chargebee raises it on request, and no
/// longer prints the number.
pub const USAGES_MAX_DEFAULT: u32 = 5_000;

/// How long an invoice stays pending by default: usage that comes late is still on it.
pub const PENDING_DEFAULT: Duration = Duration::from_secs(2 * 60 * 60);

/// How long a file that was made can be downloaded by default.
pub const DOWNLOADS_VALID_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// The longest an invoice can stay pending: Chargebee's own limit of 50 days.
pub const PENDING_MAX: Duration = Duration::from_secs(50 * 24 * 60 * 60);

/// Requests a minute of a test site, and of a live one in the smallest plan.
const PER_MINUTE_DEFAULT: u32 = 150;

/// Usage events a minute: Chargebee's own limit.
const EVENTS_PER_MINUTE_DEFAULT: u32 = 10_000;

/// Requests at once. Older documents say 50 reads and 100 writes, newer ones name no number; this
/// is the strict side.
const CONCURRENT_DEFAULT: u32 = 10;

/// Says what is wrong with the time that an invoice stays pending, if anything is.
pub(super) fn check_pending(pending: Duration) -> Result<(), String> {
    if pending <= PENDING_MAX {
        return Ok(());
    }
    let (asked, most) = (pending.as_secs(), PENDING_MAX.as_secs());
    Err(format!("invoices are to stay pending for {asked} s, and the most is {most} s"))
}

/// The settings of the stand-in for Chargebee.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site's name, as its configuration tells it. Default: `tallyd-test`.
    pub site: String,
    /// Which API keys are accepted. Default: every test key.
    pub keys: Keys,
    /// The rate limits. Default: those of a test site.
    pub limits: Limits,
    /// Usage events that the ingest host takes in any one minute of the sandbox's clock; nothing
    /// for no limit. Default: Chargebee's own 10,000.
    pub events_per_minute: Option<u32>,
    /// How long a write takes, in real time. Its subscription stays locked meanwhile, which is what
    /// finds out a client that sends two at a time. Default: none.
    pub latency: Duration,
    /// How long lists lag behind what was created or deleted. Default: none.
    pub list_lag: Duration,
    /// Whether the site may use the Usages API at all. Default: yes.
    pub usages_enabled: bool,
    /// Whether quantities may have more than two decimals. Default: yes.
    pub multi_decimal: bool,
    /// Usages that a subscription may ever have. Default: [`USAGES_MAX_DEFAULT`].
    pub usages_max: u32,
    /// How long an invoice stays pending after its term, at most [`PENDING_MAX`]. Default:
    /// [`PENDING_DEFAULT`].
    pub pending: Duration,
    /// Whether usages bear the invoice's id, and cannot be deleted, while it is still pending.
    /// Which of both Chargebee does is unconfirmed. Default: no, only once it is closed.
    pub pending_is_invoiced: bool,
    /// Whether an invoice gets another id when it is closed. Whether Chargebee's does is
    /// unconfirmed. Default: no.
    pub renames_invoices: bool,
    /// How long a file that was made can be downloaded. Chargebee publishes no figure. Default:
    /// [`DOWNLOADS_VALID_DEFAULT`].
    pub downloads_valid: Duration,
    /// Item prices that exist from the start. Default: none.
    pub item_prices: Vec<NewItemPrice>,
    /// Where events are delivered. Default: nowhere.
    pub webhooks: WebhookSettings,
    /// What goes wrong. Default: nothing.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            site: "tallyd-test".to_owned(),
            keys: Keys::AnyTest,
            limits: Limits::SITE,
            events_per_minute: Some(EVENTS_PER_MINUTE_DEFAULT),
            latency: Duration::ZERO,
            list_lag: Duration::ZERO,
            usages_enabled: true,
            multi_decimal: true,
            usages_max: USAGES_MAX_DEFAULT,
            pending: PENDING_DEFAULT,
            pending_is_invoiced: false,
            renames_invoices: false,
            downloads_valid: DOWNLOADS_VALID_DEFAULT,
            item_prices: Vec::new(),
            webhooks: WebhookSettings::default(),
            faults: Faults::default(),
        }
    }
}

/// Which API keys are accepted. A live key never is: it has no business here, and whoever sent one
/// has a real site in their configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every `test_…`.
    AnyTest,
    /// These, as far as they are test keys.
    Only(BTreeSet<String>),
}

/// How much a site answers. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any one minute of the sandbox's clock.
    pub per_minute: Option<u32>,
    /// Requests at once.
    pub concurrent: Option<u32>,
}

impl Limits {
    /// A test site.
    pub const SITE: Self =
        Self { per_minute: Some(PER_MINUTE_DEFAULT), concurrent: Some(CONCURRENT_DEFAULT) };
    /// No limits.
    pub const NONE: Self = Self { per_minute: None, concurrent: None };
}
