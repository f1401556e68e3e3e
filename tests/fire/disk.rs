//! A disk of the ledger's own. Here: mounting it, filling it, and giving it room again. Never here:
//! when that happens. Read next: [`super::director`].

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::fs::statvfs;
use tempfile::TempDir;

/// How large it is while it is not full, in MiB. Only what is used of it takes memory.
const SIZE_MEBIBYTES: u64 = 8_192;

/// A file system in memory. Dropping it unmounts it.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// None when this host lets nobody mount.
    pub(crate) fn mount() -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let size = format!("size={SIZE_MEBIBYTES}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        Ok(mounted.is_ok_and(|done| done.status.success()).then_some(Self(folder)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all room away but so many KiB.
    pub(crate) fn fill_but(&self, kibibytes: u64) -> anyhow::Result<()> {
        let stat = statvfs(self.path()).context("cannot look at the disk")?;
        let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize / 1_024;
        // What is written meanwhile may make the new size too small for what is there: then it is
        // refused, and the disk was simply not filled.
        self.resize(used + kibibytes, "k").map(|_| ())
    }

    /// Gives all room back.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        ensure!(self.resize(SIZE_MEBIBYTES, "m")?, "the disk cannot be given room again");
        Ok(())
    }

    fn resize(&self, size: u64, unit: &str) -> anyhow::Result<bool> {
        let options = format!("remount,size={size}{unit}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.path()).output();
        Ok(done.context("cannot run mount")?.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "the disk stays mounted");
    }
}
