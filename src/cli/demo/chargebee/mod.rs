//! The journey with Chargebee: four days of usage and what follows until their invoices are closed,
//! by the stand-in's clock. Here: what happens, in the order in which it does, and what is said of
//! it. Never here: what every journey shares ([`super`]). Read next: [`cast`], [`world`].
//!
//! What takes a month and two days is over in a minute: the daemon follows the clock of the
//! stand-in, and this moves it once nothing is left to be told. The stand-in begins in the month in
//! which the usage really was, so that its dates are their own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use self::cast::Cast;
use self::world::World;
use super::child::{Child, Setup};
use super::report::{Comparison, Told};
use super::usage::{METERS, Sums, Usage, batches};
use super::{LATENCY_MILLIS, StandIn, faults, say};
use crate::cli::args::demo::Demo;
use crate::clock::{Clock, FollowingClock, SystemClock};
use crate::domain::quantity::Quantity;
use crate::domain::record::UsageRecord;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::sandbox::chargebee::{
    CancelAt, ChargebeeHandle, Fate, Limits, NewItemPrice, NewSubscription, Settings,
};

mod cast;
mod world;

/// The key that the stand-in takes. No real site has it.
const KEY: &str = "test_tallydDemo";
/// What the daemon logs: it would also say that time is simulated, which is said here.
const FILTER: &str = "warn,tallyd::cli::run=error";
/// What stands behind a meter's name in the id of its item price.
const CURRENCY: &str = "-USD";
/// Customers whose usage is taken when nobody said how many: their days are some 620 entries, each
/// a request of its own, and the journey takes about a minute.
const CUSTOMERS: usize = 200;
/// When all subscriptions began, and their month with them: 2015-05-01T00:00:00Z.
const TERM_START: Timestamp = Timestamp::from_seconds(1_430_438_400);
/// When that month is over: 2015-06-01T00:00:00Z.
const TERM_END: Timestamp = Timestamp::from_seconds(1_433_116_800);
/// How long the site's invoices stay pending, in hours.
const PENDING_HOURS: u64 = 48;
/// Requests a minute that the stand-in answers: those of a live site in the largest plan. With
/// those of a test site the entries alone would take minutes.
const SITE_PER_MINUTE: u32 = 3_500;
/// Requests at once that it answers: what older documents say of a live site.
const SITE_CONCURRENT: u32 = 150;
/// Requests a minute that the daemon may make: it leaves some to others, as on a real site.
const DAEMON_PER_MINUTE: u32 = 3_000;
/// How long after a day's end its usage is sent, in seconds: a route waits five minutes by default.
const AFTER_A_DAY: i64 = 10 * 60;
/// How long after a change at the site the daemon has certainly asked for it, in seconds: it asks
/// every half an hour.
const HEARD_AFTER: i64 = 40 * 60;
/// An hour, in seconds.
const HOUR: i64 = 60 * 60;
/// A day, in seconds.
const DAY: i64 = 24 * HOUR;

/// Takes the usage to the stand-in; whether every difference at the end is held and named.
pub(super) async fn journey(arguments: &Demo, folder: &Path) -> anyhow::Result<bool> {
    let mut usage = Usage::load(Some(arguments.customers.unwrap_or(CUSTOMERS)))?;
    let days = days(&usage);
    let first = *days.first().context("there is no usage")?;
    let cast = Cast::of(&usage, first)?;
    let windows = usage.windows(MICROS_PER_DAY);
    say(&introduction(&usage, windows))?;

    let clock = clock_from(first);
    let stand_in = StandIn::start(stand_in(arguments), clock).await?;
    let (sandbox, url) = (stand_in.handle.clone(), stand_in.chargebee_url.clone());
    subscribe(&sandbox.chargebee(), &usage)?;
    say(&format!(
        "stand-in for a Chargebee site at {url}, losing {} of 10,000 answers;\n       \
         a subscription for each customer since {}, invoices pending for {} hours;\n       \
         the times below are those of its clock, which the daemon follows",
        arguments.lost,
        date(TERM_START),
        PENDING_HOURS,
    ))?;
    let tables = tables(&url);
    let followed = format!("{tables}[clock]\nfollow = \"{url}\"\n\n");
    let setup = Setup { tables: &followed, filter: FILTER, key: KEY };
    let child = Child::start(folder, &setup).await?;
    say(&child.introduction())?;
    let kill_after = arguments.kill_after.unwrap_or(windows / 2);
    let mut world = World::begin(sandbox, child, windows, kill_after);

    use_days(&mut world, &usage, &days, &cast).await?;
    correct(&mut world, &mut usage, &cast).await?;
    close(&mut world, &mut usage, &cast).await?;
    let explained = conclude(world, &usage, windows, &Setup { tables: &tables, ..setup }).await?;
    stand_in.end().await;
    if arguments.keep.is_some() {
        let config = folder.join("tallyd.toml");
        let (config, late) = (config.display(), &cast.too_late);
        say(&format!("kept: try tallyd trace {}/{} --config {config}", late.source, late.id))?;
    }
    Ok(explained)
}

