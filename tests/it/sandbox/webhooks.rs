//! Webhooks: what is delivered, how it is signed, and what goes wrong on the way.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::stripe::{
    Carrier, Payload, WebhookDelivery, WebhookEndpoint, WebhookFaults, WebhookSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::billing::text;
use crate::support::stripe::{METERS, Running, client, event, pairs, start};

const SECRETS: [&str; 2] = ["whsec_old", "whsec_new"];

fn endpoint(payload: Payload) -> WebhookEndpoint {
    WebhookEndpoint {
        url: "http://127.0.0.1:9/hook".to_owned(),
        secrets: SECRETS.map(str::to_owned).to_vec(),
        payload,
        types: [].into(),
        carrier: Carrier::Hand,
    }
}

/// A sandbox with one endpoint for snapshots that is carried by hand.
async fn start_by_hand(faults: WebhookFaults) -> Running {
    let sandbox = start().await;
    let endpoints = vec![endpoint(Payload::Snapshot)];
    sandbox.handle.set_webhooks(WebhookSettings { endpoints, faults }).expect("sound settings");
    sandbox
}

/// Makes one snapshot event after another.
async fn rename(sandbox: &Running, names: &[&str]) {
    let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
    for name in names {
        sandbox.post(&path, &pairs(&[("display_name", name)])).await;
    }
}

fn header<'a>(delivery: &'a WebhookDelivery, name: &str) -> &'a str {
    let found = delivery.headers.iter().find(|(other, _)| *other == name);
    found.expect("the header is there").1.as_str()
}

fn body(delivery: &WebhookDelivery) -> Value {
    serde_json::from_slice(&delivery.body).expect("the body is JSON")
}

/// What the meter was renamed to, by each delivery.
fn names(deliveries: &[WebhookDelivery]) -> Vec<String> {
    let name = |it: &WebhookDelivery| text(&body(it)["data"]["object"], "display_name").to_owned();
    deliveries.iter().map(name).collect()
}

