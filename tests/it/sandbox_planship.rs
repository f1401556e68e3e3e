//! The stand-in for Planship against the rules it stands in for, and against Planship's own SDK.
//! Never here: tallyd's own provider code, or tallyd as Planship ([`crate::planship`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::planship::{
    CLIENT, Formula, Known, Lever, METERING_ID, Period, PlanshipHandle, SECRET, Settings,
};
use tallyd::sandbox::{Sandbox, SandboxHandle, Settings as SandboxSettings};
use tokio::task::JoinSet;

use crate::support::referee::judge_with_planship;
use crate::support::stripe::NOON;

const USAGE: &str = "/api/v1/customers/stripe%3Acus_1/products/demo/usage/api-call";
const LEVER: &str = "/api/v1/customers/stripe%3Acus_1/products/demo/levers/api-calls/usage";
const TOKEN: &str = "/api/v1/auth/token";

/// A sandbox that runs as long as this lives.
struct Running {
    handle: SandboxHandle,
    organization: PlanshipHandle,
    url: String,
    _tasks: JoinSet<()>,
}

fn bearing(scheme: &str, credentials: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("{scheme} {credentials}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

async fn start_with(change: impl FnOnce(&mut Settings)) -> Running {
    let mut planship = Settings::default();
    change(&mut planship);
    let settings = SandboxSettings { planship, ..SandboxSettings::default() };
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOON)));
    let sandbox = Sandbox::bind(settings, clock).await.unwrap();
    let (handle, url) = (sandbox.handle(), sandbox.planship_url());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { sandbox.run(std::future::pending()).await.unwrap() });
    Running { organization: handle.planship(), handle, url, _tasks: tasks }
}

impl Running {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: &str,
    ) -> Option<(u16, Value)> {
        let body = Bytes::from(body.to_owned());
        let (status, body) = self.organization.ask(method, path, headers.clone(), body).await?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    async fn token_by(&self, secret: &str) -> (u16, Value) {
        let basic = bearing("Basic", &STANDARD.encode(format!("{CLIENT}:{secret}")));
        self.ask(Method::POST, TOKEN, &basic, "").await.unwrap()
    }

    async fn token(&self) -> HeaderMap {
        let (status, told) = self.token_by(SECRET).await;
        assert_eq!((status, &told["token_type"]), (200, &json!("bearer")), "{told}");
        bearing("Bearer", told["access_token"].as_str().unwrap())
    }

    async fn report(&self, token: &HeaderMap, body: &str) -> Option<(u16, Value)> {
        self.ask(Method::POST, USAGE, token, body).await
    }

    /// The total of a lever.
    async fn total(&self, token: &HeaderMap) -> i64 {
        let (status, usage) = self.ask(Method::GET, LEVER, token, "").await.unwrap();
        assert_eq!(status, 200, "{usage}");
        usage["total"].as_i64().unwrap()
    }

    fn reported(&self) -> i64 {
        self.organization.books().iter().map(|line| line.total).sum()
    }
}

#[tokio::test]
async fn the_official_sdk_finds_planship_in_the_sandbox() {
    let running = start_with(|_| {}).await;
    let said = judge_with_planship("planship_sandbox_referee.py", &running.url, NOON).await;
    assert!(said.contains("the sandbox holds"), "{said}");
}

