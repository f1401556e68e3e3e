//! Chargebee's room of usage events under trial. Here: how it is made, and what a site answers of
//! them. Never here: a MUST, or a usage ([`super::chargebee`]). Read next: `tallyd::provider`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tallyd::domain::answer::Outcome;
use tallyd::domain::event::Says;
use tallyd::domain::names::{ProviderMeter, ProviderName};
use tallyd::domain::time::Window;
use tallyd::provider::chargebee::settings::API_PATH;
use tallyd::provider::chargebee::usage_events::UsageEvents;
use tallyd::provider::chargebee::usage_events::encode::deduplication_id;
use tallyd::provider::chargebee::usage_events::settings::{Feature, Settings, ingest_of};

use super::subject::{
    Access, Exchange, Headers, IDENTIFIER, MIDNIGHT, Made, OTHER, Subject, Telling, hour, http, ok,
};

/// Keys of another form than those that are known, which the room takes too.
const TEST_KEY: &str = "of_a_test_canary4242_site";
const LIVE_KEY: &str = "of_a_live_canary4242_site";
const METER: &str = "api-calls";
const SUBSCRIPTION: &str = "sub_1";
/// What [`IDENTIFIER`] is at Chargebee, which takes 36 characters.
const NAME: &str = "e21e38283d2e5b6eb9cc07c0bcede9bf";
const BILLS: &str = "the bills made of events are not followed";
const WEBHOOKS: &str = "no webhook is taken where no bill is followed";

/// A Chargebee site that meters by usage events.
pub(super) struct Site;

fn settings(access: &Access) -> Settings {
    let site = if access.live { "acme" } else { "acme-test" };
    let api = format!("{}{API_PATH}", access.host);
    let is_own = access.host == Site.own_host();
    Settings {
        name: ProviderName::new("chargebee.main").unwrap(),
        site: site.to_owned(),
        ingest: if is_own { ingest_of(site) } else { api.clone() },
        api,
        key: if access.live { LIVE_KEY } else { TEST_KEY }.into(),
        features: vec![Feature {
            id: ProviderMeter::new(METER).unwrap(),
            property: "calls".to_owned(),
        }],
        reads_per_minute: 1_000_000,
        timeout_millis: access.timeout_millis,
    }
}

fn echo(field: &str, value: Value) -> Vec<u8> {
    let mut event = json!({
        "deduplication_id": NAME, "subscription_id": SUBSCRIPTION,
        "usage_timestamp": MIDNIGHT * 1_000, "properties": {"calls": 5},
    });
    event[field] = value;
    ok(&json!({ "usage_event": event }))
}

fn yes() -> Vec<u8> {
    echo("subscription_id", json!(SUBSCRIPTION))
}

fn refused(status: &str, code: &str) -> Vec<u8> {
    let body = json!({"message": "No.", "type": "invalid_request", "api_error_code": code});
    http(status, "", &body.to_string())
}

/// What a subscription used in a span.
fn summary(span: Window, quantity: &str) -> Value {
    json!({"usage_summary": {
        "subscription_id": SUBSCRIPTION, "feature_id": METER,
        "aggregated_value": quantity.trim_matches('"'),
        "aggregated_from": span.start.seconds(), "aggregated_to": span.end.seconds(),
    }})
}

