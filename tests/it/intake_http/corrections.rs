//! Records corrected over HTTP, and their lives read back.

use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::world::{Answer, Weather, World, exchange, record, soon};

/// Sends a correction with the second token, which speaks for `api` and `batch`.
async fn correct(world: &World, path: &str, key: Option<&str>, body: &Value) -> Answer {
    let body = body.to_string();
    let key = key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
    let request = format!(
        "POST /v1/usage/{path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer two\r\n{key}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(&mut world.connect().await, request.as_bytes()).await
}

async fn life(world: &World, token: &str, path: &str) -> Answer {
    let request = format!(
        "GET /v1/usage/{path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    exchange(&mut world.connect().await, request.as_bytes()).await
}

fn adjust(id: &str, quantity: &str, replaces: &str) -> Value {
    json!({"id": id, "quantity": quantity, "replaces": replaces, "reason": "counted twice"})
}

/// What became of the one correction: (status, its verdict, what the record counts with).
fn verdict(answer: &Answer) -> (u16, String, Value) {
    let body = answer.json();
    let one = &body["corrections"][0];
    (answer.status, one["status"].as_str().unwrap().to_owned(), one["standing"].clone())
}

fn told(status: u16, verdict: &str, standing: Value) -> (u16, String, Value) {
    (status, verdict.to_owned(), standing)
}

#[tokio::test]
async fn a_correction_is_accepted_once_however_often_it_is_sent() {
    let world = World::new().await;
    world.post(&record("r1", "5")).await;
    soon(world.accrual.rung()).await;
    let first = correct(&world, "api/r1/adjust", None, &adjust("f1", "7.50", "5.0")).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        first.json(),
        json!({"accepted": 1, "waiting": 0, "duplicate": 0, "conflict": 0, "stale": 0,
               "rejected": 0, "corrections": [{
                   "index": 0, "source": "api", "record": "r1", "id": "f1", "kind": "adjust",
                   "status": "accepted", "standing": "7.5", "waiting": false}]})
    );
    soon(world.accrual.rung()).await;
    let again = correct(&world, "api/r1/adjust", None, &adjust("f1", "7.5", "5")).await;
    assert_eq!(verdict(&again), told(200, "duplicate", json!("7.5")));
    let other = correct(&world, "api/r1/adjust", None, &adjust("f1", "8", "7.5")).await;
    assert_eq!(verdict(&other), told(422, "conflict", json!("7.5")));
    assert_eq!(other.json()["corrections"][0]["field"], "id");
    let gone = correct(&world, "api/r1/cancel", Some("f2"), &json!({"reason": "a test"})).await;
    assert_eq!(verdict(&gone), told(200, "accepted", json!("cancelled")));
    let gone = correct(&world, "api/r1/cancel", Some("f3"), &json!({"reason": "a test"})).await;
    assert_eq!(verdict(&gone), told(200, "duplicate", json!("cancelled")));
    let late = correct(&world, "api/r1/adjust", None, &adjust("f4", "1", "7.5")).await;
    assert_eq!(verdict(&late), told(422, "stale", json!("cancelled")));
    assert!(late.body.contains("is cancelled, which is final"), "{}", late.body);
    let kept = world.ledger.corrections.lock().unwrap().clone();
    let who: Vec<&str> = kept.iter().map(|each| each.who.as_str()).collect();
    assert_eq!(who, ["http:api", "http:api"]);
    world.end().await;
}

#[tokio::test]
async fn of_two_adjustments_at_once_one_wins_and_the_other_is_told_what_stands() {
    let world = World::new().await;
    world.post(&record("r1", "5")).await;
    let (seven, eight) = (adjust("a", "7", "5"), adjust("b", "8", "5"));
    let (one, other) = tokio::join!(
        correct(&world, "api/r1/adjust", None, &seven),
        correct(&world, "api/r1/adjust", None, &eight),
    );
    let (won, lost) = if one.status == 200 { (&one, &other) } else { (&other, &one) };
    let standing = won.json()["corrections"][0]["standing"].clone();
    assert_eq!(verdict(won), told(200, "accepted", standing.clone()));
    assert_eq!(verdict(lost), told(422, "stale", standing.clone()));
    let lost = lost.json()["corrections"][0].clone();
    assert_eq!(lost["field"], "replaces");
    let counts = standing.as_str().unwrap();
    let expected = format!("\"5\" is not what the record counts with, which is {counts}");
    assert!(lost["reason"].as_str().unwrap().starts_with(&expected), "{lost}");
    world.end().await;
}

#[tokio::test]
async fn a_correction_may_come_before_its_record_and_waits_for_it() {
    let world = World::new().await;
    let body = json!({"id": "f", "reason": "a test run"});
    for (verdict, count) in [("accepted", 1), ("duplicate", 0)] {
        let early = correct(&world, "api/a%2Fb%20c/cancel", None, &body).await;
        let one = early.json()["corrections"][0].clone();
        assert_eq!((early.status, &one["status"]), (200, &json!(verdict)), "{early:?}");
        assert_eq!((&one["record"], &one["waiting"]), (&json!("a/b c"), &json!(true)));
        assert_eq!((&early.json()["accepted"], &one["standing"]), (&json!(count), &Value::Null));
    }
    let waits = life(&world, "one", "api/a%2Fb%20c").await;
    assert_eq!((waits.status, &waits.json()["record"]), (200, &Value::Null));
    assert_eq!(waits.json()["corrections"][0]["effect"], "waiting");
    world.post(&record("a/b c", "5")).await;
    let life = life(&world, "one", "api/a%2Fb%20c").await.json();
    assert_eq!(life["standing"], "cancelled");
    assert_eq!(
        life["corrections"],
        json!([{"number": 1, "id": "f", "kind": "cancel", "quantity": null, "replaces": null,
                "effect": "applied", "from": "5", "to": "cancelled", "reason": "a test run",
                "who": "http:api", "recorded_at": "2026-02-02T02:40:00Z"}])
    );
    assert_eq!(life["record"], json!({"id": "a/b c", "properties": {"a": 1}}));
    world.end().await;
}

#[tokio::test]
async fn what_is_no_correction_names_the_field_and_the_value_and_is_kept() {
    let world = World::new().await;
    world.post(&record("r1", "5")).await;
    let reason = json!({"reason": "x"});
    let cases = [
        ("api/r1/cancel", None, reason.clone(), "id", "is missing: it is the correction's own"),
        ("api/r1/cancel", Some("f"), json!({}), "reason", "is missing: it tells whoever reads"),
        ("api/r1/cancel", Some("f"), json!({"id": "g", "reason": "x"}), "id", "is not the Idem"),
        ("api/r1/cancel", Some("f"), json!({"quantity": 1, "reason": "x"}), "quantity", "is not "),
        ("api/r1/adjust", Some("f"), reason.clone(), "quantity", "is missing: it is the quantity"),
        (
            "api/r1/adjust",
            Some("f"),
            json!({"quantity": 1, "reason": "x"}),
            "replaces",
            "is missing: it is the quantity the record counts with now",
        ),
        ("api/r1/adjust", None, adjust("f", "-1", "5"), "quantity", "\"-1\" is below zero, which"),
        ("api/r1/adjust", None, adjust("f", "many", "5"), "quantity", "\"many\" is not a decimal"),
        ("api/r1/adjust", None, adjust(" f", "1", "5"), "id", "\" f\" starts or ends with white"),
        ("web/r1/cancel", Some("f"), reason.clone(), "source", "\"web\" is not one this sender"),
        ("api/r1/cancel", Some("f"), json!({"record": "r2"}), "record", "is said by the path"),
    ];
    let count = cases.len();
    for (path, key, body, field, expected) in cases {
        let answer = correct(&world, path, key, &body).await;
        let one = answer.json()["corrections"][0].clone();
        assert_eq!((answer.status, &one["status"]), (422, &json!("rejected")), "{answer:?}");
        assert_eq!(one["field"], field, "{one}");
        assert!(one["reason"].as_str().unwrap().starts_with(expected), "{one}");
    }
    let kept = world.ledger.rejected.lock().unwrap().clone();
    assert_eq!((kept.len(), kept[0].id.as_deref()), (count, Some("r1")));
    assert!(world.ledger.corrections.lock().unwrap().is_empty());
    let negative = world.post(&record("r2", "-1")).await;
    assert!(negative.body.contains("/cancel or adjust"), "{}", negative.body);
    world.end().await;
}

#[tokio::test]
async fn a_correction_meets_the_same_door_as_usage() {
    let mut world = World::new().await;
    let body = json!({"id": "f", "reason": "x"});
    let unknown = "POST /v1/usage/api/r1/cancel HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    let answer = exchange(&mut world.connect().await, unknown.as_bytes()).await;
    assert_eq!(answer.error(), (401, "unauthorized".to_owned()));
    let broken = correct(&world, "api/r1/cancel", None, &json!("no object")).await;
    assert_eq!(broken.error(), (400, "malformed_body".to_owned()));
    world.ledger.weather.send_replace(Weather::Full);
    let full = correct(&world, "api/r1/cancel", None, &body).await;
    assert_eq!(full.error(), (503, "ledger_full".to_owned()));
    world.ledger.weather.send_replace(Weather::Fair);
    world.ledger.free.store(1_000, std::sync::atomic::Ordering::SeqCst);
    let low = correct(&world, "api/r1/cancel", None, &body).await;
    assert_eq!(low.error(), (503, "low_disk".to_owned()));
    world.ledger.free.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
    world.ledger.weather.send_replace(Weather::Broken);
    let fatal = correct(&world, "api/r1/cancel", None, &body).await;
    assert_eq!(fatal.error(), (503, "ledger_failed".to_owned()));
    assert!(soon(world.fatal.recv()).await.unwrap().is_fatal());
    assert!(world.ledger.corrections.lock().unwrap().is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_life_is_told_to_those_who_speak_for_its_source() {
    let world = World::new().await;
    world.post(&record("r1", "5")).await;
    assert_eq!(life(&world, "one", "api/r1").await.json()["standing"], "5");
    assert_eq!(life(&world, "none", "api/r1").await.error(), (401, "unauthorized".to_owned()));
    assert_eq!(life(&world, "one", "batch/r1").await.error(), (403, "forbidden".to_owned()));
    assert_eq!(life(&world, "one", "api/r2").await.error(), (404, "no_record".to_owned()));
    assert_eq!(life(&world, "one", "api/%FF").await.error(), (400, "bad_path".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn the_operator_corrects_records_of_any_source_line_by_line() {
    let world = World::new().await;
    world.post(&record("r1", "5")).await;
    let ask = async |line: &str, body: &str| {
        let mut socket = UnixStream::connect(&world.socket).await.unwrap();
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n");
        exchange(&mut socket, (head + body).as_bytes()).await
    };
    let lines = [
        r#"{"source":"api","record":"r1","id":"f","kind":"adjust","quantity":6,"replaces":5,"reason":"x"}"#,
        "",
        r#"{"source":"api","record":"r1","id":"g","kind":"adjust","quantity":9,"replaces":5,"reason":"x"}"#,
        r#"{"source":"other","record":"r9","id":"f","kind":"cancel","reason":"x"}"#,
        r#"{"record":"r9","id":"f","kind":"cancel","reason":"x"}"#,
    ];
    let answer = ask("POST /v1/corrections?who=cli:ada", &lines.join("\n")).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let body = answer.json();
    let told: Vec<(u64, &str, &Value)> = body["corrections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["line"].as_u64().unwrap(), one["status"].as_str().unwrap(), &one["standing"])
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "accepted", &json!("6")),
            (3, "stale", &json!("6")),
            (4, "accepted", &Value::Null),
            (5, "rejected", &Value::Null),
        ]
    );
    assert_eq!(world.ledger.corrections.lock().unwrap()[0].who, "cli:ada");
    let unnamed = ask("POST /v1/corrections", lines[0]).await;
    assert_eq!(unnamed.error(), (400, "bad_query".to_owned()));
    let life = ask("GET /v1/usage/other/r9", "").await;
    assert_eq!(life.json()["corrections"][0]["effect"], "waiting");
    let page = world.get("/metrics").await.body;
    for line in [
        "tallyd_intake_corrections_total{kind=\"adjust\",verdict=\"accepted\"} 1",
        "tallyd_intake_corrections_total{kind=\"adjust\",verdict=\"stale\"} 1",
        "tallyd_intake_corrections_total{kind=\"cancel\",verdict=\"accepted\"} 1",
        "tallyd_intake_corrections_total{kind=\"cancel\",verdict=\"rejected\"} 1",
    ] {
        assert!(page.lines().any(|each| each == line), "{line}\n{page}");
    }
    world.end().await;
}
