//! Usage events at the stand-in's ingest host: what is taken, what counts once, what is read back.

use reqwest::Method;
use serde_json::{Value, json};
use tallyd::sandbox::chargebee::NewFeature;
use tallyd::sandbox::faults::FaultKind;

use crate::support::chargebee::{MINUTE, Running, START, code, start, start_with};
use crate::support::stripe::Reply;

const HOUR: i64 = 60 * MINUTE;
const ONE: &str = "/usage_events";
const SEVERAL: &str = "/batch/usage_events";

async fn site() -> Running {
    let site = start().await;
    feature(&site);
    site
}

fn feature(site: &Running) {
    let new = NewFeature { id: "api-calls".to_owned(), property: "calls".to_owned() };
    site.handle.create_feature(new).unwrap();
}

/// An event of `sub` at this second.
fn event(name: &str, calls: &str, at: i64) -> Value {
    let calls: Value = serde_json::from_str(calls).unwrap();
    json!({"deduplication_id": name, "subscription_id": "sub", "usage_timestamp": at * 1_000,
        "properties": {"calls": calls, "region": "eu"}})
}

/// What the features come to, as `subscription feature total events`.
fn books(site: &Running) -> Vec<String> {
    let lines = site.handle.event_books().into_iter();
    lines
        .map(|it| format!("{} {} {} {}", it.subscription, it.feature, it.total, it.events))
        .collect()
}

async fn batch(site: &Running, events: &[Value]) -> Reply {
    site.post_json(SEVERAL, &json!({ "events": events })).await
}

#[tokio::test]
async fn an_event_counts_once_by_its_time_its_subscription_and_its_name() {
    let site = site().await;
    let reply = site.post_json(ONE, &event("a", "2", START)).await;
    assert_eq!((reply.status, &reply.body["usage_event"]), (200, &event("a", "2", START)));
    assert_eq!(site.post_json(ONE, &event("a", "2", START)).await.status, 200);
    assert_eq!(books(&site), ["sub api-calls 2 1"]);
    // Each of the three makes another one; the subscription need not be known.
    site.post_json(ONE, &event("a", "3", START - 1)).await;
    site.post_json(ONE, &event("b", "0.25", START)).await;
    let mut other = event("a", "7", START);
    other["subscription_id"] = json!("not known yet");
    assert_eq!(site.post_json(ONE, &other).await.status, 200);
    assert_eq!(books(&site), ["not known yet api-calls 7 1", "sub api-calls 5.25 3"]);
}

