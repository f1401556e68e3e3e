//! Memory while events wait. Here: a daemon of its own whose provider goes away after the first
//! contact, and what it takes when a hundred thousand events wait. The ceiling is the same daemon
//! before the first record.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tallyd::clock::{Clock, SystemClock};
use tallyd::domain::names::{CustomerName, MeterName, ProviderName};
use tallyd::domain::time::MICROS_PER_HOUR;
use tallyd::ledger::delivery::DeliveryLedger;
use tallyd::ledger::operator::OperatorLedger;
use tallyd::sandbox::faults::Faults;
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{self, Sandbox};
use tallyd::store::sqlite::SqliteLedger;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::records::{SOURCE, TOKEN};
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
    let (mut daemon, address) = start(folder.path(), &url).await?;
    let pid = daemon.id().context("the daemon ended at once")?;
    let ledger = SqliteLedger::open_to_read(&folder.path().join("tallyd.ledger")).await?;
    let began = Instant::now();
    let provider = ProviderName::new("stripe.bench")?;
    while ledger.provider_facts(&provider).await?.clock.is_none() {
        ensure!(began.elapsed().as_secs() < REST_SECONDS_MAX, "no contact was made");
        sleep(Duration::from_millis(20)).await;
    }
    let away = handle.now().plus_micros(24 * MICROS_PER_HOUR).seconds();
    let faults = Faults { outage_until: Some(away), ..Faults::default() };
    handle.set_faults(faults).map_err(anyhow::Error::msg)?;
    sleep(Duration::from_secs(REST_SECONDS)).await;
    let idle = resident_kib(pid, "VmRSS:")?;

    let requests = Arc::new(records::requests(&usage()?, 1_000));
    tokio::task::spawn_blocking(move || load::send(address, 8, &requests)).await??;
    let began = Instant::now();
    loop {
        let found = waiting(&ledger).await?;
        if found >= EVENTS {
            break;
        }
        if let Some(ended) = daemon.try_wait()? {
            bail!("the daemon ended by itself with {ended}, when {found} events waited");
        }
        if began.elapsed().as_secs() >= REST_SECONDS_MAX {
            bail!("the daemon is not at rest: {:?}", ledger.status().await?);
        }
        sleep(Duration::from_millis(LOOK_MILLIS)).await;
    }
    sleep(Duration::from_secs(REST_SECONDS)).await;
    let figures = (idle, resident_kib(pid, "VmRSS:")?, resident_kib(pid, "VmHWM:")?);
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

async fn start(folder: &Path, api: &str) -> anyhow::Result<(Child, std::net::SocketAddr)> {
    let config = folder.join("tallyd.toml");
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n\n\
         [[http.token]]\nsecret = {{ env = \"TALLYD_BENCH_TOKEN\" }}\nsources = [\"{SOURCE}\"]\n\n\
         [stripe.bench]\nkey = {{ env = \"TALLYD_BENCH_KEY\" }}\napi = \"{api}\"\n\n\
         [route.tokens]\nmeter = \"tokens\"\nto = \"stripe.bench\"\nwindow = \"1h\"\n\
         settle = \"1s\"\n\n[log]\nfilter = \"error\"\n"
    );
    tokio::fs::write(&config, text).await?;
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_tallyd"))
        .arg("run")
        .arg("--config")
        .arg(&config)
        .env("TALLYD_BENCH_TOKEN", TOKEN)
        .env("TALLYD_BENCH_KEY", "sk_test_benchmark")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await?;
    match line.trim().strip_prefix("listening at http://") {
        Some(address) => Ok((daemon, address.parse()?)),
        None => bail!("the daemon said \"{}\"", line.trim()),
    }
}

/// A figure of a process's memory, in KiB, as the kernel counts it.
fn resident_kib(pid: u32, figure: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let line = line.with_context(|| format!("the kernel tells no {figure}"))?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
