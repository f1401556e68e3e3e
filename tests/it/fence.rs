//! A ledger that is not the one usage was sent from. Here: backups, restorations, lost files and
//! other ledgers, each held against the fence; and the moments at which a crash leaves ledger and
//! fence apart. Never here: the fence's own content (see `store::fence`). Read next:
//! [`crate::holds`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tallyd::domain::time::Timestamp;
use tallyd::ledger::delivery::DeliveryLedger;
use tallyd::ledger::holds::{CaughtUp, HoldsLedger};
use tallyd::ledger::operator::{BookFilter, OperatorLedger};
use tallyd::ledger::posting::PostingLedger;
use tallyd::store::sqlite::{SqliteLedger, backup};
use tallyd::store::{FenceError, Fencing, OpenError, Settings};

use crate::support::journey::provider_name;
use crate::support::stand_in::{events, terms};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

/// A folder with a ledger in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    fn fence(&self) -> PathBuf {
        self.0.path().join("ledger.fence")
    }

    async fn try_open(&self, may_begin_anew: bool) -> Result<Arc<SqliteLedger>, OpenError> {
        let settings = Settings { path: self.ledger(), cache_kib: 2_048 };
        let fencing = Fencing { may_begin_anew, ..Fencing::beside(&settings.path) };
        let opened = SqliteLedger::open_fenced(&settings, &fencing, "a test", START).await;
        opened.map(Arc::new)
    }

    async fn open(&self) -> Arc<SqliteLedger> {
        self.try_open(false).await.unwrap()
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let name = format!("ledger{suffix}");
            drop(std::fs::remove_file(self.0.path().join(name)));
        }
    }
}

async fn close(ledger: Arc<SqliteLedger>) {
    Arc::into_inner(ledger).unwrap().close().await;
}

/// Leases what waits, at most `limit`: it may be on its way when this returns.
async fn lease(ledger: &SqliteLedger, limit: u32) -> usize {
    let leased = ledger.lease(&provider_name(), terms(START, limit)).await.unwrap().leased;
    leased.len()
}

/// How many events are in each state, without the states that none is in.
async fn states(ledger: &SqliteLedger) -> Vec<(String, i64)> {
    let events = ledger.status().await.unwrap().events;
    events.into_iter().map(|(_, state, count)| (state, count)).collect()
}

fn is(state: &str, count: i64) -> Vec<(String, i64)> {
    vec![(state.to_owned(), count)]
}

/// A ledger of three events, a backup of it, and one lease after the backup.
async fn sent_since_the_backup(place: &Place) -> PathBuf {
    let ledger = place.open().await;
    events(&ledger, 3, START).await;
    let to = place.0.path().join("backup");
    backup::copy(&place.ledger(), &to).await.unwrap();
    assert_eq!(lease(&ledger, 1).await, 1);
    close(ledger).await;
    to
}

async fn restore(place: &Place, from: &Path) -> Option<PathBuf> {
    backup::replace(&place.ledger(), from, "a test", START).await.unwrap()
}

#[tokio::test]
async fn a_restored_ledger_sends_nothing_that_may_have_been_sent_since_the_backup() {
    let place = Place::new();
    let copy = sent_since_the_backup(&place).await;
    let aside = restore(&place, &copy).await.expect("the old one is kept");
    assert!(aside.exists());
    let ledger = place.open().await;
    assert_eq!(states(&ledger).await, is("held", 3));
    assert_eq!(lease(&ledger, 10).await, 0);
    let restored = ledger.restored().await.unwrap().unwrap();
    assert_eq!(restored.caught_up_at, None);
    assert_eq!(restored.sent_through_at, START.plus_seconds(-60));
    let held = ledger.held(10).await.unwrap();
    assert!(held.iter().all(|item| item.reason == "restored"), "{held:?}");
    assert_eq!(ledger.verify().await.unwrap().findings, [""; 0]);
    // Nobody knows how much is there, until the inputs were read again.
    let lines = ledger.books(&BookFilter::default()).await.unwrap();
    assert!(lines.iter().all(|line| line.unbounded && line.at_risk == 1.into()));
    assert_eq!(ledger.caught_up("ada: all files again", START).await.unwrap(), CaughtUp::Noted);
    let again = ledger.caught_up("ada: all files again", START).await.unwrap();
    assert!(matches!(again, CaughtUp::Refused(why) if why.contains("caught up already")));
    let lines = ledger.books(&BookFilter::default()).await.unwrap();
    assert!(lines.iter().all(|line| !line.unbounded));
    // The next start finds nothing new.
    close(ledger).await;
    let ledger = place.open().await;
    assert_eq!(ledger.restored().await.unwrap().unwrap().caught_up_at, Some(START));
    close(ledger).await;
}

#[tokio::test]
async fn an_old_file_that_was_copied_over_the_ledger_is_found_like_a_restoration() {
    let place = Place::new();
    let copy = sent_since_the_backup(&place).await;
    place.remove();
    std::fs::copy(&copy, place.ledger()).unwrap();
    let ledger = place.open().await;
    assert_eq!(states(&ledger).await, is("held", 3));
    close(ledger).await;
    // The same old file once more: it does not know that it was restored.
    place.remove();
    std::fs::copy(&copy, place.ledger()).unwrap();
    let ledger = place.open().await;
    assert_eq!(states(&ledger).await, is("held", 3));
    assert_eq!(lease(&ledger, 10).await, 0);
    close(ledger).await;
}

