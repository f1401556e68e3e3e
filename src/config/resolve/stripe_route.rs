//! What a route makes, beside the meter at Stripe that it goes to. PURE. Here: whether the two
//! agree, where the meter is declared. Never here: what every route has (see `route`), sites (see
//! `level_route`). Read next: `collision`.

use toml::Spanned;

use super::account::{FORMULAS, SPANS};
use super::route::STRIPE;
use crate::accrual::route::{Aggregate, Route, WindowRule};
use crate::config::field::Table;
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::period::LatePolicy;
use crate::domain::provider_facts::{Formula, Span};

/// What a route makes has to be what its meter adds up, where the meter is declared.
pub(super) fn against_meter(
    table: &Table,
    raw: &raw::Route,
    route: &Route,
    file: &raw::File,
    found: &mut Findings,
) {
    if !route.provider.as_str().starts_with(STRIPE) {
        return;
    }
    level(table, raw, route, found);
    let (provider, name) = (route.provider.as_str(), route.provider_meter.as_str());
    let Some((key, meter)) = declared(provider, name, file) else { return };
    if let Some(span) = known(meter.span.as_ref(), &SPANS) {
        total(table, (raw, route), span, key, found);
    }
    match known(meter.formula.as_ref(), &FORMULAS).unwrap_or(Formula::Sum) {
        Formula::Sum => {}
        Formula::Last => gauge(table, (raw, route), key, found),
        Formula::Count => count(table, (raw, route), key, found),
    }
}

/// What is declared of a meter at Stripe.
fn declared<'f>(
    provider: &str,
    meter: &str,
    file: &'f raw::File,
) -> Option<(&'f Spanned<String>, &'f raw::StripeMeter)> {
    let mut accounts = file.stripe.iter();
    let own = |key: &Spanned<String>| format!("{STRIPE}{}", key.get_ref()) == provider;
    let (_, account) = accounts.find(|(key, _)| own(key))?;
    account.meter.iter().find(|(key, _)| key.get_ref() == meter)
}

/// Whether a meter is declared as one that bills the last value: its routes have no windows.
pub(super) fn bills_last(provider: &str, meter: &str, file: &raw::File) -> bool {
    let formula = declared(provider, meter, file).and_then(|(_, meter)| meter.formula.as_ref());
    provider.starts_with(STRIPE) && known(formula, &FORMULAS) == Some(Formula::Last)
}

/// What a word means, if it is known; that it is not is said where it stands.
fn known<T: Copy>(field: Option<&Spanned<String>>, words: &[(&str, T)]) -> Option<T> {
    let text = field?.get_ref();
    words.iter().find(|(word, _)| word == text).map(|(_, meant)| *meant)
}

/// A meter that counts takes each record by itself, as one.
fn count(
    table: &Table,
    (raw, route): (&raw::Route, &Route),
    key: &Spanned<String>,
    found: &mut Findings,
) {
    let declared = format!("{:?} is declared as a meter that counts", key.get_ref());
    if route.window != WindowRule::Record {
        let span = raw.window.as_ref().map_or(table.span.clone(), Spanned::span);
        let title = format!("`{}` sums records up before a meter that counts", table.path);
        let problem = Problem::at(span, title)
            .label("a whole window of records would count as one")
            .help("set `window = \"record\"`, or correct the declared `formula`")
            .context(key.span(), declared.clone());
        found.error(problem);
    }
    if route.aggregate != Aggregate::Count {
        let span = raw.aggregate.as_ref().map_or(table.span.clone(), Spanned::span);
        let title = format!("`{}` sends quantities to a meter that counts", table.path);
        let problem = Problem::at(span, title)
            .label("a record of 3 would count as one, and the two books never agree")
            .help("set `aggregate = \"count\"`, or correct the declared `formula`")
            .context(key.span(), declared);
        found.error(problem);
    }
}

