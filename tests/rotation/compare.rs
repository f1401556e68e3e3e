//! The comparison of what was written with what the ledger has. Here: each line, and each file that
//! was read. Never here: writing, waiting. Read next: [`super::daemon`].

use std::collections::BTreeSet;

use sqlx::Row as _;

use super::daemon::Home;
use super::logs::{Log, Logs};

/// What it came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) written: usize,
    pub(crate) booked: usize,
    /// Cuts by which something was lost.
    pub(crate) lossy_cuts: usize,
    /// Lines that were cut before they were read, and whose copy came nowhere near the spool.
    pub(crate) lost_by_cuts: usize,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

/// Compares everything.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) fn compare(home: &Home, logs: &Logs) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let rows = home.rows("SELECT source, id FROM usage_record ORDER BY position")?;
    let mut booked = BTreeSet::new();
    for row in &rows {
        let record: (String, String) = (row.try_get("source")?, row.try_get("id")?);
        if !booked.insert(record.clone()) {
            found.wrong.push(format!("booked twice: {}/{}", record.0, record.1));
        }
    }
    found.booked = rows.len();
    let rejected = home.rows("SELECT 'rejected: ' || place AS what FROM rejected_record")?;
    let conflicts =
        home.rows("SELECT 'a conflict: ' || position AS what FROM conflicting_record")?;
    for row in rejected.iter().chain(&conflicts) {
        found.wrong.push(row.try_get("what")?);
    }
    for log in [&logs.renamed, &logs.copied] {
        for id in log.contents.iter().flatten() {
            found.written += 1;
            if !booked.contains(&(log.spool.to_owned(), id.clone())) {
                found.wrong.push(format!("lost: {}/{id}", log.spool));
            }
        }
    }
    cut(home, &logs.cut, &booked, &mut found)?;
    let written = found.written - found.lost_by_cuts;
    if found.booked != written && found.wrong.is_empty() {
        found.wrong.push(format!("{} booked, and {written} could be", found.booked));
    }
    Ok(found)
}

/// Of a log that is cut, whose copies go elsewhere: of each content that was read at all, the
/// ledger says up to which line, that the file was replaced, and has just those lines.
fn cut(
    home: &Home,
    log: &Log,
    booked: &BTreeSet<(String, String)>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let rows = home.rows("SELECT line, ended FROM spool_file WHERE spool = 'cut' ORDER BY id")?;
    let mut read = rows.iter();
    let last = log.contents.len() - 1;
    for (number, content) in log.contents.iter().enumerate() {
        let is_booked = |id: &String| booked.contains(&(log.spool.to_owned(), id.clone()));
        let count = content.iter().take_while(|id| is_booked(id)).count();
        let in_all = content.iter().filter(|id| is_booked(id)).count();
        found.written += content.len();
        found.lost_by_cuts += content.len() - in_all;
        found.lossy_cuts += usize::from(in_all < content.len());
        if in_all != count {
            found.wrong.push(format!("content {number}: lines in its middle are lost"));
        }
        if count == 0 {
            continue;
        }
        let Some(row) = read.next() else {
            found.wrong.push(format!("content {number}: the ledger knows of no file with it"));
            continue;
        };
        let (line, ended): (i64, Option<String>) = (row.try_get("line")?, row.try_get("ended")?);
        let should_end = (number < last).then_some("replaced");
        // Lines count from one, and the next one is meant.
        if usize::try_from(line)? != count + 1 || ended.as_deref() != should_end {
            found.wrong.push(format!(
                "content {number}: {count} lines are booked of it; the ledger says that line \
                 {line} comes next, and that its file ended as {ended:?}"
            ));
        }
    }
    for _ in read {
        found.wrong.push("the ledger knows of a file whose lines it has not".to_owned());
    }
    if last > 0 && found.lost_by_cuts == 0 {
        found.wrong.push("nothing was lost by any cut: the run shows nothing of them".to_owned());
    }
    Ok(())
}
