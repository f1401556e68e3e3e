//! Write-offs: over which records a quantity is written off. PURE. Here: the sharing out, exact to
//! the last digit. Never here: the lines it is written down in (see `store`). Read next:
//! [`super::balance`].
//!
//! A write-off names its records, so that a later correction of one of them finds what of it was
//! written off already.

use super::quantity::Quantity;
use super::resolution::Verdict;
use super::time::Timestamp;

/// Why something is written off that no person decided over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Its period was closed when it came, and the route's policy is to drop it.
    Late,
    /// It was used before this instant, and another program told it.
    ToldBefore(Timestamp),
}

impl Ground {
    /// The verdict that is kept of it.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Late => Verdict::WriteOff,
            Self::ToldBefore(_) => Verdict::ToldBefore,
        }
    }

    /// Why, as a person reads it.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Late => "its period was closed when it came",
            Self::ToldBefore(_) => "told before tallyd",
        }
    }

    /// Who decided it, as a person reads it.
    #[must_use]
    pub fn who(self) -> String {
        match self {
            Self::Late => "policy:late=drop".to_owned(),
            Self::ToldBefore(from) => format!("policy:bill_from={from}"),
        }
    }
}

/// What is written off by a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWriteOff {
    /// How much.
    pub amount: Quantity,
    /// Why.
    pub ground: Ground,
}

/// What a record stands for in the balance that is written off from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What its usage came to before the lines that are meant.
    pub before: Quantity,
    /// What it adds within the lines that are meant: those an event covers, or those that were
    /// never told.
    pub meant: Quantity,
    /// What its usage comes to by now: itself, its corrections, and what it was given or gave away.
    pub usage: Quantity,
    /// What it adds in all, with its corrections and what was written off of it before.
    pub whole: Quantity,
    /// Whether any of its lines is among those that are meant.
    pub covered: bool,
}

/// Shares `amount`, the sum of the lines to be written (below zero when usage is written off), out
/// over the records of a balance, oldest first. Each record takes what it stands for: first of the
/// lines that are meant, oldest first; then in all, newest first. What no record stands for goes to
/// the newest one that is meant. The shares stand in the order of the records and add up to
/// `amount`, unless there is no record.
#[must_use]
pub fn share(amount: &Quantity, records: &[Written]) -> Vec<Quantity> {
    let mut shares = vec![Quantity::zero(); records.len()];
    let mut rest = amount.clone();
    for (record, share) in records.iter().zip(&mut shares) {
        // What was written off of it before, or corrected, is not written off again.
        let left =
            if amount.is_negative() { (&record.meant).min(&record.whole) } else { &record.meant };
        take(&mut rest, share, left);
    }
    for (record, share) in records.iter().zip(&mut shares).rev() {
        // An amount that adds undoes what was taken, which only the lines that are meant say.
        if !amount.is_negative() {
            break;
        }
        let left = &record.whole + &*share;
        take(&mut rest, share, &left);
    }
    let newest = records.iter().rposition(|record| record.covered);
    if let Some(share) = newest.or(records.len().checked_sub(1)).map(|at| &mut shares[at]) {
        *share = &*share + &rest;
    }
    shares
}

