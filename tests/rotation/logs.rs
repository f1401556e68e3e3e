//! Logs as programs write and rotate them. Here: three of them, each rotated in a way of its own,
//! and what was written to each. Never here: what became of it ([`super::compare`]). Read next:
//! [`super::daemon`].
//!
//! A file is taken away only once the ledger has its last line. Its number on the disk is given to
//! another file then.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::chance::Dice;
use super::daemon::Home;

/// What the spools are called, and the sources of their records.
pub(crate) const SPOOLS: [&str; 3] = ["renamed", "copied", "cut"];
/// Most lines that are written before a log may be rotated.
const LINES_MAX: u64 = 40;
/// One log in so many is rotated after it was written to.
const ROTATED_ONE_IN: u64 = 2;
/// Before a cut whose copy goes elsewhere, once in so many times all was read.
const READ_BEFORE_ONE_IN: u64 = 4;
/// Rotated files that are kept in a spool: few enough that files leave all the time.
const KEPT_MAX: usize = 12;

/// A log, and what was written to it.
pub(crate) struct Log {
    pub(crate) spool: &'static str,
    folder: PathBuf,
    file: File,
    /// The lines of each content that the file has had, oldest first.
    pub(crate) contents: Vec<Vec<String>>,
    /// The last line of each rotated file that is there, newest first.
    kept: VecDeque<Option<String>>,
    written: u64,
    pub(crate) rotations: u64,
}

impl Log {
    fn begin(home: &Path, spool: &'static str) -> anyhow::Result<Self> {
        let folder = home.join(spool);
        let file = appending(&folder.join("usage"))?;
        let (contents, kept) = (vec![Vec::new()], VecDeque::new());
        Ok(Self { spool, folder, file, contents, kept, written: 0, rotations: 0 })
    }

    /// A line more.
    fn line(&mut self) -> String {
        let id = format!("{}-{:07}", self.spool, self.written);
        self.written += 1;
        let line = format!(
            "{{\"id\":\"{id}\",\"customer\":\"c{}\",\"meter\":\"calls\",\"quantity\":1,\
             \"time\":1790000000}}\n",
            self.written % 7
        );
        if let Some(content) = self.contents.last_mut() {
            content.push(id);
        }
        line
    }

    /// Some lines more, in pieces that end anywhere.
    fn write(&mut self, dice: &mut Dice) -> anyhow::Result<()> {
        let count = dice.between(1, LINES_MAX);
        let text: String = (0..count).map(|_| self.line()).collect();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let length = u64::try_from(rest.len())?;
            let (piece, behind) = rest.split_at(usize::try_from(dice.between(1, length + 1))?);
            self.file.write_all(piece).context("cannot write to a spool")?;
            rest = behind;
        }
        Ok(())
    }

    /// The file of this age; the one that is written to is of none.
    fn path(&self, age: usize) -> PathBuf {
        let name = if age == 0 { "usage".to_owned() } else { format!("usage.{age}") };
        self.folder.join(name)
    }

    fn last_line(&self) -> Option<String> {
        self.contents.iter().rev().find_map(|content| content.last().cloned())
    }

    /// Makes room for a rotated file. Whether there is any: the oldest may not be read yet.
    fn make_room(&mut self, home: &Home, from: usize) -> anyhow::Result<bool> {
        if self.kept.len() == KEPT_MAX {
            if let Some(Some(last)) = self.kept.back()
                && !home.has(self.spool, last)?
            {
                return Ok(false);
            }
            self.kept.pop_back();
            fs::remove_file(self.path(KEPT_MAX)).context("cannot remove a file")?;
        }
        for age in (from..=self.kept.len()).rev() {
            fs::rename(self.path(age), self.path(age + 1)).context("cannot rename a file")?;
        }
        Ok(true)
    }

    fn rotated(&mut self) {
        let last = self.contents.last().and_then(|content| content.last().cloned());
        self.kept.push_front(last);
        self.contents.push(Vec::new());
        self.rotations += 1;
    }

    /// Renames the file under its writer, who ends a line in it.
    fn rename(&mut self, home: &Home, dice: &mut Dice) -> anyhow::Result<()> {
        if !self.make_room(home, 1)? {
            return Ok(());
        }
        let line = self.line();
        let (begun, rest) = line.split_at(usize::try_from(dice.below(u64::try_from(line.len())?))?);
        self.file.write_all(begun.as_bytes())?;
        fs::rename(self.path(0), self.path(1)).context("cannot rename a file")?;
        self.file.write_all(rest.as_bytes())?;
        self.file = appending(&self.path(0))?;
        self.rotated();
        Ok(())
    }

    /// Copies the file into the spool and cuts it. The copy appears there when it is whole.
    fn copy_and_cut(&mut self, home: &Home) -> anyhow::Result<()> {
        if !self.make_room(home, 1)? {
            return Ok(());
        }
        let unready = self.folder.join(".usage");
        fs::copy(self.path(0), &unready).context("cannot copy a file")?;
        fs::rename(unready, self.path(1)).context("cannot rename a file")?;
        self.file.set_len(0).context("cannot cut a file")?;
        self.rotated();
        Ok(())
    }

    /// Cuts the file; its copy is taken elsewhere.
    fn cut(&mut self, home: &Home, waits: bool) -> anyhow::Result<()> {
        if let (true, Some(last)) = (waits, self.last_line()) {
            home.wait_for(self.spool, &last)?;
        }
        self.file.set_len(0).context("cannot cut a file")?;
        self.contents.push(Vec::new());
        self.rotations += 1;
        Ok(())
    }
}