impl Subject for Site {
    fn room(&self) -> &'static str {
        "chargebee"
    }

    fn make(&self, access: &Access) -> Result<Made, String> {
        let site = UsageEvents::new(settings(access)).map_err(|error| error.to_string())?;
        let shown = format!("{site:?}");
        Ok(Made { provider: Arc::new(site), billing: None, shown })
    }

    fn shown_settings(&self, access: &Access) -> String {
        format!("{:?}", settings(access))
    }

    fn own_host(&self) -> &'static str {
        "https://acme.chargebee.com"
    }

    fn meter(&self) -> &'static str {
        METER
    }

    fn account(&self) -> &'static str {
        SUBSCRIPTION
    }

    fn contact_account(&self) -> Option<&'static str> {
        Some("acme-test")
    }

    fn key_line(&self) -> Option<String> {
        Some(format!("authorization: Basic {}", STANDARD.encode(format!("{TEST_KEY}:"))))
    }

    fn quoted_key(&self) -> String {
        TEST_KEY.to_owned()
    }

    fn idempotency_header(&self) -> &'static str {
        "chargebee-idempotency-key"
    }

    fn lacks(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("stored key", "the ingest host knows no keys, but each event by its identity"),
            ("proof first", WEBHOOKS),
            ("silence", WEBHOOKS),
            ("nothing there", BILLS),
            ("another object", BILLS),
            ("circle", BILLS),
            ("odd row", BILLS),
        ]
    }

    fn named(&self, identifier: &str) -> String {
        deduplication_id(identifier)
    }

    fn content_type(&self) -> &'static str {
        "application/json;charset=UTF-8"
    }

    fn tellings(&self) -> Vec<Telling> {
        vec![Telling {
            case: "an event",
            says: Says::Usage,
            // Of IDENTIFIER, as no encoder of ours would write it.
            body: "{\"properties\": {\"calls\": 5.00}, \"usage_timestamp\": 1794528000000, \
                   \"subscription_id\": \"sub_1\", \
                   \"deduplication_id\": \"e21e38283d2e5b6eb9cc07c0bcede9bf\"}",
            goes_to: "POST /api/v2/usage_events",
            yes: yes(),
            again: vec![vec![yes()], vec![refused("400 Bad Request", "duplicate_entry")]],
            others: vec![
                ("another name", vec![echo("deduplication_id", json!(deduplication_id(OTHER)))]),
                ("another subscription", vec![echo("subscription_id", json!("sub_2"))]),
                ("another time", vec![echo("usage_timestamp", json!(MIDNIGHT * 1_000 + 1))]),
            ],
            no: vec![refused("400 Bad Request", "param_wrong_value")],
        }]
    }

    fn error(&self, status: &str, headers: &str, message: &str) -> Vec<u8> {
        super::chargebee::Site.error(status, headers, message)
    }

    fn missing(&self) -> Vec<u8> {
        super::chargebee::Site.missing()
    }

    fn limited(&self, headers: &str) -> Vec<u8> {
        super::chargebee::Site.limited(headers)
    }

    fn totals(&self, rows: &[(Window, &str)], next: Option<usize>) -> Vec<u8> {
        let rows: Vec<Value> =
            rows.iter().map(|(span, quantity)| summary(*span, quantity)).collect();
        self.list(&rows, next.map(|next| format!("page {next}")).as_deref())
    }

    fn other_totals(&self) -> Vec<(&'static str, Vec<u8>)> {
        let other = |field: &str, value: Value| {
            let mut row = summary(hour(1), "1");
            row["usage_summary"][field] = value;
            self.list(&[row], None)
        };
        vec![
            ("another feature", other("feature_id", json!("bytes"))),
            ("another subscription", other("subscription_id", json!("sub_2"))),
            ("across two windows", other("aggregated_to", json!(hour(2).end.seconds()))),
            ("twice", self.list(&[summary(hour(1), "1"), summary(hour(1), "1")], None)),
            ("no summary", self.list(&[json!({"usage": {"id": "1"}})], None)),
        ]
    }

    fn contact(&self) -> Exchange {
        vec![self.list(&[], None)]
    }

    fn no_contact(&self) -> Vec<(&'static str, Exchange, Outcome)> {
        let blocked = refused("403 Forbidden", "request_blocked");
        vec![("the site is blocked", vec![blocked], Outcome::Unauthorized)]
    }

    fn unproven(&self) -> Vec<(&'static str, Headers)> {
        Vec::new()
    }

    fn proof(&self, _body: &[u8]) -> Headers {
        Vec::new()
    }

    fn subscription(&self, id: &str) -> Value {
        super::chargebee::Site.subscription(id)
    }

    fn invoice(&self, id: &str) -> Value {
        super::chargebee::Site.invoice(id)
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

    fn list(&self, rows: &[Value], next: Option<&str>) -> Vec<u8> {
        super::chargebee::Site.list(rows, next)
    }

    fn feed(&self) -> &'static str {
        "events"
    }
}

#[test]
fn the_name_under_trial_is_that_of_the_identifier() {
    assert_eq!(deduplication_id(IDENTIFIER), NAME);
}
