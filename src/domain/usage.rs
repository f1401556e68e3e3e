//! Usage as it is asked for. PURE. Here: what a view tells apart, the slices of time that its sums
//! are kept by, and which of them make up a span. Never here: levers, sums, storage (see `usage`,
//! `store`). Read next: [`crate::domain::record`].
//!
//! A view sums the records of one meter, customer by customer, bucket by bucket and subscription by
//! subscription: over all time, or by day, by hour and by instant. Any span is then whole days,
//! whole hours at its ends, and single instants in the two hours that it begins and ends in: some
//! hundred rows for a month, however many records there were.

use super::closed::closed;
use super::correction::{Change, CorrectionId, Standing, fold};
use super::names::{MeterName, NAME_BYTES_MAX};
use super::quantity::Quantity;
use super::record::{Position, Property, UsageRecord};
use super::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp, Window};

/// A view's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub i64);

/// How the records of a meter are told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// The meter.
    pub meter: MeterName,
    /// The property that says a record's bucket; nothing where buckets are not told apart.
    pub bucket: Option<String>,
    /// The property that says a record's subscription.
    pub subscription: String,
    /// Whether usage is kept by time, so that a span can be asked for; else all time can.
    pub is_timed: bool,
}

closed! {
    /// How long a slice of time is; the finer the later.
    Grain {
        /// All time.
        All = "all",
        /// A UTC day.
        Day = "day",
        /// A UTC hour.
        Hour = "hour",
        /// An instant.
        Instant = "instant",
    }
}

impl Grain {
    /// The start of the slice that holds `at`. All time is one slice, which begins at nought.
    #[must_use]
    pub fn slice_of(self, at: Timestamp) -> Timestamp {
        match self {
            Self::All => Timestamp::from_micros(0),
            Self::Day => at.floor_to(MICROS_PER_DAY),
            Self::Hour => at.floor_to(MICROS_PER_HOUR),
            Self::Instant => at,
        }
    }
}

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The bucket; empty where there is none.
    pub bucket: String,
    /// The subscription; empty where there is none.
    pub subscription: String,
}

/// What records come to: their quantities added up, and how many they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Their quantities, added up.
    pub quantity: Quantity,
    /// How many count, though that be with nothing.
    pub records: i64,
}

impl Sum {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.quantity = &self.quantity + &other.quantity;
        self.records = self.records.saturating_add(other.records);
    }

    /// Whether it is of no record and comes to nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.records == 0 && self.quantity.is_zero()
    }
}

/// The time that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All of it.
    AllTime,
    /// What occurred in a window.
    Within(Window),
}

impl Span {
    /// Whether `at` lies in it.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        match self {
            Self::AllTime => true,
            Self::Within(window) => window.contains(at),
        }
    }

    /// The slices that make it up, each once: those of a grain that begin in a window.
    #[must_use]
    pub fn slices(self) -> Vec<(Grain, Window)> {
        let Self::Within(Window { start, end }) = self else {
            let nought = Grain::All.slice_of(Timestamp::from_micros(0));
            return vec![(Grain::All, Window { start: nought, end: nought.plus_micros(1) })];
        };
        let (first, last) = (ceiling(start, MICROS_PER_DAY), end.floor_to(MICROS_PER_DAY));
        let mut slices = Vec::new();
        if first < last {
            by_hour(start, first, &mut slices);
            push(Grain::Day, first, last, &mut slices);
            by_hour(last, end, &mut slices);
        } else {
            by_hour(start, end, &mut slices);
        }
        slices
    }
}

fn ceiling(at: Timestamp, micros: i64) -> Timestamp {
    let floor = at.floor_to(micros);
    if floor == at { at } else { floor.plus_micros(micros) }
}

/// A span of less than two days: its whole hours, and what is left at both ends.
fn by_hour(start: Timestamp, end: Timestamp, into: &mut Vec<(Grain, Window)>) {
    let (first, last) = (ceiling(start, MICROS_PER_HOUR), end.floor_to(MICROS_PER_HOUR));
    if first < last {
        push(Grain::Instant, start, first, into);
        push(Grain::Hour, first, last, into);
        push(Grain::Instant, last, end, into);
    } else {
        push(Grain::Instant, start, end, into);
    }
}

