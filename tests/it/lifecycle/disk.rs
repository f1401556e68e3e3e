//! Disks that fill up, and limits on a file's size.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::statvfs;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::daemon::{Billing, Home, Lines, Sums, TestDaemon, until, usage};

/// The small disk: room for a ledger of some thousand records.
const DISK: &str = "size=8m";
/// The least that `intake.free_bytes_min` may be.
const GATE: &str = "free_bytes_min = 1048576";

/// A small file system of its own, gone when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None when this host lets nobody mount, which it says.
    #[expect(clippy::print_stderr, reason = "whoever reads the run must see what was not tried")]
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(folder)),
            refused => {
                eprintln!("skipped: no file system can be mounted here: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free_bytes(&self) -> u64 {
        let stat = statvfs(self.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills the disk with something else, but for so many bytes.
    fn fill_but(&self, bytes: u64) {
        let length = usize::try_from(self.free_bytes().saturating_sub(bytes)).unwrap();
        fs::write(self.filler(), vec![7; length]).unwrap();
    }

    /// Removes what filled it.
    fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

/// A home whose ledger lies on the small disk, without a ballast.
fn home_on(disk: &SmallDisk, provider: &Billing) -> Home {
    home_with(disk, provider, "ballast_bytes = 0")
}

fn home_with(disk: &SmallDisk, provider: &Billing, ledger: &str) -> Home {
    let folder = tempfile::tempdir().unwrap();
    let lines = Lines { intake: GATE, ledger, ..Lines::default() };
    Home::at(folder, disk.path().join("tallyd.ledger"), &provider.url, lines)
}

/// `count` records of 1 each, of one customer, that take much room in the ledger.
fn large(name: &str, count: u32) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let mut record = usage(&format!("{name}-{number}"), "cus_1", "calls", "1", 7_200);
            record["properties"] = serde_json::json!({ "note": "x".repeat(500) });
            record
        })
        .collect()
}

fn one_customer(total: u32) -> Sums {
    [(("calls".to_owned(), "cus_1".to_owned()), total.to_string())].into()
}

async fn refused_for_room(daemon: &TestDaemon, records: &[Value], code: &str) {
    let reply = daemon.post(Value::from(records).to_string()).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &Value::from(code)));
    assert_eq!(reply.retry_after.as_deref(), Some("30"));
}

#[tokio::test]
async fn usage_is_refused_while_the_disk_is_low_and_taken_again_when_it_is_not() {
    let Some(disk) = SmallDisk::mount() else { return };
    let provider = Billing::start().await;
    let home = home_on(&disk, &provider);
    let daemon = home.start().await;
    daemon.accept(&large("before", 10)).await;
    daemon.all_told(10).await;

    disk.fill_but(512 * 1024);
    refused_for_room(&daemon, &large("during", 1), "low_disk").await;
    assert_eq!(daemon.get("/healthz").await.status, 200);
    assert_eq!(daemon.get("/readyz").await.status, 503);

    disk.clear();
    assert_eq!(daemon.get("/readyz").await.status, 200);
    daemon.accept(&large("during", 1)).await;
    daemon.all_told(11).await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.books(), one_customer(11));
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_a_commit_loses_nothing_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount() else { return };
    let provider = Billing::start().await;
    let home = home_on(&disk, &provider);
    let mut daemon = home.start().await;
    daemon.accept(&large("before", 10)).await;
    daemon.all_told(10).await;

    // The gate sees room enough, and the commit does not find it.
    disk.fill_but(1_500 * 1024);
    refused_for_room(&daemon, &large("during", 4_000), "ledger_full").await;
    assert_eq!(daemon.status().await["records"], 10);

    disk.clear();
    daemon.accept(&large("during", 1_500)).await;
    daemon.all_told(1_510).await;
    assert!(daemon.is_running());
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.books(), one_customer(1_510));
}

#[tokio::test]
async fn answers_that_find_no_room_are_recorded_once_there_is_some() {
    let Some(disk) = SmallDisk::mount() else { return };
    let provider = Billing::start().await;
    let home = home_on(&disk, &provider);
    let mut daemon = home.start().await;
    provider.handle.hold_answers();
    daemon.accept(&large("before", 10)).await;
    provider.handle.wait_for_in_flight(1).await;

    disk.fill_but(0);
    provider.handle.release_answers();
    home.says("delivery's bookkeeping failed; tried again").await;
    assert_eq!(daemon.get("/healthz").await.status, 200);
    refused_for_room(&daemon, &large("during", 1), "low_disk").await;

    disk.clear();
    daemon.all_told(10).await;
    daemon.accept(&large("during", 1)).await;
    daemon.all_told(11).await;
    assert!(daemon.is_running());
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.books(), one_customer(11));
    assert_eq!(provider.handle.statistics().duplicates_refused, 0);
}

#[tokio::test]
async fn a_disk_that_fills_up_between_send_and_record_leaves_nothing_unknown() {
    let Some(disk) = SmallDisk::mount() else { return };
    let provider = Billing::start().await;
    let home = home_with(&disk, &provider, "ballast_bytes = 2097152");
    let mut daemon = home.start().await;
    let ballast = disk.path().join("tallyd.ledger.ballast");
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 2_097_152);
    provider.handle.hold_answers();
    daemon.accept(&large("before", 10)).await;
    provider.handle.wait_for_in_flight(1).await;

    disk.fill_but(0);
    provider.handle.release_answers();
    home.says("gave up the ballast to record what was sent").await;
    daemon.all_told(10).await;
    assert!(!home.said().contains("delivery's bookkeeping failed"), "{}", home.said());
    assert!(!ballast.exists());
    // Its room is for answers, not for new usage.
    assert!(disk.free_bytes() > 1024 * 1024);
    refused_for_room(&daemon, &large("during", 1), "low_disk").await;

    disk.clear();
    daemon.accept(&large("during", 1)).await;
    daemon.all_told(11).await;
    until(
        "laying the ballast anew",
        async || {
            if ballast.exists() { Ok(()) } else { Err(home.said()) }
        },
    )
    .await;
    assert!(daemon.is_running());
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.books(), one_customer(11));
    assert_eq!(provider.handle.statistics().duplicates_refused, 0);
}

#[tokio::test]
async fn a_start_on_a_full_disk_ends_with_75_and_works_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let provider = Billing::start().await;
    let home = home_on(&disk, &provider);
    let daemon = home.start().await;
    daemon.accept(&large("before", 10)).await;
    daemon.all_told(10).await;
    daemon.kill().await;

    disk.fill_but(0);
    let output = home.run(&["run", "--config", "tallyd.toml"]).await;
    assert_eq!(output.status.code(), Some(75), "{}", String::from_utf8_lossy(&output.stderr));

    disk.clear();
    let daemon = home.start().await;
    daemon.all_told(10).await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.books(), one_customer(10));
}

#[tokio::test]
async fn a_limit_on_a_files_size_ends_it_with_74_and_loses_nothing_that_was_acknowledged() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start_by(&["prlimit", "--fsize=2000000"]).await;
    daemon.accept(&large("before", 100)).await;
    let reply = daemon.try_post(Value::from(large("during", 4_000)).to_string()).await;
    // Whoever is answered before the process is gone is told that nothing is certain.
    if let Ok(reply) = reply {
        assert_eq!(reply.json()["error"]["code"], "ledger_failed", "{}", reply.text);
    }
    assert_eq!(daemon.ended().await.code(), Some(74), "{}", home.said());

    let daemon = home.start().await;
    daemon.accept(&large("during", 4_000)).await;
    daemon.all_told(4_100).await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.books(), one_customer(4_100));
}
