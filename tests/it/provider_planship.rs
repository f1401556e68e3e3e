//! Planship's room at its edge: when a token is asked for, and what its failing means. Never here:
//! what every room MUST do ([`crate::provider_conformance`]).

#![expect(clippy::unwrap_used, reason = "what a test prepares has to be there")]

use std::collections::BTreeSet;
use std::sync::Arc;

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::Says;
use tallyd::domain::names::{AccountName, ProviderMeter, ProviderName};
use tallyd::provider::counting::OnUnknown;
use tallyd::provider::inspection::Subject as About;
use tallyd::provider::planship::Planship;
use tallyd::provider::planship::settings::Settings;
use tallyd::provider::{Provider as _, Request};
use tokio::task::JoinSet;

use crate::support::raw_server::{RawServer, Record, Step};

const SECRET: &str = "canary-of-a-client";
const RECORD: &str =
    r#"{"id":"r","usage":5,"metering_id":"calls","customer_id":"c","product_id":"p"}"#;
const NO: &str = r#"{"detail":"Could not validate credentials"}"#;
/// `client` and the secret.
const BASIC: &str = "authorization: Basic Y2xpZW50OmNhbmFyeS1vZi1hLWNsaWVudA==";

fn made(api: &str) -> Arc<Planship> {
    let settings = Settings {
        name: ProviderName::new("planship.main").unwrap(),
        api: api.to_owned(),
        client_id: "client".to_owned(),
        client_secret: SECRET.into(),
        product: "demo".to_owned(),
        metering_ids: vec![ProviderMeter::new("calls").unwrap()],
        on_unknown: OnUnknown::Hold,
        livemode: false,
        timeout_millis: 20_000,
    };
    Arc::new(Planship::new(settings).unwrap())
}

async fn report(planship: &Planship, customer: &str) -> Answer {
    let request = Request {
        says: &Says::Usage,
        meter: &ProviderMeter::new("calls").unwrap(),
        account: &AccountName::new(customer).unwrap(),
        body: br#"{"usage":5}"#,
        idempotency_key: "key",
        identifier: "tallyd-1",
    };
    planship.send(request).await
}

/// An answer on a connection that ends with it.
fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A connection on which this is answered.
fn answers(status: &str, body: &str) -> Vec<Step> {
    vec![Step::Read, Step::Write(http(status, body))]
}

fn token(name: &str, expires_in: i64) -> Vec<Step> {
    let body = format!(
        "{{\"access_token\":\"{name}\",\"token_type\":\"bearer\",\"expires_in\":{expires_in}}}"
    );
    answers("200 OK", &body)
}

fn yes() -> Vec<Step> {
    answers("200 OK", RECORD)
}

/// Which requests came: the last word of their paths, and what they bore.
fn came(record: &Record) -> Vec<String> {
    let line = |request: &Vec<u8>| {
        let text = String::from_utf8_lossy(request).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let bore = text.lines().find_map(|line| line.strip_prefix("authorization: "));
        let bore = bore.unwrap_or_default().split(' ').next_back().unwrap_or_default().to_owned();
        format!("{} {bore}", path.rsplit('/').next().unwrap_or_default())
    };
    record.requests.iter().map(line).collect()
}

#[tokio::test]
async fn a_token_is_asked_for_by_the_secret_with_an_empty_body_and_shared_while_it_lives() {
    let server = RawServer::start(vec![token("first", 3_600), yes(), yes()]);
    let planship = made(&server.url());
    for _ in 0..2 {
        assert_eq!(report(&planship, "c").await.outcome, Outcome::Accepted);
    }
    let record = server.finish();
    let head = String::from_utf8(record.requests[0].clone()).unwrap();
    assert!(head.starts_with("POST /api/v1/auth/token HTTP/1.1"), "{head}");
    assert!(head.contains(BASIC) && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("content-length: 0\r\n"), "{head}");
    assert_eq!(came(&record)[1..], ["calls first", "calls first"]);
}

#[tokio::test]
async fn what_first_contact_was_given_is_reported_by() {
    let server = RawServer::start(vec![token("first", 3_600), token("second", 3_600), yes()]);
    let planship = made(&server.url());
    for _ in 0..2 {
        assert!(planship.contact().await.is_ok());
    }
    assert_eq!(report(&planship, "c").await.outcome, Outcome::Accepted);
    assert_eq!(came(&server.finish())[2..], ["calls second"]);
}

