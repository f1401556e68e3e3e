//! `[route.NAME]`. PURE. Here: which records go where, each route by itself and against the meters
//! that its provider declares. Never here: two routes at once (see `collision`). Read next:
//! `collision`.

use toml::Spanned;

use super::collision::{collisions, shared_levels};
use super::event_route::against_feature;
use super::level_route::level;
use super::metered_usage::{PLANSHIP, against_metering_id, charged_twice};
use super::record_usage::{CRYPTOLENS, against_product, billed_twice};
use super::site::Mode;
use super::stripe_route::{against_meter, bills_last};
use super::told_now::is_told_now;
use super::unique_route::{self, unique};
use crate::accrual::route::{self, AccountRule, Aggregate, Route, WindowRule};
use crate::config::field::{Table, decimal, name, required, seconds, word};
use crate::config::finding::Findings;
use crate::config::misspelt::nearest;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::correction::CorrectionPolicy;
use crate::domain::names::{MeterName, ProviderMeter, ProviderName, RouteName};
use crate::domain::period::LatePolicy;
use crate::domain::policies::Policies;
use crate::domain::quantity::Quantity;
use crate::domain::time::MICROS_PER_SECOND;
use crate::provider::chargebee::settings as chargebee;
use crate::provider::stripe::settings::EVENT_NAME_CHARS_MAX;

const WINDOWS: [(&str, WindowRule); 4] = [
    (WindowRule::Record.as_str(), WindowRule::Record),
    (WindowRule::Minute.as_str(), WindowRule::Minute),
    (WindowRule::Hour.as_str(), WindowRule::Hour),
    (WindowRule::Day.as_str(), WindowRule::Day),
];
const CORRECTIONS: [(&str, CorrectionPolicy); 3] = [
    (CorrectionPolicy::CancelThenNegative.as_str(), CorrectionPolicy::CancelThenNegative),
    (CorrectionPolicy::Negative.as_str(), CorrectionPolicy::Negative),
    (CorrectionPolicy::Hold.as_str(), CorrectionPolicy::Hold),
];
const LATE: [(&str, LatePolicy); 3] = [
    (LatePolicy::Hold.as_str(), LatePolicy::Hold),
    (LatePolicy::NextPeriod.as_str(), LatePolicy::NextPeriod),
    (LatePolicy::Drop.as_str(), LatePolicy::Drop),
];
/// What the names of each kind of provider begin with.
pub(super) const STRIPE: &str = "stripe.";
pub(super) const CHARGEBEE: &str = "chargebee.";
/// How long what a subscription takes of usages should last at the least, in days: two years.
const USAGES_LAST_DAYS_MIN: i64 = 730;
const ACCOUNTS: [&str; 2] = ["identity", "imported"];
/// Longest time that a window waits for late usage, in seconds: 7 days. Providers take usage up to
/// 35 days back; this leaves most of that for a provider that is down or a person who has to
/// decide.
const SETTLE_SECONDS_MAX: i64 = 7 * 86_400;

pub(super) fn routes(
    routes: &raw::Named<raw::Route>,
    file: &raw::File,
    found: &mut Findings,
) -> Vec<Route> {
    let mut all = Vec::new();
    for (key, raw) in routes {
        let table = Table { path: format!("route.{}", key.get_ref()), span: key.span() };
        if let Some(route) = route(&table, key, raw, file, found) {
            against_meter(&table, raw, &route, file, found);
            unique(&table, raw, &route, found);
            level(&table, raw, &route, site_of(route.provider.as_str(), file), found);
            against_site(&table, raw, &route, file, found);
            against_product(&table, raw, &route, file, found);
            against_metering_id(&table, raw, &route, file, found);
            all.push((route, key.span()));
        }
    }
    collisions(&all, found);
    shared_levels(&all, found);
    billed_twice(&all, file, found);
    charged_twice(&all, found);
    all.into_iter().map(|(route, _)| route).collect()
}

