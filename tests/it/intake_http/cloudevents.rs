//! CloudEvents over HTTP, one and many, with a token and over the operator's socket.

use serde_json::json;
use tokio::net::UnixStream;

use super::world::{Answer, World, exchange, record, soon};

const ONE: &str = "application/cloudevents+json";
const MANY: &str = "application/cloudevents-batch+json; charset=utf-8";

fn event(source: &str, id: &str, data: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"{source}\",\"subject\":\"acme\",\
         \"type\":\"requests\",\"time\":\"2026-01-31T23:59:59Z\",\"traceparent\":\"00-{id}-01\",\
         \"data\":{data}}}"
    )
}

fn request(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: t\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// Sends a body with the token that speaks for `api` and `batch`.
async fn post(world: &World, kind: &str, body: &str) -> Answer {
    let headers = format!("Authorization: Bearer two\r\nContent-Type: {kind}\r\n");
    let request = request("/v1/usage", &headers, body);
    exchange(&mut world.connect().await, request.as_bytes()).await
}

#[tokio::test]
async fn an_event_is_booked_once_and_is_the_record_that_it_says() {
    let world = World::new().await;
    let sent = event("api", "e1", "{\"value\":\"1.50\"}");
    let first = post(&world, ONE, &sent).await;
    assert_eq!(
        (first.status, first.json()),
        (
            200,
            json!({"accepted": 1, "duplicate": 0, "conflict": 0, "rejected": 0,
                   "records": [{"index": 0, "id": "e1", "status": "accepted"}]})
        )
    );
    soon(world.accrual.rung()).await;
    // A retry has a trace of its own.
    let again = post(&world, ONE, &sent.replace("00-e1-01", "00-ff-01")).await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(1)));
    let plain = record("e1", "1.5").replacen('{', "{\"source\":\"api\",", 1);
    let plain = post(&world, "application/json", &plain).await;
    assert_eq!((plain.status, &plain.json()["duplicate"]), (200, &json!(1)));
    let other = post(&world, ONE, &sent.replace("1.50", "2")).await;
    assert_eq!((other.status, &other.json()["conflict"]), (422, &json!(1)));
    assert_eq!(world.ledger.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn a_bad_event_is_named_and_the_others_of_its_batch_are_booked() {
    let world = World::new().await;
    let bad = event("batch", "1", "{\"value\":\"many\"}");
    let events = [
        event("api", "1", "{\"quantity\":1,\"region\":\"eu\"}"),
        event("batch", "1", "{\"value\":2}"),
        event("elsewhere", "1", "{\"value\":3}"),
        bad.clone(),
    ];
    let answer = post(&world, MANY, &format!("[{}]", events.join(","))).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json()["records"],
        json!([
            // The same id of two sources is two events.
            {"index": 0, "id": "1", "status": "accepted"},
            {"index": 1, "id": "1", "status": "accepted"},
            {"index": 2, "id": "1", "status": "rejected", "field": "source",
             "reason": "\"elsewhere\" is not one this sender may speak for"},
            {"index": 3, "id": "1", "status": "rejected", "field": "data.value",
             "reason": "\"many\" is not a decimal number"},
        ])
    );
    let kept = world.ledger.rejected.lock().unwrap().clone();
    assert_eq!((kept[1].place.as_str(), kept[1].raw.as_str()), ("record 4", bad.as_str()));
    assert_eq!(world.ledger.len(), 2);
    world.end().await;
}

#[tokio::test]
async fn the_operator_may_send_events_of_any_source() {
    let world = World::new().await;
    let body = event("urn:gateway:eu", "1", "{\"value\":1}");
    let headers = format!("Content-Type: {ONE}\r\n");
    let mut socket = UnixStream::connect(&world.socket).await.unwrap();
    let request = request("/v1/usage", &headers, &body);
    let answer = exchange(&mut socket, request.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.end().await;
}

#[tokio::test]
async fn events_of_another_shape_mode_or_format_are_refused_with_what_to_send() {
    let world = World::new().await;
    let one = event("api", "1", "{\"value\":1}");
    for (kind, body, error, said) in [
        (ONE, format!("[{one}]"), (400, "malformed_body"), "cloudevents-batch+json"),
        (MANY, one.clone(), (400, "malformed_body"), "application/cloudevents+json"),
        (
            "application/cloudevents+protobuf",
            one.clone(),
            (415, "unsupported_event_format"),
            "are taken as application/cloudevents+json",
        ),
    ] {
        let answer = post(&world, kind, &body).await;
        assert_eq!(answer.error(), (error.0, error.1.to_owned()), "{kind}");
        assert!(answer.body.contains(said), "{}", answer.body);
    }
    let binary = "application/json\r\nce-specversion: 1.0\r\nCE-Id: 1";
    let answer = post(&world, binary, "{\"value\":1}").await;
    assert_eq!(answer.error(), (415, "unsupported_event_mode".to_owned()));
    assert!(answer.body.contains("send the whole event as the body"), "{}", answer.body);
    assert_eq!(world.ledger.len(), 0);
    let hinted = post(&world, "application/json", &one).await;
    let hint = "is of a CloudEvent, which is sent as application/cloudevents+json";
    assert_eq!(hinted.json()["records"][0]["reason"], hint);
    // Whole events may repeat their attributes in the head.
    let whole = post(&world, &format!("{ONE}\r\nce-id: 1"), &one).await;
    assert_eq!(whole.status, 200);
    world.end().await;
}
