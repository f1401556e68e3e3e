//! A route to a site that meters by usage events. PURE. Here: what its windows, its feature and its
//! policies may be. Never here: what every route has (see `route`). Read next: `collision`.

use toml::Spanned;

use crate::accrual::route::{Route, WindowRule};
use crate::config::field::Table;
use crate::config::finding::Findings;
use crate::config::misspelt::nearest;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::correction::CorrectionPolicy;
use crate::domain::period::LatePolicy;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};
use crate::provider::chargebee::usage_events::settings::{SETTLE_HOURS_MAX, WINDOW_MICROS_MAX};

/// Refuses what a site of events cannot be told.
pub(super) fn against_feature(
    table: &Table,
    raw: &raw::Route,
    route: &Route,
    (site_key, site): (&Spanned<String>, &raw::Chargebee),
    found: &mut Findings,
) {
    names_a_feature(raw, route, (site_key, site), found);
    is_told_in_time(table, raw, route, found);
    let provider = &route.provider;
    if let (CorrectionPolicy::Negative, Some(field)) =
        (route.policies.corrections, &raw.corrections)
    {
        let title = format!("`corrections` is \"negative\", and `{provider}` takes no such");
        let label = "what a value below zero would do to the bill is not documented";
        let help = "remove it: no event can be taken back, and what is too much is held";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    if let (LatePolicy::NextPeriod | LatePolicy::Drop, Some(field)) =
        (route.policies.late, &raw.late)
    {
        let word = field.get_ref();
        let title = format!("`late` is {word:?}, and the bills of `{provider}` are not followed");
        let label = "no usage would ever be known to be late for its bill";
        let help = "remove it: usage that is older than the site takes is held";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
}

fn names_a_feature(
    raw: &raw::Route,
    route: &Route,
    (site_key, site): (&Spanned<String>, &raw::Chargebee),
    found: &mut Findings,
) {
    let declared: Vec<&str> = site.feature.keys().map(|key| key.get_ref().as_str()).collect();
    let meter = route.provider_meter.as_str();
    let Some(place) = raw.event.as_ref().or(raw.meter.as_ref()) else { return };
    if declared.contains(&meter) {
        return;
    }
    let title = format!("{meter:?} is no feature of `{}`", route.provider);
    let help = match nearest(meter, declared.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!(
            "add [{}.feature.\"{meter}\"] with its `property`, or set `event` to the id of one \
             that is there",
            route.provider
        ),
    };
    let problem = Problem::at(place.span(), title)
        .label("which property its meter adds up is not known: nothing would be told")
        .help(help)
        .context(site_key.span(), "the site");
    found.error(problem);
}

/// Events are taken for twelve hours after their time, so what waits for longer is never told.
fn is_told_in_time(table: &Table, raw: &raw::Route, route: &Route, found: &mut Findings) {
    let provider = &route.provider;
    let window = match route.window {
        WindowRule::Record => 0,
        WindowRule::Minute => MICROS_PER_MINUTE,
        WindowRule::Hour => MICROS_PER_HOUR,
        // A gauge only Stripe bills, and what has no time no site.
        WindowRule::Day | WindowRule::Period | WindowRule::Ever => MICROS_PER_DAY,
    };
    if let (true, Some(field)) = (window > WINDOW_MICROS_MAX, &raw.window) {
        let path = table.key("window");
        let title = format!("`{path}` is {:?}, and `{provider}` takes events", field.get_ref());
        let label = "events are taken for 12 hours: most of a window would be too old at its end";
        let help = "remove it, for windows of an hour, or write a shorter one";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    let most = SETTLE_HOURS_MAX * MICROS_PER_HOUR;
    if let (true, Some(field)) = (route.settle_micros > most, &raw.settle) {
        let path = table.key("settle");
        let title = format!("`{path}` is {:?}, and `{provider}` takes events", field.get_ref());
        let label = "events are taken for 12 hours: nothing would be left of them for an outage";
        let help = format!("write \"{SETTLE_HOURS_MAX}h\" at the most");
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
}
