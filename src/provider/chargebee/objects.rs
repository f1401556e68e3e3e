//! What the objects of a site share. PURE. Here: lists, times and spans, and why an object cannot
//! be read. Never here: what an object means. Read next: [`super::subscriptions`].

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::time::{TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp, Window};

/// Rows asked for in one page of a list: the most that Chargebee gives.
pub const ROWS_PER_PAGE: usize = 100;
/// Longest text that a page is asked for by, in bytes: Chargebee's own limit of `offset`.
const OFFSET_BYTES_MAX: usize = 1_000;

/// A page of a list. Each row is read by itself, so that one that makes no sense spoils no other.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The rows, as they were written: each an object by its kind.
    pub rows: Vec<&'a RawValue>,
    /// What to ask for the next page with; nothing on the last one.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    list: Vec<&'a RawValue>,
    next_offset: Option<String>,
}

/// Reads a page of a list that was asked for with `asked`.
///
/// # Errors
/// A sentence, when it is none, or does not go on.
pub fn list<'a>(body: &'a [u8], asked: Option<&str>) -> Result<Rows<'a>, String> {
    let page: Page<'_> =
        serde_json::from_slice(body).map_err(|_| "the list has not the form of one".to_owned())?;
    let next = page.next_offset;
    if next.is_some() && next.as_deref() == asked {
        return Err("the list goes round in circles".to_owned());
    }
    if next.as_ref().is_some_and(|next| next.len() > OFFSET_BYTES_MAX) {
        return Err(format!("the list goes on with more than {OFFSET_BYTES_MAX} bytes"));
    }
    Ok(Rows { rows: page.list, next })
}

/// The path of the page of the list at `path` with these filters that `page` leads to.
#[must_use]
pub fn list_path(path: &str, filters: &[(&str, &str)], page: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in filters {
        query.append_pair(name, value);
    }
    query.append_pair("limit", &ROWS_PER_PAGE.to_string());
    if let Some(page) = page {
        query.append_pair("offset", page);
    }
    format!("{path}?{}", query.finish())
}

/// A name made of an id of the site's.
///
/// # Errors
/// A sentence, when the text is none, by the field it stands in.
pub fn named<N, E: std::fmt::Display>(
    field: &str,
    text: &str,
    make: impl Fn(&str) -> Result<N, E>,
) -> Result<N, String> {
    make(text).map_err(|why| format!("{field} {why}"))
}

/// A time that was written in Unix seconds.
///
/// # Errors
/// A sentence, when it is no time of this age, by the field it stands in.
pub fn time(field: &str, seconds: i64) -> Result<Timestamp, String> {
    let at = Timestamp::from_seconds(seconds);
    if (TIMESTAMP_MIN..TIMESTAMP_MAX).contains(&at) {
        Ok(at)
    } else {
        Err(format!("{field} is no time of this age: {seconds}"))
    }
}

/// A time that may be missing.
///
/// # Errors
/// A sentence, when it is there and no time of this age.
pub fn time_or_none(field: &str, seconds: Option<i64>) -> Result<Option<Timestamp>, String> {
    seconds.map(|seconds| time(field, seconds)).transpose()
}

/// A span with time in it.
///
/// # Errors
/// A sentence, when a bound is no time of this age, or the end does not lie behind the start.
pub fn window(field: &str, (start, end): (i64, i64)) -> Result<Window, String> {
    let window = Window { start: time(field, start)?, end: time(field, end)? };
    if window.start < window.end {
        Ok(window)
    } else {
        Err(format!("{field} ends before it begins"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_row_by_row_and_goes_on_or_not() {
        let page = list(br#"{"list":[{"a":1}, 7],"next_offset":"[\"1\"]"}"#, None).unwrap();
        let rows: Vec<&str> = page.rows.iter().map(|row| row.get()).collect();
        assert_eq!((rows, page.next.as_deref()), (vec![r#"{"a":1}"#, "7"], Some(r#"["1"]"#)));
        let path = list_path("/invoices", &[("date[after]", "7")], page.next.as_deref());
        assert_eq!(path, "/invoices?date%5Bafter%5D=7&limit=100&offset=%5B%221%22%5D");
        assert_eq!(list(br#"{"list":[]}"#, Some("x")).unwrap().next, None);
        assert!(list(br#"{"list":[],"next_offset":"x"}"#, Some("x")).is_err(), "in circles");
        let long = format!(r#"{{"list":[],"next_offset":"{}"}}"#, "x".repeat(1_001));
        assert!(list(long.as_bytes(), None).is_err());
        for body in ["", "null", "[]", "{}", "<html>", r#"{"list":{}}"#] {
            assert!(list(body.as_bytes(), None).is_err(), "{body}");
        }
    }

    #[test]
    fn a_span_has_time_in_it_and_is_of_this_age() {
        let span = window("the term", (1_790_000_000, 1_790_000_060)).unwrap();
        assert_eq!(span.end.micros_since(span.start), 60_000_000);
        let error = window("the term", (1_790_000_000, 1_790_000_000)).unwrap_err();
        assert_eq!(error, "the term ends before it begins");
        let error = time("date", 0).unwrap_err();
        assert_eq!(error, "date is no time of this age: 0");
        assert_eq!(time_or_none("date", None), Ok(None));
    }
}
