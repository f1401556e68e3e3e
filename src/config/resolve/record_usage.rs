//! `[cryptolens.NAME]`. Here: an account at Cryptolens, its products, and what may be routed to it.
//! Never here: whether Cryptolens agrees (`tallyd check --online`). Read next: `pace`.

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
use crate::config::field::{Table, Whole, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::secret::secret;
use crate::config::{Cryptolens, raw};
use crate::delivery::{self, Rate};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::provider::counting::OnUnknown;
use crate::provider::cryptolens::settings as cryptolens;
use crate::reconcile;

/// What the names of these providers begin with.
pub(super) const CRYPTOLENS: &str = "cryptolens.";

pub(super) fn accounts(
    accounts: &raw::Named<raw::Cryptolens>,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Vec<Cryptolens> {
    let mut all = Vec::new();
    for (key, raw) in accounts {
        if let Some((table, own)) = named(CRYPTOLENS, "the account's name", key, found) {
            rests_on_usage_records(&table, found);
            all.push(account(&table, own, raw, free_bytes_min, given, found));
        }
    }
    all
}

/// Who sets this up should know what it rests on.
fn rests_on_usage_records(table: &Table, found: &mut Findings) {
    let title =
        format!("`{}` is told by RecordUsage, which needs Stripe's usage records", table.path);
    let label = "Stripe took them out of its API with version 2025-03-31";
    let help = "only subscriptions of before can be told so; bill what is new by a Stripe meter";
    found.warning(Problem::at(table.span.clone(), title).label(label).help(help));
}

fn account(
    table: &Table,
    own: ProviderName,
    raw: &raw::Cryptolens,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Cryptolens {
    let api = address(&table.key("api"), &raw.api, cryptolens::API, found);
    let live = Live { test: &raw.test, api: &raw.api, whose: "Cryptolens" };
    let livemode = live.mode(table, &api, cryptolens::is_own(&api), found);
    let otherwise = "nothing would be sent, or most of it refused";
    let most = cryptolens::RATE_PER_SECOND_MAX;
    let rate = Whole::new(table.key("rate_per_second"), 1, most, otherwise).read(
        &raw.rate_per_second,
        cryptolens::RATE_PER_SECOND,
        found,
    );
    let pace = Pace {
        concurrency: (&raw.concurrency, cryptolens::CONCURRENCY),
        attempt_timeout_seconds: &raw.attempt_timeout_seconds,
        backoff_first_millis: &raw.backoff_first_millis,
        backoff_seconds_max: &raw.backoff_seconds_max,
        pause_probe_seconds: &raw.pause_probe_seconds,
        zone: &raw.zone,
        flush: &raw.flush,
        // A report compares with totals, and there are none.
        reconcile: &None,
        heal: &None,
    };
    let paced = (own.clone(), Rate::per_second(rate));
    let delivery = pace.delivery(table, paced, free_bytes_min, found);
    let (flush, reports) = pace.schedules(table, found);
    let token = secret(table, "token", &raw.token, given, found).map(|(token, _)| token);
    let on_unknown =
        word(&table.key("on_unknown"), &raw.on_unknown, &ON_UNKNOWN, OnUnknown::Hold, found);
    let timeout_millis = delivery.attempt_timeout_millis - delivery::ATTEMPT_MARGIN_MILLIS;
    let reconcile = reconcile::Settings { provider: own.clone(), reads_per_month: 0 };
    let provider = cryptolens::Settings {
        name: own,
        api,
        token: token.unwrap_or_else(|| SecretString::from(String::new())),
        products: products(table, raw, found),
        on_unknown,
        livemode,
        timeout_millis,
    };
    Cryptolens { provider, delivery, reconcile, reports, widened_from: None, flush }
}

fn products(table: &Table, raw: &raw::Cryptolens, found: &mut Findings) -> Vec<ProviderMeter> {
    let mut all = Vec::new();
    for field in raw.products.iter().flat_map(|products| products.get_ref()) {
        let (path, number) = (table.key("products"), *field.get_ref());
        let product = ProviderMeter::new(&number.to_string()).ok().filter(|_| number > 0);
        let Some(product) = product else {
            let title = format!("`{path}` has {number}, which is no product's number");
            let label = "all usage of it would be refused";
            let help = "copy the number of the product from Cryptolens";
            found.error(Problem::at(field.span(), title).label(label).help(help));
            continue;
        };
        all.push(product);
    }
    all
}

/// The account at Cryptolens of this name.
fn account_of<'f>(
    provider: &str,
    file: &'f raw::File,
) -> Option<(&'f Spanned<String>, &'f raw::Cryptolens)> {
    let mut accounts = file.cryptolens.iter();
    accounts.find(|(key, _)| format!("{CRYPTOLENS}{}", key.get_ref()) == provider)
}

/// Refuses what an account at Cryptolens cannot be told.
pub(super) fn against_product(
    table: &Table,
    raw: &raw::Route,
    route: &Route,
    file: &raw::File,
    found: &mut Findings,
) {
    let Some((key, account)) = account_of(route.provider.as_str(), file) else { return };
    let products = account.products.iter().flat_map(|products| products.get_ref());
    let products = products.map(|field| field.get_ref().to_string()).collect();
    let declared = Declared { what: "product", key: "products", table: key.span(), all: products };
    declared.names(raw, route, found);
    has_no_windows(table, raw, route, found);
}

/// Refuses to bill the same records by Stripe's own API and by RecordUsage, which is Stripe's too:
/// unless the operator says that the two are not of one Stripe account.
pub(super) fn billed_twice(
    routes: &[(Route, Range<usize>)],
    file: &raw::File,
    found: &mut Findings,
) {
    for (route, span) in routes {
        let Some((_, account)) = account_of(route.provider.as_str(), file) else { continue };
        if account.other_stripe.as_ref().is_some_and(|field| *field.get_ref()) {
            continue;
        }
        let other = routes.iter().find(|(other, _)| {
            other.provider.as_str().starts_with(STRIPE)
                && other.meter == route.meter
                && overlap(other, route)
        });
        let Some((other, other_span)) = other else { continue };
        let title = format!(
            "routes `{}` and `{}` can bill the same record by Stripe",
            other.name, route.name
        );
        let help = format!(
            "remove one of them; or, if `{}` bills by another Stripe account than `{}`, add \
             `other_stripe = true` there",
            route.provider, other.provider
        );
        let problem = Problem::at(span.clone(), title)
            .label("RecordUsage adds to a Stripe subscription: it would be billed twice")
            .help(help)
            .context(other_span.clone(), "the route to Stripe");
        found.error(problem);
    }
}
