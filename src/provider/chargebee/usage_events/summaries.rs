//! Totals as Chargebee's usage summaries tell them. PURE. Here: what is asked for a span, and what
//! the answer says of its parts. Never here: whether that agrees with the ledger
//! (`crate::reconcile`). Read next: [`super::super::client`].
//!
//! Events cannot be listed: a summary of them is all that can be read. It has one value for each
//! window from the span's beginning on, or one for the whole of it.

use serde::Deserialize;

use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::quantity::Quantity;
use crate::domain::time::Window;
use crate::provider::chargebee::objects;
use crate::provider::chargebee::usages::parts_of;
use crate::provider::{Grouping, Total};

/// Most pages that are read for one span: more than the parts of one fill. A list without an end is
/// a fault.
pub const PAGES_MAX: usize = 200;

/// A row of a page.
#[derive(Deserialize)]
struct Row {
    usage_summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    subscription_id: String,
    feature_id: String,
    aggregated_value: String,
    /// Unix seconds, inclusive.
    aggregated_from: i64,
    /// Unix seconds, exclusive.
    aggregated_to: i64,
}

/// Summaries while they are read, page by page.
#[derive(Debug)]
pub struct Summaries<'a> {
    feature: &'a ProviderMeter,
    account: &'a AccountName,
    span: Window,
    grouping: Grouping,
    parts: Vec<(Total, bool)>,
    next: Option<String>,
}

impl<'a> Summaries<'a> {
    /// Begins to read what a subscription used of a feature in `span`, as `grouping` has it.
    ///
    /// # Errors
    /// A sentence, when `span` does not lie on the boundaries of its grouping, or has too many
    /// parts.
    pub fn of(
        feature: &'a ProviderMeter,
        account: &'a AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Self, String> {
        let parts = parts_of(span, grouping)?.into_iter().map(|part| (part, false)).collect();
        Ok(Self { feature, account, span, grouping, parts, next: None })
    }

    /// The query of the next page of `/subscriptions/{id}/usage_summary`.
    #[must_use]
    pub fn query(&self) -> String {
        let (start, end) = (self.span.start.seconds(), self.span.end.seconds());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("feature_id", self.feature.as_str());
        query.append_pair("timeframe_start", &start.to_string());
        query.append_pair("timeframe_end", &end.to_string());
        match self.grouping {
            // Without a window there is one value for the whole.
            Grouping::Whole => {}
            Grouping::Day => drop(query.append_pair("window_size", "day")),
            Grouping::Hour => drop(query.append_pair("window_size", "hour")),
        }
        query.append_pair("limit", &objects::ROWS_PER_PAGE.to_string());
        if let Some(next) = &self.next {
            query.append_pair("offset", next);
        }
        query.finish()
    }

    /// Takes a page in; whether there is a further one.
    ///
    /// # Errors
    /// A sentence, when it is none, or not of what was asked for.
    pub fn take(&mut self, body: &[u8]) -> Result<bool, String> {
        let page = objects::list(body, self.next.as_deref())?;
        for row in page.rows {
            let row: Row = serde_json::from_str(row.get())
                .map_err(|_| "a row of the usage summary is none".to_owned())?;
            self.add(&row.usage_summary)?;
        }
        self.next = page.next;
        Ok(self.next.is_some())
    }

    /// A window without usage may be left out, and is zero. One that a site shortened, as to the
    /// beginning of a subscription, lies within the part it is of; but each part is told once.
    fn add(&mut self, summary: &Summary) -> Result<(), String> {
        let other = || "the usage summary holds what was not asked for".to_owned();
        let is_asked = summary.subscription_id == self.account.as_str()
            && summary.feature_id == self.feature.as_str();
        let from = objects::time("aggregated_from", summary.aggregated_from)?;
        let to = objects::time("aggregated_to", summary.aggregated_to)?;
        let holds = |part: &Window| part.start <= from && from <= to && to <= part.end;
        let part = self.parts.iter_mut().find(|(part, _)| holds(&part.span));
        let (Some((part, is_told)), true) = (part, is_asked) else { return Err(other()) };
        if *is_told {
            return Err(format!("the usage summary tells {} twice", part.span));
        }
        part.quantity = Quantity::parse_unbounded(&summary.aggregated_value)
            .map_err(|why| format!("the aggregated_value of {} {why}", part.span))?;
        *is_told = true;
        Ok(())
    }