fn route(
    table: &Table,
    key: &Spanned<String>,
    raw: &raw::Route,
    file: &raw::File,
    found: &mut Findings,
) -> Option<Route> {
    let own = name("the route's name", key.get_ref(), key.span(), RouteName::new, found);
    let meter = meter(table, raw, found);
    let provider = provider(table, raw, file, found);
    let keeps_entries = raw.to.as_ref().is_some_and(|to| is_told_usages(to.get_ref(), file));
    let event = event(table, raw, found);
    let aggregate = unique_route::aggregate(table, raw, found);
    // A subscription takes only so many usages in its life: one a day lasts for years.
    let otherwise = if keeps_entries { WindowRule::Day } else { route::WINDOW };
    let said = word(&table.key("window"), &raw.window, &WINDOWS, otherwise, found);
    let is_gauge = match (&provider, &event) {
        (Some(provider), Some(event)) => bills_last(provider.as_str(), event.as_str(), file),
        (None, _) | (_, None) => false,
    };
    let is_now = raw.to.as_ref().is_some_and(|to| is_told_now(to.get_ref()));
    let window = match (is_gauge, is_now) {
        (true, _) => WindowRule::Period,
        (false, true) => WindowRule::Ever,
        (false, false) => said,
    };
    let scale = scale(table, raw, &aggregate, found);
    let account = account(table, raw, found);
    let settle_micros = settle(table, raw, found);
    let corrections =
        word(&table.key("corrections"), &raw.corrections, &CORRECTIONS, route::CORRECTIONS, found);
    let late = word(&table.key("late"), &raw.late, &LATE, route::LATE, found);
    let hold_above = hold_above(table, raw, found);
    let texts = |(key, value): (&Spanned<String>, &Spanned<String>)| {
        (key.get_ref().clone(), value.get_ref().clone())
    };
    Some(Route {
        name: own?,
        meter: meter?,
        matches: raw.r#match.iter().map(texts).collect(),
        provider: provider?,
        provider_meter: event?,
        window,
        aggregate,
        scale,
        account,
        settle_micros,
        policies: Policies { corrections, late, hold_above },
    })
}

fn meter(table: &Table, raw: &raw::Route, found: &mut Findings) -> Option<MeterName> {
    let otherwise = "the route would take no record";
    let field = required(table, "meter", &raw.meter, otherwise, "\"requests\"", found)?;
    let what = format!("`{}`", table.key("meter"));
    name(&what, field.get_ref(), field.span(), MeterName::new, found)
}

fn provider(
    table: &Table,
    raw: &raw::Route,
    file: &raw::File,
    found: &mut Findings,
) -> Option<ProviderName> {
    let otherwise = "its records would wait for ever";
    let field = required(table, "to", &raw.to, otherwise, "\"stripe.main\"", found)?;
    let text = field.get_ref().as_str();
    let stripe = file.stripe.keys().map(|key| format!("{STRIPE}{}", key.get_ref()));
    let chargebee = file.chargebee.keys().map(|key| format!("{CHARGEBEE}{}", key.get_ref()));
    let cryptolens = file.cryptolens.keys().map(|key| format!("{CRYPTOLENS}{}", key.get_ref()));
    let planship = file.planship.keys().map(|key| format!("{PLANSHIP}{}", key.get_ref()));
    let known: Vec<String> = stripe.chain(chargebee).chain(cryptolens).chain(planship).collect();
    if !known.iter().any(|known| known == text) {
        let title =
            format!("`{}` names a provider that is not configured: {text:?}", table.key("to"));
        let help = match nearest(text, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if known.is_empty() => "add a table such as [stripe.main] with a key".to_owned(),
            None => format!("configured are: {}", known.join(", ")),
        };
        let label = "its records would wait for a provider that never comes";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return None;
    }
    let what = format!("`{}`", table.key("to"));
    name(&what, text, field.span(), ProviderName::new, found)
}

/// What the provider counts: `event`, or else the meter's own name.
fn event(table: &Table, raw: &raw::Route, found: &mut Findings) -> Option<ProviderMeter> {
    let (key, field) = match (&raw.event, &raw.meter) {
        (Some(event), _) => ("event", event),
        (None, Some(meter)) => ("meter", meter),
        (None, None) => return None,
    };
    let path = table.key(key);
    let text = field.get_ref();
    if text.chars().count() > EVENT_NAME_CHARS_MAX {
        let title = format!("`{path}` is longer than {EVENT_NAME_CHARS_MAX} characters");
        let label = "no meter at Stripe has an event name as long";
        let help = "set `event` to the event name of the meter at Stripe";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return None;
    }
    if key == "meter" {
        // Its form was judged as the meter's already.
        return ProviderMeter::new(text).ok();
    }
    name(&format!("`{path}`"), text, field.span(), ProviderMeter::new, found)
}

