//! Errors as Stripe writes them. Here: the error object, its statuses and messages. Never here:
//! when one is due. Read next: [`super::gate`].

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::sandbox::wire::UNAVAILABLE_HTML;

/// What the rules answer, before it is dressed with headers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) should_retry: Option<bool>,
    pub(super) limited: Option<&'static str>,
    /// The request that was carried out first, when this repeats its answer.
    pub(super) replay_of: Option<String>,
}

impl Reply {
    pub(super) fn ok(object: &Value) -> Self {
        Self::json(200, object)
    }

    fn json(status: u16, object: &Value) -> Self {
        Self {
            status,
            body: Bytes::from(object.to_string()),
            content_type: "application/json",
            should_retry: None,
            limited: None,
            replay_of: None,
        }
    }

    /// What a proxy answers that never reached Stripe.
    pub(super) fn unavailable_html() -> Self {
        let (status, content_type, page) = UNAVAILABLE_HTML;
        Self {
            status,
            body: Bytes::from_static(page),
            content_type,
            should_retry: None,
            limited: None,
            replay_of: None,
        }
    }
}

/// A refusal, as Stripe words it. Texts that the public sources quote are kept to the letter, since
/// clients must match on them; the others are ours, and no client may rely on them.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: String,
    param: Option<String>,
    should_retry: Option<bool>,
    limited: Option<&'static str>,
}

impl Refusal {
    /// A 400 for a request that is wrong by itself or in this account.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code: None,
            message: message.into(),
            param: None,
            should_retry: None,
            limited: None,
        }
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same refusal as v2 writes it: there an error always has a code. Which one is unpublished
    /// where v1 has none.
    pub(super) fn in_v2(mut self) -> Self {
        self.code.get_or_insert("invalid_request");
        self
    }

    pub(super) fn param(mut self, name: impl Into<String>) -> Self {
        self.param = Some(name.into());
        self
    }

    const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn missing(name: &str) -> Self {
        let message = format!("Missing required param: {name}.");
        Self::invalid(message).code("parameter_missing").param(name)
    }

    pub(super) fn unknown_param(name: &str) -> Self {
        let message = format!("Received unknown parameter: {name}");
        Self::invalid(message).code("parameter_unknown").param(name)
    }

    /// An object in the path that does not exist: 404.
    pub(super) fn no_object(what: &str, id: &str) -> Self {
        Self::no_reference(what, id, "id").status(404)
    }

    /// An object named by a parameter that does not exist: 400.
    pub(super) fn no_reference(what: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        Self::invalid(message).code("resource_missing").param(param)
    }

    pub(super) fn no_route(method: &str, path: &str) -> Self {
        Self::invalid(format!("Unrecognized request URL ({method}: {path}).")).status(404)
    }

    pub(super) fn too_large() -> Self {
        Self::invalid("The request's body is too large.").status(413)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::invalid(message).status(401)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::invalid(message).code("account_invalid").status(403)
    }

    /// The session of the stream that a request bears has ended.
    pub(super) fn session_expired() -> Self {
        let mut refusal = Self::invalid("The temporary session token has expired.");
        refusal.kind = "temporary_session_expired";
        refusal.code("billing_meter_event_session_expired").status(401)
    }

    /// The identifier is taken. Text, lack of a code and the header are as seen in production.
    pub(super) fn duplicate(identifier: &str) -> Self {
        let message = format!("An event already exists with identifier {identifier}.");
        let mut refusal = Self::invalid(message);
        refusal.should_retry = Some(false);
        refusal
    }

    /// Another call for the same customer and meter is in flight. The text is Stripe's; the lack of
    /// a code on v1 is our reading, as v1 publishes none for this endpoint.
    pub(super) fn lane_occupied() -> Self {
        let message =
            "Cannot create multiple usage events for the same customer, meter concurrently";
        Self::invalid(message).status(409)
    }

    pub(super) fn key_in_use() -> Self {
        let message = "Another request with this Idempotency-Key is still being carried out.";
        let mut refusal = Self::invalid(message).code("idempotency_key_in_use").status(409);
        refusal.kind = "idempotency_error";
        refusal
    }

    pub(super) fn key_reused(key: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were \
             first used with. The key '{key}' came with others."
        );
        let mut refusal = Self::invalid(message);
        refusal.kind = "idempotency_error";
        refusal
    }

    pub(super) fn rate_limited(reason: &'static str) -> Self {
        let mut refusal = Self::invalid("Request rate limit exceeded.").code("rate_limit");
        refusal.limited = Some(reason);
        refusal.status(429)
    }

    pub(super) fn lock_timeout() -> Self {
        let message = "The object is locked by another request. Try again later.";
        Self::invalid(message).code("lock_timeout").status(429)
    }

    pub(super) fn internal() -> Self {
        let mut refusal = Self::invalid("An error happened on our side.").status(500);
        refusal.kind = "api_error";
        refusal
    }

    /// The message alone, for callers in the same process.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn reply(&self) -> Reply {
        let mut error = Map::new();
        if let Some(code) = self.code {
            error.insert("code".to_owned(), Value::from(code));
        }
        error.insert("message".to_owned(), Value::from(self.message.as_str()));
        if let Some(param) = &self.param {
            error.insert("param".to_owned(), Value::from(param.as_str()));
        }
        error.insert("type".to_owned(), Value::from(self.kind));
        let mut object = Map::new();
        object.insert("error".to_owned(), Value::Object(error));
        let mut reply = Reply::json(self.status, &Value::Object(object));
        reply.should_retry = self.should_retry;
        reply.limited = self.limited;
        reply
    }
}
