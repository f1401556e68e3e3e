//! Delivery at its quota, event by event or by the stream. Here: the courier's own loop over a full
//! ledger, against the stand-in for Stripe, which enforces the quota and takes a moment for each
//! request. The ceiling is the quota.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{AccountRule, Aggregate, Route, WindowRule};
use tallyd::clock::{Clock, SystemClock};
use tallyd::delivery::courier::Courier;
use tallyd::delivery::{self, Rate};
use tallyd::domain::names::{MeterName, ProviderMeter, ProviderName, RouteName};
use tallyd::domain::policies::Policies;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::MICROS_PER_HOUR;
use tallyd::ledger::intake::IntakeLedger;
use tallyd::posting::poster::Poster;
use tallyd::provider::Provider;
use tallyd::provider::stripe::{Stripe, settings};
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{self, Sandbox, SandboxHandle};
use tallyd::service::pulse::Pulse;
use tallyd::service::{Bell, Service};
use tallyd::store::sqlite::SqliteLedger;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::stand::{folder, open};
use super::table::{Figure, Goal, per_second};
use super::{records, say};

/// The quota, in requests a second: a live account's.
const QUOTA: u32 = 1_000;
/// How long the stand-in takes for a request, in milliseconds.
const LATENCY_MILLIS: u64 = 5;
/// The stream's quota, in events a second.
const STREAM_QUOTA: u32 = 10_000;

/// What is told, and how.
#[derive(Clone, Copy)]
struct Load {
    channel: settings::Channel,
    /// Customers: a lane each.
    customers: usize,
    /// Hours of usage of each, an event an hour: more than a round sends.
    hours: usize,
    /// How long it is measured, in seconds.
    steady_seconds: u64,
}

const SINGLE: Load =
    Load { channel: settings::Channel::V1, customers: 2_000, hours: 7, steady_seconds: 10 };
const STREAM: Load =
    Load { channel: settings::Channel::Stream, customers: 20_000, hours: 4, steady_seconds: 6 };

impl Load {
    const fn batched_rate(self) -> Option<Rate> {
        match self.channel {
            settings::Channel::V1 | settings::Channel::V2 => None,
            settings::Channel::Stream => Some(Rate::per_second(STREAM_QUOTA)),
        }
    }
}

/// How long the loop runs before it is measured, in seconds.
const WARM_SECONDS: u64 = 1;
/// Rounds are long here, and the machine hardly matters: so many are enough.
const ROUNDS_MAX: usize = 3;

pub(crate) fn measure(rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let rounds = rounds.min(ROUNDS_MAX);
    let (subject, busiest, refused) = take(SINGLE, rounds)?;
    let quota = vec![u64::from(QUOTA); rounds];
    let figure = |name, unit, subject, goal| Figure {
        name,
        ceiling_name: "the quota of 1,000 a second",
        unit,
        subject,
        ceiling: quota.clone(),
        goal,
    };
    Ok(vec![
        figure("events delivered", "events/s", subject, Goal::AtLeast(980)),
        figure("events in the busiest second", "events", busiest, Goal::AtMost(1_000)),
        figure("answers of 429", "answers", refused, Goal::AtMost(0)),
    ])
}

/// The stream's quota is more than the ledger's one writer takes on a small machine: what is found
/// is reported.
pub(crate) fn measure_stream(rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let rounds = rounds.min(ROUNDS_MAX);
    let (subject, busiest, refused) = take(STREAM, rounds)?;
    let quota = vec![u64::from(STREAM_QUOTA); rounds];
    let figure = |name, unit, subject, goal| Figure {
        name,
        ceiling_name: "the stream's quota of 10,000 a second",
        unit,
        subject,
        ceiling: quota.clone(),
        goal,
    };
    Ok(vec![
        figure("events delivered by the stream", "events/s", subject, Goal::Report),
        figure("events in its busiest second", "events", busiest, Goal::AtMost(1_000)),
        figure("its answers of 429", "answers", refused, Goal::AtMost(0)),
    ])
}

/// What each round saw: events a second, the busiest of them, and answers of 429.
type Rounds = (Vec<u64>, Vec<u64>, Vec<u64>);

fn take(load: Load, rounds: usize) -> anyhow::Result<Rounds> {
    let (mut subject, mut busiest, mut refused) = (vec![], vec![], vec![]);
    for round in 1..=rounds {
        say(&format!("delivery: round {round} of {rounds}"))?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let seen = runtime.block_on(deliver(load))?;
        subject.push(seen.per_second);
        busiest.push(seen.busiest_second);
        refused.push(seen.rate_limited);
    }
    Ok((subject, busiest, refused))
}

struct Seen {
    per_second: u64,
    busiest_second: u64,
    rate_limited: u64,
}

