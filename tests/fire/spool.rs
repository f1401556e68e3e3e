//! Usage that is written to a file as it happens, and that the daemon reads as it grows. Here: a
//! writer that ends its lines late, and a rotation that knows nothing of it. Never here: what
//! becomes of the records ([`super::memory`]). Read next: [`super::director`].
//!
//! A record counts as acknowledged once its line is written: nobody sends it again. A file is taken
//! away only once the ledger has its last record, whatever lives in between; its number on the disk
//! is given to another file then.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::chance::Dice;
use super::daemon::{Home, SPOOL};
use super::memory::Way;
use super::record::Record;
use super::shared::{Phase, Shared};

/// Most records in a parcel.
const RECORDS_MAX: u64 = 40;
/// Most pieces that a parcel is written in.
const PIECES_MAX: u64 = 4;
/// One file in so many pieces is rotated.
const ROTATED_ONE_IN: u64 = 2;
/// Rotated files that are kept, as a log's usually are.
const KEPT_MAX: usize = 5;

/// Writes until the end.
///
/// # Errors
/// When a file cannot be written, renamed or removed, or a process not be started.
pub(crate) async fn run(shared: Arc<Shared>, home: Arc<Home>, stream: u64) -> anyhow::Result<()> {
    let mut dice = shared.dice(stream);
    let mut bell = shared.bell();
    let mut log = Log::begin(&home)?;
    while shared.phase() != Phase::Over {
        let parcel = {
            let size = dice.between(1, RECORDS_MAX);
            shared.memory().take(Way::Spool, size, &mut dice)
        };
        let Some(parcel) = parcel else {
            shared.rung(&mut bell).await;
            continue;
        };
        let records = shared.memory().of(&parcel).to_vec();
        for piece in pieces(&records, &mut dice) {
            log.write(&piece)?;
            shared.rung(&mut bell).await;
            if dice.once_in(ROTATED_ONE_IN) && log.rotate(&home, &piece).await? {
                shared.memory().counts.rotations += 1;
            }
        }
        log.end_line()?;
        shared.memory().written(parcel);
    }
    Ok(())
}

/// A piece of what is written: some of it, and what ends the line that it leaves open.
struct Piece {
    text: String,
    /// The rest of its last line, which the next piece does not begin with.
    rest: String,
    /// The last record whose line begins in it.
    last: Option<u64>,
}

/// The lines of a parcel in pieces that end anywhere.
fn pieces(records: &[Record], dice: &mut Dice) -> Vec<Piece> {
    let parts = usize::try_from(dice.between(1, PIECES_MAX + 1)).unwrap_or(1);
    let chunks = records.chunks(records.len().div_ceil(parts).max(1));
    chunks
        .map(|chunk| {
            let mut text: String = chunk.iter().map(|record| record.json() + "\n").collect();
            let last_line = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
            let length = u64::try_from(text.len() - last_line).unwrap_or_default();
            let into = usize::try_from(dice.below(length + 1)).unwrap_or_default();
            let rest = text.split_off(last_line + into);
            Piece { text, rest, last: chunk.last().map(|record| record.number) }
        })
        .collect()
}

/// A log as a program writes it.
struct Log {
    folder: PathBuf,
    file: File,
    /// The rest of the line that is open.
    rest: String,
    /// The last record in the file that is written to.
    last: Option<u64>,
    /// The last record of each file that was rotated, newest first.
    rotated: VecDeque<Option<u64>>,
}

impl Log {
    fn begin(home: &Home) -> anyhow::Result<Self> {
        let folder = home.path().join(SPOOL);
        fs::create_dir_all(&folder).context("cannot make the spool's folder")?;
        let file = File::create(folder.join("usage")).context("cannot write to the spool")?;
        Ok(Self { folder, file, rest: String::new(), last: None, rotated: VecDeque::new() })
    }

    /// Ends the line that is open, and writes a piece.
    fn write(&mut self, piece: &Piece) -> anyhow::Result<()> {
        let text = std::mem::take(&mut self.rest) + &piece.text;
        self.file.write_all(text.as_bytes()).context("cannot write to the spool")?;
        self.rest.clone_from(&piece.rest);
        self.last = piece.last.or(self.last);
        Ok(())
    }

    /// Renames the file under its writer, who goes on in it until the line ends. The oldest one is
    /// removed; where the ledger has not all of it yet, nothing is rotated. Whether it was done.
    async fn rotate(&mut self, home: &Home, piece: &Piece) -> anyhow::Result<bool> {
        if self.rotated.len() == KEPT_MAX {
            if let Some(Some(last)) = self.rotated.back()
                && !has(home, *last).await?
            {
                return Ok(false);
            }
            self.rotated.pop_back();
            fs::remove_file(self.path(KEPT_MAX)).context("cannot remove a file")?;
        }
        for number in (0..=self.rotated.len()).rev() {
            let (from, to) = (self.path(number), self.path(number + 1));
            fs::rename(from, to).context("cannot rename a file")?;
        }
        self.file.write_all(piece.rest.as_bytes()).context("cannot write to the spool")?;
        self.rest.clear();
        self.rotated.push_front(self.last.take());
        self.file = File::create(self.path(0)).context("cannot write to the spool")?;
        Ok(true)
    }

    fn path(&self, number: usize) -> PathBuf {
        let name = if number == 0 { "usage".to_owned() } else { format!("usage.{number}") };
        self.folder.join(name)
    }

    /// Ends the line that is open.
    fn end_line(&mut self) -> anyhow::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        self.file.write_all(rest.as_bytes()).context("cannot write to the spool")
    }
}

/// Whether the ledger has this record.
async fn has(home: &Home, number: u64) -> anyhow::Result<bool> {
    if !home.has_ledger() {
        return Ok(false);
    }
    let record = format!("{}/r{number}", Way::Spool.source());
    let mut command = home.command();
    command.args(["trace", &record, "--config", "tallyd.toml", "--json"]);
    let output = command.output().await.context("cannot start a command")?;
    Ok(output.status.success())
}
