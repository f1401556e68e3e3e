//! What Stripe bills. Here: the lines of final invoices, and the events that they are made of.
//! Never here: whether they agree ([`crate::months`]). Read next: [`super::account`].

use anyhow::Context;
use serde_json::Value;

use super::account::{GRACE, ask};
use crate::compare::{list, text};
use crate::months::{Billed, Line, Timed};
use crate::provider::{Provider, lines};
use crate::record::{Meter, Place, thousandths};

const HOUR: i64 = 3_600;

/// Lets the drafts' last day pass.
pub(crate) async fn bill(provider: &Provider) -> anyhow::Result<Billed> {
    // Nothing moves yet.
    let told = told(&provider.told().await?)?;
    provider.advance(GRACE + 2 * HOUR).await?;
    let lines = final_lines(provider).await?;
    Ok(Billed { told, lines, findings: Vec::new() })
}

/// What counts, by place and time.
fn told(events: &[Value]) -> anyhow::Result<Timed> {
    let mut told = Timed::new();
    for event in events.iter().filter(|event| text(event, "status/state") == "counted") {
        let place = Place::named(text(event, "event_name"), text(event, "customer"));
        let second = event["timestamp"].as_i64();
        let (place, second) = place.zip(second).context("an event of nobody's")?;
        let value = match place.meter {
            Meter::Counted => Some(1_000),
            Meter::Traced | Meter::Calls | Meter::Tokens | Meter::Bursts => {
                thousandths(text(event, "value"))
            }
        };
        let value = value.with_context(|| format!("an event without a value: {event}"))?;
        told.entry(place).or_default().push((second, value));
    }
    Ok(told)
}

/// The lines of all final invoices.
async fn final_lines(provider: &Provider) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for invoice in invoices(provider).await? {
        if invoice["status"] == "draft" {
            continue;
        }
        for line in list(&invoice["lines"], "data") {
            let meter = provider.meter_of(text(line, "pricing/price_details/price"));
            let customer = text(&invoice, "customer").strip_prefix("cus_");
            let customer = customer.and_then(|number| number.parse().ok());
            let (start, end) = (&line["period"]["start"], &line["period"]["end"]);
            let made = || {
                let span = (start.as_i64()?, end.as_i64()?);
                let billed = thousandths(text(line, "quantity_decimal"))?;
                let place = Place { meter: meter?, customer: customer? };
                Some(Line { place, span, billed })
            };
            lines.push(made().with_context(|| format!("a line that is not understood: {line}"))?);
        }
    }
    Ok(lines)
}

/// All invoices, newest first.
async fn invoices(provider: &Provider) -> anyhow::Result<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let last = all.last().and_then(|invoice| invoice["id"].as_str());
        let after = last.map(|id| format!("&starting_after={id}")).unwrap_or_default();
        let path = format!("/v1/invoices?limit=100{after}");
        let page = ask(provider, ("GET", &path), "").await?;
        all.extend(lines(page.clone(), "data")?);
        if page["has_more"] != true {
            return Ok(all);
        }
    }
}
