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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it adds within the lines that are meant: those an event covers, or those that were
    /// never told.
    pub meant: Quantity,
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

    #[test]
    fn nothing_is_shared_out_where_there_is_nothing_or_nobody() {
        check("0", &[("5", "5", true)], &["0"]);
        check("-5", &[], &[]);
    }

    proptest! {
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
                })
                .collect();
            let sum: Quantity = share(&amount.into(), &records).iter().sum();
            prop_assert_eq!(sum, Quantity::from(amount));
        }
    }
}