#[tokio::test]
async fn a_token_is_given_for_a_secret_and_accepted_until_it_expires() {
    let running = start_with(|settings| settings.token_lives = Duration::from_secs(60)).await;
    let (status, why) = running.token_by("another").await;
    assert_eq!((status, why), (401, json!({ "detail": "Could not validate credentials" })));
    let (_, told) = running.token_by(SECRET).await;
    assert_eq!(told["expires_in"], json!(60));
    let token = running.token().await;
    running.handle.advance(Duration::from_secs(59));
    assert_eq!(running.report(&token, r#"{"usage":1}"#).await.unwrap().0, 200);
    running.handle.advance(Duration::from_secs(1));
    assert_eq!(running.report(&token, r#"{"usage":1}"#).await.unwrap().0, 401);
    let token = running.token().await;
    running.organization.end_tokens();
    assert_eq!(running.report(&token, r#"{"usage":1}"#).await.unwrap().0, 401);
    let none = HeaderMap::new();
    assert_eq!(running.report(&none, r#"{"usage":1}"#).await.unwrap().0, 401);
    assert_eq!(running.reported(), 1);
}

#[tokio::test]
async fn a_report_is_counted_each_time_and_levers_have_it_after_a_while() {
    let running = start_with(|settings| settings.lag = Duration::from_secs(30)).await;
    let token = running.token().await;
    let (status, first) = running.report(&token, r#"{"usage":5,"bucket":null}"#).await.unwrap();
    assert_eq!(
        (status, &first["usage"], &first["metering_id"]),
        (200, &json!(5), &json!("api-call"))
    );
    let (_, second) = running.report(&token, r#"{"usage":5}"#).await.unwrap();
    assert_ne!(first["id"], second["id"]);
    assert_eq!((running.total(&token).await, running.reported()), (0, 10));
    running.handle.advance(Duration::from_secs(29));
    assert_eq!(running.total(&token).await, 0);
    running.handle.advance(Duration::from_secs(1));
    assert_eq!(running.total(&token).await, 10);
    let (_, levers) = running.ask(Method::GET, USAGE, &token, "").await.unwrap();
    assert_eq!(levers["api-calls"]["by_bucket"], json!({ "null": 10 }));
}

#[tokio::test]
async fn each_formula_and_each_span_comes_to_what_it_is_said_to() {
    let lever = |slug: &str, formula, period| Lever {
        slug: slug.to_owned(),
        metering_ids: BTreeSet::from([METERING_ID.to_owned()]),
        formula,
        period,
    };
    let levers = vec![
        lever("now", Formula::Total, Period::Subscription),
        lever("ever", Formula::PerBucket, Period::AllTime),
        lever("lately", Formula::Total, Period::Rolling(3_600)),
        lever("kinds", Formula::UniqueBuckets, Period::AllTime),
    ];
    let running = start_with(|settings| settings.levers = levers).await;
    let token = running.token().await;
    running.report(&token, r#"{"usage":3,"bucket":"a"}"#).await.unwrap();
    running.handle.advance(Duration::from_secs(1_800));
    running.organization.renew();
    running.report(&token, r#"{"usage":4}"#).await.unwrap();
    let totals = async |token: &HeaderMap| {
        let (_, levers) = running.ask(Method::GET, USAGE, token, "").await.unwrap();
        ["now", "ever", "lately", "kinds"].map(|slug| levers[slug]["total"].as_i64().unwrap())
    };
    assert_eq!(totals(&token).await, [4, 7, 7, 1]);
    running.handle.advance(Duration::from_secs(1_801));
    let token = running.token().await;
    assert_eq!(totals(&token).await, [4, 7, 4, 1]);
    // The next period begins by itself.
    running.handle.advance(Duration::from_secs(30 * 24 * 60 * 60));
    let token = running.token().await;
    assert_eq!(totals(&token).await, [0, 7, 0, 1]);
}

#[tokio::test]
async fn what_is_not_there_or_makes_no_sense_is_refused_and_counts_for_nothing() {
    let running = start_with(|settings| {
        settings.customers = Known::Only(BTreeSet::from(["stripe:cus_1".to_owned()]));
        settings.metering_ids = Known::Only(BTreeSet::from([METERING_ID.to_owned()]));
    })
    .await;
    let token = running.token().await;
    for body in ["", "[]", "{}", r#"{"usage":1.5}"#, r#"{"usage":"1"}"#, r#"{"usage":null}"#] {
        let (status, why) = running.report(&token, body).await.unwrap();
        assert_eq!((status, &why["detail"][0]["loc"][0]), (422, &json!("body")), "{body} {why}");
    }
    for (path, why) in [
        (USAGE.replace("cus_1", "cus_2"), "Customer not found"),
        (USAGE.replace("demo", "another"), "Product not found"),
        (USAGE.replace("api-call", "another"), "Metering ID not found"),
    ] {
        let told = running.ask(Method::POST, &path, &token, r#"{"usage":1}"#).await.unwrap();
        assert_eq!(told, (404, json!({ "detail": why })), "{path}");
    }
    let elsewhere = running.ask(Method::DELETE, USAGE, &token, "").await.unwrap();
    assert_eq!(elsewhere.0, 405);
    assert_eq!(running.reported(), 0);
}

#[tokio::test]
async fn the_limiter_admits_so_many_in_any_second_and_says_when_to_come_back() {
    let running = start_with(|settings| settings.per_second = Some(3)).await;
    let token = running.token().await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(running.report(&token, r#"{"usage":1}"#).await.unwrap().0);
    }
    assert_eq!((statuses, running.reported()), (vec![200, 200, 429, 429], 2));
}

#[tokio::test]
async fn each_fault_applies_the_report_or_does_not() {
    let running = start_with(|_| {}).await;
    let token = running.token().await;
    let table = [
        (FaultKind::ClosedBefore, None, 0),
        (FaultKind::AnswerLost, None, 1),
        (FaultKind::ErrorBefore, Some(500), 0),
        (FaultKind::ErrorAfter, Some(500), 1),
        (FaultKind::RateLimited, Some(429), 0),
        (FaultKind::UnavailableHtml, Some(503), 0),
    ];
    for (fault, status, counts) in table {
        let before = running.reported();
        let faults = Faults { next: [fault].into(), ..Faults::default() };
        running.organization.set_faults(faults).unwrap();
        let answer = running.report(&token, r#"{"usage":1}"#).await;
        assert_eq!(answer.map(|(status, _)| status), status, "{fault:?}");
        assert_eq!(running.reported() - before, counts, "{fault:?}");
    }
    for none in [FaultKind::PinnedErrorAfter, FaultKind::RejectedLater, FaultKind::LockTimeout] {
        let faults = Faults { next: [none].into(), ..Faults::default() };
        let refused = running.organization.set_faults(faults).unwrap_err();
        assert!(refused.contains("no meaning at Planship"), "{refused}");
    }
}
