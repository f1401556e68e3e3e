//! How a report reads. Here: the table, the differences under it, CSV and JSON. Never here: a
//! comparison. Read next: [`super`].

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::table::{Side, Table};
use crate::cli::words;
use crate::domain::quantity::Quantity;
use crate::ledger::report::{BilledPeriod, Drift, Run, Suspect, records_said};
use crate::reconcile::line::{Report, Row};
use crate::web::reconcile::run_json;

/// What stands where there is nothing.
const NOTHING: &str = "-";

fn text(quantity: Option<&Quantity>) -> String {
    quantity.map_or_else(|| NOTHING.to_owned(), ToString::to_string)
}

/// What became of a line, in a word or a few.
fn verdict(row: &Row) -> String {
    let mut kinds: Vec<&str> = row.found.iter().map(|found| found.kind.as_str()).collect();
    kinds.dedup();
    match (kinds.is_empty(), &row.total) {
        (false, _) => kinds.join(", "),
        (true, None) => "not compared".to_owned(),
        (true, Some(_)) if row.bracket.low != row.bracket.high => "agrees so far".to_owned(),
        (true, Some(_)) => "agrees".to_owned(),
    }
}

/// The invoices of a line, and what they bill.
fn invoices(row: &Row) -> (String, String) {
    let name = |period: &BilledPeriod| period.invoice.as_ref().map(ToString::to_string);
    let names: Vec<String> = row.invoices.iter().filter_map(name).collect();
    let billed = row.invoices.iter().filter_map(|period| period.billed.as_ref());
    let billed: Vec<String> = billed.map(ToString::to_string).collect();
    (words::or_dash(Some(&names.join(", "))), words::or_dash(Some(&billed.join(", "))))
}

/// Writes a report: a line for each total, then every difference, then the sum of it.
pub(super) fn report(out: &mut dyn Write, report: &Report, applied: &[String]) -> io::Result<()> {
    let provider = &report.run.question.provider;
    let mut table = Table::new([
        ("account", Side::Left),
        ("meter", Side::Left),
        ("period", Side::Left),
        ("acknowledged", Side::Right),
        ("told", Side::Right),
        ("low..high", Side::Right),
        ("provider", Side::Right),
        ("billed", Side::Right),
        ("invoice", Side::Left),
        ("", Side::Left),
    ]);
    for row in &report.rows {
        let (invoice, billed) = invoices(row);
        table.row([
            row.comparand.account.to_string(),
            row.comparand.meter.to_string(),
            row.span.to_string(),
            row.acknowledged.to_string(),
            row.told.to_string(),
            format!("{}..{}", row.bracket.low, row.bracket.high),
            text(row.total.as_ref()),
            billed,
            invoice,
            verdict(row),
        ]);
    }
    writeln!(out, "{provider}:")?;
    table.write(out, "  ")?;
    for row in report.rows.iter().filter(|row| explains_itself(row)) {
        let Row { comparand, span, acknowledged, .. } = row;
        let parts: Vec<String> =
            row.parts.iter().map(|(name, quantity)| format!("{quantity} {name}")).collect();
        let (account, meter) = (&comparand.account, &comparand.meter);
        let parts = parts.join(", ");
        writeln!(out, "\n{account} {meter} {span}: of {acknowledged} acknowledged, {parts}")?;
    }
    run(out, report.number, &report.run)?;
    if !applied.is_empty() {
        writeln!(out, "\nDone about it:")?;
        for said in applied {
            writeln!(out, "  {said}")?;
        }
    }
    Ok(())
}

/// Whether the parts of a line say more than its sums do.
fn explains_itself(row: &Row) -> bool {
    !row.parts.is_empty() && (row.parts.len() > 1 || !row.found.is_empty())
}

/// Writes the differences of a run, and the sum of it.
pub(super) fn run(out: &mut dyn Write, number: i64, run: &Run) -> io::Result<()> {
    for drift in &run.drifts {
        write_drift(out, drift)?;
    }
    let Run { compared, agreed, calls, calls_min, .. } = run;
    let drifts = i64::try_from(run.drifts.len()).unwrap_or(i64::MAX);
    writeln!(
        out,
        "\nReport {number} with {}, {}: {compared} compared, {agreed} agree, {}.",
        run.question.provider,
        run.ended_at,
        words::counted(drifts, "drift"),
    )?;
    let took = words::counted(i64::from(*calls), "request");
    writeln!(out, "It took {took} for totals; the fewest are {calls_min}.")
}

