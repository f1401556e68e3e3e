//! Totals as Chargebee's list of usages tells them. PURE. Here: what is asked for a span, and what
//! the usages of its answer add up to. Never here: whether that agrees with the ledger
//! (`crate::reconcile`). Read next: [`super::client`].
//!
//! There is no total to be asked for: the usages themselves are listed, and added up exactly.

use super::classify::{Found, One};
use super::objects;
use super::promises::READ_BACK;
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::quantity::Quantity;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp, Window};
use crate::provider::{Grouping, Total};

/// Most pages that are read for one span: 20,000 usages, four times what a subscription takes in
/// its life unless its site was given more. A list without an end is a fault.
pub const PAGES_MAX: usize = 200;
/// Most parts that a span is read in: more than the hours of a year, which is the longest term of
/// nearly every subscription. Each usage looks for its part among them.
pub const PARTS_MAX: i64 = 10_000;

/// The parts that a total of `span` is told in, as `grouping` has it, with nothing in them yet.
///
/// # Errors
/// A sentence, when `span` does not lie on the boundaries of its grouping, or has too many parts.
pub fn parts_of(span: Window, grouping: Grouping) -> Result<Vec<Total>, String> {
    let (grain, boundary) = match grouping {
        Grouping::Whole => (READ_BACK.grain_micros, "second"),
        Grouping::Day => (MICROS_PER_DAY, "midnight"),
        Grouping::Hour => (MICROS_PER_HOUR, "hour"),
    };
    let aligned = |at: Timestamp| at.floor_to(grain) == at;
    if span.start >= span.end || !aligned(span.start) || !aligned(span.end) {
        return Err(format!("the span {span} does not begin and end on a UTC {boundary}"));
    }
    let length = match grouping {
        Grouping::Whole => span.end.micros_since(span.start),
        Grouping::Day | Grouping::Hour => grain,
    };
    let count = span.end.micros_since(span.start) / length;
    if count > PARTS_MAX {
        return Err(format!("the span {span} has {count} parts, more than {PARTS_MAX}"));
    }
    let part = |number: i64| {
        let start = span.start.plus_micros(number * length);
        Total { span: Window { start, end: start.plus_micros(length) }, quantity: Quantity::zero() }
    };
    Ok((0..count).map(part).collect())
}

/// A list of usages while it is read, page by page.
#[derive(Debug)]
pub struct Listing<'a> {
    meter: &'a ProviderMeter,
    account: &'a AccountName,
    span: Window,
    parts: Vec<Total>,
    next: Option<String>,
}

impl<'a> Listing<'a> {
    /// Begins to read the usages of a subscription and an item price in `span`, to be added up as
    /// `grouping` has it.
    ///
    /// # Errors
    /// A sentence, when `span` does not lie on the boundaries of its grouping, or has too many
    /// parts.
    pub fn of(
        meter: &'a ProviderMeter,
        account: &'a AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Self, String> {
        let parts = parts_of(span, grouping)?;
        Ok(Self { meter, account, span, parts, next: None })
    }

    /// The path and query of the next page.
    #[must_use]
    pub fn path(&self) -> String {
        // Both ends are inside, in whole seconds.
        let (first, last) = (self.span.start.seconds(), self.span.end.seconds() - 1);
        let between = format!("[{first},{last}]");
        let filters = [
            ("subscription_id[is]", self.account.as_str()),
            ("item_price_id[is]", self.meter.as_str()),
            ("usage_date[between]", between.as_str()),
        ];
        objects::list_path("/usages", &filters, self.next.as_deref())
    }

    /// Takes a page in; whether there is a further one.
    ///
    /// # Errors
    /// A sentence, when it is none, or not of what was asked for.
    pub fn take(&mut self, body: &[u8]) -> Result<bool, String> {
        let page = objects::list(body, self.next.as_deref())?;
        for row in page.rows {
            let one: One = serde_json::from_str(row.get())
                .map_err(|_| "a row of the list of usages is none".to_owned())?;
            self.add(&one.usage)?;
        }
        self.next = page.next;
        Ok(self.next.is_some())
    }

