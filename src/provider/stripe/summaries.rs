//! Totals as Stripe tells them. PURE. Here: what is asked for a span, and what the rows of its
//! answer add up to. Never here: whether that agrees with the ledger (`crate::reconcile`). Read
//! next: [`super::client`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::names::AccountName;
use crate::domain::quantity::{Quantity, TEXT_BYTES_MAX};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use crate::provider::{Grouping, Total};

/// Rows asked for in one page: the most that Stripe gives.
pub const ROWS_PER_PAGE: usize = 100;
/// Most pages of rows that are read for one span: 2,000 hours, more than twice the 36 days that a
/// meter's unproven usage can lie apart. A list without an end is a fault.
pub const PAGES_MAX: usize = 20;

/// Why totals cannot be asked for, or not be read; a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTotals {
    /// The span does not begin and end where its grouping wants it to, or is too long.
    #[error("{0}")]
    Span(String),
    /// The answer makes no sense.
    #[error("the summaries cannot be read: {0}")]
    Unreadable(String),
    /// The answer is of the other mode than the key.
    #[error("the key is for another mode than the summaries that it reads")]
    OtherMode,
}

/// One row of a page.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    object: String,
    /// As it was written: a float here would be a float near a quantity.
    aggregated_value: Box<RawValue>,
    start_time: i64,
    end_time: i64,
    livemode: bool,
    meter: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    object: String,
    data: Vec<Row>,
    has_more: bool,
}

/// A list of rows while it is read, page by page.
#[derive(Debug)]
pub struct Rows<'a> {
    meter_id: &'a str,
    account: &'a AccountName,
    span: Window,
    grouping: Grouping,
    livemode: bool,
    found: BTreeMap<Timestamp, Quantity>,
    last: Option<String>,
}

/// What a page leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There is a further page.
    More,
    /// That was the last.
    All,
}

impl<'a> Rows<'a> {
    /// Begins to read the totals of `account` at the meter `meter_id`.
    ///
    /// # Errors
    /// When `span` does not lie on the boundaries of its grouping, or has too many parts.
    pub fn of(
        meter_id: &'a str,
        account: &'a AccountName,
        span: Window,
        grouping: Grouping,
        livemode: bool,
    ) -> Result<Self, NoTotals> {
        let grain = grain_micros(grouping);
        let aligned = |at: Timestamp| at.floor_to(grain) == at;
        if span.start >= span.end || !aligned(span.start) || !aligned(span.end) {
            let word = boundary(grouping);
            let why = format!("the span {span} does not begin and end on a UTC {word}");
            return Err(NoTotals::Span(why));
        }
        let parts = match grouping {
            Grouping::Whole => 1,
            Grouping::Day | Grouping::Hour => span.end.micros_since(span.start) / grain,
        };
        let most = ROWS_PER_PAGE * PAGES_MAX;
        if usize::try_from(parts).map_or(true, |parts| parts > most) {
            let why = format!("the span {span} has {parts} parts, more than {most}");
            return Err(NoTotals::Span(why));
        }
        let found = BTreeMap::new();
        Ok(Self { meter_id, account, span, grouping, livemode, found, last: None })
    }

