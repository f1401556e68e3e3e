//! Requests and answers as a stand-in sees them. Here: plain values between the HTTP server and the
//! rules. Never here: a rule, a socket. Read next: [`crate::sandbox::server`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::DateTime;
use hyper::HeaderMap;

use super::faults::FaultKind;
use crate::domain::time::Timestamp;

/// One request, read in full.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: hyper::Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    /// A header's text, when it is there once and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        let (content_type, headers) = ("application/json", Vec::new());
        Self { status, content_type, headers, body: body.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// How an answer leaves the house.
#[derive(Clone, Debug)]
pub(super) enum Delivery {
    /// In full.
    Whole(Answer),
    /// Half of the body, then the connection breaks.
    Cut(Answer),
    /// Not at all: the connection is closed.
    Closed,
}

impl Delivery {
    /// How `answer` leaves under a fault.
    pub(super) fn under(fault: Option<FaultKind>, answer: Answer) -> Self {
        match fault {
            Some(FaultKind::AnswerLost) => Self::Closed,
            Some(FaultKind::AnswerCut) => Self::Cut(answer),
            Some(_) | None => Self::Whole(answer),
        }
    }
}

/// The form of dates in HTTP headers.
pub(super) fn http_date(at: Timestamp) -> String {
    let at = DateTime::from_timestamp(at.seconds(), 0).unwrap_or_default();
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What a proxy answers that never reached the provider: its status, its kind and its body.
pub(super) const UNAVAILABLE_HTML: (u16, &str, &[u8]) = (
    503,
    "text/html",
    b"<html><head><title>503</title></head><body>Service Unavailable</body></html>",
);

/// The user name in Basic credentials, which is where providers' clients put the key. Empty when
/// they are not Base64 of printable ASCII.
pub(super) fn user_of_basic(credentials: &str) -> String {
    let decoded = STANDARD.decode(credentials).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let user = text.split_once(':').map_or(text.as_str(), |(user, _)| user);
    let is_plain = user.chars().all(|letter| letter.is_ascii_graphic());
    if is_plain { user.to_owned() } else { String::new() }
}

/// The value of an `Authorization` header with these Basic credentials.
pub(super) fn basic_of_user(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_written_and_read_back() {
        for (user, password, written) in [
            ("test_key", "", "Basic dGVzdF9rZXk6"),
            ("user", "pass", "Basic dXNlcjpwYXNz"),
            ("a", "b", "Basic YTpi"),
            ("ab", "c", "Basic YWI6Yw=="),
            ("ab", "cd", "Basic YWI6Y2Q="),
        ] {
            let header = basic_of_user(user, password);
            assert_eq!(header, written);
            assert_eq!(user_of_basic(header.trim_start_matches("Basic ")), user);
        }
        for odd in ["dGVzd", "dG\u{e9}", "YQA6", "dXNl cjpw"] {
            assert_eq!(user_of_basic(odd), "", "{odd}");
        }
    }
}
