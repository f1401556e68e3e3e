//! Files that are read as they grow. Here: what a spool is, and which files of its directory are
//! read. Never here: what a line means (see [`super::import`]). Read next: [`look`], then down the
//! list.
//!
//! A file is known by the number that the file system gives it, so that one that is renamed is read
//! on; and by a mark of what was read of it, so that other content under the same number is found
//! out. How far it was read moves in the transaction that books what was read: whatever ends this
//! process, no line is lost or booked twice. Where a file is cut and written anew (`copytruncate`),
//! what was written between the last reading and the cut is gone without a trace: that it may be so
//! is said aloud.

use std::path::PathBuf;

use super::import::Mapping;
use crate::domain::names::{SourceName, SpoolName};

pub mod look;
mod kept;
pub mod disk;
pub mod spooler;

/// Time between two looks at a directory where the operator did not say, in seconds: usage is
/// booked within a second, and a look at some dozen files costs some microseconds.
pub const LOOK_SECONDS: i64 = 1;
/// How long a file may be as it is, in seconds, before its last line, which nothing ends, is taken
/// where it is a closed JSON object, and before a file that left the directory is given up with
/// what is cut in it, where the operator did not say: whoever has a file open that was renamed away
/// goes on in it for some seconds, not for a minute.
pub const SILENCE_SECONDS: i64 = 60;
/// Most files in a directory: each look asks the file system for each of them.
pub const FILES_MAX: usize = 10_000;
/// What is put behind a file's name for the file of those of its lines that were rejected. No file
/// with this in its name is read: whoever rotates the others rotates these too.
pub const REJECTED: &str = ".rejected";
/// Ends of the names of files that are not read: what is not written to its end, and what was
/// compressed.
pub const NOT_READ: [&str; 8] = [".tmp", ".part", ".swp", "~", ".gz", ".bz2", ".xz", ".zst"];

/// What the operator set for a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: SpoolName,
    /// The directory whose files are read; not those beneath it.
    pub directory: PathBuf,
    /// Where the records come from.
    pub source: SourceName,
    /// How rows become records; without it each line holds a record as `POST /v1/usage` takes it.
    pub mapping: Option<Mapping>,
    /// Time between two looks at the directory, in microseconds.
    pub look_micros: i64,
    /// How long a file may be as it is before its last line is judged as it stands, in
    /// microseconds.
    pub silence_micros: i64,
}

/// Whether a file called so is read.
#[must_use]
pub fn is_read(name: &str) -> bool {
    let ends = NOT_READ.iter().any(|end| name.ends_with(end));
    !name.starts_with('.') && !name.contains(REJECTED) && !ends
}
