//! The control over HTTP, and starting and stopping.

use std::sync::Arc;

use serde_json::{Value, json};
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::stripe::{Formula, NewMeter, Settings as StripeSettings};
use tallyd::sandbox::{Error, Sandbox, Settings};

use crate::support::stripe::{EVENTS, NOON, Running, client, event, event_at, start};

async fn call(sandbox: &Running, method: &str, name: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/_sandbox/{name}", sandbox.url);
    let method = method.parse().expect("a method");
    let request = client().request(method, url).body(body.to_string());
    let reply = request.send().await.expect("an answer");
    let status = reply.status().as_u16();
    let text = reply.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

async fn read(sandbox: &Running, name: &str) -> Value {
    let (status, body) = call(sandbox, "GET", name, &Value::Null).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn change(sandbox: &Running, name: &str, body: Value) -> Value {
    let (status, body) = call(sandbox, "POST", name, &body).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn the_books_are_exact_text() {
    let sandbox = start().await;
    for (identifier, value) in [("a", "0.1"), ("b", "0.2"), ("c", "99999999999999.9")] {
        sandbox.accept(&event(identifier, value)).await;
    }
    let books = json!({ "books": [{
        "event_name": "tokens", "customer": "cus_1", "total": "100000000000000.2", "events": 3,
    }] });
    assert_eq!(read(&sandbox, "books").await, books);
}

#[tokio::test]
async fn every_event_is_listed_with_what_became_of_it() {
    let sandbox = start().await;
    sandbox.accept(&event_at("a", "1.50", NOON - 5)).await;
    sandbox.accept(&event("b", "many")).await;
    let events = json!({ "events": [
        {
            "identifier": "a", "event_name": "tokens", "customer": "cus_1", "value": "1.50",
            "timestamp": NOON - 5, "received_at_micros": NOON * 1_000_000,
            "status": { "state": "counted" },
        },
        {
            "identifier": "b", "event_name": "tokens", "customer": "cus_1", "value": "many",
            "timestamp": NOON, "received_at_micros": NOON * 1_000_000,
            "status": { "state": "rejected", "code": "meter_event_invalid_value" },
        },
    ] });
    assert_eq!(read(&sandbox, "events").await, events);
}

#[tokio::test]
async fn statistics_count_answers_by_route_and_faults_by_kind() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "1")).await;
    sandbox.post(EVENTS, &event("a", "1")).await;
    change(&sandbox, "faults", json!({ "next": ["closed_before"] })).await;
    let lost = sandbox.ask(reqwest::Method::POST, EVENTS, &event("b", "1"), &[]).await;
    assert!(lost.is_err());
    let expected = json!({
        "requests": { "POST /v1/billing/meter_events": { "200": 1, "400": 1, "closed": 1 } },
        "faults": { "closed_before": 1 },
        "meter_events_accepted": 1,
        "duplicates_refused": 1,
        "rate_limited": 0,
        "replays": 0,
        "busiest_second": 1,
    });
    assert_eq!(read(&sandbox, "statistics").await, expected);
}

#[tokio::test]
async fn faults_are_set_and_read_in_one_form() {
    let sandbox = start().await;
    let faults = json!({
        "seed": 7,
        "basis_points": { "answer_lost": 200, "conflict": 100 },
        "next": ["lock_timeout"],
        "reach": "writes",
        "slow_millis": 20,
        "outage_until": null,
        "storm": { "from": NOON + 60, "until": NOON + 120 },
    });
    assert_eq!(change(&sandbox, "faults", faults.clone()).await, faults);
    assert_eq!(read(&sandbox, "faults").await, faults);
    assert_eq!(sandbox.post(EVENTS, &event("a", "1")).await.status, 429);
    for odd in [
        json!({ "sed": 7 }),
        json!({ "basis_points": { "gremlins": 1 } }),
        json!({ "basis_points": { "conflict": 20_000 } }),
        json!("everything"),
    ] {
        let (status, body) = call(&sandbox, "POST", "faults", &odd).await;
        assert_eq!(status, 400, "{odd}");
        assert!(body["error"].is_string());
    }
}

#[tokio::test]
async fn the_clock_moves_forward_and_never_back() {
    let sandbox = start().await;
    let expected = json!({
        "now_micros": NOON * 1_000_000 + 5, "now": "2026-09-21T12:00:00.000005Z",
    });
    assert_eq!(change(&sandbox, "clock", json!({ "advance_micros": 5 })).await, expected);
    assert_eq!(read(&sandbox, "clock").await, expected);
    let later = (NOON + 60) * 1_000_000;
    change(&sandbox, "clock", json!({ "set_micros": later })).await;
    assert_eq!(sandbox.handle.now(), Timestamp::from_micros(later));
    // It keeps running with the clock below it.
    sandbox.clock.advance_micros(1);
    assert_eq!(sandbox.handle.now(), Timestamp::from_micros(later + 1));
    let (status, body) = call(&sandbox, "POST", "clock", &json!({ "set_micros": later })).await;
    assert_eq!(status, 409, "{body}");
}

