//! A provider that is away for a day. Here: two daemons that live by their sandboxes' clocks, told
//! the same of each hour, one with its provider and one without; then what waited: how fast it is
//! told, in which order, and that it is told once. Hours pass by moving the clocks; what is timed
//! between is timed by the real one. Never here: what a lost answer comes to (the simulation).
//!
//! ```text
//!   hour by hour: send ─► accrued ─► the clock moves on ─► told, by the one with its provider
//!   after the day: the other, at the quota, nearest deadline first ─► totals of each customer
//! ```
//!
//! What falls due meanwhile stays in its balances: no event is made by a reading of the provider's
//! clock that is ten minutes old. So what waited is posted as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use tallyd::clock::SystemClock;
use tallyd::domain::names::{CustomerName, MeterName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::UsageRecord;
use tallyd::domain::time::{MICROS_PER_HOUR, MICROS_PER_SECOND, Timestamp};
use tallyd::ledger::operator::OperatorLedger;
use tallyd::sandbox::faults::Faults;
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{self, Sandbox, SandboxHandle};
use tallyd::store::sqlite::SqliteLedger;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::process::{Daemon, LEDGER, contact, events};
use super::stand::folder;
use super::table::{Figure, Goal, per_second};
use super::{load, records, say};

/// The quota, in requests a second: a live account's, which the stand-in enforces.
const QUOTA: u32 = 1_000;
/// Customers, each with an event an hour.
const CUSTOMERS: i64 = 4_000;
/// Records of each hour.
const RECORDS: i64 = 40_000;
/// Hours without the provider: a day.
const HOURS_AWAY: i64 = 24;
/// Seconds in an hour.
const SECONDS_PER_HOUR: i64 = 3_600;
/// How long anything may take, in seconds.
const PATIENCE_SECONDS: u64 = 300;
/// Time between two looks, in milliseconds.
const LOOK_MILLIS: u64 = 100;
/// Moves of the clock, of an hour each, in which totals have to prove what has no answer.
const PROOF_HOURS_MAX: u32 = 48;
/// How long the daemon lives with each of them before the next, in seconds.
const PROOF_SECONDS: u64 = 2;

/// A daemon, the stand-in that it tells, and what was sent to it.
struct Stage {
    daemon: Daemon,
    ledger: SqliteLedger,
    handle: SandboxHandle,
    tasks: JoinSet<Result<(), sandbox::Error>>,
    _folder: TempDir,
    /// What each customer used.
    used: BTreeMap<String, Quantity>,
    /// Hours of which everything was sent.
    hours: i64,
}

/// What became of what waited.
struct Drained {
    /// Events that were told.
    waited: u64,
    per_second: u64,
    /// Those told after one of a later hour.
    overtaken: u64,
    /// Answers of 429 on the way.
    refused: u64,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(day())
}

async fn day() -> anyhow::Result<Vec<Figure>> {
    let mut spared = Stage::start().await?;
    let mut stage = Stage::start().await?;
    say(&format!("outage: {HOURS_AWAY} hours, with the provider and without"))?;
    let until = stage.handle.now().plus_micros((HOURS_AWAY + 1) * MICROS_PER_HOUR);
    stage.set_outage(Some(until))?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..HOURS_AWAY {
        with.push(spared.hour().await?);
        spared.told().await?;
        without.push(stage.hour().await?);
    }
    spared.end().await?;
    let resident = stage.daemon.resident_kib("VmHWM:")?;
    say("outage: what waited")?;
    let drained = stage.drain().await?;
    stage.prove().await?;
    stage.end().await?;
    Ok(figures((with, without), &drained, resident))
}

fn figures((with, without): (Vec<u64>, Vec<u64>), drained: &Drained, resident: u64) -> Vec<Figure> {
    let one = |name, ceiling_name, unit, (subject, ceiling), goal| Figure {
        name,
        ceiling_name,
        unit,
        subject: vec![subject],
        ceiling: vec![ceiling],
        goal,
    };
    let (quota, waited) = ("the quota of 1,000 a second", "what waited");
    let told = (drained.per_second, u64::from(QUOTA));
    let overtaken = (drained.overtaken, drained.waited);
    let refused = (drained.refused, drained.waited);
    vec![
        Figure {
            name: "acknowledged each hour without the provider",
            ceiling_name: "the same hour beside it, with the provider",
            unit: "records/s",
            subject: without,
            ceiling: with,
            goal: Goal::AtLeast(800),
        },
        one("told of what waited", quota, "events/s", told, Goal::AtLeast(900)),
        one("told after one of a later hour", waited, "events", overtaken, Goal::AtMost(10)),
        one("answers of 429 meanwhile", waited, "answers", refused, Goal::AtMost(1)),
        one("resident at most", "150 MiB", "KiB", (resident, 150 * 1_024), Goal::AtMost(1_000)),
    ]
}

fn stand_in() -> sandbox::Settings {
    let settings = Settings {
        limits: Limits::LIVE,
        meters: vec![NewMeter::new("tokens", Formula::Sum)],
        ..Settings::default()
    };
    sandbox::Settings { stripe: settings, ..sandbox::Settings::default() }
}

impl Stage {
    /// A daemon that has made contact, at the beginning of an hour.
    async fn start() -> anyhow::Result<Self> {
        let sandbox = Sandbox::bind(stand_in(), Arc::new(SystemClock)).await?;
        let (handle, url) = (sandbox.handle(), sandbox.stripe_url());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { sandbox.run(std::future::pending()).await });
        let folder = folder()?;
        let more = format!("rate_per_second = {QUOTA}\n\n[clock]\nfollow = \"{url}\"\n");
        let daemon = Daemon::start(folder.path(), &url, &more).await?;
        let ledger = SqliteLedger::open_to_read(&folder.path().join(LEDGER)).await?;
        contact(&ledger).await?;
        let used = BTreeMap::new();
        let stage = Self { daemon, ledger, handle, tasks, _folder: folder, used, hours: 0 };
        stage.next_hour()?;
        Ok(stage)
    }

    async fn end(mut self) -> anyhow::Result<()> {
        self.ledger.close().await;
        self.daemon.kill().await?;
        self.tasks.shutdown().await;
        Ok(())
    }

    /// Moves the clock to a moment past the next full hour.
    fn next_hour(&self) -> anyhow::Result<()> {
        let hour = self.handle.now().floor_to(MICROS_PER_HOUR);
        let next = hour.plus_micros(MICROS_PER_HOUR + 2 * MICROS_PER_SECOND);
        self.handle.advance_to(next).map_err(|why| anyhow::anyhow!("the clock: {why:?}"))
    }

    fn set_outage(&self, until: Option<Timestamp>) -> anyhow::Result<()> {
        let faults = Faults { outage_until: until.map(Timestamp::seconds), ..Faults::default() };
        self.handle.set_faults(faults).map_err(anyhow::Error::msg)
    }

    /// Sends the usage of the hour that the clock shows, and moves the clock past it. How fast it
    /// was acknowledged, in records a second.
    async fn hour(&mut self) -> anyhow::Result<u64> {
        let usage = self.usage()?;
        let (address, requests) = (self.daemon.address, Arc::new(records::requests(&usage, 1_000)));
        let sending = move || load::send(address, 8, &requests);
        let took = tokio::task::spawn_blocking(sending).await??;
        self.hours += 1;
        // All of an hour is in its balances before it ends: each customer has one event of it.
        self.until("is accrued", async |ledger| {
            let status = ledger.status().await?;
            Ok(status.accrued_to == status.records)
        })
        .await?;
        self.next_hour()?;
        Ok(per_second(usize::try_from(RECORDS)?, took))
    }

    /// Waits until everything that is due has been told.
    async fn told(&mut self) -> anyhow::Result<()> {
        let (told, count) = (["accepted", "settled"], CUSTOMERS * self.hours);
        self.until("is told", async |ledger| Ok(events(ledger, &told).await? >= count)).await
    }

    async fn until(
        &mut self,
        what: &str,
        is_so: impl AsyncFn(&SqliteLedger) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_so(&self.ledger).await? {
            self.daemon.must_run()?;
            if began.elapsed().as_secs() >= PATIENCE_SECONDS {
                let status = self.ledger.status().await?;
                bail!("nothing {what} after hour {}: {status:?}", self.hours);
            }
            sleep(Duration::from_millis(LOOK_MILLIS)).await;
        }
        Ok(())
    }

    /// The usage of the hour that the clock shows: records of each customer, whose sums are kept.
    fn usage(&mut self) -> anyhow::Result<Vec<UsageRecord>> {
        let now = self.handle.now();
        let hour = now.floor_to(MICROS_PER_HOUR);
        // Their ids are drawn by the time, which is another each hour.
        let mut usage = records::draw(usize::try_from(RECORDS)?, now)?;
        for (index, record) in (0..).zip(&mut usage) {
            let customer = format!("cus_{:05}", index % CUSTOMERS);
            record.customer = CustomerName::new(&customer)?;
            record.meter = MeterName::new("tokens")?;
            let second = index % SECONDS_PER_HOUR;
            record.occurred_at = hour.plus_micros(second * MICROS_PER_SECOND);
            let sum = self.used.entry(customer).or_default();
            *sum = &*sum + &record.quantity;
        }
        Ok(usage)
    }

    /// Waits until all that waited is told, and says how fast that went from the first tenth to the
    /// last.
    async fn drain(&mut self) -> anyhow::Result<Drained> {
        self.set_outage(None)?;
        let handle = self.handle.clone();
        let told = || handle.statistics().meter_events_accepted;
        let (first, refused) = (told(), handle.statistics().rate_limited);
        let waited = u64::try_from(CUSTOMERS * HOURS_AWAY)?;
        let (part, mut marks) = (waited / 10, Vec::new());
        for count in [part, waited - part] {
            self.until("more is told", async |_| Ok(told() - first >= count)).await?;
            marks.push((told() - first, Instant::now()));
        }
        // What had no answer waits for a proof, and may not be among them.
        self.until("is left", async |ledger| {
            let is_posted = ledger.status().await?.balances_open == 0;
            Ok(is_posted && events(ledger, &["pending", "in_flight"]).await? == 0)
        })
        .await?;
        let [(from, from_at), (to, to_at)] = marks[..] else { bail!("no marks were taken") };
        let per_second = per_second(usize::try_from(to - from)?, to_at - from_at);
        let from = usize::try_from(first)?;
        let (mut newest, mut overtaken) = (i64::MIN, 0);
        for event in handle.events_between(from, usize::MAX) {
            let hour = event.timestamp.div_euclid(SECONDS_PER_HOUR);
            overtaken += u64::from(hour < newest);
            newest = newest.max(hour);
        }
        let (waited, refused) = (told() - first, handle.statistics().rate_limited - refused);
        Ok(Drained { waited, per_second, overtaken, refused })
    }

    /// Lets hours pass until totals have proven what had no answer; fails where a customer's total
    /// is not what was used.
    async fn prove(&mut self) -> anyhow::Result<()> {
        let mut moved = 0;
        loop {
            let open = events(&self.ledger, &["pending", "unknown", "in_flight"]).await?;
            let held = events(&self.ledger, &["held"]).await?;
            say(&format!("outage: {moved} hours after, {open} open and {held} held"))?;
            if open + held == 0 {
                break;
            }
            ensure!(moved < PROOF_HOURS_MAX, "not proven: {:?}", self.ledger.status().await?);
            self.next_hour()?;
            moved += 1;
            sleep(Duration::from_secs(PROOF_SECONDS)).await;
        }
        let books = self.handle.books();
        ensure!(books.len() == self.used.len(), "{} customers were told", books.len());
        for line in books {
            let used = self.used.get(&line.customer).map(ToString::to_string).unwrap_or_default();
            let told = line.total.normalized().to_plain_string();
            ensure!(used == told, "{} used {used}, and {told} was told", line.customer);
        }
        Ok(())
    }
}
