//! Planship's usage API at the daemon: by the requests that its official SDKs send, byte for byte,
//! and by its official Python SDK. Never here: what a lever comes to ([`crate::usage`]). Read next:
//! [`crate::usage`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::daemon::{Billing, Home, Lines, TOKEN, TestDaemon};
use crate::support::referee::judge_with_planship;

const SECRET: &str = "canary-secret-of-planship";
const MORE: &str = r#"
[planship_api]
client_id = "service"
client_secret = { env = "TEST_PLANSHIP" }
products = ["demo"]

[lever.tokens]
metering_id = "calls"
period = "all_time"

[lever.models]
metering_id = "calls"
formula = "per_bucket"
period = "30d"

[lever.kinds]
metering_id = "calls"
formula = "unique_buckets"
period = "30d"

[lever.elsewhere]
metering_id = "calls"
period = "30d"
products = ["other"]

[lever.month]
metering_id = "calls"
period = "subscription"
products = ["none"]
"#;
/// Each report is told at once, as its window is over.
const SINGLY: &str = "window = \"record\"";
const OF_CUSTOMER: &str = "/api/v1/customers/stripe%3Acus_Qv7TP2s0BZ6XAV/products/demo";
/// `service` and the secret.
const BASIC: &str = "c2VydmljZTpjYW5hcnktc2VjcmV0LW9mLXBsYW5zaGlw";

struct Stage {
    home: Home,
    daemon: TestDaemon,
    provider: Billing,
}

impl Stage {
    async fn start() -> Self {
        let provider = Billing::start().await;
        let home =
            Home::with(&provider.url, Lines { more: MORE, route: SINGLY, ..Lines::default() });
        let daemon = home.start_in(&[("TEST_PLANSHIP", SECRET)]).await;
        Self { home, daemon, provider }
    }

