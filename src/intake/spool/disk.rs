//! The files of a spool. Here: what lies in the directory, a stretch of a file, and the file of
//! rejected lines beside it. Never here: what becomes of a stretch. Read next: [`super::spooler`].
//!
//! Everything here waits for a disk: it runs where it holds nobody up.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::look::Seen;
use super::{FILES_MAX, REJECTED, Settings, is_read};
use crate::domain::digest::{Digest, Fields};
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::intake;
use crate::intake::admit::{Rules, Sources};
use crate::intake::batch::Batch;
use crate::intake::import::{FileRecords, ImportError, LastRow};
use crate::intake::rows::RowStart;
use crate::ledger::intake::Rejected;
use crate::ledger::spool::{Cursor, FileKey};

/// Bytes at a file's beginning, and before the cursor, that make its mark: some lines.
const MARK_BYTES: u64 = 256;
/// Bytes read from a file at once: fewer calls than with the usual 8 KiB, and still in the cache.
const READ_BYTES: usize = 128 * 1024;

/// What lies in the directory and is read. What is no file, a link too, is left out: what it leads
/// to may lie there as well.
///
/// # Errors
/// When the directory cannot be read, or holds more than [`FILES_MAX`] files.
pub fn list(directory: &Path) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // A name that is no text could be told to nobody.
        let Some(name) = name.to_str().filter(|name| is_read(name)) else { continue };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(why) if why.kind() == ErrorKind::NotFound => continue,
            Err(why) => return Err(why),
        };
        if !metadata.is_file() {
            continue;
        }
        if seen.len() == FILES_MAX {
            let what = format!("it holds more than {FILES_MAX} files: move away what was read");
            return Err(io::Error::other(what));
        }
        seen.push(Seen {
            key: key_of(&metadata),
            name: name.to_owned(),
            size: metadata.len(),
            modified_at: modified_at(&metadata),
        });
    }
    Ok(seen)
}

fn key_of(metadata: &Metadata) -> FileKey {
    FileKey { device: metadata.dev(), inode: metadata.ino() }
}

fn modified_at(metadata: &Metadata) -> Timestamp {
    let seconds = metadata.mtime().saturating_mul(MICROS_PER_SECOND);
    Timestamp::from_micros(seconds.saturating_add(metadata.mtime_nsec() / 1_000))
}

/// Opens the file `key`, where `name` still leads to it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(directory: &Path, name: &str, key: FileKey) -> io::Result<Option<File>> {
    match File::open(directory.join(name)) {
        Ok(file) => Ok((key_of(&file.metadata()?) == key).then_some(file)),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// What is asked of a file.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The file.
    pub file: Arc<File>,
    /// Its name, for messages.
    pub name: String,
    /// How far it was read.
    pub from: Option<Cursor>,
    /// What becomes of its last row where nothing ends it.
    pub last: LastRow,
    /// The present instant.
    pub now: Timestamp,
    /// The spool it lies in.
    pub spool: Arc<Settings>,
    /// What records are judged by.
    pub intake: Arc<intake::Settings>,
}

/// What a file holds behind the cursor.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing that is whole.
    Nothing,
    /// Records, or rows that make none.
    Stretch {
        /// What was read.
        batch: Batch,
        /// How far.
        to: Cursor,
        /// The file's length, in bytes.
        size: u64,
    },
    /// Something else than what was read of it stands before the cursor.
    Replaced,
    /// It is no table that the mapping fits.
    Unusable(String),
}