    fn add(&mut self, usage: &Found) -> Result<(), String> {
        let at = Timestamp::from_seconds(usage.usage_date);
        let asked = usage.subscription_id == self.account.as_str()
            && usage.item_price_id == self.meter.as_str();
        let part = self.parts.iter_mut().find(|part| part.span.contains(at));
        let (Some(part), true) = (part, asked) else {
            return Err("the list holds a usage that was not asked for".to_owned());
        };
        let quantity = Quantity::parse_unbounded(&usage.quantity)
            .map_err(|why| format!("the quantity of the usage {} {why}", usage.id))?;
        part.quantity = &part.quantity + &quantity;
        Ok(())
    }

    /// What was added up.
    #[must_use]
    pub fn totals(self) -> Vec<Total> {
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Timestamp = Timestamp::from_seconds(20_717 * 86_400);

    fn row(second: i64, quantity: &str) -> String {
        let at = DAY.seconds() + second;
        format!(
            r#"{{"usage":{{"id":"u{second}","subscription_id":"sub_1","item_price_id":"calls-EUR",
            "quantity":"{quantity}","usage_date":{at}}}}}"#
        )
    }

    fn page(rows: &[String], next: Option<&str>) -> String {
        let next = next.map(|next| format!(r#","next_offset":"{next}""#)).unwrap_or_default();
        format!(r#"{{"list":[{}]{next}}}"#, rows.join(","))
    }

    fn names() -> (ProviderMeter, AccountName) {
        (ProviderMeter::new("calls-EUR").unwrap(), AccountName::new("sub_1").unwrap())
    }

    #[test]
    fn usages_of_all_pages_add_up_to_the_last_digit_by_the_parts_that_were_asked_for() {
        let (meter, account) = names();
        let span = Window { start: DAY, end: DAY.plus_micros(2 * MICROS_PER_DAY) };
        let mut listing = Listing::of(&meter, &account, span, Grouping::Day).unwrap();
        let first = listing.path();
        assert!(first.contains("limit=100") && !first.contains("offset"), "{first}");
        let rows = [row(0, "0.1"), row(86_399, "0.2")];
        assert_eq!(listing.take(page(&rows, Some("a b")).as_bytes()), Ok(true));
        assert!(listing.path().ends_with("&offset=a+b"), "{}", listing.path());
        let last = [row(86_400, "12345678901234567890.01")];
        assert_eq!(listing.take(page(&last, None).as_bytes()), Ok(false));
        let said: Vec<String> =
            listing.totals().iter().map(|part| part.quantity.to_string()).collect();
        assert_eq!(said, ["0.3", "12345678901234567890.01"]);
    }

    #[test]
    fn what_was_not_asked_for_or_makes_no_sense_is_no_total() {
        let (meter, account) = names();
        let span = Window { start: DAY, end: DAY.plus_micros(MICROS_PER_DAY) };
        let take = |body: &str| {
            let mut listing = Listing::of(&meter, &account, span, Grouping::Whole).unwrap();
            listing.take(body.as_bytes())
        };
        assert!(take(&page(&[row(86_400, "1")], None)).is_err(), "after the span");
        assert!(take(&page(&[row(-1, "1")], None)).is_err(), "before it");
        assert!(take(&page(&[row(0, "1").replace("sub_1", "sub_2")], None)).is_err());
        assert!(take(&page(&[row(0, "one")], None)).is_err());
        assert!(take("<html>").is_err());
        let mut listing = Listing::of(&meter, &account, span, Grouping::Whole).unwrap();
        assert_eq!(listing.take(page(&[], Some("x")).as_bytes()), Ok(true));
        assert!(listing.take(page(&[], Some("x")).as_bytes()).is_err(), "in circles");
    }
}
