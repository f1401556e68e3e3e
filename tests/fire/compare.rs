//! The comparison. Here: the client's memory against the provider's books, record by record and
//! place by place, with the ledger between them. Never here: waiting, killing. Read next:
//! [`super::report`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::Value;

use super::daemon::Home;
use super::held::{self, Held};
use super::memory::Memory;
use super::months::{Months, is_subscribed};
use super::provider::Provider;
use super::record::{Place, Record, decimal, thousandths};

/// What is found at the provider of one record.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// What its events that count come to, in thousandths.
    sum: i128,
    /// How many those are.
    events: u64,
}

/// What the comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Records that should be at the provider and are not.
    pub(crate) lost: u64,
    /// Times that a record is there beyond the first.
    pub(crate) doubled: u64,
    /// Events that no record of the client's explains.
    pub(crate) unexplained: u64,
    /// Records that were compared one by one, and places whose sums were.
    pub(crate) one_by_one: u64,
    pub(crate) places: u64,
    /// Places whose sums differ.
    pub(crate) places_that_differ: u64,
    /// What is held for a cause that the load gave, by reason: how many, and how much together in
    /// thousandths. And all else that is.
    pub(crate) held: BTreeMap<&'static str, (u64, i128)>,
    pub(crate) held_without_cause: u64,
    /// Meter events in the ledger, and accepted ones at the provider.
    pub(crate) events_in_the_ledger: u64,
    pub(crate) events_at_the_provider: u64,
    /// Of those, how many were cancelled.
    pub(crate) events_cancelled: u64,
    /// Places of which something is held.
    pub(crate) held_places: BTreeSet<Place>,
    /// What was billed, beside what was told.
    pub(crate) months: Months,
    /// What must not be, in words.
    pub(crate) findings: Vec<String>,
}

/// Compares everything, once the ledger rests.
pub(crate) async fn compare(
    home: &Home,
    provider: &Provider,
    memory: &Memory,
) -> anyhow::Result<Comparison> {
    let mut made = Comparison::default();
    verify(home, &mut made).await?;
    let events = provider.events().await?;
    let cancelled = events.iter().filter(|event| event["status"]["state"] == "cancelled").count();
    made.events_cancelled = u64::try_from(cancelled)?;
    standing(home, provider, memory, &mut made).await?;
    let mut held = Held::list(home).await?;
    if held.without_effect != memory.fixes.without_effect {
        let (found, wanted) = (held.without_effect, memory.fixes.without_effect);
        made.findings.push(format!("corrections without effect: {found} instead of {wanted}"));
    }
    made.held_places = held.places().collect();
    each_record(&events, memory, &mut held, &mut made);
    let sums = memory.sums();
    let counted = totals(&provider.books().await?, "event_name", "customer", "total")?;
    let (_, books) = home.read(&["books"]).await?;
    let accrued = totals(list(&books, "lines"), "meter", "account", "accrued")?;
    for (place, expected) in &sums {
        let lowered = memory.lowered().get(place).copied().unwrap_or_default();
        let used = Used { place: *place, expected: *expected, lowered };
        each_place(&used, (&counted, &accrued), &mut held, &mut made);
    }
    for item in held.rest() {
        made.held_without_cause += 1;
        made.findings.push(format!("held without a cause: {item}"));
    }
    made.held = held.explained;
    for place in counted.keys().chain(accrued.keys()).filter(|place| !sums.contains_key(place)) {
        made.unexplained += 1;
        made.findings.push(format!("{place}: nobody used that"));
    }
    made.places = u64::try_from(sums.len())?;
    Ok(made)
}

