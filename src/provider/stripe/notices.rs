//! What Stripe announces. PURE. Here: an event, in its snapshot or its thin form, becomes a notice,
//! or a refusal that names the field. Never here: whether Stripe sent it ([`super::signature`]),
//! what follows from it. Read next: [`super::objects`].
//!
//! A snapshot event carries the object as it was (`data.object`); a thin one only names it
//! (`related_object`), and links to the snapshot that announces the same (`snapshot_event`). Of
//! either only the envelope is read: what is announced is looked up at Stripe before it counts.

use secrecy::SecretString;
use serde_json::Value;

use super::{objects, signature};
use crate::domain::closed::closed;
use crate::domain::names::{NoticeId, NoticeKind, ObjectId, ObjectKind};
use crate::domain::notice::{Notice, Related};
use crate::domain::time::Timestamp;
use crate::provider::{NoticeReader, NoticeRefusal, Posted};

closed! {
    /// Why an event cannot be read.
    NoticeFaultKind {
        /// It has not the form of an event.
        Malformed = "malformed_notice",
        /// It is of the other mode than the account's key.
        WrongMode = "wrong_mode",
    }
}

/// Why an event cannot be read, by the field at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct NoticeFault {
    /// Which of the closed set it is.
    pub kind: NoticeFaultKind,
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

fn malformed(field: &'static str, why: &'static str) -> NoticeFault {
    NoticeFault { kind: NoticeFaultKind::Malformed, field, why }
}

/// Reads the webhooks that are signed with an endpoint's secrets.
pub struct SignedNotices {
    /// The endpoints' secrets.
    pub secrets: Vec<SecretString>,
    /// The mode of the account's key.
    pub livemode: bool,
}

impl NoticeReader for SignedNotices {
    fn read(&self, posted: Posted<'_>, now: Timestamp) -> Result<Notice, NoticeRefusal> {
        signature::verify(posted.headers, posted.body, &self.secrets, now).map_err(|refusal| {
            NoticeRefusal::Unproven { code: refusal.as_str(), why: refusal.why() }
        })?;
        read(posted.body, self.livemode).map_err(|fault| NoticeRefusal::Unreadable {
            code: fault.kind.as_str(),
            field: fault.field,
            why: fault.why,
        })
    }
}

/// Reads an event of an account in this mode.
///
/// # Errors
/// The field at fault.
pub fn read(body: &[u8], livemode: bool) -> Result<Notice, NoticeFault> {
    let text = str::from_utf8(body).map_err(|_| malformed("the body", "is not UTF-8"))?;
    let event: Value =
        serde_json::from_str(text).map_err(|_| malformed("the body", "is not JSON"))?;
    if !event.is_object() {
        return Err(malformed("the body", "is not a JSON object"));
    }
    let (created_at, related, snapshot) = match event["object"].as_str() {
        Some("event") => (created_in_seconds(&event)?, in_snapshot(&event)?, None),
        Some("v2.core.event") => {
            let link = Some(&event["snapshot_event"]).filter(|link| !link.is_null());
            let snapshot =
                link.map(|link| id("snapshot_event", link, NoticeId::new)).transpose()?;
            (created_in_text(&event)?, named(&event)?, snapshot)
        }
        Some(_) | None => {
            return Err(malformed("object", "is neither \"event\" nor \"v2.core.event\""));
        }
    };
    let of_live = event["livemode"].as_bool();
    let of_live = of_live.ok_or_else(|| malformed("livemode", "is neither true nor false"))?;
    if of_live != livemode {
        let why = match of_live {
            true => "is true, and the key a test key",
            false => "is false, and the key a live key",
        };
        return Err(NoticeFault { kind: NoticeFaultKind::WrongMode, field: "livemode", why });
    }
    let kind = event["type"].as_str().and_then(|kind| NoticeKind::new(kind).ok());
    Ok(Notice {
        id: id("id", &event["id"], NoticeId::new)?,
        snapshot,
        kind: kind.ok_or_else(|| malformed("type", "is no name"))?,
        created_at,
        livemode: of_live,
        related,
        body: text.to_owned(),
    })
}

/// An id of Stripe's: letters, digits, `_` and `-`, so that it can stand in a path.
fn id<N, E>(
    field: &'static str,
    value: &Value,
    make: impl Fn(&str) -> Result<N, E>,
) -> Result<N, NoticeFault> {
    let text = value.as_str().filter(|text| objects::is_id(text));
    text.and_then(|text| make(text).ok())
        .ok_or_else(|| malformed(field, "is no id of letters, digits, _ and -"))
}

fn created_in_seconds(event: &Value) -> Result<Timestamp, NoticeFault> {
    let at = event["created"].as_i64().map(Timestamp::from_seconds);
    plausible(at, "is no time in Unix seconds")
}

fn created_in_text(event: &Value) -> Result<Timestamp, NoticeFault> {
    plausible(event["created"].as_str().and_then(Timestamp::parse_rfc3339), "is no RFC 3339 time")
}

fn plausible(at: Option<Timestamp>, why: &'static str) -> Result<Timestamp, NoticeFault> {
    at.and_then(objects::admitted).ok_or_else(|| malformed("created", why))
}

/// The object that a snapshot event carries. Some have no id, such as a balance.
fn in_snapshot(event: &Value) -> Result<Option<Related>, NoticeFault> {
    let object = &event["data"]["object"];
    if !object.is_object() {
        return Err(malformed("data.object", "is no object"));
    }
    if object["id"].is_null() {
        return Ok(None);
    }
    let kind = object_kind("data.object.object", &object["object"])?;
    Ok(Some(Related { kind, id: id("data.object.id", &object["id"], ObjectId::new)? }))
}

