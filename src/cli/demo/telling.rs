//! Usage is sent and told, with a crash on the way. Here: what every journey in the real present
//! does, whoever is told. Never here: whom, or what is compared afterwards. Read next: [`super`].

use std::time::Duration;

use super::child::Child;
use super::usage::Usage;
use super::{LOOK_MILLIS, Stall};
use crate::cli::progress::Progress;

/// How far a journey is, and when the daemon is killed on it.
pub(super) struct Telling<'a> {
    /// What is told, in words.
    pub(super) what: &'static str,
    /// That it is, in words.
    pub(super) told_so_far: &'static str,
    /// How many there are to be.
    pub(super) events: u64,
    /// The daemon is killed once so many were told.
    pub(super) kill_after: u64,
    /// How many were told so far.
    pub(super) told: &'a dyn Fn() -> u64,
    /// Whether it was killed.
    pub(super) killed: bool,
}

impl Telling<'_> {
    /// Sends all usage: half of it, then perhaps the crash, then the other half. With `--kill-after
    /// 0` the crash comes while usage is still being sent.
    pub(super) async fn send(&mut self, child: &mut Child, usage: &Usage) -> anyhow::Result<()> {
        let progress = Progress::new("records acknowledged", usage.count());
        let batches = usage.batches();
        for (sent, batch) in batches.iter().enumerate() {
            if self.kill_after == 0 && !self.killed && sent >= batches.len() / 2 {
                child.crash_and_restart().await?;
                self.killed = true;
            }
            child.send(batch).await?;
            progress.add(u64::try_from(batch.records).unwrap_or(u64::MAX));
        }
        progress.finish();
        Ok(())
    }

    /// Waits until everything is told, or held, with the crash in the middle; then stops the
    /// daemon. `meanwhile` hears how many were told, and says what it did about that.
    pub(super) async fn finish(
        &mut self,
        child: &mut Child,
        usage: &Usage,
        mut meanwhile: impl FnMut(u64) -> Option<&'static str>,
    ) -> anyhow::Result<()> {
        let progress = Progress::new(self.told_so_far, self.events);
        let mut stall = Stall::default();
        while !child.is_done(usage.count()).await? {
            let told = (self.told)();
            progress.set(told.min(self.events));
            if !self.killed && told >= self.kill_after {
                let (pid, what) = (child.pid, self.what);
                progress.note(&format!("SIGKILL to pid {pid} after {told} {what}"))?;
                child.crash_and_restart().await?;
                self.killed = true;
                progress.note(&format!("started again (pid {})", child.pid))?;
            }
            if let Some(done) = meanwhile(told) {
                progress.note(done)?;
            }
            stall.note(&format!("more of the {} was told", self.what), told)?;
            tokio::time::sleep(Duration::from_millis(LOOK_MILLIS)).await;
        }
        progress.set((self.told)().min(self.events));
        progress.finish();
        child.stop().await
    }
}
