//! What all of Stripe's objects share. PURE. Here: ids, times, references, lists, and why an object
//! cannot be read. Never here: what an object means. Read next: [`super::prices`].

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::names::NAME_BYTES_MAX;
use crate::domain::time::{TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp, Window};

/// Rows asked for in one page of a list: the most that Stripe gives.
pub const ROWS_PER_PAGE: usize = 100;
/// Longest id of Stripe's, in bytes: theirs have some thirty, and one in a path must stay one.
pub const ID_BYTES_MAX: usize = 128;

/// Why an object cannot be read; a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoObject {
    /// It makes no sense.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// It is of the other mode than the key.
    #[error("the key is for another mode than the {0} that it reads")]
    OtherMode(&'static str),
}

impl NoObject {
    /// What makes no sense, and why.
    #[must_use]
    pub fn unreadable(what: &str, why: &str) -> Self {
        Self::Unreadable(format!("{what} {why}"))
    }
}

/// Another object, as one names it: by its id, or whole where it was expanded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Reference {
    /// Its id.
    Id(String),
    /// The whole of it, of which only the id is read.
    Expanded {
        /// Its id.
        id: String,
    },
}

impl Reference {
    /// The id of the other object.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Expanded { id } => id,
        }
    }
}

/// A span as Stripe writes it, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Period {
    /// The first second inside.
    pub start: i64,
    /// The first second after it.
    pub end: i64,
}

/// A page of a list. Each row is read by itself, so that one that makes no sense spoils no other.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The rows, as they were written.
    pub rows: Vec<&'a RawValue>,
    /// What to ask for the next page with; nothing on the last one.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct ListBody<'a> {
    object: String,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Row {
    id: String,
}

/// Reads a page of a list that was asked for from behind the row `after`.
///
/// # Errors
/// When it is no list, or does not go on from there.
pub fn list<'a>(body: &'a [u8], after: Option<&str>) -> Result<Rows<'a>, NoObject> {
    let wrong = |why: &str| NoObject::unreadable("the list", why);
    let page: ListBody<'_> =
        serde_json::from_slice(body).map_err(|_| wrong("has not the form of one"))?;
    if page.object != "list" {
        return Err(wrong("is something else"));
    }
    if !page.has_more {
        return Ok(Rows { rows: page.data, next: None });
    }
    let last = page.data.last().ok_or_else(|| wrong("is empty and says that there is more"))?;
    let last: Row = serde_json::from_str(last.get())
        .map_err(|_| wrong("has a last row without an id, and says that there is more"))?;
    if last.id.is_empty() || last.id.len() > NAME_BYTES_MAX {
        return Err(wrong("has a last row whose id is none"));
    }
    if after == Some(last.id.as_str()) {
        return Err(wrong("does not go on behind the row that it was asked from"));
    }
    Ok(Rows { rows: page.data, next: Some(last.id) })
}

/// The path of a page of the list at `path`, with these filters, from behind the row `after`.
#[must_use]
pub fn list_path(path: &str, filters: &[(&str, &str)], after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in filters {
        query.append_pair(name, value);
    }
    query.append_pair("limit", &ROWS_PER_PAGE.to_string());
    if let Some(after) = after {
        query.append_pair("starting_after", after);
    }
    format!("{path}?{}", query.finish())
}

/// Whether this is an id as Stripe makes them: letters, digits, `_` and `-`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(inside)
}

/// A name made of an id of Stripe's.
///
/// # Errors
/// When the text is no id, by the field it stands in.
pub fn named<N, E>(
    field: &str,
    text: &str,
    make: impl Fn(&str) -> Result<N, E>,
) -> Result<N, NoObject> {
    let name = Some(text).filter(|text| is_id(text)).and_then(|text| make(text).ok());
    name.ok_or_else(|| NoObject::unreadable(field, "is no id of letters, digits, _ and -"))
}

/// A time that Stripe wrote in Unix seconds.
///
/// # Errors
/// When it is no time of this age, by the field it stands in.
pub fn time(field: &str, seconds: i64) -> Result<Timestamp, NoObject> {
    admitted(Timestamp::from_seconds(seconds))
        .ok_or_else(|| NoObject::unreadable(field, &format!("is no time of this age: {seconds}")))
}

/// A time that may be missing.
///
/// # Errors
/// When it is there and no time of this age.
pub fn time_or_none(field: &str, seconds: Option<i64>) -> Result<Option<Timestamp>, NoObject> {
    seconds.map(|seconds| time(field, seconds)).transpose()
}