#[tokio::test]
async fn meters_lag_and_customers_are_set_from_outside() {
    let sandbox = start().await;
    let meter = json!({ "display_name": "Calls", "event_name": "calls", "formula": "count" });
    let created = change(&sandbox, "meters", meter.clone()).await;
    assert_eq!(created["object"], "billing.meter");
    assert_eq!(read(&sandbox, "meters").await["meters"][1], created);
    assert_eq!(call(&sandbox, "POST", "meters", &meter).await.0, 400);
    let changes = json!({ "lag_micros": 1_000_000, "customers": { "only": ["cus_2"] } });
    assert_eq!(change(&sandbox, "settings", changes.clone()).await, changes);
    sandbox.accept(&event("a", "1")).await;
    let status = |events: &Value| events["events"][0]["status"].clone();
    assert_eq!(status(&read(&sandbox, "events").await), json!({ "state": "pending" }));
    change(&sandbox, "clock", json!({ "advance_micros": 1_000_000 })).await;
    let rejected = json!({ "state": "rejected", "code": "meter_event_customer_not_found" });
    assert_eq!(status(&read(&sandbox, "events").await), rejected);
    change(&sandbox, "settings", json!({ "customers": "any", "lag_micros": 0 })).await;
    sandbox.accept(&event("b", "1")).await;
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
}

#[tokio::test]
async fn limits_and_latency_are_set_from_outside() {
    let sandbox = start().await;
    let changes = json!({ "latency_micros": 1, "limits": { "custom": { "meter_events": 1,
        "stream_events": null, "global": null } } });
    assert_eq!(change(&sandbox, "settings", changes.clone()).await, changes);
    sandbox.accept(&event("a", "1")).await;
    assert_eq!(sandbox.post(EVENTS, &event("b", "1")).await.status, 429);
    for (name, status) in [("none", 200), ("live", 200), ("sandbox", 200)] {
        change(&sandbox, "settings", json!({ "limits": name })).await;
        assert_eq!(sandbox.post(EVENTS, &event(name, "1")).await.status, status);
    }
}

#[tokio::test]
async fn events_are_listed_in_parts() {
    let sandbox = start().await;
    for place in 0..5 {
        sandbox.accept(&event(&place.to_string(), "1")).await;
    }
    let part = read(&sandbox, "events?from=1&limit=2").await;
    let names: Vec<_> = part["events"].as_array().expect("rows").iter().collect();
    assert_eq!((names.len(), &names[0]["identifier"]), (2, &json!("1")));
    assert_eq!(read(&sandbox, "events?from=9").await, json!({ "events": [] }));
    assert_eq!(call(&sandbox, "GET", "events?from=x", &Value::Null).await.0, 400);
    assert_eq!(call(&sandbox, "GET", "events?form=1", &Value::Null).await.0, 400);
}

#[tokio::test]
async fn answers_are_held_from_outside() {
    let sandbox = start().await;
    change(&sandbox, "answers", json!({ "held": true })).await;
    let release = async {
        sandbox.handle.wait_for_in_flight(1).await;
        change(&sandbox, "answers", json!({ "held": false })).await;
    };
    let event = event("a", "1");
    tokio::join!(sandbox.accept(&event), release);
}

#[tokio::test]
async fn what_the_control_does_not_know_it_says() {
    let sandbox = start().await;
    for (method, name, status) in
        [("GET", "nothing", 404), ("POST", "books", 404), ("DELETE", "meters", 405)]
    {
        let (seen, body) = call(&sandbox, method, name, &json!({})).await;
        assert_eq!(seen, status, "{method} {name}");
        assert!(body["error"].is_string());
    }
}

#[tokio::test]
async fn a_sandbox_stops_when_told_although_an_answer_is_held() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOON)));
    let sandbox = Sandbox::bind(Settings::default(), clock).await.expect("it binds");
    let url = format!("{}/v1/billing/meters", sandbox.stripe_url());
    let handle = sandbox.handle();
    handle.hold_answers();
    let form = "display_name=a&event_name=a&default_aggregation[formula]=sum";
    let request = client()
        .post(url)
        .bearer_auth("sk_test_1")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let (stopped, answer) = tokio::join!(sandbox.run(handle.wait_for_in_flight(1)), request.send());
    stopped.expect("it stops cleanly");
    answer.expect_err("the held answer is never sent");
    assert_eq!(handle.meters().len(), 1);
}

#[tokio::test]
async fn a_sandbox_that_cannot_start_says_why() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOON)));
    let first = Sandbox::bind(Settings::default(), clock.clone()).await;
    let first = first.expect("it binds");
    let taken = Settings { listen: first.address(), ..Settings::default() };
    let error = Sandbox::bind(taken, clock.clone()).await.expect_err("it is taken");
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    let meter = NewMeter::new("tokens", Formula::Sum);
    let stripe = StripeSettings { meters: vec![meter.clone(), meter], ..StripeSettings::default() };
    let twice = Settings { stripe, ..Settings::default() };
    let error = Sandbox::bind(twice, clock).await.expect_err("an event name is there twice");
    assert!(matches!(error, Error::Meter { .. }), "{error}");
}
