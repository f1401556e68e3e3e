//! The stand-in for the provider, a real process of its own. Here: its start, its clock, its
//! faults, its control. Never here: what one provider has and the other has not ([`super::kind`]);
//! what its books are compared with. Read next: [`super::compare`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::kind::Kind;
use super::record::Meter;
use super::relay::Relay;
use super::wire::Connection;

/// What goes wrong with webhooks on their way, in basis points.
const WEBHOOK_FAULTS: [(&str, u32); 4] =
    [("lost", 2_000), ("doubled", 3_000), ("disordered", 3_000), ("late", 1_000)];
/// What was told is read so many at once.
const TOLD_PAGE: usize = 5_000;

/// The stand-in. Dropping it ends it.
pub(crate) struct Provider {
    process: Child,
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) seed: u64,
    /// What goes wrong, in basis points.
    rates: BTreeMap<String, u32>,
    /// The prices, each with the meter that it bills.
    prices: Vec<(String, Meter)>,
}

/// What goes wrong beside the faults that are drawn, for some seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    None,
    /// Every request is answered 429 by the limiter.
    Storm,
    /// Every connection is closed.
    Outage,
}

impl Provider {
    /// Starts one with all meters, no limits, subscriptions that began weeks ago, webhooks that go
    /// to `relay`, and its faults on: the usual ones, and `more` in place of some of them or
    /// beside.
    pub(crate) async fn start(
        kind: Kind,
        seed: u64,
        more: &[(String, u32)],
        relay: &Relay,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyd"));
        command.args(["sandbox", "--listen", "127.0.0.1:0"]);
        for meter in kind.facts().meters {
            command.arg("--meter").arg(format!("{}:{}", meter.name(), meter.formula()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("cannot start the sandbox")?;
        let output = process.stdout.take().context("the sandbox has no output")?;
        let mut output = BufReader::new(output).lines();
        let address = loop {
            let line = output.next_line().await?.context("the sandbox says no address")?;
            let (name, url) = line.split_once(' ').unwrap_or_default();
            if name == kind.facts().name {
                let address = url.strip_prefix("http://").and_then(|at| at.parse().ok());
                break address.with_context(|| format!("the sandbox said {line:?}"))?;
            }
        };
        let usual = kind.facts().faults.iter().map(|(fault, rate)| ((*fault).to_owned(), *rate));
        let rates = usual.chain(more.iter().cloned()).collect();
        let mut provider = Self { process, kind, address, seed, rates, prices: Vec::new() };
        provider.prices = kind.prepare(&provider, relay).await?;
        provider.trouble(Trouble::None, 0).await?;
        Ok(provider)
    }

    /// The meter that a price bills.
    pub(crate) fn meter_of(&self, price: &str) -> Option<Meter> {
        let found = self.prices.iter().find(|(id, _)| id == price);
        found.map(|(_, meter)| *meter)
    }

    /// Has what happens announced by webhooks at these endpoints, and some of that go wrong.
    pub(crate) async fn announce(&self, endpoints: &[Value]) -> anyhow::Result<()> {
        let mut faults = json!({ "seed": self.seed });
        for (kind, rate) in WEBHOOK_FAULTS {
            faults[kind] = rate.into();
        }
        self.post("webhooks", &json!({ "endpoints": endpoints, "faults": faults })).await?;
        Ok(())
    }

    /// Where webhooks are to go.
    pub(crate) fn webhook_url(&self, relay: &Relay) -> String {
        format!("http://{}/webhooks/{}", relay.address, self.kind.facts().instance)
    }

    /// Lets so many seconds pass at once.
    pub(crate) async fn advance(&self, seconds: i64) -> anyhow::Result<()> {
        self.move_clock(&json!({ "advance_micros": seconds * 1_000_000 })).await
    }

    /// Lets all time pass until this second.
    pub(crate) async fn go_to(&self, second: i64) -> anyhow::Result<()> {
        self.move_clock(&json!({ "set_micros": second * 1_000_000 })).await
    }

    async fn move_clock(&self, how: &Value) -> anyhow::Result<()> {
        Connection::ask(self.address, "POST", "/_sandbox/clock", &how.to_string()).await?;
        Ok(())
    }

    /// What became of webhooks.
    pub(crate) async fn webhooks(&self) -> anyhow::Result<Value> {
        self.get("webhooks").await
    }

    /// Asks the control for what is this provider's own.
    pub(crate) async fn get(&self, what: &str) -> anyhow::Result<Value> {
        let path = format!("/_sandbox/{}{what}", self.kind.facts().control);
        Connection::ask(self.address, "GET", &path, "").await
    }

    /// Has the control change what is this provider's own.
    pub(crate) async fn post(&self, what: &str, body: &Value) -> anyhow::Result<Value> {
        let path = format!("/_sandbox/{}{what}", self.kind.facts().control);
        Connection::ask(self.address, "POST", &path, &body.to_string()).await
    }

    /// The second that it is.
    pub(crate) async fn second(&self) -> anyhow::Result<i64> {
        let clock = Connection::ask(self.address, "GET", "/_sandbox/clock", "").await?;
        let micros = clock["now_micros"].as_i64().context("the sandbox's clock says nothing")?;
        Ok(micros / 1_000_000)
    }

    /// Lets the usual go wrong, and this beside it for so many seconds.
    pub(crate) async fn trouble(&mut self, trouble: Trouble, seconds: i64) -> anyhow::Result<()> {
        let now = self.second().await?;
        // New settings count every name's attempts afresh: another seed keeps a retry from meeting
        // the same fault again.
        self.seed = self.seed.wrapping_add(1);
        let slow = self.kind.facts().slow_millis;
        let mut faults = json!({
            "seed": self.seed, "basis_points": self.rates, "slow_millis": slow,
            // Cancellations as well.
            "reach": "writes",
        });
        match trouble {
            Trouble::None => {}
            Trouble::Storm => faults["storm"] = json!({ "from": now, "until": now + seconds }),
            Trouble::Outage => faults["outage_until"] = json!(now + seconds),
        }
        self.post("faults", &faults).await?;
        self.kind.forgive(self).await
    }

    /// Lets nothing go wrong any more.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        self.post("faults", &json!({})).await?;
        self.kind.forgive(self).await
    }

    /// What counts: a line for each meter and customer.
    pub(crate) async fn books(&self) -> anyhow::Result<Vec<Value>> {
        lines(self.get("books").await?, "books")
    }

    /// Everything that it was ever told and took.
    pub(crate) async fn told(&self) -> anyhow::Result<Vec<Value>> {
        let (mut all, name) = (Vec::new(), self.kind.facts().told);
        loop {
            let query = format!("{name}?from={}&limit={TOLD_PAGE}", all.len());
            let page = lines(self.get(&query).await?, name)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
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
pub(crate) fn lines(mut document: Value, name: &str) -> anyhow::Result<Vec<Value>> {
    let Value::Array(lines) = document[name].take() else {
        bail!("the sandbox does not tell its {name}");
    };
    Ok(lines)
}
