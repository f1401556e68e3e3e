//! The stand-in for Planship. Here: what is to be known of it, and its parts. Never here: code
//! shared with `provider`. Read next: [`books`], then [`gate`].
//!
//! It is an organization with clients, products and levers. A client asks for a token by its id and
//! secret, which lives for a while, and each other request bears one. A report is one metering
//! record: it has no name and no time, and the same report again counts again. What is reported is
//! aggregated in the background, so that levers lack it for a while, and a lever over subscription
//! periods begins at nothing with each of them. No record is listed, taken back or changed.
//! <https://docs.planship.io/concepts/metered-levers>
//!
//! What Planship publishes nowhere is decided here so that a client is put to the test: there is a
//! limit only where one is set; statuses other than 200 and 422 have the `detail` of its framework;
//! usage below zero is taken, as the schema has no least.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Faults;

mod books;
mod levers;
mod door;
pub(super) mod control;
mod gate;
mod handle;

pub use books::{BookLine, RecordLine};
pub use handle::PlanshipHandle;
pub use levers::{Formula, Lever, Period};

pub(super) use gate::Planship;

/// The client of an organization whose settings name none.
pub const CLIENT: &str = "sandbox-client";
/// Its secret.
pub const SECRET: &str = "sandbox-secret";
/// The product of an organization whose settings name none.
pub const PRODUCT: &str = "demo";
/// The metering id that the lever of such an organization adds up.
pub const METERING_ID: &str = "api-call";
/// That lever.
pub const LEVER: &str = "api-calls";

/// What the organization is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The clients that may ask for a token: their secrets by their ids.
    pub clients: BTreeMap<String, String>,
    /// How long a token is accepted. It is told in whole seconds.
    pub token_lives: Duration,
    /// The products, by their slugs. Each has all of the levers.
    pub products: BTreeSet<String>,
    /// Which customers there are, by whatever id.
    pub customers: Known,
    /// Which metering ids may be reported of.
    pub metering_ids: Known,
    /// What is read of what was reported.
    pub levers: Vec<Lever>,
    /// How long a subscription's period is. The first one begins with the stand-in.
    pub period: Duration,
    /// How long a report waits before levers have it.
    pub lag: Duration,
    /// Requests in any one second; any number where there is no limit.
    pub per_second: Option<u32>,
    /// How long a report takes, in real time.
    pub latency: Duration,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clients: BTreeMap::from([(CLIENT.to_owned(), SECRET.to_owned())]),
            token_lives: Duration::from_secs(60 * 60),
            products: BTreeSet::from([PRODUCT.to_owned()]),
            customers: Known::Any,
            metering_ids: Known::Any,
            levers: vec![Lever {
                slug: LEVER.to_owned(),
                metering_ids: BTreeSet::from([METERING_ID.to_owned()]),
                formula: Formula::Total,
                period: Period::Subscription,
            }],
            period: Duration::from_secs(30 * 24 * 60 * 60),
            lag: Duration::ZERO,
            per_second: None,
            latency: Duration::ZERO,
            faults: Faults::default(),
        }
    }
}

/// Which of something there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Every text that is not empty is one.
    Any,
    /// These alone.
    Only(BTreeSet<String>),
}

impl Known {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => !name.is_empty(),
            Self::Only(names) => names.contains(name),
        }
    }
}
