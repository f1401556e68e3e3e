//! The site at the stand-in. Here: its item prices, its subscriptions, its webhook endpoint, and
//! what somebody does there by hand. Never here: what goes wrong with it ([`crate::provider`]).
//! Read next: [`super::billing`].
//!
//! The sandbox's clock is moved to a morning in the first half of a month, where months are of no
//! odd length, before anything else starts; and everything lives by it. For a third of the
//! customers the first term ended in the evening before, in the midst of their usage; for another
//! third it ends within the run; for the rest it goes on. Invoices stay pending for the whole run.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Datelike as _, Days, Months, NaiveTime, Utc};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::entries::{known_subscriptions, usages};
use super::load::CUSTOMERS;
use super::{FACTS, PENDING_HOURS, WEBHOOK_PASSWORD, WEBHOOK_USER};
use crate::chance::Dice;
use crate::daemon::Home;
use crate::provider::Provider;
use crate::record::{Meter, signed};
use crate::relay::Relay;
use crate::wire::{Connection, FORM, basic};

/// The key that the load's own requests show.
const OWN_KEY: &str = "test_fireItself";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The day of a month on which the run is: every month has it, and those around it.
const RUN_DAY: u32 = 10;
/// When on that day it begins, in seconds of the day: so early, and up to so much later.
const RUN_FROM: i64 = 8 * HOUR;
const RUN_WITHIN: u64 = 2_400;
/// The number of the dice that decide that.
const STREAM: u64 = u64::MAX - 1_000;
/// How long before the run the earlier terms end, in seconds: in the midst of usage by the hour and
/// of usage by the day. And how long after its beginning the later ones do.
const ENDED_BEFORE: i64 = 10 * HOUR + 2_243;
const ENDS_AFTER: i64 = 40;
const ENDS_LAST: i64 = 2 * DAY;
/// How long the daemon may take to learn which subscriptions there are, in seconds, and the time
/// between two looks at that, in milliseconds.
const MEET_SECONDS: u64 = 90;
const MEET_LOOK_MILLIS: u64 = 200;

/// Where the first term of a customer's subscription ends, in seconds from the beginning of the
/// run.
const fn first_end(customer: u64) -> i64 {
    match customer % 3 {
        0 => ENDS_AFTER,
        1 => -ENDED_BEFORE,
        _ => ENDS_LAST,
    }
}

/// By how much the clock has to move from within the run, in seconds, until all terms with usage
/// are over and their invoices closed: after what is pending now, the terms that go on end within
/// a month.
pub(super) const UNTIL_CLOSED: i64 = 31 * DAY + PENDING_HOURS * HOUR + 2 * HOUR;

/// Makes all of it.
pub(crate) async fn prepare(
    provider: &Provider,
    relay: &Relay,
) -> anyhow::Result<Vec<(String, Meter)>> {
    let pending = PENDING_HOURS * HOUR * 1_000_000;
    provider.post("settings", &json!({ "limits": "none", "pending_micros": pending })).await?;
    let mut prices = Vec::new();
    for meter in FACTS.meters {
        let (id, item) = (meter.name(), format!("{}-item", meter.name()));
        provider.post("item_prices", &json!({ "id": id, "item": item })).await?;
        prices.push((id.to_owned(), *meter));
    }
    let base = base(provider).await?;
    // A subscription whose term is over already is refused.
    provider.go_to(base - ENDED_BEFORE - HOUR).await?;
    let ids: Vec<&str> = prices.iter().map(|(id, _)| id.as_str()).collect();
    for customer in 0..CUSTOMERS {
        let end = at(base + first_end(customer))?;
        let start = end.checked_sub_months(Months::new(1)).context("a month has no beginning")?;
        let name = format!("cus_{customer}");
        let new = json!({
            "id": name, "customer": name, "item_prices": ids, "started_at": start.timestamp(),
        });
        provider.post("subscriptions", &new).await?;
    }
    let basic = [WEBHOOK_USER, WEBHOOK_PASSWORD];
    let endpoint = json!({ "url": provider.webhook_url(relay), "basic": basic });
    provider.announce(&[endpoint]).await?;
    Ok(prices)
}

fn at(second: i64) -> anyhow::Result<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0).context("a time that is out of range")
}

/// The second in which the run begins, by the sandbox's clock.
async fn base(provider: &Provider) -> anyhow::Result<i64> {
    let soonest = at(provider.second().await?)?.date_naive() + Days::new(2);
    let mut month = soonest.with_day(RUN_DAY).context("a month without the day of the run")?;
    if month < soonest {
        month = month.checked_add_months(Months::new(1)).context("there is no next month")?;
    }
    let later = signed(Dice::of(provider.seed, STREAM).below(RUN_WITHIN));
    Ok(month.and_time(NaiveTime::MIN).and_utc().timestamp() + RUN_FROM + later)
}

/// Lets the daemon meet the site before the earlier terms end, and goes on to where the run begins:
/// an invoice without usage says not which term it is over, and usage of a term that nobody learned
/// is held.
pub(crate) async fn acquaint(provider: &Provider, home: &Home) -> anyhow::Result<()> {
    let mut daemon = home.start()?;
    daemon.listening().await?.context("the daemon did not start to meet the site")?;
    let began = Instant::now();
    while known_subscriptions(home).await? < CUSTOMERS {
        let took = began.elapsed();
        ensure!(took < Duration::from_secs(MEET_SECONDS), "the daemon does not learn who pays");
        sleep(Duration::from_millis(MEET_LOOK_MILLIS)).await;
    }
    daemon.signal(Signal::TERM)?;
    let ended = daemon.ended().await?;
    ensure!(ended.success(), "after it met the site the daemon ended with {ended}");
    provider.advance(ENDED_BEFORE + HOUR).await
}

/// Whoever asks too often is blocked, until somebody asks for it to be ended.
pub(crate) async fn unblock(provider: &Provider) -> anyhow::Result<()> {
    provider.post("unblock", &json!({})).await?;
    Ok(())
}

/// Somebody takes so many entries away by hand, and enters as many anew: usage is lost, and other
/// usage nobody can explain.
pub(crate) async fn meddle(provider: &Provider, entries: usize) -> anyhow::Result<()> {
    let all = usages(provider).await?;
    let standing = all.iter().filter(|usage| usage.fate.is_standing());
    let mut done = 0;
    for usage in standing.filter(|usage| usage.quantity > 0).take(entries) {
        let customer = usage.place.customer_name();
        let gone = form(&[("id", &usage.id)]);
        let path = format!("/api/v2/subscriptions/{customer}/delete_usage");
        ask(provider, ("POST", &path), &gone).await?;
        let second = usage.second.to_string();
        let new = [
            ("item_price_id", usage.place.meter.name()),
            ("quantity", "0.5"),
            ("usage_date", &second),
        ];
        let path = format!("/api/v2/subscriptions/{customer}/usages");
        ask(provider, ("POST", &path), &form(&new)).await?;
        done += 1;
    }
    ensure!(done == entries, "the site has no {entries} entries to meddle with");
    Ok(())
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Asks once, by the provider's own wire.
pub(super) async fn ask(
    provider: &Provider,
    what: (&str, &str),
    body: &str,
) -> anyhow::Result<Value> {
    Connection::ask_as(provider.address, &basic(OWN_KEY), what, (FORM, body)).await
}
