//! Stripe's room at its edge, beside what every room must do ([`crate::provider_conformance`]):
//! each header of a request, and what Stripe's own answers come to. The servers here are raw: they
//! cut and lie as no sandbox would.

#![expect(clippy::unwrap_used, reason = "what a test prepares has to be there")]

use std::collections::BTreeMap;
use std::future::Future;

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::Says;
use tallyd::domain::names::{AccountName, ProviderMeter, ProviderName};
use tallyd::domain::time::Timestamp;
use tallyd::provider::stripe::settings::{API, Channel, STREAM_API, Settings};
use tallyd::provider::stripe::{BuildError, Stripe};
use tallyd::provider::{Provider as _, Request};

use crate::support::raw_server::{RawServer, Step};

mod billing;
mod cancel;
mod contact;
mod totals;

/// A key that must not be seen anywhere but in the one header.
const KEY: &str = "sk_test_canary4242";
const IDENTIFIER: &str = "tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100";
/// Bytes that no encoder of ours would make: they have to arrive as they are.
const BODY: &[u8] = b"b=2&a=%31&payload[value]=5&a=1 ";
/// Long enough for any machine; nothing waits for it but a failing test.
const PATIENT: u32 = 20_000;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn settings(api: &str, timeout_millis: u32) -> Settings {
    Settings {
        name: ProviderName::new("stripe.main").unwrap(),
        api: api.to_owned(),
        stream_api: if api == API { STREAM_API } else { api }.to_owned(),
        channel: Channel::V1,
        key: KEY.into(),
        account: None,
        meters: vec![],
        webhook_secrets: Vec::new(),
        timeout_millis,
    }
}

fn stripe(api: &str, timeout_millis: u32) -> Stripe {
    Stripe::new(&settings(api, timeout_millis)).unwrap()
}

