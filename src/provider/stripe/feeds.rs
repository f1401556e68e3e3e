//! The lists of what Stripe announced. PURE. Here: what is asked of each, how a page of it is read,
//! and what a notice is about. Never here: one event of a page ([`super::notices`]). Read next:
//! [`super::rejections`].
//!
//! Stripe keeps events for 30 days. A list may lack the newest for a minute or so; whoever asks
//! asks again from before where it left off.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::notices::{self, NoticeFault, NoticeFaultKind};
use super::objects::{self, NoObject};
use crate::domain::closed::closed;
use crate::domain::names::{AccountName, InvoiceId, NoticeKind, SubscriptionId};
use crate::domain::notice::{Notice, Related};
use crate::domain::time::Timestamp;
use crate::provider::billing::{Announced, Page};

/// Longest query of a further page, in bytes: the one that Stripe gives repeats ours, which has
/// about 200, and a token.
const QUERY_BYTES_MAX: usize = 4_096;
/// Where thin events are listed.
pub const CORE_EVENTS: &str = "/v2/core/events";
/// Where snapshot events are listed.
const EVENTS: &str = "/v1/events";

/// What is asked of the list of snapshot events: at most 20 kinds, Stripe's limit.
const SNAPSHOT_KINDS: &[&str] = &[
    "billing.meter.created",
    "billing.meter.deactivated",
    "billing.meter.reactivated",
    "billing.meter.updated",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.updated",
    "invoice.created",
    "invoice.deleted",
    "invoice.finalization_failed",
    "invoice.finalized",
    "invoice.paid",
    "invoice.updated",
    "invoice.voided",
];
/// What is asked of the list of thin events: what has no snapshot. The thin forms of the others
/// would only say again what the other list says, and reads are rationed.
const THIN_KINDS: &[&str] = &[ERROR_REPORT, NO_METER_FOUND];

/// Events of a meter were rejected after they had been accepted.
pub const ERROR_REPORT: &str = "v1.billing.meter.error_report_triggered";
/// Events that name no meter were rejected after they had been accepted.
pub const NO_METER_FOUND: &str = "v1.billing.meter.no_meter_found";

closed! {
    /// A list of what was announced.
    Feed {
        /// Snapshot events.
        Events = "events",
        /// Thin events.
        CoreEvents = "core_events",
    }
}

/// What a page of a feed came to.
#[derive(Debug)]
pub struct Taken {
    /// The notices that can be read, and how to go on.
    pub page: Page<Notice>,
    /// Why the others cannot.
    pub faults: Vec<NoticeFault>,
}

impl Feed {
    /// The path of the first page of what was announced from `since` on, or of a further one.
    #[must_use]
    pub fn path(self, since: Timestamp, page: Option<&str>) -> String {
        let numbered = |kinds: &'static [&'static str]| {
            let one = |(place, kind): (usize, &&'static str)| (format!("types[{place}]"), *kind);
            kinds.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let (kinds, created) = match self {
            Self::Events => (numbered(SNAPSHOT_KINDS), since.seconds().to_string()),
            Self::CoreEvents => (numbered(THIN_KINDS), since.to_rfc3339()),
        };
        let mut filters = vec![("created[gte]", created.as_str())];
        filters.extend(kinds.iter().map(|(name, kind)| (name.as_str(), *kind)));
        match (self, page) {
            (Self::Events, after) => objects::list_path(EVENTS, &filters, after),
            (Self::CoreEvents, None) => objects::list_path(CORE_EVENTS, &filters, None),
            // The query is Stripe's own, and was checked when it was taken.
            (Self::CoreEvents, Some(query)) => format!("{CORE_EVENTS}?{query}"),
        }
    }

    /// Whether `page` can be what a page before it gave to go on with.
    #[must_use]
    pub fn can_ask_with(self, page: &str) -> bool {
        match self {
            Self::Events => true,
            Self::CoreEvents => is_query(page),
        }
    }

    /// Reads the page that was asked for with `asked`.
    ///
    /// # Errors
    /// When it is no page of this feed, or of the other mode.
    pub fn take(self, body: &[u8], asked: Option<&str>, livemode: bool) -> Result<Taken, NoObject> {
        let (rows, next) = match self {
            Self::Events => {
                let page = objects::list(body, asked)?;
                (page.rows, page.next)
            }
            Self::CoreEvents => thin_page(body, asked)?,
        };
        let (mut items, mut faults) = (Vec::new(), Vec::new());
        for row in rows {
            match notices::read(row.get().as_bytes(), livemode) {
                Ok(notice) => items.push(notice),
                Err(NoticeFault { kind: NoticeFaultKind::WrongMode, .. }) => {
                    return Err(NoObject::OtherMode("event"));
                }
                Err(fault @ NoticeFault { kind: NoticeFaultKind::Malformed, .. }) => {
                    faults.push(fault);
                }
            }
        }
        Ok(Taken { page: Page { items, next }, faults })
    }
}

#[derive(Deserialize)]
struct ThinPage<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    next_page_url: Option<String>,
}

