//! The comparison. Here: what is the same whichever provider is told: the ledger keeps its promises
//! and has booked what was made, and all that is held has a cause. Never here: what the provider
//! holds ([`super::kind`]); waiting, killing. Read next: [`super::report`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::Value;

use super::daemon::Home;
use super::held::Held;
use super::memory::Memory;
use super::months::Months;
use super::provider::Provider;
use super::record::{Place, thousandths};

/// What the comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Usage that should be at the provider and is not.
    pub(crate) lost: u64,
    /// Times that usage is there beyond the first.
    pub(crate) doubled: u64,
    /// What is there and no record of the client's, or no word of the ledger's, explains.
    pub(crate) unexplained: u64,
    /// What was compared, in words, and how much of it.
    pub(crate) compared: Vec<(&'static str, u64)>,
    /// What is held for a cause that the load gave, by reason: how many, and how much together in
    /// thousandths. And all else that is.
    pub(crate) held: BTreeMap<&'static str, (u64, i128)>,
    pub(crate) held_without_cause: u64,
    /// Meter events in the ledger, and accepted ones at the provider.
    pub(crate) events_in_the_ledger: u64,
    pub(crate) events_at_the_provider: u64,
    /// Of those, how many were cancelled.
    pub(crate) events_cancelled: u64,
    /// Places of which something is held that their invoices would have billed.
    pub(crate) held_places: BTreeSet<Place>,
    /// What was billed, beside what was told.
    pub(crate) months: Months,
    /// What must not be, in words.
    pub(crate) findings: Vec<String>,
}

impl Comparison {
    /// A number has to be another number.
    pub(crate) fn must(&mut self, what: &str, found: u64, wanted: u64) {
        if found != wanted {
            self.findings.push(format!("{what}: {found} instead of {wanted}"));
        }
    }
}

/// Compares everything, once the ledger rests.
pub(crate) async fn compare(
    home: &Home,
    provider: &Provider,
    memory: &Memory,
) -> anyhow::Result<Comparison> {
    let mut made = Comparison::default();
    verify(home, &mut made).await?;
    standing(home, memory, &mut made).await?;
    let mut held = Held::list(home).await?;
    let without_effect = memory.fixes.without_effect;
    made.must("corrections without effect", held.without_effect, without_effect);
    provider.kind.compare((home, provider), memory, &mut held, &mut made).await?;
    for item in held.rest() {
        made.held_without_cause += 1;
        made.findings.push(format!("held without a cause: {item}"));
    }
    made.held = held.explained;
    Ok(made)
}

/// While nobody runs: the ledger's promises, and that what the provider holds lies within the
/// bracket of its books.
pub(crate) async fn bracket(home: &Home, provider: &Provider) -> anyhow::Result<Vec<String>> {
    let mut made = Comparison::default();
    if !home.has_ledger() {
        // Nobody lived for long enough to make one.
        return Ok(made.findings);
    }
    verify(home, &mut made).await?;
    made.findings.extend(provider.kind.bracket(home, provider).await?);
    Ok(made.findings)
}

async fn verify(home: &Home, made: &mut Comparison) -> anyhow::Result<()> {
    let (code, said) = home.read(&["ledger", "verify"]).await?;
    made.events_in_the_ledger = said["checked"]["meter_events"].as_u64().unwrap_or_default();
    if code != Some(0) {
        made.findings.push(format!("ledger verify: {code:?} {}", said["findings"]));
    }
    Ok(())
}

/// The ledger has booked what was made and nothing else.
async fn standing(home: &Home, memory: &Memory, made: &mut Comparison) -> anyhow::Result<()> {
    let (_, status) = home.read(&["status"]).await?;
    let unacknowledged = memory.unacknowledged();
    let count = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
    let records = u64::try_from(memory.records().len())?;
    made.must("records without an acknowledgement", u64::try_from(unacknowledged)?, 0);
    made.must("records in the ledger", count("records"), records);
    made.must("records that accrual passed", count("accrued_to"), records);
    made.must("conflicts", count("conflicts"), 0);
    made.must("rejected items", count("rejected"), 0);
    made.must("corrections in the ledger", count("corrections"), memory.fixes.accepted);
    made.must("corrections that accrual passed", count("corrected_to"), memory.fixes.accepted);
    made.must("parked records", u64::try_from(list(&status, "parked").len())?, 0);
    Ok(())
}

pub(crate) fn list<'v>(document: &'v Value, name: &str) -> &'v [Value] {
    document[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text by the names that lead to it.
pub(crate) fn text<'v>(document: &'v Value, name: &str) -> &'v str {
    name.split('/').fold(document, |part, name| &part[name]).as_str().unwrap_or_default()
}

/// A place, and a number of thousandths there, by the names of their fields.
pub(crate) fn place_and(
    line: &Value,
    meter: &str,
    customer: &str,
    number: &str,
) -> anyhow::Result<(Place, i128)> {
    let place = Place::named(text(line, meter), text(line, customer));
    let number = thousandths(text(line, number));
    place.zip(number).with_context(|| format!("a line that is not understood: {line}"))
}