fn write_drift(out: &mut dyn Write, drift: &Drift) -> io::Result<()> {
    let Drift { account, meter, span, found } = drift;
    let who = account.as_deref().unwrap_or("no account");
    let loud = if found.kind.is_loud() { "!! " } else { "" };
    writeln!(out, "\n{loud}{} {} of {who} {meter} {span}", found.kind, found.quantity)?;
    writeln!(out, "  {}", found.detail)?;
    let mut set = 0;
    for suspect in &found.suspects {
        let and = if suspect.set == set { "with" } else { "" };
        set = suspect.set;
        write_suspect(out, suspect, and)?;
    }
    Ok(())
}

fn write_suspect(out: &mut dyn Write, suspect: &Suspect, and: &str) -> io::Result<()> {
    let Suspect { item, role, quantity, state, records, more_records, .. } = suspect;
    let and = if and.is_empty() { String::new() } else { format!("{and} ") };
    let records = records_said(records, *more_records);
    writeln!(out, "  {and}{item} ({quantity}, {state}) {role}: {records}")?;
    for attempt in &suspect.attempts {
        writeln!(out, "    attempt {attempt}")?;
    }
    Ok(())
}

/// Writes reports as CSV: a line for each total.
pub(super) fn csv(out: &mut dyn Write, reports: &[&Report]) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "provider",
        "account",
        "meter",
        "start",
        "end",
        "acknowledged",
        "accrued",
        "told",
        "low",
        "high",
        "provider_total",
        "billed",
        "invoice",
        "verdict",
    ])?;
    for report in reports {
        for row in &report.rows {
            let (invoice, billed) = invoices(row);
            writer.write_record([
                report.run.question.provider.to_string(),
                row.comparand.account.to_string(),
                row.comparand.meter.to_string(),
                row.span.start.to_rfc3339(),
                row.span.end.to_rfc3339(),
                row.acknowledged.to_string(),
                row.accrued.to_string(),
                row.told.to_string(),
                row.bracket.low.to_string(),
                row.bracket.high.to_string(),
                row.total.as_ref().map(ToString::to_string).unwrap_or_default(),
                if billed == NOTHING { String::new() } else { billed },
                if invoice == NOTHING { String::new() } else { invoice },
                verdict(row),
            ])?;
        }
    }
    writer.flush()
}

/// A kept run as JSON, with its number.
pub(super) fn run_json_of(number: i64, run: &Run) -> Value {
    let mut document = run_json(run);
    document["run"] = Value::from(number);
    document
}

/// A report as JSON.
pub(super) fn report_json(report: &Report, applied: &[String]) -> Value {
    let mut document = run_json_of(report.number, &report.run);
    let rows: Vec<Value> = report.rows.iter().map(row_json).collect();
    document["rows"] = Value::from(rows);
    document["applied"] = json!(applied);
    document
}

fn row_json(row: &Row) -> Value {
    let parts: Vec<Value> = row
        .parts
        .iter()
        .map(|(name, quantity)| json!({ "part": name, "quantity": quantity.to_string() }))
        .collect();
    let invoices: Vec<Value> = row
        .invoices
        .iter()
        .map(|period| {
            json!({
                "invoice": period.invoice.as_ref().map(ToString::to_string),
                "billed": period.billed.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    json!({
        "account": row.comparand.account.as_str(),
        "meter": row.comparand.meter.as_str(),
        "start": row.span.start.to_rfc3339(),
        "end": row.span.end.to_rfc3339(),
        "acknowledged": row.acknowledged.to_string(),
        "accrued": row.accrued.to_string(),
        "told": row.told.to_string(),
        "low": row.bracket.low.to_string(),
        "high": row.bracket.high.to_string(),
        "provider_total": row.total.as_ref().map(ToString::to_string),
        "invoices": invoices,
        "parts": parts,
        "verdict": verdict(row),
    })
}
