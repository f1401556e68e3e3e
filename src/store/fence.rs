//! The fence: a file outside the ledger that says how far sending from it went. Here: its content,
//! what it says of a ledger that is opened, and writing it so that it is on disk. Never here: SQL;
//! what is done about a ledger that is too old (see `sqlite`). Read next: [`super::sqlite`].
//!
//! A ledger that was restored from a backup does not know what was sent since, and would send it
//! again under other names. So before anything of a lease is sent, the lease's highest attempt is
//! written here. The ledger commits first: a crash between the two leaves the fence behind the
//! ledger, which alarms nobody, as nothing of that lease was sent. A ledger that is behind its
//! fence was rolled back.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::event::LedgerId;
use crate::domain::time::Timestamp;

/// What is put behind the ledger's name for the fence, when the operator named no other place.
const EXTENSION: &str = "fence";

/// Where the fence lies, and what may be done where the ledger does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fencing {
    /// The fence's file.
    pub path: PathBuf,
    /// Whether a new ledger may be made although the fence says that there was one. All usage of
    /// before the last sending is then held, as the lost ledger may have told it.
    pub may_begin_anew: bool,
}

impl Fencing {
    /// A fence beside the ledger.
    #[must_use]
    pub fn beside(ledger: &Path) -> Self {
        Self { path: ledger.with_added_extension(EXTENSION), may_begin_anew: false }
    }
}

/// Why a fence keeps a ledger from being opened.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// There was a ledger, and it is gone.
    #[error(
        "there is no ledger at {}, and {} says that usage was sent from one: put the ledger back, \
         or a backup of it (tallyd ledger restore FILE); or begin a new one (tallyd run --init), \
         in which all usage of before the last sending is held",
        ledger.display(), fence.display()
    )]
    LedgerLost {
        /// The ledger file that is not there.
        ledger: PathBuf,
        /// The fence.
        fence: PathBuf,
    },
    /// The fence is that of another ledger.
    #[error(
        "the ledger {} has the id {found}, and {} is the fence of {fenced}: put the right ledger \
         there, or name this ledger's own fence (ledger.fence); if it has none, take the file \
         away, and all that this ledger has not finished is held",
        ledger.display(), fence.display()
    )]
    OtherLedger {
        /// The ledger file.
        ledger: PathBuf,
        /// The fence.
        fence: PathBuf,
        /// The ledger's id.
        found: String,
        /// The id in the fence.
        fenced: String,
    },
    /// The fence is there and says nothing that can be read.
    #[error(
        "the fence {} cannot be understood: put it back from where it was changed, or take it \
         away, and all that the ledger has not finished is held",
        path.display()
    )]
    Unreadable {
        /// The fence.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The fence cannot be read or written.
    #[error("the fence {} cannot be read or written", path.display())]
    Io {
        /// The fence.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the fence says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marks {
    /// The ledger's id.
    pub(super) ledger: String,
    /// The run that wrote it.
    pub(super) epoch: i64,
    /// No attempt past this one was begun.
    pub(super) attempt: i64,
    /// No export past this step of one was sealed.
    pub(super) export_step: i64,
    /// No export has a higher number than this; files are named by it.
    #[serde(default)]
    pub(super) export: i64,
    /// No archive has a higher number than this.
    #[serde(default)]
    pub(super) archive: i64,
    /// The newest usage that may have been sent, in microseconds since the Unix epoch.
    pub(super) sent_through_micros: Option<i64>,
    /// When the ledger was last found to be rolled back, in the same unit.
    pub(super) restored_micros: Option<i64>,
}

impl Marks {
    fn covers(&self, other: &Self) -> bool {
        self.attempt >= other.attempt
            && self.export_step >= other.export_step
            && self.export >= other.export
            && self.archive >= other.archive
            && self.sent_through_micros >= other.sent_through_micros
    }

    /// Reads the fence, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, FenceError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FenceError::Io { path: path.to_owned(), source }),
        };
        let path = path.to_owned();
        serde_json::from_slice(&text).map_err(|source| FenceError::Unreadable { path, source })
    }

    /// Writes the fence whole, and has it on disk when it returns: under another name first, so
    /// that a crash leaves the old one or the new one.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_added_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        serde_json::to_writer(&mut file, self)?;
        writeln!(file)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        sync_folder_of(path)
    }
}

