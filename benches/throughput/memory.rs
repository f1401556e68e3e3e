//! Memory while events wait. Here: a daemon of its own whose provider goes away after the first
//! contact, and what it takes when a hundred thousand events wait. The ceiling is the same daemon
//! before the first record.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tallyd::clock::{Clock, SystemClock};
use tallyd::domain::names::{CustomerName, MeterName};
use tallyd::domain::time::MICROS_PER_HOUR;
use tallyd::ledger::operator::OperatorLedger;
use tallyd::sandbox::faults::Faults;
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{self, Sandbox};
use tallyd::store::sqlite::SqliteLedger;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::process::{Daemon, LEDGER, contact};
use super::stand::folder;
use super::table::{Figure, Goal};
use super::{load, records, say};

/// Events that wait.
const EVENTS: usize = 100_000;
/// Customers they are for, an hour of usage each time.
const CUSTOMERS: usize = 20_000;
/// How long the daemon may take to come to rest, in seconds.
const REST_SECONDS_MAX: u64 = 120;
/// Time between two looks at how far it is, in milliseconds.
const LOOK_MILLIS: u64 = 500;
/// How long it is left alone at rest before its memory is read, in seconds.
const REST_SECONDS: u64 = 2;

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    say("memory: 100,000 events that wait")?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let (idle, full, peak) = runtime.block_on(wait())?;
    let figure = |name, kib| Figure {
        name,
        ceiling_name: "the same daemon before its first record",
        unit: "KiB",
        subject: vec![kib],
        ceiling: vec![idle],
        goal: Goal::Report,
    };
    Ok(vec![
        figure("resident with 100,000 events waiting", full),
        figure("resident at most on the way there", peak),
    ])
}

/// Resident KiB of the daemon before its first record, at rest with all events, and at most.
async fn wait() -> anyhow::Result<(u64, u64, u64)> {
    let settings = Settings {
        limits: Limits::NONE,
        meters: vec![NewMeter::new("tokens", Formula::Sum)],
        ..Settings::default()
    };
    let settings = sandbox::Settings { stripe: settings, ..sandbox::Settings::default() };
    let sandbox = Sandbox::bind(settings, Arc::new(SystemClock)).await?;
    let (handle, url) = (sandbox.handle(), sandbox.stripe_url());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { sandbox.run(std::future::pending()).await });

    let folder = folder()?;
    let mut daemon = Daemon::start(folder.path(), &url, "").await?;
    let ledger = SqliteLedger::open_to_read(&folder.path().join(LEDGER)).await?;
    contact(&ledger).await?;
    let away = handle.now().plus_micros(24 * MICROS_PER_HOUR).seconds();
    let faults = Faults { outage_until: Some(away), ..Faults::default() };
    handle.set_faults(faults).map_err(anyhow::Error::msg)?;
    sleep(Duration::from_secs(REST_SECONDS)).await;
    let idle = daemon.resident_kib("VmRSS:")?;

    let requests = Arc::new(records::requests(&usage()?, 1_000));
    let address = daemon.address;
    tokio::task::spawn_blocking(move || load::send(address, 8, &requests)).await??;
    let began = Instant::now();
    loop {
        let found = waiting(&ledger).await?;
        if found >= EVENTS {
            break;
        }
        daemon.must_run().with_context(|| format!("{found} events waited"))?;
        if began.elapsed().as_secs() >= REST_SECONDS_MAX {
            bail!("the daemon is not at rest: {:?}", ledger.status().await?);
        }
        sleep(Duration::from_millis(LOOK_MILLIS)).await;
    }
    sleep(Duration::from_secs(REST_SECONDS)).await;
    let figures = (idle, daemon.resident_kib("VmRSS:")?, daemon.resident_kib("VmHWM:")?);
    ledger.close().await;
    daemon.kill().await?;
    tasks.shutdown().await;
    Ok(figures)
}

/// A record for each event: a customer's hour.
fn usage() -> anyhow::Result<Vec<tallyd::domain::record::UsageRecord>> {
    let now = SystemClock.now();
    let hour = now.floor_to(MICROS_PER_HOUR);
    let mut usage = records::draw(EVENTS, now)?;
    for (index, record) in usage.iter_mut().enumerate() {
        let (hours, customer) = (index / CUSTOMERS + 1, index % CUSTOMERS);
        record.customer = CustomerName::new(&format!("cus_{customer:05}"))?;
        record.meter = MeterName::new("tokens")?;
        record.occurred_at = hour.plus_micros(-MICROS_PER_HOUR * i64::try_from(hours)?);
    }
    Ok(usage)
}

/// Events that were posted and are not told.
async fn waiting(ledger: &SqliteLedger) -> anyhow::Result<usize> {
    let events = ledger.status().await?.events;
    let told = events.iter().any(|(_, state, _)| state == "accepted" || state == "held");
    ensure!(!told, "the provider is not away: {events:?}");
    let count: i64 = events.iter().map(|(_, _, count)| count).sum();
    Ok(usize::try_from(count)?)
}
