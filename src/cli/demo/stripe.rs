//! The journey with Stripe. Here: usage told to the stand-in's meters under a live account's
//! limits. Never here: which meters those are ([`super::meters`]), what every journey shares
//! ([`super`]). Read next: [`super::report`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::child::{Child, Setup};
use super::report::{Comparison, Told};
use super::telling::Telling;
use super::usage::{Sums, Usage};
use super::{LATENCY_MILLIS, StandIn, faults, meters, say};
use crate::cli::args::demo::{Demo, DemoChannel, DemoMeters};
use crate::clock::{Clock, SystemClock};
use crate::domain::quantity::Quantity;
use crate::sandbox::SandboxHandle;
use crate::sandbox::stripe::{Limits, Settings};

/// How long an event takes to count at the stand-in, in milliseconds.
const LAG_MILLIS: u64 = 200;
/// The key that the stand-in takes. No real account has it.
const KEY: &str = "sk_test_tallydDemo";

/// Takes the usage to the stand-in; whether all books are equal at the end.
pub(super) async fn journey(arguments: &Demo, folder: &Path) -> anyhow::Result<bool> {
    let clock = Arc::new(SystemClock);
    let usage = Usage::load(arguments.customers)?.shifted_to_end_before(clock.now());
    let events = meters::events(arguments.meters, &usage);
    say(&introduction(&usage, events, arguments.meters))?;

    let stand_in = StandIn::start(stand_in(arguments), clock).await?;
    let (provider, url) = (stand_in.handle.clone(), stand_in.stripe_url.clone());
    say(&format!("stand-in for Stripe at {url}, losing {} of 10,000 answers", arguments.lost))?;

    let setup = Setup { tables: &tables(&url, arguments), filter: "warn", key: KEY };
    let mut child = Child::start(folder, &setup).await?;
    say(&child.introduction())?;
    let kill_after = arguments.kill_after.unwrap_or(events / 2);
    let told = || provider.statistics().meter_events_accepted;
    let mut telling = Telling {
        what: "meter events",
        told_so_far: "meter events told",
        events,
        kill_after,
        told: &told,
        killed: false,
    };
    telling.send(&mut child, &usage).await?;
    let mut sessions_end = arguments.channel == DemoChannel::Stream;
    let end_sessions = |told| {
        if !sessions_end || told < events / 4 {
            return None;
        }
        sessions_end = false;
        provider.end_sessions();
        Some("every session of the stream ended before its time")
    };
    telling.finish(&mut child, &usage, end_sessions).await?;
    // The clock passes the lag, so that all that was accepted counts.
    provider.advance(Duration::from_millis(2 * LAG_MILLIS));
    let source = meters::source(arguments.meters, &usage);
    let explained = conclude(&child, source, &provider, telling.killed).await?;
    stand_in.end().await;
    Ok(explained)
}

/// What the usage is, in words.
fn introduction(usage: &Usage, events: u64, meters: DemoMeters) -> String {
    format!(
        "usage: {} requests of {} customers to a real web site in May 2015, shifted by {} whole \
         days;\n       {} records, to be told as {events} {}",
        usage.requests(),
        usage.customers().len(),
        usage.shift_days(),
        usage.count(),
        meters::in_words(meters),
    )
}

fn stand_in(arguments: &Demo) -> crate::sandbox::Settings {
    crate::sandbox::Settings {
        stripe: Settings {
            limits: Limits::LIVE,
            latency: Duration::from_millis(LATENCY_MILLIS),
            lag: Duration::from_millis(LAG_MILLIS),
            meters: meters::at_stand_in(arguments.meters),
            faults: faults(arguments),
            ..Settings::default()
        },
        ..crate::sandbox::Settings::default()
    }
}

/// What a user would write to try tallyd on the stand-in.
fn tables(api: &str, arguments: &Demo) -> String {
    let channel = match arguments.channel {
        DemoChannel::V1 => "",
        DemoChannel::V2 => "channel = \"v2\"\n",
        DemoChannel::Stream => "channel = \"stream\"\nstream_events_per_second = 10000\n",
    };
    let meters = meters::tables(arguments.meters);
    format!(
        "[stripe.demo]\nkey = {{ env = \"TALLYD_DEMO_KEY\" }}\napi = \"{api}\"\n\
         rate_per_second = 1000\n{channel}\n{meters}"
    )
}

/// Compares the three books and says what was found.
async fn conclude(
    child: &Child,
    source: Sums,
    provider: &SandboxHandle,
    killed: bool,
) -> anyhow::Result<bool> {
    let mut counted = Sums::new();
    for line in provider.books() {
        let total = Quantity::parse_unbounded(&line.total.to_plain_string())?;
        counted.insert((line.event_name, line.customer), total);
    }
    let statistics = provider.statistics();
    let lost: u64 = statistics.faults.values().sum();
    let seen = format!(
        "{} meter events accepted, {lost} answers lost, {} repeats recognised, {} answers of 429, \
         at most {} events in a second",
        statistics.meter_events_accepted,
        statistics.duplicates_refused + statistics.replays,
        statistics.rate_limited,
        statistics.busiest_second,
    );
    let told = Told { source, provider: counted, meter_of: str::to_owned, seen };
    let comparison = Comparison::make(&child.ledger, told).await?;
    say(&comparison.to_string())?;
    if !killed {
        say("the daemon was not killed: it was done before that many meter events")?;
    }
    Ok(comparison.is_equal())
}
