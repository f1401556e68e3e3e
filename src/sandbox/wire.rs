//! Requests and answers as a stand-in sees them. Here: plain values between the HTTP server and the
//! rules. Never here: a rule, a socket. Read next: [`crate::sandbox::server`].

use bytes::Bytes;
use hyper::HeaderMap;

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
