//! Less of what fails. Here: a failing run with fewer steps and fewer classes of faults. Never
//! here: why it fails. Read next: `seeds.txt`.

use crate::faults::Class;
use crate::run::{Bench, Setup};

/// The smallest setup, found greedily, that still breaks the invariant that `setup` breaks.
pub(crate) fn shrink(bench: &Bench, setup: &Setup) -> Setup {
    let Some(broken) = bench.run(setup).violation else { return setup.clone() };
    let fails = |setup: &Setup| {
        let found = bench.run(setup).violation;
        found.is_some_and(|found| found.invariant == broken.invariant)
    };
    let mut least = setup.clone();
    // Fewer steps first: every later try is shorter.
    let (mut passes, mut fails_at) = (0, least.steps);
    while fails_at - passes > 1 {
        let steps = passes + (fails_at - passes) / 2;
        if fails(&Setup { steps, ..least.clone() }) {
            fails_at = steps;
        } else {
            passes = steps;
        }
    }
    least.steps = fails_at;
    for class in Class::ALL {
        let mut fewer = least.clone();
        if fewer.without.insert(*class) && fails(&fewer) {
            least = fewer;
        }
    }
    least
}
