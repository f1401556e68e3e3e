//! `shadow` and `bill_from`, of providers, routes, and who pays. PURE. Here: from when on each
//! provider instance is told, and whether it is. Never here: what the ledger says of it. Read next:
//! `clock`.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use crate::accrual::route::{Route, WindowRule};
use crate::config::field::{Table, name, required};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::cutover::{Cutover, Mode, Telling};
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp};
use crate::provider::stripe::settings::ACCOUNT_PREFIX;

/// An instant, and where it stands.
type Placed = (Timestamp, Range<usize>);

/// A provider's table, as far as it says from when on it is told.
struct Given<'a> {
    table: Table,
    shadow: &'a raw::Key<bool>,
    bill_from: &'a raw::Key<String>,
    /// What those who pay are called, what their names begin with, and their tables.
    payers: (&'static str, &'static str, &'a raw::Named<raw::BilledFrom>),
}

/// How each provider instance is told.
pub(super) fn tellings(
    file: &raw::File,
    routes: &[Route],
    found: &mut Findings,
) -> BTreeMap<ProviderName, Telling> {
    let table = |kind: &str, key: &Spanned<String>| Table {
        path: format!("{kind}.{}", key.get_ref()),
        span: key.span(),
    };
    let stripe = file.stripe.iter().map(|(key, raw)| Given {
        table: table("stripe", key),
        shadow: &raw.shadow,
        bill_from: &raw.bill_from,
        payers: ("customer", ACCOUNT_PREFIX, &raw.customer),
    });
    let chargebee = file.chargebee.iter().map(|(key, raw)| Given {
        table: table("chargebee", key),
        shadow: &raw.shadow,
        bill_from: &raw.bill_from,
        payers: ("subscription", "", &raw.subscription),
    });
    let cryptolens = file.cryptolens.iter().map(|(key, raw)| Given {
        table: table("cryptolens", key),
        shadow: &raw.shadow,
        bill_from: &raw.bill_from,
        payers: ("license", "", &raw.license),
    });
    let planship = file.planship.iter().map(|(key, raw)| Given {
        table: table("planship", key),
        shadow: &raw.shadow,
        bill_from: &raw.bill_from,
        payers: ("customer", "", &raw.customer),
    });
    let all = stripe.chain(chargebee).chain(cryptolens).chain(planship);
    let mut tellings = BTreeMap::new();
    for given in all.collect::<Vec<_>>() {
        // A name that is none was refused where its table is read.
        let Ok(provider) = ProviderName::new(&given.table.path) else { continue };
        let telling = telling(&given, &provider, file, routes, found);
        tellings.insert(provider, telling);
    }
    tellings
}

fn telling(
    given: &Given<'_>,
    provider: &ProviderName,
    file: &raw::File,
    routes: &[Route],
    found: &mut Findings,
) -> Telling {
    let shadow = given.shadow.as_ref().is_some_and(|field| *field.get_ref());
    let mode = if shadow { Mode::Shadow } else { Mode::Live };
    let all = instant(&given.table.key("bill_from"), given.bill_from, found);
    let accounts = accounts(given, found);
    let mut meters: BTreeMap<ProviderMeter, Placed> = BTreeMap::new();
    let its: Vec<&Route> = routes.iter().filter(|route| route.provider == *provider).collect();
    for route in &its {
        let own = file.route.iter().find(|(key, _)| key.get_ref() == route.name.as_str());
        let Some((key, raw)) = own else { continue };
        let path = format!("route.{}.bill_from", route.name);
        let set = instant(&path, &raw.bill_from, found);
        let from = set.clone().or_else(|| all.clone());
        aligned(route, from.iter().chain(accounts.values()), found);
        let span = set.as_ref().map_or(key.span(), |(_, span)| span.clone());
        agree(route, from.as_ref(), (&its, &meters, all.as_ref()), span, found);
        if let Some(set) = set {
            meters.insert(route.provider_meter.clone(), set);
        }
    }
    let plain = |(at, _): Placed| at;
    let cutover = Cutover {
        all: all.map(plain),
        meters: meters.into_iter().map(|(meter, placed)| (meter, plain(placed))).collect(),
        accounts: accounts.into_iter().map(|(account, placed)| (account, plain(placed))).collect(),
    };
    Telling { mode, cutover }
}

