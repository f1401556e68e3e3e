//! How fast, and against what. Here: the one benchmark of the program. Every figure is a ratio to a
//! ceiling that is taken in the same run, round by round beside the subject, as the machine may be
//! shared and its absolute rates mean little. Never here: a test of what is right. Read next:
//! [`table`], then a file for each figure.
//!
//! ```text
//!   cargo bench --bench throughput                       every figure; fails when a goal is missed
//!   cargo bench --bench throughput -- --report batch     one figure; never fails
//!   cargo bench --bench throughput -- --report stream    the stream, no part of the others
//!   cargo bench --bench throughput -- outage             a day without the provider, neither
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

mod batch;
mod bare;
mod delivery;
mod load;
mod memory;
mod outage;
mod process;
mod records;
mod single;
mod stand;
mod table;

/// Measures tallyd against ceilings of the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything when nothing is named.
    parts: Vec<Part>,
    /// Reports, and never fails.
    #[arg(long)]
    report: bool,
    /// How often subject and ceiling take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Cargo says so when it runs a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Batches over HTTP against bare inserts.
    Batch,
    /// Single records over HTTP against the same server without a store.
    Single,
    /// Delivery against the provider's quota.
    Delivery,
    /// Delivery by the stream against its quota; only when it is named.
    Stream,
    /// Memory while events wait.
    Memory,
    /// A day without the provider, and what waited for it; only when it is named.
    Outage,
}

impl Part {
    /// Whether it is measured when nothing is named. How near to the stream's quota a machine comes
    /// is the machine's affair, and no goal; a day takes minutes.
    fn is_usual(self) -> bool {
        match self {
            Self::Batch | Self::Single | Self::Delivery | Self::Memory => true,
            Self::Stream | Self::Outage => false,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = |part: Part| match arguments.parts.as_slice() {
        [] => part.is_usual(),
        named => named.contains(&part),
    };
    let mut figures = Vec::new();
    for part in Part::value_variants().iter().filter(|part| wanted(**part)) {
        figures.extend(match part {
            Part::Batch => batch::measure(arguments.rounds)?,
            Part::Single => single::measure(arguments.rounds)?,
            Part::Delivery => delivery::measure(arguments.rounds)?,
            Part::Stream => delivery::measure_stream(arguments.rounds)?,
            Part::Memory => memory::measure()?,
            Part::Outage => outage::measure()?,
        });
    }
    write!(io::stdout(), "\n{}", table::Table(&figures))?;
    let missed = figures.iter().any(|figure| figure.is_met() == Some(false));
    Ok(if missed && !arguments.report { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Says which figure is being taken: each takes a while.
fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "{text}")?;
    Ok(())
}
