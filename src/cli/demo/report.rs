//! The three books side by side. Here: the comparison of source, ledger and provider, and its text.
//! Never here: how the books came about. Read next: [`super`].

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::usage::{METERS, Sums};
use crate::cli::held::hold_ended_by;
use crate::domain::quantity::Quantity;
use crate::domain::state::HoldReason;
use crate::ledger::operator::{BookFilter, HeldItem, OperatorLedger};
use crate::store::sqlite::SqliteLedger;

/// Most customers listed with a difference, and most held items listed for a reason.
const DIFFERENCES_MAX: usize = 50;
/// Held items that are looked at: more than the usage has sums.
const HELD_MAX: u32 = 100_000;

/// What the comparison is made with, beside the ledger.
pub(super) struct Told {
    /// The usage as it was read, with what was corrected since.
    pub(super) source: Sums,
    /// What the stand-in holds or bills.
    pub(super) provider: Sums,
    /// The meter behind the name that the provider counts it by.
    pub(super) meter_of: fn(&str) -> String,
    /// What else the stand-in saw, in words.
    pub(super) seen: String,
}

/// What was found.
pub(super) struct Comparison {
    source: Sums,
    ledger: Sums,
    provider: Sums,
    /// What is held: by meter and customer, and one by one.
    held: Sums,
    /// The part of it that the provider may have all the same.
    perhaps: Sums,
    items: Vec<HeldItem>,
    findings: Vec<String>,
    checked: Vec<(&'static str, i64)>,
    seen: String,
}

impl Comparison {
    /// Reads the ledger, and verifies it.
    pub(super) async fn make(ledger: &Path, told: Told) -> anyhow::Result<Self> {
        let ledger = SqliteLedger::open_to_read(ledger).await?;
        let lines = ledger.books(&BookFilter::default()).await?;
        let mut items = ledger.held(HELD_MAX).await?;
        let verification = ledger.verify().await?;
        ledger.close().await;
        let Told { source, provider, meter_of, seen } = told;
        let accrued =
            lines.into_iter().map(|line| ((meter_of(&line.meter), line.account), line.accrued));
        let (mut held, mut perhaps) = (Sums::new(), Sums::new());
        for item in &mut items {
            item.meter = meter_of(&item.meter);
            let place = (item.meter.clone(), item.account.clone());
            if HoldReason::parse(&item.reason).is_some_and(HoldReason::waits_for_proof) {
                add(&mut perhaps, &place, &item.quantity);
            }
            add(&mut held, &place, &item.quantity);
        }
        Ok(Self {
            source,
            ledger: accrued.collect(),
            provider,
            held,
            perhaps,
            items,
            findings: verification.findings,
            checked: verification.checked,
            seen,
        })
    }

    /// Whether source and ledger agree for every meter and customer, the provider lacks exactly
    /// what is held, or less where it may have some of that, and the ledger's promises hold.
    pub(super) fn is_explained(&self) -> bool {
        self.findings.is_empty() && self.differences().is_empty()
    }

    /// Whether nothing is held either.
    pub(super) fn is_equal(&self) -> bool {
        self.is_explained() && self.items.is_empty()
    }

    /// The meters and customers for which the books differ by more than what is held.
    fn differences(&self) -> Vec<&(String, String)> {
        let books = [&self.source, &self.ledger, &self.provider, &self.held];
        let places: BTreeSet<&(String, String)> =
            books.iter().flat_map(|sums| sums.keys()).collect();
        let differs = |place: &&(String, String)| {
            let (ledger, provider) = (of(&self.ledger, place), of(&self.provider, place));
            let without = &ledger - &of(&self.held, place);
            let with = &without + &of(&self.perhaps, place);
            let (low, high) = if with < without { (with, without) } else { (without, with) };
            of(&self.source, place) != ledger || provider < low || high < provider
        };
        places.into_iter().filter(differs).collect()
    }

