//! Requests and answers as a stand-in sees them. Here: plain values between the HTTP server and the
//! rules. Never here: a rule, a socket. Read next: [`crate::sandbox::server`].

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
/// the text is not Base64 of ASCII.
pub(super) fn user_of_basic(credentials: &str) -> String {
    let (mut user, mut bits, mut held) = (String::new(), 0_u32, 0_u32);
    for byte in credentials.bytes().take_while(|byte| *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return String::new(),
        };
        bits = ((bits << 6) | u32::from(six)) & 0xFFFF;
        held += 6;
        if held < 8 {
            continue;
        }
        held -= 8;
        match char::from_u32((bits >> held) & 0xFF) {
            Some(':') => return user,
            Some(letter) if letter.is_ascii_graphic() => user.push(letter),
            Some(_) | None => return String::new(),
        }
    }
    user
}

/// The value of an `Authorization` header with these Basic credentials.
pub(super) fn basic_of_user(user: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut header = "Basic ".to_owned();
    for three in format!("{user}:{password}").as_bytes().chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4_usize {
            let six = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            let letter = LETTERS.get(six).copied().filter(|_| place <= three.len());
            header.push(char::from(letter.unwrap_or(b'=')));
        }
    }
    header
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
    }
}
