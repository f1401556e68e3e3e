//! A record of the load. Here: what a number is a record of, and how that is written. Never here:
//! what has become of it. Read next: [`super::memory`].
//!
//! Nothing here is tallyd's own: a record is made, written and added up by nothing that the daemon
//! uses. Quantities are whole thousandths.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde_json::json;

use super::chance::Dice;

/// One in thousandths.
pub(crate) const WHOLE: i64 = 1_000;
/// Most records of a run: so many have a second of their own each within the four weeks that
/// subscriptions are old.
pub(crate) const RECORDS_MAX: usize = 2_300_000;
/// Customers of the meters that are told record by record: as many lanes.
const CUSTOMERS_EACH: u64 = 400;
/// Customers of the meters that are told in sums: few, so that many records meet in a balance.
const CUSTOMERS_SUMMED: u64 = 40;
/// All usage is at least this old, in seconds, so that every hour it falls in has ended.
const AGE_MIN: i64 = 7_200;
/// Hours and days that summed usage falls in.
const HOURS: u64 = 12;
const DAYS: u64 = 3;
/// One record in so many of those that are told one by one is older than the provider takes.
const TOO_OLD_ONE_IN: u64 = 500;
/// How old those are, in seconds: forty days.
const TOO_OLD_AGE: i64 = 40 * DAY;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

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
}

impl Meter {
    pub(crate) const ALL: [Self; 4] = [Self::Traced, Self::Counted, Self::Calls, Self::Tokens];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Traced => "traced",
            Self::Counted => "counted",
            Self::Calls => "calls",
            Self::Tokens => "tokens",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.name() == name)
    }

    /// How the provider adds its events up.
    pub(crate) const fn formula(self) -> &'static str {
        match self {
            Self::Counted => "count",
            Self::Traced | Self::Calls | Self::Tokens => "sum",
        }
    }

    /// The lines of its route.
    pub(crate) const fn route(self) -> &'static str {
        match self {
            Self::Traced => "window = \"record\"",
            Self::Counted => "window = \"record\"\naggregate = \"count\"",
            Self::Calls => "window = \"1h\"\nsettle = \"3s\"",
            Self::Tokens => "window = \"1d\"\nsettle = \"3s\"",
        }
    }

    /// Whether each of its records is an event of its own.
    pub(crate) const fn is_told_one_by_one(self) -> bool {
        match self {
            Self::Traced | Self::Counted => true,
            Self::Calls | Self::Tokens => false,
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
    /// Whether the provider will not take it any more.
    pub(crate) too_old: bool,
}

impl Record {
    /// The record of a number: the same whenever it is drawn again. `base` is the second in which
    /// the run began.
    pub(crate) fn draw(seed: u64, base: i64, number: u64) -> Self {
        let mut dice = Dice::of(seed, number);
        let meter = match dice.below(100) {
            0..6 => Meter::Traced,
            6..10 => Meter::Counted,
            10..70 => Meter::Calls,
            _ => Meter::Tokens,
        };
        let customers = if meter.is_told_one_by_one() { CUSTOMERS_EACH } else { CUSTOMERS_SUMMED };
        let place = Place { meter, customer: dice.below(customers) };
        let too_old = meter == Meter::Traced && dice.once_in(TOO_OLD_ONE_IN);
        let own = signed(number);
        let second = match meter {
            Meter::Traced if too_old => base - TOO_OLD_AGE - own,
            Meter::Traced | Meter::Counted => base - AGE_MIN - own,
            Meter::Calls => base - AGE_MIN - signed(dice.below(HOURS * HOUR.unsigned_abs())),
            Meter::Tokens => {
                let today = base - base.rem_euclid(DAY);
                today - 1 - signed(dice.below(DAYS * DAY.unsigned_abs()))
            }
        };
        let sent = match meter {
            Meter::Traced => (own + 1) * WHOLE,
            Meter::Counted => signed(dice.between(1, 6)) * WHOLE,
            Meter::Calls => signed(dice.below(5_000)),
            Meter::Tokens => signed(dice.below(2_000_000_000)),
        };
        let expected = match meter {
            Meter::Counted => WHOLE,
            Meter::Traced | Meter::Calls | Meter::Tokens => sent,
        };
        Self { number, place, second, sent, expected, corrected: false, too_old }
    }

    /// A correction was acknowledged: it counts with this many thousandths, or not at all.
    pub(crate) const fn correct(&mut self, counts: Option<i64>) {
        self.corrected = true;
        self.expected = match (self.place.meter, counts) {
            (_, None) => 0,
            (Meter::Counted, Some(_)) => WHOLE,
            (Meter::Traced | Meter::Calls | Meter::Tokens, Some(quantity)) => quantity,
        };
    }

    /// The number of the record that an event of a meter told record by record is of, by the
    /// event's second.
    pub(crate) fn named_by(place: Place, second: i64, base: i64) -> Option<u64> {
        match place.meter {
            Meter::Traced | Meter::Counted => u64::try_from(base - AGE_MIN - second).ok(),
            Meter::Calls | Meter::Tokens => None,
        }
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
    pub(crate) fn row_head() -> String {
        let meters = Meter::ALL.map(Meter::name);
        format!("id,time,customer,{}", meters.join(","))
    }

    /// As a row of a table with a column for each meter, of which one is filled.
    pub(crate) fn row(&self) -> String {
        let cells = Meter::ALL.map(|meter| match meter == self.place.meter {
            true => decimal(i128::from(self.sent)),
            false => String::new(),
        });
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
fn signed(number: u64) -> i64 {
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
