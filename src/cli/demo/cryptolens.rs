//! The journey with Cryptolens. Here: usage told by RecordUsage, which knows no identifier and has
//! nothing read back. Never here: what every journey shares ([`super`]). Read next:
//! [`super::report`].
//!
//! A record whose answer was lost is held, and is there or not: so the books agree up to what is
//! held, to the unit. Only a person who looks at the subscription's usage at Stripe can say which.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::child::{Child, Setup};
use super::report::{Comparison, Told};
use super::telling::Telling;
use super::usage::{METERS, Sums, Usage};
use super::{LATENCY_MILLIS, StandIn, faults, say};
use crate::cli::args::demo::Demo;
use crate::clock::{Clock, SystemClock};
use crate::domain::quantity::Quantity;
use crate::sandbox::cryptolens::{CryptolensHandle, Settings, TOKEN};

/// The number of the first meter's product; the next one's is the next.
const FIRST_PRODUCT: i64 = 3_349;
/// Customers whose usage is taken when nobody said how many: each of their sums is a request of its
/// own, and the journey takes less than a minute.
const CUSTOMERS: usize = 500;

/// Takes the usage to the stand-in; whether every difference at the end is held and named.
pub(super) async fn journey(arguments: &Demo, folder: &Path) -> anyhow::Result<bool> {
    let clock = Arc::new(SystemClock);
    let usage = Usage::load(Some(arguments.customers.unwrap_or(CUSTOMERS)))?;
    let usage = usage.shifted_to_end_before(clock.now());
    let events = u64::try_from(usage.sums().len())?;
    say(&format!(
        "usage: {} requests of {} customers to a real web site in May 2015, shifted by {} whole \
         days;\n       {} records, to be told as {events} amounts or more: what a customer used of \
         a meter until it is told",
        usage.requests(),
        usage.customers().len(),
        usage.shift_days(),
        usage.count(),
    ))?;

    let stand_in = StandIn::start(stand_in(arguments), clock).await?;
    let (account, url) = (stand_in.handle.cryptolens(), stand_in.cryptolens_url.clone());
    say(&format!("stand-in for Cryptolens at {url}, losing {} of 10,000 answers", arguments.lost))?;
    let setup = Setup { tables: &tables(&url), filter: "warn", key: TOKEN };
    let mut child = Child::start(folder, &setup).await?;
    say(&child.introduction())?;

    let told = || account.statistics().meter_events_accepted;
    let kill_after = arguments.kill_after.unwrap_or(events / 2);
    let mut telling = Telling {
        what: "amounts",
        told_so_far: "amounts told",
        events,
        kill_after,
        told: &told,
        killed: false,
    };
    telling.send(&mut child, &usage).await?;
    telling.finish(&mut child, &usage, |_| None).await?;
    let explained = conclude(&child, usage.sums(), &account).await?;
    if !telling.killed {
        say("the daemon was not killed: it was done before that many amounts")?;
    }
    stand_in.end().await;
    Ok(explained)
}

fn stand_in(arguments: &Demo) -> crate::sandbox::Settings {
    crate::sandbox::Settings {
        cryptolens: Settings {
            products: METERS.iter().map(|meter| product(meter)).collect(),
            latency: Duration::from_millis(LATENCY_MILLIS),
            faults: faults(arguments),
            ..Settings::default()
        },
        ..crate::sandbox::Settings::default()
    }
}

/// The product that a meter is told as.
fn product(meter: &str) -> i64 {
    let place = METERS.iter().position(|other| *other == meter).unwrap_or_default();
    FIRST_PRODUCT + i64::try_from(place).unwrap_or_default()
}

/// The meter that a product is of.
fn meter(number: &str) -> String {
    let meter = METERS.iter().find(|meter| product(meter).to_string() == number);
    meter.map_or_else(|| number.to_owned(), |meter| (*meter).to_owned())
}

/// What a user would write to try tallyd on the stand-in.
fn tables(url: &str) -> String {
    let products: Vec<String> = METERS.iter().map(|meter| product(meter).to_string()).collect();
    let mut text = format!(
        "[cryptolens.demo]\ntoken = {{ env = \"TALLYD_DEMO_KEY\" }}\napi = \"{url}\"\n\
         products = [{}]\nrate_per_second = 100\n\n",
        products.join(", ")
    );
    for meter in METERS {
        let product = product(meter);
        text.push_str(&format!(
            "[route.{meter}]\nmeter = \"{meter}\"\nto = \"cryptolens.demo\"\n\
             event = \"{product}\"\nsettle = \"1s\"\n\n"
        ));
    }
    text
}

/// Compares the three books and says what was found.
async fn conclude(child: &Child, source: Sums, account: &CryptolensHandle) -> anyhow::Result<bool> {
    let mut recorded = Sums::new();
    for line in account.books() {
        let place = (meter(&line.product.to_string()), line.key);
        recorded.insert(place, Quantity::from(line.total));
    }
    let statistics = account.statistics();
    let lost: u64 = statistics.faults.values().sum();
    let seen = format!(
        "{} amounts recorded, {lost} answers lost, at most {} in a second",
        statistics.meter_events_accepted, statistics.busiest_second,
    );
    let told = Told { source, provider: recorded, meter_of: meter, seen };
    let comparison = Comparison::make(&child.ledger, told).await?;
    say(&comparison.to_string())?;
    Ok(comparison.is_explained())
}