/// The object that a thin event names. Some name none, by leaving it out or by an empty one.
fn named(event: &Value) -> Result<Option<Related>, NoticeFault> {
    let object = match &event["related_object"] {
        Value::Null => return Ok(None),
        Value::Object(object) if object.is_empty() => return Ok(None),
        named @ Value::Object(_) => named,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(malformed("related_object", "is no object"));
        }
    };
    let kind = object_kind("related_object.type", &object["type"])?;
    Ok(Some(Related { kind, id: id("related_object.id", &object["id"], ObjectId::new)? }))
}

fn object_kind(field: &'static str, value: &Value) -> Result<ObjectKind, NoticeFault> {
    let kind = value.as_str().and_then(|kind| ObjectKind::new(kind).ok());
    kind.ok_or_else(|| malformed(field, "is no name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot() -> Value {
        json!({
            "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy", "object": "event", "api_version": "2026-10-28",
            "created": 1_790_000_000, "livemode": false, "pending_webhooks": 1, "request": null,
            "type": "customer.subscription.deleted",
            "data": {"object": {"id": "sub_1", "object": "subscription", "status": "canceled"}},
        })
    }

    fn thin() -> Value {
        json!({
            "id": "evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0",
            "object": "v2.core.event", "created": "2026-09-21T14:13:20.5Z", "livemode": false,
            "type": "v1.billing.meter.error_report_triggered", "context": null, "reason": null,
            "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/x/mtr_1"},
            "snapshot_event": "evt_1",
        })
    }

    fn read_value(event: &Value, livemode: bool) -> Result<Notice, NoticeFault> {
        read(event.to_string().as_bytes(), livemode)
    }

    #[test]
    fn a_snapshot_event_is_read_whole() {
        let text = format!(" {:#}\n", snapshot());
        let notice = read(text.as_bytes(), false).unwrap();
        assert_eq!(notice.id.as_str(), "evt_1NG8Du2eZvKYlo2CUI79vXWy");
        assert_eq!(notice.kind.as_str(), "customer.subscription.deleted");
        assert_eq!((notice.created_at.seconds(), notice.livemode), (1_790_000_000, false));
        let related = notice.related.unwrap();
        assert_eq!((related.kind.as_str(), related.id.as_str()), ("subscription", "sub_1"));
        assert_eq!((notice.snapshot, notice.body), (None, text));
    }

    #[test]
    fn a_thin_event_is_read_with_its_link_to_the_snapshot() {
        let notice = read_value(&thin(), false).unwrap();
        assert_eq!(notice.kind.as_str(), "v1.billing.meter.error_report_triggered");
        assert_eq!(notice.created_at.micros(), 1_790_000_000_500_000);
        assert_eq!(notice.announcement().as_str(), "evt_1");
        let related = notice.related.unwrap();
        assert_eq!((related.kind.as_str(), related.id.as_str()), ("billing.meter", "mtr_1"));
        let mut bare = thin();
        bare["snapshot_event"].take();
        for none in [json!({}), Value::Null] {
            bare["related_object"] = none;
            let notice = read_value(&bare, false).unwrap();
            assert_eq!((notice.related, notice.snapshot), (None, None));
        }
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        for (event, pointer, value, field) in [
            (snapshot(), "/object", json!("list"), "object"),
            (snapshot(), "/id", json!("evt/../1"), "id"),
            (snapshot(), "/id", json!(""), "id"),
            (snapshot(), "/id", json!("e".repeat(129)), "id"),
            (snapshot(), "/id", json!(7), "id"),
            (snapshot(), "/type", Value::Null, "type"),
            (snapshot(), "/type", json!("a\nb"), "type"),
            (snapshot(), "/created", json!("2026-09-21T14:13:20Z"), "created"),
            (snapshot(), "/created", json!(1.5), "created"),
            (snapshot(), "/created", json!(i64::MAX), "created"),
            (snapshot(), "/livemode", json!("false"), "livemode"),
            (snapshot(), "/data", Value::Null, "data.object"),
            (snapshot(), "/data/object/id", json!(["sub_1"]), "data.object.id"),
            (snapshot(), "/data/object/object", Value::Null, "data.object.object"),
            (thin(), "/created", json!(1_790_000_000), "created"),
            (thin(), "/related_object", json!("mtr_1"), "related_object"),
            (thin(), "/related_object/id", Value::Null, "related_object.id"),
            (thin(), "/related_object/type", json!(1), "related_object.type"),
            (thin(), "/snapshot_event", json!({"id": "evt_1"}), "snapshot_event"),
        ] {
            let mut event = event;
            *event.pointer_mut(pointer).unwrap() = value;
            let fault = read_value(&event, false).unwrap_err();
            assert_eq!((fault.kind, fault.field), (NoticeFaultKind::Malformed, field), "{fault}");
        }
        for body in [&b""[..], b"\xff{}", b"{", b"[]", b"7", b"\xef\xbb\xbf{}"] {
            assert_eq!(read(body, false).unwrap_err().field, "the body");
        }
    }

    #[test]
    fn an_event_of_the_other_mode_is_refused() {
        for (mut event, of_live) in [(snapshot(), true), (thin(), true), (thin(), false)] {
            event["livemode"] = of_live.into();
            assert!(read_value(&event, of_live).is_ok());
            let fault = read_value(&event, !of_live).unwrap_err();
            assert_eq!((fault.kind, fault.field), (NoticeFaultKind::WrongMode, "livemode"));
        }
    }
}
