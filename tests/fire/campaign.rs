//! The whole of a run. Here: its order: the parts that send, one life after the other, the looks in
//! between, the rest at the end. Never here: what a part does. Read next: [`super::director`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Arguments;
use super::compare::{self, Comparison};
use super::daemon::{Daemon, Home};
use super::director::Director;
use super::disk::Disk;
use super::memory::Memory;
use super::months;
use super::plan::Life;
use super::provider::Provider;
use super::relay::Relay;
use super::report::{self, Outcome};
use super::shared::{Phase, Shared};
use super::{client, importer, spool};

/// Clients over HTTP.
const CLIENTS: u64 = 6;
/// The importer's numbers, the director's, and the spool's: clients have those below.
const IMPORTER_STREAM: u64 = 100;
const DIRECTOR_STREAM: u64 = 101;
const SPOOL_STREAM: u64 = 102;
/// Time between two releases of new records, in milliseconds.
const TICK_MILLIS: u64 = 50;
/// Looks at ledger and provider between two lives, in a whole run.
const LOOKS: u64 = 10;
/// How often progress is told in a whole run.
const LINES: u64 = 20;
/// Time between two looks at a level, in milliseconds.
const LEVEL_MILLIS: u64 = 500;
/// Nothing is acknowledged for so long, in seconds: then nothing comes any more.
const STILL_SECONDS: u64 = 60;
/// Time between two lines while something is waited for, in seconds.
const SAY_SECONDS: u64 = 30;
/// Looks in a row that find nothing new before time is let pass: five seconds and more.
const HURRY_LOOKS: u32 = 10;
/// How long a daemon that rests may take to stop, in seconds.
const STOP_SECONDS: u64 = 60;

/// Runs it all; what is found is in the outcome.
///
/// # Errors
/// When the run itself cannot go on.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let relay = Relay::start().await.context("cannot relay webhooks")?;
    let kind = arguments.provider;
    let provider = Provider::start(kind, arguments.seed, &arguments.faults, &relay).await?;
    let disk = match &arguments.ledger {
        Some(_) => None,
        None => Disk::mount()?,
    };
    if disk.is_none() {
        report::say("the disk is never filled: there is none of the ledger's own")?;
    }
    let ledgers = arguments.ledger.as_deref().or(disk.as_ref().map(Disk::path));
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let home = Home::new(folder.path(), ledgers, &provider, arguments.rate())?;
    kind.acquaint(&home, &provider).await?;
    let base = provider.second().await?;
    let memory = Memory::new(kind, arguments.seed, base, arguments.records());
    let shared = Arc::new(Shared::new(arguments.seed, memory, relay));
    let home = Arc::new(home);
    let mut director = Director::new(shared.clone(), home.clone(), provider, disk);

    let mut parts = JoinSet::new();
    let per_tick = Arc::new(AtomicUsize::new(0));
    start_parts(&mut parts, &shared, &home, &per_tick);
    let fighting = fight_out(&mut director, arguments, &per_tick, began);
    let rested = tokio::select! {
        rested = fighting => rested,
        failed = failure(&mut parts, &shared) => failed,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    shared.end();
    parts.shutdown().await;
    let memory = shared.take_memory();
    let comparison = match rested {
        Ok(()) => conclude(&home, &director.provider, &memory, &shared).await,
        Err(error) => Err(error),
    };
    let whole = comparison.as_ref().is_ok_and(|made| made.findings.is_empty());
    let kept = match whole && memory.findings().0.is_empty() {
        true => None,
        false => Some(kept(&home, folder)?),
    };
    let statistics = director.provider.statistics().await.unwrap_or_default();
    let webhooks = director.provider.webhooks().await.unwrap_or_default();
    let log = home.said();
    let Director { deeds, .. } = director;
    let comparison = comparison.unwrap_or_else(|error| Comparison {
        findings: vec![format!("the run did not come to its end: {error:#}")],
        ..Comparison::default()
    });
    let outcome = Outcome {
        kind,
        seed: arguments.seed,
        took: began.elapsed(),
        deeds,
        comparison,
        statistics,
        webhooks,
        log,
        kept,
        memory,
    };
    Ok(outcome)
}

