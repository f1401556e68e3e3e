//! What a site announces. PURE. Here: an event becomes a notice, the list of them, and what a
//! notice is about. Never here: whether Chargebee sent it ([`super::webhooks`]), what follows from
//! it. Read next: [`super::webhooks`].
//!
//! Of an event only the envelope and the id of the object that it tells of are read: what is
//! announced is looked up at the site before it counts, so that late, repeated and disordered
//! events do no harm. No event tells of a usage; a void is told as an invoice that was updated.
//! <https://apidocs.chargebee.com/docs/api/events>

use serde_json::Value;

use super::objects;
use crate::domain::names::{InvoiceId, NoticeId, NoticeKind, ObjectId, ObjectKind, SubscriptionId};
use crate::domain::notice::{Notice, Related};
use crate::domain::time::Timestamp;
use crate::provider::billing::{Announced, Page};

/// The name of the one list of events.
pub const FEED: &str = "events";
/// Where events are listed.
const EVENTS: &str = "/events";
const SUBSCRIPTION: &str = "subscription";
const INVOICE: &str = "invoice";

/// What is asked of the list: whatever may change which usage is billed, and where.
const KINDS: &[&str] = &[
    "subscription_created",
    "subscription_started",
    "subscription_activated",
    "subscription_changed",
    "subscription_renewed",
    "subscription_items_renewed",
    "subscription_cancellation_scheduled",
    "subscription_scheduled_cancellation_removed",
    "subscription_cancelled",
    "subscription_canceled_with_backdating",
    "subscription_reactivated",
    "subscription_paused",
    "subscription_resumed",
    "subscription_deleted",
    "pending_invoice_created",
    "pending_invoice_updated",
    "invoice_generated",
    "invoice_updated",
    "invoice_deleted",
];

/// Why an event cannot be read, by the field at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct EventFault {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What a page of the list came to.
#[derive(Debug)]
pub struct Taken {
    /// The notices that can be read, and how to go on.
    pub page: Page<Notice>,
    /// Why the others cannot.
    pub faults: Vec<EventFault>,
}

/// The path of the page that `page` leads to, of what was announced from `since` on.
#[must_use]
pub fn path(since: Timestamp, page: Option<&str>) -> String {
    // By whole seconds, of which the one that is named is left out.
    let after = (since.seconds() - 1).to_string();
    let kinds = serde_json::json!(KINDS).to_string();
    let filters = [
        ("occurred_at[after]", after.as_str()),
        ("event_type[in]", &kinds),
        ("sort_by[desc]", "occurred_at"),
    ];
    objects::list_path(EVENTS, &filters, page)
}

/// Reads the page that was asked for with `asked`, of a site of this mode.
///
/// # Errors
/// A sentence, when it is no page of events.
pub fn take(body: &[u8], asked: Option<&str>, livemode: bool) -> Result<Taken, String> {
    let rows = objects::list(body, asked)?;
    let (mut items, mut faults) = (Vec::new(), Vec::new());
    for row in rows.rows {
        let event: Option<Value> = serde_json::from_str(row.get()).ok();
        let event = event.and_then(|mut row| row.get_mut("event").map(Value::take));
        let event = event.unwrap_or_default();
        match read(&event, event.to_string(), livemode) {
            Ok(notice) => items.push(notice),
            Err(fault) => faults.push(fault),
        }
    }
    Ok(Taken { page: Page { items, next: rows.next }, faults })
}

/// Reads the event of a webhook's body, byte for byte.
///
/// # Errors
/// The field at fault.
pub fn read_posted(body: &[u8], livemode: bool) -> Result<Notice, EventFault> {
    let fault = |why| EventFault { field: "the body", why };
    let text = str::from_utf8(body).map_err(|_| fault("is not UTF-8"))?;
    let event: Value = serde_json::from_str(text).map_err(|_| fault("is not JSON"))?;
    read(&event, text.to_owned(), livemode)
}

/// The notice of an event that came as `body`.
fn read(event: &Value, body: String, livemode: bool) -> Result<Notice, EventFault> {
    let fault = |field, why| EventFault { field, why };
    if event["object"].as_str() != Some("event") {
        return Err(fault("object", "is not \"event\""));
    }
    let id = event["id"].as_str().and_then(|id| NoticeId::new(id).ok());
    let kind = event["event_type"].as_str().and_then(|kind| NoticeKind::new(kind).ok());
    let at = event["occurred_at"].as_i64().and_then(|at| objects::time("", at).ok());
    let kind = kind.ok_or(fault("event_type", "is no name"))?;
    Ok(Notice {
        id: id.ok_or(fault("id", "is no name"))?,
        snapshot: None,
        created_at: at.ok_or(fault("occurred_at", "is no time in Unix seconds"))?,
        livemode,
        related: related(&kind, &event["content"])?,
        kind,
        body,
    })
}

/// The object that an event tells of, of those that anything follows from.
fn related(kind: &NoticeKind, content: &Value) -> Result<Option<Related>, EventFault> {
    let Some(of) = object_of(kind) else { return Ok(None) };
    let fault = |why| EventFault { field: "content", why };
    let id = content[of]["id"].as_str().and_then(|id| ObjectId::new(id).ok());
    let id = id.ok_or(fault("has not the object that the event tells of, with its id"))?;
    let kind = ObjectKind::new(of).map_err(|_| fault("is of no kind"))?;
    Ok(Some(Related { kind, id }))
}

