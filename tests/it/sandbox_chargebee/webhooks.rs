//! Webhooks: what is delivered, how it is proven, and how long it is tried.

use serde_json::Value;
use tallyd::sandbox::chargebee::{
    Carrier, WebhookDelivery, WebhookEndpoint, WebhookFaults, WebhookSettings,
};

use crate::support::chargebee::{DAY, MINUTE, Running, start};

fn endpoint() -> WebhookEndpoint {
    WebhookEndpoint {
        url: "http://127.0.0.1:9/hook".to_owned(),
        basic: Some(("hook".to_owned(), "secret".to_owned())),
        types: [].into(),
        carrier: Carrier::Hand,
    }
}

async fn start_by_hand(faults: WebhookFaults) -> Running {
    let site = start().await;
    let settings = WebhookSettings { endpoints: vec![endpoint()], faults };
    site.handle.set_webhooks(settings).expect("sound settings");
    site
}

/// Makes one event after another.
fn flip(site: &Running, times: usize) {
    for _ in 0..times {
        site.handle.pause("sub").expect("it is paused");
        site.handle.resume("sub").expect("it goes on");
    }
}

fn body(delivery: &WebhookDelivery) -> Value {
    serde_json::from_slice(&delivery.body).expect("the body is JSON")
}

fn event_ids(deliveries: &[WebhookDelivery]) -> Vec<String> {
    deliveries.iter().map(|it| body(it)["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_delivery_carries_basic_credentials_and_the_event_as_it_can_be_fetched() {
    let site = start_by_hand(WebhookFaults::default()).await;
    flip(&site, 1);
    let taken = site.handle.take_deliveries();
    assert_eq!(taken.len(), 2);
    let authorization = taken[0].headers.iter().find(|(name, _)| *name == "authorization");
    assert_eq!(authorization.expect("it is there").1, "Basic aG9vazpzZWNyZXQ=");
    let event = body(&taken[0]);
    assert_eq!(event["event_type"], "subscription_paused");
    let path = format!("/events/{}", event["id"].as_str().expect("an id"));
    assert_eq!(site.get(&path, &[]).await["event"], event);
    site.handle.settle_delivery(taken[0].number, Some(204));
    assert_eq!(site.get(&path, &[]).await["event"]["webhook_status"], "succeeded");
    assert_eq!(site.handle.webhook_counts().delivered, 1);
}

#[tokio::test]
async fn a_refused_delivery_is_tried_again_seven_times_by_the_table() {
    let site = start_by_hand(WebhookFaults::default()).await;
    site.handle.pause("sub").expect("it is paused");
    let waits = [2 * MINUTE, 6 * MINUTE, 30 * MINUTE, 60 * MINUTE, 300 * MINUTE, DAY, 2 * DAY];
    let first = site.handle.take_deliveries().remove(0);
    site.handle.settle_delivery(first.number, Some(500));
    let path = format!("/events/{}", event_ids(std::slice::from_ref(&first))[0]);
    for wait in waits {
        assert_eq!(site.get(&path, &[]).await["event"]["webhook_status"], "re_scheduled");
        site.advance(wait - 1);
        assert_eq!(site.handle.take_deliveries(), []);
        site.advance(1);
        let again = site.handle.take_deliveries().remove(0);
        assert_eq!(again.body, first.body);
        site.handle.settle_delivery(again.number, None);
    }
    let counts = site.handle.webhook_counts();
    assert_eq!((counts.refused, counts.given_up, counts.waiting), (8, 1, 0));
    assert_eq!(site.get(&path, &[]).await["event"]["webhook_status"], "failed");
}

#[tokio::test]
async fn an_endpoint_gets_the_types_it_wants() {
    let site = start().await;
    let types = ["subscription_resumed".to_owned()].into();
    let endpoints = vec![WebhookEndpoint { types, ..endpoint() }];
    let settings = WebhookSettings { endpoints, ..WebhookSettings::default() };
    site.handle.set_webhooks(settings).expect("sound settings");
    flip(&site, 2);
    let taken = site.handle.take_deliveries();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|it| body(it)["event_type"] == "subscription_resumed"));
}

#[tokio::test]
async fn deliveries_are_lost_doubled_disordered_and_late_by_the_seed() {
    let lost = WebhookFaults { lost: 10_000, ..WebhookFaults::default() };
    let site = start_by_hand(lost).await;
    flip(&site, 1);
    site.advance(2 * DAY);
    assert_eq!((site.handle.take_deliveries().len(), site.handle.webhook_counts().lost), (0, 2));
    let doubled = WebhookFaults { doubled: 10_000, ..WebhookFaults::default() };
    let site = start_by_hand(doubled).await;
    site.handle.pause("sub").expect("it is paused");
    site.advance(30);
    let taken = site.handle.take_deliveries();
    assert_eq!((taken.len(), &taken[0].body), (2, &taken[1].body));
    let late = WebhookFaults { late: 10_000, ..WebhookFaults::default() };
    let site = start_by_hand(late).await;
    site.handle.pause("sub").expect("it is paused");
    assert_eq!(site.handle.take_deliveries(), []);
    site.advance(DAY);
    assert_eq!(site.handle.take_deliveries().len(), 1);
    let mut orders = Vec::new();
    for seed in [1, 1, 2] {
        let faults = WebhookFaults { seed, disordered: 5_000, ..WebhookFaults::default() };
        let site = start_by_hand(faults).await;
        flip(&site, 6);
        site.advance(30);
        orders.push(event_ids(&site.handle.take_deliveries()));
    }
    assert!(!orders[0].is_sorted());
    assert_eq!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
}

#[tokio::test]
async fn endpoints_that_make_no_sense_are_refused_and_passwords_are_not_shown() {
    let site = start().await;
    let many = WebhookSettings { endpoints: vec![endpoint(); 6], ..WebhookSettings::default() };
    assert!(!format!("{many:?}").contains("secret"));
    site.handle.set_webhooks(many).expect_err("there are too many");
    let faults = WebhookFaults { late: 10_001, ..WebhookFaults::default() };
    let odd = WebhookSettings { faults, ..WebhookSettings::default() };
    site.handle.set_webhooks(odd).expect_err("the rate is out of range");
}
