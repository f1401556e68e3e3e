//! One life of the daemon after the other. Here: starting it, what is done to it while it lives,
//! killing it, and judging whether it ended as it may. Never here: when anything happens
//! ([`super::plan`]). Read next: [`super::campaign`].

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until, timeout};

use super::daemon::{Daemon, Home};
use super::disk::Disk;
use super::plan::{Act, End, Life};
use super::provider::{Provider, Trouble};
use super::shared::Shared;

/// How long the daemon may take to listen, or to stop when it is asked to, in seconds.
const DEADLINE_SECONDS: u64 = 90;
/// How long the provider's trouble lasts, in seconds.
const TROUBLE_SECONDS: i64 = 2;
/// What the daemon exits with when the ledger's disk failed, and when something is in use or full.
const LEDGER_FAILED: i32 = 74;
const TRY_LATER: i32 = 75;

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) killed: u64,
    pub(crate) killed_before_it_listened: u64,
    pub(crate) asked: u64,
    pub(crate) asked_and_killed: u64,
    pub(crate) stopped: u64,
    pub(crate) filled: u64,
    pub(crate) storms: u64,
    pub(crate) outages: u64,
    pub(crate) gave_up_on_a_full_disk: u64,
    pub(crate) found_the_ledger_in_use: u64,
}

/// Who kills.
pub(crate) struct Director {
    pub(crate) shared: Arc<Shared>,
    pub(crate) home: Arc<Home>,
    pub(crate) provider: Provider,
    pub(crate) disk: Option<Disk>,
    pub(crate) deeds: Deeds,
    /// Whether the disk was full at any time since the process began.
    was_full: bool,
    is_full: bool,
    /// Where in the log the process's own words begin.
    log_from: usize,
}

impl Director {
    pub(crate) fn new(
        shared: Arc<Shared>,
        home: Arc<Home>,
        provider: Provider,
        disk: Option<Disk>,
    ) -> Self {
        let deeds = Deeds::default();
        Self { shared, home, provider, disk, deeds, was_full: false, is_full: false, log_from: 0 }
    }

    /// One life, from a start to an end on purpose.
    pub(crate) async fn live(&mut self, life: &Life) -> anyhow::Result<()> {
        loop {
            let began = Instant::now();
            self.was_full = self.is_full;
            let mut daemon = self.start()?;
            if life.early {
                tokio::select! {
                    () = sleep_until(began + life.length) => {
                        self.deeds.killed_before_it_listened += 1;
                        return self.kill(&mut daemon).await;
                    }
                    ended = daemon.ended() => self.ended_by_itself(ended?).await?,
                }
                continue;
            }
            if self.listens(&mut daemon).await? && self.survives(&mut daemon, life).await? {
                return self.end(daemon, life).await;
            }
        }
    }

    /// Starts a daemon that nothing is done to.
    pub(crate) async fn rest(&mut self) -> anyhow::Result<Daemon> {
        self.clear()?;
        loop {
            self.was_full = false;
            let mut daemon = self.start()?;
            if self.listens(&mut daemon).await? {
                return Ok(daemon);
            }
        }
    }

    fn start(&mut self) -> anyhow::Result<Daemon> {
        self.home.note("starts")?;
        self.log_from = self.home.said().len();
        self.home.start()
    }

    fn said(&self) -> String {
        self.home.said_from(self.log_from)
    }

    /// Whether it comes to listen. A disk that is full from before is given room after a while.
    async fn listens(&mut self, daemon: &mut Daemon) -> anyhow::Result<bool> {
        let limit = Duration::from_secs(DEADLINE_SECONDS);
        let listening = timeout(limit, daemon.listening()).await;
        match listening.with_context(|| format!("no start in time: {}", self.said()))?? {
            Some(address) => {
                self.home.note("listens")?;
                self.shared.set_address(Some(address));
                Ok(true)
            }
            None => {
                let ended = daemon.ended().await?;
                self.ended_by_itself(ended).await?;
                Ok(false)
            }
        }
    }

    /// Whether it lives to the end of its length, whatever is done to it.
    async fn survives(&mut self, daemon: &mut Daemon, life: &Life) -> anyhow::Result<bool> {
        let began = Instant::now();
        if self.is_full {
            // Left full by the life before.
            self.clear()?;
        }
        let within = |(at, _): &&(Duration, Act)| *at <= life.length;
        for (at, act) in life.acts.iter().filter(within) {
            if !self.waits(daemon, began + *at).await? {
                return Ok(false);
            }
            self.act(daemon, *act).await?;
        }
        self.waits(daemon, began + life.length).await
    }

