//! The real binary under fire. Here: the command line of a run, and its order of files. Never here:
//! what plain `cargo test` should run: this takes minutes, by the real clock. Read next:
//! [`campaign`], then a file for each part; what the providers have of their own is in [`kind`].
//!
//! `tallyd run` tells a separate `tallyd sandbox` that loses one answer in ten and misbehaves in a
//! dozen other ways, and lives by its clock. Customers have subscriptions whose periods end before
//! and during the run, and webhooks go to the daemon wherever it is. Clients send records over HTTP
//! and from files, and remember every acknowledgement; what was not acknowledged is sent again.
//! Others write them to a file that is rotated under the daemon that reads it.
//! They cancel and adjust some records: before they are sent, while nobody knows whether they are
//! booked, and long after they were told.
//! Meanwhile the daemon is killed, asked to stop, halted, and its disk filled, at moments that a
//! seed draws; between two lives what the provider holds has to lie within the ledger's bracket. At
//! the end the clients' memory, the ledger and the provider's books are compared; what differs has
//! to be held by a name, exactly by its quantity. Then the clock moves past the invoices' last day,
//! and what each final invoice bills is compared with what was told and used, and with what
//! `tallyd reconcile` says of it.
//!
//! Of Stripe, records are compared one by one where they are told so, and customers' sums. An entry
//! of a Chargebee site tells many records: there the sums are compared window by window, and each
//! entry, those that were taken away among them, with the ledger's own word on it.
//!
//! ```text
//!   cargo test --test fire                                          two minutes
//!   cargo test --test fire -- --provider chargebee                  four minutes
//!   cargo test --release --test fire -- --kills 200 --records 1000000 --seed 1
//! ```
//!
//! A seed decides the load, the lives and the faults. Which instruction a kill meets is the
//! machine's to decide: a run is not replayed by its seed, but its like is.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kind::Kind;
use tokio::runtime::Builder;

mod campaign;
mod chance;
mod chargebee;
mod client;
mod compare;
mod correction;
mod daemon;
mod director;
mod disk;
mod fixes;
mod held;
mod importer;
mod kind;
mod memory;
mod months;
mod plan;
mod provider;
mod record;
#[path = "../it/support/relay.rs"]
mod relay;
mod report;
mod shared;
mod spool;
mod stripe;
mod wire;

/// Runs the real binary under fire.
#[derive(Debug, Parser)]
#[command(name = "fire")]
struct Arguments {
    /// How often the daemon is killed with SIGKILL.
    #[arg(long, default_value_t = 15)]
    kills: u64,
    /// Records to be acknowledged in the end: 30000, or 20000 where a Chargebee site is told.
    #[arg(long, value_parser = records)]
    records: Option<usize>,
    /// Decides the load, the lives and the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long a daemon lives on average, in milliseconds: 2500, or 4000 where a Chargebee site is
    /// told.
    #[arg(long, value_parser = clap::value_parser!(u64).range(100..))]
    life: Option<u64>,
    /// Which provider the daemon tells.
    #[arg(long, value_enum, default_value_t = Kind::Stripe)]
    provider: Kind,
    /// What the daemon tells at most: Stripe in a second (2000), a Chargebee site in a minute
    /// (3500).
    #[arg(long)]
    rate: Option<u32>,
    /// Another fault of the stand-in, as KIND=BASIS_POINTS. With rejected_later=100, which Stripe
    /// has, the run has to fail: reports of what was rejected name only some of it, and totals
    /// prove the rest only after hours.
    #[arg(long = "fault", value_name = "KIND=BASIS_POINTS", value_parser = fault)]
    faults: Vec<(String, u32)>,
    /// So many entries of a Chargebee site are taken away by hand before everything is compared,
    /// and as many entered: the run has to fail.
    #[arg(long, value_name = "ENTRIES", default_value_t = 0)]
    meddle: usize,
    /// Keep the ledger in this folder; its disk is then never filled.
    #[arg(long, value_name = "FOLDER")]
    ledger: Option<PathBuf>,
}

impl Arguments {
    fn records(&self) -> usize {
        self.records.unwrap_or(self.provider.facts().records)
    }

    fn life(&self) -> u64 {
        self.life.unwrap_or(self.provider.facts().life)
    }

    fn rate(&self) -> u32 {
        self.rate.unwrap_or(self.provider.facts().rate)
    }
}

fn records(text: &str) -> Result<usize, String> {
    let most = record::RECORDS_MAX;
    let records = text.parse().map_err(|_| "it is no number".to_owned())?;
    if records > most { Err(format!("the most is {most}")) } else { Ok(records) }
}

fn fault(text: &str) -> Result<(String, u32), String> {
    let (kind, rate) = text.split_once('=').ok_or("it is KIND=BASIS_POINTS")?;
    Ok((kind.to_owned(), rate.parse().map_err(|_| format!("{rate} is no number"))?))
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    report::say(&format!(
        "{}, seed {}: {} kills, {} records",
        arguments.provider.facts().name,
        arguments.seed,
        arguments.kills,
        arguments.records()
    ))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(campaign::run(&arguments))?;
    write!(io::stdout(), "{outcome}")?;
    Ok(if outcome.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
