//! Files rotated under the daemon that reads them. Here: a command that writes three logs into
//! spools of the real binary, rotates each as logs are rotated, and kills the binary meanwhile.
//! Never here: what plain `cargo test` should run: this takes minutes, by the real clock. Read
//! next: [`logs`], then [`compare`], [`daemon`].
//!
//! ```text
//!   cargo test --release --test rotation                        1,000 rotations, some minutes
//!   cargo test --test rotation -- --rotations 60 --seed 2
//! ```
//!
//! One log is renamed, and its writer ends its line in the old file. One is copied and cut, as
//! `copytruncate` does, and the copies come into the spool, so that each line is there twice. One
//! is copied elsewhere: what was not read by the cut is lost then, which nobody can prevent; it has
//! to be known of each time. At the end every line of the first two is booked, once; of the third,
//! each line is booked, or lies behind the line that the ledger says its file was read to.
//!
//! A seed decides what is written and when it is rotated. How far the daemon has read by then is
//! the machine's to decide.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock, and are looked at from outside"
)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

#[path = "../fire/chance.rs"]
mod chance;
mod compare;
mod daemon;
mod logs;

use chance::Dice;
use daemon::{Daemon, Home};
use logs::Logs;

/// Longest pause between two pieces of writing, in milliseconds.
const PAUSE_MILLIS_MAX: u64 = 10;
/// The daemon is killed once in so many rounds.
const KILLED_ONE_IN: u64 = 12;
/// How many rounds pass before it is started again, at most.
const DEAD_ROUNDS_MAX: u64 = 6;
/// Rotations between two lines that say how far the run is.
const TOLD_EVERY: u64 = 100;

/// Rotates files under the daemon that reads them.
#[derive(Debug, Parser)]
#[command(name = "rotation")]
struct Arguments {
    /// How often a file is rotated, all logs together.
    #[arg(long, default_value_t = 1_000)]
    rotations: u64,
    /// Decides what is written, and when it is rotated.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = io::stdout();
    let (seed, began) = (arguments.seed, Instant::now());
    writeln!(out, "{} rotations, seed {seed}", arguments.rotations)?;
    let home = Home::new()?;
    let mut dice = Dice::of(seed, 0);
    let mut logs = Logs::begin(home.path())?;
    let mut daemon = Some(Daemon::start(&home)?);
    let (mut kills, mut told, mut dead_rounds) = (0, 0, 0);
    while logs.rotations() < arguments.rotations {
        logs.write_and_rotate(&home, daemon.is_some(), &mut dice)?;
        std::thread::sleep(Duration::from_millis(dice.below(PAUSE_MILLIS_MAX)));
        match &mut daemon {
            Some(running) if dice.once_in(KILLED_ONE_IN) => {
                running.kill()?;
                (daemon, dead_rounds) = (None, dice.below(DEAD_ROUNDS_MAX));
                kills += 1;
            }
            Some(running) => running.must_run()?,
            None if dead_rounds == 0 => daemon = Some(Daemon::start(&home)?),
            None => dead_rounds -= 1,
        }
        if logs.rotations() >= told + TOLD_EVERY {
            told = logs.rotations();
            writeln!(out, "{:>5} s  {told} rotations, {kills} kills", began.elapsed().as_secs())?;
        }
    }
    let mut last = match daemon {
        Some(running) => running,
        None => Daemon::start(&home)?,
    };
    logs.end()?;
    logs.wait_until_read(&home)?;
    last.stop()?;
    home.verify()?;
    let found = compare::compare(&home, &logs)?;
    writeln!(
        out,
        "{} rotations by renaming, {} with a copy in the spool, {} without; {kills} kills; {} s",
        logs.renamed.rotations,
        logs.copied.rotations,
        logs.cut.rotations,
        began.elapsed().as_secs()
    )?;
    writeln!(
        out,
        "{} lines written, {} booked; lost by {} cuts without a copy, and known of: {}",
        found.written, found.booked, found.lossy_cuts, found.lost_by_cuts
    )?;
    if found.wrong.is_empty() {
        writeln!(out, "lost otherwise 0, doubled 0")?;
        return Ok(ExitCode::SUCCESS);
    }
    for wrong in &found.wrong {
        writeln!(out, "WRONG  {wrong}")?;
    }
    writeln!(out, "config, log and ledger are in {}", home.keep().display())?;
    Ok(ExitCode::FAILURE)
}
