//! What the records of a route's windows come to, beside what its provider bills. PURE. Here:
//! whether the two agree. Never here: what every route has (see `route`), meters at Stripe (see
//! `stripe_route`). Read next: `collision`.

use toml::Spanned;

use super::route::STRIPE;
use super::site::{AGGREGATIONS, Mode};
use crate::accrual::route::Route;
use crate::config::field::Table;
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::fold::Fold;
use crate::domain::period::LatePolicy;

/// Refuses windows that come to something else than what is billed: of entries of which the newest
/// counts, a window's newest record has to be told, and so on.
pub(super) fn level(
    table: &Table,
    raw: &raw::Route,
    route: &Route,
    site: Option<(&Spanned<String>, &raw::Chargebee)>,
    found: &mut Findings,
) {
    let path = table.key("aggregate");
    let span = raw.aggregate.as_ref().map_or(table.span.clone(), Spanned::span);
    let (word, fold) = (route.aggregate.as_str(), route.aggregate.fold());
    let provider = &route.provider;
    if provider.as_str().starts_with(STRIPE) {
        return;
    }
    let usages = site.filter(|(_, site)| Mode::of(site) == Mode::Usages);
    let Some((_, site)) = usages else {
        if !fold.adds_up() {
            let title = format!("`{path}` is {word:?}, and `{provider}` adds up what it is told");
            let label = "the levels of all windows would be added up";
            let help = "remove it, or route the meter to an item price of which the newest or the \
                        largest usage is billed";
            found.error(Problem::at(span, title).label(label).help(help));
        }
        return;
    };
    let price =
        site.item_price.iter().find(|(key, _)| key.get_ref() == route.provider_meter.as_str());
    let Some((key, price)) = price else { return };
    let Some(said) = &price.aggregation else { return };
    let known = AGGREGATIONS.iter().find(|(word, _)| word == said.get_ref());
    let Some((billed, aggregation)) = known else { return };
    let fits = *aggregation == fold || (aggregation.adds_up() && fold.adds_up());
    if !fits {
        let title = format!("`{path}` is {word:?}, and what is billed of the price is {billed:?}");
        let (label, help) = match aggregation {
            // No price bills distinct values.
            Fold::Sum | Fold::Unique => (
                "the levels of all windows would be added up",
                "set `aggregate = \"sum\"`, or correct the price's `aggregation`",
            ),
            // No price bills a gauge.
            Fold::Last | Fold::Gauge => (
                "only what the newest window adds would be billed",
                "set `aggregate = \"last\"`, for records that say a level",
            ),
            Fold::Max => (
                "only what the largest window adds would be billed",
                "set `aggregate = \"max\"`, for records that say a level",
            ),
        };
        let problem = Problem::at(span, title).label(label).help(help);
        found.error(problem.context(key.span(), "the price"));
    }
    if let (true, LatePolicy::NextPeriod, Some(field)) =
        (!fold.adds_up(), route.policies.late, &raw.late)
    {
        let title = format!("`{}` is \"next_period\", and `{path}` is {word:?}", table.key("late"));
        let label = "the level of one term would be billed as that of the next";
        let help = "write \"hold\" or \"drop\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
}
