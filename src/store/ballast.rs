//! The ballast. Here: a file beside the ledger that takes up room on its disk, until that room is
//! needed to record what was already sent. Never here: when that is (see [`super::sqlite`]). Read
//! next: [`super::lock`].
//!
//! Its room is never counted as free, whether the file lies there or not: what was given up for
//! answers must not be spent on new usage before it is put back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Unit of a file's allocated size, in bytes; POSIX fixes it whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;
/// Bytes written at once where the file system cannot preallocate.
const CHUNK_BYTES: usize = 64 * 1024;

/// What an attempt to lay the ballast came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Laid {
    /// It lay there already, or none is wanted.
    Before,
    /// It lies there now.
    Now,
    /// The disk has no room for it.
    NoRoom,
}

/// The file, and whether it lies there.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    /// How large it shall be, in bytes. Zero until somebody wants one.
    wanted_bytes: AtomicU64,
    lies: AtomicBool,
}

impl Ballast {
    /// That of the ledger at `ledger`; none is wanted yet.
    pub(super) fn beside(ledger: &Path) -> Self {
        Self {
            path: ledger.with_added_extension("ballast"),
            wanted_bytes: AtomicU64::new(0),
            lies: AtomicBool::new(false),
        }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The room that it should take up and does not.
    pub(super) fn missing_bytes(&self) -> u64 {
        if self.lies.load(Ordering::Acquire) {
            0
        } else {
            self.wanted_bytes.load(Ordering::Acquire)
        }
    }

    /// Makes the file `bytes` large, if the disk has so much room; with zero, removes it.
    pub(super) fn lay(&self, bytes: u64) -> io::Result<Laid> {
        let changed = self.wanted_bytes.swap(bytes, Ordering::AcqRel) != bytes;
        if bytes == 0 {
            return if changed || self.path.exists() { self.remove() } else { Ok(Laid::Before) };
        }
        if self.lies.load(Ordering::Acquire) && !changed {
            return Ok(Laid::Before);
        }
        let found =
            fs::metadata(&self.path).map_or((0, 0), |found| (found.len(), allocated(&found)));
        if found.0 == bytes && found.1 >= bytes {
            self.lies.store(true, Ordering::Release);
            return Ok(Laid::Before);
        }
        // Asked first: whoever runs as root would be given the room that is kept back for root.
        if free_bytes(&self.path)?.saturating_add(found.1) < bytes {
            return Ok(Laid::NoRoom);
        }
        match fill(&self.path, bytes) {
            Ok(()) => {
                self.lies.store(true, Ordering::Release);
                Ok(Laid::Now)
            }
            Err(error) => {
                // Half a ballast would only be in the way.
                drop(fs::remove_file(&self.path));
                if error.kind() == ErrorKind::StorageFull { Ok(Laid::NoRoom) } else { Err(error) }
            }
        }
    }

    /// Gives its room back to the disk. Answers whether there was any to give.
    pub(super) fn release(&self) -> io::Result<bool> {
        if !self.lies.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(0)?;
        // A file system with a journal lends freed blocks again only once it is written.
        file.sync_all()?;
        fs::remove_file(&self.path)?;
        Ok(true)
    }

    fn remove(&self) -> io::Result<Laid> {
        self.lies.store(false, Ordering::Release);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(Laid::Before),
        }
    }
}

/// Bytes that the disk of the file at `path` still has for this process.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let stat = rustix::fs::statvfs(folder.unwrap_or_else(|| Path::new(".")))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn allocated(found: &fs::Metadata) -> u64 {
    found.blocks().saturating_mul(BLOCK_BYTES)
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_noise(&mut file, bytes)?,
        Err(error) => return Err(error.into()),
    }
    file.sync_all()
}

/// Writes what no file system can make smaller.
fn write_noise(file: &mut File, bytes: u64) -> io::Result<()> {
    let mut state: u64 = bytes;
    let mut left = bytes;
    while left > 0 {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        while chunk.len() < CHUNK_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.extend_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        file.write_all(&chunk[..length])?;
        left = left.saturating_sub(CHUNK_BYTES.try_into().unwrap_or(u64::MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1_000_000;

    fn beside(folder: &tempfile::TempDir) -> Ballast {
        Ballast::beside(&folder.path().join("ledger"))
    }

    fn taken(path: &Path) -> Option<(u64, bool)> {
        fs::metadata(path).ok().map(|found| (found.len(), allocated(&found) >= found.len()))
    }

    #[test]
    fn it_takes_up_its_room_until_it_is_released_and_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = beside(&folder);
        assert_eq!(ballast.missing_bytes(), 0);
        assert_eq!(ballast.lay(BYTES).unwrap(), Laid::Now);
        assert_eq!(ballast.lay(BYTES).unwrap(), Laid::Before);
        assert_eq!((ballast.missing_bytes(), taken(ballast.path())), (0, Some((BYTES, true))));
        assert_eq!(beside(&folder).lay(BYTES).unwrap(), Laid::Before);

        assert!(ballast.release().unwrap());
        assert_eq!((ballast.missing_bytes(), taken(ballast.path())), (BYTES, None));
        assert!(!ballast.release().unwrap());
        assert_eq!(ballast.lay(BYTES).unwrap(), Laid::Now);
    }

    #[test]
    fn its_size_follows_what_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = beside(&folder);
        for bytes in [BYTES, BYTES / 2, BYTES * 2] {
            assert_eq!(ballast.lay(bytes).unwrap(), Laid::Now);
            assert_eq!(taken(ballast.path()), Some((bytes, true)));
        }
        ballast.lay(0).unwrap();
        assert_eq!((ballast.missing_bytes(), taken(ballast.path())), (0, None));
    }

    #[test]
    fn what_the_disk_cannot_hold_is_not_begun_and_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = beside(&folder);
        assert_eq!(ballast.lay(u64::MAX / 2).unwrap(), Laid::NoRoom);
        assert_eq!((ballast.missing_bytes(), taken(ballast.path())), (u64::MAX / 2, None));
    }

    #[test]
    fn where_nothing_can_be_preallocated_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise");
        let mut file = File::create(&path).unwrap();
        write_noise(&mut file, BYTES).unwrap();
        let written = fs::read(&path).unwrap();
        assert_eq!(written.len(), 1_000_000);
        assert_ne!(written[..CHUNK_BYTES], written[CHUNK_BYTES..2 * CHUNK_BYTES]);
    }
}
