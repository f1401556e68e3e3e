//! A record of the load. Here: what a number is a record of, and how that is written. Never here:
//! what has become of it. Read next: [`super::memory`].
//!
//! Nothing here is tallyd's own: a record is made, written and added up by nothing that the daemon
//! uses. Quantities are whole thousandths.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde_json::json;

/// One in thousandths.
pub(crate) const WHOLE: i64 = 1_000;
/// Most records of a run: so many have a second of their own each within the four weeks that
/// subscriptions are old.
pub(crate) const RECORDS_MAX: usize = 2_300_000;
/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Meter {
    /// Told record by record; the second names the record, and until it is corrected the quantity
    /// as well.
    Traced,
    /// Told record by record to a meter that counts; the second names the record.
    Counted,
    /// Told in sums by the hour.
    Calls,
    /// Told in sums by the day.
    Tokens,
    /// Told in sums by the minute.
    Bursts,
}

impl Meter {
    pub(crate) const ALL: [Self; 5] =
        [Self::Traced, Self::Counted, Self::Calls, Self::Tokens, Self::Bursts];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Traced => "traced",
            Self::Counted => "counted",
            Self::Calls => "calls",
            Self::Tokens => "tokens",
            Self::Bursts => "bursts",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.name() == name)
    }

    /// How the provider adds its events up.
    pub(crate) const fn formula(self) -> &'static str {
        match self {
            Self::Counted => "count",
            Self::Traced | Self::Calls | Self::Tokens | Self::Bursts => "sum",
        }
    }

    /// Whether each of its records is an event of its own.
    pub(crate) const fn is_told_one_by_one(self) -> bool {
        match self {
            Self::Traced | Self::Counted => true,
            Self::Calls | Self::Tokens | Self::Bursts => false,
        }
    }
}

/// Who used what: where sums are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) meter: Meter,
    pub(crate) customer: u64,
}

impl Place {
    /// The customer's name, which is its account as well.
    pub(crate) fn customer_name(self) -> String {
        format!("cus_{}", self.customer)
    }

    /// The place of a meter and a customer by their names.
    pub(crate) fn named(meter: &str, customer: &str) -> Option<Self> {
        let customer = customer.strip_prefix("cus_")?.parse().ok()?;
        Some(Self { meter: Meter::named(meter)?, customer })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of cus_{}", self.meter.name(), self.customer)
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) place: Place,
    /// When, in Unix seconds.
    pub(crate) second: i64,
    /// The quantity that is sent, in thousandths.
    pub(crate) sent: i64,
    /// What the provider should hold for it in the end, in thousandths, as far as is acknowledged.
    pub(crate) expected: i64,
    /// Whether a correction changed it.
    pub(crate) corrected: bool,
    /// Whether it is too old for the provider to take, or for any subscription to bill.
    pub(crate) too_old: bool,
}

impl Record {
    /// A correction was acknowledged: it counts with this many thousandths, or not at all.
    pub(crate) const fn correct(&mut self, counts: Option<i64>) {
        self.corrected = true;
        self.expected = match (self.place.meter, counts) {
            (_, None) => 0,
            (Meter::Counted, Some(_)) => WHOLE,
            (Meter::Traced | Meter::Calls | Meter::Tokens | Meter::Bursts, Some(to)) => to,
        };
    }

    /// As JSON on one line.
    pub(crate) fn json(&self) -> String {
        json!({
            "id": self.id(),
            "customer": self.place.customer_name(),
            "meter": self.place.meter.name(),
            "quantity": decimal(i128::from(self.sent)),
            "time": self.time(),
        })
        .to_string()
    }

    /// What the first line of a table says.
    pub(crate) fn row_head(meters: &[Meter]) -> String {
        let names: Vec<&str> = meters.iter().map(|meter| meter.name()).collect();
        format!("id,time,customer,{}", names.join(","))
    }

    /// As a row of a table with a column for each of these meters, of which one is filled.
    pub(crate) fn row(&self, meters: &[Meter]) -> String {
        let cell = |meter: &Meter| match *meter == self.place.meter {
            true => decimal(i128::from(self.sent)),
            false => String::new(),
        };
        let cells: Vec<String> = meters.iter().map(cell).collect();
        format!("{},{},{},{}", self.id(), self.time(), self.place.customer_name(), cells.join(","))
    }

    fn id(&self) -> String {
        format!("r{}", self.number)
    }

    fn time(&self) -> String {
        let at = DateTime::from_timestamp(self.second, 0).unwrap_or_default();
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// A number that is far below the largest.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Thousandths as plain decimal text.
pub(crate) fn decimal(thousandths: i128) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (thousandths.unsigned_abs() / 1_000, thousandths.unsigned_abs() % 1_000);
    let text = format!("{sign}{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Plain decimal text as thousandths; nothing when it is finer, or no number.
pub(crate) fn thousandths(text: &str) -> Option<i128> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let (rest, finer) = rest.split_at_checked(3).unwrap_or((rest, ""));
    if !finer.trim_end_matches('0').is_empty() || rest.starts_with(['+', '-']) {
        return None;
    }
    let padded: i128 = format!("{rest:0<3}").parse().ok()?;
    let negative = whole.starts_with('-');
    let whole: i128 = whole.parse().ok()?;
    Some(whole * 1_000 + if negative { -padded } else { padded })
}
