//! The files of a spool. Here: what lies in the directory, a stretch of a file, and the file of
//! rejected lines beside it. Never here: what becomes of a stretch. Read next: [`super::spooler`].
//!
//! Everything here waits for a disk: it runs where it holds nobody up.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use serde_json::json;

use super::look::Seen;
use super::{FILES_MAX, REJECTED, Settings, is_read};
use crate::domain::digest::{Digest, Fields};
use crate::domain::names::SpoolName;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::intake;
use crate::intake::admit::{Rules, Sources};
use crate::intake::batch::Batch;
use crate::intake::import::{FileRecords, ImportError, LastRow};
use crate::intake::rows::RowStart;
use crate::ledger::intake::Rejected;
use crate::ledger::spool::{Cursor, FileKey, SpoolFile};

/// Bytes at a file's beginning, and before the cursor, that make its mark. The last line has to lie
/// in them with its id, or lines that begin and end alike could not be told apart; a disk reads a
/// page of this size in any case.
const MARK_BYTES: u64 = 4_096;
/// Bytes read from a file at once: fewer calls than with the usual 8 KiB, and still in the cache.
const READ_BYTES: usize = 128 * 1024;

/// What lies in a directory.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The files that are read.
    pub seen: Vec<Seen>,
    /// What might be taken for files that are read, and why it is left out.
    pub left_out: Vec<(String, &'static str)>,
}

/// What lies in the directory. A link is left out: what it leads to may lie there as well; so is a
/// name that is no text: it could be told to nobody.
///
/// # Errors
/// When the directory cannot be read, or holds more than [`FILES_MAX`] files.
pub fn list(directory: &Path) -> io::Result<Listed> {
    let mut listed = Listed::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if !is_read(&text) {
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(why) if why.kind() == ErrorKind::NotFound => continue,
            Err(why) => return Err(why),
        };
        if metadata.is_symlink() {
            listed.left_out.push((text.into_owned(), "it is a link"));
            continue;
        }
        if !metadata.is_file() {
            continue;
        }
        let Some(name) = name.to_str() else {
            listed.left_out.push((text.into_owned(), "its name is no text"));
            continue;
        };
        if listed.seen.len() == FILES_MAX {
            let what = format!("it holds more than {FILES_MAX} files: move away what was read");
            return Err(io::Error::other(what));
        }
        let (key, (size, modified_at)) = (key_of(&metadata), state(&metadata));
        listed.seen.push(Seen { key, name: name.to_owned(), size, modified_at });
    }
    Ok(listed)
}

/// The first two spools whose directories are one, however they are reached.
#[must_use]
pub fn shared(spools: &[Settings]) -> Option<(&SpoolName, &SpoolName)> {
    let mut known: Vec<(FileKey, &SpoolName)> = Vec::new();
    for spool in spools {
        // One that is not there yet is no other's either.
        let Ok(metadata) = fs::metadata(&spool.directory) else { continue };
        let key = key_of(&metadata);
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == key) {
            return Some((*other, &spool.name));
        }
        known.push((key, &spool.name));
    }
    None
}

fn key_of(metadata: &Metadata) -> FileKey {
    FileKey { device: metadata.dev(), inode: metadata.ino() }
}

/// A file's length, and when it was written last.
#[must_use]
pub fn state(metadata: &Metadata) -> (u64, Timestamp) {
    let seconds = metadata.mtime().saturating_mul(MICROS_PER_SECOND);
    let modified_at = seconds.saturating_add(metadata.mtime_nsec() / 1_000);
    (metadata.len(), Timestamp::from_micros(modified_at))
}

