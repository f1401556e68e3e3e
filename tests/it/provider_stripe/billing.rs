//! What Stripe bills and announces, asked of the sandbox: as its life goes on, and over more than
//! one page. Read next: [`answers`].

use std::collections::BTreeSet;
use std::time::Duration;

use tallyd::domain::billing::{Invoice, InvoiceStatus, Subscription, SubscriptionStatus};
use tallyd::domain::names::{
    AccountName, FeedName, InvoiceId, NoticeId, ProviderMeter, SubscriptionId,
};
use tallyd::domain::notice::Notice;
use tallyd::domain::time::Timestamp;
use tallyd::provider::Provider as _;
use tallyd::provider::billing::{Announced, Answered, BillingReader as _, Page};
use tallyd::provider::stripe::Stripe;
use tallyd::sandbox::faults::FaultKind;

use super::{PATIENT, stripe};
use crate::support::billing::{SUBSCRIPTIONS, text};
use crate::support::stripe::{METERS, NOON, Running, event_of, pairs, start};

mod answers;

/// A sandbox, and its account as it is known after first contact.
async fn met() -> (Running, Stripe) {
    let sandbox = start().await;
    let stripe = stripe(&sandbox.url, PATIENT);
    stripe.contact().await.map(|contact| stripe.adopt_meters(contact.meters)).unwrap();
    (sandbox, stripe)
}

async fn subscription(stripe: &Stripe, id: &str) -> Subscription {
    let id = SubscriptionId::new(id).unwrap();
    let answered = stripe.subscription(&id).await.unwrap();
    assert_eq!(answered.calls, 1);
    assert!(answered.provider_at.is_some());
    answered.value.unwrap()
}

async fn invoice(stripe: &Stripe, id: &InvoiceId) -> Answered<Invoice> {
    let Answered { value, provider_at, calls } = stripe.invoice(id).await.unwrap();
    Answered { value: value.unwrap(), provider_at, calls }
}

/// The items of a subscription, as `meter period`.
fn items(subscription: &Subscription) -> Vec<String> {
    subscription.items.iter().map(|item| format!("{} {}", item.meter, item.period)).collect()
}

fn at(time: &str) -> Timestamp {
    Timestamp::parse_rfc3339(time).unwrap()
}

fn feed(name: &str) -> FeedName {
    FeedName::new(name).unwrap()
}

/// All pages of a feed: how many notices each has, and all of them.
async fn all(stripe: &Stripe, name: &str, since: &str) -> (Vec<usize>, Vec<Notice>) {
    let (mut sizes, mut notices, mut next) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let asked = stripe.feed_page(&feed(name), at(since), next.as_deref()).await.unwrap();
        assert_eq!(asked.calls, 1);
        let Page { items, next: following } = asked.value;
        sizes.push(items.len());
        notices.extend(items);
        if following.is_none() {
            return (sizes, notices);
        }
        next = following;
    }
}

#[tokio::test]
async fn a_subscription_that_began_on_the_31st_is_learned_through_its_life() {
    let (sandbox, stripe) = met().await;
    sandbox.go_to("2028-01-31T00:00:00Z");
    let created = sandbox.subscribe(&[]).await;
    let id = text(&created, "id");
    let first = subscription(&stripe, id).await;
    assert_eq!((first.id.as_str(), first.account.as_str()), (id, "cus_1"));
    assert_eq!((first.status, first.ends_at), (SubscriptionStatus::Billing, None));
    assert_eq!(first.started_at, at("2028-01-31T00:00:00Z"));
    assert_eq!(items(&first), ["tokens [2028-01-31T00:00:00Z, 2028-02-29T00:00:00Z)"]);
    assert_eq!(first.latest_invoice, None);

    sandbox.go_to("2028-03-31T00:00:00Z");
    let path = format!("{SUBSCRIPTIONS}/{id}");
    sandbox.post_for("subscription", &path, &[("cancel_at_period_end", "true")]).await;
    let third = subscription(&stripe, id).await;
    assert_eq!(items(&third), ["tokens [2028-03-31T00:00:00Z, 2028-04-30T00:00:00Z)"]);
    assert_eq!((third.status, third.ended_at), (SubscriptionStatus::Billing, None));
    assert_eq!(third.ends_at, Some(at("2028-04-30T00:00:00Z")));
    assert!(third.latest_invoice.is_some());

    sandbox.post_for("subscription", &format!("{path}/pause"), &[]).await;
    assert_eq!(subscription(&stripe, id).await.status, SubscriptionStatus::Paused);
    sandbox.delete(&path, &[]).await;
    let last = subscription(&stripe, id).await;
    assert_eq!(last.status, SubscriptionStatus::Ended);
    assert_eq!(last.ended_at, Some(at("2028-03-31T00:00:00Z")));
}