    /// The path and query of the next page, behind `/v1`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("customer", self.account.as_str());
        query.append_pair("start_time", &self.span.start.seconds().to_string());
        query.append_pair("end_time", &self.span.end.seconds().to_string());
        query.append_pair("limit", &ROWS_PER_PAGE.to_string());
        match self.grouping {
            Grouping::Whole => {}
            Grouping::Day => {
                query.append_pair("value_grouping_window", "day");
            }
            Grouping::Hour => {
                query.append_pair("value_grouping_window", "hour");
            }
        }
        if let Some(last) = &self.last {
            query.append_pair("starting_after", last);
        }
        let id: String = form_urlencoded::byte_serialize(self.meter_id.as_bytes()).collect();
        format!("/billing/meters/{id}/event_summaries?{}", query.finish())
    }

    /// Takes a page.
    ///
    /// # Errors
    /// When it is no page of what was asked for.
    pub fn take(&mut self, body: &[u8]) -> Result<Read, NoTotals> {
        let unreadable = |why: &str| NoTotals::Unreadable(why.to_owned());
        let page: Page = serde_json::from_slice(body)
            .map_err(|_| unreadable("the body is no list of summaries"))?;
        if page.object != "list" {
            return Err(unreadable("the body is no list"));
        }
        self.last = page.data.last().map(|row| row.id.clone());
        for row in page.data {
            self.take_row(&row)?;
        }
        match (page.has_more, &self.last) {
            (false, _) => Ok(Read::All),
            (true, Some(_)) => Ok(Read::More),
            (true, None) => Err(unreadable("an empty page says that there is more")),
        }
    }

    fn take_row(&mut self, row: &Row) -> Result<(), NoTotals> {
        let unreadable = |why: String| NoTotals::Unreadable(why);
        if row.object != "billing.meter_event_summary" || row.meter != self.meter_id {
            return Err(unreadable("a row is about something else".to_owned()));
        }
        if row.livemode != self.livemode {
            return Err(NoTotals::OtherMode);
        }
        let start = Timestamp::from_seconds(row.start_time);
        let end = Timestamp::from_seconds(row.end_time);
        let grain = grain_micros(self.grouping);
        // One figure over less than was asked for would pass for the whole.
        let fits = match self.grouping {
            Grouping::Whole => (start, end) == (self.span.start, self.span.end),
            Grouping::Day | Grouping::Hour => {
                self.span.contains(start)
                    && start.floor_to(grain) == start
                    && end == start.plus_micros(grain)
            }
        };
        if !fits {
            return Err(unreadable(format!("a row is for [{start}, {end})")));
        }
        let text = row.aggregated_value.get();
        let quantity = Some(text)
            .filter(|text| text.len() <= TEXT_BYTES_MAX)
            .and_then(|text| Quantity::parse_unbounded(text).ok())
            .ok_or_else(|| unreadable(format!("the total of [{start}, {end}) is no number")))?;
        if self.found.insert(start, quantity).is_some() {
            return Err(unreadable(format!("two rows are for [{start}, {end})")));
        }
        Ok(())
    }

    /// The totals, oldest first; a part without a row is one without usage.
    #[must_use]
    pub fn totals(self) -> Vec<Total> {
        let grain = match self.grouping {
            Grouping::Whole => self.span.end.micros_since(self.span.start),
            Grouping::Day | Grouping::Hour => grain_micros(self.grouping),
        };
        let mut parts = Vec::new();
        let mut start = self.span.start;
        while start < self.span.end {
            let end = start.plus_micros(grain);
            let quantity = self.found.get(&start).cloned().unwrap_or_else(Quantity::zero);
            parts.push(Total { span: Window { start, end }, quantity });
            start = end;
        }
        parts
    }
}

/// What the bounds of a span are multiples of, in microseconds.
const fn grain_micros(grouping: Grouping) -> i64 {
    match grouping {
        Grouping::Whole => MICROS_PER_MINUTE,
        Grouping::Day => MICROS_PER_DAY,
        Grouping::Hour => MICROS_PER_HOUR,
    }
}

