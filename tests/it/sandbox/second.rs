//! Version 2 of what takes usage: single events, sessions, and the stream.

use std::time::Duration;

use serde_json::{Value, json};
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::stripe::{EventStatus, Limits, RejectionCode};

use crate::support::openapi::check_document;
use crate::support::stripe::{EVENTS, NOON, Running, event as form, start, start_with};

const SINGLE: &str = "/v2/billing/meter_events";
const SESSION: &str = "/v2/billing/meter_event_session";
const STREAM: &str = "/v2/billing/meter_event_stream";

fn event(identifier: &str, value: &str) -> Value {
    event_at(identifier, value, NOON)
}

fn event_at(identifier: &str, value: &str, at: i64) -> Value {
    json!({
        "event_name": "tokens",
        "identifier": identifier,
        "payload": { "stripe_customer_id": "cus_1", "value": value },
        "timestamp": Timestamp::from_seconds(at).to_rfc3339(),
    })
}

fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    *event.pointer_mut(pointer).expect("it is there") = value;
    event
}

fn code(reply: &crate::support::stripe::Reply) -> &str {
    reply.body["error"]["code"].as_str().unwrap_or_default()
}

async fn opened(sandbox: &Running) -> String {
    let reply = sandbox.tell(SESSION, &json!({}), None).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["authentication_token"].as_str().expect("a token").to_owned()
}

async fn stream(sandbox: &Running, token: &str, events: &[Value]) {
    let document = json!({ "events": events });
    check_document("POST", STREAM, &document).expect("the request fits the schema");
    let reply = sandbox.tell(STREAM, &document, Some(token)).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "{}"));
}

#[tokio::test]
async fn an_event_is_accepted_once_and_its_identifier_is_that_of_version_1() {
    let sandbox = start().await;
    check_document("POST", SINGLE, &event("a", "5")).expect("the request fits the schema");
    let reply = sandbox.tell(SINGLE, &event("a", "5"), None).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.body["identifier"], "a");
    assert_eq!(reply.body["timestamp"], Timestamp::from_seconds(NOON).to_rfc3339());
    let again = sandbox.tell(SINGLE, &event("a", "5"), None).await;
    assert_eq!((again.status, code(&again)), (400, "duplicate_meter_event"));
    assert_eq!(sandbox.post(EVENTS, &form("a", "5")).await.status, 400);
    assert_eq!(sandbox.books(), ["tokens cus_1 5 1"]);
}

#[tokio::test]
async fn every_refusal_of_version_2_has_its_code() {
    let sandbox = start().await;
    let good = event("a", "5");
    let without = |key: &str| {
        let mut payload = good["payload"].clone();
        payload.as_object_mut().expect("an object").remove(key);
        with(good.clone(), "/payload", payload)
    };
    for (event, expected) in [
        (with(good.clone(), "/event_name", json!("unknown")), "no_meter"),
        (without("stripe_customer_id"), "payload_no_customer_defined"),
        (without("value"), "payload_no_value_defined"),
        (event("b", "-1"), "payload_invalid_value"),
        (event("b", "0"), "payload_invalid_value"),
        (event("b", "1.5"), "payload_invalid_value"),
        (event("b", "1234567890123456"), "payload_invalid_value"),
        (event_at("b", "1", NOON + 301), "invalid_request"),
        (with(good.clone(), "/payload", json!({"value": 5})), "invalid_request"),
        (with(good.clone(), "/identifier", json!("x".repeat(101))), "invalid_request"),
        (with(good.clone(), "/timestamp", json!("noon")), "invalid_request"),
        (json!({"event_name": "tokens"}), "invalid_request"),
    ] {
        let reply = sandbox.tell(SINGLE, &event, None).await;
        assert_eq!((reply.status, code(&reply)), (400, expected), "{event}");
    }
    sandbox
        .post(&format!("/v1/billing/meters/{}/deactivate", sandbox.meter_id("tokens")), &vec![])
        .await;
    assert_eq!(code(&sandbox.tell(SINGLE, &good, None).await), "archived_meter");
    assert!(sandbox.books().is_empty());
}

#[tokio::test]
async fn the_stream_takes_the_tokens_of_sessions_until_they_end() {
    let sandbox = start().await;
    let events = json!({ "events": [event("a", "5")] });
    for token in [None, Some("sandbox_session_0")] {
        let reply = sandbox.tell(STREAM, &events, token).await;
        assert_eq!(reply.status, 401, "{}", reply.text);
        assert_ne!(code(&reply), "billing_meter_event_session_expired");
    }
    let token = opened(&sandbox).await;
    sandbox.handle.advance(Duration::from_secs(15 * 60 - 1));
    stream(&sandbox, &token, &[event("a", "5")]).await;
    sandbox.handle.advance(Duration::from_secs(1));
    let late = sandbox.tell(STREAM, &events, Some(&token)).await;
    assert_eq!((late.status, code(&late)), (401, "billing_meter_event_session_expired"));
    let token = opened(&sandbox).await;
    sandbox.handle.end_sessions();
    assert_eq!(sandbox.tell(STREAM, &events, Some(&token)).await.status, 401);
    assert_eq!(sandbox.books(), ["tokens cus_1 5 1"]);
}

