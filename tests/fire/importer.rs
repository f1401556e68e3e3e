//! Usage from files. Here: files that are written, imported by the real command, and imported again
//! until it says that all is booked. Never here: a daemon's life. Read next: [`super::director`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::time::timeout;

use super::daemon::Home;
use super::memory::{Booked, Parcel, Way};
use super::record::Record;
use super::shared::{Phase, Shared};

/// Most records in a file.
const RECORDS_MAX: u64 = 3_000;
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
        let size = dice.between(1, RECORDS_MAX);
        let taken = shared.memory().take(way, size, &mut dice);
        let Some(parcel) = taken else {
            shared.rung(&mut bell).await;
            continue;
        };
        let file = write(&shared, &home, &parcel)?;
        let patience = match dice.below(KILLED_ONE_IN) {
            0 => Duration::from_millis(dice.below(KILLED_MILLIS_MAX)),
            _ => Duration::from_secs(IMPORT_SECONDS_MAX),
        };
        shared.import_turns();
        let said = import(&home, way, &file, patience).await;
        shared.import_turns();
        remember(&shared, parcel, said?);
        for _ in 0..dice.below(RINGS_MAX) {
            shared.rung(&mut bell).await;
        }
    }
    Ok(())
}

/// Writes the parcel's records as a file, the same each time.
fn write(shared: &Shared, home: &Home, parcel: &Parcel) -> anyhow::Result<PathBuf> {
    let memory = shared.memory();
    let records = memory.of(parcel);
    let (name, lines): (&str, Vec<String>) = match parcel.way {
        Way::Table => {
            let head = std::iter::once(Record::row_head());
            ("usage.csv", head.chain(records.iter().map(Record::row)).collect())
        }
        Way::Http | Way::Lines => ("usage.ndjson", records.iter().map(Record::json).collect()),
    };
    let file = home.path().join(name);
    std::fs::write(&file, lines.join("\n")).context("cannot write a file of usage")?;
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
    file: &std::path::Path,
    patience: Duration,
) -> anyhow::Result<Imported> {
    let mut command = home.command();
    command.args(["import", "--config", "tallyd.toml", "--json", "--source", way.source()]);
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
            memory.unanswered(parcel);
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
            memory.unanswered(parcel);
        }
        other => {
            memory.find(format!("an import ended with {other:?}: {errors}"));
            memory.unanswered(parcel);
        }
    }
}
