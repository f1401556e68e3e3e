//! `tallyd ledger verify`. Here: what was checked, and every promise that is broken. Never here: a
//! repair. Read next: [`super::import`].

use std::io::{self, Write};

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::args::LedgerVerify;
use super::exit::Exit;
use super::reading::{self, Reading};
use super::{page, words};
use crate::ledger::operator::OperatorLedger;
use crate::ledger::verification::{FINDINGS_MAX, Verification};
use crate::store::sqlite::archive::Checked;

/// Checks the ledger, or an archive of it, beside a daemon or without one.
///
/// # Errors
/// When the ledger cannot be read, or the file is no archive of it.
pub(crate) async fn verify(asked: &LedgerVerify) -> anyhow::Result<Exit> {
    let listing = &asked.listing;
    let Reading { config, ledger, .. } = reading::open(&listing.configured).await?;
    let (path, verification) = match &asked.archive {
        None => (config.store.path.display().to_string(), ledger.verify().await?),
        Some(file) => match ledger.verify_archive(file).await? {
            Checked::Archive(_, verification) => (file.display().to_string(), verification),
            Checked::Refused(why) => bail!(why),
        },
    };
    ledger.close().await;
    if listing.json {
        page::print_json(&json_of(&path, &verification))?;
    } else {
        page::print(|out| write(out, &path, &verification))?;
    }
    Ok(if verification.findings.is_empty() { Exit::Ok } else { Exit::Drift })
}

fn json_of(path: &str, verification: &Verification) -> Value {
    let mut checked = Map::new();
    for (what, count) in &verification.checked {
        checked.insert(what.replace(' ', "_"), Value::from(*count));
    }
    json!({ "ledger": path, "checked": checked, "findings": verification.findings })
}

fn write(out: &mut dyn Write, path: &str, verification: &Verification) -> io::Result<()> {
    let counts: Vec<String> =
        verification.checked.iter().map(|(what, count)| format!("{count} {what}")).collect();
    writeln!(out, "Checked {path}: its storage, {}.", counts.join(", "))?;
    let findings = &verification.findings;
    if findings.is_empty() {
        return writeln!(out, "Every promise holds.");
    }
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    let count = i64::try_from(findings.len()).unwrap_or(i64::MAX);
    let more = if findings.len() == FINDINGS_MAX { " or more" } else { "" };
    writeln!(out, "{}{more}.", words::counted(count, "finding"))
}
