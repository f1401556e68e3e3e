//! Storage that fails, one call at a time. Here: a command that runs the real daemon through a
//! fixed script, once for every write and every flush of its ledger's files, and lets that one call
//! fail. Never here: a failure of the whole disk (see `tests/it/lifecycle/disk.rs`). Read next:
//! [`script`], then [`trace`], [`world`].
//!
//! ```text
//!   cargo test --test storage                                   the whole matrix, some minutes
//!   cargo test --test storage -- --lives second --calls fsync --from 3 --to 3
//!   cargo test --test storage -- --damage 500                   flipped bits and cut-off ends
//! ```
//!
//! A clean run counts the calls; then the k-th of each kind is made to fail, for every k. Each run
//! must end well, or with an exit code that says what failed (74, 75), and a restart without
//! failures must then find a ledger that verifies, in which every acknowledged record is booked,
//! and a provider whose books are exactly what was acknowledged. The calls are counted by thread,
//! as `strace` counts them: one thread writes the ledger, so that is nearly the same.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock, and are looked at from outside"
)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Parser;

mod damage;
mod script;
mod trace;
mod world;

use script::{Life, Report, Stage};
use trace::{Failure, Tracer};

/// Lets each write and flush of the ledger fail, one at a time.
#[derive(Debug, Parser)]
struct Arguments {
    /// The lives of the daemon to let calls fail in.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Life::ALL)]
    lives: Vec<Life>,
    /// The calls that fail.
    #[arg(long, value_delimiter = ',', default_values_t = trace::CALLS.map(str::to_owned))]
    calls: Vec<String>,
    /// What they fail with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Failure::ALL)]
    errors: Vec<Failure>,
    /// The first call of a kind that fails.
    #[arg(long, default_value_t = 1)]
    from: usize,
    /// The last one; without it, as many as a clean run makes.
    #[arg(long)]
    to: Option<usize>,
    /// Only every so many-th of them.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// In place of all that: so many bits flipped, and ends cut off, in a sound ledger.
    #[arg(long, value_name = "COUNT")]
    damage: Option<usize>,
    /// The seed of the damage.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs at the same time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
}

/// One run: the k-th call of a kind fails so.
#[derive(Clone, Debug)]
struct Point {
    call: String,
    failure: Failure,
    number: usize,
}

/// How the runs of a call and a failure ended.
#[derive(Debug, Default)]
struct Ends {
    points: usize,
    /// Runs in which nothing failed: they made fewer calls than the clean one.
    unmet: usize,
    by_code: BTreeMap<i32, usize>,
    wrong: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = io::stdout();
    if let Some(count) = arguments.damage {
        let wrong = damage::measure(count, arguments.seed, &mut out)?;
        return conclude(&wrong, &mut out);
    }
    if !Tracer::is_installed() {
        writeln!(
            io::stderr(),
            "strace is not installed: apt-get install strace, or dnf install strace"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(
        out,
        "{:<11}{:<11}{:<8}{:>6}{:>7}{:>8}{:>7}{:>7}{:>7}",
        "life", "call", "error", "calls", "points", "went on", "74", "75", "wrong"
    )?;
    let mut wrong = Vec::new();
    for life in &arguments.lives {
        wrong.extend(matrix(&arguments, *life, &mut out)?);
    }
    conclude(&wrong, &mut out)
}

/// Says what went wrong, and whether anything did.
fn conclude(wrong: &[String], out: &mut impl Write) -> anyhow::Result<ExitCode> {
    for text in wrong {
        writeln!(out, "\n{text}")?;
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every point of one life; answers what went wrong.
fn matrix(arguments: &Arguments, life: Life, out: &mut impl Write) -> anyhow::Result<Vec<String>> {
    let stage = Stage::prepare(life)?;
    let clean = stage.run(None)?;
    anyhow::ensure!(clean.code == 0, "the clean run ended with {}", clean.code);
    let mut wrong = Vec::new();
    for call in &arguments.calls {
        let made = clean.calls.get(call.as_str()).copied().unwrap_or_default();
        let last = arguments.to.unwrap_or(made);
        for failure in arguments.errors.iter().filter(|failure| failure.befalls(call)) {
            let numbers = (arguments.from..=last).step_by(arguments.every.max(1));
            let points: Vec<Point> = numbers
                .map(|number| Point { call: call.clone(), failure: *failure, number })
                .collect();
            let ends = run_all(&stage, &points, arguments.jobs);
            if ends.points > 0 {
                row(out, life, call, *failure, made, &ends)?;
            }
            wrong.extend(ends.wrong);
        }
    }
    Ok(wrong)
}

fn row(
    out: &mut impl Write,
    life: Life,
    call: &str,
    failure: Failure,
    made: usize,
    ends: &Ends,
) -> anyhow::Result<()> {
    let code = |code: i32| ends.by_code.get(&code).copied().unwrap_or_default();
    writeln!(
        out,
        "{:<11}{call:<11}{:<8}{made:>6}{:>7}{:>8}{:>7}{:>7}{:>7}{}",
        life.name(),
        failure.name(),
        ends.points,
        code(0),
        code(74),
        code(75),
        ends.wrong.len(),
        if ends.unmet > 0 { format!("   ({} not met)", ends.unmet) } else { String::new() },
    )?;
    Ok(())
}

/// Runs every point, some at the same time.
fn run_all(stage: &Stage, points: &[Point], jobs: usize) -> Ends {
    let next = AtomicUsize::new(0);
    let ends = Mutex::new(Ends::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = stage.run(Some(point));
                    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
                    note(&mut ends, stage.life, point, result);
                }
            });
        }
    });
    ends.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn note(ends: &mut Ends, life: Life, point: &Point, result: anyhow::Result<Report>) {
    ends.points += 1;
    match result {
        Ok(report) => {
            ends.unmet += usize::from(!report.met);
            *ends.by_code.entry(report.code).or_default() += 1;
        }
        Err(error) => {
            let Point { call, failure, number } = point;
            let (life, failure) = (life.name(), failure.name());
            ends.wrong.push(format!("{life}: {call} {number} fails with {failure}: {error:#}"));
        }
    }
}
