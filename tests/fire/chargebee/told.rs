//! What a site was told. Here: each entry against the ledger's word on it, and window by window the
//! client's memory against ledger and site. Never here: what it bills ([`super::billing`]). Read
//! next: [`super::entries`].

use std::collections::BTreeSet;

use anyhow::Context;
use chrono::DateTime;
use serde_json::Value;

use super::entries::{Event, Fate, Ledger, Said, Usage, usages};
use crate::compare::{Comparison, list, place_and, text};
use crate::daemon::Home;
use crate::held::{self, Held};
use crate::memory::Memory;
use crate::provider::Provider;
use crate::record::{Place, decimal, thousandths};

const SECOND_MICROS: i64 = 1_000_000;
/// How long before the run all usage that is not too old was, in microseconds: a fortnight.
const FORTNIGHT_MICROS: i64 = 14 * 86_400 * SECOND_MICROS;

/// Compares everything that the site was told.
pub(crate) async fn compare(
    (home, provider): (&Home, &Provider),
    memory: &Memory,
    held: &mut Held,
    made: &mut Comparison,
) -> anyhow::Result<()> {
    let usages = usages(provider).await?;
    let ledger = Ledger::read(home).await?;
    let gone = usages.iter().filter(|usage| !usage.fate.is_standing()).count();
    made.events_at_the_provider = u64::try_from(usages.len())?;
    made.events_cancelled = u64::try_from(gone)?;
    each_entry(&usages, &ledger, made);
    let mut stretches: Vec<Stretch<Sums>> = stretches(&ledger);
    let windows = ledger.balances.len();
    fill(&mut stretches, &usages, memory, made);
    let too_old = memory.base() * SECOND_MICROS - FORTNIGHT_MICROS;
    let mut differ = 0;
    for stretch in &stretches {
        let waits = match stretch.span.1 <= too_old {
            true => held.waits(stretch.place, &stretch.balances, held::NO_PERIOD),
            false => 0,
        };
        differ += u64::from(!agrees(stretch, waits, made));
    }
    let places: BTreeSet<Place> = stretches.iter().map(|stretch| stretch.place).collect();
    made.compared = vec![
        ("entries compared with the ledger's, one by one", u64::try_from(usages.len())?),
        ("windows whose sums were compared", u64::try_from(windows)?),
        ("… of them alone, or with those that they overlap", u64::try_from(stretches.len())?),
        ("… that differ", differ),
        ("subscriptions' item prices", u64::try_from(places.len())?),
    ];
    Ok(())
}

/// What the site holds lies within the bracket of the ledger's books, window by window. What is
/// still to be carried out is open there.
pub(crate) async fn bracket(home: &Home, provider: &Provider) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let (_, books) = home.read(&["books", "--by-window"]).await?;
    let mut lines: Vec<Stretch<Bracket>> = Vec::new();
    for line in list(&books, "lines") {
        let (place, low) = place_and(line, "meter", "account", "low")?;
        let high = thousandths(text(line, "high")).context("a window without an upper bound")?;
        let span = (micros(line, "start")?, micros(line, "end")?);
        lines.push(Stretch {
            place,
            span,
            balances: Vec::new(),
            sums: Bracket { low, high, there: 0 },
        });
    }
    let mut lines = joined(lines, |whole, more| {
        whole.low += more.low;
        whole.high += more.high;
    });
    for usage in usages(provider).await?.iter().filter(|usage| usage.fate.is_standing()) {
        match holding(&mut lines, usage.place, usage.second) {
            Some(stretch) => stretch.sums.there += usage.quantity,
            None => findings.push(format!("of no window of the books: {usage:?}")),
        }
    }
    for Stretch { place, span, sums, .. } in &lines {
        if sums.there < sums.low || sums.there > sums.high {
            let [there, low, high] = [sums.there, sums.low, sums.high].map(decimal);
            findings.push(format!("{place} {span:?}: {there} is not within {low}..{high}"));
        }
    }
    Ok(findings)
}

fn micros(line: &Value, name: &str) -> anyhow::Result<i64> {
    let at = DateTime::parse_from_rfc3339(text(line, name));
    Ok(at.with_context(|| format!("a line without its {name}: {line}"))?.timestamp_micros())
}