/// Shares out what of a told event's quantity is to be written off, in the order of the records.
/// `amount` is that quantity with its sign turned, and `outstanding` what the balance has
/// outstanding while the event still counts as told.
///
/// Each record takes what of the event's usage it still stands for. What has left since, by a
/// correction or to another balance, is not written off: with the event it is told no longer
/// either, and a second time it would swallow other usage. Where other events tell some of the
/// lines that are meant, no more is written off than leaves what those told in place. What the
/// event says beyond its lines, since finer usage of before waited for it, comes from the newest
/// of the others.
#[must_use]
pub fn share_told(amount: &Quantity, outstanding: &Quantity, records: &[Written]) -> Vec<Quantity> {
    let is_usage = amount.is_negative();
    let turned = |quantity: &Quantity| if is_usage { quantity.clone() } else { -quantity };
    let none = Quantity::zero;
    let size = amount.magnitude();
    let said: Quantity = records
        .iter()
        .map(|record| turned(&record.meant).max(none()))
        .fold(none(), |sum, each| &sum + &each);
    let mut rest = match said > size {
        true => (&turned(outstanding) + &size).max(none()).min(size.clone()),
        false => size.clone().min(said.clone()),
    };
    let mut taken: Vec<Quantity> = Vec::with_capacity(records.len());
    for record in records {
        let meant = turned(&record.meant).max(none());
        let stays = turned(&(&record.usage - &record.before)).max(none()).min(meant);
        // What was written off of it before is not written off again.
        let stays = if is_usage { stays.min(record.whole.clone().max(none())) } else { stays };
        let part = stays.min(rest.clone());
        rest = &rest - &part;
        taken.push(part);
    }
    let mut beyond = (&size - &said).max(none());
    if is_usage {
        for (record, taken) in records.iter().zip(&mut taken).rev() {
            let part = (&record.whole - &*taken).max(none()).min(beyond.clone());
            beyond = &beyond - &part;
            *taken = &*taken + &part;
        }
    } else {
        let newest = records.iter().rposition(|record| record.covered);
        if let Some(taken) = newest.or(records.len().checked_sub(1)).map(|at| &mut taken[at]) {
            *taken = &*taken + &beyond;
        }
    }
    taken.iter().map(|taken| if is_usage { -taken } else { taken.clone() }).collect()
}