#[tokio::test]
async fn subscriptions_are_listed_page_by_page_of_everybody_or_of_one_account() {
    let (sandbox, stripe) = met().await;
    let price = sandbox.price("tokens", "1").await;
    for place in 0..103 {
        let customer = if place % 50 == 0 { "cus_2" } else { "cus_1" };
        let form = [("customer", customer), ("items[0][price]", price.as_str())];
        sandbox.post_for("subscription", SUBSCRIPTIONS, &form).await;
    }
    sandbox.delete(&format!("{SUBSCRIPTIONS}/sub_sandbox00000000"), &[]).await;
    let first = stripe.subscriptions(None, None).await.unwrap();
    assert_eq!((first.value.items.len(), first.calls), (100, 1));
    let next = first.value.next.unwrap();
    let second = stripe.subscriptions(None, Some(&next)).await.unwrap().value;
    let ids: Vec<&str> = second.items.iter().map(|each| each.id.as_str()).collect();
    assert_eq!(ids, ["sub_sandbox00000002", "sub_sandbox00000001", "sub_sandbox00000000"]);
    assert_eq!((second.items[2].status, second.next), (SubscriptionStatus::Ended, None));
    let payer = AccountName::new("cus_2").unwrap();
    let of_one = stripe.subscriptions(Some(&payer), None).await.unwrap().value;
    assert_eq!((of_one.items.len(), of_one.next), (3, None));
    assert!(of_one.items.iter().all(|each| each.account == payer));
}

