//! What waits for a person beside what is held. Here: conflicts and corrections without effect, as
//! they are listed. Never here: deciding. Read next: [`super::resolve`].

use std::io::{self, Write};

use serde_json::{Value, json};

use super::table::{Side, Table};
use super::words;
use crate::domain::resolution::Verdict;
use crate::domain::time::Timestamp;
use crate::ledger::holds::{
    CONFLICT_ENDED_BY, Conflict, Copy, Questions, STALE_ENDED_BY, StaleCorrection,
};
use crate::web::trace::archived_json;

fn copy_json(copy: &Copy) -> Value {
    json!({
        "customer": copy.customer,
        "meter": copy.meter,
        "quantity": copy.quantity.to_string(),
        "time": copy.occurred_at.to_rfc3339(),
        "properties": copy.properties,
    })
}

pub(crate) fn conflict_json(conflict: &Conflict) -> Value {
    json!({
        "name": conflict.name.to_string(),
        "source": conflict.source,
        "record": conflict.record,
        "first": conflict.first.as_ref().map(copy_json),
        "archive": conflict.archived.as_ref().map(archived_json),
        "second": copy_json(&conflict.second),
        "counts_with": conflict.standing.as_ref().map(ToString::to_string),
        "since": conflict.since.to_rfc3339(),
        "decided": conflict.decided.map(Verdict::as_str),
        "token": conflict.token.as_str(),
        "ended_by": CONFLICT_ENDED_BY,
    })
}

pub(crate) fn stale_json(correction: &StaleCorrection) -> Value {
    json!({
        "correction": correction.id,
        "source": correction.source,
        "record": correction.record,
        "name": correction.name,
        "quantity": correction.quantity.to_string(),
        "replaces": correction.replaces.to_string(),
        "counts_with": correction.standing.to_string(),
        "since": correction.since.to_rfc3339(),
        "ended_by": STALE_ENDED_BY,
    })
}

/// How the second copy differs from the first.
fn difference(conflict: &Conflict) -> String {
    let second = &conflict.second;
    let Some(first) = &conflict.first else {
        let number = conflict.archived.as_ref().map(|archived| archived.archive);
        let archive = number.map_or_else(|| "an archive".to_owned(), |n| format!("archive {n}"));
        return format!("what is in {archive}, or quantity {}", second.quantity);
    };
    let sides = [
        ("customer", first.customer.clone(), second.customer.clone()),
        ("meter", first.meter.clone(), second.meter.clone()),
        ("quantity", first.quantity.to_string(), second.quantity.to_string()),
        ("time", first.occurred_at.to_rfc3339(), second.occurred_at.to_rfc3339()),
        ("properties", first.properties.clone(), second.properties.clone()),
    ];
    let differ = sides.into_iter().filter(|(_, first, second)| first != second);
    let said: Vec<String> =
        differ.map(|(name, first, second)| format!("{name} {first} or {second}")).collect();
    said.join(", ")
}

/// Writes both lists, if anything is on them.
pub(crate) fn write(out: &mut dyn Write, questions: &Questions) -> io::Result<()> {
    if !questions.conflicts.is_empty() {
        let columns = ["conflict", "record", "first or second", "since", "token"];
        let mut table = Table::new(columns.map(|name| (name, Side::Left)));
        for conflict in &questions.conflicts {
            table.row([
                conflict.name.to_string(),
                format!("{}/{}", conflict.source, conflict.record),
                difference(conflict),
                conflict.since.to_rfc3339(),
                conflict.token.to_string(),
            ]);
        }
        writeln!(out)?;
        table.write(out, "")?;
        writeln!(out, "ended by: {CONFLICT_ENDED_BY}")?;
    }
    if !questions.corrections.is_empty() {
        let columns =
            ["correction without effect", "record", "would say", "replaces", "counts with"];
        let mut table = Table::new(columns.map(|name| (name, Side::Left)));
        for correction in &questions.corrections {
            table.row([
                correction.name.clone(),
                format!("{}/{}", correction.source, correction.record),
                correction.quantity.to_string(),
                correction.replaces.to_string(),
                correction.standing.to_string(),
            ]);
        }
        writeln!(out)?;
        table.write(out, "")?;
        writeln!(out, "ended by: {STALE_ENDED_BY}")?;
    }
    Ok(())
}

/// Writes one conflict.
pub(crate) fn write_one(
    out: &mut dyn Write,
    conflict: &Conflict,
    now: Timestamp,
) -> io::Result<()> {
    let Conflict { name, source, record, .. } = conflict;
    let since = words::instant(conflict.since, now);
    writeln!(out, "{name}: two copies of {source}/{record} differ, since {since}")?;
    let second = &conflict.second;
    let first = conflict.first.as_ref();
    let mut table = Table::new([("", Side::Left), ("first", Side::Left), ("second", Side::Left)]);
    for (name, first, second) in [
        ("customer", first.map(|copy| copy.customer.clone()), second.customer.clone()),
        ("meter", first.map(|copy| copy.meter.clone()), second.meter.clone()),
        ("quantity", first.map(|copy| copy.quantity.to_string()), second.quantity.to_string()),
        ("time", first.map(|copy| copy.occurred_at.to_rfc3339()), second.occurred_at.to_rfc3339()),
        ("properties", first.map(|copy| copy.properties.clone()), second.properties.clone()),
    ] {
        table.row([name.to_owned(), first.unwrap_or_else(|| "archived".to_owned()), second]);
    }
    table.write(out, "  ")?;
    if let Some(archived) = &conflict.archived {
        writeln!(out, "  the first is in archive {}: {}", archived.archive, archived.path)?;
    }
    if let Some(standing) = &conflict.standing {
        writeln!(out, "  the record counts with {standing}")?;
    }
    match conflict.decided {
        Some(verdict) => writeln!(out, "  decided: {}", verdict.typed()),
        None => {
            writeln!(out, "  token     {}", conflict.token)?;
            writeln!(out, "  ended by  {CONFLICT_ENDED_BY}")
        }
    }
}