/// A clock that begins to run at `start`.
fn clock_from(start: Timestamp) -> Arc<dyn Clock> {
    let clock = FollowingClock::new(Arc::new(SystemClock));
    let now = clock.base_now();
    clock.learn(start, now, now);
    Arc::new(clock)
}

/// The days of the usage, in order.
fn days(usage: &Usage) -> Vec<Timestamp> {
    let day = |record: &UsageRecord| record.occurred_at.floor_to(MICROS_PER_DAY);
    usage.records().iter().map(day).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The date of an instant.
fn date(at: Timestamp) -> String {
    at.to_rfc3339().chars().take_while(|character| *character != 'T').collect()
}

/// What the usage is, in words.
fn introduction(usage: &Usage, windows: u64) -> String {
    format!(
        "usage: {} requests of the {} busiest customers of a real web site in May 2015;\n       \
         {} records, to be told as {windows} entries: a day of a customer and a meter each",
        usage.requests(),
        usage.customers().len(),
        usage.count(),
    )
}

fn stand_in(arguments: &Demo) -> crate::sandbox::Settings {
    crate::sandbox::Settings {
        chargebee: Settings {
            limits: Limits { per_minute: Some(SITE_PER_MINUTE), concurrent: Some(SITE_CONCURRENT) },
            latency: Duration::from_millis(LATENCY_MILLIS),
            pending: Duration::from_secs(PENDING_HOURS * 60 * 60),
            item_prices: METERS.map(|meter| NewItemPrice::metered(&item_price(meter))).to_vec(),
            faults: faults(arguments),
            ..Settings::default()
        },
        ..crate::sandbox::Settings::default()
    }
}

/// The item price that a meter is told as.
fn item_price(meter: &str) -> String {
    format!("{meter}{CURRENCY}")
}

/// The meter that an item price is of.
fn meter(item_price: &str) -> String {
    item_price.strip_suffix(CURRENCY).unwrap_or(item_price).to_owned()
}

/// Makes the subscription of each customer: of the customer's name, and to all item prices.
fn subscribe(site: &ChargebeeHandle, usage: &Usage) -> anyhow::Result<()> {
    let prices = METERS.map(item_price);
    for customer in usage.customers() {
        let subscription = NewSubscription {
            started_at: Some(TERM_START.seconds()),
            ..NewSubscription::new(&customer, &customer, &prices.each_ref().map(String::as_str))
        };
        site.create_subscription(&subscription).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// What a user would write to try tallyd on the stand-in. The windows are the default's, days.
fn tables(url: &str) -> String {
    let mut text = format!(
        "[chargebee.demo]\nkey = {{ env = \"TALLYD_DEMO_KEY\" }}\nsite = \"tallyd-test\"\n\
         api = \"{url}/api/v2\"\nrate_per_minute = {DAEMON_PER_MINUTE}\n\
         invoices_close_after_hours = {PENDING_HOURS}\n\n"
    );
    for meter in METERS {
        let item_price = item_price(meter);
        text.push_str(&format!(
            "[chargebee.demo.item_price.{item_price}]\naggregation = \"sum\"\n\n\
             [route.{meter}]\nmeter = \"{meter}\"\nto = \"chargebee.demo\"\n\
             event = \"{item_price}\"\n\n"
        ));
    }
    text
}

/// The days of the usage: each is sent when it is over, and told. In the middle one subscription is
/// cancelled.
async fn use_days(
    world: &mut World,
    usage: &Usage,
    days: &[Timestamp],
    cast: &Cast,
) -> anyhow::Result<()> {
    world.listen().await?;
    for day in days {
        let tomorrow = day.plus_seconds(DAY);
        if (*day..tomorrow).contains(&cast.leaves_at) {
            world.go_to(cast.leaves_at).await?;
            let leaver = &cast.leaver;
            world.site.cancel(leaver, CancelAt::Now).map_err(anyhow::Error::msg)?;
            world.say(&format!("the subscription of {leaver} is cancelled at the site"))?;
            world.go_to(cast.leaves_at.plus_seconds(HEARD_AFTER)).await?;
        }
        world.go_to(tomorrow.plus_seconds(AFTER_A_DAY)).await?;
        let its = |record: &&UsageRecord| (*day..tomorrow).contains(&record.occurred_at);
        let records: Vec<&UsageRecord> = usage.records().iter().filter(its).collect();
        let before = world.site.statistics().usages_created;
        world.send(&batches(&records)).await?;
        world.tell().await?;
        let made = world.site.statistics().usages_created - before;
        let (sent, day) = (records.len(), date(*day));
        world.say(&format!("{sent} records of {day} are booked and told: {made} entries made"))?;
    }
    let leaver = &cast.leaver;
    let held = world.held(leaver).await?;
    world.say(&format!("usage of {leaver} after its end is held, as nothing bills it:\n{held}"))
}

/// Two corrections of what was told days ago.
async fn correct(world: &mut World, usage: &mut Usage, cast: &Cast) -> anyhow::Result<()> {
    let record = &cast.cancelled;
    let body = json!({ "id": "demo-1", "reason": "a request of our own tests" });
    let became = world.correct(record, "cancel", &body).await?;
    usage.withdraw(record);
    world.say(&format!("cancelled: {};\n{became}", named(record)))?;

    let (record, lower) = (&cast.adjusted, &cast.adjusted_to);
    let body = json!({
        "id": "demo-2", "reason": "the answer was cut off",
        "quantity": lower.to_string(), "replaces": record.quantity.to_string(),
    });
    let became = world.correct(record, "adjust", &body).await?;
    usage.adjust(record, lower);
    world.say(&format!("adjusted to {lower}: {};\n{became}", named(record)))
}

/// A record, in words.
fn named(record: &UsageRecord) -> String {
    let UsageRecord { source, id, customer, meter, quantity, occurred_at, .. } = record;
    let day = date(*occurred_at);
    format!("{source}/{id} ({customer}, {day}, {meter}: {quantity})")
}

/// The end of the term: invoices are pending, and take what is late; then they are closed, and take
/// nothing.
async fn close(world: &mut World, usage: &mut Usage, cast: &Cast) -> anyhow::Result<()> {
    world.go_to(TERM_END.plus_seconds(12 * HOUR)).await?;
    let invoice = world.invoice_of(&cast.before_late, false).await?;
    world.say(&format!(
        "the month is over, and its invoices are pending, such as {invoice}\nof {}",
        cast.late.customer
    ))?;
    world.send(&batches(&[&cast.late])).await?;
    usage.add(&cast.late);
    world.tell().await?;
    let stored = world.stored(&cast.late)?;
    world.say(&format!("late: {}\nis {stored}", named(&cast.late)))?;

    let hours = i64::try_from(PENDING_HOURS)?;
    world.go_to(TERM_END.plus_seconds((hours + 12) * HOUR)).await?;
    let invoice = world.invoice_of(&cast.late, true).await?;
    world.say(&format!("the invoices are closed: {invoice},\nthe late record's among them"))?;
    world.invoice_of(&cast.before_too_late, true).await?;
    world.send(&batches(&[&cast.too_late])).await?;
    usage.add(&cast.too_late);
    world.tell().await?;
    let held = world.held(cast.too_late.customer.as_str()).await?;
    world.say(&format!("too late: {}\nis held: {held}", named(&cast.too_late)))
}

/// What the site's closed invoices bill, by meter and customer: what is only stored is not in it.
fn billed(site: &ChargebeeHandle) -> anyhow::Result<Sums> {
    let mut billed = Sums::new();
    for usage in site.usages() {
        match usage.fate {
            Fate::Invoiced(_) => {}
            Fate::Counts | Fate::Unbilled(_) | Fate::Deleted | Fate::Destroyed => continue,
        }
        let place = (meter(&usage.item_price), usage.subscription);
        let sum = billed.entry(place).or_insert_with(Quantity::zero);
        *sum = &*sum + &Quantity::parse_unbounded(&usage.quantity)?;
    }
    Ok(billed)
}

/// What the site saw, in words.
fn seen(site: &ChargebeeHandle, windows: u64) -> String {
    let (statistics, usages) = (site.statistics(), site.usages());
    let mut invoices = BTreeSet::new();
    let (mut invoiced, mut gone) = (0, 0);
    for usage in &usages {
        match &usage.fate {
            Fate::Invoiced(invoice) => {
                invoiced += 1;
                invoices.insert(invoice.as_str());
            }
            Fate::Deleted | Fate::Destroyed => gone += 1,
            Fate::Counts | Fate::Unbilled(_) => {}
        }
    }
    let lost: u64 = statistics.faults.values().sum();
    format!(
        "{} entries made for {windows} days of a customer and a meter, {gone} of them deleted \
         again, {invoiced} billed by {} closed invoices;\n{lost} answers lost, {} repeats \
         recognised, {} answers of 429, at most {} requests in a minute",
        statistics.usages_created,
        invoices.len(),
        statistics.duplicates_refused + statistics.replays,
        statistics.rate_limited,
        statistics.busiest_minute,
    )
}

/// Compares the books and says what was found.
async fn conclude(
    world: World,
    usage: &Usage,
    windows: u64,
    afterwards: &Setup<'_>,
) -> anyhow::Result<bool> {
    let (site, killed) = (world.site.clone(), world.killed);
    let child = world.end().await?;
    // The stand-in goes, and its clock with it: what is kept can be looked at without.
    child.configure(afterwards).await?;
    let told = Told {
        source: usage.sums(),
        provider: billed(&site)?,
        meter_of: meter,
        seen: seen(&site, windows),
    };
    let comparison = Comparison::make(&child.ledger, told).await?;
    say(&comparison.to_string())?;
    if !killed {
        say("the daemon was not killed: it was done before that many entries")?;
    }
    Ok(comparison.is_explained())
}
