//! What was typed becomes what it means. Here: the order in which the parts of a config are judged,
//! and what concerns it as a whole. Never here: TOML, the secrets' content. Read next: [`ledger`],
//! then down the list.
//!
//! The secrets come last, so that a config is judged the same with and without them.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::Findings;
use super::load::Overrides;
use super::problem::Problem;
use super::{Chargebee, Cryptolens, Planship, SecretPolicy, Stripe, UsageEvents, raw};
use crate::accrual::route::Route;
use crate::domain::cutover::Telling;
use crate::domain::names::ProviderName;
use crate::domain::silence::Terms;
use crate::intake::import::Mapping;
use crate::schedule::Schedule;
use crate::usage::lever::Lever;
use crate::{intake, store, telemetry, web};

mod ledger;
mod log;
mod inlet;
mod route;
mod collision;
mod import;
mod pace;
mod account;
mod channel;
mod site;
mod spool;
mod lever;
mod planship_api;
mod silence;
mod event_site;
mod event_route;
mod told_now;
mod record_usage;
mod metered_usage;
mod level_route;
mod stripe_route;
mod unique_route;
mod cutover;
mod clock;
mod http;

/// What counts besides the file's content.
pub(super) struct Given<'a> {
    /// Where the file lies: its relative paths begin here.
    pub(super) folder: &'a Path,
    /// What was given by flags and environment.
    pub(super) overrides: Overrides,
    /// The environment, for secrets.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// What to do about secrets.
    pub(super) secrets: SecretPolicy,
}

/// Every room's settings. Where something was wrong, a default stands, and an error was put on the
/// list.
pub(super) struct Resolved {
    pub(super) store: store::Settings,
    pub(super) ballast_bytes: u64,
    pub(super) fencing: store::Fencing,
    pub(super) archive_after_days: u32,
    pub(super) maintenance: Schedule,
    pub(super) held_alarm_basis_points: u32,
    pub(super) web: web::Settings,
    pub(super) intake: intake::Settings,
    pub(super) stripe: Vec<Stripe>,
    pub(super) chargebee: Vec<Chargebee>,
    pub(super) usage_events: Vec<UsageEvents>,
    pub(super) cryptolens: Vec<Cryptolens>,
    pub(super) planship: Vec<Planship>,
    pub(super) routes: Vec<Route>,
    pub(super) tellings: BTreeMap<ProviderName, Telling>,
    pub(super) imports: Vec<Mapping>,
    pub(super) spools: Vec<intake::spool::Settings>,
    pub(super) levers: Vec<Lever>,
    pub(super) planship_api: Option<web::PlanshipApi>,
    pub(super) silence: Terms,
    pub(super) telemetry: telemetry::Settings,
    pub(super) follow: Option<String>,
}

/// Judges the whole file.
pub(super) fn resolve(file: &raw::File, given: &Given<'_>, found: &mut Findings) -> Resolved {
    let store = ledger::store(&file.ledger, given, found);
    let ballast_bytes = ledger::ballast_bytes(&file.ledger, found);
    let fencing = ledger::fencing(&file.ledger, &store.path, given, found);
    let archive_after_days = ledger::archive_after_days(&file.ledger, found);
    let maintenance = ledger::maintenance(&file.ledger, found);
    let held_alarm_basis_points = ledger::held_alarm(&file.ledger, found);
    let telemetry = log::telemetry(&file.log, given, found);
    let intake = inlet::intake(&file.intake, &file.source, found);
    let imports = import::mappings(&file.import, found);
    let spools = spool::spools(&file.spool, &imports, given.folder, found);
    let levers = lever::levers(&file.lever, &file.route, found);
    let silence = silence::terms(&file.silence, &file.source, found);
    let routes = route::routes(&file.route, file, found);
    let tellings = cutover::tellings(file, &routes, found);
    emptiness(file, found);
    let stripe = account::accounts(&file.stripe, intake.free_bytes_min, given, found);
    let chargebee = site::sites(&file.chargebee, intake.free_bytes_min, given, found);
    let usage_events = event_site::sites(&file.chargebee, intake.free_bytes_min, given, found);
    let cryptolens = record_usage::accounts(&file.cryptolens, intake.free_bytes_min, given, found);
    let planship = metered_usage::products(&file.planship, intake.free_bytes_min, given, found);
    let sites = (chargebee.as_slice(), usage_events.as_slice());
    let counting = at_their_own(&cryptolens, &planship);
    let follow = clock::follow(file, &stripe, sites, &counting, given, found);
    let planship_api = planship_api::planship_api(&file.planship_api, given, found);
    let web = http::web(&file.http, &file.ledger, &store.path, given, found);
    Resolved {
        store,
        ballast_bytes,
        fencing,
        archive_after_days,
        maintenance,
        held_alarm_basis_points,
        web,
        intake,
        stripe,
        chargebee,
        usage_events,
        cryptolens,
        planship,
        routes,
        tellings,
        imports,
        spools,
        levers,
        planship_api,
        silence,
        telemetry,
        follow,
    }
}

/// The providers that only count and are told at whose they are, not at a stand-in.
fn at_their_own<'a>(
    cryptolens: &'a [Cryptolens],
    planship: &'a [Planship],
) -> Vec<(&'a ProviderName, &'static str)> {
    let cryptolens = cryptolens.iter().map(|account| &account.provider);
    let cryptolens = cryptolens.filter(|account| account.is_at_cryptolens());
    let planship = planship.iter().map(|product| &product.provider);
    let planship = planship.filter(|product| product.is_at_planship());
    cryptolens
        .map(|account| (&account.name, "Cryptolens"))
        .chain(planship.map(|product| (&product.name, "Planship")))
        .collect()
}

/// What is allowed to be missing, but hardly meant to be.
fn emptiness(file: &raw::File, found: &mut Findings) {
    let counting = file.cryptolens.len() + file.planship.len();
    if file.stripe.is_empty() && file.chargebee.is_empty() && counting == 0 {
        let problem = Problem::nowhere("no provider is configured")
            .label("usage is booked, and nobody is told")
            .help("add a table such as [stripe.main] with a key");
        found.warning(problem);
    }
    if file.route.is_empty() {
        let problem = Problem::nowhere("no route is configured")
            .label("usage is booked and waits, until a route takes it")
            .help("add a table such as [route.requests] with `meter` and `to`");
        found.warning(problem);
    }
}