fn scale(table: &Table, raw: &raw::Route, aggregate: &Aggregate, found: &mut Findings) -> Quantity {
    let Some(field) = &raw.scale else { return Quantity::one() };
    let path = table.key("scale");
    let Some(scale) = decimal(&path, field, found) else { return Quantity::one() };
    if scale.is_zero() || scale.is_negative() {
        let (title, label) = if scale.is_zero() {
            (format!("`{path}` is zero"), "all usage would be billed as nothing")
        } else {
            (format!("`{path}` is {scale}, below zero"), "usage would be taken off the bill")
        };
        let help = "write a decimal above zero in quotes, such as \"0.001\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    match aggregate {
        Aggregate::Sum | Aggregate::Last | Aggregate::Max => {}
        Aggregate::Count | Aggregate::Unique(_) => {
            let what = if *aggregate == Aggregate::Count { "records" } else { "values" };
            let title = format!("`{path}` is set, and the route counts {what}");
            let label = "a record counts as one, whatever its quantity: this has no effect";
            let help = "remove `scale`, or set `aggregate = \"sum\"`";
            found.warning(Problem::at(field.span(), title).label(label).help(help));
        }
    }
    scale
}

/// What a window may come to without a person having seen it.
fn hold_above(table: &Table, raw: &raw::Route, found: &mut Findings) -> Option<Quantity> {
    let field = raw.hold_above.as_ref()?;
    let path = table.key("hold_above");
    let most = decimal(&path, field, found)?;
    if most.is_zero() || most.is_negative() {
        let title = format!("`{path}` is {most}, and has to be above zero");
        let label = "every window would wait for a person";
        let help = "write more than any window should come to, after `scale`, such as \"100000\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    Some(most)
}

fn account(table: &Table, raw: &raw::Route, found: &mut Findings) -> AccountRule {
    let Some(field) = &raw.account else { return AccountRule::Identity };
    let path = table.key("account");
    let example = "{ template = \"cus_{customer}\" }";
    match field.get_ref() {
        raw::Account::Word(word) if word == "identity" => AccountRule::Identity,
        raw::Account::Word(word) if word == "imported" => AccountRule::Imported,
        raw::Account::Word(word) => {
            let title = format!("`{path}` does not know the word {word:?}");
            let label = "nobody could be billed";
            let help = match nearest(word, ACCOUNTS) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("it may be \"identity\", \"imported\" or {example}"),
            };
            found.error(Problem::at(field.span(), title).label(label).help(help));
            AccountRule::Identity
        }
        raw::Account::Template(template) => {
            let inner = Table { path, span: field.span() };
            let otherwise = "nobody could be billed";
            let example = "\"cus_{customer}\"";
            let text = required(&inner, "template", &template.template, otherwise, example, found);
            let Some(text) = text else { return AccountRule::Identity };
            if !text.get_ref().contains("{customer}") {
                let title = format!("`{}` has no {{customer}}", inner.key("template"));
                let label = "all customers' usage would go to one and the same account";
                let help = "write {customer} where the customer's name belongs: \"cus_{customer}\"";
                found.error(Problem::at(text.span(), title).label(label).help(help));
            }
            AccountRule::Template(text.get_ref().clone())
        }
    }
}

fn settle(table: &Table, raw: &raw::Route, found: &mut Findings) -> i64 {
    let Some(field) = &raw.settle else { return route::SETTLE_MICROS };
    let wait = seconds(field.get_ref()).filter(|seconds| *seconds <= SETTLE_SECONDS_MAX);
    let Some(wait) = wait else {
        let title = format!("`{}` is {:?}", table.key("settle"), field.get_ref());
        let label = "a window has to be posted at a known time, long before it is too old";
        let help = "write a number of s, m, h or d, up to \"7d\"; without this line it is \"5m\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return route::SETTLE_MICROS;
    };
    wait.saturating_mul(MICROS_PER_SECOND)
}

