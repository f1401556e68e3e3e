//! Many seeds. Here: running them on all cores, summing up what they came to, and printing it.
//! Never here: one run (see [`crate::run`]). Read next: `seeds.txt`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::auditor::Violation;
use crate::faults::Class;
use crate::run::{Bench, Outcome, Setup};
use crate::scenario::Scenario;

/// What is said while runs are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Nothing.
    Quiet,
    /// What was violated.
    Violations,
    /// That, and how far it is.
    Progress,
}

/// What many runs came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) violations: Vec<(Setup, Violation)>,
    pub(crate) struck: BTreeMap<Class, u64>,
    pub(crate) reached: BTreeMap<String, u64>,
    pub(crate) seconds: i64,
}

impl Tally {
    fn add(&mut self, setup: &Setup, outcome: Outcome) {
        self.runs += 1;
        self.seconds += outcome.seconds;
        for (class, count) in outcome.struck {
            *self.struck.entry(class).or_default() += count;
        }
        for (what, count) in outcome.reached {
            *self.reached.entry(what).or_default() += count;
        }
        if let Some(violation) = outcome.violation {
            self.violations.push((setup.clone(), violation));
        }
    }

    /// Every fault that came about.
    pub(crate) fn faults(&self) -> u64 {
        self.struck.values().sum()
    }
}

/// Runs `setups` on as many threads as there are cores, until `most` violations were found.
pub(crate) fn run_all(setups: &[Setup], most: usize, says: Verbosity) -> Tally {
    let next = AtomicUsize::new(0);
    let found = AtomicUsize::new(0);
    let done = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let begun = now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = |core: usize| {
        stay_on(core);
        let bench = Bench::new();
        while found.load(Ordering::SeqCst) < most {
            let Some(setup) = setups.get(next.fetch_add(1, Ordering::SeqCst)) else { break };
            let outcome = bench.run(setup);
            if let Some(violation) = &outcome.violation {
                found.fetch_add(1, Ordering::SeqCst);
                if says != Verbosity::Quiet {
                    let command = setup.replay();
                    eprintln!("{}: {}\n  {command}", violation.invariant, violation.what);
                }
            }
            tally.lock().expect("no thread panics with it").add(setup, outcome);
            let count = done.fetch_add(1, Ordering::SeqCst) + 1;
            if says == Verbosity::Progress && count.is_multiple_of(200) {
                let rate = u128::from(count) * 1_000 / begun.elapsed().as_millis().max(1);
                eprintln!("{count} of {} seeds, {rate} a second", setups.len());
            }
        }
    };
    std::thread::scope(|scope| {
        for core in 0..threads {
            let work = &work;
            scope.spawn(move || work(core));
        }
    });
    tally.into_inner().expect("no thread panics with it")
}

/// Keeps this thread, and those that it starts, on one core. A run hands every statement to the
/// ledger's own threads and back, and nothing of it runs beside anything else: over to another core
/// and back costs as much again as the work. Where that is not allowed, it is only slower.
fn stay_on(core: usize) {
    let mut allowed = CpuSet::new();
    allowed.set(core);
    sched_setaffinity(None, &allowed).ok();
}

/// Prints what the runs came to.
pub(crate) fn print(tally: &Tally, took: std::time::Duration) {
    let days = tally.seconds / 86_400;
    let rate = u128::from(tally.runs) * 100 / (took.as_millis() / 10).max(1);
    println!("{} seeds in {} s: {rate} in ten seconds", tally.runs, took.as_secs());
    println!("{days} simulated days, {} faults", tally.faults());
    for class in Class::ALL {
        println!("  {:<26} {:>10}", class.name(), tally.struck.get(class).copied().unwrap_or(0));
    }
    for (what, count) in &tally.reached {
        println!("  {what:<40} {count:>10}");
    }
    println!("{} violations", tally.violations.len());
}

/// What never came about, and should.
pub(crate) fn never(tally: &Tally, scenario: Scenario) -> Vec<&'static str> {
    let due = Class::ALL.iter().filter(|class| {
        class.is_of(scenario.keeps()) && (scenario.bills() || !class.is_of_billing())
    });
    let classes = due.filter(|class| !tally.struck.contains_key(class));
    classes.map(|class| class.name()).collect()
}

/// The time by which a campaign's speed is measured.
#[expect(clippy::disallowed_methods, reason = "how fast seeds are run is no part of a run")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