/// From when on the usage of single payers is told.
fn accounts(given: &Given<'_>, found: &mut Findings) -> BTreeMap<AccountName, Placed> {
    let (kind, prefix, payers) = &given.payers;
    let mut all = BTreeMap::new();
    for (key, raw) in *payers {
        let path = given.table.key(&format!("{kind}.{}", key.get_ref()));
        let table = Table { path, span: key.span() };
        let what = format!("the {kind}'s id");
        let account = name(&what, key.get_ref(), key.span(), AccountName::new, found);
        if !key.get_ref().starts_with(prefix) {
            let title = format!("`{}` is no {kind} of Stripe", table.path);
            let label = "nobody would be billed from then on, and whoever is meant from another \
                         time";
            let help = format!("name the {kind} by its id at Stripe: it starts with {prefix}");
            found.error(Problem::at(key.span(), title).label(label).help(help));
        }
        let (otherwise, example) = ("it would say nothing", "\"2026-02-01T00:00:00Z\"");
        required(&table, "bill_from", &raw.bill_from, otherwise, example, found);
        let placed = instant(&table.key("bill_from"), &raw.bill_from, found);
        all.extend(account.zip(placed));
    }
    all
}

/// An instant from which on usage is told.
fn instant(path: &str, field: &raw::Key<String>, found: &mut Findings) -> Option<Placed> {
    let field = field.as_ref()?;
    let text = field.get_ref();
    let help = "write it with its zone, such as \"2026-02-01T00:00:00Z\"";
    let Some(at) = Timestamp::parse_rfc3339(text) else {
        let title = format!("`{path}` is {text:?}, and no instant with a zone");
        let label = "usage around it would be billed twice, or not at all";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return None;
    };
    // An instant that is cut to microseconds may look whole, and not be so.
    let is_whole = at.floor_to(MICROS_PER_MINUTE) == at && !has_fraction(text);
    if !is_whole {
        let title = format!("`{path}` is {text:?}, which is on no whole minute");
        let label = "providers tell their totals by the minute: what was told before could not be \
                     told apart";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return None;
    }
    Some((at, field.span()))
}

/// Whether the text has digits other than nought behind the point of its seconds.
fn has_fraction(text: &str) -> bool {
    let behind = text.split_once('.').map_or("", |(_, behind)| behind);
    behind.bytes().take_while(u8::is_ascii_digit).any(|digit| digit != b'0')
}

/// Refuses an instant inside a window of which one record counts, or distinct values do: what was
/// told of the window before could not be told apart from what is told of it then.
fn aligned<'p>(route: &Route, placed: impl Iterator<Item = &'p Placed>, found: &mut Findings) {
    // A gauge is parted at any instant, as it is where periods end.
    if route.aggregate.fold() == Fold::Sum || route.window == WindowRule::Period {
        return;
    }
    for (at, span) in placed {
        if route.window.window_of(*at).start == *at {
            continue;
        }
        let (counts, label) = match route.aggregate.fold() {
            Fold::Unique => ("distinct values are counted", "which of them another program"),
            Fold::Sum | Fold::Last | Fold::Gauge | Fold::Max => {
                ("one record counts", "which of its records another program")
            }
        };
        let label = format!("{label} told is not known");
        let title =
            format!("{at} lies in a window of the route `{}`, of which {counts}", route.name);
        let window = route.window.as_str();
        let help = format!("name the beginning of a window of {window:?}, in UTC");
        found.error(Problem::at(span.clone(), title).label(label).help(help));
    }
}

/// Refuses routes to one meter that are told from different instants: their usage is in the same
/// balances.
fn agree(
    route: &Route,
    from: Option<&Placed>,
    (its, meters, all): (&[&Route], &BTreeMap<ProviderMeter, Placed>, Option<&Placed>),
    span: Range<usize>,
    found: &mut Findings,
) {
    let is_earlier =
        |other: &&&Route| other.provider_meter == route.provider_meter && other.name < route.name;
    let Some(earlier) = its.iter().find(is_earlier) else { return };
    let known = meters.get(&route.provider_meter).or(all);
    if known.map(|(at, _)| *at) == from.map(|(at, _)| *at) {
        return;
    }
    let title = format!(
        "routes `{}` and `{}` lead to one meter, and have different `bill_from`",
        earlier.name, route.name
    );
    let label = "their usage is told together: some of it would be billed twice, or not at all";
    let help = "set the same `bill_from` in both, or only that of the provider";
    found.error(Problem::at(span, title).label(label).help(help));
}