/// Warns when a subscription that uses the meter all day would have used up what it takes of usages
/// in its life within [`USAGES_LAST_DAYS_MIN`].
fn lasts(raw: &raw::Route, route: &Route, site: &raw::Chargebee, found: &mut Findings) {
    let Some(field) = &raw.window else { return };
    let a_day = match route.window {
        WindowRule::Record | WindowRule::Minute => 24 * 60,
        WindowRule::Hour => 24,
        // No site bills a gauge, or what has no time.
        WindowRule::Day | WindowRule::Period | WindowRule::Ever => 1,
    };
    let most =
        site.usages_max.as_ref().map_or(chargebee::USAGES_MAX.into(), |most| *most.get_ref());
    let days = most / a_day;
    if days < USAGES_LAST_DAYS_MIN {
        let title =
            format!("`window` is {:?}, and a subscription takes {most} usages", field.get_ref());
        let label = format!("one that uses this all day has none left after {days} days");
        let help = "set `window = \"1d\"`, or `usages_max` of the site to what Chargebee gave it";
        found.warning(Problem::at(field.span(), title).label(label).help(help));
    }
}

/// The Chargebee site of this name.
fn site_of<'f>(
    provider: &str,
    file: &'f raw::File,
) -> Option<(&'f Spanned<String>, &'f raw::Chargebee)> {
    let mut sites = file.chargebee.iter();
    sites.find(|(key, _)| format!("{CHARGEBEE}{}", key.get_ref()) == provider)
}

/// Whether a Chargebee site meters by usages, as far as one of this name is there.
fn is_told_usages(provider: &str, file: &raw::File) -> bool {
    let mode = site_of(provider, file).map(|(_, site)| Mode::of(site));
    provider.starts_with(CHARGEBEE) && mode != Some(Mode::UsageEvents)
}

/// A route to a Chargebee site has to fit how that meters.
fn against_site(
    table: &Table,
    raw: &raw::Route,
    route: &Route,
    file: &raw::File,
    found: &mut Findings,
) {
    let Some(site) = site_of(route.provider.as_str(), file) else { return };
    match Mode::of(site.1) {
        Mode::Usages => against_item_price(raw, route, site, found),
        Mode::UsageEvents => against_feature(table, raw, route, site, found),
    }
}

/// A route to a site that meters by usages has to name an item price that is declared there, and
/// its corrections cannot be told as quantities below zero.
fn against_item_price(
    raw: &raw::Route,
    route: &Route,
    (site_key, site): (&Spanned<String>, &raw::Chargebee),
    found: &mut Findings,
) {
    let declared: Vec<&str> = site.item_price.keys().map(|key| key.get_ref().as_str()).collect();
    let meter = route.provider_meter.as_str();
    if !declared.contains(&meter)
        && let Some(place) = raw.event.as_ref().or(raw.meter.as_ref())
    {
        let title = format!("{meter:?} is no item price of `{}`", route.provider);
        let help = match nearest(meter, declared.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!(
                "add [{}.item_price.\"{meter}\"] with its `aggregation`, or set `event` to the id \
                 of one that is there",
                route.provider
            ),
        };
        let problem = Problem::at(place.span(), title)
            .label("how its usages are added up is not known: nothing would be told")
            .help(help)
            .context(site_key.span(), "the site");
        found.error(problem);
    }
    if let (WindowRule::Record, Some(field)) = (route.window, &raw.window) {
        let title = format!("`window` is \"record\", and `{}` keeps entries", route.provider);
        let label = "each entry needs a second of its window, and a record's has none to spare";
        let help = "remove it: a day's records are one entry";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    lasts(raw, route, site, found);
    if let (CorrectionPolicy::Negative, Some(field)) =
        (route.policies.corrections, &raw.corrections)
    {
        let title =
            format!("`corrections` is \"negative\", and `{}` takes no such", route.provider);
        let label = "what a quantity below zero would do to the bill is not documented";
        let help = "remove it: entries are deleted, and what should stay is entered anew";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
}