#[tokio::test]
async fn an_event_is_taken_for_twelve_hours_and_never_ahead_of_time() {
    let site = site().await;
    for (at, status) in
        [(START - 12 * HOUR, 200), (START - 12 * HOUR - 1, 400), (START, 200), (START + 1, 400)]
    {
        let reply = site.post_json(ONE, &event("a", "1", at)).await;
        assert_eq!(reply.status, status, "{at} {}", reply.text);
        if status == 400 {
            assert_eq!(
                (code(&reply), &reply.body["param"]),
                ("param_wrong_value", &json!("usage_timestamp"))
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_a_text_counts_for_nothing() {
    let site = site().await;
    let with = |field: &str, value: Value| {
        let mut event = event("a", "1", START);
        event[field] = value;
        event
    };
    for wrong in [
        json!({}),
        json!([]),
        with("deduplication_id", json!("x".repeat(37))),
        with("subscription_id", json!("x".repeat(51))),
        with("usage_timestamp", json!("1")),
        with("properties", json!({"calls": {"of": 1}})),
        with("properties", json!({"calls": -1})),
        with("properties", json!({"calls": 1, "more": "x".repeat(1_024)})),
        with("more", json!(1)),
    ] {
        let reply = site.post_json(ONE, &wrong).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    assert_eq!(books(&site), [""; 0]);
    assert_eq!(site.post_json(ONE, &with("properties", json!({"calls": "5"}))).await.status, 200);
    assert_eq!(books(&site), [""; 0]);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let form = crate::support::stripe::pairs(&[("deduplication_id", "a")]);
    let reply = site.ask(Method::POST, ONE, &form, &headers).await.unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text);
}

#[tokio::test]
async fn a_batch_is_taken_but_for_what_fails_in_it() {
    let site = site().await;
    let events =
        [event("a", "1", START), event("b", "2", START - 13 * HOUR), event("c", "4", START)];
    let reply = batch(&site, &events).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let failed = reply.body["failed_events"].as_array().unwrap();
    assert_eq!((failed.len(), &failed[0]["deduplication_id"]), (1, &json!("b")));
    assert_eq!(failed[0]["param"], "usage_timestamp");
    assert_eq!(books(&site), ["sub api-calls 5 2"]);
    // All of it again changes nothing.
    batch(&site, &events).await;
    assert_eq!(books(&site), ["sub api-calls 5 2"]);
    let many: Vec<Value> =
        (0..500).map(|number| event(&format!("n{number}"), "0.1", START)).collect();
    assert_eq!(batch(&site, &many).await.body["failed_events"], json!([]));
    assert_eq!(books(&site), ["sub api-calls 55 502"]);
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let site = site().await;
    let many = vec![event("a", "1", START); 501];
    for wrong in [json!({"events": many}), json!({"events": []}), json!({}), json!([])] {
        let body = wrong.to_string().into_bytes();
        let headers =
            [("authorization", "Basic dGVzdF9rZXk6"), ("content-type", "application/json")];
        let headers = crate::support::chargebee::headers(&headers);
        let path = format!("/api/v2{SEVERAL}");
        let answer = site.handle.ask(Method::POST, &path, "", headers, body.into()).await;
        let (status, body) = answer.unwrap();
        let said: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &said["type"]), (400, &json!("ubb_batch_ingestion_invalid_request")));
    }
    assert_eq!(books(&site), [""; 0]);
}

#[tokio::test]
async fn the_ingest_host_counts_events_and_not_requests() {
    let site = start_with(|site| site.events_per_minute = Some(10)).await;
    feature(&site);
    let of = |names: std::ops::Range<u32>| -> Vec<Value> {
        names.map(|name| event(&name.to_string(), "1", START)).collect()
    };
    assert_eq!(batch(&site, &of(0..8)).await.status, 200);
    let limited = batch(&site, &of(8..11)).await;
    assert_eq!((limited.status, code(&limited)), (429, "api_request_limit_exceeded"));
    assert_eq!(limited.headers["retry-after"], "60");
    assert_eq!(batch(&site, &of(8..10)).await.status, 200);
    site.advance(MINUTE);
    assert_eq!(batch(&site, &of(10..20)).await.status, 200);
    assert_eq!(books(&site), ["sub api-calls 20 20"]);
}

#[tokio::test]
async fn a_summary_tells_windows_from_the_beginning_of_its_span_on() {
    let site = site().await;
    for (name, at) in [("a", START - 3 * HOUR), ("b", START - HOUR), ("c", START - HOUR + 1)] {
        site.post_json(ONE, &event(name, "0.1", at)).await;
    }
    let path = "/subscriptions/sub/usage_summary";
    let (start, end) = ((START - 3 * HOUR).to_string(), START.to_string());
    let query = [
        ("feature_id", "api-calls"),
        ("timeframe_start", start.as_str()),
        ("timeframe_end", end.as_str()),
    ];
    let whole = site.get(path, &query).await;
    let row = &whole["list"][0]["usage_summary"];
    assert_eq!(
        (&row["aggregated_value"], whole["list"].as_array().unwrap().len()),
        (&json!("0.3"), 1)
    );
    let mut by_hour = query.to_vec();
    by_hour.extend([("window_size", "hour"), ("limit", "2")]);
    let first = site.get(path, &by_hour).await;
    let values = |page: &Value| -> Vec<String> {
        let rows = page["list"].as_array().unwrap().iter();
        rows.map(|row| row["usage_summary"]["aggregated_value"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (values(&first), &first["next_offset"]),
        (vec!["0.1".to_owned(), "0".to_owned()], &json!("2"))
    );
    by_hour.push(("offset", "2"));
    let last = site.get(path, &by_hour).await;
    assert_eq!((values(&last), &last["next_offset"]), (vec!["0.2".to_owned()], &Value::Null));
    let unknown = [("feature_id", "other"), ("timeframe_start", "1"), ("timeframe_end", "2")];
    assert_eq!(site.try_get(path, &unknown).await.status, 404);
    assert_eq!(site.try_get("/subscriptions/none/usage_summary", &query).await.status, 404);
}

#[tokio::test]
async fn faults_strike_events_as_they_strike_usages() {
    let site = site().await;
    for (fault, status, taken) in [
        (FaultKind::ErrorBefore, 500, 0),
        (FaultKind::ErrorAfter, 500, 1),
        (FaultKind::RateLimited, 429, 1),
        (FaultKind::UnavailableHtml, 503, 1),
    ] {
        site.script(&[fault]);
        assert_eq!(site.post_json(ONE, &event("a", "1", START)).await.status, status, "{fault:?}");
        assert_eq!(books(&site).len(), taken, "{fault:?}");
    }
    site.post_json(ONE, &event("a", "1", START)).await;
    assert_eq!(books(&site), ["sub api-calls 1 1"]);
}