/// Each entry is one of the ledger's, and there or not as the ledger says. No second is there
/// twice.
fn each_entry(usages: &[Usage], ledger: &Ledger, made: &mut Comparison) {
    let (mut seconds, mut known) = (BTreeSet::new(), BTreeSet::new());
    for usage in usages {
        let standing = usage.fate.is_standing();
        if standing && !seconds.insert((usage.place, usage.second)) {
            made.doubled += 1;
            made.findings.push(format!("a second time in one second: {usage:?}"));
        }
        if usage.fate == Fate::Unbilled {
            made.lost += 1;
            made.findings.push(format!("there, and nothing bills it: {usage:?}"));
        }
        let event = ledger.events.get(&usage.id).filter(|event| is_of(usage, event));
        let Some(event) = event else {
            made.unexplained += 1;
            made.findings.push(format!("unexplained: {usage:?}"));
            continue;
        };
        known.insert(usage.id.as_str());
        match (event.said, standing) {
            (Said::Told, true) | (Said::TakenAway | Said::NotTold, false) => {}
            (Said::Told, false) => {
                made.lost += 1;
                made.findings.push(format!("told, and gone: {usage:?}"));
            }
            (Said::TakenAway | Said::NotTold, true) => {
                made.doubled += 1;
                made.findings.push(format!("{:?}, and there: {usage:?}", event.said));
            }
            (Said::Open, _) => made.findings.push(format!("still open: {usage:?}")),
        }
    }
    for (id, event) in ledger.events.iter().filter(|(id, _)| !known.contains(id.as_str())) {
        match event.said {
            Said::NotTold => {}
            Said::Told | Said::TakenAway => {
                made.lost += 1;
                made.findings.push(format!("told, and never there: {id} {event:?}"));
            }
            Said::Open => made.findings.push(format!("still open: {id} {event:?}")),
        }
    }
}

fn is_of(usage: &Usage, event: &Event) -> bool {
    (usage.place, usage.second, usage.quantity) == (event.place, event.second, event.quantity)
}

/// A window of a place, or several that overlap: where a window was cut at a bound after something
/// was told of it, what is told of the parts may lie anywhere in the whole.
#[derive(Debug)]
struct Stretch<S> {
    place: Place,
    /// In microseconds.
    span: (i64, i64),
    balances: Vec<i64>,
    sums: S,
}

/// Sums of a stretch, in thousandths.
#[derive(Debug, Default)]
struct Sums {
    used: i128,
    accrued: i128,
    told: i128,
    there: i128,
}

/// What the books say of a stretch, and what is there, in thousandths.
struct Bracket {
    low: i128,
    high: i128,
    there: i128,
}

/// The ledger's balances as stretches.
fn stretches(ledger: &Ledger) -> Vec<Stretch<Sums>> {
    let of = ledger.balances.iter().map(|balance| Stretch {
        place: balance.place,
        span: balance.span,
        balances: vec![balance.number],
        sums: Sums { accrued: balance.accrued, told: balance.told, ..Sums::default() },
    });
    joined(of.collect(), |whole, more| {
        whole.accrued += more.accrued;
        whole.told += more.told;
    })
}

/// Joins those that overlap, in the order of place and time.
fn joined<S>(mut windows: Vec<Stretch<S>>, add: impl Fn(&mut S, S)) -> Vec<Stretch<S>> {
    windows.sort_by_key(|window| (window.place, window.span));
    let mut joined: Vec<Stretch<S>> = Vec::new();
    for window in windows {
        match joined.last_mut() {
            Some(last) if last.place == window.place && window.span.0 < last.span.1 => {
                last.span.1 = last.span.1.max(window.span.1);
                last.balances.extend(window.balances);
                add(&mut last.sums, window.sums);
            }
            Some(_) | None => joined.push(window),
        }
    }
    joined
}

/// The stretch of a place that a second lies in.
fn holding<S>(stretches: &mut [Stretch<S>], place: Place, second: i64) -> Option<&mut Stretch<S>> {
    let at = second * SECOND_MICROS;
    let after = stretches.partition_point(|each| (each.place, each.span.0) <= (place, at));
    let last = stretches.get_mut(after.checked_sub(1)?)?;
    (last.place == place && at < last.span.1).then_some(last)
}

/// Adds up what was used and what is there.
fn fill(stretches: &mut [Stretch<Sums>], usages: &[Usage], memory: &Memory, made: &mut Comparison) {
    for usage in usages.iter().filter(|usage| usage.fate.is_standing()) {
        match holding(stretches, usage.place, usage.second) {
            Some(stretch) => stretch.sums.there += usage.quantity,
            None => {
                made.unexplained += 1;
                made.findings.push(format!("of no window of the ledger's: {usage:?}"));
            }
        }
    }
    for record in memory.records() {
        match holding(stretches, record.place, record.second) {
            Some(stretch) => stretch.sums.used += i128::from(record.expected),
            None => {
                made.lost += 1;
                made.findings.push(format!("of no window of the ledger's: {record:?}"));
            }
        }
    }
}

/// Whether as much is there as was used, less what `waits` by name.
fn agrees(stretch: &Stretch<Sums>, waits: i128, made: &mut Comparison) -> bool {
    let Stretch { place, span, sums, .. } = stretch;
    let Sums { used, accrued, told, there } = *sums;
    let wanted = used - waits;
    if accrued == used && told == wanted && there == wanted {
        return true;
    }
    match there.cmp(&wanted) {
        std::cmp::Ordering::Less => made.lost += 1,
        std::cmp::Ordering::Greater => made.doubled += 1,
        std::cmp::Ordering::Equal => {}
    }
    let [used, accrued, told, there, waits] = [used, accrued, told, there, waits].map(decimal);
    made.findings.push(format!(
        "{place} {span:?}: used {used}, accrued {accrued}, told {told}, the site has {there}, \
         {waits} waits"
    ));
    false
}