#[tokio::test]
async fn a_backup_after_which_nothing_was_sent_is_taken_as_it_is() {
    let place = Place::new();
    let ledger = place.open().await;
    events(&ledger, 3, START).await;
    assert_eq!(lease(&ledger, 1).await, 1);
    let to = place.0.path().join("backup");
    backup::copy(&place.ledger(), &to).await.unwrap();
    close(ledger).await;
    restore(&place, &to).await;
    let ledger = place.open().await;
    assert_eq!(ledger.restored().await.unwrap(), None);
    ledger.recover_in_flight(START).await.unwrap();
    assert_eq!(lease(&ledger, 10).await, 3);
    close(ledger).await;
}

#[tokio::test]
async fn a_crash_between_the_ledger_and_its_fence_alarms_nobody() {
    let place = Place::new();
    let ledger = place.open().await;
    events(&ledger, 3, START).await;
    let before_the_lease = std::fs::read(place.fence()).unwrap();
    assert_eq!(lease(&ledger, 1).await, 1);
    drop(ledger);
    // The lease was committed, and the process ended before the fence was written.
    std::fs::write(place.fence(), before_the_lease).unwrap();
    let ledger = place.open().await;
    assert_eq!(ledger.restored().await.unwrap(), None);
    ledger.recover_in_flight(START).await.unwrap();
    assert_eq!(lease(&ledger, 10).await, 3);
    close(ledger).await;
}

#[tokio::test]
async fn a_crash_between_noting_a_restoration_and_its_fence_is_made_good_at_the_next_start() {
    let place = Place::new();
    let copy = sent_since_the_backup(&place).await;
    let before = std::fs::read(place.fence()).unwrap();
    restore(&place, &copy).await;
    close(place.open().await).await;
    std::fs::write(place.fence(), &before).unwrap();
    let ledger = place.open().await;
    assert_eq!(states(&ledger).await, is("held", 3));
    close(ledger).await;
    assert_ne!(std::fs::read(place.fence()).unwrap(), before);
}

#[tokio::test]
async fn a_fence_that_is_lost_counts_as_a_restoration_once_something_was_sent() {
    let place = Place::new();
    let ledger = place.open().await;
    events(&ledger, 2, START).await;
    close(ledger).await;
    std::fs::remove_file(place.fence()).unwrap();
    let ledger = place.open().await;
    assert_eq!(ledger.restored().await.unwrap(), None);
    assert_eq!(lease(&ledger, 1).await, 1);
    close(ledger).await;
    std::fs::remove_file(place.fence()).unwrap();
    let ledger = place.open().await;
    let restored = ledger.restored().await.unwrap().expect("it is taken for rolled back");
    assert!(restored.sent_through_at > START);
    assert_eq!(states(&ledger).await, is("held", 2));
    close(ledger).await;
}

#[tokio::test]
async fn a_ledger_that_is_lost_is_not_made_anew_unless_that_is_asked_for() {
    let place = Place::new();
    sent_since_the_backup(&place).await;
    place.remove();
    let error = place.try_open(false).await.expect_err("it was lost");
    assert!(matches!(error, OpenError::Fence(FenceError::LedgerLost { .. })), "{error}");
    assert!(!place.ledger().exists());
    let ledger = place.try_open(true).await.unwrap();
    let restored = ledger.restored().await.unwrap().expect("what was sent may be sent again");
    assert_eq!(restored.sent_through_at, START.plus_seconds(-60));
    close(ledger).await;
    // Asked for or not, it is this fence's ledger from here on.
    close(place.open().await).await;
    close(place.try_open(true).await.unwrap()).await;
}

#[tokio::test]
async fn another_ledger_than_the_fence_knows_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    sent_since_the_backup(&place).await;
    sent_since_the_backup(&other).await;
    std::fs::copy(other.ledger(), place.ledger()).unwrap();
    for may_begin_anew in [false, true] {
        let error = place.try_open(may_begin_anew).await.expect_err("it is another");
        assert!(matches!(error, OpenError::Fence(FenceError::OtherLedger { .. })), "{error}");
    }
    std::fs::write(place.fence(), "{\"ledger\":").unwrap();
    let error = place.try_open(false).await.expect_err("it is torn");
    assert!(matches!(error, OpenError::Fence(FenceError::Unreadable { .. })), "{error}");
}

#[tokio::test]
async fn nothing_is_leased_when_the_fence_cannot_be_written() {
    let place = Place::new();
    let ledger = place.open().await;
    events(&ledger, 1, START).await;
    // A folder where the new fence is to be written.
    std::fs::create_dir(place.0.path().join("ledger.fence.new")).unwrap();
    let error = ledger.lease(&provider_name(), terms(START, 1)).await.unwrap_err();
    assert!(error.is_fatal(), "{error}");
}

#[tokio::test]
async fn a_backup_is_whole_or_not_there_and_replaces_nothing() {
    let place = Place::new();
    let to = place.0.path().join("backup");
    let error = backup::copy(&place.ledger(), &to).await.unwrap_err();
    assert!(matches!(error, OpenError::Missing(_)), "{error}");
    let ledger = place.open().await;
    events(&ledger, 1, START).await;
    // What an earlier one that was cut short left.
    std::fs::write(place.0.path().join("backup.partial"), "half").unwrap();
    backup::copy(&place.ledger(), &to).await.unwrap();
    assert!(backup::copy(&place.ledger(), &to).await.is_err());
    let copy = SqliteLedger::open_to_read(&to).await.unwrap();
    assert_eq!(copy.verify().await.unwrap().findings, [""; 0]);
    assert_eq!(states(&copy).await, is("pending", 1));
    copy.close().await;
    // A ledger that somebody has open is not replaced, nor one by something that is no ledger.
    assert!(backup::replace(&place.ledger(), &to, "a test", START).await.is_err());
    close(ledger).await;
    let none = place.0.path().join("none");
    std::fs::write(&none, "no ledger").unwrap();
    assert!(backup::replace(&place.ledger(), &none, "a test", START).await.is_err());
    assert!(place.ledger().exists());
}
