//! The three books side by side. Here: the comparison of source, ledger and provider, and its text.
//! Never here: how the books came about. Read next: [`super`].

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::usage::{METERS, Sums};
use crate::domain::quantity::Quantity;
use crate::ledger::operator::{BookFilter, OperatorLedger};
use crate::store::sqlite::SqliteLedger;

/// Most customers listed with a difference.
const DIFFERENCES_MAX: usize = 50;

/// What was found.
pub(super) struct Comparison {
    source: Sums,
    ledger: Sums,
    provider: Sums,
    findings: Vec<String>,
    checked: Vec<(&'static str, i64)>,
    /// What else the stand-in saw, in words.
    seen: String,
}

impl Comparison {
    /// Reads the ledger, and verifies it.
    pub(super) async fn make(
        ledger: &Path,
        source: Sums,
        provider: Sums,
        seen: String,
    ) -> anyhow::Result<Self> {
        let ledger = SqliteLedger::open_to_read(ledger).await?;
        let lines = ledger.books(&BookFilter::default()).await?;
        let verification = ledger.verify().await?;
        ledger.close().await;
        let accepted = lines.into_iter().map(|line| ((line.meter, line.account), line.accrued));
        Ok(Self {
            source,
            ledger: accepted.collect(),
            provider,
            findings: verification.findings,
            checked: verification.checked,
            seen,
        })
    }

    /// Whether all three agree for every meter and customer, and the ledger's promises hold.
    pub(super) fn is_equal(&self) -> bool {
        self.findings.is_empty() && self.differences().is_empty()
    }

    /// The meters and customers for which they do not agree.
    fn differences(&self) -> Vec<&(String, String)> {
        let places: BTreeSet<&(String, String)> = [&self.source, &self.ledger, &self.provider]
            .iter()
            .flat_map(|sums| sums.keys())
            .collect();
        let zero = Quantity::zero();
        let of =
            |sums: &'_ Sums, place: &(String, String)| sums.get(place).unwrap_or(&zero).clone();
        places
            .into_iter()
            .filter(|place| {
                let source = of(&self.source, place);
                source != of(&self.ledger, place) || source != of(&self.provider, place)
            })
            .collect()
    }
}

fn total(sums: &Sums, meter: &str) -> Quantity {
    sums.iter().filter(|((name, _), _)| name == meter).map(|(_, sum)| sum).sum()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<10} {:>16} {:>16} {:>16}", "meter", "source", "ledger", "provider")?;
        for meter in METERS {
            let (source, ledger) = (total(&self.source, meter), total(&self.ledger, meter));
            let provider = total(&self.provider, meter);
            writeln!(f, "{meter:<10} {source:>16} {ledger:>16} {provider:>16}")?;
        }
        writeln!(f, "\n{}", self.seen)?;
        let checked: Vec<String> =
            self.checked.iter().map(|(what, count)| format!("{count} {what}")).collect();
        writeln!(f, "ledger verified: {}", checked.join(", "))?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        let differences = self.differences();
        let nothing = Quantity::zero();
        for place in differences.iter().take(DIFFERENCES_MAX) {
            let of = |sums: &Sums| sums.get(*place).unwrap_or(&nothing).to_string();
            let (meter, customer) = place;
            let (source, ledger, provider) =
                (of(&self.source), of(&self.ledger), of(&self.provider));
            writeln!(
                f,
                "  {customer} {meter}: source {source}, ledger {ledger}, provider {provider}"
            )?;
        }
        if self.is_equal() {
            write!(f, "the books are equal for all {} customers and meters", self.source.len())
        } else {
            write!(f, "the books DIFFER for {} customers and meters", differences.len())
        }
    }
}
