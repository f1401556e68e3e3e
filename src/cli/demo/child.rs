//! The daemon as a child. Here: its config, its start, its crash and its stop, and how usage is
//! sent to it. Never here: what it does. Read next: [`super::report`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::super::http_client;
use super::usage::{Batch, SOURCE};
use crate::domain::record::UsageRecord;
use crate::domain::state::EventState;
use crate::ledger::operator::{BookFilter, BookLine, OperatorLedger};
use crate::store::sqlite::SqliteLedger;

/// The token that the daemon takes.
const TOKEN: &str = "a-token-of-the-demo-only";
/// How long the daemon may take to say that it listens, in seconds.
const START_SECONDS_MAX: u64 = 30;
/// How often a batch is sent again before the demo gives up: the daemon restarts in well under a
/// second.
const SENDS_MAX: u32 = 200;
/// Time between two sends of a batch that was not acknowledged, in milliseconds.
const SEND_AGAIN_MILLIS: u64 = 100;

/// What a daemon is set up with.
pub(super) struct Setup<'a> {
    /// The tables of its config that say whom it tells and what.
    pub(super) tables: &'a str,
    /// What it logs.
    pub(super) filter: &'static str,
    /// The key that the stand-in takes. No real account has it.
    pub(super) key: &'static str,
}

/// How far a daemon is to come.
#[derive(Clone, Copy)]
pub(super) struct Level {
    /// So many records are booked.
    pub(super) records: u64,
    /// So many corrections are.
    pub(super) corrections: u64,
}

/// A running daemon.
pub(super) struct Child {
    process: tokio::process::Child,
    config: PathBuf,
    key: &'static str,
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
    pub(super) async fn start(folder: &Path, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let (config, key) = (folder.join("tallyd.toml"), setup.key);
        configure(&config, setup).await?;
        let (process, url) = spawn(&config, key).await?;
        let pid = process.id().context("the daemon ended at once")?;
        let client = http_client().build()?;
        let ledger = folder.join("tallyd.ledger");
        Ok(Self { process, config, key, client, listing: None, ledger, url, pid })
    }

    /// Where it is, in words.
    pub(super) fn introduction(&self) -> String {
        let Self { url, pid, ledger, .. } = self;
        format!("daemon at {url} (pid {pid}), ledger {}", ledger.display())
    }

    /// Writes its config anew; it goes by the one that it was started with.
    pub(super) async fn configure(&self, setup: &Setup<'_>) -> anyhow::Result<()> {
        configure(&self.config, setup).await
    }

    /// Kills the daemon with SIGKILL, as a crash would, and starts it again.
    pub(super) async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("cannot kill the daemon")?;
        let (process, url) = spawn(&self.config, self.key).await?;
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

    /// Its ledger, for reading.
    pub(super) async fn listing(&mut self) -> anyhow::Result<&SqliteLedger> {
        match &mut self.listing {
            Some(listing) => Ok(listing),
            closed @ None => Ok(closed.insert(SqliteLedger::open_to_read(&self.ledger).await?)),
        }
    }

    /// Whether all `records` are booked, and nothing waits to be told.
    pub(super) async fn is_done(&mut self, records: u64) -> anyhow::Result<bool> {
        let status = self.listing().await?.status().await?;
        let waits = status
            .events
            .iter()
            .any(|(_, state, _)| EventState::parse(state).is_none_or(EventState::awaits_delivery));
        let booked = u64::try_from(status.accrued_to).is_ok_and(|to| to >= records);
        Ok(booked && status.balances_open == 0 && !waits)
    }

    /// Whether all that was sent and corrected is booked.
    pub(super) async fn has_booked(&mut self, level: Level) -> anyhow::Result<bool> {
        let status = self.listing().await?.status().await?;
        let is_at = |reached: i64, wanted: u64| u64::try_from(reached).is_ok_and(|it| it >= wanted);
        Ok(is_at(status.accrued_to, level.records) && is_at(status.corrected_to, level.corrections))
    }

    /// Whether of all that is booked nothing is left that is neither told nor held.
    pub(super) async fn rests(&mut self) -> anyhow::Result<bool> {
        let by_window = BookFilter { by_window: true, ..BookFilter::default() };
        let rests = |line: &BookLine| {
            let is_certain = line.pending.is_zero() && line.uncertain.is_zero();
            is_certain && (line.accrued == line.told || !line.at_risk.is_zero())
        };
        Ok(self.listing().await?.books(&by_window).await?.iter().all(rests))
    }

    /// Whether all that it heard of the provider was acted on.
    pub(super) async fn has_heard(&mut self) -> anyhow::Result<bool> {
        let status = self.listing().await?.status().await?;
        Ok(status.notices.iter().all(|notices| notices.waiting == 0))
    }

    /// Corrects a record: `verb` is `cancel` or `adjust`.
    pub(super) async fn correct(
        &self,
        record: &UsageRecord,
        verb: &str,
        body: &Value,
    ) -> anyhow::Result<()> {
        let UsageRecord { source, id, .. } = record;
        let answer = self
            .client
            .post(format!("{}/v1/usage/{source}/{id}/{verb}", self.url))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await
            .with_context(|| format!("{source}/{id} could not be corrected"))?;
        if answer.status() != StatusCode::OK {
            let (status, said) = (answer.status(), answer.text().await?);
            bail!("the daemon refused to {verb} {source}/{id}: {status} {said}");
        }
        Ok(())
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

async fn spawn(config: &Path, key: &str) -> anyhow::Result<(tokio::process::Child, String)> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut process = Command::new(program)
        .arg("run")
        .arg("--config")
        .arg(config)
        .env("TALLYD_DEMO_KEY", key)
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

/// Writes the config of a demo's daemon.
async fn configure(config: &Path, setup: &Setup<'_>) -> anyhow::Result<()> {
    let Setup { tables, filter, .. } = setup;
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n\n\
         [[http.token]]\nsecret = {{ env = \"TALLYD_DEMO_TOKEN\" }}\nsources = [\"{SOURCE}\"]\n\n\
         {tables}[log]\nfilter = \"{filter}\"\n"
    );
    tokio::fs::write(config, text).await.context("cannot write the config")
}
