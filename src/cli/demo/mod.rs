//! `tallyd demo`. Here: the whole journey on real usage, with a crash in the middle. Never here: a
//! rule of tallyd or of a provider; the demo only uses what a user has. Read next: [`usage`],
//! [`child`], [`report`].
//!
//! The stand-in for Stripe runs in this process, the daemon as a child with a ledger of its own.
//! Usage goes in over HTTP as a user's program would send it: a batch that is not acknowledged is
//! sent again. The child is killed with SIGKILL and started again. At the end three books are
//! compared: the usage as it was read from the file, the ledger, and the stand-in's own count.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::child::Child;
use self::report::Comparison;
use self::usage::Usage;
use super::args::Demo;
use super::block_on;
use super::exit::Exit;
use super::progress::Progress;
use crate::clock::{Clock, SystemClock};
use crate::sandbox::faults::{FaultKind, Faults};
use crate::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use crate::sandbox::{self, Sandbox, SandboxHandle};

mod child;
mod report;
mod usage;

/// Answers lost at most, in basis points: the demo claims to run under 5 %.
const LOST_MAX: u32 = 500;
/// How long the stand-in takes for a request, in milliseconds: long enough that requests overlap.
const LATENCY_MILLIS: u64 = 5;
/// How long an event takes to count at the stand-in, in milliseconds.
const LAG_MILLIS: u64 = 200;
/// Time between two looks at how far the daemon is, in milliseconds.
const LOOK_MILLIS: u64 = 50;
/// How long the daemon may go without any progress before the demo gives up, in seconds.
const STALL_SECONDS_MAX: u64 = 60;

pub(super) fn run(arguments: Demo) -> anyhow::Result<Exit> {
    if arguments.lost > LOST_MAX {
        bail!("--lost {}: at most {LOST_MAX} basis points", arguments.lost);
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
    let clock = Arc::new(SystemClock);
    let usage = Usage::load(clock.now())?;
    say(&usage.introduction())?;

    let sandbox = Sandbox::bind(stand_in(arguments), clock).await?;
    let (provider, url) = (sandbox.handle(), sandbox.stripe_url());
    say(&format!("stand-in for Stripe at {url}, losing {} of 10,000 answers", arguments.lost))?;
    let mut tasks = JoinSet::new();
    let ended = CancellationToken::new();
    let stopped = ended.clone();
    tasks.spawn(async move { sandbox.run(async move { stopped.cancelled().await }).await });

    let mut child = Child::start(folder, &url).await?;
    say(&format!(
        "daemon at {} (pid {}), ledger {}",
        child.url,
        child.pid,
        child.ledger.display()
    ))?;
    let kill_after = arguments.kill_after.unwrap_or(usage.windows() / 2);
    let mut killed = false;

    // Half of the usage, then perhaps the crash, then the other half: with `--kill-after 0` the
    // crash comes while usage is still being sent.
    let progress = Progress::new("records acknowledged", usage.records());
    let batches = usage.batches();
    for (sent, batch) in batches.iter().enumerate() {
        if kill_after == 0 && !killed && sent >= batches.len() / 2 {
            child.crash_and_restart().await?;
            killed = true;
        }
        child.send(batch).await?;
        progress.add(u64::try_from(batch.records).unwrap_or(u64::MAX));
    }
    progress.finish();

    let progress = Progress::new("meter events told", usage.windows());
    let mut stall = Stall::default();
    while !child.is_done(usage.records()).await? {
        let told = provider.statistics().meter_events_accepted;
        progress.set(told);
        if !killed && told >= kill_after {
            progress.note(&format!("SIGKILL to pid {} after {told} meter events", child.pid))?;
            child.crash_and_restart().await?;
            killed = true;
            progress.note(&format!("started again (pid {})", child.pid))?;
        }
        stall.note(told)?;
        tokio::time::sleep(Duration::from_millis(LOOK_MILLIS)).await;
    }
    progress.set(provider.statistics().meter_events_accepted);
    progress.finish();
    child.stop().await?;
    settle(&provider);
    let equal = conclude(&child, &usage, &provider, killed).await?;
    ended.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(if equal { Exit::Ok } else { Exit::Failure })
}

fn stand_in(arguments: &Demo) -> sandbox::Settings {
    sandbox::Settings {
        stripe: Settings {
            limits: Limits::LIVE,
            latency: Duration::from_millis(LATENCY_MILLIS),
            lag: Duration::from_millis(LAG_MILLIS),
            meters: usage::METERS.map(|name| NewMeter::new(name, Formula::Sum)).to_vec(),
            faults: Faults {
                seed: arguments.seed,
                basis_points: [(FaultKind::AnswerLost, arguments.lost)].into(),
                ..Faults::default()
            },
            ..Settings::default()
        },
        ..sandbox::Settings::default()
    }
}

/// Lets the stand-in's clock pass its lag, so that all it accepted counts.
fn settle(provider: &SandboxHandle) {
    provider.advance(Duration::from_millis(2 * LAG_MILLIS));
}

/// Compares the three books and says what was found.
async fn conclude(
    child: &Child,
    usage: &Usage,
    provider: &SandboxHandle,
    killed: bool,
) -> anyhow::Result<bool> {
    let comparison = Comparison::make(&child.ledger, usage, provider).await?;
    say(&comparison.to_string())?;
    if !killed {
        say("the daemon was not killed: it was done before that many meter events")?;
    }
    Ok(comparison.is_equal())
}

/// Notices when nothing moves any more.
#[derive(Default)]
struct Stall {
    told: u64,
    looks: u64,
}

impl Stall {
    fn note(&mut self, told: u64) -> anyhow::Result<()> {
        if told != self.told {
            *self = Self { told, looks: 0 };
        }
        self.looks += 1;
        if self.looks * LOOK_MILLIS > STALL_SECONDS_MAX * 1_000 {
            bail!("no meter event was told for {STALL_SECONDS_MAX} s, after {told}");
        }
        Ok(())
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}
