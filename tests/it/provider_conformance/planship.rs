//! Planship's room under trial. Here: how it is made, and what Planship answers. Never here: a MUST,
//! or when a token is asked for (`crate::provider_planship`). Read next: `tallyd::provider`.

use std::sync::Arc;

use serde_json::{Value, json};
use tallyd::domain::answer::Outcome;
use tallyd::domain::event::Says;
use tallyd::domain::names::{ProviderMeter, ProviderName};
use tallyd::domain::time::Window;
use tallyd::provider::counting::OnUnknown;
use tallyd::provider::planship::Planship;
use tallyd::provider::planship::settings::{API, Settings};

use super::subject::{Access, Exchange, Headers, Made, Subject, Telling, http, ok};

const SECRET: &str = "secret_canary4242";
const TOKEN: &str = "token_canary4242";
const METERING_ID: &str = "api-call";
const TOTALS: &str = "a lever has no totals of spans, and knows no report";
const BILLS: &str = "how an organization charges is not told with usage";
const WEBHOOKS: &str = "Planship announces nothing of usage";

/// A product at Planship.
pub(super) struct Reports;

fn settings(access: &Access) -> Settings {
    Settings {
        name: ProviderName::new("planship.main").unwrap(),
        api: access.host.clone(),
        client_id: "client".to_owned(),
        client_secret: SECRET.into(),
        product: "demo".to_owned(),
        metering_ids: vec![ProviderMeter::new(METERING_ID).unwrap()],
        on_unknown: OnUnknown::Hold,
        livemode: access.live,
        timeout_millis: access.timeout_millis,
    }
}

/// A metering record as the published schema has it.
fn record(field: &str, value: Value) -> Vec<u8> {
    let mut record = json!({
        "id": "6f0d5f3c-0000-4000-8000-000000000001", "is_allocated": false, "usage": 5,
        "metering_id": METERING_ID, "customer_id": "6f0d5f3c-0000-4000-8000-000000000002",
        "product_id": "6f0d5f3c-0000-4000-8000-000000000003", "subscription_id": null,
        "bucket": null,
    });
    record[field] = value;
    ok(&record)
}

fn yes() -> Vec<u8> {
    record("usage", json!(5))
}

fn token_of(kind: &str) -> Vec<u8> {
    let token = json!({ "access_token": TOKEN, "token_type": kind, "expires_in": 3_600 });
    http("200 OK", "Connection: close\r\n", &token.to_string())
}

impl Subject for Reports {
    fn room(&self) -> &'static str {
        "planship"
    }

    fn make(&self, access: &Access) -> Result<Made, String> {
        let product = Planship::new(settings(access)).map_err(|error| error.to_string())?;
        let shown = format!("{product:?}");
        Ok(Made { provider: Arc::new(product), billing: None, shown })
    }

    fn shown_settings(&self, access: &Access) -> String {
        format!("{:?}", settings(access))
    }

    fn own_host(&self) -> &'static str {
        API
    }

    fn meter(&self) -> &'static str {
        METERING_ID
    }

    fn account(&self) -> &'static str {
        "stripe:cus_Qv7TP2s0BZ6XAV"
    }

    fn contact_account(&self) -> Option<&'static str> {
        Some("demo")
    }

    fn key_line(&self) -> Option<String> {
        Some(format!("authorization: Bearer {TOKEN}"))
    }

    fn quoted_key(&self) -> String {
        TOKEN.to_owned()
    }

    fn idempotency_header(&self) -> &'static str {
        "idempotency-key"
    }

    fn content_type(&self) -> &'static str {
        "application/json;charset=UTF-8"
    }

    fn opening(&self) -> Option<(&'static str, Vec<u8>)> {
        Some(("POST /api/v1/auth/token", token_of("bearer")))
    }

    fn renews(&self) -> bool {
        true
    }

    fn lacks(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("named event", "a report has no name there"),
            ("stored key", "Planship knows no idempotency keys"),
            ("tiles", TOTALS),
            ("exact", TOTALS),
            ("grain", TOTALS),
            ("another's total", TOTALS),
            ("end", TOTALS),
            ("counted", TOTALS),
            ("read only", "its token is asked for by POST, which changes nothing there"),
            ("all found", "without a token nothing else can be asked"),
            ("proof first", WEBHOOKS),
            ("silence", WEBHOOKS),
            ("nothing there", BILLS),
            ("another object", BILLS),
            ("circle", BILLS),
            ("odd row", BILLS),
        ]
    }

    fn tellings(&self) -> Vec<Telling> {
        vec![Telling {
            case: "a report",
            says: Says::Usage,
            // As no encoder of ours would write it.
            body: "{ \"usage\" : 5 }",
            goes_to: "POST /api/v1/customers/stripe%3Acus_Qv7TP2s0BZ6XAV/products/demo/usage/api-call",
            yes: yes(),
            again: vec![vec![yes()]],
            others: vec![
                ("another usage", vec![record("usage", json!(6))]),
                ("another metering id", vec![record("metering_id", json!("another"))]),
                ("no record", vec![record("id", Value::Null)]),
            ],
            no: vec![self.missing()],
        }]
    }

    fn error(&self, status: &str, headers: &str, message: &str) -> Vec<u8> {
        // What a provider says may hold what a text of JSON has to escape, escaped already.
        let body = format!("{{\"detail\":\"{message}\"}}");
        // Whoever goes again does not meet a connection that is about to end.
        let ends = if status.starts_with("401") { "Connection: close\r\n" } else { "" };
        http(status, &format!("{ends}{headers}"), &body)
    }

    fn missing(&self) -> Vec<u8> {
        self.error("404 Not Found", "", "Customer not found")
    }

    fn limited(&self, headers: &str) -> Vec<u8> {
        self.error("429 Too Many Requests", headers, "Too Many Requests")
    }

    fn totals(&self, _rows: &[(Window, &str)], _next: Option<usize>) -> Vec<u8> {
        ok(&json!({}))
    }

    fn other_totals(&self) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    fn contact(&self) -> Exchange {
        vec![token_of("bearer")]
    }

    fn no_contact(&self) -> Vec<(&'static str, Exchange, Outcome)> {
        vec![("another kind of token", vec![token_of("mac")], Outcome::Unknown)]
    }

    fn unproven(&self) -> Vec<(&'static str, Headers)> {
        Vec::new()
    }

    fn proof(&self, _body: &[u8]) -> Headers {
        Vec::new()
    }

    fn subscription(&self, _id: &str) -> Value {
        Value::Null
    }

    fn invoice(&self, _id: &str) -> Value {
        Value::Null
    }

    fn after_subscription(&self) -> Exchange {
        Vec::new()
    }

    fn after_invoice(&self) -> Exchange {
        Vec::new()
    }

    fn row(&self, kind: &str, object: Value) -> Value {
        json!({ kind: object })
    }

    fn list(&self, _rows: &[Value], _next: Option<&str>) -> Vec<u8> {
        ok(&json!({}))
    }

    fn feed(&self) -> &'static str {
        "none"
    }
}