/// A meter that bills the last value of a period takes readings, each for its own time.
fn gauge(
    table: &Table,
    (raw, route): (&raw::Route, &Route),
    key: &Spanned<String>,
    found: &mut Findings,
) {
    let declared = format!("{:?} is declared as a meter that bills the last value", key.get_ref());
    if route.aggregate != Aggregate::Last {
        let place = raw.aggregate.as_ref().map_or(table.span.clone(), Spanned::span);
        let (path, word) = (table.key("aggregate"), route.aggregate.as_str());
        let title = format!("`{path}` is {word:?}, and its meter bills the last value");
        let label = "of all that was used in a period, only what was told last would be billed";
        let help = "set `aggregate = \"last\"`, for records that say a level, or correct the \
                    declared `formula`";
        let problem = Problem::at(place, title).label(label).help(help);
        found.error(problem.context(key.span(), declared.clone()));
    }
    if let Some(field) = &raw.window {
        let title = format!("`{}` is set, and its meter bills the last value", table.key("window"));
        let label = "the newest reading of a period counts, whatever window it would be in";
        let help = "remove it: a reading is told `settle` after it came, for its own time";
        let problem = Problem::at(field.span(), title).label(label).help(help);
        found.error(problem.context(key.span(), declared));
    }
}

/// A meter that keeps one total per span takes one window's total for it, and no other.
fn total(
    table: &Table,
    (raw, route): (&raw::Route, &Route),
    span: Span,
    key: &Spanned<String>,
    found: &mut Findings,
) {
    let declared =
        format!("{:?} is declared as a meter that keeps one total per {span}", key.get_ref());
    let fitting = match span {
        Span::Hour => WindowRule::Hour,
        Span::Day => WindowRule::Day,
    };
    if route.window != fitting {
        let place = raw.window.as_ref().map_or(table.span.clone(), Spanned::span);
        let window = route.window.as_str();
        let title = format!("`{}` is {window:?}, and its meter keeps totals", table.key("window"));
        let label = "the totals of two windows would overwrite each other, or be added up";
        let help = format!("set `window = {:?}`, or correct the declared `span`", fitting.as_str());
        let problem = Problem::at(place, title).label(label).help(help);
        found.error(problem.context(key.span(), declared.clone()));
    }
    if let (LatePolicy::NextPeriod, Some(field)) = (route.policies.late, &raw.late) {
        let title =
            format!("`{}` is \"next_period\", and its meter keeps totals", table.key("late"));
        let label = "what is carried would overwrite the total of the window that it comes into";
        let problem =
            Problem::at(field.span(), title).label(label).help("write \"hold\" or \"drop\"");
        found.error(problem.context(key.span(), declared));
    }
}

/// Stripe adds windows up. That each of them says a level is meant where somebody said how long
/// they are, as with a daily peak.
fn level(table: &Table, raw: &raw::Route, route: &Route, found: &mut Findings) {
    let (path, word) = (table.key("aggregate"), route.aggregate.as_str());
    if route.aggregate.fold().adds_up() {
        return;
    }
    let span = raw.aggregate.as_ref().map_or(table.span.clone(), Spanned::span);
    let has_windows = match route.window {
        WindowRule::Record => false,
        WindowRule::Minute | WindowRule::Hour | WindowRule::Day => raw.window.is_some(),
        // What is billed of a period is one level.
        WindowRule::Period | WindowRule::Ever => true,
    };
    if !has_windows {
        let title = format!("`{path}` is {word:?}, and Stripe adds up what it is told");
        let label = "the levels of all windows are added up: how long one is decides the bill";
        let help = "say how long a window is, such as `window = \"1d\"` for one level a day; or, \
                    if its meter bills the last value, declare it with `formula = \"last\"`";
        found.error(Problem::at(span.clone(), title).label(label).help(help));
    }
    if let (LatePolicy::NextPeriod, Some(field)) = (route.policies.late, &raw.late) {
        let title = format!("`{}` is \"next_period\", and `{path}` is {word:?}", table.key("late"));
        let label = "the level of one period would be billed as that of the next";
        let help = "write \"hold\" or \"drop\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
}
