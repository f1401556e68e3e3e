//! One writer. Here: the lock beside the ledger file, held for as long as the process lives. Never
//! here: the ledger's content. Read next: [`super::sqlite`].
//!
//! The kernel drops the lock when the process ends, however it ends, so a stale file never locks
//! anybody out; its text only says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The writer's hold on a ledger; dropping it lets the next writer in.
#[derive(Debug)]
pub struct Holder {
    _file: File,
}

/// Why the writer's lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("the ledger {} is in use by {who}", path.display())]
    Held {
        /// The ledger file.
        path: PathBuf,
        /// What the holder wrote of itself.
        who: String,
    },
    /// The lock file cannot be made or written.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Longest text read from a lock file, in bytes: what [`Holder::take`] writes, with room to spare.
const WHO_BYTES_MAX: u64 = 256;

impl Holder {
    /// Takes the lock of the ledger at `ledger`, and writes `who` into it.
    ///
    /// # Errors
    /// When another process holds it, or the lock file cannot be made.
    pub fn take(ledger: &Path, who: &str) -> Result<Self, LockError> {
        let path = ledger.with_added_extension("lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = (&file).take(WHO_BYTES_MAX).read_to_string(&mut text);
                let who = match read {
                    Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
                    Ok(_) | Err(_) => "another process".to_owned(),
                };
                return Err(LockError::Held { path: ledger.to_owned(), who });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        writeln!(file, "{who}").map_err(io)?;
        file.sync_data().map_err(io)?;
        Ok(Self { _file: file })
    }
}
