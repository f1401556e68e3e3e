//! What is remembered of a spool from look to look; all of it can be forgotten. Here: which files
//! are held open, since when each is as it is, what was said of it. Never here: a byte of a file
//! (see [`super::disk`]). Read next: [`super::spooler`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use super::look::Seen;
use crate::domain::time::Timestamp;
use crate::ledger::spool::FileKey;

/// Most files that are held open: a quarter of a service's usual limit. What is not held open is
/// opened when it is read.
const OPEN_FILES_MAX: usize = 256;

/// What is remembered.
#[derive(Default)]
pub(super) struct Kept {
    files: BTreeMap<FileKey, Remembered>,
    /// What is wrong with the directory.
    pub(super) trouble: Option<String>,
    /// The names of what was left out at the last look.
    left_out: BTreeSet<String>,
}

/// A file, as it was at the last look.
struct Remembered {
    /// It is held open, so that it can be read to its end when it leaves the directory.
    file: Option<Arc<File>>,
    name: String,
    /// Its length, and when it was written.
    seen: (u64, Timestamp),
    /// Since when these are the same.
    still_since: Timestamp,
    /// Since when nothing of what lies in it could be booked.
    stuck_since: Option<Timestamp>,
    /// Whether nothing more is found in it until it changes.
    is_done: bool,
    /// Whether it was said that it cannot be read.
    was_told: bool,
}

/// A file that left the directory and was not held open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) key: FileKey,
    pub(super) name: String,
    /// Its length when it was seen last, in bytes.
    pub(super) size: u64,
}

impl Kept {
    /// Remembers what is seen, at `now`; answers with the files that are held open, by their names,
    /// and those that are gone though something in them was still expected to be read.
    pub(super) fn look_at(
        &mut self,
        seen: &[Seen],
        now: Timestamp,
    ) -> (BTreeMap<FileKey, String>, Vec<Gone>) {
        let mut there = BTreeSet::new();
        for Seen { key, name, size, modified_at } in seen {
            let seen = (*size, *modified_at);
            let file = self.files.entry(*key).or_insert_with(|| Remembered::new(seen, now));
            file.name.clone_from(name);
            file.notice(seen, now);
            there.insert(*key);
        }
        let mut gone = Vec::new();
        self.files.retain(|key, file| {
            let stays = file.file.is_some() || there.contains(key);
            let is_expected = !file.is_done || file.was_told;
            if !stays && is_expected && file.seen.0 > 0 {
                gone.push(Gone { key: *key, name: file.name.clone(), size: file.seen.0 });
            }
            stays
        });
        let open = self.files.iter().filter(|(_, file)| file.file.is_some());
        (open.map(|(key, file)| (*key, file.name.clone())).collect(), gone)
    }

    /// Those of what is left out that were not at the last look, and why.
    pub(super) fn newly_left_out<'a>(
        &mut self,
        left_out: &'a [(String, &'static str)],
    ) -> Vec<&'a (String, &'static str)> {
        let newly = left_out.iter().filter(|(name, _)| !self.left_out.contains(name)).collect();
        self.left_out = left_out.iter().map(|(name, _)| name.clone()).collect();
        newly
    }

    /// Notes what a look shows of a file.
    pub(super) fn notice(&mut self, key: FileKey, seen: (u64, Timestamp), now: Timestamp) {
        if let Some(file) = self.files.get_mut(&key) {
            file.notice(seen, now);
        }
    }

    /// What a file is like, where it has been so for `silence_micros`: nobody writes to it, most
    /// likely.
    pub(super) fn silent(
        &self,
        key: FileKey,
        now: Timestamp,
        silence_micros: i64,
    ) -> Option<(u64, Timestamp)> {
        let file = self.files.get(&key)?;
        (now.micros_since(file.still_since) >= silence_micros).then_some(file.seen)
    }

    /// What holds a file open.
    pub(super) fn held(&self, key: FileKey) -> Option<Arc<File>> {
        self.files.get(&key)?.file.clone()
    }

    /// Whether there is nothing more in a file until it changes.
    pub(super) fn nothing_is_expected_of(&self, key: FileKey) -> bool {
        self.files.get(&key).is_some_and(|file| file.is_done)
    }

    /// Holds a file open, in the place of one that nothing more is expected of if need be.
    pub(super) fn hold(&mut self, key: FileKey, file: &Arc<File>) {
        let held = self.files.values().filter(|each| each.file.is_some()).count();
        if held >= OPEN_FILES_MAX {
            let done = |each: &&mut Remembered| each.is_done && each.file.is_some();
            match self.files.values_mut().find(done) {
                Some(done) => done.file = None,
                None => return,
            }
        }
        if let Some(known) = self.files.get_mut(&key) {
            known.file = Some(Arc::clone(file));
        }
    }

    /// Holds a file open no longer; it is opened anew when it is read again.
    pub(super) fn let_go(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.file = None;
        }
    }

    /// Something of a file was booked, or all of it was before.
    pub(super) fn went_on(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.stuck_since = None;
            file.was_told = false;
        }
    }

    /// Nothing of what lies in a file can be booked at `now`: for how long that has been so, in
    /// microseconds.
    pub(super) fn stuck_micros(&mut self, key: FileKey, now: Timestamp) -> i64 {
        let Some(file) = self.files.get_mut(&key) else { return 0 };
        now.micros_since(*file.stuck_since.get_or_insert(now))
    }

    /// There is nothing more in a file until it changes.
    pub(super) fn is_done(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.is_done = true;
        }
    }

    /// Whether it was not said yet that a file cannot be read; it is now.
    pub(super) fn is_told_first(&mut self, key: FileKey) -> bool {
        let file = self.files.get_mut(&key);
        file.is_some_and(|file| !std::mem::replace(&mut file.was_told, true))
    }

    /// Forgets a file.
    pub(super) fn forget(&mut self, key: FileKey) {
        self.files.remove(&key);
    }
}

impl Remembered {
    const fn new(seen: (u64, Timestamp), now: Timestamp) -> Self {
        Self {
            file: None,
            name: String::new(),
            seen,
            still_since: now,
            stuck_since: None,
            is_done: false,
            was_told: false,
        }
    }

    /// Notes what a look shows of it.
    fn notice(&mut self, seen: (u64, Timestamp), now: Timestamp) {
        // A clock that was set back begins the wait anew.
        if self.seen != seen || now < self.still_since {
            self.seen = seen;
            self.still_since = now;
            self.is_done = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: FileKey = FileKey { device: 1, inode: 7 };

    /// What is said to be gone once a file is, of whose content this is known.
    fn gone(known: impl FnOnce(&mut Kept)) -> usize {
        let now = Timestamp::from_seconds(1_790_000_000);
        let seen = Seen { key: KEY, name: "usage".to_owned(), size: 40, modified_at: now };
        let mut kept = Kept::default();
        kept.look_at(&[seen], now);
        known(&mut kept);
        kept.look_at(&[], now).1.len()
    }

    #[test]
    fn a_file_that_leaves_unread_and_was_not_held_open_is_missed() {
        assert_eq!(gone(|_| {}), 1);
        assert_eq!(gone(|kept| kept.is_done(KEY)), 0);
        // Nothing more was expected of it only because what lies in it cannot be read.
        let unreadable = |kept: &mut Kept| {
            assert!(kept.is_told_first(KEY));
            kept.is_done(KEY);
        };
        assert_eq!(gone(unreadable), 1);
    }
}
