//! `tallyd books`. Here: what each account should hold, what was told, and the bracket of what the
//! provider holds. Never here: the events behind a line. Read next: [`super::trace`].
//!
//! `low..high` is the bracket of design: every settled event is in it; an event that was accepted,
//! is in flight, unknown, or held though it may exist, may or may not count, and widens it. If
//! nobody else writes to the meter, the provider's total lies inside.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::Books;
use super::exit::Exit;
use super::foreign_books;
use super::page;
use super::reading::{self, Reading};
use super::table::{Side, Table};
use crate::domain::quantity::Quantity;
use crate::domain::time::Window;
use crate::ledger::cutover::{CutoverLedger, ForeignBooks};
use crate::ledger::operator::{BookFilter, BookLine, OperatorLedger};

/// Shows the books.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) async fn books(asked: &Books) -> anyhow::Result<Exit> {
    let Reading { ledger, .. } = reading::open(&asked.listing.configured).await?;
    let filter = BookFilter {
        account: asked.account.clone(),
        meter: asked.meter.clone(),
        by_window: asked.by_window,
    };
    let lines = ledger.books(&filter).await?;
    let foreign = ledger.foreign_books(&filter).await?;
    ledger.close().await;
    let totals = totals(&lines);
    if asked.listing.json {
        page::print_json(&json_of(&lines, &totals, &foreign))?;
    } else if lines.is_empty() {
        let all = filter.account.is_none() && filter.meter.is_none();
        page::print(|out| match all {
            true => writeln!(out, "The books are empty: no usage is accrued to any account yet."),
            false => writeln!(out, "The books have no such account or meter."),
        })?;
    } else {
        page::print(|out| {
            write(out, &lines, &totals, filter.by_window)?;
            foreign_books::write(out, &lines, &foreign)
        })?;
    }
    Ok(Exit::Ok)
}

/// What stands for an upper bound that nobody knows: a ledger that was lost may have told more.
const UNKNOWN: &str = "?";

/// Sums, in the order of the columns.
#[derive(Clone)]
struct Sums {
    sums: [Quantity; Sums::NAMES.len()],
    /// Whether more than the highest sum may be there.
    unbounded: bool,
}

impl Sums {
    const NAMES: [&'static str; 10] = [
        "accrued",
        "told",
        "settled",
        "accepted",
        "pending",
        "uncertain",
        "held",
        "at_risk",
        "low",
        "high",
    ];

    fn of(line: &BookLine) -> Self {
        let sums = [
            &line.accrued,
            &line.told,
            &line.settled,
            &line.accepted,
            &line.pending,
            &line.uncertain,
            &line.held,
            &line.at_risk,
            &line.low,
            &line.high,
        ]
        .map(Quantity::clone);
        Self { sums, unbounded: line.unbounded }
    }

    fn zero() -> Self {
        Self { sums: std::array::from_fn(|_| Quantity::zero()), unbounded: false }
    }

    fn add(&mut self, other: &Self) {
        self.unbounded |= other.unbounded;
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum = &*sum + more;
        }
    }

    /// The sums as cells: the bracket is one.
    fn cells(&self) -> [String; 9] {
        let [accrued, told, settled, accepted, pending, uncertain, held, at_risk, low, high] =
            &self.sums;
        let high = if self.unbounded { UNKNOWN.to_owned() } else { high.to_string() };
        let bracket = format!("{low}..{high}");
        let [accrued, told, settled, accepted, pending, uncertain, held, at_risk] =
            [accrued, told, settled, accepted, pending, uncertain, held, at_risk]
                .map(ToString::to_string);
        [accrued, told, settled, accepted, pending, uncertain, held, at_risk, bracket]
    }

    fn into_json(self, document: &mut Value) {
        for (name, sum) in Self::NAMES.into_iter().zip(self.sums) {
            document[name] = Value::from(sum.to_string());
        }
        if self.unbounded {
            document["high"] = Value::Null;
        }
    }
}

/// The sums of each provider's meters.
fn totals(lines: &[BookLine]) -> BTreeMap<(&str, &str), Sums> {
    let mut totals: BTreeMap<(&str, &str), Sums> = BTreeMap::new();
    for line in lines {
        let total = totals.entry((&line.provider, &line.meter)).or_insert_with(Sums::zero);
        total.add(&Sums::of(line));
    }
    totals
}

fn json_of(
    lines: &[BookLine],
    totals: &BTreeMap<(&str, &str), Sums>,
    foreign: &ForeignBooks,
) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut document = json!({
                "provider": line.provider,
                "account": line.account,
                "meter": line.meter,
                "start": line.start.to_rfc3339(),
                "end": line.end.to_rfc3339(),
                "told_before": line.told_before.to_string(),
            });
            Sums::of(line).into_json(&mut document);
            document
        })
        .collect();
    let totals: Vec<Value> = totals
        .iter()
        .map(|((provider, meter), sums)| {
            let mut document = json!({ "provider": provider, "meter": meter });
            sums.clone().into_json(&mut document);
            document
        })
        .collect();
    let (openings, shadow) = foreign_books::json_of(foreign);
    json!({ "lines": lines, "totals": totals, "openings": openings, "shadow": shadow })
}

fn write(
    out: &mut dyn Write,
    lines: &[BookLine],
    totals: &BTreeMap<(&str, &str), Sums>,
    by_window: bool,
) -> io::Result<()> {
    let place = |line: &BookLine| {
        let window = Window { start: line.start, end: line.end };
        let window = if by_window { window.to_string() } else { String::new() };
        (line.provider.clone(), line.account.clone(), line.meter.clone(), window)
    };
    let window = if by_window { "window" } else { "" };
    let lines = lines.iter().map(|line| (place(line), Sums::of(line)));
    let totals = totals.iter().map(|((provider, meter), sums)| {
        let place = ((*provider).to_owned(), "total".to_owned(), (*meter).to_owned());
        ((place.0, place.1, place.2, String::new()), sums.clone())
    });
    let heading =
        ["accrued", "told", "settled", "accepted", "pending", "uncertain", "held", "at risk"];
    let [accrued, told, settled, accepted, pending, uncertain, held, at_risk] =
        heading.map(|name| (name, Side::Right));
    let mut table = Table::new([
        ("provider", Side::Left),
        ("account", Side::Left),
        ("meter", Side::Left),
        (window, Side::Left),
        accrued,
        told,
        settled,
        accepted,
        pending,
        uncertain,
        held,
        at_risk,
        ("low..high", Side::Right),
    ]);
    for ((provider, account, meter, window), sums) in lines.chain(totals) {
        let [accrued, told, settled, accepted, pending, uncertain, held, at_risk, bracket] =
            sums.cells();
        table.row([
            provider, account, meter, window, accrued, told, settled, accepted, pending, uncertain,
            held, at_risk, bracket,
        ]);
    }
    table.write(out, "")
}
