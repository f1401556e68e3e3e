//! The stand-in for the provider, a real process of its own. Here: its start, its clock, its
//! subscriptions, its faults, its books. Never here: what they are compared with. Read next:
//! [`super::compare`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::months::{self, BEGUN_BEFORE, GRACE};
use super::record::Meter;
use super::relay::Relay;
use super::wire::{Connection, FORM};

/// What goes wrong with requests that bill, in basis points: one answer in ten is lost after the
/// event was booked. The limiter's own 429 is rare here, as it makes the daemon slower for long;
/// storms of it are made beside.
const FAULTS: [(&str, u32); 13] = [
    ("answer_lost", 1_000),
    ("answer_cut", 100),
    ("closed_before", 100),
    ("slow_before", 20),
    ("slow_after", 20),
    ("error_before", 100),
    ("error_after", 100),
    ("pinned_error_before", 100),
    ("pinned_error_after", 100),
    ("conflict", 50),
    ("lock_timeout", 100),
    ("unavailable_html", 100),
    ("rate_limited", 2),
];
/// How long slow requests wait, in milliseconds: longer than an attempt may take.
const SLOW_MILLIS: u64 = 2_500;
/// What goes wrong with webhooks on their way, in basis points.
const WEBHOOK_FAULTS: [(&str, u32); 4] =
    [("lost", 2_000), ("doubled", 3_000), ("disordered", 3_000), ("late", 1_000)];
/// The secrets by which webhooks are signed, of an endpoint for each form. They are put together
/// here, so that no scanner takes this file for a leak.
pub(crate) const WEBHOOK_SECRETS: [&str; 2] =
    [concat!("wh", "sec_", "fireSnapshots0123"), concat!("wh", "sec_", "fireThin012345678")];
/// The key that the load's own requests show.
const OWN_KEY: &str = "sk_test_fireItself";
/// Events that are read at once.
const EVENTS_PAGE: usize = 5_000;

/// The stand-in. Dropping it ends it.
pub(crate) struct Provider {
    process: Child,
    pub(crate) address: SocketAddr,
    seed: u64,
    /// What goes wrong, in basis points.
    rates: BTreeMap<String, u32>,
    /// The prices, each with the meter that it bills.
    prices: Vec<(String, Meter)>,
}

/// What goes wrong beside [`FAULTS`], for some seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    None,
    /// Every request is answered 429 by the limiter.
    Storm,
    /// Every connection is closed.
    Outage,
}

