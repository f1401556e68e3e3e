//! Routes that count distinct values. PURE. Here: what a route's windows come to, and what goes
//! with counting distinct values. Never here: whether that is what is billed (see `level_route`,
//! `stripe_route`). Read next: `level_route`.

use toml::Spanned;

use crate::accrual::route::{self, Aggregate, Route, WindowRule};
use crate::config::field::{Table, required, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::fold::Fold;
use crate::domain::names::NAME_BYTES_MAX;
use crate::domain::period::LatePolicy;

const UNIQUE: &str = "unique";
/// What each word means, where it says all that there is to say.
const AGGREGATES: [(&str, Option<Aggregate>); 5] = [
    (Aggregate::Sum.as_str(), Some(Aggregate::Sum)),
    (Aggregate::Count.as_str(), Some(Aggregate::Count)),
    (Aggregate::Last.as_str(), Some(Aggregate::Last)),
    (Aggregate::Max.as_str(), Some(Aggregate::Max)),
    (UNIQUE, None),
];

/// What the records of a window come to.
pub(super) fn aggregate(table: &Table, raw: &raw::Route, found: &mut Findings) -> Aggregate {
    let path = table.key("aggregate");
    let words: Vec<(&str, usize)> =
        AGGREGATES.iter().zip(0..).map(|((word, _), place)| (*word, place)).collect();
    let otherwise = AGGREGATES.iter().position(|(_, meant)| *meant == Some(route::AGGREGATE));
    let place = word(&path, &raw.aggregate, &words, otherwise.unwrap_or_default(), found);
    let Some((name, meant)) = AGGREGATES.get(place) else { return route::AGGREGATE };
    let Some(meant) = meant else { return Aggregate::Unique(property(table, raw, found)) };
    if let Some(field) = &raw.unique {
        let title = format!("`{}` is set, and `{path}` is {name:?}", table.key(UNIQUE));
        let label = "no values are counted so: this has no effect";
        let help = "set `aggregate = \"unique\"`, or remove it";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    meant.clone()
}

/// The property whose values are counted.
fn property(table: &Table, raw: &raw::Route, found: &mut Findings) -> String {
    let otherwise = "whose distinct values are counted would not be known";
    let field = required(table, UNIQUE, &raw.unique, otherwise, "\"user\"", found);
    let Some(field) = field else { return String::new() };
    let text = field.get_ref();
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if !fits {
        let title = format!("`{}` is {text:?}", table.key(UNIQUE));
        let label = "no record has a property of such a name: all of them would wait";
        let help = format!("name a property, in 1 to {NAME_BYTES_MAX} bytes");
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    text.clone()
}

/// Refuses what contradicts counting distinct values: windows that nobody chose, as what they come
/// to is added up, and a period that is billed what another one counted.
pub(super) fn unique(table: &Table, raw: &raw::Route, route: &Route, found: &mut Findings) {
    if route.aggregate.fold() != Fold::Unique {
        return;
    }
    let path = table.key("aggregate");
    let span = raw.aggregate.as_ref().map_or(table.span.clone(), Spanned::span);
    let window = match route.window {
        WindowRule::Record => Some("\"record\""),
        WindowRule::Minute | WindowRule::Hour | WindowRule::Day if raw.window.is_none() => {
            Some("not set")
        }
        WindowRule::Ever => Some("none there"),
        // That a gauge's meter has no windows is said elsewhere.
        WindowRule::Minute | WindowRule::Hour | WindowRule::Day | WindowRule::Period => None,
    };
    if let Some(said) = window {
        let title = format!("`{path}` is \"unique\", and `{}` is {said}", table.key("window"));
        let label = "a value counts once in each window, and windows are added up: how long one \
                     is decides the bill";
        let help = "say how long a window is, such as `window = \"1d\"` for the values of each \
                    day; those of a month are fewer than those of its days together";
        found.error(Problem::at(span, title).label(label).help(help));
    }
    if let (LatePolicy::NextPeriod, Some(field)) = (route.policies.late, &raw.late) {
        let title =
            format!("`{}` is \"next_period\", and `{path}` is \"unique\"", table.key("late"));
        let label = "what one period counts would be billed with the values of the next";
        let help = "write \"hold\" or \"drop\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
}
