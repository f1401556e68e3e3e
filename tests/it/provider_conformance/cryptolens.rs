//! Cryptolens' room under trial. Here: how it is made, and what Cryptolens answers. Never here: a
//! MUST. Read next: `tallyd::provider`.

use std::sync::Arc;

use serde_json::{Value, json};
use tallyd::domain::answer::Outcome;
use tallyd::domain::event::Says;
use tallyd::domain::names::{ProviderMeter, ProviderName};
use tallyd::domain::time::Window;
use tallyd::provider::counting::OnUnknown;
use tallyd::provider::cryptolens::Cryptolens;
use tallyd::provider::cryptolens::settings::{API, Settings};

use super::subject::{Access, Exchange, Headers, Made, Subject, Telling, http, ok};

const TOKEN: &str = "WyIxMjM0NSIsImNhbmFyeTQyNDIiXQ=_canary4242";
/// The same, as a form has it.
const WRITTEN: &str = "token=WyIxMjM0NSIsImNhbmFyeTQyNDIiXQ%3D_canary4242";
const PRODUCT: &str = "3349";
const LICENSE: &str = "CMXKC-GUQRW-EJUGS-RRPUR";
const TOTALS: &str = "what was recorded cannot be read back";
const BILLS: &str = "nothing tells how an account bills";
const WEBHOOKS: &str = "Cryptolens announces nothing of usage";

/// An account at Cryptolens.
pub(super) struct Records;

fn settings(access: &Access) -> Settings {
    Settings {
        name: ProviderName::new("cryptolens.main").unwrap(),
        api: access.host.clone(),
        token: TOKEN.into(),
        products: vec![ProviderMeter::new(PRODUCT).unwrap()],
        on_unknown: OnUnknown::Hold,
        livemode: access.live,
        timeout_millis: access.timeout_millis,
    }
}

fn said(result: i64, message: &str) -> Value {
    json!({ "result": result, "message": message })
}

impl Subject for Records {
    fn room(&self) -> &'static str {
        "cryptolens"
    }

    fn make(&self, access: &Access) -> Result<Made, String> {
        let account = Cryptolens::new(settings(access)).map_err(|error| error.to_string())?;
        let shown = format!("{account:?}");
        Ok(Made { provider: Arc::new(account), billing: None, shown })
    }

    fn shown_settings(&self, access: &Access) -> String {
        format!("{:?}", settings(access))
    }

    fn own_host(&self) -> &'static str {
        API
    }

    fn meter(&self) -> &'static str {
        PRODUCT
    }

    fn account(&self) -> &'static str {
        LICENSE
    }

    fn contact_account(&self) -> Option<&'static str> {
        None
    }

    fn key_line(&self) -> Option<String> {
        None
    }

    fn on_the_wire(&self, body: &str) -> String {
        format!("{WRITTEN}&{body}")
    }

    fn quoted_key(&self) -> String {
        TOKEN.to_owned()
    }

    fn idempotency_header(&self) -> &'static str {
        "idempotency-key"
    }

    fn lacks(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("named event", "a record of usage has no name there"),
            ("stored key", "Cryptolens knows no idempotency keys"),
            ("tiles", TOTALS),
            ("exact", TOTALS),
            ("grain", TOTALS),
            ("another's total", TOTALS),
            ("end", TOTALS),
            ("counted", TOTALS),
            ("read only", "it is asked by POST too, which keeps the token out of addresses"),
            ("all found", "there is one question, and what may be written is told by none"),
            ("proof first", WEBHOOKS),
            ("silence", WEBHOOKS),
            ("nothing there", BILLS),
            ("another object", BILLS),
            ("circle", BILLS),
            ("odd row", BILLS),
        ]
    }

    fn tellings(&self) -> Vec<Telling> {
        let yes = || ok(&said(0, ""));
        vec![Telling {
            case: "a record",
            says: Says::Usage,
            // As no encoder of ours would write it.
            body: "Amount=5&Key=CMXKC-GUQRW-EJUGS-RRPU%52&ProductId=3349",
            goes_to: "POST /api/subscription/RecordUsage",
            yes: yes(),
            again: vec![vec![yes()]],
            // A yes says of nothing that it is about it.
            others: Vec::new(),
            no: vec![ok(&said(1, "Could not find the key."))],
        }]
    }

    fn error(&self, status: &str, headers: &str, message: &str) -> Vec<u8> {
        // What a provider says may hold what a text of JSON has to escape, escaped already.
        let body = format!("{{\"result\":1,\"message\":\"{message}\"}}");
        http(status, headers, &body)
    }

    fn missing(&self) -> Vec<u8> {
        ok(&said(1, "Could not find the key."))
    }

    fn limited(&self, headers: &str) -> Vec<u8> {
        self.error("429 Too Many Requests", headers, "Too many requests.")
    }

    fn totals(&self, _rows: &[(Window, &str)], _next: Option<usize>) -> Vec<u8> {
        ok(&said(0, ""))
    }

    fn other_totals(&self) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    fn contact(&self) -> Exchange {
        vec![ok(&json!({ "products": [{ "id": 3349, "name": "A" }], "result": 0 }))]
    }

    fn no_contact(&self) -> Vec<(&'static str, Exchange, Outcome)> {
        let lapsed = "No active subscription found. Please contact support.";
        vec![
            ("a lapsed account", vec![ok(&said(1, lapsed))], Outcome::Unauthorized),
            ("a yes without a list", vec![ok(&said(0, ""))], Outcome::Unknown),
        ]
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
        ok(&said(0, ""))
    }

    fn feed(&self) -> &'static str {
        "none"
    }
}