/// Has the names in a file's folder on disk.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// What a ledger says of itself when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) id: LedgerId,
    /// Its highest attempt.
    pub(super) attempt: i64,
    /// The highest step of its exports.
    pub(super) export_step: i64,
    /// The highest number of an export.
    pub(super) export: i64,
    /// The highest number of an archive.
    pub(super) archive: i64,
    /// When it was last found to be rolled back.
    pub(super) restored_at: Option<Timestamp>,
    /// The newest usage that may have been sent from it before that.
    pub(super) sent_through_at: Option<Timestamp>,
}

/// What a fence says of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It knows of everything that was sent.
    Whole,
    /// It does not: the newest usage that may have been sent, if that is known; and how it was
    /// found.
    RolledBack(Option<Timestamp>, String),
    /// It is another ledger than the fence's.
    Other(String),
}

/// Holds a ledger against its fence.
pub(super) fn judge(fence: Option<&Marks>, ledger: &Opened) -> Finding {
    let Some(marks) = fence else {
        return if ledger.attempt == 0 && ledger.export_step == 0 {
            Finding::Whole
        } else {
            let attempts = ledger.attempt;
            Finding::RolledBack(None, format!("it made {attempts} attempts, and has no fence"))
        };
    };
    if marks.ledger != ledger.id.as_str() {
        return Finding::Other(marks.ledger.clone());
    }
    let sent_through = marks.sent_through_micros.map(Timestamp::from_micros);
    if ledger.attempt < marks.attempt {
        let why =
            format!("it knows of {} attempts, and {} were made", ledger.attempt, marks.attempt);
        return Finding::RolledBack(sent_through, why);
    }
    if ledger.export_step < marks.export_step {
        let why = "it does not know of an export whose files may have been uploaded".to_owned();
        return Finding::RolledBack(sent_through, why);
    }
    // A backup from before an earlier restoration does not know of that one.
    if ledger.restored_at.map(Timestamp::micros) < marks.restored_micros {
        let why = "it does not know that it was restored before".to_owned();
        return Finding::RolledBack(sent_through, why);
    }
    Finding::Whole
}

/// The fence of an open ledger.
#[derive(Clone, Debug)]
pub(super) struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What has to be written before what was leased is sent.
    wanted: Mutex<Marks>,
    /// What is on disk. Whoever holds it writes.
    written: Mutex<Marks>,
}

