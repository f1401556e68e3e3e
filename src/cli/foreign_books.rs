//! What `tallyd books` says of what another program told. Here: what was written off for it, what a
//! provider held when this program began, and, in shadow, its days beside what they would be told.
//! Never here: the books themselves. Read next: [`super::books`].

use std::io::{self, Write};

use serde_json::{Value, json};

use super::table::{Side, Table};
use crate::domain::quantity::Quantity;
use crate::domain::time::Window;
use crate::ledger::cutover::{ForeignBooks, OpeningLine, ShadowLine};
use crate::ledger::operator::BookLine;

/// Writes what there is to say; most ledgers have none of it.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(
    out: &mut dyn Write,
    lines: &[BookLine],
    foreign: &ForeignBooks,
) -> io::Result<()> {
    write_told_before(out, lines)?;
    write_openings(out, &foreign.openings)?;
    write_shadow(out, &foreign.shadowed)
}

/// What was written off, a line for each of the books that has some.
fn write_told_before(out: &mut dyn Write, lines: &[BookLine]) -> io::Result<()> {
    let mut table = Table::new([
        ("told before tallyd", Side::Left),
        ("account", Side::Left),
        ("meter", Side::Left),
        ("windows", Side::Left),
        ("written off", Side::Right),
    ]);
    let told: Vec<&BookLine> = lines.iter().filter(|line| !line.told_before.is_zero()).collect();
    for line in &told {
        let windows = Window { start: line.start, end: line.end }.to_string();
        let (provider, account) = (line.provider.clone(), line.account.clone());
        table.row([provider, account, line.meter.clone(), windows, line.told_before.to_string()]);
    }
    if told.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    table.write(out, "")
}

fn write_openings(out: &mut dyn Write, openings: &[OpeningLine]) -> io::Result<()> {
    if openings.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("opening balance at", Side::Left),
        ("account", Side::Left),
        ("meter", Side::Left),
        ("of", Side::Left),
        ("held", Side::Right),
        ("read", Side::Left),
    ]);
    for each in openings {
        let held = match each.low == each.high {
            true => each.low.to_string(),
            false => format!("{}..{}", each.low, each.high),
        };
        table.row([
            each.provider.clone(),
            each.account.clone(),
            each.meter.clone(),
            each.span.to_string(),
            held,
            each.read_at.to_string(),
        ]);
    }
    writeln!(out)?;
    table.write(out, "")
}

fn write_shadow(out: &mut dyn Write, shadowed: &[ShadowLine]) -> io::Result<()> {
    if shadowed.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("in shadow", Side::Left),
        ("account", Side::Left),
        ("meter", Side::Left),
        ("day", Side::Left),
        ("would be told", Side::Right),
        ("held there", Side::Right),
        ("difference", Side::Right),
        ("read", Side::Left),
    ]);
    for each in shadowed {
        let (held, difference, read) = match &each.held {
            Some((held, at)) => (held.to_string(), difference(each, held), at.to_string()),
            None => ("-".to_owned(), "-".to_owned(), "not yet".to_owned()),
        };
        table.row([
            each.provider.clone(),
            each.account.clone(),
            each.meter.clone(),
            each.day.start.to_rfc3339().chars().take("2026-01-01".len()).collect(),
            each.would_be_told.to_string(),
            held,
            difference,
            read,
        ]);
    }
    writeln!(out)?;
    table.write(out, "")
}

/// What would be told, less what is held there.
fn difference(of: &ShadowLine, held: &Quantity) -> String {
    (&of.would_be_told - held).to_string()
}

/// The openings, and the days in shadow, as JSON.
pub(crate) fn json_of(foreign: &ForeignBooks) -> (Vec<Value>, Vec<Value>) {
    let openings = foreign.openings.iter().map(|each| {
        json!({
            "provider": each.provider,
            "account": each.account,
            "meter": each.meter,
            "start": each.span.start.to_rfc3339(),
            "end": each.span.end.to_rfc3339(),
            "low": each.low.to_string(),
            "high": each.high.to_string(),
            "read_at": each.read_at.to_rfc3339(),
        })
    });
    let shadowed = foreign.shadowed.iter().map(|each| {
        let held = each.held.as_ref();
        json!({
            "provider": each.provider,
            "account": each.account,
            "meter": each.meter,
            "start": each.day.start.to_rfc3339(),
            "end": each.day.end.to_rfc3339(),
            "would_be_told": each.would_be_told.to_string(),
            "held": held.map(|(held, _)| held.to_string()),
            "difference": held.map(|(held, _)| difference(each, held)),
            "read_at": held.map(|(_, at)| at.to_rfc3339()),
        })
    });
    (openings.collect(), shadowed.collect())
}