/// The instant, when it lies within what this program reckons with.
#[must_use]
pub fn admitted(at: Timestamp) -> Option<Timestamp> {
    Some(at).filter(|at| (TIMESTAMP_MIN..TIMESTAMP_MAX).contains(at))
}

/// A span with time in it.
///
/// # Errors
/// When a bound is no time of this age, or the end does not lie behind the start.
pub fn window(field: &str, period: Period) -> Result<Window, NoObject> {
    let (start, end) = (time(field, period.start)?, time(field, period.end)?);
    if start >= end {
        return Err(NoObject::unreadable(field, "ends before it begins"));
    }
    Ok(Window { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::InvoiceId;

    #[test]
    fn a_reference_is_an_id_or_an_object_that_has_one() {
        let id = |text: &str| {
            let read: Result<Reference, _> = serde_json::from_str(text);
            read.ok().map(|read| read.id().to_owned())
        };
        assert_eq!(id(r#""cus_1""#).as_deref(), Some("cus_1"));
        let deleted = r#"{"id": "cus_1", "object": "customer", "deleted": true}"#;
        assert_eq!(id(deleted).as_deref(), Some("cus_1"));
        for text in ["null", "1", "[]", "{}", r#"{"id": 1}"#] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_goes_on_behind_its_last_row() {
        let next = |body: &str, after: Option<&str>| {
            let read = list(body.as_bytes(), after);
            read.map(|page| (page.rows.len(), page.next)).map_err(|error| error.to_string())
        };
        let page = r#"{"object": "list", "has_more": true, "data": [{"id": "a"}, {"id": "b"}]}"#;
        assert_eq!(next(page, None), Ok((2, Some("b".to_owned()))));
        assert_eq!(next(page, Some("a")), Ok((2, Some("b".to_owned()))));
        assert_eq!(next(&page.replace("true", "false"), None), Ok((2, None)));
        let odd = page.replace(r#"{"id": "a"}"#, r#"7, "no row""#);
        assert_eq!(next(&odd, None), Ok((3, Some("b".to_owned()))));
        for (body, after, why) in [
            (page.to_owned(), Some("b"), "does not go on"),
            (page.replace(r#"{"id": "b"}"#, "7"), None, "without an id"),
            (page.replace(r#""b""#, r#""""#), None, "whose id is none"),
            (page.replace(r#""b""#, &format!(r#""{}""#, "b".repeat(201))), None, "whose id"),
            (r#"{"object": "list", "has_more": true, "data": []}"#.to_owned(), None, "is empty"),
            (page.replace("list", "charge"), None, "is something else"),
            (page.replace("true", "1"), None, "has not the form"),
            ("<html>".to_owned(), None, "has not the form"),
            (String::new(), None, "has not the form"),
            ("[".repeat(1_000), None, "has not the form"),
        ] {
            let error = next(&body, after).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn what_stands_in_a_path_stays_in_its_place() {
        let first = list_path("/v1/a", &[("customer", "cus_1&limit=1")], None);
        assert_eq!(first, "/v1/a?customer=cus_1%26limit%3D1&limit=100");
        assert_eq!(list_path("/v1/a", &[], Some("a&b")), "/v1/a?limit=100&starting_after=a%26b");
    }

    #[test]
    fn ids_and_times_are_held_to_their_bounds() {
        assert!(named("id", "in_1-a", InvoiceId::new).is_ok());
        for text in ["", "in 1", "in/1", "in_\u{e9}", &"i".repeat(ID_BYTES_MAX + 1)] {
            let error = named("id", text, InvoiceId::new).unwrap_err().to_string();
            assert!(error.contains("id is no id"), "{error}");
        }
        assert_eq!(time("created", 1_790_000_000).unwrap().seconds(), 1_790_000_000);
        for seconds in [0, -1, i64::MIN, i64::MAX, 7_258_118_400] {
            let error = time("created", seconds).unwrap_err().to_string();
            assert!(error.contains(&format!("created is no time of this age: {seconds}")));
        }
        let span = |start, end| window("period", Period { start, end }).is_ok();
        assert!(span(1_790_000_000, 1_790_000_001));
        assert!(!span(1_790_000_000, 1_790_000_000));
        assert!(!span(1_790_000_001, 1_790_000_000));
    }
}
