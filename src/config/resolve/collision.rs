//! Routes that collide. PURE. Here: whether two routes could take the same record to the same
//! destination. Never here: a route by itself. Read next: `account`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::accrual::route::Route;
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::domain::fold::Fold;

/// Refuses every route that shares a destination and possible records with an earlier one.
pub(super) fn collisions(routes: &[(Route, Range<usize>)], found: &mut Findings) {
    let mut destinations: BTreeMap<_, Vec<&(Route, Range<usize>)>> = BTreeMap::new();
    for entry in routes {
        let (route, _) = entry;
        let destination = (&route.meter, &route.provider, &route.provider_meter);
        destinations.entry(destination).or_default().push(entry);
    }
    for mut sharing in destinations.into_values() {
        sharing.sort_by_key(|(_, span)| span.start);
        for (index, (second, span)) in sharing.iter().enumerate() {
            let earlier = sharing[..index].iter().find(|(first, _)| overlap(first, second));
            let Some((first, first_span)) = earlier else { continue };
            let title = format!(
                "routes `{}` and `{}` can take the same record to the same meter",
                first.name, second.name
            );
            let problem = Problem::at(span.clone(), title)
                .label("it would be billed once, and wait here for ever")
                .help("give one property another value in each `match`, or another `event`")
                .context(first_span.clone(), "the earlier route");
            found.error(problem);
        }
    }
}

/// Refuses every route that shares a level with an earlier one: of all that comes to a window only
/// one record counts, and the other route's would be lost. Distinct values are counted over several
/// routes as over one, where all of them do so in the same windows.
pub(super) fn shared_levels(routes: &[(Route, Range<usize>)], found: &mut Findings) {
    for (index, (second, span)) in routes.iter().enumerate() {
        let same = |(first, _): &&(Route, Range<usize>)| {
            (&first.provider, &first.provider_meter) == (&second.provider, &second.provider_meter)
        };
        let Some((first, first_span)) = routes[..index].iter().find(same) else { continue };
        let (title, label) = match (first.aggregate.fold(), second.aggregate.fold()) {
            (Fold::Sum, Fold::Sum) => continue,
            (Fold::Unique, Fold::Unique) if first.window == second.window => continue,
            (Fold::Sum | Fold::Unique, Fold::Sum | Fold::Unique) => (
                "count in different ways for one meter",
                "what the one counts is nothing to add to what the other does",
            ),
            (
                Fold::Sum | Fold::Unique | Fold::Last | Fold::Gauge | Fold::Max,
                Fold::Sum | Fold::Unique | Fold::Last | Fold::Gauge | Fold::Max,
            ) => {
                ("say one level", "of what both bring, only one record of a window would be billed")
            }
        };
        let title = format!("routes `{}` and `{}` {title}", first.name, second.name);
        let problem = Problem::at(span.clone(), title)
            .label(label)
            .help("give it an `event` of its own, or bring both by one route")
            .context(first_span.clone(), "the earlier route");
        found.error(problem);
    }
}

/// Whether some record matches both: no property is asked to be two things.
pub(super) fn overlap(first: &Route, second: &Route) -> bool {
    first.matches.iter().all(|(key, value)| second.matches.get(key).is_none_or(|v| v == value))
}
