//! How the records of a window come to one quantity. PURE. Here: the folds, and what a record
//! stands for in one. Never here: the lines that say so (`store`), what is told of it
//! (`posting::plan`). Read next: [`super::balance`].
//!
//! A sum needs no more than its lines. Where the newest record counts, or the largest, each record
//! still stands for what its own lines add up to, corrections, write-offs and transfers included;
//! only what they come to together is another thing. So it is where distinct values are counted.

use super::closed::closed;
use super::correction::Cause;
use super::quantity::Quantity;
use super::record::Position;
use super::time::Timestamp;
use super::unique::{self, Member};

closed! {
    /// How what records stand for comes to what their balance accrues.
    Fold {
        /// All of them together.
        Sum = "sum",
        /// The newest one by its own time; of one time, the one that came last.
        Last = "last",
        /// The largest one.
        Max = "max",
        /// As [`Self::Last`], of a gauge: a meter bills the newest value of a period, so that no
        /// window of the balance's own ends before its period does.
        Gauge = "gauge",
        /// How many distinct values they have: see [`super::unique`].
        Unique = "unique",
    }
}

/// What a record stands for in a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its own time.
    pub occurred_at: Timestamp,
    /// Where it stands in the journal.
    pub position: Position,
    /// What its lines there add up to.
    pub quantity: Quantity,
    /// Whether it counts though they add up to nothing: a reading of zero does. One that was
    /// cancelled, written off or given away does not.
    pub counts_at_zero: bool,
    /// Whether it was given away, whatever was made of it since.
    pub has_left: bool,
    /// The value that it is counted by, where distinct values are.
    pub member: Option<Member>,
}

/// What a line does to the record that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Why the line is there.
    pub cause: Cause,
    /// Whether it is of a correction that cancels.
    pub cancels: bool,
    /// Whether it takes the record away: of a transfer, or of a remap.
    pub leaves: bool,
}

impl Share {
    /// What a record stands for before its first line.
    #[must_use]
    pub fn new(occurred_at: Timestamp, position: Position) -> Self {
        Self {
            occurred_at,
            position,
            quantity: Quantity::zero(),
            counts_at_zero: false,
            has_left: false,
            member: None,
        }
    }

    /// With one more line, in their order.
    pub fn add(&mut self, quantity: &Quantity, touch: Touch) {
        self.quantity = &self.quantity + quantity;
        match touch.cause {
            Cause::Record | Cause::Presence => self.counts_at_zero = true,
            Cause::Correction if touch.cancels => self.counts_at_zero = false,
            // What it counts with is another quantity; whether it counts is as before.
            Cause::Correction | Cause::Reversal => {}
            Cause::WriteOff => self.counts_at_zero = false,
            Cause::Transfer | Cause::RemapFrom | Cause::RemapTo => {
                (self.counts_at_zero, self.has_left) = (!touch.leaves, touch.leaves);
            }
        }
    }

    fn age(&self) -> (Timestamp, Position) {
        (self.occurred_at, self.position)
    }

    /// Whether it counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.counts_at_zero || !self.quantity.is_zero()
    }
}

impl Fold {
    /// Whether the newest record counts: of such, a reading of nothing says something too.
    #[must_use]
    pub const fn is_of_readings(self) -> bool {
        match self {
            Self::Last | Self::Gauge => true,
            Self::Sum | Self::Max | Self::Unique => false,
        }
    }

    /// Whether windows of it are parts of a sum, which is what their meter bills: they are told
    /// what they come to, and corrected, as sums are. The others say a level.
    #[must_use]
    pub const fn adds_up(self) -> bool {
        match self {
            Self::Sum | Self::Unique => true,
            Self::Last | Self::Gauge | Self::Max => false,
        }
    }

    /// What records come to; nothing where none counts, or all of them count as nothing: only a
    /// newest value of nothing says something.
    #[must_use]
    pub fn of(self, shares: &[Share]) -> Option<Quantity> {
        let mut counting = shares.iter().filter(|share| share.counts());
        let quantity = |share: &Share| share.quantity.clone();
        match self {
            Self::Sum => {
                let first = counting.next()?.quantity.clone();
                Some(counting.fold(first, |sum, share| &sum + &share.quantity))
            }
            Self::Last | Self::Gauge => counting.max_by_key(|share| share.age()).map(quantity),
            Self::Max => counting.map(quantity).max().filter(|level| !level.is_zero()),
            Self::Unique => Some(unique::count(shares)).filter(|count| !count.is_zero()),
        }
    }

    /// The time of the record that counts alone, where the newest does; nothing where none counts.
    #[must_use]
    pub fn stands_at(self, shares: &[Share]) -> Option<Timestamp> {
        match self {
            Self::Sum | Self::Max | Self::Unique => None,
            Self::Last | Self::Gauge => {
                let counting = shares.iter().filter(|share| share.counts());
                counting.map(|share| share.occurred_at).max()
            }
        }
    }