/// Moves as much of `rest` to `share` as brings `held` to nothing, and no further.
fn take(rest: &mut Quantity, share: &mut Quantity, held: &Quantity) {
    if rest.is_zero() || held.is_zero() || rest.is_negative() == held.is_negative() {
        return;
    }
    let part = (-held).nearer_to_zero(rest.clone());
    *share = &*share + &part;
    *rest = &*rest - &part;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    fn check(amount: &str, records: &[(&str, &str, bool)], shares: &[&str]) {
        let records: Vec<Written> = records
            .iter()
            .map(|(meant, whole, covered)| Written {
                meant: quantity(meant),
                whole: quantity(whole),
                covered: *covered,
                ..Written::default()
            })
            .collect();
        let found: Vec<String> =
            share(&quantity(amount), &records).iter().map(Quantity::to_string).collect();
        assert_eq!(found, shares, "{amount} over {records:?}");
    }

    #[test]
    fn an_event_is_written_off_over_the_records_it_covers() {
        check("-12", &[("5", "5", true), ("7", "7", true)], &["-5", "-7"]);
        // One that was told otherwise takes nothing.
        check("-7", &[("0", "5", false), ("7", "7", true)], &["0", "-7"]);
        // One of several events that cover the same records.
        check("-6", &[("5", "5", true), ("7", "7", true)], &["-5", "-1"]);
        check("-6", &[("5", "0", true), ("7", "6", true)], &["0", "-6"]);
    }

    #[test]
    fn what_the_meant_lines_do_not_hold_comes_from_the_newest_of_the_others() {
        check("-9", &[("0", "5", false), ("0", "6", false), ("7", "7", true)], &["0", "-2", "-7"]);
        check("-9", &[("0", "1", false), ("7", "7", true)], &["-1", "-8"]);
    }

    #[test]
    fn what_was_taken_back_and_is_not_told_comes_back_where_it_was_taken() {
        check("5", &[("-5", "0", true), ("3", "3", true)], &["5", "0"]);
        check("7", &[("-5", "0", true), ("0", "3", false)], &["7", "0"]);
    }

    /// Records, each by what it came to before the event, what the event covers of it, what it came
    /// to since, and what was written off of it.
    fn told(amount: &str, outstanding: &str, records: &[[&str; 4]], shares: &[&str]) {
        let records: Vec<Written> = records
            .iter()
            .map(|[before, meant, since, off]| {
                let [before, meant] = [quantity(before), quantity(meant)];
                let usage = &(&before + &meant) + &quantity(since);
                let whole = &usage - &quantity(off);
                let covered = !meant.is_zero();
                Written { before, meant, usage, whole, covered }
            })
            .collect();
        let found: Vec<String> = share_told(&quantity(amount), &quantity(outstanding), &records)
            .iter()
            .map(Quantity::to_string)
            .collect();
        assert_eq!(found, shares, "{amount}, {outstanding} outstanding, over {records:?}");
    }

    #[test]
    fn an_event_whose_usage_stays_is_written_off_over_its_records() {
        told("-12", "0", &[["0", "5", "0", "0"], ["0", "7", "0", "0"]], &["-5", "-7"]);
        told("-7", "0", &[["5", "0", "0", "0"], ["0", "7", "0", "0"]], &["0", "-7"]);
        // One of two events that tell the same records.
        told("-6", "0", &[["0", "5", "0", "0"], ["0", "7", "0", "0"]], &["-5", "-1"]);
        told("-6", "0", &[["0", "5", "0", "5"], ["0", "7", "0", "1"]], &["0", "-6"]);
        // Finer usage of before that went with it comes from the newest of the others.
        told("-1", "0", &[["5.4", "0", "0", "0"], ["0", "0.6", "0", "0"]], &["-0.4", "-0.6"]);
        // What was taken back, and is not told, stands again.
        told("5", "0", &[["5", "-5", "0", "0"], ["3", "0", "0", "0"]], &["5", "0"]);
    }

    #[test]
    fn usage_that_has_left_since_is_not_written_off_with_its_event() {
        told("-5", "-5", &[["0", "5", "-5", "0"]], &["0"]);
        // Other usage that came meanwhile does not go in its place.
        told("-5", "0", &[["0", "5", "-5", "0"], ["0", "0", "5", "0"]], &["0", "0"]);
        told("-5", "-3", &[["0", "5", "-3", "0"]], &["-2"]);
        // What of it another event told before stays told.
        told("-5", "-5", &[["3", "5", "-5", "0"]], &["0"]);
        told("-5", "-3", &[["3", "5", "-3", "0"]], &["-2"]);
        // What left is another event's.
        told("-5", "-7", &[["0", "5", "0", "0"], ["7", "0", "-7", "0"]], &["-5", "0"]);
        // One of two events that tell the same records: the other one still tells the rest.
        told("-6", "-5", &[["0", "5", "-5", "0"], ["0", "7", "0", "0"]], &["0", "-1"]);
        told("-6", "0", &[["0", "5", "-5", "0"], ["0", "7", "0", "1"]], &["0", "-6"]);
        // What was taken back, and is to be there again.
        told("5", "5", &[["5", "-5", "5", "0"]], &["0"]);
        told("5", "2", &[["5", "-5", "2", "0"]], &["3"]);
    }

    #[test]
    fn nothing_is_shared_out_where_there_is_nothing_or_nobody() {
        check("0", &[("5", "5", true)], &["0"]);
        check("-5", &[], &[]);
    }

    proptest! {
        #[test]
        fn no_record_is_written_off_below_nothing_and_no_event_for_more_than_it_said(
            quantity in 0_i64..30,
            outstanding in -30_i64..30,
            records in proptest::collection::vec((0_i64..9, 0_i64..9, -9_i64..9, 0_i64..9), 1..6),
        ) {
            let records: Vec<Written> = records
                .into_iter()
                .map(|(before, meant, since, off)| {
                    let usage = (before + meant + since).max(0);
                    Written {
                        before: before.into(),
                        meant: meant.into(),
                        usage: usage.into(),
                        whole: (usage - off).max(0).into(),
                        covered: meant > 0,
                    }
                })
                .collect();
            let shares = share_told(&(-quantity).into(), &outstanding.into(), &records);
            for (record, share) in records.iter().zip(&shares) {
                prop_assert!(!(&record.whole + share).is_negative());
            }
            let sum: Quantity = shares.iter().sum();
            prop_assert!(sum <= Quantity::zero() && sum >= Quantity::from(-quantity));
        }

        #[test]
        fn the_shares_always_add_up(
            amount in -50_i64..50,
            records in proptest::collection::vec((-9_i64..9, -9_i64..9, any::<bool>()), 1..6),
        ) {
            let records: Vec<Written> = records
                .into_iter()
                .map(|(meant, whole, covered)| Written {
                    meant: meant.into(),
                    whole: whole.into(),
                    covered,
                    ..Written::default()
                })
                .collect();
            let sum: Quantity = share(&amount.into(), &records).iter().sum();
            prop_assert_eq!(sum, Quantity::from(amount));
        }
    }
}