#[tokio::test]
async fn the_stream_says_nothing_of_any_event_and_drops_what_it_knows() {
    let sandbox = start_with(|settings| settings.lag = Duration::from_secs(60)).await;
    let token = opened(&sandbox).await;
    let gone = with(event("d", "1"), "/event_name", json!("unknown"));
    let half = event("c", "0.5");
    let events = [event("a", "5"), event("a", "7"), event("b", "1"), half, gone];
    stream(&sandbox, &token, &events).await;
    stream(&sandbox, &token, &events[..2]).await;
    assert!(sandbox.books().is_empty(), "they were not looked at yet");
    sandbox.handle.advance(Duration::from_secs(75));
    assert_eq!(sandbox.books(), ["tokens cus_1 6 2"]);
    assert_eq!(sandbox.handle.statistics().duplicates_refused, 3);
    let states: Vec<EventStatus> =
        sandbox.handle.events().into_iter().map(|event| event.status).collect();
    assert_eq!(states, [EventStatus::Counted, EventStatus::Counted]);
    let reported = sandbox.get("/v2/core/events", &[]).await.text;
    for name in ["v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"] {
        assert!(reported.contains(name), "{reported}");
    }
}

#[tokio::test]
async fn an_event_that_came_by_the_stream_is_cancelled_by_version_1() {
    let sandbox = start().await;
    let token = opened(&sandbox).await;
    stream(&sandbox, &token, &[event("a", "5")]).await;
    let cancel = [("cancel[identifier]", "a"), ("event_name", "tokens"), ("type", "cancel")];
    sandbox
        .post_for("billing.meter_event_adjustment", "/v1/billing/meter_event_adjustments", &cancel)
        .await;
    assert_eq!(sandbox.books(), ["tokens cus_1 0 0"]);
}

#[tokio::test]
async fn a_request_to_the_stream_is_bounded_and_its_events_are_counted_by_the_second() {
    let limits = Limits { stream_events: Some(152), ..Limits::NONE };
    let sandbox = start_with(|settings| settings.limits = limits).await;
    let token = opened(&sandbox).await;
    let many = |from: usize, count: usize| -> Vec<Value> {
        (from..from + count).map(|number| event(&format!("e{number}"), "1")).collect()
    };
    // A request that cannot be read counts as one event.
    for count in [0, 101] {
        let reply = sandbox.tell(STREAM, &json!({ "events": many(0, count) }), Some(&token)).await;
        assert_eq!(reply.status, 400, "{count}");
    }
    stream(&sandbox, &token, &many(0, 100)).await;
    let over = json!({ "events": many(100, 51) });
    let reply = sandbox.tell(STREAM, &over, Some(&token)).await;
    assert_eq!((reply.status, code(&reply)), (429, "rate_limit"));
    assert_eq!(reply.header("stripe-rate-limited-reason"), Some("endpoint-rate"));
    stream(&sandbox, &token, &many(100, 50)).await;
    sandbox.handle.advance(Duration::from_secs(1));
    stream(&sandbox, &token, &many(150, 100)).await;
    assert_eq!(sandbox.books(), ["tokens cus_1 250 250"]);
    assert_eq!(sandbox.handle.statistics().busiest_second, 150);
}

#[tokio::test]
async fn what_is_reported_of_the_stream_names_why() {
    let sandbox = start().await;
    let token = opened(&sandbox).await;
    let old = event_at("old", "1", NOON - 36 * 86_400);
    stream(&sandbox, &token, &[old, event_at("ahead", "1", NOON + 400), event("x", "-1")]).await;
    sandbox.handle.advance(Duration::from_secs(30));
    let list = sandbox.get("/v2/core/events", &[]).await.body;
    let id = list["data"][0]["id"].as_str().expect("a report").to_owned();
    let report = sandbox.get(&format!("/v2/core/events/{id}"), &[]).await.text;
    for code in ["timestamp_too_far_in_past", "timestamp_in_future", "meter_event_invalid_value"] {
        assert!(report.contains(code), "{report}");
    }
    let known = RejectionCode::MeterEventInvalidValue;
    assert_eq!(serde_json::to_value(known).expect("a word"), "meter_event_invalid_value");
}