fn signed(secret: &str, at: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(at.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// The time of a signature header, after every secret's signature was found in it.
fn check_signature(header: &str, body: &[u8], secrets: &[&str]) -> String {
    let parts: Vec<(&str, &str)> =
        header.split(',').map(|part| part.split_once('=').expect("name=value")).collect();
    let values = |name: &str| -> Vec<&str> {
        parts.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect()
    };
    let at = values("t")[0].to_owned();
    let expected: Vec<String> = secrets.iter().map(|secret| signed(secret, &at, body)).collect();
    assert_eq!(values("v1"), expected);
    at
}

#[tokio::test]
async fn a_delivery_is_signed_by_every_secret_at_the_time_it_is_taken() {
    let sandbox = start_by_hand(WebhookFaults::default()).await;
    rename(&sandbox, &["a"]).await;
    sandbox.handle.advance(Duration::from_secs(7));
    let taken = sandbox.handle.take_deliveries();
    let [delivery] = taken.as_slice() else { panic!("one delivery: {taken:?}") };
    let at = check_signature(header(delivery, "stripe-signature"), &delivery.body, &SECRETS);
    assert_eq!(at, sandbox.handle.now().seconds().to_string());
    assert_eq!(delivery.url, "http://127.0.0.1:9/hook");
    let listed = sandbox.get("/v1/events", &[]).await.body;
    assert_eq!(body(delivery), listed["data"][0]);
    assert_eq!(sandbox.handle.take_deliveries(), []);
    sandbox.handle.settle_delivery(delivery.number, Some(204));
    assert_eq!(sandbox.handle.webhook_counts().delivered, 1);
    assert_eq!(sandbox.handle.webhook_counts().waiting, 0);
}

#[tokio::test]
async fn an_endpoint_gets_events_of_its_form_and_types_only() {
    let sandbox = start().await;
    let deleted = WebhookEndpoint {
        url: "http://127.0.0.1:9/deleted".to_owned(),
        types: ["customer.deleted".to_owned()].into(),
        ..endpoint(Payload::Snapshot)
    };
    let thin = WebhookEndpoint { url: "thin".to_owned(), ..endpoint(Payload::Thin) };
    let endpoints = vec![endpoint(Payload::Snapshot), deleted, thin];
    let settings = WebhookSettings { endpoints, ..WebhookSettings::default() };
    sandbox.handle.set_webhooks(settings).expect("sound settings");
    let faults = Faults { next: [FaultKind::RejectedLater].into(), ..Faults::default() };
    sandbox.handle.set_faults(faults).expect("sound faults");
    sandbox.accept(&event("a", "1")).await;
    rename(&sandbox, &["b"]).await;
    sandbox.delete("/v1/customers/cus_1", &[]).await;
    sandbox.handle.advance(Duration::from_secs(10));
    let taken = sandbox.handle.take_deliveries();
    let got: Vec<(&str, Value)> =
        taken.iter().map(|it| (it.url.as_str(), body(it)["type"].clone())).collect();
    assert_eq!(
        got,
        [
            ("http://127.0.0.1:9/hook", json!("billing.meter.updated")),
            ("http://127.0.0.1:9/hook", json!("customer.deleted")),
            ("http://127.0.0.1:9/deleted", json!("customer.deleted")),
            ("thin", json!("v1.billing.meter.error_report_triggered")),
        ]
    );
    let thin = body(&taken[3]);
    assert_eq!(thin.get("data"), None, "the data of a thin event is fetched");
    let id = sandbox.meter_id("tokens");
    assert_eq!(text(&thin["related_object"], "id"), id);
}

#[tokio::test]
async fn a_refused_delivery_is_tried_again_with_the_same_body_for_three_days() {
    let sandbox = start_by_hand(WebhookFaults::default()).await;
    rename(&sandbox, &["a"]).await;
    let first = sandbox.handle.take_deliveries().remove(0);
    sandbox.handle.settle_delivery(first.number, Some(500));
    // An outcome that is told twice, or of nothing, changes nothing.
    sandbox.handle.settle_delivery(first.number, Some(200));
    sandbox.handle.advance(Duration::from_secs(299));
    assert_eq!(sandbox.handle.take_deliveries(), []);
    sandbox.handle.advance(Duration::from_secs(1));
    let again = sandbox.handle.take_deliveries().remove(0);
    assert_eq!(again.body, first.body);
    let fresh = check_signature(header(&again, "stripe-signature"), &again.body, &SECRETS);
    assert_eq!(fresh, sandbox.handle.now().seconds().to_string());
    sandbox.handle.settle_delivery(again.number, None);
    let mut tries = 2;
    for _ in 0..4 * 24 * 12 {
        sandbox.handle.advance(Duration::from_secs(300));
        for delivery in sandbox.handle.take_deliveries() {
            sandbox.handle.settle_delivery(delivery.number, Some(302));
            tries += 1;
        }
    }
    let counts = sandbox.handle.webhook_counts();
    assert_eq!((counts.refused, counts.given_up, counts.waiting), (tries, 1, 0));
    // 5, 10, 20 … 640 minutes and then every twelve hours: all within three days.
    assert_eq!(tries, 13);
}

#[tokio::test]
async fn deliveries_are_lost_and_doubled_on_purpose() {
    let always = 10_000;
    let lost = WebhookFaults { lost: always, ..WebhookFaults::default() };
    let sandbox = start_by_hand(lost).await;
    rename(&sandbox, &["a", "b"]).await;
    sandbox.handle.advance(Duration::from_secs(86_400));
    assert_eq!(sandbox.handle.take_deliveries(), []);
    assert_eq!(sandbox.handle.webhook_counts().lost, 2);
    // What is lost can be read all the same.
    let listed = sandbox.get("/v1/events", &[]).await.body;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    let doubled = WebhookFaults { doubled: always, ..WebhookFaults::default() };
    let sandbox = start_by_hand(doubled).await;
    rename(&sandbox, &["a"]).await;
    sandbox.handle.advance(Duration::from_secs(30));
    let taken = sandbox.handle.take_deliveries();
    assert_eq!((taken.len(), &taken[0].body), (2, &taken[1].body));
}

#[tokio::test]
async fn deliveries_are_disordered_and_late_by_the_seed() {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut orders = Vec::new();
    for seed in [1, 1, 2] {
        let disordered = WebhookFaults { seed, disordered: 5_000, ..WebhookFaults::default() };
        let sandbox = start_by_hand(disordered).await;
        rename(&sandbox, &letters).await;
        sandbox.handle.advance(Duration::from_secs(30));
        let order = names(&sandbox.handle.take_deliveries());
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, letters, "each comes once");
        orders.push(order);
    }
    assert_ne!(orders[0], letters);
    assert_eq!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
    let late = WebhookFaults { late: 10_000, ..WebhookFaults::default() };
    let sandbox = start_by_hand(late).await;
    rename(&sandbox, &["a"]).await;
    assert_eq!(sandbox.handle.take_deliveries(), []);
    sandbox.handle.advance(Duration::from_secs(86_400 + 3_600));
    assert_eq!(sandbox.handle.take_deliveries().len(), 1);
}

/// Reads one request from the socket and answers it; gives its signature and body.
async fn receive(listener: &TcpListener, status: &str) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.expect("the courier comes");
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(read[..end].to_vec()).expect("the head is text");
            let field = |name: &str| {
                let line = head.lines().find_map(|line| {
                    let (other, value) = line.split_once(": ")?;
                    other.eq_ignore_ascii_case(name).then(|| value.to_owned())
                });
                line.expect("the header is there")
            };
            let length: usize = field("content-length").parse().expect("a length");
            if read.len() >= end + 4 + length {
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("the courier listens");
                return (field("stripe-signature"), read[end + 4..].to_vec());
            }
        }
        assert!(stream.read_buf(&mut read).await.expect("bytes") > 0, "a whole request");
    }
}

