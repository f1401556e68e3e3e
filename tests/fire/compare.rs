//! The comparison. Here: the client's memory against the provider's books, record by record and
//! place by place, with the ledger between them. Never here: waiting, killing. Read next:
//! [`super::report`].

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

use super::daemon::Home;
use super::memory::Memory;
use super::provider::Provider;
use super::record::{Place, Record, decimal, thousandths};

/// What is held at a place, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Certainly not at the provider.
    absent: i128,
    /// Perhaps there.
    perhaps: i128,
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
    /// What is held for a cause that the load gave, by reason; and all else that is.
    pub(crate) held: BTreeMap<String, u64>,
    pub(crate) held_without_cause: u64,
    /// Meter events in the ledger, and accepted ones at the provider.
    pub(crate) events_in_the_ledger: u64,
    pub(crate) events_at_the_provider: u64,
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
    standing(home, provider, memory, &mut made).await?;
    let held = held(home, memory, &mut made).await?;
    each_record(&provider.events().await?, memory, &mut made);
    let sums = memory.sums();
    let counted = totals(&provider.books().await?, "event_name", "customer", "total")?;
    let (_, books) = home.read(&["books"]).await?;
    let accrued = totals(list(&books, "lines"), "meter", "account", "accrued")?;
    for (place, expected) in &sums {
        each_place(*place, *expected, (&counted, &accrued, &held), &mut made);
    }
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
    must("parked records", u64::try_from(list(&status, "parked").len())?, 0);
    let accepted = list(&status, "events").iter().filter(|line| line["state"] == "accepted");
    let accepted = accepted.filter_map(|line| line["count"].as_u64()).sum();
    let there = provider.statistics().await?["meter_events_accepted"].as_u64().unwrap_or_default();
    must("accepted events in the ledger, by the provider's count", accepted, there);
    made.events_at_the_provider = there;
    Ok(())
}

/// What is held where. The load gives one cause: usage that is older than the provider takes.
async fn held(
    home: &Home,
    memory: &Memory,
    made: &mut Comparison,
) -> anyhow::Result<BTreeMap<Place, Held>> {
    let (_, listed) = home.read(&["held", "list"]).await?;
    let mut held: BTreeMap<Place, Held> = BTreeMap::new();
    let mut too_old = vec![0_u64; memory.records().len()];
    for item in list(&listed, "held") {
        let (place, quantity) = place_and(item, "meter", "account", "quantity")?;
        let (name, reason) = (text(item, "name"), text(item, "reason"));
        let at = held.entry(place).or_default();
        // A balance's hold has no event that could be there.
        match name.starts_with("balance:") {
            true => at.absent += quantity,
            false => at.perhaps += quantity,
        }
        let of = memory.records().iter().find(|record| {
            record.too_old && record.place == place && i128::from(record.expected) == quantity
        });
        match of {
            Some(record) if reason == "deadline_passed" => {
                *made.held.entry(reason.to_owned()).or_default() += 1;
                if let Some(times) = too_old.get_mut(usize::try_from(record.number)?) {
                    *times += 1;
                }
            }
            Some(_) | None => {
                made.held_without_cause += 1;
                made.findings.push(format!("held without a cause: {item}"));
            }
        }
    }
    for (record, times) in memory.records().iter().zip(too_old) {
        if record.too_old && times != 1 {
            made.lost += 1;
            made.findings.push(format!("{record:?}: too old, and held {times} times"));
        }
    }
    Ok(held)
}

/// Every event of the meters that are told record by record is of one record, and every record has
/// one.
fn each_record(events: &[Value], memory: &Memory, made: &mut Comparison) {
    let mut found = vec![0_u64; memory.records().len()];
    for event in events {
        if event["status"]["state"] != "counted" {
            made.findings.push(format!("not counted: {event}"));
            continue;
        }
        let place = Place::named(text(event, "event_name"), text(event, "customer"));
        if place.is_some_and(|place| !place.meter.is_told_one_by_one()) {
            continue;
        }
        let number = place.and_then(|place| {
            let (value, second) = (thousandths(text(event, "value"))?, event["timestamp"].as_i64());
            Record::named_by(place, value, second?, memory.base())
        });
        let number = number.and_then(|number| usize::try_from(number).ok());
        let record = number.and_then(|number| memory.records().get(number));
        let is_of = |record: &&Record| {
            let value = thousandths(text(event, "value"));
            !record.too_old
                && Some(record.place) == place
                && Some(record.second) == event["timestamp"].as_i64()
                && value == Some(i128::from(record.expected))
        };
        match (record.filter(is_of), number.and_then(|number| found.get_mut(number))) {
            (Some(_), Some(times)) => *times += 1,
            (None, _) | (_, None) => {
                made.unexplained += 1;
                made.findings.push(format!("unexplained: {event}"));
            }
        }
    }
    for (record, times) in memory.records().iter().zip(found) {
        if !record.place.meter.is_told_one_by_one() || record.too_old {
            continue;
        }
        made.one_by_one += 1;
        match times {
            0 => {
                made.lost += 1;
                made.findings.push(format!("lost: {record:?}"));
            }
            1 => {}
            more => {
                made.doubled += more - 1;
                made.findings.push(format!("there {more} times: {record:?}"));
            }
        }
    }
}

type Totals = BTreeMap<Place, i128>;

/// A place's sum is exactly what was used there, less what is held.
fn each_place(
    place: Place,
    expected: i128,
    (counted, accrued, held): (&Totals, &Totals, &BTreeMap<Place, Held>),
    made: &mut Comparison,
) {
    let total = counted.get(&place).copied().unwrap_or_default();
    let accrued = accrued.get(&place).copied().unwrap_or_default();
    let held = held.get(&place).copied().unwrap_or_default();
    let most = expected - held.absent;
    let least = most - held.perhaps;
    if accrued == expected && (least..=most).contains(&total) {
        return;
    }
    made.places_that_differ += 1;
    let [expected, accrued, total, least, most] =
        [expected, accrued, total, least, most].map(decimal);
    made.findings.push(format!(
        "{place}: used {expected}, accrued {accrued}, the provider has {total} instead of \
         {least}..{most}"
    ));
}

fn list<'v>(document: &'v Value, name: &str) -> &'v [Value] {
    document[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(document: &'v Value, name: &str) -> &'v str {
    document[name].as_str().unwrap_or_default()
}

/// A place, and a number of thousandths there, by the names of their fields.
fn place_and(
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