    /// What was told.
    #[must_use]
    pub fn totals(self) -> Vec<Total> {
        self.parts.into_iter().map(|(part, _)| part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
    use crate::provider::chargebee::usages::PARTS_MAX;

    const DAY: Timestamp = Timestamp::from_seconds(20_717 * 86_400);

    fn row(from: i64, to: i64, value: &str) -> String {
        let (from, to) = (DAY.seconds() + from, DAY.seconds() + to);
        format!(
            r#"{{"usage_summary":{{"subscription_id":"sub_1","feature_id":"api-calls",
            "aggregated_value":"{value}","aggregated_from":{from},"aggregated_to":{to}}}}}"#
        )
    }

    fn page(rows: &[String], next: Option<&str>) -> String {
        let next = next.map(|next| format!(r#","next_offset":"{next}""#)).unwrap_or_default();
        format!(r#"{{"list":[{}]{next}}}"#, rows.join(","))
    }

    fn names() -> (ProviderMeter, AccountName) {
        (ProviderMeter::new("api-calls").unwrap(), AccountName::new("sub_1").unwrap())
    }

    fn days(count: i64) -> Window {
        Window { start: DAY, end: DAY.plus_micros(count * MICROS_PER_DAY) }
    }

    #[test]
    fn windows_are_told_by_the_parts_that_were_asked_for_to_the_last_digit() {
        let (feature, account) = names();
        let mut summaries = Summaries::of(&feature, &account, days(3), Grouping::Day).unwrap();
        let query = summaries.query();
        assert!(query.contains("window_size=day") && query.contains("limit=100"), "{query}");
        let start = format!("timeframe_start={}", DAY.seconds());
        assert!(query.contains(&start) && !query.contains("offset"), "{query}");
        let first = [row(0, 86_400, "12345678901234567890.01")];
        assert_eq!(summaries.take(page(&first, Some("a b")).as_bytes()), Ok(true));
        assert!(summaries.query().ends_with("&offset=a+b"), "{}", summaries.query());
        // The second day had no usage, and the third is not over.
        let last = [row(172_800, 180_000, "0.3")];
        assert_eq!(summaries.take(page(&last, None).as_bytes()), Ok(false));
        let said: Vec<String> =
            summaries.totals().iter().map(|part| part.quantity.to_string()).collect();
        assert_eq!(said, ["12345678901234567890.01", "0", "0.3"]);
    }

    #[test]
    fn the_whole_of_a_span_is_one_value_without_a_window() {
        let (feature, account) = names();
        let mut summaries = Summaries::of(&feature, &account, days(2), Grouping::Whole).unwrap();
        assert!(!summaries.query().contains("window_size"), "{}", summaries.query());
        assert_eq!(summaries.take(page(&[row(0, 172_800, "7")], None).as_bytes()), Ok(false));
        let totals = summaries.totals();
        assert_eq!((totals.len(), totals[0].quantity.to_string().as_str()), (1, "7"));
    }

    #[test]
    fn what_was_not_asked_for_or_makes_no_sense_is_no_total() {
        let (feature, account) = names();
        let take = |rows: &[String]| {
            let mut summaries =
                Summaries::of(&feature, &account, days(1), Grouping::Whole).unwrap();
            summaries.take(page(rows, None).as_bytes())
        };
        assert!(take(&[row(0, 86_401, "1")]).is_err(), "past the span");
        assert!(take(&[row(-1, 86_400, "1")]).is_err(), "before it");
        assert!(take(&[row(10, 9, "1")]).is_err(), "backwards");
        assert!(take(&[row(0, 9, "1"), row(9, 86_400, "1")]).is_err(), "twice");
        for (what, with) in [("sub_1", "sub_2"), ("api-calls", "bytes"), ("\"1\"", "\"one\"")] {
            assert!(take(&[row(0, 86_400, "1").replace(what, with)]).is_err(), "{with}");
        }
        let mut summaries = Summaries::of(&feature, &account, days(1), Grouping::Whole).unwrap();
        assert!(summaries.take(b"<html>").is_err());
        assert_eq!(summaries.take(page(&[], Some("x")).as_bytes()), Ok(true));
        assert!(summaries.take(page(&[], Some("x")).as_bytes()).is_err(), "in circles");
    }

    #[test]
    fn a_span_off_its_boundaries_is_not_asked_for() {
        let (feature, account) = names();
        let off = |micros, grouping| {
            let span = Window { start: DAY.plus_micros(micros), end: days(1).end };
            Summaries::of(&feature, &account, span, grouping).is_err()
        };
        assert!(off(1, Grouping::Whole) && !off(1_000_000, Grouping::Whole));
        assert!(off(1_000_000, Grouping::Hour) && off(MICROS_PER_HOUR, Grouping::Day));
        let (none, long) = (days(0), days(PARTS_MAX + 1));
        assert!(Summaries::of(&feature, &account, none, Grouping::Whole).is_err());
        assert!(Summaries::of(&feature, &account, long, Grouping::Day).is_err());
    }
}