#[tokio::test]
async fn a_draft_is_learned_with_its_lines_and_again_when_it_is_final() {
    let (sandbox, stripe) = met().await;
    let created = sandbox.subscribe(&[]).await;
    sandbox.use_at("a", "1.25", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2026-10-21T12:30:00Z");
    let id = subscription(&stripe, text(&created, "id")).await.latest_invoice.unwrap();
    let draft = invoice(&stripe, &id).await;
    assert_eq!(draft.calls, 1, "the price was learned with the subscription");
    let draft = draft.value;
    assert_eq!((draft.id.clone(), draft.lines[0].account.as_str()), (id.clone(), "cus_1"));
    assert_eq!((draft.status, draft.finalized_at), (InvoiceStatus::Draft, None));
    assert_eq!(draft.created_at, at("2026-10-21T12:00:00Z"));
    assert_eq!(draft.finalizes_at, Some(at("2026-10-21T13:00:00Z")));
    assert_eq!(draft.lines.len(), 1);
    let line = &draft.lines[0];
    assert_eq!((line.quantity.to_string().as_str(), line.meter.as_str()), ("1.25", "tokens"));
    assert_eq!(line.subscription.as_str(), text(&created, "id"));
    assert_eq!(line.period.to_string(), "[2026-09-21T12:00:00Z, 2026-10-21T12:00:00Z)");

    sandbox.use_at("b", "0.5", "2026-10-21T11:59:59Z").await;
    sandbox.go_to("2026-10-21T13:00:00Z");
    let last = invoice(&stripe, &id).await.value;
    assert_eq!((last.status, last.finalizes_at), (InvoiceStatus::Final, None));
    assert_eq!(last.finalized_at, Some(at("2026-10-21T13:00:00Z")));
    assert_eq!(last.lines[0].quantity.to_string(), "1.75");
    assert_eq!(last.lines[0].id, line.id);
}

#[tokio::test]
async fn an_invoice_of_many_lines_is_read_whole_and_its_prices_are_asked_for_once() {
    let (sandbox, stripe) = met().await;
    let mut form = vec![("customer".to_owned(), "cus_1".to_owned())];
    for place in 0..12 {
        let price = sandbox.price("tokens", "1").await;
        form.push((format!("items[{place}][price]"), price));
    }
    let reply = sandbox.post(SUBSCRIPTIONS, &form).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    sandbox.go_to("2026-12-01T00:00:00Z");
    let since = at("2026-10-21T12:00:00Z");
    let first = stripe.invoices(since, None).await.unwrap();
    let listed: Vec<(usize, InvoiceStatus)> =
        first.value.items.iter().map(|each| (each.lines.len(), each.status)).collect();
    assert_eq!(listed, [(12, InvoiceStatus::Final), (12, InvoiceStatus::Final)]);
    let prices: BTreeSet<&str> =
        first.value.items[0].lines.iter().map(|line| line.price.as_str()).collect();
    assert_eq!(prices.len(), 12);
    assert_eq!((first.value.next, first.calls), (None, 1 + 2 + 12), "list, lines, prices");
    let again = stripe.invoices(since, None).await.unwrap();
    assert_eq!((again.value.items.len(), again.calls), (2, 1 + 2));
    let later = stripe.invoices(since.plus_seconds(1), None).await.unwrap();
    assert_eq!((later.value.items.len(), later.calls), (1, 1 + 1));
}

#[tokio::test]
async fn invoices_are_listed_page_by_page() {
    let (sandbox, stripe) = met().await;
    sandbox.subscribe(&[]).await;
    // A hundred months and two: each has its invoice.
    sandbox.go_to("2035-03-22T00:00:00Z");
    let since = at("2026-09-21T12:00:00Z");
    let first = stripe.invoices(since, None).await.unwrap();
    assert_eq!((first.value.items.len(), first.calls), (100, 1 + 1));
    let next = first.value.next.unwrap();
    let second = stripe.invoices(since, Some(&next)).await.unwrap();
    assert_eq!((second.value.items.len(), second.value.next, second.calls), (2, None, 1));
    assert_eq!(second.value.items[1].created_at, at("2026-10-21T12:00:00Z"));
}

#[tokio::test]
async fn the_feed_of_snapshots_is_read_page_by_page_from_a_time_on() {
    let (sandbox, stripe) = met().await;
    let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
    for place in 0..105 {
        sandbox.post(&path, &pairs(&[("display_name", &format!("m{place}"))])).await;
        sandbox.clock.advance_micros(1_000_000);
    }
    let created = sandbox.subscribe(&[]).await;
    sandbox.delete("/v1/customers/cus_1", &[]).await;
    let (sizes, notices) = all(&stripe, "events", "2026-09-21T12:00:03.9Z").await;
    // The renamings from the second on in which the time lies, a subscription's life, a customer's.
    assert_eq!(sizes, [100, 102 + 3 - 100]);
    let ids: BTreeSet<&NoticeId> = notices.iter().map(|notice| &notice.id).collect();
    assert_eq!(ids.len(), notices.len());
    assert!(notices.is_sorted_by(|one, other| one.created_at >= other.created_at));
    let means = |place: usize| {
        let notice: &Notice = &notices[place];
        stripe.announced(&notice.kind, notice.related.as_ref())
    };
    let id = SubscriptionId::new(text(&created, "id")).unwrap();
    assert_eq!(means(0), Announced::AccountGone(AccountName::new("cus_1").unwrap()));
    assert_eq!(means(1), Announced::Subscription(id.clone()));
    assert_eq!(means(2), Announced::Subscription(id));
    assert_eq!(means(3), Announced::Meters);
    let names: Vec<String> = stripe.feeds().iter().map(|feed| feed.as_str().to_owned()).collect();
    assert_eq!(names, ["events", "core_events"]);
}

#[tokio::test]
async fn the_feed_of_reports_is_read_page_by_page_from_a_time_on() {
    let (sandbox, stripe) = met().await;
    sandbox.script(&[FaultKind::RejectedLater; 103]);
    for place in 0..103 {
        sandbox.use_at(&format!("doomed-{place}"), "1", "2026-09-21T12:00:00Z").await;
        sandbox.handle.advance(Duration::from_secs(10));
    }
    let (sizes, notices) = all(&stripe, "core_events", "2026-09-21T12:00:20.000001Z").await;
    assert_eq!(sizes, [100, 1], "the first two reports are from before");
    assert_eq!(notices[100].created_at, at("2026-09-21T12:00:30Z"));
    for notice in &notices {
        let means = stripe.announced(&notice.kind, notice.related.as_ref());
        assert_eq!(means, Announced::Rejections);
    }
    let none = all(&stripe, "core_events", "2026-09-22T00:00:00Z").await;
    assert_eq!(none, (vec![0], vec![]));
}

#[tokio::test]
async fn a_report_is_read_with_its_samples() {
    let (sandbox, stripe) = met().await;
    sandbox.script(&[FaultKind::RejectedLater; 11]);
    for place in 0..11 {
        let (customer, name) = (format!("cus_{place}"), format!("doomed-{place}"));
        sandbox.accept(&event_of("tokens", &customer, &name, "1", NOON)).await;
    }
    sandbox.handle.advance(Duration::from_secs(10));
    let (_, notices) = all(&stripe, "core_events", "2026-09-21T00:00:00Z").await;
    let asked = stripe.rejections(&notices[0].id).await.unwrap();
    assert_eq!(asked.calls, 1);
    let report = asked.value.unwrap();
    assert_eq!(report.meter, Some(ProviderMeter::new("tokens").unwrap()));
    assert_eq!((report.count, report.samples.len()), (11, 10));
    assert_eq!(report.validated.to_string(), "[2026-09-21T12:00:00Z, 2026-09-21T12:00:10Z)");
    let names: BTreeSet<&str> = report.samples.iter().map(|each| each.name.as_str()).collect();
    // An older form of a sample names the idempotency key; there was none, so the sandbox takes
    // the identifier.
    assert!(names.iter().all(|name| name.starts_with("doomed-")), "{names:?}");
    assert_eq!(names.len(), 10);
    assert!(report.samples.iter().all(|each| each.code == "meter_event_customer_not_found"));
    assert!(report.samples[0].message.starts_with("No customer was found matching cus_"));
}

#[tokio::test]
async fn a_report_of_no_meter_has_none() {
    let (sandbox, stripe) = met().await;
    sandbox.script(&[FaultKind::NoMeterLater]);
    sandbox.use_at("doomed", "1", "2026-09-21T12:00:00Z").await;
    sandbox.handle.advance(Duration::from_secs(10));
    let (_, notices) = all(&stripe, "core_events", "2026-09-21T00:00:00Z").await;
    assert_eq!(notices[0].related, None);
    let report = stripe.rejections(&notices[0].id).await.unwrap().value.unwrap();
    assert_eq!((report.meter, report.count), (None, 1));
    assert_eq!(report.samples[0].code, "no_meter");
}

#[tokio::test]
async fn what_is_not_there_is_told_as_nothing() {
    let (_sandbox, stripe) = met().await;
    let subscription = stripe.subscription(&SubscriptionId::new("sub_none").unwrap()).await;
    assert_eq!(subscription.map(|it| (it.value, it.calls)), Ok((None, 1)));
    let invoice = stripe.invoice(&InvoiceId::new("in_none").unwrap()).await;
    assert_eq!(invoice.map(|it| (it.value, it.calls)), Ok((None, 1)));
    let report = stripe.rejections(&NoticeId::new("evt_none").unwrap()).await.unwrap();
    assert_eq!((report.value, report.calls), (None, 1));
    assert!(report.provider_at.is_some(), "an answer that there is none tells the time too");
}
