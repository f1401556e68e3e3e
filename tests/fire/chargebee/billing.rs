//! What a site bills. Here: the lines of closed invoices, and the entries that are on them. Never
//! here: whether they agree ([`crate::months`]). Read next: [`super::site`].

use anyhow::Context;
use serde_json::Value;

use super::entries::{Fate, usages};
use super::site::{UNTIL_CLOSED, ask};
use crate::compare::{list, text};
use crate::months::{Billed, Line, Timed};
use crate::provider::{Provider, lines};
use crate::record::{Place, thousandths};

/// Lets the terms end, and their invoices close by themselves. Every entry has to be on one then.
pub(crate) async fn bill(provider: &Provider) -> anyhow::Result<Billed> {
    provider.advance(UNTIL_CLOSED).await?;
    let (mut told, mut findings) = (Timed::new(), Vec::new());
    for usage in usages(provider).await? {
        match usage.fate {
            Fate::Invoiced => {
                told.entry(usage.place).or_default().push((usage.second, usage.quantity));
            }
            Fate::Counts | Fate::Unbilled => findings.push(format!("on no invoice: {usage:?}")),
            Fate::Gone => {}
        }
    }
    Ok(Billed { told, lines: closed_lines(provider).await?, findings })
}

/// The lines of all closed invoices.
async fn closed_lines(provider: &Provider) -> anyhow::Result<Vec<Line>> {
    let mut found = Vec::new();
    let mut page = String::new();
    loop {
        let path = format!("/api/v2/invoices?limit=100{page}");
        let answer = ask(provider, ("GET", &path), "").await?;
        for row in lines(answer.clone(), "list")? {
            let invoice = &row["invoice"];
            if invoice["status"] == "pending" {
                continue;
            }
            for line in list(invoice, "line_items") {
                let of = line_of(provider, line);
                found.push(of.with_context(|| format!("a line that is not understood: {line}"))?);
            }
        }
        let Some(next) = answer["next_offset"].as_str() else { return Ok(found) };
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        page = format!("&offset={next}");
    }
}

fn line_of(provider: &Provider, line: &Value) -> Option<Line> {
    let meter = provider.meter_of(text(line, "entity_id"))?;
    let place = Place::named(meter.name(), text(line, "subscription_id"))?;
    let span = (line["date_from"].as_i64()?, line["date_to"].as_i64()?);
    Some(Line { place, span, billed: thousandths(text(line, "quantity_in_decimal"))? })
}