fn thin_page<'a>(
    body: &'a [u8],
    asked: Option<&str>,
) -> Result<(Vec<&'a RawValue>, Option<String>), NoObject> {
    let wrong = |why: &str| NoObject::unreadable("the list of events", why);
    let page: ThinPage<'_> =
        serde_json::from_slice(body).map_err(|_| wrong("has not the form of one"))?;
    let Some(url) = page.next_page_url else { return Ok((page.data, None)) };
    let next = next_query(&url).ok_or_else(|| wrong("goes on somewhere else"))?;
    if asked == Some(next) {
        return Err(wrong("does not go on from where it was asked"));
    }
    Ok((page.data, Some(next.to_owned())))
}

/// The query of the next page, when its address leads to this same list. Only this is kept of the
/// address: the key goes to no other host than the one that is set.
fn next_query(url: &str) -> Option<&str> {
    let from_path = match url.split_once("://") {
        Some((_, from_host)) => &from_host[from_host.find('/')?..],
        None => url,
    };
    let query = from_path.strip_prefix(CORE_EVENTS)?.strip_prefix('?')?;
    is_query(query).then_some(query)
}

/// Whether it can be put behind a question mark as it is.
fn is_query(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    !text.is_empty() && text.len() <= QUERY_BYTES_MAX && text.bytes().all(inside)
}

/// What a notice of this kind is about, in either of its forms: the thin form of a snapshot is
/// called as it, with `v1.` before.
#[must_use]
pub fn announced(kind: &NoticeKind, related: Option<&Related>) -> Announced {
    let kind = kind.as_str();
    if THIN_KINDS.contains(&kind) {
        return Announced::Rejections;
    }
    let kind = kind.strip_prefix("v1.").unwrap_or(kind);
    match kind {
        "billing.meter.created"
        | "billing.meter.deactivated"
        | "billing.meter.reactivated"
        | "billing.meter.updated" => Announced::Meters,
        "customer.deleted" => {
            let account = about(related, "customer").and_then(|id| AccountName::new(id).ok());
            account.map_or(Announced::Nothing, Announced::AccountGone)
        }
        // Stripe says that it deletes no draft of a subscription. Should one go all the same, its
        // period is as if it had not been seen: https://docs.stripe.com/api/invoices/delete
        "invoice.created"
        | "invoice.deleted"
        | "invoice.finalization_failed"
        | "invoice.finalized"
        | "invoice.paid"
        | "invoice.updated"
        | "invoice.voided" => {
            let invoice = about(related, "invoice").and_then(|id| InvoiceId::new(id).ok());
            invoice.map_or(Announced::Nothing, Announced::Invoice)
        }
        // Also what has a name of its own among thin events only, such as an item that was added.
        _ if kind.starts_with("customer.subscription.") => {
            let id = about(related, "subscription").and_then(|id| SubscriptionId::new(id).ok());
            id.map_or(Announced::Nothing, Announced::Subscription)
        }
        _ => Announced::Nothing,
    }
}

