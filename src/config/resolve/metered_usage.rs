//! `[planship.NAME]`. Here: a product at Planship, its metering ids, and what may be routed to it.
//! Never here: whether Planship agrees (`tallyd check --online`), the usage API that is served
//! (`planship_api`). Read next: `pace`.

use std::ops::Range;

use secrecy::SecretString;
use toml::Spanned;

use super::Given;
use super::account::address;
use super::collision::overlap;
use super::pace::{Pace, named};
use super::route::STRIPE;
use super::told_now::{Declared, Live, ON_UNKNOWN, has_no_windows};
use crate::accrual::route::Route;
use crate::config::field::{Table, Whole, name, required, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::secret::secret;
use crate::config::{Planship, raw};
use crate::delivery::{self, Rate};
use crate::domain::names::{NAME_BYTES_MAX, ProviderMeter, ProviderName};
use crate::provider::counting::OnUnknown;
use crate::provider::planship::settings as planship;
use crate::reconcile;

/// What the names of these providers begin with.
pub(super) const PLANSHIP: &str = "planship.";

pub(super) fn products(
    products: &raw::Named<raw::Planship>,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Vec<Planship> {
    let mut all = Vec::new();
    for (key, raw) in products {
        if let Some((table, own)) = named(PLANSHIP, "the product's name", key, found) {
            all.push(product(&table, own, raw, free_bytes_min, given, found));
        }
    }
    all
}

fn product(
    table: &Table,
    own: ProviderName,
    raw: &raw::Planship,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Planship {
    let api = address(&table.key("api"), &raw.api, planship::API, found);
    let live = Live { test: &raw.test, api: &raw.api, whose: "Planship" };
    let livemode = live.mode(table, &api, planship::is_own(&api), found);
    let otherwise = "nothing would be sent, or most of it refused";
    let most = planship::RATE_PER_SECOND_MAX;
    let rate = Whole::new(table.key("rate_per_second"), 1, most, otherwise).read(
        &raw.rate_per_second,
        planship::RATE_PER_SECOND,
        found,
    );
    let pace = Pace {
        concurrency: (&raw.concurrency, planship::CONCURRENCY),
        attempt_timeout_seconds: &raw.attempt_timeout_seconds,
        backoff_first_millis: &raw.backoff_first_millis,
        backoff_seconds_max: &raw.backoff_seconds_max,
        pause_probe_seconds: &raw.pause_probe_seconds,
        zone: &raw.zone,
        flush: &raw.flush,
        // A report compares with totals of spans, and levers have none.
        reconcile: &None,
        heal: &None,
    };
    let paced = (own.clone(), Rate::per_second(rate));
    let delivery = pace.delivery(table, paced, free_bytes_min, found);
    let (flush, reports) = pace.schedules(table, found);
    let client_secret = secret(table, "client_secret", &raw.client_secret, given, found);
    let client_secret = client_secret.map(|(client_secret, _)| client_secret);
    let on_unknown =
        word(&table.key("on_unknown"), &raw.on_unknown, &ON_UNKNOWN, OnUnknown::Hold, found);
    let timeout_millis = delivery.attempt_timeout_millis - delivery::ATTEMPT_MARGIN_MILLIS;
    let reconcile = reconcile::Settings { provider: own.clone(), reads_per_month: 0 };
    let provider = planship::Settings {
        name: own,
        api,
        client_id: client_id(table, raw, found),
        client_secret: client_secret.unwrap_or_else(|| SecretString::from(String::new())),
        product: slug(table, raw, found),
        metering_ids: metering_ids(table, raw, found),
        on_unknown,
        livemode,
        timeout_millis,
    };
    Planship { provider, delivery, reconcile, reports, widened_from: None, flush }
}

fn client_id(table: &Table, raw: &raw::Planship, found: &mut Findings) -> String {
    let otherwise = "no token would be given";
    let id = required(table, "client_id", &raw.client_id, otherwise, "\"…\"", found);
    let Some(id) = id else { return String::new() };
    if id.get_ref().is_empty() || id.get_ref().contains(':') {
        let title = format!("`{}` is empty, or holds a colon", table.key("client_id"));
        let label = "it is shown in front of a colon: it could not be told from the secret";
        let help = "copy the id of the client from Planship's console";
        found.error(Problem::at(id.span(), title).label(label).help(help));
    }
    id.get_ref().clone()
}

fn slug(table: &Table, raw: &raw::Planship, found: &mut Findings) -> String {
    let otherwise = "all usage would be refused";
    let slug = required(table, "product", &raw.product, otherwise, "\"my-product\"", found);
    let Some(slug) = slug else { return String::new() };
    let text = slug.get_ref();
    let is_path = text.bytes().any(|byte| byte != b'.');
    if !is_path || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let title = format!("`{}` is no product's slug", table.key("product"));
        let help = "copy the product's slug from Planship's console";
        found.error(Problem::at(slug.span(), title).label(otherwise).help(help));
    }
    text.clone()
}

fn metering_ids(table: &Table, raw: &raw::Planship, found: &mut Findings) -> Vec<ProviderMeter> {
    let what = format!("a name in `{}`", table.key("metering_ids"));
    let ids = raw.metering_ids.iter().flat_map(|ids| ids.get_ref());
    ids.filter_map(|id| name(&what, id.get_ref(), id.span(), ProviderMeter::new, found)).collect()
}

/// Refuses what a product at Planship cannot be told.
pub(super) fn against_metering_id(
    table: &Table,
    raw: &raw::Route,
    route: &Route,
    file: &raw::File,
    found: &mut Findings,
) {
    let provider = route.provider.as_str();
    let own = |(key, _): &(&Spanned<String>, &raw::Planship)| {
        provider.strip_prefix(PLANSHIP) == Some(key.get_ref().as_str())
    };
    let Some((key, product)) = file.planship.iter().find(own) else { return };
    let ids = product.metering_ids.iter().flat_map(|ids| ids.get_ref());
    let all = ids.map(|id| id.get_ref().clone()).collect();
    let declared = Declared { what: "metering id", key: "metering_ids", table: key.span(), all };
    declared.names(raw, route, found);
    has_no_windows(table, raw, route, found);
}

/// Warns of records that go to Stripe and to Planship, which can charge by Stripe too: whether it
/// does is set there and nowhere else.
/// <https://github.com/planship/planship-docs/blob/main/docs/faq/general.md>
pub(super) fn charged_twice(routes: &[(Route, Range<usize>)], found: &mut Findings) {
    let at_planship = routes.iter().filter(|(route, _)| {
        let provider = route.provider.as_str();
        provider.starts_with(PLANSHIP)
    });
    for (route, span) in at_planship {
        let other = routes.iter().find(|(other, _)| {
            other.provider.as_str().starts_with(STRIPE)
                && other.meter == route.meter
                && overlap(other, route)
        });
        let Some((other, other_span)) = other else { continue };
        let title = format!(
            "routes `{}` and `{}` can tell the same record to Stripe and to Planship",
            other.name, route.name
        );
        let problem = Problem::at(span.clone(), title)
            .label("if Planship charges by Stripe, it would be billed twice")
            .help("see at Planship that it does not charge, or remove one of the routes")
            .context(other_span.clone(), "the route to Stripe");
        found.warning(problem);
    }
}