fn lock(marks: &Mutex<Marks>) -> MutexGuard<'_, Marks> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fence {
    /// A fence that has just been written.
    pub(super) fn new(path: PathBuf, marks: Marks) -> Self {
        Self(Arc::new(Inner {
            path,
            wanted: Mutex::new(marks.clone()),
            written: Mutex::new(marks),
        }))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Has it on disk that attempts up to `attempt`, of usage up to `sent_through`, may be sent.
    /// Leases that wait for the disk together are written at once.
    pub(super) async fn advance(&self, attempt: i64, sent_through: Timestamp) -> io::Result<()> {
        self.write(|wanted| {
            wanted.attempt = wanted.attempt.max(attempt);
            wanted.sent_through_micros =
                wanted.sent_through_micros.max(Some(sent_through.micros()));
        })
        .await
    }

    /// The highest numbers that an export and an archive have, of this ledger or of one that a
    /// backup took the place of.
    pub(super) fn numbers(&self) -> (i64, i64) {
        let wanted = lock(&self.0.wanted);
        (wanted.export, wanted.archive)
    }

    /// Has it on disk that an archive has this number, before it has its file.
    pub(super) async fn advance_archives(&self, archive: i64) -> io::Result<()> {
        self.write(|wanted| wanted.archive = wanted.archive.max(archive)).await
    }

    /// Has it on disk that the export which was sealed by `step`, of usage up to `newest`, may be
    /// uploaded.
    pub(super) async fn advance_exports(
        &self,
        (export, step): (i64, i64),
        newest: Option<Timestamp>,
    ) -> io::Result<()> {
        self.write(|wanted| {
            wanted.export = wanted.export.max(export);
            wanted.export_step = wanted.export_step.max(step);
            wanted.sent_through_micros =
                wanted.sent_through_micros.max(newest.map(Timestamp::micros));
        })
        .await
    }

    async fn write(&self, change: impl FnOnce(&mut Marks)) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        let mine = {
            let mut wanted = lock(&inner.wanted);
            change(&mut wanted);
            wanted.clone()
        };
        // Written where it delays nobody, and to its end even when nobody waits any longer.
        let writing = tokio::task::spawn_blocking(move || {
            let mut written = lock(&inner.written);
            if written.covers(&mine) {
                return Ok(());
            }
            let wanted = lock(&inner.wanted).clone();
            wanted.write(&inner.path)?;
            *written = wanted;
            Ok(())
        });
        writing.await.unwrap_or_else(|why| Err(io::Error::other(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(attempt: i64, restored: Option<i64>) -> Marks {
        Marks {
            ledger: "00112233445566aa".to_owned(),
            epoch: 3,
            attempt,
            export_step: 0,
            export: 0,
            archive: 0,
            sent_through_micros: Some(7),
            restored_micros: restored,
        }
    }

    fn opened(attempt: i64, restored: Option<i64>) -> Opened {
        let id = LedgerId::new("00112233445566aa").unwrap();
        let restored_at = restored.map(Timestamp::from_micros);
        let (export, archive) = (0, 0);
        let sent_through_at = None;
        Opened { id, attempt, export_step: 0, export, archive, restored_at, sent_through_at }
    }

    #[test]
    fn a_fence_that_lags_alarms_nobody_and_one_that_leads_always_does() {
        let rolled_back = |fence: Option<&Marks>, ledger: &Opened| {
            matches!(judge(fence, ledger), Finding::RolledBack(..))
        };
        for (fence, ledger, restored, found) in [
            (0, 0, (None, None), false),
            (5, 5, (None, None), false),
            // A crash between the ledger's commit and the fence's.
            (5, 9, (None, None), false),
            (5, 4, (None, None), true),
            // A backup of before the first restoration, and one of between two.
            (5, 5, (Some(1), None), true),
            (5, 5, (Some(2), Some(1)), true),
            (5, 5, (Some(2), Some(2)), false),
            // A crash between noting a restoration in the ledger and in the fence.
            (5, 5, (None, Some(1)), false),
            (5, 4, (None, Some(1)), true),
        ] {
            let (fence, ledger) = (marks(fence, restored.0), opened(ledger, restored.1));
            assert_eq!(rolled_back(Some(&fence), &ledger), found, "{fence:?} {ledger:?}");
        }
        assert!(!rolled_back(None, &opened(0, None)));
        assert!(rolled_back(None, &opened(1, None)));
        // A backup of before an export was sealed knows as many attempts as the lost ledger did.
        let exported = |step| Marks { export_step: step, ..marks(5, None) };
        let knows = |step| Opened { export_step: step, ..opened(5, None) };
        assert!(rolled_back(Some(&exported(2)), &knows(1)));
        assert!(!rolled_back(Some(&exported(2)), &knows(2)));
        assert!(!rolled_back(Some(&exported(1)), &knows(3)));
        let mut other = marks(0, None);
        other.ledger = "ffffffffffffffff".to_owned();
        assert!(matches!(judge(Some(&other), &opened(9, None)), Finding::Other(_)));
    }

    #[test]
    fn a_fence_reads_back_and_one_that_is_torn_is_no_fence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.fence");
        assert_eq!(Marks::read(&path).unwrap(), None);
        marks(5, Some(1)).write(&path).unwrap();
        // What a crash left of the next one.
        std::fs::write(path.with_added_extension("new"), "{\"led").unwrap();
        assert_eq!(Marks::read(&path).unwrap(), Some(marks(5, Some(1))));
        marks(6, Some(1)).write(&path).unwrap();
        assert_eq!(Marks::read(&path).unwrap(), Some(marks(6, Some(1))));
        std::fs::write(&path, "{\"led").unwrap();
        assert!(matches!(Marks::read(&path), Err(FenceError::Unreadable { .. })));
    }

    #[tokio::test]
    async fn what_was_advanced_is_on_disk_and_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.fence");
        let fence = Fence::new(path.clone(), marks(5, None));
        let at = Timestamp::from_micros;
        let (one, other) = tokio::join!(fence.advance(9, at(3)), fence.advance(7, at(30)));
        one.unwrap();
        other.unwrap();
        let read = Marks::read(&path).unwrap().unwrap();
        assert_eq!((read.attempt, read.sent_through_micros), (9, Some(30)));
        fence.advance(8, at(30)).await.unwrap();
        assert_eq!(Marks::read(&path).unwrap().unwrap().attempt, 9);
        fence.advance_exports((3, 7), None).await.unwrap();
        fence.advance_archives(2).await.unwrap();
        fence.advance_archives(1).await.unwrap();
        let read = Marks::read(&path).unwrap().unwrap();
        assert_eq!((read.export, read.export_step, read.archive), (3, 7, 2));
        assert_eq!(fence.numbers(), (3, 2));
    }
}
