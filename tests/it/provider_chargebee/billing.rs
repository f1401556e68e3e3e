//! What a site bills and announces, asked of the stand-in: as its life goes on, and over more than
//! one page. Read next: [`super::rooms`].

use std::time::Duration;

use tallyd::domain::answer::Outcome;
use tallyd::domain::billing::{Invoice, InvoiceStatus, Subscription, SubscriptionStatus};
use tallyd::domain::names::{AccountName, FeedName, InvoiceId, NoticeId, SubscriptionId};
use tallyd::domain::notice::Notice;
use tallyd::domain::time::Timestamp;
use tallyd::provider::billing::{Announced, BillingReader as _};
use tallyd::provider::chargebee::Chargebee;
use tallyd::provider::{NoticeRefusal, Posted, Provider as _};
use tallyd::sandbox::chargebee::{CancelAt, Carrier, WebhookEndpoint, WebhookSettings};
use tallyd::sandbox::faults::{FaultKind, Faults, Reach};

use super::{HOUR, WEBHOOK_PASSWORD, chargebee};
use crate::support::chargebee::{DAY, MONTH, Running, START, start, start_with, usage};

fn id(name: &str) -> SubscriptionId {
    SubscriptionId::new(name).unwrap()
}

/// The subscription, which there is.
async fn subscription(site: &Chargebee, name: &str) -> Subscription {
    site.subscription(&id(name)).await.unwrap().value.unwrap()
}

async fn invoice(site: &Chargebee, id: &InvoiceId) -> Option<Invoice> {
    site.invoice(id).await.unwrap().value
}

