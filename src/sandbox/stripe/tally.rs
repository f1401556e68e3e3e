//! What one customer's events on one meter add up to. Here: exact aggregation, by minute, hour or
//! day. Never here: a float, an event that does not count. Read next: [`super::summary`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bigdecimal::BigDecimal;

use super::meter::{Formula, NewMeter, TimeWindow};

/// Seconds in the finest span a summary can ask for.
const MINUTE_SECONDS: i64 = 60;

/// All instants an event can have, in Unix seconds; far enough to hold and near enough to add to.
pub(super) const ALWAYS: Range<i64> = 0..1_000_000_000_000;

/// An event that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// The event's own time, in Unix seconds.
    pub(super) timestamp: i64,
    /// Its place in the order of receipt.
    pub(super) receipt: usize,
    pub(super) value: BigDecimal,
}

/// The events of one span. Sums keep no event, so that a million of them cost one cell a minute.
#[derive(Clone, Debug)]
enum Cell {
    Added {
        sum: BigDecimal,
        count: u64,
    },
    /// The events in order of precedence; the last one is the one that counts.
    Ranked(BTreeMap<(i64, usize), Counted>),
}

/// What a span of time amounts to.
#[derive(Clone, Debug, Default)]
pub(super) struct Amount {
    sum: BigDecimal,
    count: u64,
    last: Option<Counted>,
}

impl Amount {
    fn add(&mut self, sum: &BigDecimal, count: u64) {
        self.sum += sum;
        self.count += count;
    }

    fn offer(&mut self, event: &Counted) {
        self.add(&event.value, 1);
        let rank = |event: &Counted| (event.timestamp, event.receipt);
        if self.last.as_ref().is_none_or(|last| rank(last) < rank(event)) {
            self.last = Some(event.clone());
        }
    }

    /// The one number that the formula makes of it.
    pub(super) fn by(&self, formula: Formula) -> BigDecimal {
        match formula {
            Formula::Sum => self.sum.clone(),
            Formula::Count => BigDecimal::from(self.count),
            Formula::Last => self.last.as_ref().map(|last| last.value.clone()).unwrap_or_default(),
        }
    }
}

/// The counted events of one customer on one meter.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    formula: Formula,
    window: Option<TimeWindow>,
    cells: BTreeMap<i64, Cell>,
    events: u64,
}

impl Tally {
    pub(super) fn new(meter: &NewMeter) -> Self {
        let (formula, window) = (meter.formula, meter.event_time_window);
        Self { formula, window, cells: BTreeMap::new(), events: 0 }
    }

    /// How many events count, overwritten ones among them.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    fn width(&self) -> i64 {
        self.window.map_or(MINUTE_SECONDS, TimeWindow::seconds)
    }

    fn cell_of(&self, timestamp: i64) -> i64 {
        timestamp.div_euclid(self.width()).saturating_mul(self.width())
    }

    /// Where an event stands among those of its cell, if only one of them counts.
    fn rank(&self, event: &Counted) -> Option<(i64, usize)> {
        match (self.window, self.formula) {
            // Pre-aggregated: whatever was received last overwrites, however old its timestamp.
            (Some(_), _) => Some((0, event.receipt)),
            (None, Formula::Last) => Some((event.timestamp, event.receipt)),
            (None, Formula::Sum | Formula::Count) => None,
        }
    }

    pub(super) fn add(&mut self, event: Counted) {
        self.events += 1;
        let (start, rank) = (self.cell_of(event.timestamp), self.rank(&event));
        let cell = self.cells.entry(start).or_insert_with(|| match rank {
            Some(_) => Cell::Ranked(BTreeMap::new()),
            None => Cell::Added { sum: BigDecimal::default(), count: 0 },
        });
        match (cell, rank) {
            (Cell::Added { sum, count }, _) => {
                *sum += &event.value;
                *count += 1;
            }
            (Cell::Ranked(events), rank) => {
                events.insert(rank.unwrap_or_default(), event);
            }
        }
    }

    /// Takes a cancelled event out again. What it had overwritten counts again; whether it does at
    /// Stripe is unconfirmed.
    pub(super) fn remove(&mut self, event: &Counted) {
        let (start, rank) = (self.cell_of(event.timestamp), self.rank(event));
        let Some(cell) = self.cells.get_mut(&start) else { return };
        self.events = self.events.saturating_sub(1);
        let is_empty = match cell {
            Cell::Added { sum, count } => {
                *sum -= &event.value;
                *count = count.saturating_sub(1);
                *count == 0
            }
            Cell::Ranked(events) => {
                events.remove(&rank.unwrap_or_default());
                events.is_empty()
            }
        };
        if is_empty {
            self.cells.remove(&start);
        }
    }

    /// What `range` amounts to, in one piece or per group of `group_seconds`. Groups without events
    /// are absent.
    fn fold(&self, range: &Range<i64>, group_seconds: Option<i64>) -> BTreeMap<i64, Amount> {
        let group_of = |at: i64| match group_seconds {
            Some(seconds) => at.div_euclid(seconds).saturating_mul(seconds),
            None => range.start,
        };
        let mut amounts: BTreeMap<i64, Amount> = BTreeMap::new();
        for (start, cell) in self.cells.range(self.cell_of(range.start)..range.end) {
            match cell {
                // These cells are minutes, and ranges are aligned to minutes.
                Cell::Added { sum, count } => {
                    amounts.entry(group_of(*start)).or_default().add(sum, *count);
                }
                Cell::Ranked(events) => {
                    let winner = events.last_key_value().map(|(_, event)| event);
                    // A range may cut an hour or a day: the event counts where its own time is.
                    if let Some(event) = winner.filter(|event| range.contains(&event.timestamp)) {
                        amounts.entry(group_of(event.timestamp)).or_default().offer(event);
                    }
                }
            }
        }
        amounts
    }

    /// What all of `range` amounts to.
    pub(super) fn amount(&self, range: &Range<i64>) -> BigDecimal {
        let amounts = self.fold(range, None);
        amounts.values().next().map(|amount| amount.by(self.formula)).unwrap_or_default()
    }

    /// What each group of `range` amounts to, oldest first.
    pub(super) fn groups(&self, range: &Range<i64>, window: TimeWindow) -> Vec<(i64, BigDecimal)> {
        let amounts = self.fold(range, Some(window.seconds()));
        amounts.iter().map(|(start, amount)| (*start, amount.by(self.formula))).collect()
    }

    /// The receipts of events that no later one has overwritten; `None` when all count.
    pub(super) fn winners(&self) -> Option<BTreeSet<usize>> {
        self.window?;
        let winner = |cell: &Cell| match cell {
            Cell::Added { .. } => None,
            Cell::Ranked(events) => events.last_key_value().map(|(_, event)| event.receipt),
        };
        Some(self.cells.values().filter_map(winner).collect())
    }
}
