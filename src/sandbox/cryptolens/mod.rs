//! The stand-in for Cryptolens. Here: what is to be known of it, and its parts. Never here: code
//! shared with `provider`. Read next: [`books`], then [`gate`].
//!
//! It is an account whose license keys are tied to Stripe subscription items, and it takes
//! RecordUsage as the official clients send it: by GET or POST, with one slash or two behind `api`,
//! a slash at the end or none, and names in any case. It has no limit of its own, as none is
//! published, and no memory of what it was sent: the same request again counts again. What is
//! recorded is at Stripe, so that nothing here tells it back but the control.
//! <https://app.cryptolens.io/docs/api/v3/RecordUsage>

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Faults;

mod books;
pub(super) mod control;
mod gate;
mod handle;

pub use books::{BookLine, RecordLine};
pub use handle::CryptolensHandle;

pub(super) use gate::Cryptolens;

/// The access token of an account whose settings name none.
pub const TOKEN: &str = "sandbox-token";
/// The product of an account whose settings name none.
pub const PRODUCT: i64 = 3_349;

/// What the account is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tokens that may record usage and list products.
    pub tokens: BTreeSet<String>,
    /// The products, by their numbers.
    pub products: BTreeSet<i64>,
    /// Which license keys there are.
    pub keys: Keys,
    /// How the account's Stripe bills.
    pub billing: Billing,
    /// Requests in any one second; any number where there is no limit.
    pub per_second: Option<u32>,
    /// How long a record takes, in real time.
    pub latency: Duration,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tokens: BTreeSet::from([TOKEN.to_owned()]),
            products: BTreeSet::from([PRODUCT]),
            keys: Keys::Any,
            billing: Billing::UsageRecords,
            per_second: None,
            latency: Duration::ZERO,
            faults: Faults::default(),
        }
    }
}

/// Which license keys there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// Every text is one, of every product, and is tied to a subscription item.
    Any,
    /// These alone.
    Only(BTreeSet<String>),
}

/// How the account's Stripe bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// By usage records, as Stripe did before its version 2025-03-31.
    UsageRecords,
    /// By meters: no usage record is taken.
    Meters,
    /// Not at all: no payment processor is set up.
    Nothing,
}
