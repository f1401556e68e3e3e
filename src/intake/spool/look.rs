//! A look at a directory. PURE. Here: what is to be done with each file that is there, and with
//! each that was. Never here: a file (see [`super::disk`]). Read next: [`super::disk`].

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::time::Timestamp;
use crate::ledger::spool::{FileEnd, FileKey, SpoolFile};

/// A file as it lies in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What makes it this one.
    pub key: FileKey,
    /// Its name.
    pub name: String,
    /// Its length, in bytes.
    pub size: u64,
    /// When it was written last, by the file system.
    pub modified_at: Timestamp,
}

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// It is read on from where the ledger has it, or from its beginning.
    Read {
        /// The file.
        key: FileKey,
        /// Its name now; that by which it was read last where it is no longer in the directory.
        name: String,
        /// What the ledger knows of it.
        known: Option<SpoolFile>,
        /// Whether it lies in the directory.
        is_there: bool,
    },
    /// It is gone, and nobody here holds it open.
    End {
        /// What the ledger knows of it.
        known: SpoolFile,
        /// How it ended.
        why: FileEnd,
    },
}

/// What is to be done where `seen` lies in the directory, the ledger knows `known`, and `open` are
/// held open here, by these names. What was written first is read first.
#[must_use]
pub fn tasks(
    mut seen: Vec<Seen>,
    known: Vec<SpoolFile>,
    open: &BTreeMap<FileKey, String>,
) -> Vec<Task> {
    seen.sort_by(|a, b| (a.modified_at, &a.name).cmp(&(b.modified_at, &b.name)));
    let mut known: BTreeMap<FileKey, SpoolFile> =
        known.into_iter().map(|file| (file.key, file)).collect();
    let mut there = BTreeSet::new();
    let mut tasks = Vec::new();
    for Seen { key, name, .. } in seen {
        // A file that has two names is read once.
        if there.insert(key) {
            tasks.push(Task::Read { key, name, known: known.remove(&key), is_there: true });
        }
    }
    for (key, name) in open.iter().filter(|(key, _)| !there.contains(key)) {
        let (key, name, known) = (*key, name.clone(), known.remove(key));
        tasks.push(Task::Read { key, name, known, is_there: false });
    }
    tasks.extend(known.into_values().map(|known| Task::End { why: gone(&known), known }));
    tasks
}

/// How a file ended that is gone: all of it was read, or some of it was not.
#[must_use]
pub const fn gone(file: &SpoolFile) -> FileEnd {
    if file.size == file.cursor.offset { FileEnd::Read } else { FileEnd::Lost }
}

/// How a file ended whose number stands for other content now, under `name`. One that was read to
/// its end and is called otherwise now is most likely gone, and another has its number.
#[must_use]
pub fn replaced(file: &SpoolFile, name: &str) -> FileEnd {
    if file.name != name && gone(file) == FileEnd::Read { FileEnd::Read } else { FileEnd::Replaced }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::spool::{Cursor, SpoolFileId};

    fn key(inode: u64) -> FileKey {
        FileKey { device: 1, inode }
    }

    fn seen(inode: u64, name: &str, modified: i64) -> Seen {
        let modified_at = Timestamp::from_micros(modified);
        Seen { key: key(inode), name: name.to_owned(), size: 10, modified_at }
    }

    fn known(inode: u64, name: &str, read_to: u64) -> SpoolFile {
        let cursor = Cursor { offset: read_to, line: 2, mark: [0; 16] };
        let id = SpoolFileId(1);
        SpoolFile { id, key: key(inode), name: name.to_owned(), cursor, size: 10 }
    }

    #[test]
    fn what_was_written_first_is_read_first_and_a_renamed_file_is_read_on() {
        let there = vec![seen(2, "usage", 9), seen(1, "usage.1", 5), seen(1, "usage.link", 5)];
        let file = known(1, "usage", 10);
        let read = |inode, name: &str, known| Task::Read {
            key: key(inode),
            name: name.to_owned(),
            known,
            is_there: true,
        };
        let expected = [read(1, "usage.1", Some(file.clone())), read(2, "usage", None)];
        assert_eq!(tasks(there, vec![file], &BTreeMap::new()), expected);
    }

    #[test]
    fn a_file_that_is_gone_has_ended_unless_it_is_held_open() {
        let half = known(1, "usage", 5);
        let expected = [Task::End { known: half.clone(), why: FileEnd::Lost }];
        assert_eq!(tasks(Vec::new(), vec![half.clone()], &BTreeMap::new()), expected);
        let whole = known(1, "usage", 10);
        let expected = [Task::End { known: whole.clone(), why: FileEnd::Read }];
        assert_eq!(tasks(Vec::new(), vec![whole], &BTreeMap::new()), expected);
        let name = half.name.clone();
        let open = BTreeMap::from([(key(1), name.clone())]);
        let read = Task::Read { key: key(1), name, known: Some(half.clone()), is_there: false };
        assert_eq!(tasks(Vec::new(), vec![half], &open), [read]);
    }

    #[test]
    fn other_content_is_a_loss_unless_a_number_was_merely_given_again() {
        assert_eq!(replaced(&known(1, "usage", 10), "usage"), FileEnd::Replaced);
        assert_eq!(replaced(&known(1, "usage", 5), "another"), FileEnd::Replaced);
        assert_eq!(replaced(&known(1, "usage", 10), "another"), FileEnd::Read);
    }

    #[test]
    fn what_tallyd_writes_and_what_is_compressed_is_not_read() {
        use super::super::is_read;
        for name in ["usage", "usage.1", "usage.ndjson-20261122", "a.csv"] {
            assert!(is_read(name), "{name}");
        }
        for name in [".usage", "a.rejected", "a.rejected.1", "usage.1.gz", "usage.tmp", "usage~"] {
            assert!(!is_read(name), "{name}");
        }
    }
}
