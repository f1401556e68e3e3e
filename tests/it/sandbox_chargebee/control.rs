//! The control over HTTP, which is behind both doors.

use serde_json::{Value, json};
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::chargebee::{NewItemPrice, Settings as ChargebeeSettings};
use tallyd::sandbox::{Error, Sandbox, Settings};

use crate::support::chargebee::{DAY, MONTH, Running, START, start, usage, usages_of};
use crate::support::stripe::client;

async fn call(site: &Running, method: &str, name: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/_sandbox/chargebee/{name}", site.stripe_url);
    let method = method.parse().expect("a method");
    let request = client().request(method, url).body(body.to_string());
    let reply = request.send().await.expect("an answer");
    let status = reply.status().as_u16();
    let text = reply.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

async fn read(site: &Running, name: &str) -> Value {
    let (status, body) = call(site, "GET", name, &Value::Null).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn change(site: &Running, name: &str, body: Value) -> Value {
    let (status, body) = call(site, "POST", name, &body).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn a_subscription_is_made_and_changed_and_its_books_are_exact() {
    let site = start().await;
    change(&site, "item_prices", json!({ "id": "bytes", "item": "traffic" })).await;
    let new = json!({ "id": "made", "customer": "acme", "item_prices": ["bytes"] });
    change(&site, "subscriptions", new).await;
    for (second, quantity) in [(0, "0.1"), (1, "0.2"), (DAY, "5")] {
        let mut sent = usage(&format!("u{second}"), quantity, START + second);
        sent[1].1 = "bytes".to_owned();
        assert_eq!(site.post(&usages_of("made"), &sent).await.status, 200);
    }
    site.advance(60);
    change(&site, "changes", json!({ "subscription": "made", "change": { "cancel": "now" } }))
        .await;
    let books = json!({ "books": [
        { "subscription": "made", "item_price": "bytes", "total": "0.3", "usages": 2 },
    ] });
    assert_eq!(read(&site, "books").await, books);
    site.go_to(START + MONTH);
    let usages = read(&site, "usages?from=1&limit=2").await["usages"].clone();
    assert_eq!(
        usages[0]["fate"],
        json!({ "state": "invoiced", "of": "draft_inv_sandbox00000000" })
    );
    assert_eq!(usages[1]["fate"], json!({ "state": "unbilled", "of": "inactive" }));
    assert_eq!(usages[1]["quantity"], "5");
}

#[tokio::test]
async fn statistics_and_faults_are_those_of_this_stand_in_alone() {
    let site = start().await;
    let faults = json!({ "next": ["lock_timeout"] });
    assert_eq!(change(&site, "faults", faults).await["next"], json!(["lock_timeout"]));
    site.refuse(&usage("a", "1", START), 429).await;
    site.accept(&usage("a", "1", START)).await;
    let seen = read(&site, "statistics").await;
    let route = &seen["requests"]["POST /subscriptions/{id}/usages"];
    assert_eq!(*route, json!({ "200": 1, "429": 1 }));
    assert_eq!((&seen["usages_created"], &seen["faults"]["lock_timeout"]), (&json!(1), &json!(1)));
    assert_eq!(site.sandbox.statistics().requests.len(), 0, "Stripe was not asked");
}

#[tokio::test]
async fn settings_change_in_parts_and_what_is_wrong_changes_nothing() {
    let site = start().await;
    let set =
        json!({ "usages_max": 1, "limits": { "custom": { "per_minute": 2, "concurrent": null } } });
    assert_eq!(change(&site, "settings", set.clone()).await, set);
    site.accept(&usage("a", "1", START)).await;
    site.refuse(&usage("b", "1", START + 1), 400).await;
    site.refuse(&usage("b", "1", START + 1), 429).await;
    for odd in [
        json!({ "pending_micros": 51_i64 * 86_400_000_000, "usages_max": 9 }),
        json!({ "colour": 1 }),
    ] {
        assert_eq!(call(&site, "POST", "settings", &odd).await.0, 400);
    }
    change(&site, "settings", json!({ "limits": "none" })).await;
    site.refuse(&usage("b", "1", START + 1), 400).await;
    change(&site, "unblock", json!({})).await;
}

#[tokio::test]
async fn what_the_control_does_not_know_it_says() {
    let site = start().await;
    for (method, name, status) in
        [("GET", "nothing", 404), ("POST", "books", 404), ("DELETE", "usages", 405)]
    {
        let (seen, body) = call(&site, method, name, &json!({})).await;
        assert_eq!(seen, status, "{method} {name}");
        assert!(body["error"].is_string());
    }
}

#[tokio::test]
async fn a_stand_in_that_cannot_start_says_why() {
    let clock = std::sync::Arc::new(ManualClock::new(Timestamp::from_seconds(START)));
    let twice = vec![NewItemPrice::metered("calls"); 2];
    let chargebee = ChargebeeSettings { item_prices: twice, ..ChargebeeSettings::default() };
    let settings = Settings { chargebee, ..Settings::default() };
    let error = Sandbox::bind(settings, clock).await.expect_err("a price is there twice");
    assert!(matches!(error, Error::ItemPrice { .. }), "{error}");
}
