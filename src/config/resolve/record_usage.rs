//! `[cryptolens.NAME]`. Here: an account at Cryptolens, its products, and what may be routed to it.
//! Never here: whether Cryptolens agrees (`tallyd check --online`). Read next: `pace`.

use std::ops::Range;

use secrecy::SecretString;
use toml::Spanned;

use super::Given;
use super::account::{address, is_loopback};
use super::collision::overlap;
use super::pace::{Pace, named};
use super::route::STRIPE;
use crate::accrual::route::Route;
use crate::config::field::{Table, Whole, word};
use crate::config::finding::Findings;
use crate::config::misspelt::nearest;
use crate::config::problem::Problem;
use crate::config::secret::secret;
use crate::config::{Cryptolens, raw};
use crate::delivery::{self, Rate};
use crate::domain::correction::CorrectionPolicy;
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::period::LatePolicy;
use crate::provider::counting::OnUnknown;
use crate::provider::cryptolens::settings as cryptolens;
use crate::reconcile;

/// What the names of these providers begin with.
pub(super) const CRYPTOLENS: &str = "cryptolens.";
/// What becomes of an event whose answer was lost, in the words of the file.
const ON_UNKNOWN: [(&str, OnUnknown); 2] =
    [("hold", OnUnknown::Hold), ("resend", OnUnknown::Resend)];

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
    let livemode = livemode(table, raw, &api, found);
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

/// Whether money moves: unless the operator says that none does, or it is told on this host. What
/// is told elsewhere than at Cryptolens has to be said to be no such thing.
fn livemode(table: &Table, raw: &raw::Cryptolens, api: &str, found: &mut Findings) -> bool {
    let is_here = api.split_once("://").is_some_and(|(_, host)| is_loopback(host));
    let said = raw.test.as_ref().is_some_and(|field| *field.get_ref());
    if let (false, false, false, Some(field)) = (is_here, said, cryptolens::is_own(api), &raw.api) {
        let title = format!("`{}` is not Cryptolens' own address", table.key("api"));
        let label = "the token that moves money would be sent there";
        let help = "remove `api`, or add `test = true` if no money moves there";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    !is_here && !said
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
    let provider = &route.provider;
    let Some(account) = account_of(provider.as_str(), file) else { return };
    names_a_product(raw, route, account, found);
    let mut refuse = |key: &str, place: Option<Range<usize>>, said: [&str; 3]| {
        let (Some(place), [why, label, help]) = (place, said) else { return };
        let title = format!("`{}` {why} `{provider}`", table.key(key));
        found.error(Problem::at(place, title).label(label).help(help));
    };
    let place = |field: &raw::Key<String>| field.as_ref().map(Spanned::span);
    let windows = [
        "has no meaning at",
        "what is told counts when it is told, and there are no windows",
        "remove it; `settle` says how long usage is gathered before it is told",
    ];
    refuse("window", place(&raw.window), windows);
    let bound = [
        "has no meaning at",
        "it bounds what a window comes to, and there are no windows",
        "remove it",
    ];
    refuse("hold_above", raw.hold_above.as_ref().map(Spanned::span), bound);
    if route.policies.corrections == CorrectionPolicy::Negative {
        let negative = [
            "is \"negative\", and no such is taken by",
            "what an amount below zero would do to the bill is not documented",
            "remove it: what is too much is taken off later usage, and held until there is some",
        ];
        refuse("corrections", place(&raw.corrections), negative);
    }
    if route.policies.late != LatePolicy::Hold {
        let late = [
            "has no meaning, as no bills are followed of",
            "no usage would ever be known to be late for its bill",
            "remove it: usage counts in the period in which it is told",
        ];
        refuse("late", place(&raw.late), late);
    }
}

fn names_a_product(
    raw: &raw::Route,
    route: &Route,
    (key, account): (&Spanned<String>, &raw::Cryptolens),
    found: &mut Findings,
) {
    let Some(place) = raw.event.as_ref().or(raw.meter.as_ref()) else { return };
    let products = account.products.iter().flat_map(|products| products.get_ref());
    let declared: Vec<String> = products.map(|field| field.get_ref().to_string()).collect();
    let meter = route.provider_meter.as_str();
    if declared.iter().any(|product| product == meter) {
        return;
    }
    let title = format!("{meter:?} is no product of `{}`", route.provider);
    let help = match nearest(meter, declared.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("set `event` to a number that `products` of [{}] has", route.provider),
    };
    let problem = Problem::at(place.span(), title)
        .label("nobody says that it is sold: nothing would be told")
        .help(help)
        .context(key.span(), "the account");
    found.error(problem);
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
