//! Usage from files. Here: files that are written, imported by the real command, and imported again
//! until it says that all is booked. Never here: a daemon's life. Read next: [`super::director`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::time::timeout;

use super::chance::Dice;
use super::correction::Correction;
use super::daemon::Home;
use super::fixes::Verdict;
use super::memory::{Booked, Load, Parcel, Way};
use super::record::Record;
use super::shared::{Phase, Shared};

/// Most records in a file.
const RECORDS_MAX: u64 = 3_000;
/// Most corrections in a file.
const CORRECTIONS_MAX: u64 = 300;
/// Between two imports the bell rings at most so often.
const RINGS_MAX: u64 = 20;
/// One import in so many is killed, after at most so many milliseconds.
const KILLED_ONE_IN: u64 = 6;
const KILLED_MILLIS_MAX: u64 = 400;
/// How long an import may take, in seconds. One that waits for a full disk waits longer.
const IMPORT_SECONDS_MAX: u64 = 10;

/// Imports until the end.
///
/// # Errors
/// When a file cannot be written or a process not be started.
pub(crate) async fn run(shared: Arc<Shared>, home: Arc<Home>, stream: u64) -> anyhow::Result<()> {
    let mut dice = shared.dice(stream);
    let mut bell = shared.bell();
    while shared.phase() != Phase::Over {
        let way = if dice.once_in(2) { Way::Table } else { Way::Lines };
        let Some(content) = next(&shared, way, &mut dice) else {
            shared.rung(&mut bell).await;
            continue;
        };
        let file = write(&shared, &home, way, &content)?;
        let patience = match dice.below(KILLED_ONE_IN) {
            0 => Duration::from_millis(dice.below(KILLED_MILLIS_MAX)),
            _ => Duration::from_secs(IMPORT_SECONDS_MAX),
        };
        let corrections: &[&str] = match content {
            Content::Usage(_) => &[],
            Content::Corrections(_) => &["--corrections"],
        };
        shared.import_turns();
        let said = import(&home, way, corrections, &file, patience).await;
        shared.import_turns();
        match content {
            Content::Usage(parcel) => remember(&shared, parcel, said?),
            Content::Corrections(corrections) => correct(&shared, way, corrections, &said?),
        }
        for _ in 0..dice.below(RINGS_MAX) {
            shared.rung(&mut bell).await;
        }
    }
    Ok(())
}

/// What a file holds.
enum Content {
    Usage(Parcel),
    Corrections(Vec<Correction>),
}

/// What to import next: corrections that are due go first, as records may wait for them.
fn next(shared: &Shared, way: Way, dice: &mut Dice) -> Option<Content> {
    let (size, most) = (dice.between(1, RECORDS_MAX), dice.between(1, CORRECTIONS_MAX));
    let mut memory = shared.memory();
    let due = std::iter::from_fn(|| memory.take_correction(way, dice));
    let corrections: Vec<Correction> = due.take(usize::try_from(most).unwrap_or(1)).collect();
    if !corrections.is_empty() {
        return Some(Content::Corrections(corrections));
    }
    memory.take(way, size, dice).map(Content::Usage)
}

/// Writes a file, of a parcel the same each time.
fn write(shared: &Shared, home: &Home, way: Way, content: &Content) -> anyhow::Result<PathBuf> {
    let lines = |head: String, lines: Vec<String>| match way {
        Way::Table => std::iter::once(head).chain(lines).collect::<Vec<String>>().join("\n"),
        Way::Http | Way::Lines | Way::Spool => lines.join("\n"),
    };
    let (name, text) = match content {
        Content::Usage(parcel) => {
            let memory = shared.memory();
            let meters = memory.kind().facts().meters;
            let line = |record: &Record| match way {
                Way::Table => record.row(meters),
                Way::Http | Way::Lines | Way::Spool => record.json(),
            };
            let all = memory.of(parcel).iter().map(line).collect();
            ("usage", lines(Record::row_head(meters), all))
        }
        Content::Corrections(corrections) => {
            let line = if way == Way::Table { Correction::row } else { Correction::line };
            ("fixes", lines(Correction::row_head(), corrections.iter().map(line).collect()))
        }
    };
    let extension = if way == Way::Table { "csv" } else { "ndjson" };
    let file = home.path().join(name).with_extension(extension);
    std::fs::write(&file, text).context("cannot write a file")?;
    Ok(file)
}