    /// Sends a request as it stands; answers the status and the body.
    async fn send(&self, head: &str, headers: &[&str], body: &str) -> (u16, Value) {
        let address = self.daemon.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let headers: String = headers.iter().map(|each| format!("{each}\r\n")).collect();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: \
             {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }

    async fn token(&self) -> String {
        let basic = format!("Authorization: Basic {BASIC}");
        let headers =
            ["Accept: application/json", &basic, "User-Agent: OpenAPI-Generator/1.0.0/python"];
        let (status, told) = self.send("POST /api/v1/auth/token", &headers, "").await;
        assert_eq!((status, &told["token_type"]), (200, &json!("bearer")), "{told}");
        assert!(told["expires_in"].is_i64(), "{told}");
        format!("Authorization: Bearer {}", told["access_token"].as_str().unwrap())
    }

    async fn report(&self, token: &str, more: &[&str], body: &str) -> (u16, Value) {
        let mut headers = vec!["Accept: application/json", "Content-Type: application/json", token];
        headers.extend(more);
        self.send(&format!("POST {OF_CUSTOMER}/usage/calls"), &headers, body).await
    }

    async fn read(&self, token: &str, what: &str) -> (u16, Value) {
        let headers = ["Accept: application/json", token];
        self.send(&format!("GET {OF_CUSTOMER}/{what}"), &headers, "").await
    }

    /// Stops, verifies, and answers what the provider holds.
    async fn end(self, records: usize) -> String {
        self.daemon.all_told(records).await;
        self.daemon.stop().await;
        self.home.verify().await;
        let place = ("calls".to_owned(), "cus_Qv7TP2s0BZ6XAV".to_owned());
        self.provider.books().remove(&place).unwrap_or_default()
    }
}

#[tokio::test]
async fn the_requests_of_the_official_sdk_report_usage_that_is_told_and_read_back() {
    let stage = Stage::start().await;
    let token = stage.token().await;
    let (status, first) = stage.report(&token, &[], "{\"usage\": 15}").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!((&first["usage"], &first["metering_id"]), (&json!(15), &json!("calls")));
    assert_eq!((&first["bucket"], &first["subscription_id"]), (&Value::Null, &Value::Null));
    for name in ["id", "customer_id", "product_id"] {
        let text = first[name].as_str().unwrap();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{text}");
    }
    let body = "{\"usage\": 2, \"bucket\": \"First project/\\u00e9\"}";
    let (status, second) = stage.report(&token, &[], body).await;
    assert_eq!((status, &second["bucket"]), (200, &json!("First project/é")));
    // Without a key each is usage of its own.
    let (_, third) = stage.report(&token, &[], body).await;
    assert_ne!(second["id"], third["id"]);
    let subscription = "c49c142e-310c-44b7-86bd-c4de568bc4ac";
    let body = format!("{{\"usage\":1,\"subscription_id\":\"{subscription}\"}}");
    let (status, fourth) = stage.report(&token, &[], &body).await;
    assert_eq!((status, &fourth["is_allocated"]), (200, &json!(true)));

    let models = json!({
        "total": 20,
        "by_bucket": {"null": 16, "First project/é": 4},
        "by_subscription": {(subscription): [{"usage": 1, "bucket": null}]},
    });
    assert_eq!(stage.read(&token, "levers/models/usage").await, (200, models.clone()));
    let (status, all) = stage.read(&token, "usage/calls").await;
    assert_eq!((status, &all["models"]), (200, &models));
    assert_eq!(all["tokens"]["by_bucket"], json!({"null": 20}));
    assert_eq!(all["kinds"]["total"], 1);
    assert!(all.get("elsewhere").is_none(), "{all}");
    assert_eq!(stage.end(4).await, "20");
}

#[tokio::test]
async fn a_report_with_a_key_counts_once_and_another_under_the_same_key_is_refused() {
    let stage = Stage::start().await;
    let token = stage.token().await;
    let key = ["Idempotency-Key: 7b1c"];
    let (status, first) = stage.report(&token, &key, "{\"usage\": 7}").await;
    assert_eq!(status, 200, "{first}");
    for _ in 0..2 {
        assert_eq!(stage.report(&token, &key, "{\"usage\":7}").await, (200, first.clone()));
    }
    for other in ["{\"usage\": 8}", "{\"usage\": 7, \"bucket\": \"a\"}"] {
        let (status, told) = stage.report(&token, &key, other).await;
        assert_eq!(status, 409, "{told}");
    }
    let many = (0..8).map(|_| stage.report(&token, &["Idempotency-Key: at once"], "{\"usage\":1}"));
    for (status, told) in futures_util::future::join_all(many).await {
        assert_eq!(status, 200, "{told}");
    }
    assert_eq!(stage.daemon.status().await["conflicts"], 0);
    assert_eq!(stage.read(&token, "levers/tokens/usage").await.1["total"], 8);
    assert_eq!(stage.end(2).await, "8");
}

#[tokio::test]
async fn what_is_no_report_of_a_client_is_refused_as_the_api_does() {
    let stage = Stage::start().await;
    let token = stage.token().await;
    for (body, place, kind) in [
        ("{}", json!(["body", "usage"]), "value_error.missing"),
        ("{\"usage\": 1.5}", json!(["body", "usage"]), "type_error.integer"),
        ("{\"usage\": -4}", json!(["body", "usage"]), "value_error.number.not_ge"),
        ("{\"usage\"", json!(["body", "__root__"]), "value_error.jsondecode"),
    ] {
        let (status, told) = stage.report(&token, &[], body).await;
        assert_eq!(status, 422, "{told}");
        assert_eq!((&told["detail"][0]["loc"], &told["detail"][0]["type"]), (&place, &json!(kind)));
    }
    let long = format!("Idempotency-Key: {}", "k".repeat(300));
    assert_eq!(stage.report(&token, &[&long], "{\"usage\": 1}").await.0, 422);
    for wrong in ["Authorization: Bearer tok1", "Accept: */*"] {
        assert_eq!(stage.report(wrong, &[], "{\"usage\": 1}").await.0, 401);
        assert_eq!(stage.read(wrong, "levers/tokens/usage").await.0, 401);
    }
    // A source's token is none of a client's, nor the other way round.
    let other = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(stage.report(&other, &[], "{\"usage\": 1}").await.0, 401);
    assert_eq!(stage.send("POST /v1/usage", &[&token], "[]").await.0, 401);
    for wrong in ["Authorization: Basic c2VydmljZTpubw==", "Accept: */*"] {
        assert_eq!(stage.send("POST /api/v1/auth/token", &[wrong], "").await.0, 401);
    }
    for (path, status) in [("levers/none/usage", 404), ("levers/elsewhere/usage", 404)] {
        assert_eq!(stage.read(&token, path).await.0, status, "{path}");
    }
    let elsewhere = "POST /api/v1/customers/cus_1/products/other/usage/calls";
    assert_eq!(stage.send(elsewhere, &[&token], "{\"usage\": 1}").await.0, 404);
    // What has decimals cannot be said in whole numbers.
    let mut half =
        crate::support::daemon::usage("half", "stripe:cus_Qv7TP2s0BZ6XAV", "calls", "0.5", 60);
    half["source"] = json!("web");
    stage.daemon.accept(&[half]).await;
    assert_eq!(stage.read(&token, "levers/tokens/usage").await.0, 409);
    let stop = stage.daemon.stop_and_read().await;
    drop(stop);
    let said = stage.home.said();
    assert!(!said.contains(SECRET), "{said}");
}

#[tokio::test]
async fn without_its_table_nothing_of_the_api_is_there() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    assert_eq!(daemon.get(&format!("{OF_CUSTOMER}/usage/calls")).await.status, 404);
    daemon.stop().await;
}

#[tokio::test]
async fn the_official_python_sdk_reports_a_real_trace_and_reads_what_was_counted_by_hand() {
    let more = MORE.split("[lever.elsewhere]").next().unwrap();
    let provider = Billing::start().await;
    let home = Home::with(&provider.url, Lines { more, route: SINGLY, ..Lines::default() });
    let daemon = home.start_in(&[("TEST_PLANSHIP", SECRET)]).await;
    let said = judge_with_planship("planship_referee.py", &daemon.url, 0).await;
    assert!(said.contains("the daemon holds 600 reports"), "{said}");
    daemon.all_told(601).await;
    daemon.stop().await;
    home.verify().await;
    let told: i64 = provider.books().values().map(|sum| sum.parse::<i64>().unwrap()).sum();
    assert!(said.contains(&format!("of {told} tokens")), "{said} {told}");
}
