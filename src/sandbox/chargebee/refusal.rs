//! Errors as Chargebee writes them. Here: the error object, its statuses, codes and messages. Never
//! here: when one is due. Read next: [`super::gate`].

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::sandbox::wire::UNAVAILABLE_HTML;

/// The kind of Chargebee's JSON answers.
const JSON: &str = "application/json;charset=utf-8";

/// What the rules answer, before it is dressed with headers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) retry_after_seconds: Option<i64>,
    /// Whether this repeats the answer that an idempotency key has.
    pub(super) is_replay: bool,
}

impl Reply {
    pub(super) fn ok(object: &Value) -> Self {
        Self::json(200, object)
    }

    fn json(status: u16, object: &Value) -> Self {
        let body = Bytes::from(object.to_string());
        Self { status, body, content_type: JSON, retry_after_seconds: None, is_replay: false }
    }

    /// What a proxy answers that never reached Chargebee.
    pub(super) fn unavailable_html() -> Self {
        let (status, content_type, page) = UNAVAILABLE_HTML;
        let body = Bytes::from_static(page);
        Self { status, body, content_type, retry_after_seconds: None, is_replay: false }
    }

    pub(super) fn is_json(&self) -> bool {
        self.content_type == JSON
    }
}

/// A refusal, as Chargebee words it: branch on status, `api_error_code` and `param`. The messages
/// are ours, and no client may rely on them.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: u16,
    kind: &'static str,
    code: &'static str,
    /// The code of the old form, where it is known to differ.
    legacy_code: Option<&'static str>,
    message: String,
    param: Option<String>,
    retry_after_seconds: Option<i64>,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, code: &'static str, message: String) -> Self {
        let (legacy_code, param, retry_after_seconds) = (None, None, None);
        Self { status, kind, code, legacy_code, message, param, retry_after_seconds }
    }

    /// A 400 for a request that is wrong by itself or on this site.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", "invalid_request", message.into())
    }

    /// A 400 for a parameter that has a value it cannot have.
    pub(super) fn wrong_value(param: &str, message: impl Into<String>) -> Self {
        let message = format!("{param} : {}", message.into());
        Self::new(400, "invalid_request", "param_wrong_value", message).param(param)
    }

    /// A whole batch of events that cannot be taken. The type is known from Chargebee's own
    /// clients, its code is our reading.
    pub(super) fn batch(message: impl Into<String>) -> Self {
        let kind = "ubb_batch_ingestion_invalid_request";
        Self::new(400, kind, "invalid_request", message.into())
    }

    /// Something of this kind is there already. For a second usage in one second, and for an id
    /// that was used before, the code is our reading: Chargebee documents none.
    pub(super) fn duplicate(param: &str, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", "duplicate_entry", message.into()).param(param)
    }

    /// No more usages can be recorded. The code is our reading, one of two candidates.
    pub(super) fn exhausted(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", "resource_limit_exhausted", message.into())
    }

    /// The site may not use this part of the API. Both codes are as seen in production.
    pub(super) fn restricted(message: impl Into<String>) -> Self {
        let mut refusal =
            Self::new(400, "invalid_request", "configuration_incompatible", message.into());
        refusal.legacy_code = Some("api_restricted");
        refusal
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "untyped", "api_authentication_failed", message.into())
    }

    /// The site asked too often while it was limited, and is answered no more.
    pub(super) fn blocked() -> Self {
        let message = "The site's requests are blocked. Contact support.";
        Self::new(403, "operation_failed", "request_blocked", message.to_owned())
    }

    pub(super) fn not_found(what: &str, id: &str) -> Self {
        let message = format!("{what} {id} not found");
        Self::new(404, "invalid_request", "resource_not_found", message)
    }

    pub(super) fn no_route(path: &str) -> Self {
        Self::not_found("The path", path)
    }

    pub(super) fn wrong_method(method: &str) -> Self {
        let message = format!("The method {method} is not supported here");
        Self::new(405, "invalid_request", "http_method_not_supported", message)
    }

    /// The object is in a state that does not admit this.
    pub(super) fn wrong_state(message: impl Into<String>) -> Self {
        Self::new(409, "invalid_request", "invalid_state_for_request", message.into())
    }

    pub(super) fn too_large() -> Self {
        Self { status: 413, ..Self::invalid("The request's body is too large.") }
    }

    pub(super) fn key_reused() -> Self {
        let message = "The idempotency key came with other parameters before.".to_owned();
        Self::new(422, "invalid_request", "unable_to_process_request", message)
    }

    /// Chargebee only "may" say when to come back; without it a minute is the rule.
    pub(super) fn rate_limited(retry_after_seconds: Option<i64>) -> Self {
        let message = "Sorry, API limit reached. Please retry after some time.".to_owned();
        let mut refusal = Self::new(429, "operation_failed", "api_request_limit_exceeded", message);
        refusal.retry_after_seconds = retry_after_seconds;
        refusal
    }

    pub(super) fn lock_timeout() -> Self {
        let message = "Another request for the same resource is being carried out.".to_owned();
        Self::new(429, "operation_failed", "lock_timeout", message)
    }

    pub(super) fn internal() -> Self {
        let message = "Sorry, something went wrong when processing the request.".to_owned();
        Self::new(500, "operation_failed", "internal_error", message)
    }

    pub(super) fn param(mut self, name: impl Into<String>) -> Self {
        self.param = Some(name.into());
        self
    }

    /// The message alone, for callers in the same process.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) const fn is_duplicate(&self) -> bool {
        matches!(self.code.as_bytes(), b"duplicate_entry")
    }

    /// What is told of it inside an answer about many.
    pub(super) fn particulars(&self) -> Map<String, Value> {
        let mut told = Map::new();
        told.insert("api_error_code".to_owned(), Value::from(self.code));
        told.insert("message".to_owned(), Value::from(self.message.as_str()));
        if let Some(param) = &self.param {
            told.insert("param".to_owned(), Value::from(param.as_str()));
        }
        told
    }

    /// The error as it is sent, with the fields of the old form beside the new ones.
    pub(super) fn reply(&self) -> Reply {
        let mut error = Map::new();
        let mut tell = |name: &str, value: Value| drop(error.insert(name.to_owned(), value));
        tell("message", Value::from(self.message.as_str()));
        tell("type", Value::from(self.kind));
        tell("api_error_code", Value::from(self.code));
        if let Some(param) = &self.param {
            tell("param", Value::from(param.as_str()));
            tell("error_param", Value::from(param.as_str()));
        }
        tell("error_code", Value::from(self.legacy_code.unwrap_or(self.code)));
        tell("error_msg", Value::from(self.message.as_str()));
        tell("http_status_code", Value::from(self.status));
        let mut reply = Reply::json(self.status, &Value::Object(error));
        reply.retry_after_seconds = self.retry_after_seconds;
        reply
    }
}