/// How everything in the directory is opened: whoever may write there can put a link or a pipe in a
/// file's place at any moment, and nothing is followed, nor waited for.
fn warily() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Opens the file `key`, where `name` still leads to it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(directory: &Path, name: &str, key: FileKey) -> io::Result<Option<File>> {
    match warily().read(true).open(directory.join(name)) {
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
    /// What the ledger knows of it.
    pub known: Option<SpoolFile>,
    /// Whether it lies in the directory, where its writer may go on.
    pub is_there: bool,
    /// Its length, and when it was written, where these have been the same for long.
    pub silent: Option<(u64, Timestamp)>,
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
    Nothing {
        /// How much lies there, in bytes.
        unread: u64,
        /// The line that it begins on, counted from one.
        line: u64,
    },
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
    let (file, known) = (&asked.file, asked.known.as_ref());
    let state = state(&file.metadata()?);
    let (size, from) = (state.0, known.map_or(0, |known| known.cursor.offset));
    if !is_as_it_was(file, known)? {
        return Ok(Found::Replaced);
    }
    let begins = bytes(file, 0, size.min(MARK_BYTES))?;
    // Whoever wrote since the last look is not silent, whatever was thought then.
    let last = match (asked.silent == Some(state), asked.is_there) {
        (false, _) => LastRow::Left,
        (true, true) => LastRow::IfClosed,
        (true, false) => LastRow::Doubted,
    };
    let mut rows = match rows(asked, size, last)? {
        Ok(rows) => rows,
        Err(found) => return Ok(found),
    };
    let RowStart { offset, line } = rows.next_row().unwrap_or(RowStart::FIRST);
    let nothing = Found::Nothing { unread: size.saturating_sub(offset), line };
    let sources = Sources::These(vec![asked.spool.source.clone()]);
    let rules = Rules { settings: &asked.intake, sources: &sources, now: asked.now };
    let read = match rows.next_batch(&rules) {
        Ok(Some(read)) if read.next.offset > from => read,
        Ok(_) => return Ok(nothing),
        Err(ImportError::Read { why, .. }) => return Err(why),
        Err(why) => return Ok(Found::Unusable(why.to_string())),
    };
    // Whether it was cut and written anew while it was read: then what was read may be of either.
    let mark = mark(file, read.next.offset)?;
    let held = begins.is_some() && bytes(file, 0, size.min(MARK_BYTES))? == begins;
    match mark {
        Some(mark) if held && is_as_it_was(file, known)? => {
            let to = Cursor { offset: read.next.offset, line: read.next.line, mark };
            let mut batch = read.batch;
            for (place, item) in &mut batch.rejected {
                item.place = format!("{}, {place}", asked.name);
            }
            Ok(Found::Stretch { batch, to, size })
        }
        Some(_) | None => Ok(if known.is_some() { Found::Replaced } else { nothing }),
    }
}

/// The rows of a file behind the cursor, as far as `size`; of a table, by its header.
fn rows(
    asked: &Asked,
    size: u64,
    last: LastRow,
) -> io::Result<Result<FileRecords<BufReader<At<'_>>>, Found>> {
    let file = &asked.file;
    let headless = Found::Nothing { unread: size, line: RowStart::FIRST.line };
    let table = At { file, offset: 0, until: size };
    let table = BufReader::with_capacity(READ_BYTES, table);
    let mapping = asked.spool.mapping.clone();
    let table = match FileRecords::open(table, &asked.name, mapping, &asked.intake) {
        Ok(table) => table,
        Err(ImportError::Read { why, .. }) => return Err(why),
        Err(ImportError::NoHeader { .. }) => return Ok(Err(headless)),
        Err(why @ (ImportError::Header { .. } | ImportError::MissingColumns { .. })) => {
            return Ok(Err(Found::Unusable(why.to_string())));
        }
    };
    // A header that is being written has no end yet.
    let Some(first) = table.next_row() else { return Ok(Err(headless)) };
    let start = match asked.known.as_ref().map(|known| known.cursor) {
        Some(Cursor { offset, line, .. }) if offset > first.offset => RowStart { offset, line },
        Some(_) | None => first,
    };
    let before = match start.offset.checked_sub(1) {
        Some(before) => bytes(file, before, 1)?.and_then(|bytes| bytes.first().copied()),
        None => None,
    };
    let rest = At { file, offset: start.offset, until: size };
    let rest = BufReader::with_capacity(READ_BYTES, rest);
    let start = (start, before.unwrap_or_default());
    Ok(Ok(table.resume(rest, start, last, &asked.intake)))
}

/// Whether what was read of a file still stands in it, and what was seen behind that may. A file
/// that is shorter than it was has been cut, wherever its cursor stands.
fn is_as_it_was(file: &File, known: Option<&SpoolFile>) -> io::Result<bool> {
    let Some(SpoolFile { cursor, size, .. }) = known else { return Ok(true) };
    let as_long = file.metadata()?.len() >= *size;
    Ok(as_long && mark(file, cursor.offset)? == Some(cursor.mark))
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

/// Reads a file from a place of its own: the file is shared with nobody's position. What is written
/// to it meanwhile lies behind the end.
struct At<'a> {
    file: &'a File,
    offset: u64,
    until: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.until.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let length = into.len().min(left);
        let read = self.file.read_at(&mut into[..length], self.offset)?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

/// Adds what was rejected of a file to the file of rejected lines beside it.
///
/// # Errors
/// When that cannot be written, or leads elsewhere; the ledger has kept what was rejected in any
/// case.
pub fn note_rejected(directory: &Path, name: &str, rejected: &[Rejected]) -> io::Result<()> {
    let mut lines = String::new();
    for item in rejected {
        let Rejected { place, field, reason, raw, .. } = item;
        let line = json!({ "place": place, "field": field, "reason": reason, "raw": raw });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let path = directory.join(format!("{name}{REJECTED}"));
    let mut file = warily().append(true).create(true).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(io::Error::other("what is called so is no file, or has another name too"));
    }
    file.write_all(lines.as_bytes())
}
