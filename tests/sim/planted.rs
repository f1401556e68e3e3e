//! The test of the tests. Here: where each planted bug is caught, and the table of it. Never here:
//! what a bug does (see [`crate::plants`]). Read next: [`crate::campaign`].

use crate::campaign::{Verbosity, run_all};
use crate::plants::Plant;
use crate::run::{Bench, Setup};
use crate::scenario::Scenario;

/// Seeds that are tried before a bug counts as one that nothing finds.
const SEEDS_MAX: u64 = 100;

/// Seeds after a known one that are tried before its bug counts as one that escapes.
const SEEDS_CLOSE_BY: u64 = 25;

/// A run in which a planted bug is caught.
fn known(plant: Plant, scenario: Scenario, seed: u64) -> Setup {
    Setup { plant: Some(plant), ..Setup::of(seed, scenario) }
}

/// The runs of the gate: each bug where it was caught.
pub(crate) fn gate() -> Vec<Setup> {
    let caught = include_str!("planted.txt").lines().filter(|line| !line.starts_with('#'));
    caught
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, scenario, seed, ..] = words.as_slice() else { panic!("{line}") };
            let plant = Plant::named(name).expect("the bug has this name");
            let seed = seed.parse().expect("a seed is a number");
            known(plant, Scenario::named(scenario), seed)
        })
        .collect()
}

/// Runs the known seeds; answers which bugs were caught neither there nor close by. A change of the
/// program moves what a seed meets, and the next seeds are as good.
pub(crate) fn not_caught() -> Vec<String> {
    let setups = gate();
    let tally = run_all(&setups, usize::MAX, Verbosity::Quiet);
    let caught = |plant| tally.violations.iter().any(|(found, _)| found.plant == plant);
    let bench = Bench::new();
    let close_by = |setup: &Setup| {
        let mut seeds = setup.seed + 1..=setup.seed + SEEDS_CLOSE_BY;
        seeds.any(|seed| bench.run(&Setup { seed, ..setup.clone() }).violation.is_some())
    };
    let moved = setups.iter().filter(|setup| !caught(setup.plant));
    moved.filter(|setup| !close_by(setup)).map(Setup::replay).collect()
}

/// Looks for the first seed that catches each bug, and prints the table.
pub(crate) fn search(only: Option<Plant>) -> bool {
    let bench = Bench::new();
    let mut all = true;
    for plant in Plant::ALL.iter().filter(|plant| only.is_none_or(|only| only == **plant)) {
        let of = |scenario| (0..SEEDS_MAX).map(move |seed| known(*plant, scenario, seed));
        let both = of(Scenario::Swarm).zip(of(Scenario::Directed)).flat_map(<[_; 2]>::from);
        let mut setups: Box<dyn Iterator<Item = Setup>> = match plant.only_in() {
            Some(scenario) => Box::new(of(scenario)),
            None => Box::new(both),
        };
        let caught = setups.find_map(|setup| {
            let violation = bench.run(&setup).violation?;
            Some((setup, violation))
        });
        match caught {
            Some((setup, violation)) => println!(
                "{:<28} {:<9} {:>4}  {}",
                plant.name(),
                setup.scenario.name(),
                setup.seed,
                violation.invariant
            ),
            None => {
                all = false;
                println!("# {} was not caught", plant.name());
            }
        }
    }
    all
}