/// The kind of object that events of this kind tell of; nothing where nothing follows from them.
fn object_of(kind: &NoticeKind) -> Option<&'static str> {
    let kind = kind.as_str();
    if kind.starts_with("subscription_") {
        Some(SUBSCRIPTION)
    } else if kind.starts_with("invoice_") || kind.starts_with("pending_invoice_") {
        Some(INVOICE)
    } else {
        None
    }
}

/// What a notice is about.
#[must_use]
pub fn announced(kind: &NoticeKind, related: Option<&Related>) -> Announced {
    let (Some(of), Some(related)) = (object_of(kind), related) else { return Announced::Nothing };
    if related.kind.as_str() != of {
        return Announced::Nothing;
    }
    let id = related.id.as_str();
    let of_subscription = || SubscriptionId::new(id).ok().map(Announced::Subscription);
    let of_invoice = || InvoiceId::new(id).ok().map(Announced::Invoice);
    let about = if of == SUBSCRIPTION { of_subscription() } else { of_invoice() };
    about.unwrap_or(Announced::Nothing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, content: Value) -> Value {
        json!({
            "id": "ev_1", "occurred_at": 1_790_000_000, "source": "scheduled_job",
            "object": "event", "api_version": "v2", "content": content, "event_type": kind,
            "webhook_status": "scheduled",
        })
    }

    fn read_value(event: &Value) -> Result<Notice, EventFault> {
        read(event, event.to_string(), false)
    }

    fn of_subscription() -> Value {
        event("subscription_paused", json!({"subscription": {"id": "sub 1"}, "customer": {}}))
    }

    #[test]
    fn an_event_is_read_as_it_was_written_and_is_about_its_object() {
        let text = format!(" {:#}\n", of_subscription());
        let notice = read_posted(text.as_bytes(), true).unwrap();
        assert_eq!((notice.id.as_str(), notice.kind.as_str()), ("ev_1", "subscription_paused"));
        assert_eq!((notice.created_at.seconds(), notice.livemode), (1_790_000_000, true));
        assert_eq!(notice.body, text);
        let about = announced(&notice.kind, notice.related.as_ref());
        assert_eq!(about, Announced::Subscription(SubscriptionId::new("sub 1").unwrap()));
        let invoices = json!({"invoice": {"id": "draft_inv_1"}, "subscription": {"id": "sub_1"}});
        for kind in ["pending_invoice_created", "invoice_updated", "invoice_of_next_year"] {
            let notice = read_value(&event(kind, invoices.clone())).unwrap();
            let about = announced(&notice.kind, notice.related.as_ref());
            assert_eq!(about, Announced::Invoice(InvoiceId::new("draft_inv_1").unwrap()), "{kind}");
        }
        for kind in ["customer_deleted", "payment_succeeded", "add_usages_reminder"] {
            let notice = read_value(&event(kind, invoices.clone())).unwrap();
            assert_eq!(announced(&notice.kind, notice.related.as_ref()), Announced::Nothing);
        }
    }

    #[test]
    fn every_kind_that_is_asked_for_means_something() {
        let content = json!({"invoice": {"id": "1"}, "subscription": {"id": "sub_1"}});
        for kind in KINDS {
            let notice = read_value(&event(kind, content.clone())).unwrap();
            let about = announced(&notice.kind, notice.related.as_ref());
            assert_ne!(about, Announced::Nothing, "{kind}");
        }
        let path = path(Timestamp::from_micros(1_790_000_000_500_000), Some("p"));
        let begins = "/events?occurred_at%5Bafter%5D=1789999999&event_type%5Bin%5D=%5B%22subscr";
        assert!(path.starts_with(begins), "{path}");
        assert!(path.ends_with("&sort_by%5Bdesc%5D=occurred_at&limit=100&offset=p"), "{path}");
    }

    #[test]
    fn an_entry_that_makes_no_sense_spoils_no_other() {
        let mut odd = of_subscription();
        odd["occurred_at"] = json!("noon");
        let row = |event: &Value| json!({ "event": event });
        let list = json!([7, row(&of_subscription()), row(&odd), null]);
        let page = json!({"list": list, "next_offset": "n"}).to_string();
        let taken = take(page.as_bytes(), None, false).unwrap();
        let ids: Vec<&str> = taken.page.items.iter().map(|notice| notice.id.as_str()).collect();
        assert_eq!((ids, taken.page.next.as_deref()), (vec!["ev_1"], Some("n")));
        let fields: Vec<&str> = taken.faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["object", "occurred_at", "object"]);
        assert!(take(page.as_bytes(), Some("n"), false).is_err(), "in circles");
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        for (field, value) in [
            ("object", json!("usage")),
            ("id", json!("")),
            ("event_type", json!(7)),
            ("occurred_at", json!(-1)),
            ("content", json!({"customer": {"id": "cus_1"}})),
            ("content", json!([])),
        ] {
            let mut odd = of_subscription();
            odd[field] = value;
            assert_eq!(read_value(&odd).unwrap_err().field, field);
        }
        for body in [&b""[..], b"\xff", b"<html>"] {
            assert_eq!(read_posted(body, false).unwrap_err().field, "the body");
        }
    }
}
