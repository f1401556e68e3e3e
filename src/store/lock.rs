//! One writer. Here: the lock beside the ledger file, held for as long as the process lives. Never
//! here: the ledger's content. Read next: [`super::sqlite`].
//!
//! The kernel drops the lock when the process ends, however it ends, so a stale file never locks
//! anybody out; its text only says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The writer's hold on a ledger; dropping it lets the next writer in.
#[derive(Debug)]
pub struct Holder {
    file: File,
}

impl Drop for Holder {
    /// Unlocks by word, not only by closing: a process that was forked meanwhile, and has not begun
    /// its own program yet, holds the same open file, and the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            // The kernel drops it with the last copy of the file, at the latest with the process.
            tracing::debug!(%error, "the ledger's lock was not given back by word");
        }
    }
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
/// Most times a writer lets those pass who only look ([`Holder::current`]). Each holds the file for
/// microseconds, so that this many in a row mean something else.
const LOOKERS_MAX: u32 = 100;

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
        if !try_lock(&file).map_err(io)? {
            return Err(LockError::Held { path: ledger.to_owned(), who: read_who(&file) });
        }
        match write_who(&mut file, who) {
            // It is held all the same, and says less.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                tracing::warn!(path = %path.display(), "no room to write who holds the ledger");
            }
            written => written.map_err(io)?,
        }
        Ok(Self { file })
    }

    /// Who holds the lock of the ledger at `ledger`, if anybody does. The lock is looked at, not
    /// taken: a writer that starts meanwhile gets it.
    ///
    /// # Errors
    /// When the lock file is there and cannot be looked at.
    pub fn current(ledger: &Path) -> Result<Option<String>, LockError> {
        let path = ledger.with_added_extension("lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_who(&file))),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

/// Takes the lock, unless another writer has it. Those who only look share the lock for an instant;
/// that it can be shared tells them apart from a writer.
fn try_lock(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKERS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match file.try_lock_shared() {
            Ok(()) => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn write_who(file: &mut File, who: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{who}")?;
    file.sync_data()
}

fn read_who(file: &File) -> String {
    let mut text = String::new();
    match file.take(WHO_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_who_holds_it_and_looking_does_not_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger");
        assert_eq!(Holder::current(&ledger).unwrap(), None);
        let holder = Holder::take(&ledger, "a daemon").unwrap();
        assert_eq!(Holder::current(&ledger).unwrap().as_deref(), Some("a daemon"));
        let error = Holder::take(&ledger, "another").unwrap_err();
        assert!(matches!(&error, LockError::Held { who, .. } if who == "a daemon"), "{error:?}");
        drop(holder);
        assert_eq!(Holder::current(&ledger).unwrap(), None);
        Holder::take(&ledger, "another").unwrap();
    }

    #[test]
    fn a_writer_waits_for_those_who_only_look() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    Holder::current(&ledger).unwrap();
                }
            });
            for _ in 0..100 {
                drop(Holder::take(&ledger, "a writer"));
            }
            let taken = Holder::take(&ledger, "a writer");
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            taken.unwrap();
        });
    }
}