/// The id of the object that a notice is about, when it is of this kind.
fn about<'a>(related: Option<&'a Related>, kind: &str) -> Option<&'a str> {
    related.filter(|related| related.kind.as_str() == kind).map(|related| related.id.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::names::{ObjectId, ObjectKind};

    fn since() -> Timestamp {
        Timestamp::from_micros(1_790_000_000_500_000)
    }

    fn snapshot(id: &str) -> Value {
        json!({
            "id": id, "object": "event", "created": 1_790_000_000, "livemode": false,
            "type": "invoice.paid", "data": {"object": {"id": "in_1", "object": "invoice"}},
        })
    }

    fn thin(id: &str) -> Value {
        json!({
            "id": id, "object": "v2.core.event", "created": "2026-09-21T14:13:20Z",
            "livemode": false, "type": ERROR_REPORT,
        })
    }

    fn page_of(feed: Feed, page: &Value, asked: Option<&str>) -> Result<Taken, String> {
        feed.take(page.to_string().as_bytes(), asked, false).map_err(|error| error.to_string())
    }

    fn ids(taken: &Taken) -> Vec<&str> {
        taken.page.items.iter().map(|notice| notice.id.as_str()).collect()
    }

    #[test]
    fn no_feed_is_asked_for_more_kinds_than_stripe_allows_nor_for_one_without_meaning() {
        for kinds in [SNAPSHOT_KINDS, THIN_KINDS] {
            assert!(kinds.len() <= 20);
            for kind in kinds {
                let related = ["subscription", "invoice", "customer"].map(|of| Related {
                    kind: ObjectKind::new(of).unwrap(),
                    id: ObjectId::new("x_1").unwrap(),
                });
                let kind = NoticeKind::new(kind).unwrap();
                let means = |of: &Related| announced(&kind, Some(of)) != Announced::Nothing;
                assert!(related.iter().any(means), "{kind}");
            }
        }
    }

    #[test]
    fn each_feed_is_asked_in_its_own_words() {
        let first = Feed::Events.path(since(), None);
        assert!(first.starts_with("/v1/events?created%5Bgte%5D=1790000000&types%5B0%5D=billing"));
        assert!(first.ends_with("&types%5B16%5D=invoice.voided&limit=100"), "{first}");
        let second = Feed::Events.path(since(), Some("evt_1"));
        assert_eq!(second, format!("{first}&starting_after=evt_1"));
        let thin = "/v2/core/events?created%5Bgte%5D=2026-09-21T14%3A13%3A20.500Z\
                    &types%5B0%5D=v1.billing.meter.error_report_triggered\
                    &types%5B1%5D=v1.billing.meter.no_meter_found&limit=100";
        assert_eq!(Feed::CoreEvents.path(since(), None), thin);
        let next = Feed::CoreEvents.path(since(), Some("limit=100&page=page_1"));
        assert_eq!(next, "/v2/core/events?limit=100&page=page_1");
    }

    #[test]
    fn a_page_is_read_as_it_was_written_and_goes_on() {
        let text = format!(
            r#"{{"object":"list","has_more":true,"data":[ {:#} ,{}]}}"#,
            snapshot("evt_2"),
            snapshot("evt_1")
        );
        let taken = Feed::Events.take(text.as_bytes(), None, false).unwrap();
        assert_eq!((ids(&taken), &*taken.faults), (vec!["evt_2", "evt_1"], &[][..]));
        assert_eq!(taken.page.next.as_deref(), Some("evt_1"));
        assert_eq!(taken.page.items[0].body, format!("{:#}", snapshot("evt_2")));
        let url = "/v2/core/events?limit=100&page=page_1";
        let page = json!({"data": [thin("evt_test_1")], "next_page_url": url});
        let read = page_of(Feed::CoreEvents, &page, None).unwrap();
        assert_eq!(ids(&read), ["evt_test_1"]);
        assert_eq!(read.page.next.as_deref(), Some("limit=100&page=page_1"));
        assert!(Feed::CoreEvents.can_ask_with("limit=100&page=page_1"));
        let last = json!({"data": [], "next_page_url": null, "previous_page_url": url});
        let read = page_of(Feed::CoreEvents, &last, None).unwrap();
        assert_eq!((ids(&read).len(), read.page.next), (0, None));
    }

    #[test]
    fn an_entry_that_makes_no_sense_spoils_no_other_and_one_of_the_other_mode_does() {
        let mut odd = snapshot("evt_2");
        odd["created"] = json!("noon");
        let data = json!([7, snapshot("evt_3"), odd, null, snapshot("evt_1")]);
        let page = json!({"object": "list", "has_more": false, "data": data});
        let read = page_of(Feed::Events, &page, None).unwrap();
        assert_eq!(ids(&read), ["evt_3", "evt_1"]);
        let fields: Vec<&str> = read.faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["the body", "created", "the body"]);
        let mut live = thin("evt_test_2");
        live["livemode"] = json!(true);
        let page = json!({"data": [thin("evt_test_1"), live]});
        let error = page_of(Feed::CoreEvents, &page, None).unwrap_err();
        assert!(error.contains("another mode than the event"), "{error}");
    }

    #[test]
    fn the_next_page_is_of_the_same_list_whatever_host_it_names() {
        for (url, query) in [
            ("/v2/core/events?page=a%2B", Some("page=a%2B")),
            ("https://api.stripe.com/v2/core/events?page=a", Some("page=a")),
            (
                "https://elsewhere.example/v2/core/events?page=a&u=http://x/",
                Some("page=a&u=http://x/"),
            ),
            ("/v2/core/events", None),
            ("/v2/core/events?", None),
            ("/v2/core/events/evt_1?page=a", None),
            ("/v2/core/accounts?page=a", None),
            ("https://elsewhere.example", None),
            ("//elsewhere.example/v2/core/events?page=a", None),
            ("@elsewhere.example/v2/core/events?page=a", None),
            ("/v2/core/events?page=a b", None),
            ("/v2/core/events?page=a\r\nX-Key: b", None),
            ("/v2/core/events?page=a#b", None),
            ("/v2/core/events?page=\u{e9}", None),
            ("", None),
        ] {
            assert_eq!(next_query(url), query, "{url}");
        }
        let long = format!("/v2/core/events?{}", "a".repeat(QUERY_BYTES_MAX + 1));
        assert_eq!(next_query(&long), None);
        let page = |url: &str| json!({"data": [], "next_page_url": url});
        let error = page_of(Feed::CoreEvents, &page("/v2/x?page=a"), None).unwrap_err();
        assert!(error.contains("goes on somewhere else"), "{error}");
        let same = page("/v2/core/events?page=a");
        let error = page_of(Feed::CoreEvents, &same, Some("page=a")).unwrap_err();
        assert!(error.contains("does not go on"), "{error}");
        for feed in Feed::ALL {
            for body in ["", "null", "[]", "{}", "<html>", r#"{"data": {}}"#] {
                assert!(feed.take(body.as_bytes(), None, false).is_err(), "{feed} {body}");
            }
        }
    }

    #[test]
    fn a_notice_is_about_what_it_names_in_either_form() {
        let means = |kind: &str, of: Option<(&str, &str)>| {
            let related = of.map(|(kind, id)| Related {
                kind: ObjectKind::new(kind).unwrap(),
                id: ObjectId::new(id).unwrap(),
            });
            announced(&NoticeKind::new(kind).unwrap(), related.as_ref())
        };
        let subscription = Some(("subscription", "sub_1"));
        let invoice = Some(("invoice", "in_1"));
        let customer = Some(("customer", "cus_1"));
        let meter = Some(("billing.meter", "mtr_1"));
        let the_subscription = Announced::Subscription(SubscriptionId::new("sub_1").unwrap());
        let the_invoice = Announced::Invoice(InvoiceId::new("in_1").unwrap());
        let gone = Announced::AccountGone(AccountName::new("cus_1").unwrap());
        for (kind, of, told) in [
            ("customer.subscription.updated", subscription, the_subscription.clone()),
            ("v1.customer.subscription.item_added", subscription, the_subscription),
            ("customer.subscription.updated", invoice, Announced::Nothing),
            ("customer.subscription.updated", None, Announced::Nothing),
            ("invoice.finalized", invoice, the_invoice.clone()),
            ("v1.invoice.created", invoice, the_invoice),
            ("invoice.upcoming", None, Announced::Nothing),
            ("invoice.upcoming", invoice, Announced::Nothing),
            ("invoice.paid", subscription, Announced::Nothing),
            ("customer.deleted", customer, gone.clone()),
            ("v1.customer.deleted", customer, gone),
            ("customer.deleted", None, Announced::Nothing),
            ("customer.updated", customer, Announced::Nothing),
            ("billing.meter.deactivated", meter, Announced::Meters),
            ("v1.billing.meter.updated", None, Announced::Meters),
            (ERROR_REPORT, meter, Announced::Rejections),
            (NO_METER_FOUND, None, Announced::Rejections),
            ("billing.meter.error_report_triggered", meter, Announced::Nothing),
            ("v2.customer.deleted", customer, Announced::Nothing),
            ("v1.", None, Announced::Nothing),
        ] {
            assert_eq!(means(kind, of), told, "{kind} {of:?}");
        }
    }
}