#[tokio::test]
async fn the_courier_posts_what_is_due_and_tries_again_what_was_refused() {
    let sandbox = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("it binds");
    let url = format!("http://{}/webhooks/stripe", listener.local_addr().expect("an address"));
    let settings = json!({
        "endpoints": [{ "url": url, "secrets": ["whsec_1"], "payload": "snapshot" }],
    });
    let control = format!("{}/_sandbox/webhooks", sandbox.url);
    let set = client().post(&control).body(settings.to_string()).send().await.expect("an answer");
    assert_eq!(set.status().as_u16(), 200);
    rename(&sandbox, &["a", "b"]).await;
    let (signature, first) = receive(&listener, "503 Service Unavailable").await;
    check_signature(&signature, &first, &["whsec_1"]);
    // The second comes when the first is done with, so that its retry is set by then.
    let (_, second) = receive(&listener, "200 OK").await;
    assert_ne!(first, second);
    sandbox.clock.advance_micros(300_000_000);
    let (fresh, third) = receive(&listener, "200 OK").await;
    assert_eq!(third, first);
    assert_ne!(fresh, signature);
    check_signature(&fresh, &third, &["whsec_1"]);
    let counts = client().get(&control).send().await.expect("an answer").text().await;
    let counts: Value = serde_json::from_str(&counts.expect("a body")).expect("JSON");
    assert_eq!(counts["refused"], 1);
}

#[tokio::test]
async fn endpoints_that_make_no_sense_are_refused_and_secrets_are_not_repeated() {
    let sandbox = start().await;
    let with = |change: fn(&mut WebhookEndpoint)| {
        let mut endpoint = endpoint(Payload::Thin);
        change(&mut endpoint);
        WebhookSettings { endpoints: vec![endpoint], ..WebhookSettings::default() }
    };
    for wrong in [
        with(|endpoint| endpoint.secrets.clear()),
        with(|endpoint| endpoint.secrets[0] = " ".to_owned()),
        with(|endpoint| endpoint.secrets = vec!["whsec_1".to_owned(); 9]),
        WebhookSettings {
            faults: WebhookFaults { late: 10_001, ..WebhookFaults::default() },
            ..WebhookSettings::default()
        },
        WebhookSettings {
            endpoints: vec![endpoint(Payload::Thin); 17],
            ..WebhookSettings::default()
        },
    ] {
        let reason = sandbox.handle.set_webhooks(wrong.clone()).expect_err("it makes no sense");
        assert!(!format!("{reason}{wrong:?}").contains("whsec"), "{reason}");
    }
    sandbox.handle.set_webhooks(with(|_| {})).expect("this one is sound");
}