    /// The totals of each meter; a column for what is held only where anything is.
    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<10} {:>16} {:>16} {:>16}", "meter", "source", "ledger", "provider")?;
        let has_held = !self.items.is_empty();
        writeln!(f, "{}", if has_held { format!(" {:>16}", "held") } else { String::new() })?;
        for meter in METERS {
            let (source, ledger) = (total(&self.source, meter), total(&self.ledger, meter));
            let provider = total(&self.provider, meter);
            write!(f, "{meter:<10} {source:>16} {ledger:>16} {provider:>16}")?;
            if has_held {
                write!(f, " {:>16}", total(&self.held, meter))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// What is held, by its reason, and what ends that.
    fn write_held(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: BTreeSet<&str> = self.items.iter().map(|item| item.reason.as_str()).collect();
        for reason in reasons {
            let its = || self.items.iter().filter(|item| item.reason == reason);
            writeln!(f, "held as {reason}, ended by: {}", hold_ended_by(reason).unwrap_or("-"))?;
            for item in its().take(DIFFERENCES_MAX) {
                let HeldItem { name, account, meter, quantity, detail, .. } = item;
                writeln!(f, "  {name} {account} {meter} {quantity}: {detail}")?;
            }
            if let Some(more @ 1..) = its().count().checked_sub(DIFFERENCES_MAX) {
                writeln!(f, "  and {more} more")?;
            }
        }
        Ok(())
    }
}

fn add(sums: &mut Sums, place: &(String, String), quantity: &Quantity) {
    let sum = sums.entry(place.clone()).or_insert_with(Quantity::zero);
    *sum = &*sum + quantity;
}

/// The sum at a place, which may be nothing.
fn of(sums: &Sums, place: &(String, String)) -> Quantity {
    sums.get(place).cloned().unwrap_or_else(Quantity::zero)
}

fn total(sums: &Sums, meter: &str) -> Quantity {
    sums.iter().filter(|((name, _), _)| name == meter).map(|(_, sum)| sum).sum()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_totals(f)?;
        writeln!(f, "\n{}", self.seen)?;
        let checked: Vec<String> =
            self.checked.iter().map(|(what, count)| format!("{count} {what}")).collect();
        writeln!(f, "ledger verified: {}", checked.join(", "))?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        self.write_held(f)?;
        let differences = self.differences();
        for place in differences.iter().take(DIFFERENCES_MAX) {
            let (meter, customer) = place;
            let (source, ledger) = (of(&self.source, place), of(&self.ledger, place));
            let provider = of(&self.provider, place);
            write!(
                f,
                "  {customer} {meter}: source {source}, ledger {ledger}, provider {provider}"
            )?;
            match self.held.get(*place) {
                Some(held) => writeln!(f, ", held {held}")?,
                None => writeln!(f)?,
            }
        }
        let (places, held) = (self.source.len(), self.held.len());
        if self.is_equal() {
            write!(f, "the books are equal for all {places} customers and meters")
        } else if self.is_explained() {
            let equal = places.saturating_sub(held);
            write!(
                f,
                "the books are equal for {equal} of {places} customers and meters; for the other \
                 {held} they differ by {}",
                if self.perhaps.is_empty() {
                    "what is held"
                } else {
                    "no more than what is held, which may be there"
                }
            )
        } else {
            write!(f, "the books DIFFER for {} customers and meters", differences.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resolution::Token;
    use crate::domain::time::Timestamp;

    fn sums(requests: i64) -> Sums {
        Sums::from([(("requests".to_owned(), "cus_1".to_owned()), Quantity::from(requests))])
    }

    /// The books of a customer of whose usage some is held, some is billed.
    fn compared(source: i64, ledger: i64, provider: i64, held: Option<i64>) -> Comparison {
        let item = |quantity: i64| HeldItem {
            name: "balance:7".to_owned(),
            provider: "chargebee.demo".to_owned(),
            account: "cus_1".to_owned(),
            meter: "requests".to_owned(),
            quantity: Quantity::from(quantity),
            reason: "no_period".to_owned(),
            detail: "its subscription ended".to_owned(),
            since: Timestamp::default(),
            token: Token::typed("0"),
        };
        Comparison {
            source: sums(source),
            ledger: sums(ledger),
            provider: sums(provider),
            held: held.map_or_else(Sums::new, sums),
            perhaps: Sums::new(),
            items: held.map(item).into_iter().collect(),
            findings: Vec::new(),
            checked: Vec::new(),
            seen: String::new(),
        }
    }

    fn last_line(comparison: &Comparison) -> String {
        comparison.to_string().lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_held_explains_a_difference_and_leaves_the_books_unequal() {
        let comparison = compared(9, 9, 5, Some(4));
        assert_eq!((comparison.is_explained(), comparison.is_equal()), (true, false));
        let said = comparison.to_string();
        assert!(said.contains("held as no_period, ended by: a subscription that"), "{said}");
        assert!(said.contains("balance:7 cus_1 requests 4: its subscription ended"), "{said}");
        assert!(last_line(&comparison).ends_with("for the other 1 they differ by what is held"));
        let equal = compared(9, 9, 9, None);
        assert_eq!((equal.is_explained(), equal.is_equal()), (true, true));
        assert!(!equal.to_string().contains("held"), "{equal}");
    }

    #[test]
    fn what_is_held_and_may_be_there_explains_any_part_of_it_and_no_more() {
        for (provider, explained) in [(4, false), (5, true), (7, true), (9, true), (10, false)] {
            let comparison = Comparison { perhaps: sums(4), ..compared(9, 9, provider, Some(4)) };
            assert_eq!(comparison.is_explained(), explained, "{provider}: {comparison}");
            let says_so = last_line(&comparison).ends_with("which may be there");
            assert_eq!(says_so, explained, "{comparison}");
        }
    }

    #[test]
    fn books_that_differ_by_anything_else_are_not_explained() {
        let unexplained = [
            compared(9, 9, 5, None),
            compared(9, 9, 5, Some(3)),
            compared(9, 9, 9, Some(4)),
            compared(10, 9, 9, None),
            compared(10, 9, 9, Some(1)),
        ];
        for comparison in unexplained {
            assert!(!comparison.is_explained() && !comparison.is_equal(), "{comparison}");
            let expected = "the books DIFFER for 1 customers and meters";
            assert_eq!(last_line(&comparison), expected);
        }
        let broken =
            Comparison { findings: vec!["a promise".to_owned()], ..compared(9, 9, 9, None) };
        assert!(!broken.is_explained());
    }
}