async fn deliver(load: Load) -> anyhow::Result<Seen> {
    let sandbox = Sandbox::bind(stand_in(), Arc::new(SystemClock)).await?;
    let (handle, url) = (sandbox.handle(), sandbox.stripe_url());
    let mut tasks = JoinSet::new();
    let stop = CancellationToken::new();
    let ended = stop.clone();
    tasks.spawn(async move { sandbox.run(async move { ended.cancelled().await }).await });

    let folder = folder()?;
    let ledger = Arc::new(open(folder.path()).await?);
    let courier = fill(&ledger, &url, load).await?;
    let before = handle.statistics().meter_events_accepted;
    ensure!(before == 0, "{before} events were delivered before the measurement");
    let drain = Duration::from_secs(5);
    let loop_stop = stop.clone();
    let pulse = Pulse::new("delivery", drain, Instant::now());
    let mut loops = JoinSet::new();
    loops.spawn(async move { courier.run(Bell::default(), loop_stop, drain, pulse).await });
    let began = Instant::now();
    let (from, from_at) = accepted_at(&handle, began + Duration::from_secs(WARM_SECONDS)).await;
    let until = from_at + Duration::from_secs(load.steady_seconds);
    let (to, to_at) = accepted_at(&handle, until).await;
    let seen = handle.statistics();
    stop.cancel();
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    ensure!(
        to < u64::try_from(load.customers * load.hours)?,
        "every event was sent before the end"
    );
    Ok(Seen {
        per_second: per_second(usize::try_from(to - from)?, to_at - from_at),
        busiest_second: seen.busiest_second,
        rate_limited: seen.rate_limited,
    })
}

async fn accepted_at(handle: &SandboxHandle, at: Instant) -> (u64, Instant) {
    sleep_until(at).await;
    (handle.statistics().meter_events_accepted, Instant::now())
}

fn stand_in() -> sandbox::Settings {
    sandbox::Settings {
        stripe: Settings {
            limits: Limits::LIVE,
            latency: Duration::from_millis(LATENCY_MILLIS),
            meters: vec![NewMeter::new("tokens", Formula::Sum)],
            ..Settings::default()
        },
        ..sandbox::Settings::default()
    }
}

/// Fills the ledger with events that wait; answers the courier that has made contact.
async fn fill(ledger: &Arc<SqliteLedger>, url: &str, load: Load) -> anyhow::Result<Arc<Courier>> {
    let clock = Arc::new(SystemClock);
    let name = ProviderName::new("stripe.bench")?;
    let provider: Arc<dyn Provider> = Arc::new(Stripe::new(&settings::Settings {
        name: name.clone(),
        api: url.to_owned(),
        stream_api: url.to_owned(),
        channel: load.channel,
        key: "sk_test_benchmark".to_owned().into(),
        account: None,
        meters: Vec::new(),
        webhook_secrets: Vec::new(),
        timeout_millis: 5_000,
    })?);
    let delivery = delivery::Settings {
        provider: name.clone(),
        rate: Rate::per_second(QUOTA),
        batched_rate: load.batched_rate(),
        limited_pause_seconds: 1,
        concurrency: delivery::CONCURRENCY,
        attempt_timeout_millis: delivery::ATTEMPT_TIMEOUT_SECONDS * 1_000,
        backoff_first_millis: delivery::BACKOFF_FIRST_MILLIS,
        backoff_seconds_max: delivery::BACKOFF_SECONDS_MAX,
        free_bytes_min: delivery::FREE_BYTES_MIN,
        pause_probe_seconds: delivery::PAUSE_PROBE_SECONDS,
    };
    let observer = Arc::new(|_| ());
    let courier = Courier::new(delivery, ledger.clone(), provider.clone(), clock.clone(), observer);
    // There is nothing to send yet, so this is the first contact and no more.
    courier.run_once(clock.now()).await?;

    let hour = clock.now().floor_to(MICROS_PER_HOUR);
    let mut usage = records::draw(load.customers * load.hours, clock.now())?;
    for (index, record) in usage.iter_mut().enumerate() {
        let (hours, customer) = (index / load.customers + 1, index % load.customers);
        record.customer = tallyd::domain::names::CustomerName::new(&format!("cus_{customer:05}"))?;
        record.meter = MeterName::new("tokens")?;
        // Whole: the stream takes no fractions.
        record.quantity = Quantity::from(i64::try_from(index % 1_000 + 1)?);
        record.occurred_at = hour.plus_micros(-MICROS_PER_HOUR * i64::try_from(hours)?);
    }
    for batch in usage.chunks(1_000) {
        let batch = batch.iter().cloned().map(Into::into).collect();
        ledger.accept(batch, Vec::new(), clock.now()).await?;
    }
    let prefixes = HashMap::from([(name.clone(), "cus_")]);
    let routes = vec![route(&name)?];
    let accruer = Accruer::adopt(ledger.clone(), routes, prefixes, clock.now()).await?;
    while accruer.run_once(clock.now()).await?.more {}
    let poster = Poster::new(name, ledger.clone(), provider);
    while poster.run_once(clock.now()).await?.did_something() {}
    Ok(Arc::new(courier))
}

fn route(provider: &ProviderName) -> anyhow::Result<Route> {
    Ok(Route {
        name: RouteName::new("tokens")?,
        meter: MeterName::new("tokens")?,
        matches: BTreeMap::new(),
        provider: provider.clone(),
        provider_meter: ProviderMeter::new("tokens")?,
        window: WindowRule::Hour,
        aggregate: Aggregate::Sum,
        scale: Quantity::one(),
        account: AccountRule::Identity,
        settle_micros: 0,
        policies: Policies::default(),
    })
}