async fn events(site: &Chargebee, since: i64) -> Vec<Notice> {
    let (mut all, mut page) = (Vec::new(), None::<String>);
    loop {
        let feed = FeedName::new("events").unwrap();
        let since = Timestamp::from_seconds(since);
        let found = site.feed_page(&feed, since, page.as_deref()).await.unwrap().value;
        all.extend(found.items);
        page = found.next;
        if page.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn a_subscription_is_read_through_its_life() {
    let sandbox = start().await;
    let site = chargebee(&sandbox);
    let found = site.subscription(&id("sub")).await.unwrap();
    assert_eq!((found.calls, found.provider_at.map(|at| at.seconds())), (2, Some(START)));
    let read = found.value.unwrap();
    assert_eq!(
        (read.status, read.ends_at, read.ended_at),
        (SubscriptionStatus::Billing, None, None)
    );
    let items: Vec<String> =
        read.items.iter().map(|item| format!("{} {}", item.meter, item.period)).collect();
    assert_eq!(items, ["calls [2026-10-01T12:00:00Z, 2026-11-01T12:00:00Z)"]);
    sandbox.advance(DAY);
    sandbox.handle.pause("sub").unwrap();
    let read = subscription(&site, "sub").await;
    let since = read.idle_since.map(|at| at.seconds());
    assert_eq!((read.status, since), (SubscriptionStatus::Billing, Some(START + DAY)));
    sandbox.handle.resume("sub").unwrap();
    sandbox.handle.cancel("sub", CancelAt::TermEnd).unwrap();
    let read = subscription(&site, "sub").await;
    let ends_at = read.ends_at.map(|at| at.seconds());
    assert_eq!((read.status, ends_at), (SubscriptionStatus::Billing, Some(START + MONTH)));
    sandbox.go_to(START + MONTH + DAY);
    let read = subscription(&site, "sub").await;
    let ended_at = read.ended_at.map(|at| at.seconds());
    assert_eq!((read.status, ended_at), (SubscriptionStatus::Ended, Some(START + MONTH)));
    assert_eq!(site.subscription(&id("nobody")).await.unwrap().value, None);
}

#[tokio::test]
async fn a_subscription_that_was_deleted_is_found_as_one_that_ended() {
    let sandbox = start().await;
    let site = chargebee(&sandbox);
    sandbox.advance(DAY);
    sandbox.handle.change("sub", &tallyd::sandbox::chargebee::Change::Delete).unwrap();
    let read = subscription(&site, "sub").await;
    let ended_at = read.ended_at.map(|at| at.seconds());
    assert_eq!((read.status, ended_at), (SubscriptionStatus::Ended, Some(START + DAY)));
    let page = site.subscriptions(None, None).await.unwrap().value;
    assert_eq!(page.items, [Subscription { latest_invoice: None, ..read }]);
}

#[tokio::test]
async fn a_pending_invoice_is_found_again_when_it_is_closed_under_another_id() {
    let sandbox = start_with(|site| {
        site.pending = Duration::from_secs(48 * 3_600);
        site.renames_invoices = true;
    })
    .await;
    let site = chargebee(&sandbox);
    sandbox.accept(&usage("u1", "12.50", START + DAY)).await;
    assert_eq!(subscription(&site, "sub").await.latest_invoice, None);
    sandbox.go_to(START + MONTH + HOUR);
    let draft = subscription(&site, "sub").await.latest_invoice.unwrap();
    let pending = invoice(&site, &draft).await.unwrap();
    assert_eq!(pending.status, InvoiceStatus::Draft);
    let closes_at = Timestamp::from_seconds(START + MONTH + 48 * HOUR);
    assert_eq!((pending.finalizes_at, pending.finalized_at), (Some(closes_at), None));
    assert_eq!(pending.lines[0].quantity.to_string(), "12.5");
    sandbox.go_to(START + MONTH + 49 * HOUR);
    assert_eq!(invoice(&site, &draft).await, None, "it has another id now");
    let closed = subscription(&site, "sub").await.latest_invoice.unwrap();
    assert_ne!(closed, draft);
    let closed = invoice(&site, &closed).await.unwrap();
    assert_eq!((closed.status, closed.finalizes_at), (InvoiceStatus::Final, None));
    assert_eq!(closed.finalized_at, Some(closes_at));
    assert_eq!((closed.lines, closed.term), (pending.lines, pending.term));
    let all = site.invoices(Timestamp::from_seconds(START), None).await.unwrap().value.items;
    assert_eq!(all.len(), 1);
    let none = site.invoices(Timestamp::from_seconds(START + 2 * MONTH), None).await.unwrap();
    assert_eq!(none.value.items, []);
}

#[tokio::test]
async fn lists_are_read_over_all_their_pages() {
    let sandbox = start().await;
    for number in 0..120 {
        sandbox.subscribe(&format!("sub_{number}"), &["basic", "calls"]);
    }
    let site = chargebee(&sandbox);
    let first = site.subscriptions(None, None).await.unwrap().value;
    assert_eq!(first.items.len(), 100);
    let second = site.subscriptions(None, first.next.as_deref()).await.unwrap().value;
    assert_eq!((second.items.len(), second.next), (21, None));
    let account = AccountName::new("sub_7").unwrap();
    let one = site.subscriptions(Some(&account), None).await.unwrap().value;
    assert_eq!(one.items.iter().map(|each| each.id.as_str()).collect::<Vec<_>>(), ["sub_7"]);
    let announced = events(&site, START).await;
    assert_eq!(announced.len(), 121, "newest first, and each once");
    let about = site.announced(&announced[0].kind, announced[0].related.as_ref());
    assert_eq!(about, Announced::Subscription(id("sub_119")));
    assert_eq!(events(&site, START + 1).await, []);
    let report = site.rejections(&NoticeId::new("ev_1").unwrap()).await.unwrap();
    assert_eq!((report.value, report.calls), (None, 0));
}

/// Has the next request go wrong, whatever it is.
fn next(sandbox: &Running, fault: FaultKind) {
    let next = [fault].into_iter().collect();
    let faults = Faults { next, reach: Reach::Everything, ..Faults::default() };
    sandbox.handle.set_faults(faults).unwrap();
}

#[tokio::test]
async fn what_is_not_answered_is_not_taken_for_nothing() {
    let sandbox = start().await;
    let site = chargebee(&sandbox);
    for (fault, outcome) in [
        (FaultKind::ErrorBefore, Outcome::Failed),
        (FaultKind::UnavailableHtml, Outcome::Failed),
        (FaultKind::AnswerCut, Outcome::Unknown),
    ] {
        next(&sandbox, fault);
        let answer = site.subscription(&id("nobody")).await.unwrap_err();
        assert_eq!(answer.outcome, outcome, "{fault:?}");
        next(&sandbox, fault);
        site.invoice(&InvoiceId::new("nobodys").unwrap()).await.unwrap_err();
    }
}

/// What webhooks the stand-in sends with this password, as the site's reader takes them.
async fn posted(sandbox: &Running, password: &str) -> Vec<Result<Notice, NoticeRefusal>> {
    let endpoint = WebhookEndpoint {
        url: "http://127.0.0.1:9/webhooks/chargebee.main".to_owned(),
        basic: Some(("tallyd".to_owned(), password.to_owned())),
        types: ["subscription_paused".to_owned()].into(),
        carrier: Carrier::Hand,
    };
    let settings = WebhookSettings { endpoints: vec![endpoint], ..WebhookSettings::default() };
    sandbox.handle.set_webhooks(settings).unwrap();
    sandbox.handle.pause("sub").unwrap();
    let reader = chargebee(sandbox).notice_reader().unwrap();
    let deliveries = sandbox.handle.take_deliveries();
    let read = deliveries.iter().map(|delivery| {
        let headers: Vec<(&str, &[u8])> =
            delivery.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let now = Timestamp::from_seconds(START);
        reader.read(Posted { headers: &headers, body: &delivery.body }, now)
    });
    read.collect()
}

#[tokio::test]
async fn a_webhook_is_taken_with_the_password_and_says_what_the_list_says() {
    let sandbox = start().await;
    let refused = posted(&sandbox, "another password of a test").await;
    assert_eq!(refused[0].as_ref().unwrap_err().code(), "password_mismatch");
    sandbox.handle.resume("sub").unwrap();
    let taken = posted(&sandbox, WEBHOOK_PASSWORD).await.remove(0).unwrap();
    let listed = events(&chargebee(&sandbox), START).await.remove(0);
    assert_eq!((taken.id, taken.kind, taken.related), (listed.id, listed.kind, listed.related));
}
