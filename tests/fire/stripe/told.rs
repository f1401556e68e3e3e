//! What Stripe was told. Here: the client's memory against the events of the stand-in, record by
//! record and place by place, with the ledger between them. Never here: what it bills
//! ([`super::billing`]). Read next: [`super::load`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::account::is_subscribed;
use super::load::named_by;
use crate::compare::{Comparison, list, place_and, text};
use crate::daemon::Home;
use crate::held::{self, Held};
use crate::memory::Memory;
use crate::provider::Provider;
use crate::record::{Place, Record, decimal, thousandths};

/// What is found at the provider of one record.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// What its events that count come to, in thousandths.
    sum: i128,
    /// How many those are.
    events: u64,
}

/// Compares everything that it was told.
pub(crate) async fn compare(
    (home, provider): (&Home, &Provider),
    memory: &Memory,
    held: &mut Held,
    made: &mut Comparison,
) -> anyhow::Result<()> {
    let events = provider.told().await?;
    let cancelled = events.iter().filter(|event| event["status"]["state"] == "cancelled").count();
    made.events_cancelled = u64::try_from(cancelled)?;
    accepted(home, provider, made).await?;
    made.held_places = held.places().collect();
    let one_by_one = each_record(&events, memory, held, made);
    let sums = memory.sums();
    let counted = totals(&provider.books().await?, "event_name", "customer", "total")?;
    let (_, books) = home.read(&["books"]).await?;
    let accrued = totals(list(&books, "lines"), "meter", "account", "accrued")?;
    let mut differ = 0;
    for (place, expected) in &sums {
        let lowered = memory.lowered().get(place).copied().unwrap_or_default();
        let used = Used { place: *place, expected: *expected, lowered };
        differ += u64::from(!each_place(&used, (&counted, &accrued), held, made));
    }
    for place in counted.keys().chain(accrued.keys()).filter(|place| !sums.contains_key(place)) {
        made.unexplained += 1;
        made.findings.push(format!("{place}: nobody used that"));
    }
    made.compared = vec![
        ("records compared one by one", one_by_one),
        ("customers' meters whose sums were compared", u64::try_from(sums.len())?),
        ("… that differ", differ),
    ];
    Ok(())
}

/// What the provider holds lies within the bracket of the ledger's books, place by place. What it
/// is still to carry out is open there.
pub(crate) async fn bracket(home: &Home, provider: &Provider) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let (_, books) = home.read(&["books"]).await?;
    let lines = list(&books, "lines");
    let low = totals(lines, "meter", "account", "low")?;
    let high = totals(lines, "meter", "account", "high")?;
    for (place, total) in totals(&provider.books().await?, "event_name", "customer", "total")? {
        let bound = |of: &BTreeMap<Place, i128>| of.get(&place).copied().unwrap_or_default();
        let (low, high) = (bound(&low), bound(&high));
        if total < low || total > high {
            let [total, low, high] = [total, low, high].map(decimal);
            findings.push(format!("{place}: {total} is not within {low}..{high}"));
        }
    }
    Ok(findings)
}

/// As much is at the provider as the ledger says.
async fn accepted(home: &Home, provider: &Provider, made: &mut Comparison) -> anyhow::Result<()> {
    let (_, status) = home.read(&["status"]).await?;
    let is_there = |line: &&Value| line["state"] == "accepted" || line["state"] == "settled";
    let accepted = list(&status, "events").iter().filter(is_there);
    let accepted: u64 = accepted.filter_map(|line| line["count"].as_u64()).sum();
    let there = provider.statistics().await?["meter_events_accepted"].as_u64().unwrap_or_default();
    // A cancellation is an event as well.
    let said = there + made.events_cancelled;
    made.must("accepted events in the ledger, by the provider's count", accepted, said);
    made.events_at_the_provider = there;
    Ok(())
}

/// Every event of the meters that are told record by record is of one record, and the events of
/// every record come to what it counts with, but for what is held for it by name. How
/// many records those are.
fn each_record(events: &[Value], memory: &Memory, held: &mut Held, made: &mut Comparison) -> u64 {
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
            usize::try_from(named_by(place, second, memory.base())?).ok()
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
    let mut compared = 0;
    for (record, found) in memory.records().iter().zip(found) {
        if record.place.meter.is_told_one_by_one() {
            compared += 1;
            one_record(record, found, held, made);
        }
    }
    compared
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
/// a proof by name; whether it is.
fn each_place(
    used: &Used,
    (counted, accrued): (&Totals, &Totals),
    held: &mut Held,
    made: &mut Comparison,
) -> bool {
    let Used { place, expected, lowered } = *used;
    let total = counted.get(&place).copied().unwrap_or_default();
    let accrued = accrued.get(&place).copied().unwrap_or_default();
    let waits = match place.meter.is_told_one_by_one() {
        // Compared record by record, and with what was held for each.
        true => expected - total,
        false => held.waits_below_zero(place),
    };
    if accrued == expected && total == expected - waits && -waits <= lowered {
        return true;
    }
    let [expected, accrued, total, waits, lowered] =
        [expected, accrued, total, waits, lowered].map(decimal);
    made.findings.push(format!(
        "{place}: used {expected}, accrued {accrued}, the provider has {total}, {waits} waits, \
         corrections took {lowered}"
    ));
    false
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
