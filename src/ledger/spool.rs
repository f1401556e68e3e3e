//! What reading a spool asks of the ledger. Here: how far each file was read, which moves in the
//! very transaction that books what was read. Never here: a file (`intake::spool`). Read next:
//! [`super::accrual`].

use async_trait::async_trait;

use super::LedgerError;
use super::intake::{Admission, Admitted, Rejected};
use crate::domain::closed::closed;
use crate::domain::digest::Digest;
use crate::domain::names::SpoolName;
use crate::domain::time::Timestamp;

/// What makes a file the same one under another name, as long as it exists: the file system numbers
/// it. A number is given again once its file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// In bytes: the next row begins there.
    pub offset: u64,
    /// The line that the next row begins on, counted from one.
    pub line: u64,
    /// A digest of how the file begins and of what stands just before the offset: another content
    /// under the same number has another.
    pub mark: Digest,
}

/// The number of a file in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolFileId(pub i64);

/// A file of which something was read, and that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolFile {
    /// Its number.
    pub id: SpoolFileId,
    /// What makes it this one.
    pub key: FileKey,
    /// Its name when it was read last.
    pub name: String,
    /// How far it was read.
    pub cursor: Cursor,
    /// Its length when it was read last, in bytes.
    pub size: u64,
}

/// What was read of a file in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The spool it lies in.
    pub spool: SpoolName,
    /// Which file.
    pub key: FileKey,
    /// Its name now.
    pub name: String,
    /// How far it had been read, in bytes; nothing of it before the first stretch.
    pub from: u64,
    /// How far it is read now.
    pub to: Cursor,
    /// Its length now, in bytes.
    pub size: u64,
}

closed! {
    /// Why a file is read no further.
    FileEnd {
        /// It is gone, and all that was seen of it was read.
        Read = "read",
        /// It is gone, and its end was not read.
        Lost = "lost",
        /// Other content stands in it: it was cut and written anew, or its number was given to
        /// another file. What was written before that and not read is not known.
        Replaced = "replaced",
    }
}

/// What `status` shows of a directory that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Its name.
    pub spool: String,
    /// Files of which something was read, and that are still there.
    pub files: i64,
    /// What of these was not read when they were read last, in bytes.
    pub unread_bytes: i64,
    /// Files that are gone, and whose end was not read.
    pub lost: i64,
    /// Files that were cut and written anew.
    pub replaced: i64,
    /// When something was read last.
    pub read_at: Timestamp,
}

/// The port through which files are read as they grow.
#[async_trait]
pub trait SpoolLedger: Send + Sync {
    /// The files of `spool` that have not ended, by number.
    ///
    /// # Errors
    /// What the ledger says.
    async fn spooled(&self, spool: &SpoolName) -> Result<Vec<SpoolFile>, LedgerError>;

    /// Books what was read, as [`super::intake::IntakeLedger::accept`] does, and moves the file's
    /// cursor, in one transaction: read and booked are the same, whatever ends this process.
    ///
    /// # Errors
    /// Then nothing of the call was kept, except after [`LedgerError::Broken`]. A contradiction
    /// where the cursor stands neither where the stretch begins nor where it ends.
    async fn accept_stretch(
        &self,
        stretch: Stretch,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError>;

    /// Notes that a file is read no further.
    ///
    /// # Errors
    /// What the ledger says; nothing was noted then.
    async fn end_file(
        &self,
        file: SpoolFileId,
        why: FileEnd,
        now: Timestamp,
    ) -> Result<(), LedgerError>;
}
