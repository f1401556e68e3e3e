//! The stand-in for the provider, a real process of its own. Here: its start, its faults, its
//! books. Never here: what they are compared with. Read next: [`super::compare`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::record::Meter;
use super::wire::Connection;

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
/// Events that are read at once.
const EVENTS_PAGE: usize = 5_000;

/// The stand-in. Dropping it ends it.
pub(crate) struct Provider {
    process: Child,
    pub(crate) address: SocketAddr,
    seed: u64,
    /// What goes wrong, in basis points.
    rates: BTreeMap<String, u32>,
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
    /// Starts one with all meters, no limits, and its faults on: [`FAULTS`], and `more` in place of
    /// some of them or beside.
    pub(crate) async fn start(seed: u64, more: &[(String, u32)]) -> anyhow::Result<Self> {
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
        let mut provider = Self { process, address, seed, rates };
        provider.post("settings", &json!({ "limits": "none" })).await?;
        provider.trouble(Trouble::None, 0).await?;
        Ok(provider)
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
