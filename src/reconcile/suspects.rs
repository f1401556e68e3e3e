//! What could make up a difference. PURE. Here: the bounded search for events that, if they were
//! not as they are taken to be, bring a total back to what it may be. Never here: whether there is
//! a difference ([`super::drift`]). Read next: [`super::drift`].

use std::collections::HashMap;
use std::ops::RangeInclusive;

/// Most events among which sets of two and three are looked for: the sums of all pairs of them fit
/// into a few megabytes, and past it some set fits nearly any difference.
pub const SET_CANDIDATES_MAX: usize = 200;
/// Most sets that are named: more say only that the difference says little.
pub const SETS_MAX: usize = 10;
/// Most single events that are named, for the same reason.
pub const SINGLES_MAX: usize = 100;

/// Sets of candidates, by their places, each of which brings its sum within `wanted`: single ones,
/// those that make `exact` first; where there are none, pairs and then threes that make `exact`.
#[must_use]
pub fn sets(effects: &[i128], exact: i128, wanted: &RangeInclusive<i128>) -> Vec<Vec<usize>> {
    let mut singles: Vec<usize> =
        (0..effects.len()).filter(|at| wanted.contains(&effects[*at])).collect();
    if !singles.is_empty() {
        // The order within each of the two stays: the oldest first.
        singles.sort_by_key(|at| effects[*at] != exact);
        singles.truncate(SINGLES_MAX);
        return singles.into_iter().map(|at| vec![at]).collect();
    }
    if effects.len() > SET_CANDIDATES_MAX {
        return Vec::new();
    }
    let pairs = pairs(effects, exact, 0);
    if pairs.is_empty() { threes(effects, exact) } else { pairs }
}

/// Pairs from `from` on that make `exact`.
fn pairs(effects: &[i128], exact: i128, from: usize) -> Vec<Vec<usize>> {
    let mut seen: HashMap<i128, usize> = HashMap::new();
    let mut found = Vec::new();
    for (at, effect) in effects.iter().enumerate().skip(from) {
        let rest = exact.checked_sub(*effect);
        if let Some(other) = rest.and_then(|rest| seen.get(&rest)) {
            found.push(vec![*other, at]);
            if found.len() == SETS_MAX {
                break;
            }
        }
        seen.entry(*effect).or_insert(at);
    }
    found
}

fn threes(effects: &[i128], exact: i128) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    for (first, effect) in effects.iter().enumerate() {
        let Some(rest) = exact.checked_sub(*effect) else { continue };
        for pair in pairs(effects, rest, first + 1) {
            found.push(std::iter::once(first).chain(pair).collect());
            if found.len() == SETS_MAX {
                return found;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_events_come_first_and_of_those_the_exact_ones() {
        assert_eq!(sets(&[3, 5, 4], 5, &(3..=5)), [vec![1], vec![0], vec![2]]);
        assert_eq!(sets(&[3, 5, 4], 5, &(5..=5)), [vec![1]]);
    }

    #[test]
    fn small_sets_are_looked_for_where_no_single_event_fits() {
        assert_eq!(sets(&[3, 5, 4], 7, &(7..=7)), [vec![0, 2]]);
        assert_eq!(sets(&[3, 5, 4], 12, &(12..=12)), [vec![0, 1, 2]]);
        assert_eq!(sets(&[3, 5, 4], 13, &(13..=13)), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn the_search_is_bounded() {
        let many = vec![1; SET_CANDIDATES_MAX + 1];
        assert_eq!(sets(&many, 2, &(2..=2)), Vec::<Vec<usize>>::new());
        assert_eq!(sets(&many, 1, &(1..=1)).len(), SINGLES_MAX);
        assert_eq!(sets(&many[1..], 2, &(2..=2)).len(), SETS_MAX);
    }
}
