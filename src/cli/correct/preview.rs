//! What a command for many records would do, shown before it does it. Here: the preview and the
//! result, as text and JSON. Never here: a decision. Read next: [`super::door`].

use std::io::{self, Write};

use serde_json::{Value, json};

use super::door::Answers;
use super::plan::{Command, Group, PassedOver, Plan};
use crate::cli::table::{Side, Table};
use crate::cli::words;
use crate::ledger::corrections::Reached;

/// Most customers and meters that a person is shown; JSON holds all of them.
const GROUPS_SHOWN_MAX: usize = 20;
/// Most refused corrections that a person is shown.
const REFUSED_SHOWN_MAX: usize = 20;

const fn reached_word(reached: Reached) -> &'static str {
    match reached {
        Reached::Untold => "not told",
        Reached::Told => "told",
        Reached::Settled => "settled",
    }
}

fn group_json(group: &Group) -> Value {
    json!({
        "records": group.records,
        "before": group.before.to_string(),
        "after": group.after.to_string(),
        "told": group.told,
        "settled": group.settled,
        "cancelled_already": group.cancelled,
        "corrected_already": group.done,
        "unchanged": group.unchanged,
    })
}

/// The command, what it comes to, and what became of it if it was carried out.
pub(crate) fn command_json(command: &Command, plan: &Plan, done: Option<&Answers>) -> Value {
    let groups: Vec<Value> = plan
        .groups
        .iter()
        .map(|((customer, meter), group)| {
            let mut document = json!({ "customer": customer, "meter": meter });
            if let (Value::Object(into), Value::Object(from)) = (&mut document, group_json(group)) {
                into.extend(from);
            }
            document
        })
        .collect();
    let examples: Vec<Value> = plan
        .examples
        .iter()
        .map(|each| {
            json!({
                "source": each.record.source.as_str(),
                "id": each.record.id.as_str(),
                "customer": each.record.customer.as_str(),
                "meter": each.record.meter.as_str(),
                "time": each.record.occurred_at.to_rfc3339(),
                "before": each.before.to_string(),
                "after": each.after.to_string(),
                "reached": reached_word(each.record.reached),
            })
        })
        .collect();
    let applied = done.map(|answers| {
        let mut document = json!({});
        for (name, count) in answers.counts() {
            document[name] = count.into();
        }
        let refused: Vec<Value> = answers
            .corrections
            .iter()
            .filter(|answer| answer.is_refused())
            .map(|answer| json!(answer))
            .collect();
        document["refused"] = refused.into();
        document
    });
    json!({
        "id": command.id,
        "total": group_json(&plan.total()),
        "groups": groups,
        "examples": examples,
        "passed_over": plan.archives.map(|archives| json!({
            "archived_records": archives.records,
            "of_windows_until": archives.before.to_rfc3339(),
        })),
        "applied": applied,
    })
}

/// Writes what the command does not look at.
fn write_passed_over(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let Some(PassedOver { records, before }) = plan.archives else { return Ok(()) };
    let archived = words::counted(records, "record");
    writeln!(out, "{archived} of windows that ended until {before} went to archives. Those are")?;
    writeln!(out, "passed over, as what was billed of them is corrected at the provider.\n")
}

/// Writes what the command would do.
pub(crate) fn write_plan(out: &mut dyn Write, command: &Command, plan: &Plan) -> io::Result<()> {
    let total = plan.total();
    let records = words::counted(i64::try_from(total.records).unwrap_or(i64::MAX), "record");
    writeln!(out, "{records} to correct; the command's id is {}\n", command.id)?;
    write_passed_over(out, plan)?;
    let mut table = Table::new([
        ("customer", Side::Left),
        ("meter", Side::Left),
        ("records", Side::Right),
        ("before", Side::Right),
        ("after", Side::Right),
        ("told", Side::Right),
        ("settled", Side::Right),
        ("cancelled already", Side::Right),
        ("corrected already", Side::Right),
        ("unchanged", Side::Right),
    ]);
    let groups = plan.groups.iter().take(GROUPS_SHOWN_MAX);
    let groups =
        groups.map(|((customer, meter), group)| (customer.as_str(), meter.as_str(), group));
    for (customer, meter, group) in groups.chain([("total", "", &total)]) {
        table.row([
            customer.to_owned(),
            meter.to_owned(),
            group.records.to_string(),
            group.before.to_string(),
            group.after.to_string(),
            group.told.to_string(),
            group.settled.to_string(),
            group.cancelled.to_string(),
            group.done.to_string(),
            group.unchanged.to_string(),
        ]);
    }
    table.write(out, "")?;
    let more = plan.groups.len().saturating_sub(GROUPS_SHOWN_MAX);
    if more > 0 {
        writeln!(out, "and {more} more customers and meters (--json lists them)")?;
    }
    if plan.examples.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = ["record", "customer", "meter", "time", "before", "after", "reached"];
    let mut table = Table::new(columns.map(|name| (name, Side::Left)));
    for each in &plan.examples {
        table.row([
            format!("{}/{}", each.record.source, each.record.id),
            each.record.customer.to_string(),
            each.record.meter.to_string(),
            each.record.occurred_at.to_rfc3339(),
            each.before.to_string(),
            each.after.to_string(),
            reached_word(each.record.reached).to_owned(),
        ]);
    }
    table.write(out, "")?;
    let more = plan.corrections.len().saturating_sub(plan.examples.len());
    if more > 0 {
        let more = words::counted(i64::try_from(more).unwrap_or(i64::MAX), "record");
        writeln!(out, "and {more} more")?;
    }
    Ok(())
}

/// Writes what became of the command.
pub(crate) fn write_done(out: &mut dyn Write, answers: &Answers) -> io::Result<()> {
    writeln!(out)?;
    let mut table = Table::bare([Side::Left, Side::Right]);
    for (name, count) in answers.counts().into_iter().filter(|(_, count)| *count > 0) {
        table.row([name.to_owned(), count.to_string()]);
    }
    table.write(out, "")?;
    let refused = answers.corrections.iter().filter(|answer| answer.is_refused());
    for answer in refused.take(REFUSED_SHOWN_MAX) {
        let record = words::or_dash(answer.record.as_deref());
        let (field, reason) = (answer.field.as_deref(), answer.reason.as_deref());
        let (field, reason) = (field.unwrap_or_default(), reason.unwrap_or_default());
        writeln!(out, "{}/{record}: {field} {reason}", answer.source)?;
    }
    let shown = u64::try_from(REFUSED_SHOWN_MAX).unwrap_or(u64::MAX);
    let more = answers.refused().saturating_sub(shown);
    if more > 0 { writeln!(out, "and {more} more were refused") } else { Ok(()) }
}
