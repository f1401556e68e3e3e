//! The simulation: the program's own rooms over a real ledger, in a world whose time, faults and
//! provider follow from one seed. Here: its commands. Never here: a run (see [`run`]). Read next:
//! [`world`], then [`auditor`].
//!
//! ```text
//!   cargo test --test sim                                         the gate
//!   cargo test --release --test sim -- campaign --seeds N --from S    many seeds, counted
//!   cargo test --test sim -- replay --seed S [--trace]            one seed
//!   cargo test --test sim -- caught                               planted bugs, at their seeds
//!   cargo test --test sim -- planted                              seeds that catch them, anew
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its findings are what it is for")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod amount;
mod auditor;
mod billing;
mod campaign;
mod chance;
mod cutover;
mod doors;
mod faults;
mod months;
mod people;
mod planted;
mod plants;
mod ports;
mod process;
mod rows;
mod run;
mod scenario;
mod scene;
mod server;
mod shrink;
mod wire;
mod workload;
mod world;

use campaign::{Verbosity, never, now, print, run_all};
use faults::Class;
use plants::Plant;
use run::{Bench, STEPS, Setup};
use scenario::Scenario;

/// Seeds of each scenario in the gate.
const GATE_SEEDS: u64 = 120;
/// Steps of a seed in the gate.
const GATE_STEPS: u64 = 4;
/// Seeds of the gate in which something is billed, and their steps: a period lasts for hours.
const GATE_MONTHS: u64 = 24;
const GATE_MONTHS_STEPS: u64 = 12;
/// Seeds of the gate at a provider that keeps entries, and their steps.
const GATE_SITES: u64 = 40;
const GATE_SITES_STEPS: u64 = 12;
/// Seeds of the gate at one of most of whose prices one entry counts.
const GATE_LEVELS: u64 = 20;
/// Seeds of the gate at one of most of whose meters the total that came last counts.
const GATE_TOTALS: u64 = 16;
/// Seeds of the gate at one most of whose meters bill the newest reading of a period.
const GATE_GAUGES: u64 = 16;
/// Seeds of the gate in which the program takes over from another.
const GATE_CUTOVERS: u64 = 24;
/// Seeds of the gate at each provider that only counts.
const GATE_RECORDS: u64 = 24;
/// Seeds of the gate whose provider is told by its stream.
const GATE_STREAMS: u64 = 12;
/// Seeds of the gate that are run twice, to see whether they do the same.
const GATE_TWICE: u64 = 7;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// The planted bugs at the seeds that caught them.
    Caught,
    /// Many seeds, counted.
    Campaign {
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        #[arg(long, default_value_t = 0)]
        from: u64,
        #[arg(long, default_value_t = STEPS)]
        steps: u64,
        /// Stops after so many violations.
        #[arg(long, default_value_t = 1)]
        violations: usize,
        /// Only this scenario; else swarm and directed in turn.
        #[arg(long)]
        scenario: Option<String>,
    },
    /// One seed.
    Replay {
        #[arg(long)]
        seed: u64,
        #[arg(long, default_value = "swarm")]
        scenario: String,
        #[arg(long, default_value_t = STEPS)]
        steps: u64,
        #[arg(long, value_delimiter = ',')]
        without: Vec<String>,
        #[arg(long)]
        plant: Option<String>,
        #[arg(long)]
        trace: bool,
        /// Leaves a copy of the ledger there, as it is at the end.
        #[arg(long)]
        keep: Option<PathBuf>,
        /// Looks for fewer steps and fewer faults that fail in the same way.
        #[arg(long)]
        shrink: bool,
    },
    /// Looks for a seed that catches each planted bug, and prints the table.
    Planted {
        #[arg(long)]
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    let first = std::env::args().nth(1);
    let ours = ["campaign", "replay", "planted", "caught", "help"];
    if !first.is_some_and(|first| ours.contains(&first.as_str())) {
        return gate();
    }
    match Arguments::parse().command {
        Some(Command::Campaign { seeds, from, steps, violations, scenario }) => {
            campaign(from, seeds, steps, violations, scenario.as_deref().map(Scenario::named))
        }
        Some(Command::Replay { seed, scenario, steps, without, plant, trace, keep, shrink }) => {
            let without: BTreeSet<Class> =
                without.iter().filter_map(|name| Class::named(name)).collect();
            let setup = Setup {
                steps,
                without,
                plant: plant.and_then(|name| Plant::named(&name)),
                verbose: trace,
                keep,
                ..Setup::of(seed, Scenario::named(&scenario))
            };
            replay(&if shrink { shrink::shrink(&Bench::new(), &setup) } else { setup })
        }
        Some(Command::Planted { only }) => {
            let only = only.and_then(|name| Plant::named(&name));
            if planted::search(only) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Some(Command::Caught) => caught(),
        None => gate(),
    }
}

/// What has to pass before a change lands.
fn gate() -> ExitCode {
    // A filter that names another test is none of ours.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"simulation".contains(&filter)) {
        return ExitCode::SUCCESS;
    }
    let begun = now();
    let remembered = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let mut setups: Vec<Setup> = remembered.map(Setup::remembered).collect();
    for scenario in [Scenario::Swarm, Scenario::Directed] {
        let seeds = 0..GATE_SEEDS;
        setups.extend(seeds.map(|seed| Setup { steps: GATE_STEPS, ..Setup::of(seed, scenario) }));
    }
    let steps = GATE_MONTHS_STEPS;
    let taken_over = (0..GATE_CUTOVERS).map(|seed| Setup::of(seed, Scenario::Cutover));
    for scenario in [Scenario::Records, Scenario::Reports] {
        setups.extend((0..GATE_RECORDS).map(|seed| Setup::of(seed, scenario)));
    }
    setups.extend(taken_over.map(|setup| Setup { steps, ..setup }));
    for (scenario, seeds) in [
        (Scenario::Months, GATE_MONTHS),
        (Scenario::Totals, GATE_TOTALS),
        (Scenario::Gauges, GATE_GAUGES),
        (Scenario::Stream, GATE_STREAMS),
    ] {
        let steps = GATE_MONTHS_STEPS;
        setups.extend((0..seeds).map(|seed| Setup { steps, ..Setup::of(seed, scenario) }));
    }
    for (scenario, seeds) in [(Scenario::Site, GATE_SITES), (Scenario::Levels, GATE_LEVELS)] {
        let steps = GATE_SITES_STEPS;
        setups.extend((0..seeds).map(|seed| Setup { steps, ..Setup::of(seed, scenario) }));
    }
    let tally = run_all(&setups, 5, Verbosity::Violations);
    print(&tally, begun.elapsed());
    let differing = differing();
    for what in &differing {
        println!("{what}");
    }
    let caught = caught();
    println!("the gate took {} s", begun.elapsed().as_secs());
    let good = tally.violations.is_empty() && differing.is_empty();
    if good { caught } else { ExitCode::FAILURE }
}

