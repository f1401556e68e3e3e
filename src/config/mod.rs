//! What the operator said. Here: the config file, read into every room's settings, and every
//! problem found in it. Never here: what a setting leads to. TOML lives only here, and no room
//! knows this one. Read next: [`load()`], then `raw`, `resolve`, [`problem`].
//!
//! The file is read in two levels. `raw` says what was typed, with its place; `resolve` says what
//! it means, or what is wrong with it. Nothing stops at the first problem. Secrets are looked up
//! last.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::accrual::route::Route;
use crate::domain::cutover::Telling;
use crate::domain::names::ProviderName;
use crate::domain::silence::Terms;
use crate::schedule::Schedule;
use crate::usage::lever::Lever;
use crate::{delivery, intake, provider, reconcile, store, telemetry, web};

pub mod load;
pub mod problem;
pub mod places;
pub mod change;
mod raw;
mod resolve;
mod field;
mod finding;
mod misspelt;
mod redact;
mod secret;

pub use change::Change;
pub use load::{Outside, Overrides, load, load_text};
pub use places::Places;
pub use problem::{Problem, Problems};
pub use secret::SecretPlace;

/// What the daemon runs by: every room's settings, valid by themselves and with one another.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file this was read from.
    pub file: PathBuf,
    /// The ledger's.
    pub store: store::Settings,
    /// How large the ballast beside the ledger is, in bytes; zero for none.
    pub ballast_bytes: u64,
    /// Where the ledger's fence lies.
    pub fencing: store::Fencing,
    /// How many days after its end a window is archived at the earliest.
    pub archive_after_days: u32,
    /// When the ledger is maintained.
    pub maintenance: Schedule,
    /// The share of the newest events, in basis points, above which held ones raise the alarm.
    pub held_alarm_basis_points: u32,
    /// The listeners'.
    pub web: web::Settings,
    /// Intake's.
    pub intake: intake::Settings,
    /// Each Stripe account, in the order of the names.
    pub stripe: Vec<Stripe>,
    /// Each Chargebee site that meters by usages, in the order of the names.
    pub chargebee: Vec<Chargebee>,
    /// Each Chargebee site that meters by usage events, likewise.
    pub usage_events: Vec<UsageEvents>,
    /// Each account at Cryptolens, likewise.
    pub cryptolens: Vec<Cryptolens>,
    /// Each product at Planship, likewise.
    pub planship: Vec<Planship>,
    /// The routes, in the order of the names.
    pub routes: Vec<Route>,
    /// How each provider instance is told, by its name.
    pub tellings: BTreeMap<ProviderName, Telling>,
    /// How files become records, in the order of the names.
    pub imports: Vec<intake::import::Mapping>,
    /// The directories that are read, in the order of the names.
    pub spools: Vec<intake::spool::Settings>,
    /// What programs may ask of a customer's usage, in the order of the names.
    pub levers: Vec<Lever>,
    /// Planship's usage API, where it is served.
    pub planship_api: Option<web::PlanshipApi>,
    /// When somebody who was heard is called silent.
    pub silence: Terms,
    /// The logs'.
    pub telemetry: telemetry::Settings,
    /// The sandbox whose clock is followed, by its address; nothing where time is the machine's.
    pub follow: Option<String>,
    /// What was done about secrets. Only with [`SecretPolicy::Resolve`] are they here.
    pub secrets: SecretPolicy,
    /// Where the secrets are said to be, by the paths of their keys. What is there is elsewhere.
    pub secret_places: BTreeMap<String, SecretPlace>,
    /// What is allowed but may not be meant. It holds no error.
    pub warnings: Problems,
    /// Where in the file it stands.
    pub places: Places,
}

/// A provider instance, and how it is worked with.
#[derive(Clone, Debug)]
pub struct Account<P> {
    /// The account at the provider.
    pub provider: P,
    /// The delivery to it.
    pub delivery: delivery::Settings,
    /// The reading of its totals.
    pub reconcile: reconcile::Settings,
    /// The reports on it that are made by themselves; nothing where they are only asked for.
    pub reports: Option<Reports>,
    /// From how many entries of an account on its windows are widened; nothing where they stay.
    pub widened_from: Option<u32>,
    /// When what is due is told; nothing where it is told at once.
    pub flush: Option<Schedule>,
}

/// A Stripe account.
pub type Stripe = Account<provider::stripe::settings::Settings>;
/// A Chargebee site that meters by usages.
pub type Chargebee = Account<provider::chargebee::settings::Settings>;
/// A Chargebee site that meters by usage events.
pub type UsageEvents = Account<provider::chargebee::usage_events::settings::Settings>;
/// An account at Cryptolens.
pub type Cryptolens = Account<provider::cryptolens::settings::Settings>;
/// A product at Planship.
pub type Planship = Account<provider::planship::settings::Settings>;

impl Config {
    /// How each provider instance is delivered to, in the order of the file's kinds and of their
    /// names.
    pub fn deliveries(&self) -> impl Iterator<Item = &delivery::Settings> + Clone {
        let stripe = self.stripe.iter().map(|account| &account.delivery);
        let usages = self.chargebee.iter().map(|site| &site.delivery);
        let events = self.usage_events.iter().map(|site| &site.delivery);
        let cryptolens = self.cryptolens.iter().map(|account| &account.delivery);
        let planship = self.planship.iter().map(|product| &product.delivery);
        stripe.chain(usages).chain(events).chain(cryptolens).chain(planship)
    }
}

/// Reports that are made by themselves.
#[derive(Clone, Debug)]
pub struct Reports {
    /// When.
    pub schedule: Schedule,
    /// What they do about differences.
    pub heal: reconcile::Heal,
}

/// What to do about the secrets that the config refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPolicy {
    /// Read and judge them: to run.
    Resolve,
    /// See that they are there, without reading them: to check a config. The secrets of the
    /// [`Config`] are empty, and what depends on them (live or test) is taken for test.
    CheckPresence,
    /// Do not look for them: for commands that only read the ledger, or ask the daemon. Whoever
    /// types those has no need to hold the daemon's keys. Otherwise as [`Self::CheckPresence`].
    Unneeded,
}