/// Keeps the folder for whoever looks into it, with the ledger.
fn kept(home: &Home, folder: TempDir) -> anyhow::Result<PathBuf> {
    home.bring_ledger()?;
    Ok(folder.keep())
}

/// Compares everything, once the ledger rests: what is told, then what is billed.
async fn conclude(
    home: &Home,
    provider: &Provider,
    memory: &Memory,
    shared: &Shared,
) -> anyhow::Result<Comparison> {
    let mut made = compare::compare(home, provider, memory).await?;
    report::say("what is told is compared; the months end")?;
    made.months = months::conclude(home, provider, memory, (&made.held_places, shared)).await?;
    made.findings.append(&mut made.months.findings);
    Ok(made)
}

/// Starts everything that sends.
fn start_parts(
    parts: &mut JoinSet<anyhow::Result<()>>,
    shared: &Arc<Shared>,
    home: &Arc<Home>,
    per_tick: &Arc<AtomicUsize>,
) {
    for stream in 0..CLIENTS {
        let shared = shared.clone();
        parts.spawn(async move {
            client::run(shared, stream).await;
            Ok(())
        });
    }
    parts.spawn(importer::run(shared.clone(), home.clone(), IMPORTER_STREAM));
    parts.spawn(spool::run(shared.clone(), home.clone(), SPOOL_STREAM));
    let (shared, per_tick) = (shared.clone(), per_tick.clone());
    parts.spawn(async move {
        let mut ticks = interval(Duration::from_millis(TICK_MILLIS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            shared.memory().release(per_tick.load(Ordering::Relaxed));
            shared.ring();
        }
    });
}

/// Fights until the daemon was killed often enough, and lets everything be told.
async fn fight_out(
    director: &mut Director,
    arguments: &Arguments,
    per_tick: &AtomicUsize,
    began: Instant,
) -> anyhow::Result<()> {
    fight(director, arguments, per_tick, began).await?;
    rest(director, began).await?;
    match arguments.meddle {
        0 => Ok(()),
        much => director.provider.kind.meddle(&director.provider, much).await,
    }
}

/// Waits for a part to fail: none ends before the others may.
async fn failure(parts: &mut JoinSet<anyhow::Result<()>>, shared: &Shared) -> anyhow::Result<()> {
    while let Some(ended) = parts.join_next().await {
        ended??;
        ensure!(shared.phase() == Phase::Over, "a part of the run ended early");
    }
    std::future::pending().await
}

/// One life after the other, until the daemon was killed often enough.
async fn fight(
    director: &mut Director,
    arguments: &Arguments,
    per_tick: &AtomicUsize,
    began: Instant,
) -> anyhow::Result<()> {
    let mut dice = director.shared.dice(DIRECTOR_STREAM);
    let (mut told, mut looked) = (0, 0);
    while director.deeds.killed < arguments.kills {
        let left = arguments.kills - director.deeds.killed;
        let ticks = (left * arguments.life() / TICK_MILLIS).max(1);
        let withheld = director.shared.memory().withheld();
        per_tick.store(withheld / usize::try_from(ticks)? + 1, Ordering::Relaxed);
        let life = Life::draw(&mut dice, arguments.life());
        director.live(&life).await?;
        let part = |parts: u64| director.deeds.killed * parts / arguments.kills;
        if part(LINES) > told {
            told = part(LINES);
            report::progress(&director.deeds, &director.shared, began)?;
        }
        if part(LOOKS) > looked {
            looked = part(LOOKS);
            for finding in compare::bracket(&director.home, &director.provider).await? {
                director.shared.memory().find(format!("after a kill: {finding}"));
            }
        }
        sleep(life.pause).await;
    }
    // Whatever was not made yet may be made now.
    let withheld = director.shared.memory().withheld();
    director.shared.memory().release(withheld);
    Ok(())
}

/// Lets everything be acknowledged and told, with all faults but kills, and stops the daemon.
async fn rest(director: &mut Director, began: Instant) -> anyhow::Result<()> {
    let mut daemon = director.rest().await?;
    let shared = director.shared.clone();
    report::progress(&director.deeds, &shared, began)?;
    still("all usage to be acknowledged", STILL_SECONDS, async || {
        let memory = shared.memory();
        Ok((memory.is_done(), Value::from(memory.counts.acknowledged)))
    })
    .await?;
    shared.end();
    report::say("all usage is acknowledged")?;
    let (home, records) = (director.home.clone(), shared.memory().records().len());
    still("all files to be read", STILL_SECONDS, async || {
        let (_, status) = home.read(&["status"]).await?;
        Ok((status["records"] == records, status))
    })
    .await?;
    settle(director).await?;
    director.provider.calm().await?;
    report::say("the ledger rests; faults are off")?;
    stop(&mut daemon, director).await
}

/// Lets everything be told that can be; where nothing happens any more, by letting time pass.
async fn settle(director: &Director) -> anyhow::Result<()> {
    let (provider, home) = (&director.provider, director.home.clone());
    let facts = provider.kind.facts();
    let (mut last, mut same) = (Value::Null, 0);
    still("the ledger to rest", facts.still_seconds, async || {
        let (_, status) = home.read(&["status"]).await?;
        let is_reached = is_at_rest(&status, facts.passing);
        same = if status == last { same + 1 } else { 0 };
        last.clone_from(&status);
        if let Some(seconds) = facts.hurry_seconds
            && !is_reached
            && same == HURRY_LOOKS
        {
            same = 0;
            report::say("        lets time pass")?;
            provider.advance(seconds).await?;
        }
        Ok((is_reached, status))
    })
    .await
}

/// Whether nothing waits any more, nor is held for a reason that passes by itself.
fn is_at_rest(status: &Value, passing: &[&str]) -> bool {
    let waits = |state: &Value| ["pending", "in_flight", "unknown"].iter().any(|it| state == it);
    let events = status["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let held = status["held"].as_array().map(Vec::as_slice).unwrap_or_default();
    status["records"] == status["accrued_to"]
        && status["corrections"] == status["corrected_to"]
        && status["balances_open"] == 0
        && !events.iter().any(|line| waits(&line["state"]))
        && !held.iter().any(|line| passing.iter().any(|it| line["reason"] == *it))
}

/// Looks until the level is reached; fails when what is looked at does not change for `seconds`.
async fn still(
    what: &str,
    seconds: u64,
    mut look: impl AsyncFnMut() -> anyhow::Result<(bool, Value)>,
) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_millis(LEVEL_MILLIS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut changed) = (Value::Null, Instant::now());
    let mut said = Instant::now();
    loop {
        ticks.tick().await;
        let (reached, seen) = look().await?;
        if reached {
            return Ok(());
        }
        if said.elapsed() > Duration::from_secs(SAY_SECONDS) {
            said = Instant::now();
            report::say(&format!("        waits for {what}"))?;
        }
        if seen != last {
            (last, changed) = (seen, Instant::now());
        } else if changed.elapsed() > Duration::from_secs(seconds) {
            bail!("waited for {what}, and nothing changes any more: {last}");
        }
    }
}

async fn stop(daemon: &mut Daemon, director: &Director) -> anyhow::Result<()> {
    daemon.signal(Signal::TERM)?;
    let ended = timeout(Duration::from_secs(STOP_SECONDS), daemon.ended()).await;
    let ended = ended.context("the daemon does not stop at the end")??;
    if !ended.success() {
        director.shared.memory().find(format!("the last daemon ended with {ended}"));
    }
    Ok(())
}