/// The planted bugs, each at the seed that caught it. A change of the program may move a seed's
/// course past the bug: then another is looked for (`planted`).
fn caught() -> ExitCode {
    let escaped = planted::not_caught();
    for what in &escaped {
        println!("not caught: {what}");
    }
    if escaped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Seeds that do not do the same when they are run again.
fn differing() -> Vec<String> {
    let bench = Bench::new();
    let scenario = |seed: u64| match seed % 7 {
        0 => Scenario::Swarm,
        1 => Scenario::Months,
        2 => Scenario::Site,
        3 => Scenario::Levels,
        4 => Scenario::Totals,
        5 => Scenario::Gauges,
        _ => Scenario::Cutover,
    };
    let setups = (0..GATE_TWICE).map(|seed| Setup::of(1_000 + seed, scenario(seed)));
    let differs = |setup: &Setup| bench.run(setup).digest != bench.run(setup).digest;
    let differing = setups.filter(differs);
    differing.map(|setup| format!("not the same twice: {}", setup.replay())).collect()
}

fn campaign(from: u64, seeds: u64, steps: u64, most: usize, only: Option<Scenario>) -> ExitCode {
    let begun = now();
    let setups: Vec<Setup> = (from..from + seeds)
        .map(|seed| {
            let swarm = seed.is_multiple_of(2);
            let scenario = if swarm { Scenario::Swarm } else { Scenario::Directed };
            Setup { steps, ..Setup::of(seed, only.unwrap_or(scenario)) }
        })
        .collect();
    let tally = run_all(&setups, most, Verbosity::Progress);
    print(&tally, begun.elapsed());
    let never = never(&tally, only.unwrap_or(Scenario::Swarm));
    if !never.is_empty() {
        println!("never came about: {}", never.join(", "));
    }
    let good = tally.violations.is_empty() && never.is_empty();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(setup: &Setup) -> ExitCode {
    println!("{}", setup.replay());
    let outcome = Bench::new().run(setup);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("digest {}", outcome.digest);
    match outcome.violation {
        Some(violation) => {
            println!("{}: {}", violation.invariant, violation.what);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