impl Provider {
    /// Starts one with all meters, no limits, subscriptions that began four weeks ago, webhooks
    /// that go to `relay`, and its faults on: [`FAULTS`], and `more` in place of some of them or
    /// beside.
    pub(crate) async fn start(
        seed: u64,
        more: &[(String, u32)],
        relay: &Relay,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyd"));
        command.args(["sandbox", "--listen", "127.0.0.1:0"]);
        for meter in Meter::ALL {
            command.arg("--meter").arg(format!("{}:{}", meter.name(), meter.formula()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("cannot start the sandbox")?;
        let output = process.stdout.take().context("the sandbox has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.unwrap_or_default();
        let Some(address) = line.strip_prefix("stripe http://").and_then(|at| at.parse().ok())
        else {
            bail!("the sandbox said {line:?}");
        };
        let usual = FAULTS.map(|(kind, rate)| (kind.to_owned(), rate));
        let rates = usual.into_iter().chain(more.iter().cloned()).collect();
        let mut provider = Self { process, address, seed, rates, prices: Vec::new() };
        let grace = GRACE * 1_000_000;
        let settings = json!({ "limits": "none", "invoice_grace_micros": grace });
        provider.post("settings", &settings).await?;
        provider.subscribe().await?;
        provider.announce(relay).await?;
        provider.trouble(Trouble::None, 0).await?;
        Ok(provider)
    }

    /// Makes prices and subscriptions, and lets the four weeks pass.
    async fn subscribe(&mut self) -> anyhow::Result<()> {
        let known = lines(self.get("meters").await?, "meters")?;
        for meter in Meter::ALL {
            let named = known.iter().find(|it| it["event_name"] == meter.name());
            let id = named.and_then(|it| it["id"].as_str()).context("a meter has no id")?;
            let price = self
                .create(
                    "/v1/prices",
                    &[
                        ("currency", "eur"),
                        ("product_data[name]", meter.name()),
                        ("recurring[interval]", "month"),
                        ("recurring[meter]", id),
                        ("recurring[usage_type]", "metered"),
                        ("unit_amount_decimal", "0.5"),
                    ],
                )
                .await?;
            let id = price["id"].as_str().context("a price has no id")?.to_owned();
            self.prices.push((id, meter));
        }
        let base = self.second().await? + BEGUN_BEFORE;
        let names: Vec<String> =
            (0..self.prices.len()).map(|at| format!("items[{at}][price]")).collect();
        for (customer, end) in months::subscribers(base) {
            let end = end.to_string();
            let mut form = vec![("customer", customer.as_str())];
            form.push(("billing_cycle_anchor", &end));
            let items = names.iter().zip(&self.prices);
            form.extend(items.map(|(name, (price, _))| (name.as_str(), price.as_str())));
            self.create("/v1/subscriptions", &form).await?;
        }
        self.post("clock", &json!({ "set_micros": base * 1_000_000 })).await?;
        Ok(())
    }

    /// Has what happens announced by webhooks, in both forms.
    async fn announce(&self, relay: &Relay) -> anyhow::Result<()> {
        let url = format!("http://{}/webhooks/stripe.main", relay.address);
        let forms = ["snapshot", "thin"].into_iter().zip(WEBHOOK_SECRETS);
        let endpoints: Vec<Value> = forms
            .map(|(payload, secret)| json!({ "url": url, "secrets": [secret], "payload": payload }))
            .collect();
        let mut faults = json!({ "seed": self.seed });
        for (kind, rate) in WEBHOOK_FAULTS {
            faults[kind] = rate.into();
        }
        self.post("webhooks", &json!({ "endpoints": endpoints, "faults": faults })).await?;
        Ok(())
    }

    /// Asks for something to be made, by the provider's own wire.
    async fn create(&self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Connection::ask_as(self.address, OWN_KEY, ("POST", path), (FORM, &body)).await
    }

    /// The meter that a price bills.
    pub(crate) fn meter_of(&self, price: &str) -> Option<Meter> {
        let found = self.prices.iter().find(|(id, _)| id == price);
        found.map(|(_, meter)| *meter)
    }

    /// Lets so many seconds pass at once.
    pub(crate) async fn advance(&self, seconds: i64) -> anyhow::Result<()> {
        self.post("clock", &json!({ "advance_micros": seconds * 1_000_000 })).await?;
        Ok(())
    }

    /// All invoices, newest first.
    pub(crate) async fn invoices(&self) -> anyhow::Result<Vec<Value>> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let last = all.last().and_then(|invoice| invoice["id"].as_str());
            let after = last.map(|id| format!("&starting_after={id}")).unwrap_or_default();
            let path = format!("/v1/invoices?limit=100{after}");
            let page =
                Connection::ask_as(self.address, OWN_KEY, ("GET", &path), (FORM, "")).await?;
            all.extend(lines(page.clone(), "data")?);
            if page["has_more"] != true {
                return Ok(all);
            }
        }
    }

    /// What became of webhooks.
    pub(crate) async fn webhooks(&self) -> anyhow::Result<Value> {
        self.get("webhooks").await
    }

    async fn get(&self, what: &str) -> anyhow::Result<Value> {
        Connection::ask(self.address, "GET", &format!("/_sandbox/{what}"), "").await
    }

    async fn post(&self, what: &str, body: &Value) -> anyhow::Result<Value> {
        let path = format!("/_sandbox/{what}");
        Connection::ask(self.address, "POST", &path, &body.to_string()).await
    }

    /// The second that it is.
    pub(crate) async fn second(&self) -> anyhow::Result<i64> {
        let clock = self.get("clock").await?;
        let micros = clock["now_micros"].as_i64().context("the sandbox's clock says nothing")?;
        Ok(micros / 1_000_000)
    }

    /// Lets the usual go wrong, and this beside it for so many seconds.
    pub(crate) async fn trouble(&mut self, trouble: Trouble, seconds: i64) -> anyhow::Result<()> {
        let now = self.second().await?;
        // New settings count every name's attempts afresh: another seed keeps a retry from meeting
        // the same fault again.
        self.seed = self.seed.wrapping_add(1);
        let mut faults = json!({
            "seed": self.seed, "basis_points": self.rates, "slow_millis": SLOW_MILLIS,
            // Cancellations as well.
            "reach": "writes",
        });
        match trouble {
            Trouble::None => {}
            Trouble::Storm => faults["storm"] = json!({ "from": now, "until": now + seconds }),
            Trouble::Outage => faults["outage_until"] = json!(now + seconds),
        }
        self.post("faults", &faults).await?;
        Ok(())
    }

    /// Lets nothing go wrong any more.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        self.post("faults", &json!({})).await?;
        Ok(())
    }

    /// What counts: a line for each meter and customer.
    pub(crate) async fn books(&self) -> anyhow::Result<Vec<Value>> {
        lines(self.get("books").await?, "books")
    }

    /// Every event that it accepted.
    pub(crate) async fn events(&self) -> anyhow::Result<Vec<Value>> {
        let mut events = Vec::new();
        loop {
            let query = format!("events?from={}&limit={EVENTS_PAGE}", events.len());
            let page = lines(self.get(&query).await?, "events")?;
            if page.is_empty() {
                return Ok(events);
            }
            events.extend(page);
        }
    }

    /// What it saw.
    pub(crate) async fn statistics(&self) -> anyhow::Result<Value> {
        self.get("statistics").await
    }

    /// Whether it still runs: it may not end before the run does.
    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }
}

/// The list of this name in a document.
fn lines(mut document: Value, name: &str) -> anyhow::Result<Vec<Value>> {
    let Value::Array(lines) = document[name].take() else {
        bail!("the sandbox does not tell its {name}");
    };
    Ok(lines)
}
