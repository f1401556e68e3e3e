//! `tallyd demo`. Here: what every journey on real usage is made of. Never here: a rule of tallyd,
//! or of a provider; a demo only uses what a user has. Read next: [`stripe`], [`chargebee`],
//! [`counting`], [`telling`], [`usage`], [`child`], [`report`].
//!
//! The stand-in for the provider runs in this process, the daemon as a child with a ledger of its
//! own. Usage goes in over HTTP as a user's program would send it: a batch that is not acknowledged
//! is sent again. The child is killed with SIGKILL and started again. At the end three books are
//! compared: the usage as it was read from the file, the ledger, and the stand-in's own count.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::args::demo::{Demo, DemoChannel, DemoMeters, DemoProvider};
use super::block_on;
use super::exit::Exit;
use crate::clock::Clock;
use crate::sandbox::faults::{FaultKind, Faults};
use crate::sandbox::{self, Sandbox, SandboxHandle};

mod stripe;
mod chargebee;
mod counting;
mod cryptolens;
mod planship;
mod telling;
mod child;
mod meters;
mod report;
mod usage;

/// Answers lost at most, in basis points: the demo claims to run under 5 %.
const LOST_MAX: u32 = 500;
/// How long the stand-in takes for a request, in milliseconds: long enough that requests overlap.
const LATENCY_MILLIS: u64 = 5;
/// Time between two looks at how far the daemon is, in milliseconds.
const LOOK_MILLIS: u64 = 50;
/// How long the daemon may go without any progress before the demo gives up, in seconds.
const STALL_SECONDS_MAX: u64 = 60;

pub(super) fn run(arguments: Demo) -> anyhow::Result<Exit> {
    if arguments.lost > LOST_MAX {
        bail!("--lost {}: at most {LOST_MAX} basis points", arguments.lost);
    }
    if arguments.provider != DemoProvider::Stripe {
        let of_stripe = "is of Stripe, and the demo's provider is another";
        if arguments.channel != DemoChannel::V1 {
            bail!("--channel {of_stripe}");
        }
        if arguments.meters != DemoMeters::Sums {
            bail!("--meters {of_stripe}");
        }
    }
    match &arguments.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
            block_on(journey(&arguments, folder))
        }
        None => {
            let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
            block_on(journey(&arguments, folder.path()))
        }
    }
}

async fn journey(arguments: &Demo, folder: &Path) -> anyhow::Result<Exit> {
    let explained = match arguments.provider {
        DemoProvider::Stripe => stripe::journey(arguments, folder).await?,
        DemoProvider::Chargebee => chargebee::journey(arguments, folder).await?,
        DemoProvider::Cryptolens => cryptolens::JOURNEY.journey(arguments, folder).await?,
        DemoProvider::Planship => planship::JOURNEY.journey(arguments, folder).await?,
    };
    Ok(if explained { Exit::Ok } else { Exit::Failure })
}

/// What goes wrong at a stand-in: answers are lost after the request was carried out.
fn faults(arguments: &Demo) -> Faults {
    Faults {
        seed: arguments.seed,
        basis_points: [(FaultKind::AnswerLost, arguments.lost)].into(),
        ..Faults::default()
    }
}

/// A sandbox that serves beside the journey.
struct StandIn {
    handle: SandboxHandle,
    stripe_url: String,
    chargebee_url: String,
    cryptolens_url: String,
    planship_url: String,
    tasks: JoinSet<Result<(), sandbox::Error>>,
    ended: CancellationToken,
}

impl StandIn {
    async fn start(settings: sandbox::Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let sandbox = Sandbox::bind(settings, clock).await?;
        let handle = sandbox.handle();
        let (stripe_url, chargebee_url) = (sandbox.stripe_url(), sandbox.chargebee_url());
        let (cryptolens_url, planship_url) = (sandbox.cryptolens_url(), sandbox.planship_url());
        let mut tasks = JoinSet::new();
        let ended = CancellationToken::new();
        let stopped = ended.clone();
        tasks.spawn(async move { sandbox.run(async move { stopped.cancelled().await }).await });
        Ok(Self { handle, stripe_url, chargebee_url, cryptolens_url, planship_url, tasks, ended })
    }

    async fn end(mut self) {
        self.ended.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Notices when nothing moves any more.
#[derive(Default)]
struct Stall {
    seen: u64,
    looks: u64,
}

impl Stall {
    /// Takes note of a look, and of how far `what` has come by it.
    fn note(&mut self, what: &str, seen: u64) -> anyhow::Result<()> {
        if seen != self.seen {
            *self = Self { seen, looks: 0 };
        }
        self.looks += 1;
        if self.looks * LOOK_MILLIS > STALL_SECONDS_MAX * 1_000 {
            bail!("no {what} for {STALL_SECONDS_MAX} s, after {seen}");
        }
        Ok(())
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}