/// How an import ended.
enum Imported {
    Done(Option<i32>, Value, String),
    Killed,
}

async fn import(
    home: &Home,
    way: Way,
    more: &[&str],
    file: &std::path::Path,
    patience: Duration,
) -> anyhow::Result<Imported> {
    let mut command = home.command();
    command.args(["import", "--config", "tallyd.toml", "--json", "--source", way.source()]);
    command.args(more);
    let process = command.arg(file).output();
    // Dropping the process kills it.
    let Ok(output) = timeout(patience, process).await else { return Ok(Imported::Killed) };
    let output = output.context("cannot start an import")?;
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(Imported::Done(output.status.code(), said, errors))
}

fn remember(shared: &Shared, parcel: Parcel, imported: Imported) {
    let mut memory = shared.memory();
    memory.counts.imports += 1;
    let (code, said, errors) = match imported {
        Imported::Killed => {
            memory.counts.imports_killed += 1;
            memory.unanswered(Load::Usage(parcel));
            return;
        }
        Imported::Done(code, said, errors) => (code, said, errors),
    };
    let count = |name: &str| said[name].as_u64().unwrap_or_default();
    if count("conflict") + count("rejected") > 0 {
        memory.find(format!("{:?} of {}: {said}", parcel.records, parcel.way.source()));
    }
    let booked = Booked { accepted: count("accepted"), duplicate: count("duplicate") };
    match code {
        Some(0) => memory.acknowledge(parcel, booked),
        // 74: it had the ledger itself, and the disk failed. 75: the daemon went away or the disk
        // is full.
        Some(74 | 75) => {
            memory.counts.imports_failed += 1;
            memory.unanswered(Load::Usage(parcel));
        }
        other => {
            memory.find(format!("an import ended with {other:?}: {errors}"));
            memory.unanswered(Load::Usage(parcel));
        }
    }
}

/// Remembers what became of a file of corrections.
fn correct(shared: &Shared, way: Way, corrections: Vec<Correction>, imported: &Imported) {
    let mut memory = shared.memory();
    memory.counts.imports += 1;
    let refused = match imported {
        Imported::Killed => {
            memory.counts.imports_killed += 1;
            None
        }
        // Some of a file may be refused, which is said of each.
        Imported::Done(Some(0 | 1), said, errors) => {
            let refused = verdicts(way, corrections.len(), said);
            if refused.is_none() {
                memory.find(format!("an import of corrections said {said} {errors}"));
            }
            refused
        }
        Imported::Done(Some(74 | 75), ..) => {
            memory.counts.imports_failed += 1;
            None
        }
        Imported::Done(other, _, errors) => {
            memory.find(format!("an import of corrections ended with {other:?}: {errors}"));
            None
        }
    };
    let Some(refused) = refused else {
        memory.counts.unanswered += 1;
        corrections.into_iter().for_each(|correction| memory.fixes.put_back(correction));
        return;
    };
    for (at, correction) in corrections.into_iter().enumerate() {
        let verdict = refused.get(&at).copied().unwrap_or(Verdict::InLedger);
        memory.corrected(correction, verdict, None);
    }
}

/// What became of those lines of a file that were refused, by place; nothing unless the whole file
/// was judged.
fn verdicts(way: Way, lines: usize, said: &Value) -> Option<BTreeMap<usize, Verdict>> {
    let count = |name: &str| said[name].as_u64().and_then(|count| usize::try_from(count).ok());
    let known = count("accepted")? + count("duplicate")?;
    let first = if way == Way::Table { 2 } else { 1 };
    let mut refused = BTreeMap::new();
    for reason in said["reasons"].as_array()? {
        let verdict = match reason["status"].as_str()? {
            "stale" => Verdict::Stale,
            "conflict" => Verdict::Conflict,
            _ => return None,
        };
        let line = usize::try_from(reason["line"].as_u64()?).ok()?;
        refused.insert(line.checked_sub(first)?, verdict);
    }
    (known + refused.len() == lines).then_some(refused)
}