/// The logs of a run.
pub(crate) struct Logs {
    pub(crate) renamed: Log,
    pub(crate) copied: Log,
    pub(crate) cut: Log,
}

impl Logs {
    /// # Errors
    /// When a file cannot be made.
    pub(crate) fn begin(home: &Path) -> anyhow::Result<Self> {
        let [renamed, copied, cut] = SPOOLS;
        Ok(Self {
            renamed: Log::begin(home, renamed)?,
            copied: Log::begin(home, copied)?,
            cut: Log::begin(home, cut)?,
        })
    }

    pub(crate) fn rotations(&self) -> u64 {
        self.renamed.rotations + self.copied.rotations + self.cut.rotations
    }

    /// Writes to each log, and rotates some. While nobody reads, nothing is waited for.
    pub(crate) fn write_and_rotate(
        &mut self,
        home: &Home,
        is_read: bool,
        dice: &mut Dice,
    ) -> anyhow::Result<()> {
        self.renamed.write(dice)?;
        if dice.once_in(ROTATED_ONE_IN) {
            self.renamed.rename(home, dice)?;
        }
        self.copied.write(dice)?;
        if dice.once_in(ROTATED_ONE_IN) {
            self.copied.copy_and_cut(home)?;
        }
        self.cut.write(dice)?;
        if dice.once_in(ROTATED_ONE_IN) {
            self.cut.cut(home, is_read && dice.once_in(READ_BEFORE_ONE_IN))?;
        }
        Ok(())
    }

    /// A last line in each, which nobody cuts.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        for log in [&mut self.renamed, &mut self.copied, &mut self.cut] {
            let line = log.line();
            log.file.write_all(line.as_bytes()).context("cannot write to a spool")?;
        }
        Ok(())
    }

    /// Waits until the ledger has the last line of each file.
    pub(crate) fn wait_until_read(&self, home: &Home) -> anyhow::Result<()> {
        for log in [&self.renamed, &self.copied, &self.cut] {
            for last in log.kept.iter().flatten().cloned().chain(log.last_line()) {
                home.wait_for(log.spool, &last)?;
            }
        }
        Ok(())
    }
}

fn appending(path: &Path) -> anyhow::Result<File> {
    File::options().create(true).append(true).open(path).context("cannot write to a spool")
}