    /// The line for each record, in their order, that writes them off down to `level`, or up to it:
    /// together they come to just that then. Where it is nothing, none of them counts any longer.
    #[must_use]
    pub fn bring(self, shares: &[Share], level: &Quantity) -> Vec<Quantity> {
        if level.is_zero() {
            return shares.iter().map(|share| -&share.quantity).collect();
        }
        let mut lines = match self {
            Self::Sum | Self::Last | Self::Gauge => vec![Quantity::zero(); shares.len()],
            Self::Max => {
                let down = |share: &Share| (level - &share.quantity).min(Quantity::zero());
                shares.iter().map(down).collect()
            }
            Self::Unique => return unique::bring(shares, level),
        };
        let after: Vec<Share> = shares
            .iter()
            .zip(&lines)
            .map(|(share, line)| Share { quantity: &share.quantity + line, ..share.clone() })
            .collect();
        let counting = after.iter().enumerate().filter(|(_, share)| share.counts());
        let newest = counting.max_by_key(|(_, share)| share.age()).map(|(place, _)| place);
        if let Some(place) = newest.or(shares.len().checked_sub(1)) {
            let reached = match self {
                Self::Sum | Self::Last | Self::Gauge | Self::Unique => {
                    self.of(&after).unwrap_or_default()
                }
                // One of them may be there by itself, and the newest then stays as it is.
                Self::Max if self.of(&after).as_ref() == Some(level) => level.clone(),
                Self::Max => after[place].quantity.clone(),
            };
            lines[place] = &(&lines[place] + level) - &reached;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse_unbounded(text).unwrap()
    }

    fn touch(cause: Cause) -> Touch {
        Touch { cause, cancels: false, leaves: false }
    }

    /// Records, each read at a second.
    fn read(records: &[(i64, &str)]) -> Vec<Share> {
        let share = |(position, (second, text)): (i64, &(i64, &str))| {
            let mut share = Share::new(Timestamp::from_seconds(*second), Position(position));
            share.add(&quantity(text), touch(Cause::Record));
            share
        };
        (1..).zip(records).map(share).collect()
    }

    fn check(fold: Fold, shares: &[Share], expected: Option<&str>) {
        assert_eq!(fold.of(shares).map(|level| level.to_string()).as_deref(), expected);
    }

    #[test]
    fn the_newest_by_its_own_time_counts_and_of_one_time_the_one_that_came_last() {
        check(Fold::Last, &read(&[(2, "5"), (9, "7"), (3, "8")]), Some("7"));
        check(Fold::Last, &read(&[(9, "5"), (9, "7")]), Some("7"));
        check(Fold::Max, &read(&[(2, "5"), (9, "7"), (3, "8")]), Some("8"));
        check(Fold::Sum, &read(&[(2, "5"), (9, "7"), (3, "8")]), Some("20"));
        check(Fold::Last, &[], None);
        check(Fold::Gauge, &read(&[(2, "5"), (9, "7"), (3, "8")]), Some("7"));
        // Records without a value are counted each by itself.
        check(Fold::Unique, &read(&[(2, "1"), (9, "1"), (3, "0")]), Some("2"));
        check(Fold::Unique, &read(&[(3, "0")]), None);
    }

    #[test]
    fn a_newest_record_stands_at_its_own_time_until_it_counts_no_longer() {
        let mut shares = read(&[(2, "5"), (9, "7"), (3, "8")]);
        let stands_at = |shares: &[Share]| Fold::Gauge.stands_at(shares).map(Timestamp::seconds);
        assert_eq!(stands_at(&shares), Some(9));
        shares[1].add(&quantity("-7"), Touch { cancels: true, ..touch(Cause::Correction) });
        assert_eq!(stands_at(&shares), Some(3));
        assert_eq!(stands_at(&[]), None);
        assert_eq!(Fold::Max.stands_at(&shares), None);
    }

    #[test]
    fn a_reading_of_nothing_counts_and_what_is_cancelled_written_off_or_given_away_does_not() {
        let mut shares = read(&[(1, "5"), (2, "0")]);
        check(Fold::Last, &shares, Some("0"));
        let touches = [
            Touch { cancels: true, ..touch(Cause::Correction) },
            touch(Cause::WriteOff),
            Touch { leaves: true, ..touch(Cause::Transfer) },
        ];
        for touched in touches {
            let mut shares = shares.clone();
            shares[1].add(&quantity("0"), touched);
            check(Fold::Last, &shares, Some("5"));
        }
        shares[0].add(&quantity("-5"), Touch { cancels: true, ..touch(Cause::Correction) });
        check(Fold::Last, &shares, Some("0"));
        shares[1].add(&quantity("0"), touch(Cause::WriteOff));
        check(Fold::Last, &shares, None);
        shares[1].add(&quantity("0"), touch(Cause::Presence));
        check(Fold::Last, &shares, Some("0"));
    }

    #[test]
    fn what_was_adjusted_to_nothing_still_counts() {
        let mut shares = read(&[(1, "5"), (2, "7")]);
        shares[1].add(&quantity("-7"), touch(Cause::Correction));
        check(Fold::Last, &shares, Some("0"));
        check(Fold::Max, &shares, Some("5"));
    }

    proptest! {
        #[test]
        fn records_are_brought_to_whatever_was_told(
            fold in prop::sample::select(Fold::ALL.to_vec()),
            records in prop::collection::vec((0_i64..5, 0_i64..9), 1..6),
            level in 0_i64..12,
        ) {
            let texts: Vec<(i64, String)> =
                records.iter().map(|(second, value)| (*second, value.to_string())).collect();
            let texts: Vec<(i64, &str)> =
                texts.iter().map(|(second, text)| (*second, text.as_str())).collect();
            let mut shares = read(&texts);
            let level = quantity(&level.to_string());
            let lines = fold.bring(&shares, &level);
            for (share, line) in shares.iter_mut().zip(&lines) {
                // A line is made only where it says something, or ends what counts at nothing.
                if !line.is_zero() || level.is_zero() {
                    share.add(line, touch(Cause::WriteOff));
                }
            }
            prop_assert_eq!(fold.of(&shares).unwrap_or_default(), level.clone());
            prop_assert!(!level.is_zero() || fold.of(&shares).is_none());
        }
    }
}