/// Reads a stretch of a file.
///
/// # Errors
/// When the file cannot be read.
pub fn read(asked: &Asked) -> io::Result<Found> {
    let file = &asked.file;
    let size = file.metadata()?.len();
    let from = asked.from.map_or(0, |from| from.offset);
    if !is_as_it_was(file, asked.from)? {
        return Ok(Found::Replaced);
    }
    let begins = bytes(file, 0, size.min(MARK_BYTES))?;
    let mut rows = match rows(asked)? {
        Ok(rows) => rows,
        Err(found) => return Ok(found),
    };
    let sources = Sources::These(vec![asked.spool.source.clone()]);
    let rules = Rules { settings: &asked.intake, sources: &sources, now: asked.now };
    let read = match rows.next_batch(&rules) {
        Ok(Some(read)) if read.next.offset > from => read,
        Ok(_) => return Ok(Found::Nothing),
        Err(ImportError::Read { why, .. }) => return Err(why),
        Err(why) => return Ok(Found::Unusable(why.to_string())),
    };
    // Whether it was cut and written anew while it was read: then what was read may be of either.
    let mark = mark(file, read.next.offset)?;
    let held = begins.is_some() && bytes(file, 0, size.min(MARK_BYTES))? == begins;
    match mark {
        Some(mark) if held && is_as_it_was(file, asked.from)? => {
            let to = Cursor { offset: read.next.offset, line: read.next.line, mark };
            let mut batch = read.batch;
            for (place, item) in &mut batch.rejected {
                item.place = format!("{}, {place}", asked.name);
            }
            Ok(Found::Stretch { batch, to, size: size.max(to.offset) })
        }
        Some(_) | None => Ok(if asked.from.is_some() { Found::Replaced } else { Found::Nothing }),
    }
}

/// The rows of a file behind the cursor; of a table, by its header.
fn rows(asked: &Asked) -> io::Result<Result<FileRecords<BufReader<At<'_>>>, Found>> {
    let file = &asked.file;
    let table = At { file, offset: 0 };
    let table = BufReader::with_capacity(READ_BYTES, table);
    let mapping = asked.spool.mapping.clone();
    let table = match FileRecords::open(table, &asked.name, mapping, &asked.intake) {
        Ok(table) => table,
        Err(ImportError::Read { why, .. }) => return Err(why),
        Err(ImportError::NoHeader { .. }) => return Ok(Err(Found::Nothing)),
        Err(why @ (ImportError::Header { .. } | ImportError::MissingColumns { .. })) => {
            return Ok(Err(Found::Unusable(why.to_string())));
        }
    };
    // A header that is being written has no end yet.
    let Some(first) = table.next_row() else { return Ok(Err(Found::Nothing)) };
    let start = match asked.from {
        Some(Cursor { offset, line, .. }) if offset > first.offset => RowStart { offset, line },
        Some(_) | None => first,
    };
    let last = match start.offset.checked_sub(1) {
        Some(before) => bytes(file, before, 1)?.and_then(|bytes| bytes.first().copied()),
        None => None,
    };
    let rest = BufReader::with_capacity(READ_BYTES, At { file, offset: start.offset });
    let start = (start, last.unwrap_or_default());
    Ok(Ok(table.resume(rest, start, asked.last, &asked.intake)))
}

/// Whether what was read of a file still stands in it.
fn is_as_it_was(file: &File, from: Option<Cursor>) -> io::Result<bool> {
    match from {
        Some(from) => Ok(mark(file, from.offset)? == Some(from.mark)),
        None => Ok(true),
    }
}

/// The mark of a file that was read up to `offset`; nothing where it is shorter.
fn mark(file: &File, offset: u64) -> io::Result<Option<Digest>> {
    let length = offset.min(MARK_BYTES);
    let (Some(first), Some(last)) =
        (bytes(file, 0, length)?, bytes(file, offset - length, length)?)
    else {
        return Ok(None);
    };
    Ok(Some(Fields::of("spool mark 1").bytes(&first).bytes(&last).finish()))
}

/// So many bytes of a file from `offset` on; nothing where it has fewer.
fn bytes(file: &File, offset: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        Err(why) if why.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(why) => Err(why),
    }
}

/// Reads a file from a place of its own: the file is shared with nobody's position.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

/// Adds what was rejected of a file to the file of rejected lines beside it.
///
/// # Errors
/// When that cannot be written; the ledger has kept what was rejected in any case.
pub fn note_rejected(directory: &Path, name: &str, rejected: &[Rejected]) -> io::Result<()> {
    let mut lines = String::new();
    for item in rejected {
        let Rejected { place, field, reason, raw, .. } = item;
        let line = json!({ "place": place, "field": field, "reason": reason, "raw": raw });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let path = directory.join(format!("{name}{REJECTED}"));
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(lines.as_bytes())
}