fn push(grain: Grain, start: Timestamp, end: Timestamp, into: &mut Vec<(Grain, Window)>) {
    if start < end {
        into.push((grain, Window { start, end }));
    }
}

impl View {
    /// What `record` is summed into; nothing when it is of another meter.
    #[must_use]
    pub fn part_of(&self, record: &UsageRecord) -> Option<Part> {
        // A longer text is nobody's name, and would make a row of its own size.
        let text = |name: &String| {
            let text = record.properties.get(name).map(Property::as_text);
            text.filter(|text| text.len() <= NAME_BYTES_MAX)
        };
        (record.meter == self.meter).then(|| Part {
            bucket: self.bucket.as_ref().and_then(text).unwrap_or_default().to_owned(),
            subscription: text(&self.subscription).unwrap_or_default().to_owned(),
        })
    }

    /// The slices that a record of `at` is summed into.
    #[must_use]
    pub const fn grains(&self) -> &'static [Grain] {
        if self.is_timed { &[Grain::Day, Grain::Hour, Grain::Instant] } else { &[Grain::All] }
    }
}

/// A record with all that corrected it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedRecord {
    /// Its place in the journal.
    pub position: Position,
    /// The record.
    pub record: UsageRecord,
    /// Its corrections, in the order in which they were accepted.
    pub corrections: Vec<(CorrectionId, Change)>,
}

impl CountedRecord {
    /// What it counts with after the corrections up to `corrected_to`.
    #[must_use]
    pub fn counts_at(&self, corrected_to: CorrectionId) -> Sum {
        let before = self.corrections.iter().filter(|(id, _)| *id <= corrected_to);
        match fold(&self.record.quantity, before.map(|(_, change)| change)).1 {
            Standing::Counts(quantity) => Sum { quantity, records: 1 },
            Standing::Cancelled => Sum::default(),
        }
    }

    /// What the corrections past `from`, up to `to`, add to what it counted with.
    #[must_use]
    pub fn change(&self, from: CorrectionId, to: CorrectionId) -> Sum {
        let (before, after) = (self.counts_at(from), self.counts_at(to));
        Sum {
            quantity: &after.quantity - &before.quantity,
            records: after.records - before.records,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_slices_of_a_span_hold_each_of_its_instants_once(
            start in -200_000_000_000_i64..400_000_000_000,
            length in 1_i64..400_000_000_000,
            inside in 0_i64..400_000_000_000,
            grid in 0_usize..3,
        ) {
            // Bounds that lie on a day's or an hour's are met often.
            let step = [1, MICROS_PER_HOUR, MICROS_PER_DAY][grid];
            let start = Timestamp::from_micros(start).floor_to(step);
            let end = start.plus_micros((length / step + 1) * step);
            let span = Span::Within(Window { start, end });
            for at in [start, end.plus_micros(-1), start.plus_micros(inside), end] {
                let slices = span.slices();
                let holds = |slice: &&(Grain, Window)| slice.1.contains(slice.0.slice_of(at));
                let held = slices.iter().filter(holds).count();
                prop_assert_eq!(held, usize::from(span.contains(at)));
            }
        }
    }

    #[test]
    fn a_month_is_some_slices_of_days_and_of_the_hours_at_its_ends() {
        let start = Timestamp::from_seconds(1_790_001_234);
        let end = start.plus_micros(30 * MICROS_PER_DAY);
        let grains: Vec<Grain> =
            Span::Within(Window { start, end }).slices().iter().map(|(grain, _)| *grain).collect();
        let ends = [Grain::Instant, Grain::Hour];
        assert_eq!(grains, [ends[0], ends[1], Grain::Day, ends[1], ends[0]]);
    }

    #[test]
    fn all_time_is_one_slice() {
        assert_eq!(Span::AllTime.slices().len(), 1);
    }
}