const fn boundary(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::Whole => "minute",
        Grouping::Day => "midnight",
        Grouping::Hour => "hour",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: i64 = 3_600;
    /// Midnight of a day.
    const DAY: i64 = 20_717 * 86_400;

    fn window(start: i64, end: i64) -> Window {
        Window { start: Timestamp::from_seconds(start), end: Timestamp::from_seconds(end) }
    }

    fn row(value: &str, start: i64, end: i64) -> String {
        format!(
            r#"{{"id":"mtrusg_{start}","object":"billing.meter_event_summary","livemode":false,
                "aggregated_value":{value},"start_time":{start},"end_time":{end},"meter":"m"}}"#
        )
    }

    fn page(rows: &[String], has_more: bool) -> Vec<u8> {
        let rows = rows.join(",");
        format!(r#"{{"object":"list","url":"/v1","has_more":{has_more},"data":[{rows}]}}"#).into()
    }

    /// What these pages add up to, or why not.
    fn read(span: Window, grouping: Grouping, pages: &[Vec<u8>]) -> Result<Vec<String>, String> {
        let payer = AccountName::new("cus_1").unwrap();
        let mut rows = Rows::of("m", &payer, span, grouping, false).map_err(|e| e.to_string())?;
        for (at, page) in pages.iter().enumerate() {
            let read = rows.take(page).map_err(|error| error.to_string())?;
            assert_eq!(read == Read::All, at + 1 == pages.len());
        }
        Ok(rows.totals().iter().map(|total| total.quantity.to_string()).collect())
    }

    #[test]
    fn a_total_is_the_text_that_stood_there() {
        let minute = window(DAY, DAY + 60);
        for (text, told) in [
            ("5", "5"),
            ("5.0", "5"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("123456789012345680000", "123456789012345680000"),
            ("1.2345678901234567e-7", "0.00000012345678901234567"),
        ] {
            let found = read(minute, Grouping::Whole, &[page(&[row(text, DAY, DAY + 60)], false)]);
            assert_eq!(found, Ok(vec![told.to_owned()]), "{text}");
        }
        for text in ["\"5\"", "null", "1e400", "[]"] {
            let found = read(minute, Grouping::Whole, &[page(&[row(text, DAY, DAY + 60)], false)]);
            assert!(found.unwrap_err().contains("is no number"), "{text}");
        }
    }

    #[test]
    fn parts_come_oldest_first_and_one_without_a_row_is_zero() {
        let day = window(DAY, DAY + 4 * HOUR);
        let hour = |value: &str, at: i64| row(value, DAY + at * HOUR, DAY + (at + 1) * HOUR);
        let pages = [page(&[hour("3", 3)], true), page(&[hour("1.5", 1)], false)];
        let found = read(day, Grouping::Hour, &pages).unwrap();
        assert_eq!(found, ["0", "1.5", "0", "3"]);
        let none = [page(&[], false)];
        assert_eq!(read(day, Grouping::Hour, &none).unwrap(), ["0"; 4]);
        assert_eq!(read(window(DAY, DAY + 60), Grouping::Whole, &none).unwrap(), ["0"]);
        let days = window(DAY, DAY + 2 * 86_400);
        let first = page(&[row("7", DAY, DAY + 86_400)], false);
        assert_eq!(read(days, Grouping::Day, &[first]).unwrap(), ["7", "0"]);
    }

    #[test]
    fn a_span_lies_on_the_boundaries_of_its_grouping() {
        let payer = AccountName::new("cus_1").unwrap();
        let check = |span, grouping, sound: bool| {
            let rows = Rows::of("m", &payer, span, grouping, false);
            assert_eq!(rows.is_ok(), sound, "{span} {grouping:?}");
        };
        check(window(DAY, DAY + 60), Grouping::Whole, true);
        check(window(DAY + 1, DAY + 60), Grouping::Whole, false);
        check(window(DAY, DAY + 59), Grouping::Whole, false);
        check(window(DAY, DAY), Grouping::Whole, false);
        check(window(DAY + 60, DAY), Grouping::Whole, false);
        check(window(DAY + HOUR, DAY + 2 * HOUR), Grouping::Hour, true);
        check(window(DAY + 60, DAY + 2 * HOUR), Grouping::Hour, false);
        check(window(DAY, DAY + HOUR), Grouping::Day, false);
        check(window(DAY, DAY + 36 * 86_400), Grouping::Day, true);
        check(window(DAY, DAY + 36 * 86_400), Grouping::Hour, true);
        check(window(DAY, DAY + 2_001 * HOUR), Grouping::Hour, false);
    }

    #[test]
    fn rows_of_anything_else_are_no_totals() {
        let hours = window(DAY, DAY + 2 * HOUR);
        let sound = row("5", DAY, DAY + HOUR);
        let whole = row("5", DAY, DAY + 2 * HOUR);
        let check = |grouping, rows: &[String], why: &str| {
            let error = read(hours, grouping, &[page(rows, false)]).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        let hour = Grouping::Hour;
        check(hour, &[sound.replace("\"m\"", "\"n\"")], "about something else");
        check(hour, &[sound.replace("event_summary", "event")], "about something else");
        check(hour, &[sound.replace("false", "true")], "another mode");
        check(hour, std::slice::from_ref(&whole), "a row is for");
        check(hour, &[row("5", DAY + 60, DAY + 60 + HOUR)], "a row is for");
        check(hour, &[row("5", DAY + 2 * HOUR, DAY + 3 * HOUR)], "a row is for");
        check(hour, &[sound.clone(), sound.clone()], "two rows");
        check(Grouping::Whole, &[sound], "a row is for");
        check(Grouping::Whole, &[whole.clone(), whole], "two rows");
        let empty = read(hours, hour, &[page(&[], true)]).unwrap_err();
        assert!(empty.contains("an empty page"), "{empty}");
        for body in ["", "{}", "[]", "<html>", &json!({"object": "charge"}).to_string()] {
            let error = read(hours, hour, &[body.into()]).unwrap_err();
            assert!(error.contains("no list"), "{error}");
        }
    }

    #[test]
    fn names_are_written_so_that_they_stay_one_parameter() {
        let payer = AccountName::new("cus_1&limit=1").unwrap();
        let span = window(DAY, DAY + 86_400);
        let mut rows = Rows::of("m/1?", &payer, span, Grouping::Day, false).unwrap();
        let first = "/billing/meters/m%2F1%3F/event_summaries?customer=cus_1%26limit%3D1\
                     &start_time=1789948800&end_time=1790035200&limit=100\
                     &value_grouping_window=day";
        assert_eq!(rows.path(), first);
        rows.last = Some("row&1".to_owned());
        assert_eq!(rows.path(), format!("{first}&starting_after=row%261"));
    }
}