async fn send(stripe: &Stripe, key: &str) -> Answer {
    let request = Request {
        says: &Says::Usage,
        meter: &ProviderMeter::new("tokens").unwrap(),
        account: &AccountName::new("cus_1").unwrap(),
        body: BODY,
        idempotency_key: key,
        identifier: IDENTIFIER,
    };
    let answer = stripe.send(request).await;
    assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
    answer
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nRequest-Id: req_1\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn event() -> serde_json::Value {
    serde_json::json!({
        "object": "billing.meter_event", "created": 1_795_168_800, "event_name": "tokens",
        "identifier": IDENTIFIER, "livemode": false, "timestamp": 1_795_168_000,
        "payload": {"stripe_customer_id": "cus_1", "value": "5"},
    })
}

fn accepted() -> Vec<u8> {
    http("200 OK", "", &event().to_string())
}

fn error(message: &str) -> serde_json::Value {
    serde_json::json!({"error": {"type": "invalid_request_error", "message": message}})
}

fn refused(status: &str, headers: &str, message: &str) -> Vec<u8> {
    http(status, headers, &error(message).to_string())
}

/// One attempt at a server that follows `script`: what it comes to, and that it was one wire
/// request over one connection, however it ended.
fn check(script: Vec<Step>, outcome: Outcome) -> Answer {
    let told = format!("{script:?}");
    let server = RawServer::start(vec![script]);
    let answer = run(send(&stripe(&server.url(), PATIENT), "key-1"));
    let record = server.finish();
    assert_eq!(answer.outcome, outcome, "{told}: {answer:?}");
    assert_eq!(record.connections, 1, "{told}");
    assert!(record.requests.len() <= 1, "{told}");
    answer
}

#[test]
fn the_stored_bytes_arrive_unchanged_and_once() {
    let server = RawServer::start(vec![vec![Step::Read, Step::Write(accepted())]]);
    let url = server.url();
    let answer = run(send(&stripe(&url, PATIENT), "key-1"));
    assert_eq!(answer.outcome, Outcome::Accepted);
    assert_eq!(answer.request_id.as_deref(), Some("req_1"));
    assert_eq!(answer.provider_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));

    let requests = server.finish().requests;
    assert_eq!(requests.len(), 1);
    assert!(requests[0].ends_with(&[b"\r\n\r\n", BODY].concat()));
    let text = String::from_utf8(requests[0].clone()).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let first = lines.next().unwrap();
    let headers: BTreeMap<&str, &str> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    assert_eq!(first, "POST /v1/billing/meter_events HTTP/1.1");
    let host = url.strip_prefix("http://").unwrap();
    let length = BODY.len().to_string();
    let agent = format!("tallyd/{}", env!("CARGO_PKG_VERSION"));
    let bearer = format!("Bearer {KEY}");
    let expected = BTreeMap::from([
        ("accept", "*/*"),
        ("authorization", bearer.as_str()),
        ("content-length", length.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", host),
        ("idempotency-key", "key-1"),
        ("stripe-version", "2026-09-30.endive"),
        ("user-agent", agent.as_str()),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn a_connection_is_used_again_for_the_next_attempt() {
    let call = [Step::Read, Step::Write(accepted())];
    let server = RawServer::start(vec![[call.clone(), call.clone(), call].concat()]);
    run(async {
        let stripe = stripe(&server.url(), PATIENT);
        for key in ["key-1", "key-2", "key-3"] {
            assert_eq!(send(&stripe, key).await.outcome, Outcome::Accepted);
        }
    });
    let record = server.finish();
    assert_eq!((record.connections, record.requests.len()), (1, 3));
}

#[test]
fn a_flood_is_not_read_and_a_limiter_may_speak_first() {
    let flood = http("200 OK", "", &format!("{}{}", event(), " ".repeat(70_000)));
    let answer = check(vec![Step::Read, Step::Write(flood)], Outcome::Unknown);
    assert!(answer.message.unwrap().contains("longer than 65536 bytes"));
    // Stripe's limiter may speak before it has read the question.
    let limited = refused("429 Too Many Requests", "Retry-After: 3\r\n", "Slow down.");
    let answer = check(vec![Step::Read, Step::Write(limited)], Outcome::Busy);
    assert_eq!(answer.retry_after_seconds, Some(3));
}

#[test]
fn a_kept_connection_that_closes_between_requests_loses_none_and_doubles_none() {
    let call = vec![Step::Read, Step::Write(accepted())];
    for _ in 0..50 {
        let server = RawServer::start(vec![call.clone(), call.clone()]);
        let outcome = run(async {
            let stripe = stripe(&server.url(), PATIENT);
            assert_eq!(send(&stripe, "key-1").await.outcome, Outcome::Accepted);
            send(&stripe, "key-2").await.outcome
        });
        let record = server.finish();
        let seen = record
            .requests
            .iter()
            .filter(|request| String::from_utf8_lossy(request).contains("key-2"))
            .count();
        // Whether the close is noticed in time is a race; that the request is sent once is not.
        match outcome {
            Outcome::Accepted => assert_eq!((seen, record.connections), (1, 2)),
            Outcome::Unknown => assert_eq!((seen, record.connections), (0, 1)),
            Outcome::Duplicate
            | Outcome::Refused(_)
            | Outcome::Busy
            | Outcome::RateLimited
            | Outcome::Unauthorized
            | Outcome::NotSent
            | Outcome::Failed
            | Outcome::WrongAccount => panic!("{outcome:?}"),
        }
    }
}

#[test]
fn a_key_is_sent_only_where_it_belongs() {
    let check = |api: &str, key: &str, refused: Option<&str>| {
        let settings = Settings { key: key.into(), ..settings(api, PATIENT) };
        match (Stripe::new(&settings), refused) {
            (Ok(stripe), None) => assert_eq!(stripe.livemode(), key.contains("live"), "{api}"),
            (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
            (Ok(_), Some(why)) => panic!("{api}: {why}"),
            (Err(error), None) => panic!("{error}"),
        }
    };
    for key in ["sk_test_1", "rk_test_1", "sk_live_1", "rk_live_1"] {
        check("https://api.stripe.com", key, None);
        check("http://127.0.0.1:12111", key, None);
        check("http://[::1]:12111", key, None);
        check("http://localhost:12111", key, None);
        check("http://api.stripe.com", key, Some("https://"));
        check("http://127.0.0.1.evil.example", key, Some("https://"));
        check("ftp://127.0.0.1", key, Some("https://"));
        check("https://api.stripe.com/", key, Some("must end"));
        check("https://api.stripe.com?a=b", key, Some("must end"));
        check("https://user:word@api.stripe.com", key, Some("password"));
        check("stripe", key, Some("no address"));
    }
    check("https://stripe.internal.example", "sk_test_1", None);
    check("https://stripe.internal.example", "sk_live_1", Some("live key"));
    check("https://api.stripe.com.evil.example", "rk_live_1", Some("live key"));
    let stream_api = "https://stream.internal.example".to_owned();
    let apart = Settings { key: "sk_live_1".into(), stream_api, ..settings(API, PATIENT) };
    let error = Stripe::new(&apart).unwrap_err().to_string();
    assert!(error.contains("stream_api") && error.contains("live key"), "{error}");
    for key in ["", "pk_live_1", "sk_1", "SK_LIVE_1", " sk_live_1"] {
        check("https://api.stripe.com", key, Some("has to start with sk_live_"));
    }
    for key in ["sk_test_\n", "canary"] {
        let odd = Settings { key: key.into(), ..settings("https://api.stripe.com", PATIENT) };
        let error = Stripe::new(&odd).unwrap_err();
        assert!(matches!(error, BuildError::Key(_)) && !error.to_string().contains("canary"));
    }
}

#[test]
fn a_webhook_secret_that_is_nothing_is_refused_and_without_any_no_webhook_is_read() {
    let stripe = |secrets: &[&str]| {
        let webhook_secrets = secrets.iter().map(|secret| (*secret).into()).collect();
        Stripe::new(&Settings { webhook_secrets, ..settings("http://127.0.0.1:9", PATIENT) })
    };
    for secrets in [&[""][..], &["whsec_1234567890123456", " \t"]] {
        assert!(matches!(stripe(secrets), Err(BuildError::WebhookSecret(_))), "{secrets:?}");
    }
    assert!(stripe(&[]).unwrap().notice_reader().is_none());
    assert!(stripe(&["whsec_1234567890123456"]).unwrap().notice_reader().is_some());
}
