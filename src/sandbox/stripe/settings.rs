//! What the stand-in for Stripe is to be. Here: typed settings and their defaults. Never here:
//! TOML, flags, a rule. Read next: [`super::gate`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::meter::NewMeter;
use super::webhooks::WebhookSettings;
use crate::sandbox::faults::Faults;

/// How long an identifier stays taken by default: Stripe promises at least 24 hours and no more,
/// so a client that leans on more is found out.
pub const UNIQUENESS_WINDOW_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an invoice stays a draft by default: usage that was reported late is still on it.
pub const INVOICE_GRACE_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// The longest an invoice can stay a draft.
pub const INVOICE_GRACE_MAX: Duration = Duration::from_secs(72 * 60 * 60);

/// Says what is wrong with a grace, if anything is.
pub(super) fn check_grace(grace: Duration) -> Result<(), String> {
    if grace <= INVOICE_GRACE_MAX {
        return Ok(());
    }
    let (asked, most) = (grace.as_secs(), INVOICE_GRACE_MAX.as_secs());
    Err(format!("the grace of invoices is {asked} s, and the most is {most} s"))
}

/// The settings of the stand-in for Stripe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account's id, as `GET /v1/account` answers it. Default: `acct_1TallydSandbox`.
    pub account: String,
    /// Which API keys are accepted. Default: every test key.
    pub keys: Keys,
    /// The rate limits. Default: those of a Stripe sandbox.
    pub limits: Limits,
    /// How long a write takes, in real time. Its customer and meter stay occupied meanwhile, which
    /// is what finds out a client that sends two at a time. Default: none.
    pub latency: Duration,
    /// How long an accepted event or cancellation waits before it counts. Default: none.
    pub lag: Duration,
    /// Which customers exist. Default: any `cus_…`.
    pub customers: Customers,
    /// How long an invoice stays a draft after its period, at most [`INVOICE_GRACE_MAX`]. Default:
    /// [`INVOICE_GRACE_DEFAULT`].
    pub invoice_grace: Duration,
    /// How long an identifier stays taken, from its receipt. Default:
    /// [`UNIQUENESS_WINDOW_DEFAULT`].
    pub uniqueness_window: Duration,
    /// Decides which rejected events the reports name, and in which form. Default: 0.
    pub report_seed: u64,
    /// Meters that exist from the start. Default: none.
    pub meters: Vec<NewMeter>,
    /// Where events are delivered. Default: nowhere.
    pub webhooks: WebhookSettings,
    /// What goes wrong. Default: nothing.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: "acct_1TallydSandbox".to_owned(),
            keys: Keys::AnyTest,
            limits: Limits::SANDBOX,
            latency: Duration::ZERO,
            lag: Duration::ZERO,
            customers: Customers::Any,
            invoice_grace: INVOICE_GRACE_DEFAULT,
            uniqueness_window: UNIQUENESS_WINDOW_DEFAULT,
            report_seed: 0,
            meters: Vec::new(),
            webhooks: WebhookSettings::default(),
            faults: Faults::default(),
        }
    }
}

/// Which API keys are accepted. A live key never is: it has no business here, and whoever sent one
/// has a real account in their configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every `sk_test_…` and `rk_test_…`.
    AnyTest,
    /// These, as far as they are test keys.
    Only(BTreeSet<String>),
}

/// Which customers exist. An event for another one is accepted and rejected later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customers {
    /// Every id that begins with `cus_`.
    Any,
    /// These, and those created over the API.
    Only(BTreeSet<String>),
    /// Those created over the API and no other, as at Stripe.
    Created,
}

impl Customers {
    /// Whether this id exists without having been created.
    pub(super) fn know(&self, id: &str) -> bool {
        match self {
            Self::Any => id.strip_prefix("cus_").is_some_and(|rest| !rest.is_empty()),
            Self::Only(known) => known.contains(id),
            Self::Created => false,
        }
    }
}

/// Requests, or events of the stream, admitted in any one second of the sandbox's clock. `None` is
/// no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A limit of their own for `POST /v1/billing/meter_events`, and those of version 2; they are
    /// then outside `global`.
    pub meter_events: Option<u32>,
    /// A limit of their own for the events that the stream takes; its requests are then outside
    /// `global`.
    pub stream_events: Option<u32>,
    /// The limit over all requests that have no limit of their own.
    pub global: Option<u32>,
}

impl Limits {
    /// A live account: 1,000 meter events and 10,000 by the stream, beside 100 other requests a
    /// second.
    pub const LIVE: Self =
        Self { meter_events: Some(1_000), stream_events: Some(10_000), global: Some(100) };
    /// A Stripe sandbox: 25 requests a second, meter events among them.
    pub const SANDBOX: Self = Self { meter_events: None, stream_events: None, global: Some(25) };
    /// No limits.
    pub const NONE: Self = Self { meter_events: None, stream_events: None, global: None };
}
