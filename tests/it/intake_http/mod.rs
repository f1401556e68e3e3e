//! Usage over HTTP: real sockets on loopback, a model of the ledger behind them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod bounds;
mod cloudevents;
mod corrections;
mod exports;
mod forgeries;
mod levers;
mod operator;
mod rejected;
mod remaps;
mod webhooks;
mod world;

use std::sync::atomic::Ordering;

use serde_json::json;
use tallyd::web::app::Readiness;

use world::{Weather, World, exchange, get, post_head, record, soon};

#[tokio::test]
async fn a_record_is_booked_once_however_often_it_is_sent() {
    let world = World::new().await;
    let first = world.post(&record("r1", "1.50")).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        first.json(),
        json!({"accepted": 1, "duplicate": 0, "conflict": 0, "rejected": 0,
               "records": [{"index": 0, "id": "r1", "status": "accepted"}]})
    );
    let again = world.post(&record("r1", "\"1.5\"")).await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(1)));
    let other = world.post(&record("r1", "2")).await;
    assert_eq!((other.status, &other.json()["conflict"]), (422, &json!(1)));
    assert_eq!(other.json()["records"][0]["field"], "id");
    assert_eq!(world.ledger.len(), 1);
    soon(world.accrual.rung()).await;
    world.end().await;
}

#[tokio::test]
async fn one_bad_record_among_a_thousand_is_named_and_the_others_are_booked() {
    let world = World::new().await;
    let records: Vec<String> =
        (0..1_000).map(|id| record(id, if id == 617 { "\"many\"" } else { "1" })).collect();
    let answer = world.post(&format!("[{}]", records.join(","))).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"accepted": 999, "duplicate": 0, "conflict": 0, "rejected": 1, "records": [
            {"index": 617, "id": "617", "status": "rejected", "field": "quantity",
             "reason": "\"many\" is not a decimal number"}]})
    );
    assert_eq!(world.ledger.len(), 999);
    let kept = world.ledger.rejected.lock().unwrap().clone();
    assert_eq!((kept.len(), kept[0].source.as_str()), (1, "api"));
    assert_eq!((kept[0].place.as_str(), kept[0].raw.as_str()), ("record 618", &*records[617]));
    world.end().await;
}

#[tokio::test]
async fn lines_are_judged_one_by_one() {
    let world = World::new().await;
    let body = format!("{}\r\n\r\nnonsense\n{}", record("a", "1"), record("b", "-1"));
    let head = "POST /v1/usage HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer one\r\n\
                Content-Type: application/x-ndjson\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = exchange(&mut world.connect().await, request.as_bytes()).await;
    assert_eq!(answer.status, 422);
    let records = answer.json()["records"].clone();
    let told: Vec<(i64, &str)> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (each["line"].as_i64().unwrap(), each["status"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(1, "accepted"), (3, "rejected"), (4, "rejected")]);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_books_nothing_and_says_where_it_broke() {
    let world = World::new().await;
    let answer = world.post(&format!("[{},\n{{\"id\" 7}}]", record("a", "1"))).await;
    assert_eq!(answer.error(), (400, "malformed_body".to_owned()));
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("line 2 column 7"), "{message}");
    let nan = world.post(&format!("[{}]", record("a", "NaN"))).await;
    assert_eq!(nan.error(), (400, "malformed_body".to_owned()));
    assert_eq!(world.ledger.len(), 0);
    world.end().await;
}

#[tokio::test]
async fn only_a_known_token_speaks_and_only_for_its_sources() {
    let world = World::new().await;
    let body = record("a", "1");
    for token in ["", "on", "onee", "three"] {
        let request = post_head(token, body.len()) + &body;
        let answer = exchange(&mut world.connect().await, request.as_bytes()).await;
        assert_eq!(answer.error(), (401, "unauthorized".to_owned()), "{token}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"tallyd\""));
        assert!(!answer.body.contains("one"), "{}", answer.body);
    }
    let foreign = world.post(&body.replacen('{', "{\"source\":\"batch\",", 1)).await;
    assert_eq!(foreign.status, 422);
    assert_eq!(foreign.json()["records"][0]["field"], "source");
    assert_eq!(world.ledger.len(), 0);
    let named = body.replacen('{', "{\"source\":\"batch\",", 1);
    let request = post_head("two", named.len()) + &named;
    let answer = exchange(&mut world.connect().await, request.as_bytes()).await;
    assert_eq!(answer.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_ledger_without_room_is_said_to_be_and_books_nothing() {
    let world = World::new().await;
    for (weather, code) in [(Weather::Full, "ledger_full"), (Weather::Busy, "ledger_busy")] {
        world.ledger.weather.send_replace(weather);
        let answer = world.post(&record("a", "1")).await;
        assert_eq!(answer.error(), (503, code.to_owned()));
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    world.ledger.weather.send_replace(Weather::Fair);
    world.ledger.free.store(1_000, Ordering::SeqCst);
    let answer = world.post(&record("a", "1")).await;
    assert_eq!(answer.error(), (503, "low_disk".to_owned()));
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(world.get("/readyz").await.status, 503);
    assert_eq!(world.ledger.len(), 0);
    world.end().await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_trusted_reaches_the_supervisor() {
    let mut world = World::new().await;
    world.ledger.weather.send_replace(Weather::Broken);
    let answer = world.post(&record("a", "1")).await;
    assert_eq!(answer.error(), (503, "ledger_failed".to_owned()));
    assert!(!answer.body.contains("input/output"), "{}", answer.body);
    assert!(soon(world.fatal.recv()).await.unwrap().is_fatal());
    world.end().await;
}

#[tokio::test]
async fn probes_tell_a_living_process_from_a_ready_one() {
    let world = World::new().await;
    assert_eq!(world.get("/healthz").await.status, 200);
    assert_eq!(world.get("/readyz").await.status, 200);
    world.ledger.weather.send_replace(Weather::Busy);
    assert_eq!(world.get("/readyz").await.error(), (503, "not_ready".to_owned()));
    world.readiness.send_replace(Readiness::NotReady("the ledger is being opened".to_owned()));
    let answer = world.get("/readyz").await;
    assert_eq!(answer.json()["error"]["message"], "the ledger is being opened");
    assert_eq!(world.get("/healthz").await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn what_was_answered_is_counted() {
    let world = World::new().await;
    world.post(&format!("[{},{}]", record("a", "1"), record("b", "-1"))).await;
    let mut connection = world.connect().await;
    exchange(&mut connection, get("/nothing").as_bytes()).await;
    let page = exchange(&mut connection, get("/metrics").as_bytes()).await;
    for line in [
        "tallyd_intake_records_total{verdict=\"accepted\"} 1",
        "tallyd_intake_records_total{verdict=\"rejected\"} 1",
        "tallyd_http_requests_total{status=\"4xx\"} 2",
    ] {
        assert!(page.body.lines().any(|each| each == line), "{line}\n{}", page.body);
    }
    world.end().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json_errors() {
    let world = World::new().await;
    assert_eq!(world.get("/v2/usage").await.error(), (404, "not_found".to_owned()));
    let answer = world.get("/v1/usage").await;
    assert_eq!(answer.error(), (405, "method_not_allowed".to_owned()));
    assert_eq!(answer.header("allow"), Some("POST"));
    assert_eq!(world.get("/v1/status").await.error(), (404, "not_found".to_owned()));
    world.end().await;
}
