//! The real binary. Here: a daemon of its own with a config for the stand-in, and what the kernel
//! says of its memory. Never here: a measurement.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tallyd::domain::names::ProviderName;
use tallyd::ledger::delivery::DeliveryLedger;
use tallyd::ledger::operator::OperatorLedger;
use tallyd::store::sqlite::SqliteLedger;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::records::{SOURCE, TOKEN};

/// The provider of every daemon here, and its table in the config.
const PROVIDER: &str = "stripe.bench";
/// Its ledger, in its folder.
pub(crate) const LEDGER: &str = "tallyd.ledger";
/// How long the first contact may take, in seconds.
const CONTACT_SECONDS_MAX: u64 = 120;

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Daemon {
    /// Starts one in `folder` that tells the stand-in at `api` a meter of hours, and waits until it
    /// listens. `more` goes into the provider's table, and tables behind it.
    pub(crate) async fn start(folder: &Path, api: &str, more: &str) -> anyhow::Result<Self> {
        let config = folder.join("tallyd.toml");
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n\n\
             [[http.token]]\nsecret = {{ env = \"TALLYD_BENCH_TOKEN\" }}\n\
             sources = [\"{SOURCE}\"]\n\n\
             [route.tokens]\nmeter = \"tokens\"\nto = \"{PROVIDER}\"\nwindow = \"1h\"\n\
             settle = \"1s\"\n\n[log]\nfilter = \"error\"\n\n\
             [{PROVIDER}]\nkey = {{ env = \"TALLYD_BENCH_KEY\" }}\napi = \"{api}\"\n{more}"
        );
        tokio::fs::write(&config, text).await?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_tallyd"))
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
        let output = child.stdout.take().context("the daemon has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        match line.trim().strip_prefix("listening at http://") {
            Some(address) => Ok(Self { child, address: address.parse()? }),
            None => bail!("the daemon said \"{}\"", line.trim()),
        }
    }

    /// Fails when it has ended by itself.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(ended) => bail!("the daemon ended by itself with {ended}"),
            None => Ok(()),
        }
    }

    /// A figure of its memory, in KiB, as the kernel counts it.
    pub(crate) fn resident_kib(&self, figure: &str) -> anyhow::Result<u64> {
        let pid = self.child.id().context("the daemon ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure));
        let line = line.with_context(|| format!("the kernel tells no {figure}"))?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }

    /// Ends it.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Waits until the daemon of this ledger knows its provider.
pub(crate) async fn contact(ledger: &SqliteLedger) -> anyhow::Result<()> {
    let (provider, began) = (ProviderName::new(PROVIDER)?, Instant::now());
    while ledger.provider_facts(&provider).await?.clock.is_none() {
        ensure!(began.elapsed().as_secs() < CONTACT_SECONDS_MAX, "no contact was made");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// How many events of a ledger are in `states`, all together.
pub(crate) async fn events(ledger: &SqliteLedger, states: &[&str]) -> anyhow::Result<i64> {
    let events = ledger.status().await?.events;
    let counted = events.iter().filter(|(_, state, _)| states.contains(&state.as_str()));
    Ok(counted.map(|(_, _, count)| count).sum())
}