    /// Whether the daemon is still there at that instant.
    async fn waits(&mut self, daemon: &mut Daemon, until: Instant) -> anyhow::Result<bool> {
        tokio::select! {
            () = sleep_until(until) => Ok(true),
            ended = daemon.ended() => {
                self.ended_by_itself(ended?).await?;
                Ok(false)
            }
        }
    }

    async fn act(&mut self, daemon: &Daemon, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Stop => {
                self.home.note("is halted")?;
                self.deeds.stopped += 1;
                daemon.signal(Signal::STOP)?;
            }
            Act::Continue => daemon.signal(Signal::CONT)?,
            Act::Fill(kibibytes) => {
                if let Some(disk) = &self.disk {
                    self.home.note(&format!("its disk has {kibibytes} KiB left"))?;
                    self.deeds.filled += 1;
                    (self.is_full, self.was_full) = (true, true);
                    disk.fill_but(kibibytes)?;
                }
            }
            Act::Clear => self.clear()?,
            Act::Trouble(trouble) => {
                self.home.note(&format!("its provider has trouble: {trouble:?}"))?;
                match trouble {
                    Trouble::None => {}
                    Trouble::Storm => self.deeds.storms += 1,
                    Trouble::Outage => self.deeds.outages += 1,
                }
                self.provider.trouble(trouble, TROUBLE_SECONDS).await?;
            }
        }
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        if let (Some(disk), true) = (&self.disk, self.is_full) {
            self.home.note("its disk has room again")?;
            disk.clear()?;
            self.is_full = false;
        }
        Ok(())
    }

    /// Ends it as the life has it.
    async fn end(&mut self, mut daemon: Daemon, life: &Life) -> anyhow::Result<()> {
        let patience = match life.end {
            End::Killed => return self.kill(&mut daemon).await,
            End::Asked => Duration::from_secs(DEADLINE_SECONDS),
            End::AskedAndKilled(patience) => patience,
        };
        // One that is stopped would not hear it.
        self.home.note("is asked to stop")?;
        daemon.signal(Signal::CONT)?;
        daemon.signal(Signal::TERM)?;
        let ended = timeout(patience, daemon.ended()).await;
        match (ended, life.end) {
            (Ok(ended), _) => {
                self.deeds.asked += 1;
                self.shared.set_address(None);
                let ended = ended?;
                if !(ended.success() || self.may_have_given_up(ended)) {
                    let said = self.said();
                    self.find(format!("asked to stop, it ended with {ended}: {said}"));
                }
                Ok(())
            }
            (Err(_), End::AskedAndKilled(_)) => {
                self.deeds.asked_and_killed += 1;
                self.kill(&mut daemon).await
            }
            (Err(_), End::Asked | End::Killed) => {
                self.find(format!("it did not stop within {DEADLINE_SECONDS} s"));
                self.kill(&mut daemon).await
            }
        }
    }

    async fn kill(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        self.home.note("is killed")?;
        daemon.signal(Signal::KILL)?;
        let ended = daemon.ended().await?;
        self.shared.set_address(None);
        if ended.signal() == Some(Signal::KILL.as_raw()) {
            self.deeds.killed += 1;
            return Ok(());
        }
        // It was quicker.
        self.ended_by_itself(ended).await
    }

    fn may_have_given_up(&self, ended: ExitStatus) -> bool {
        self.was_full && matches!(ended.code(), Some(LEDGER_FAILED | TRY_LATER))
    }

    /// Judges an end that nobody asked for, and makes room for the next start.
    async fn ended_by_itself(&mut self, ended: ExitStatus) -> anyhow::Result<()> {
        self.shared.set_address(None);
        let said = self.said();
        // An import that has just begun has not written its name yet.
        let in_use = ["in use by tallyd import", "in use by another process"];
        let in_use = in_use.iter().any(|words| said.contains(words));
        if ended.code() == Some(TRY_LATER) && in_use {
            self.deeds.found_the_ledger_in_use += 1;
            self.shared.no_import().await;
        } else if self.may_have_given_up(ended) {
            self.deeds.gave_up_on_a_full_disk += 1;
        } else {
            self.find(format!("it ended by itself with {ended}: {said}"));
        }
        self.clear()?;
        if !self.provider.is_running()? {
            bail!("the sandbox ended");
        }
        Ok(())
    }

    fn find(&self, finding: String) {
        self.shared.memory().find(finding);
    }
}
