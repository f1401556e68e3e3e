//! The daemon as a child. Here: its config, its start, its crash and its stop, and how usage is
//! sent to it. Never here: what it does. Read next: [`super::report`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::super::http_client;
use super::usage::{Batch, METERS, SOURCE};
use crate::domain::state::EventState;
use crate::ledger::operator::OperatorLedger;
use crate::store::sqlite::SqliteLedger;

/// The key that the stand-in takes. No real account has it.
const KEY: &str = "sk_test_tallydDemo";
/// The token that the daemon takes.
const TOKEN: &str = "a-token-of-the-demo-only";
/// How long the daemon may take to say that it listens, in seconds.
const START_SECONDS_MAX: u64 = 30;
/// How often a batch is sent again before the demo gives up: the daemon restarts in well under a
/// second.
const SENDS_MAX: u32 = 200;
/// Time between two sends of a batch that was not acknowledged, in milliseconds.
const SEND_AGAIN_MILLIS: u64 = 100;

/// A running daemon.
pub(super) struct Child {
    process: tokio::process::Child,
    config: PathBuf,
    client: reqwest::Client,
    listing: Option<SqliteLedger>,
    /// Its ledger file.
    pub(super) ledger: PathBuf,
    /// Where it listens.
    pub(super) url: String,
    /// Its process.
    pub(super) pid: u32,
}

impl Child {
    /// Writes a config into `folder` and starts a daemon by it.
    pub(super) async fn start(folder: &Path, api: &str) -> anyhow::Result<Self> {
        let config = folder.join("tallyd.toml");
        tokio::fs::write(&config, config_text(api)).await.context("cannot write the config")?;
        let (process, url) = spawn(&config).await?;
        let pid = process.id().context("the daemon ended at once")?;
        let client = http_client().build()?;
        let ledger = folder.join("tallyd.ledger");
        Ok(Self { process, config, client, listing: None, ledger, url, pid })
    }

    /// Kills the daemon with SIGKILL, as a crash would, and starts it again.
    pub(super) async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("cannot kill the daemon")?;
        let (process, url) = spawn(&self.config).await?;
        self.pid = process.id().context("the daemon ended at once")?;
        (self.process, self.url) = (process, url);
        Ok(())
    }

    /// Sends a batch until it is acknowledged.
    pub(super) async fn send(&self, batch: &Batch) -> anyhow::Result<()> {
        for _ in 0..SENDS_MAX {
            let sent = self
                .client
                .post(format!("{}/v1/usage", self.url))
                .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
                .header(CONTENT_TYPE, "application/x-ndjson")
                .body(batch.body.clone())
                .send()
                .await;
            let wait = match sent {
                Ok(answer) if answer.status() == StatusCode::OK => return Ok(()),
                Ok(answer) if answer.headers().contains_key(RETRY_AFTER) => 1_000,
                Ok(answer) => {
                    let (status, said) = (answer.status(), answer.text().await?);
                    bail!("the daemon refused usage: {status} {said}");
                }
                // Not acknowledged: perhaps booked, perhaps not. Sent again, it is booked once.
                Err(_) => SEND_AGAIN_MILLIS,
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        bail!("the daemon did not take a batch in {SENDS_MAX} tries")
    }

    /// Whether all `records` are booked, and nothing waits to be told.
    pub(super) async fn is_done(&mut self, records: u64) -> anyhow::Result<bool> {
        if self.listing.is_none() {
            self.listing = Some(SqliteLedger::open_to_read(&self.ledger).await?);
        }
        let Some(ledger) = &self.listing else { return Ok(false) };
        let status = ledger.status().await?;
        let waits = status
            .events
            .iter()
            .any(|(_, state, _)| EventState::parse(state).is_none_or(EventState::awaits_delivery));
        let booked = u64::try_from(status.accrued_to).is_ok_and(|to| to >= records);
        Ok(booked && status.balances_open == 0 && !waits)
    }

    /// Asks the daemon to stop, and waits until it did.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(listing) = self.listing.take() {
            listing.close().await;
        }
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("the daemon has no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .context("cannot ask the daemon to stop")?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("the daemon stopped with {status}");
        }
        Ok(())
    }
}

async fn spawn(config: &Path) -> anyhow::Result<(tokio::process::Child, String)> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut process = Command::new(program)
        .arg("run")
        .arg("--config")
        .arg(config)
        .env("TALLYD_DEMO_KEY", KEY)
        .env("TALLYD_DEMO_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the daemon")?;
    let output = process.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    let mut output = BufReader::new(output);
    let limit = Duration::from_secs(START_SECONDS_MAX);
    tokio::time::timeout(limit, output.read_line(&mut line))
        .await
        .with_context(|| format!("the daemon did not start within {START_SECONDS_MAX} s"))??;
    let url = line.trim().strip_prefix("listening at ").map(str::to_owned);
    let url = url.with_context(|| format!("the daemon said \"{}\"", line.trim()))?;
    Ok((process, url))
}

/// The config of the demo's daemon: what a user would write to try tallyd on the stand-in.
fn config_text(api: &str) -> String {
    let routes: String = METERS
        .iter()
        .map(|meter| {
            format!(
                "[route.{meter}]\nmeter = \"{meter}\"\nto = \"stripe.demo\"\nwindow = \"1h\"\n\
                 settle = \"1s\"\n\n"
            )
        })
        .collect();
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n\n\
         [[http.token]]\nsecret = {{ env = \"TALLYD_DEMO_TOKEN\" }}\nsources = [\"{SOURCE}\"]\n\n\
         [stripe.demo]\nkey = {{ env = \"TALLYD_DEMO_KEY\" }}\napi = \"{api}\"\n\
         rate_per_second = 1000\n\n\
         {routes}[log]\nfilter = \"warn\"\n"
    )
}