#[tokio::test]
async fn a_token_that_has_no_life_left_is_not_used_again() {
    let scripts = vec![token("first", 0), yes(), token("second", 3_600), yes(), yes()];
    let server = RawServer::start(scripts);
    let planship = made(&server.url());
    for _ in 0..3 {
        assert_eq!(report(&planship, "c").await.outcome, Outcome::Accepted);
    }
    let came = came(&server.finish());
    let reports: Vec<&String> = came.iter().filter(|line| line.starts_with("calls")).collect();
    assert_eq!(reports, ["calls first", "calls second", "calls second"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_report_made_once_more() {
    let scripts =
        vec![token("old", 3_600), answers("401 Unauthorized", NO), token("new", 3_600), yes()];
    let server = RawServer::start(scripts);
    assert_eq!(report(&made(&server.url()), "c").await.outcome, Outcome::Accepted);
    let came = came(&server.finish());
    assert_eq!((came[1].as_str(), came[3].as_str(), came.len()), ("calls old", "calls new", 4));
}

#[tokio::test]
async fn a_second_refusal_is_that_of_the_client_and_nothing_goes_round_in_circles() {
    let refused = || answers("401 Unauthorized", NO);
    let server =
        RawServer::start(vec![token("old", 3_600), refused(), token("new", 3_600), refused()]);
    let answer = report(&made(&server.url()), "c").await;
    assert_eq!(answer.outcome, Outcome::Unauthorized);
    assert_eq!(server.finish().requests.len(), 4);
}

#[tokio::test]
async fn what_waits_for_a_token_that_does_not_come_was_not_sent() {
    let quoted = format!("{{\"detail\":\"{SECRET} is wrong\"}}");
    for (script, outcome) in [
        (vec![], Outcome::NotSent),
        (vec![Step::Read], Outcome::NotSent),
        (answers("500 Internal Server Error", ""), Outcome::NotSent),
        (answers("200 OK", "{}"), Outcome::NotSent),
        (answers("403 Forbidden", "<html>"), Outcome::NotSent),
        (answers("404 Not Found", NO), Outcome::NotSent),
        (answers("429 Too Many Requests", NO), Outcome::RateLimited),
        (answers("401 Unauthorized", &quoted), Outcome::Unauthorized),
    ] {
        let server = RawServer::start(vec![script]);
        let answer = report(&made(&server.url()), "c").await;
        assert_eq!(answer.outcome, outcome, "{answer:?}");
        assert!(!format!("{answer:?}").contains(SECRET), "{answer:?}");
        assert!(server.finish().connections == 1);
    }
    // Also where a first report was refused for its token: it was not looked at.
    let scripts = vec![token("old", 3_600), answers("401 Unauthorized", NO), vec![Step::Read]];
    let server = RawServer::start(scripts);
    assert_eq!(report(&made(&server.url()), "c").await.outcome, Outcome::NotSent);
    server.finish();
}

#[tokio::test]
async fn many_that_need_a_token_wait_for_one() {
    let mut scripts = vec![token("only", 3_600)];
    scripts.extend(std::iter::repeat_with(yes).take(8));
    let server = RawServer::start(scripts);
    let planship = made(&server.url());
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let planship = planship.clone();
        tasks.spawn(async move { report(&planship, &format!("c{number}")).await.outcome });
    }
    assert!(tasks.join_all().await.iter().all(|outcome| *outcome == Outcome::Accepted));
    let came = came(&server.finish());
    assert_eq!(came.iter().filter(|line| line.starts_with("token")).count(), 1, "{came:?}");
}

#[tokio::test]
async fn an_inspection_tells_a_product_that_is_not_there_from_one_that_nobody_speaks_of() {
    let product = r#"{"slug":"demo","id":"p","name":"Demo","organization_id":"o"}"#;
    let other = product.replace("demo", "other");
    for (status, body, about, meters, is_answered) in [
        ("200 OK", product, None, 1, true),
        ("200 OK", other.as_str(), None, 0, false),
        ("404 Not Found", NO, Some(About::Account), 1, true),
        ("404 Not Found", "<html>", None, 0, false),
        // Usage may be reported all the same.
        ("403 Forbidden", NO, Some(About::Key), 1, true),
        ("401 Unauthorized", NO, Some(About::Key), 0, true),
        ("500 Internal Server Error", "", None, 0, false),
    ] {
        let server = RawServer::start(vec![token("only", 3_600), answers(status, body)]);
        let found = made(&server.url()).inspect(&BTreeSet::new()).await;
        let subjects: Vec<&About> = found.disagreements.iter().map(|each| &each.subject).collect();
        assert_eq!(subjects, about.iter().collect::<Vec<_>>(), "{status} {body} {found:?}");
        assert_eq!(found.meters.len(), meters, "{status} {body} {found:?}");
        assert_eq!(found.unanswered.is_none(), is_answered, "{status} {body} {found:?}");
        let record = server.finish();
        assert_eq!((found.calls, record.requests.len()), (2, 2), "{status} {body}");
        assert_eq!(came(&record)[1], "demo only", "{status} {body}");
    }
}

#[tokio::test]
async fn a_customer_that_is_no_segment_of_a_path_is_refused_without_a_request() {
    let server = RawServer::start(vec![]);
    let answer = report(&made(&server.url()), "..").await;
    assert!(answer.outcome.is_refusal(), "{answer:?}");
    assert_eq!(server.finish().connections, 0);
}