/// While nobody runs: the ledger's promises, and that what the provider holds lies within the
/// bracket of its books. What the provider is still to carry out is open there.
pub(crate) async fn bracket(home: &Home, provider: &Provider) -> anyhow::Result<Vec<String>> {
    let mut made = Comparison::default();
    if !home.has_ledger() {
        // Nobody lived for long enough to make one.
        return Ok(made.findings);
    }
    verify(home, &mut made).await?;
    let (_, books) = home.read(&["books"]).await?;
    let lines = list(&books, "lines");
    let low = totals(lines, "meter", "account", "low")?;
    let high = totals(lines, "meter", "account", "high")?;
    for (place, total) in totals(&provider.books().await?, "event_name", "customer", "total")? {
        let bound = |of: &BTreeMap<Place, i128>| of.get(&place).copied().unwrap_or_default();
        let (low, high) = (bound(&low), bound(&high));
        if total < low || total > high {
            let [total, low, high] = [total, low, high].map(decimal);
            made.findings.push(format!("{place}: {total} is not within {low}..{high}"));
        }
    }
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

/// The ledger has booked what was made and nothing else, and as much is at the provider as it says.
async fn standing(
    home: &Home,
    provider: &Provider,
    memory: &Memory,
    made: &mut Comparison,
) -> anyhow::Result<()> {
    let (_, status) = home.read(&["status"]).await?;
    let unacknowledged = memory.unacknowledged();
    let count = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
    let records = u64::try_from(memory.records().len())?;
    let mut must = |what: &str, found: u64, wanted: u64| {
        if found != wanted {
            made.findings.push(format!("{what}: {found} instead of {wanted}"));
        }
    };
    must("records without an acknowledgement", u64::try_from(unacknowledged)?, 0);
    must("records in the ledger", count("records"), records);
    must("records that accrual passed", count("accrued_to"), records);
    must("conflicts", count("conflicts"), 0);
    must("rejected items", count("rejected"), 0);
    must("corrections in the ledger", count("corrections"), memory.fixes.accepted);
    must("corrections that accrual passed", count("corrected_to"), memory.fixes.accepted);
    must("parked records", u64::try_from(list(&status, "parked").len())?, 0);
    let is_there = |line: &&Value| line["state"] == "accepted" || line["state"] == "settled";
    let accepted = list(&status, "events").iter().filter(is_there);
    let accepted = accepted.filter_map(|line| line["count"].as_u64()).sum();
    let there = provider.statistics().await?["meter_events_accepted"].as_u64().unwrap_or_default();
    // A cancellation is an event as well.
    let said = there + made.events_cancelled;
    must("accepted events in the ledger, by the provider's count", accepted, said);
    made.events_at_the_provider = there;
    Ok(())
}

/// Every event of the meters that are told record by record is of one record, and the events of
/// every record come to what it counts with, but for what is held for it by name.
fn each_record(events: &[Value], memory: &Memory, held: &mut Held, made: &mut Comparison) {
    let mut found = vec![Found::default(); memory.records().len()];
    for event in events {
        let place = Place::named(text(event, "event_name"), text(event, "customer"));
        let counts = match text(event, "status/state") {
            "counted" => true,
            "cancelled" => false,
            _ => {
                made.findings.push(format!("not counted: {event}"));
                continue;
            }
        };
        if place.is_some_and(|place| !place.meter.is_told_one_by_one()) {
            continue;
        }
        let second = event["timestamp"].as_i64();
        let number = place.zip(second).and_then(|(place, second)| {
            usize::try_from(Record::named_by(place, second, memory.base())?).ok()
        });
        let record = number.and_then(|number| memory.records().get(number));
        // Nothing is cancelled that was not corrected.
        let is_of = |record: &&Record| {
            !record.too_old && Some(record.place) == place && (counts || record.corrected)
        };
        let value = thousandths(text(event, "value"));
        let at = number.and_then(|number| found.get_mut(number));
        match (record.filter(is_of), value, at) {
            (Some(_), Some(value), Some(at)) if counts => {
                at.sum += value;
                at.events += 1;
            }
            (Some(_), Some(_), Some(_)) => {}
            (None, _, _) | (_, None, _) | (_, _, None) => {
                made.unexplained += 1;
                made.findings.push(format!("unexplained: {event}"));
            }
        }
    }
    for (record, found) in memory.records().iter().zip(found) {
        if record.place.meter.is_told_one_by_one() {
            made.one_by_one += 1;
            one_record(record, found, held, made);
        }
    }
}

/// A record is at the provider exactly as it counts, or what differs is held by name.
fn one_record(record: &Record, found: Found, held: &mut Held, made: &mut Comparison) {
    let lacking = i128::from(record.expected) - found.sum;
    let events_max = if record.corrected { u64::MAX } else { 1 };
    if lacking == 0 && found.events <= events_max {
        return;
    }
    // What one event says and nothing else is cancelled: that needs no proof, and waits for none.
    let is_whole = record.expected == 0 && found.events == 1;
    let reason = match (record.too_old, record.corrected && lacking < 0 && !is_whole) {
        (true, _) => Some(held::TOO_OLD),
        (false, true) => Some(held::BELOW_ZERO),
        (false, false) => None,
    };
    if reason.is_some_and(|reason| held.explains(record.place, reason, lacking)) {
        return;
    }
    // Older than what the provider takes is older than any subscription as well: which of the two
    // is said depends on whether the subscription was known by then.
    if record.too_old
        && is_subscribed(record.place)
        && held.explains(record.place, held::NO_PERIOD, lacking)
    {
        return;
    }
    match lacking > 0 {
        true => made.lost += 1,
        false => made.doubled += 1,
    }
    let (sum, events) = (decimal(found.sum), found.events);
    made.findings.push(format!("{sum} is there in {events} events of {record:?}"));
}

type Totals = BTreeMap<Place, i128>;

/// What was used at a place, in thousandths.
struct Used {
    place: Place,
    /// As it counts in the end.
    expected: i128,
    /// How much corrections took away.
    lowered: i128,
}

/// A place's sum is exactly what was used there, but for what corrections took away that waits for
/// a proof by name.
fn each_place(
    used: &Used,
    (counted, accrued): (&Totals, &Totals),
    held: &mut Held,
    made: &mut Comparison,
) {
    let Used { place, expected, lowered } = *used;
    let total = counted.get(&place).copied().unwrap_or_default();
    let accrued = accrued.get(&place).copied().unwrap_or_default();
    let waits = match place.meter.is_told_one_by_one() {
        // Compared record by record, and with what was held for each.
        true => expected - total,
        false => held.waits_below_zero(place),
    };
    if accrued == expected && total == expected - waits && -waits <= lowered {
        return;
    }
    made.places_that_differ += 1;
    let [expected, accrued, total, waits, lowered] =
        [expected, accrued, total, waits, lowered].map(decimal);
    made.findings.push(format!(
        "{place}: used {expected}, accrued {accrued}, the provider has {total}, {waits} waits, \
         corrections took {lowered}"
    ));
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

/// The numbers of all lines by place.
fn totals(lines: &[Value], meter: &str, customer: &str, number: &str) -> anyhow::Result<Totals> {
    let mut totals = Totals::new();
    for line in lines {
        let (place, number) = place_and(line, meter, customer, number)?;
        *totals.entry(place).or_default() += number;
    }
    Ok(totals)
}
