//! What an export came to, for a person and for a script. Here: texts and JSON. Never here: how an
//! export is made ([`super`]). Read next: [`crate::cli::verify`].

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::files::Written;
use super::{EVENTS_MAX, Marked};
use crate::cli::page;
use crate::cli::table::{Side, Table};
use crate::cli::words::{self, counted};
use crate::domain::export::ExportId;
use crate::domain::names::ProviderMeter;
use crate::domain::quantity::Quantity;
use crate::domain::time::Timestamp;
use crate::ledger::export::Export;
use crate::provider::stripe::bulk::instructions;

/// Says that there is nothing to export, and why not.
pub(super) fn nothing(marked: &Marked, json: bool) -> anyhow::Result<()> {
    if json {
        return page::print_json(&json!({ "export": null, "left_out": left_json(marked) }));
    }
    page::print(|out| {
        writeln!(out, "Nothing is exported: no event waits that a file can tell.")?;
        write_left(out, marked)
    })
}

/// Says what was written, and what is to be done with it.
pub(super) fn made(
    export: &Export,
    written: &[Written],
    marked: Option<&Marked>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let mut said = export_json(export);
        said["written"] = written.iter().map(file_json).collect();
        said["left_out"] = marked.map_or(Value::Null, left_json);
        return page::print_json(&said);
    }
    page::print(|out| {
        let Export { id, asked, account, .. } = export;
        let named = account.account.as_deref().unwrap_or("an account that the key may not read");
        let mode = if account.livemode { "live" } else { "test" };
        writeln!(out, "Export {id} of {}, for {named} ({mode}):", asked.provider)?;
        let mut table = Table::new([
            ("file", Side::Left),
            ("events", Side::Right),
            ("bytes", Side::Right),
            ("sha256", Side::Left),
        ]);
        for file in written {
            let name = file.path.display().to_string();
            table.row([name, file.rows.to_string(), file.bytes.to_string(), file.sha256.clone()]);
        }
        table.write(out, "  ")?;
        writeln!(out)?;
        let mut table =
            Table::new([("meter", Side::Left), ("events", Side::Right), ("sum", Side::Right)]);
        for (meter, (count, sum)) in sums(written) {
            table.row([meter.to_string(), count.to_string(), sum.to_string()]);
        }
        table.write(out, "  ")?;
        if let Some(marked) = marked {
            write_left(out, marked)?;
        }
        let (by, how) = (export.upload_by(), instructions(asked.form));
        writeln!(out, "\nUntil {by}, {how}; then say so: tallyd export confirm {id}")?;
        writeln!(
            out,
            "No request tells what is in these files. If they are never uploaded: tallyd export \
             abandon {id} --why TEXT"
        )
    })
}

fn sums(written: &[Written]) -> BTreeMap<&ProviderMeter, (i64, Quantity)> {
    let mut sums: BTreeMap<&ProviderMeter, (i64, Quantity)> = BTreeMap::new();
    for (meter, (count, sum)) in written.iter().flat_map(|file| &file.meters) {
        let entry = sums.entry(meter).or_insert_with(|| (0, Quantity::zero()));
        *entry = (entry.0 + count, &entry.1 + sum);
    }
    sums
}

fn write_left(out: &mut dyn Write, marked: &Marked) -> io::Result<()> {
    for (why, count) in &marked.left {
        writeln!(out, "Left to requests: {}, {}.", counted(*count, "event"), why.says())?;
    }
    if marked.more {
        writeln!(out, "An export holds {EVENTS_MAX} events at most: export again for the rest.")?;
    }
    Ok(())
}

fn left_json(marked: &Marked) -> Value {
    marked.left.iter().map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect()
}

fn file_json(file: &Written) -> Value {
    let meters: Vec<Value> = file
        .meters
        .iter()
        .map(|(meter, (count, sum))| {
            json!({ "meter": meter.as_str(), "events": count, "sum": sum.to_string() })
        })
        .collect();
    json!({
        "file": file.path.display().to_string(),
        "events": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "meters": meters,
    })
}

/// Lists exports.
pub(super) fn list(out: &mut dyn Write, exports: &[Export], now: Timestamp) -> io::Result<()> {
    if exports.is_empty() {
        return writeln!(out, "There are no exports.");
    }
    let mut table = Table::new([
        ("export", Side::Right),
        ("provider", Side::Left),
        ("form", Side::Left),
        ("made", Side::Left),
        ("by", Side::Left),
        ("events", Side::Right),
        ("held", Side::Right),
        ("at the provider", Side::Right),
        ("files", Side::Right),
        ("state", Side::Left),
    ]);
    for export in exports {
        table.row([
            export.id.to_string(),
            export.asked.provider.to_string(),
            export.asked.form.to_string(),
            words::instant(export.made_at, now),
            export.asked.who.clone(),
            export.events.to_string(),
            export.held.to_string(),
            export.present.to_string(),
            export.files().map_or_else(|| "-".to_owned(), |(count, _)| count.to_string()),
            export.word(),
        ]);
    }
    table.write(out, "")
}

/// Exports as JSON.
pub(super) fn exports_json(exports: &[Export]) -> Value {
    json!({ "exports": exports.iter().map(export_json).collect::<Vec<_>>() })
}

fn export_json(export: &Export) -> Value {
    let steps: Vec<Value> = export
        .steps
        .iter()
        .map(|noted| {
            json!({
                "step": noted.said.step.as_str(),
                "who": noted.said.who,
                "why": noted.said.why,
                "at": noted.at.to_rfc3339(),
            })
        })
        .collect();
    let meters: Vec<&str> = export.asked.meters.iter().map(ProviderMeter::as_str).collect();
    json!({
        "export": export.id.0,
        "provider": export.asked.provider.as_str(),
        "form": export.asked.form.as_str(),
        "account": export.account.account,
        "livemode": export.account.livemode,
        "meters": meters,
        "before": export.asked.before.map(Timestamp::to_rfc3339),
        "who": export.asked.who,
        "made_at": export.made_at.to_rfc3339(),
        "upload_by": export.upload_by().to_rfc3339(),
        "events": export.events,
        "held": export.held,
        "present": export.present,
        "files": export.files().map(|(count, _)| count),
        "sha256": export.files().map(|(_, digest)| digest),
        "state": export.standing().word(),
        "rolled_back": export.rolled_back,
        "steps": steps,
    })
}

/// Says what is done of an export that was uploaded.
pub(super) fn confirmed(export: &Export, json: bool) -> anyhow::Result<()> {
    if json {
        return page::print_json(&export_json(export));
    }
    page::print(|out| {
        let Export { id, held, present, .. } = export;
        writeln!(
            out,
            "Export {id} is confirmed: {} of it at the provider already, and {} held until the \
             provider's totals contain them. Of a row that the provider refused, say not-billed \
             (tallyd held resolve event:NUMBER), and a request tells it.",
            counted(*present, "event"),
            counted(*held, "event"),
        )
    })
}

/// Says what is done of an export that was given up.
pub(super) fn abandoned(id: ExportId, released: i64, json: bool) -> anyhow::Result<()> {
    if json {
        return page::print_json(&json!({ "export": id.0, "released": released }));
    }
    page::print(|out| {
        let events = counted(released, "event");
        writeln!(out, "Export {id} is abandoned: requests tell what its {events} said.")?;
        writeln!(out, "Delete its files: to upload one now would bill its usage twice.")
    })
}
