//! `[lever.NAME]`. PURE. Here: which figures of usage programs may ask for. Never here: a figure.
//! Read next: `silence`.

use toml::Spanned;

use crate::config::field::{Table, name, required, seconds, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::names::{LeverName, MeterName, NAME_BYTES_MAX};
use crate::domain::time::MICROS_PER_SECOND;
use crate::usage::lever::{BUCKET_PROPERTY, Formula, Lever, Period, SUBSCRIPTION_PROPERTY};

/// How records are counted when the operator said nothing: added up, which needs no more of them
/// than a quantity.
const FORMULA: Formula = Formula::Total;
/// Longest time until now that a lever is over, in seconds: ten years of 366 days. What is older
/// belongs to all time.
const ROLLING_SECONDS_MAX: i64 = 10 * 366 * 86_400;

const FORMULAS: [(&str, Formula); 3] = [
    (Formula::Total.as_str(), Formula::Total),
    (Formula::PerBucket.as_str(), Formula::PerBucket),
    (Formula::UniqueBuckets.as_str(), Formula::UniqueBuckets),
];

pub(super) fn levers(
    levers: &raw::Named<raw::Lever>,
    routes: &raw::Named<raw::Route>,
    found: &mut Findings,
) -> Vec<Lever> {
    let mut all = Vec::new();
    for (key, lever) in levers {
        let table = Table { path: format!("lever.{}", key.get_ref()), span: key.span() };
        let named = name("the lever's name", key.get_ref(), key.span(), LeverName::new, found);
        let otherwise = "there would be nothing to count";
        let meter =
            required(&table, "metering_id", &lever.metering_id, otherwise, "\"requests\"", found);
        let meter = meter.and_then(|field| {
            let what = format!("`{}`", table.key("metering_id"));
            name(&what, field.get_ref(), field.span(), MeterName::new, found)
        });
        let period = period(&table, lever, routes, found);
        let formula = word(&table.key("formula"), &lever.formula, &FORMULAS, FORMULA, found);
        let bucket = property(&table, "bucket_property", &lever.bucket_property, found);
        let subscription =
            property(&table, "subscription_property", &lever.subscription_property, found);
        let products = lever.products.as_ref().map(|list| list.get_ref().as_slice());
        let products = products.unwrap_or_default().iter().map(|each| each.get_ref().clone());
        let (Some(named), Some(meter), Some(period)) = (named, meter, period) else { continue };
        all.push(Lever {
            name: named,
            meter,
            formula,
            period,
            bucket_property: bucket.unwrap_or_else(|| BUCKET_PROPERTY.to_owned()),
            subscription_property: subscription.unwrap_or_else(|| SUBSCRIPTION_PROPERTY.to_owned()),
            products: products.collect(),
        });
    }
    all
}

fn period(
    table: &Table,
    lever: &raw::Lever,
    routes: &raw::Named<raw::Route>,
    found: &mut Findings,
) -> Option<Period> {
    let otherwise = "it would not be known over which time";
    let field = required(table, "period", &lever.period, otherwise, "\"subscription\"", found)?;
    match field.get_ref().as_str() {
        "all_time" => return Some(Period::AllTime),
        "subscription" => {
            see_route(lever, routes, field, found);
            return Some(Period::Subscription);
        }
        _ => {}
    }
    let rolling = seconds(field.get_ref()).filter(|span| (1..=ROLLING_SECONDS_MAX).contains(span));
    if rolling.is_none() {
        let title = format!("`{}` is {:?}", table.key("period"), field.get_ref());
        let label = "it would not be known over which time";
        let help = "it may be \"all_time\", \"subscription\", or a time until now such as \"90s\", \
             \"12h\" or \"30d\", of ten years at most";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    rolling.map(|span| Period::Rolling(span.saturating_mul(MICROS_PER_SECOND)))
}

/// Warns where no route takes the meter: whose billing period it is, is known by its account.
fn see_route(
    lever: &raw::Lever,
    routes: &raw::Named<raw::Route>,
    field: &Spanned<String>,
    found: &mut Findings,
) {
    let Some(meter) = &lever.metering_id else { return };
    let takes = |route: &raw::Route| {
        route.meter.as_ref().is_some_and(|taken| taken.get_ref() == meter.get_ref())
    };
    if !routes.values().any(takes) {
        let title = format!("no route takes the meter {:?} of this lever", meter.get_ref());
        let problem = Problem::at(field.span(), title)
            .label("no account is known, and so no billing period: it would have no figures")
            .help("add a route for the meter, or give the lever another period");
        found.warning(problem);
    }
}

fn property(
    table: &Table,
    key: &str,
    field: &raw::Key<String>,
    found: &mut Findings,
) -> Option<String> {
    let field = field.as_ref()?;
    let text = field.get_ref();
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        let title = format!("`{}` is no property's name", table.key(key));
        let label = "no record could have it";
        let help = format!("write a name of 1 to {NAME_BYTES_MAX} bytes, such as \"project\"");
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return None;
    }
    Some(text.clone())
}
