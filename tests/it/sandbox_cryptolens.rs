//! The stand-in for Cryptolens against the rules it stands in for, and against Cryptolens' own SDK.
//! Never here: tallyd's own provider code.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::cryptolens::{CryptolensHandle, PRODUCT, Settings, TOKEN};
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::{Sandbox, Settings as SandboxSettings};
use tokio::task::JoinSet;

use crate::support::referee::judge;
use crate::support::stripe::NOON;

/// A sandbox that runs as long as this lives.
struct Running {
    account: CryptolensHandle,
    url: String,
    _tasks: JoinSet<()>,
}

async fn start_with(change: impl FnOnce(&mut Settings)) -> Running {
    let mut cryptolens = Settings::default();
    change(&mut cryptolens);
    let settings = SandboxSettings { cryptolens, ..SandboxSettings::default() };
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOON)));
    let sandbox = Sandbox::bind(settings, clock).await.unwrap();
    let (account, url) = (sandbox.handle().cryptolens(), sandbox.cryptolens_url());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { sandbox.run(std::future::pending()).await.unwrap() });
    Running { account, url, _tasks: tasks }
}

impl Running {
    /// A record of usage by POST.
    async fn record(&self, path: &str, form: &str) -> Option<(u16, Value)> {
        let form = Bytes::from(format!("token={TOKEN}&{form}"));
        let (status, body) = self.account.ask(Method::POST, path, form).await?;
        Some((status, serde_json::from_slice(&body).unwrap()))
    }

    async fn said(&self, form: &str) -> (i64, String) {
        let (status, body) = self.record("/api/subscription/RecordUsage", form).await.unwrap();
        assert_eq!(status, 200, "{body}");
        (body["result"].as_i64().unwrap(), body["message"].as_str().unwrap().to_owned())
    }

    fn total(&self) -> i64 {
        self.account.books().iter().map(|line| line.total).sum()
    }
}

#[tokio::test]
async fn the_official_sdk_finds_cryptolens_in_the_sandbox() {
    let running = start_with(|_| {}).await;
    let said = judge("cryptolens_referee.py", &running.url, NOON).await;
    assert!(said.contains("the sandbox holds"), "{said}");
}

#[tokio::test]
async fn a_record_is_taken_however_a_client_writes_its_path_and_names() {
    let running = start_with(|_| {}).await;
    let forms = ["ProductId=3349&Key=A&Amount=1", "productid=3349&KEY=A&amount=1&v=1"];
    let paths = [
        "/api/subscription/RecordUsage",
        "/api//subscription/RecordUsage/",
        "/api/Subscription/recordusage",
    ];
    for (path, form) in paths.iter().zip(forms.iter().cycle()) {
        let (status, body) = running.record(path, form).await.unwrap();
        assert_eq!((status, &body["result"]), (200, &json!(0)), "{path} {body}");
    }
    let (status, _) = running.record("/api/subscription/Forget", forms[0]).await.unwrap();
    assert_eq!(status, 404);
    assert_eq!(running.total(), 3);
}

#[tokio::test]
async fn what_is_missing_or_too_much_is_refused_and_counts_for_nothing() {
    let running = start_with(|_| {}).await;
    let incorrect = (1, "The input parameters were incorrect.".to_owned());
    for form in [
        "Key=A&Amount=1",
        "ProductId=3349&Amount=1",
        "ProductId=x&Key=A&Amount=1",
        "ProductId=3349&Key=A&Amount=1.5",
        "ProductId=3349&Key=A&Amount=2147483648",
    ] {
        assert_eq!(running.said(form).await, incorrect, "{form}");
    }
    assert_eq!(running.said("ProductId=3349&Key=A").await.0, 0);
    let none = (1, "Could not find the key.".to_owned());
    assert_eq!(running.said("ProductId=3349&Key=&Amount=1").await, none);
    assert_eq!(running.total(), 0);
}

#[tokio::test]
async fn the_limiter_admits_so_many_in_any_second_and_says_when_to_come_back() {
    let running = start_with(|account| account.per_second = Some(2)).await;
    let form = format!("ProductId={PRODUCT}&Key=A&Amount=1");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let path = "/api/subscription/RecordUsage";
        statuses.push(running.record(path, &form).await.unwrap().0);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(running.total(), 2);
}

#[tokio::test]
async fn each_fault_applies_the_request_or_does_not() {
    let running = start_with(|_| {}).await;
    let form = format!("ProductId={PRODUCT}&Key=A&Amount=1");
    let table = [
        (FaultKind::ClosedBefore, None, 0),
        (FaultKind::AnswerLost, None, 1),
        (FaultKind::ErrorBefore, Some(500), 0),
        (FaultKind::ErrorAfter, Some(500), 1),
        (FaultKind::RateLimited, Some(429), 0),
        (FaultKind::UnavailableHtml, Some(503), 0),
    ];
    let form = Bytes::from(format!("token={TOKEN}&{form}"));
    for (fault, status, counts) in table {
        let before = running.total();
        let faults = Faults { next: [fault].into(), ..Faults::default() };
        running.account.set_faults(faults).unwrap();
        let path = "/api/subscription/RecordUsage";
        let answer = running.account.ask(Method::POST, path, form.clone()).await;
        assert_eq!(answer.map(|(status, _)| status), status, "{fault:?}");
        assert_eq!(running.total() - before, counts, "{fault:?}");
    }
    for none in [FaultKind::PinnedErrorAfter, FaultKind::RejectedLater, FaultKind::LockTimeout] {
        let faults = Faults { next: [none].into(), ..Faults::default() };
        let refused = running.account.set_faults(faults).unwrap_err();
        assert!(refused.contains("no meaning at Cryptolens"), "{refused}");
    }
}
