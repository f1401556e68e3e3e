//! Providers that only count, where usage counts when it is told. PURE. Here: what their tables and
//! the routes to them have in common. Never here: one provider's own keys (see `record_usage`,
//! `metered_usage`). Read next: `record_usage`.

use std::ops::Range;

use toml::Spanned;

use super::account::is_loopback;
use super::metered_usage::PLANSHIP;
use super::record_usage::CRYPTOLENS;
use crate::accrual::route::Route;
use crate::config::field::Table;
use crate::config::finding::Findings;
use crate::config::misspelt::nearest;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::correction::CorrectionPolicy;
use crate::domain::period::LatePolicy;
use crate::provider::counting::OnUnknown;

/// What becomes of an event whose answer was lost, in the words of the file.
pub(super) const ON_UNKNOWN: [(&str, OnUnknown); 2] =
    [("hold", OnUnknown::Hold), ("resend", OnUnknown::Resend)];

/// Whether a route leads to such a provider.
pub(super) fn is_told_now(to: &str) -> bool {
    [CRYPTOLENS, PLANSHIP].iter().any(|kind| to.starts_with(kind))
}

/// What says whether money moves, at a provider whose key does not.
pub(super) struct Live<'a> {
    /// That none does.
    pub(super) test: &'a raw::Key<bool>,
    /// Where it is told.
    pub(super) api: &'a raw::Key<String>,
    /// Whose it is.
    pub(super) whose: &'static str,
}

impl Live<'_> {
    /// Whether money moves: unless the operator says that none does, or it is told on this host.
    /// What is told elsewhere than at the provider's own has to be said to be no such thing.
    pub(super) fn mode(
        &self,
        table: &Table,
        api: &str,
        is_own: bool,
        found: &mut Findings,
    ) -> bool {
        let is_here = api.split_once("://").is_some_and(|(_, host)| is_loopback(host));
        let said = self.test.as_ref().is_some_and(|field| *field.get_ref());
        if let (false, false, false, Some(field)) = (is_here, said, is_own, self.api) {
            let (path, whose) = (table.key("api"), self.whose);
            let title = format!("`{path}` is not {whose}'{} own address", genitive(whose));
            let label = "the key that moves money would be sent there";
            let help = "remove `api`, or add `test = true` if no money moves there";
            found.error(Problem::at(field.span(), title).label(label).help(help));
        }
        !is_here && !said
    }
}

/// What a name in the genitive has behind its apostrophe.
fn genitive(name: &str) -> &'static str {
    if name.ends_with('s') { "" } else { "s" }
}

/// The meters that a provider's table declares.
pub(super) struct Declared {
    /// What one is.
    pub(super) what: &'static str,
    /// The key that has them.
    pub(super) key: &'static str,
    /// Where the table stands.
    pub(super) table: Range<usize>,
    /// All of them.
    pub(super) all: Vec<String>,
}

impl Declared {
    /// Refuses a route that names none of them.
    pub(super) fn names(&self, raw: &raw::Route, route: &Route, found: &mut Findings) {
        let Some(place) = raw.event.as_ref().or(raw.meter.as_ref()) else { return };
        let meter = route.provider_meter.as_str();
        if self.all.iter().any(|declared| declared == meter) {
            return;
        }
        let (what, key) = (self.what, self.key);
        let title = format!("{meter:?} is no {what} of `{}`", route.provider);
        let help = match nearest(meter, self.all.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("set `event` to one that `{key}` of [{}] has", route.provider),
        };
        let problem = Problem::at(place.span(), title)
            .label("nobody says that there is one: nothing would be told")
            .help(help)
            .context(self.table.clone(), "the provider");
        found.error(problem);
    }
}

/// Refuses what has no meaning where there are no windows and no bills are followed.
pub(super) fn has_no_windows(table: &Table, raw: &raw::Route, route: &Route, found: &mut Findings) {
    let mut refuse = |key: &str, place: Option<Range<usize>>, said: [&str; 3]| {
        let (Some(place), [why, label, help]) = (place, said) else { return };
        let title = format!("`{}` {why} `{}`", table.key(key), route.provider);
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
