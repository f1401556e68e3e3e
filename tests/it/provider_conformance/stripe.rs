//! Stripe's room under trial. Here: how it is made, and what Stripe's answers look like. Never
//! here: a MUST. Read next: [`super::chargebee`].

use std::sync::Arc;

use serde_json::{Value, json};
use tallyd::domain::answer::Outcome;
use tallyd::domain::event::{Identifier, Says};
use tallyd::domain::names::{ProviderMeter, ProviderName};
use tallyd::domain::provider_facts::{Formula, MeterPin};
use tallyd::domain::time::Window;
use tallyd::provider::stripe::Stripe;
use tallyd::provider::stripe::settings::{API, Channel, STREAM_API, Settings};

use super::subject::{
    Access, Exchange, Headers, IDENTIFIER, MIDNIGHT, Made, OTHER, Subject, TARGET, Telling, http,
    ok,
};
use crate::support::webhooks::{NEW, OLD, signed};

/// The keys, put together here so that no scanner takes this file for a leak.
const TEST_KEY: &str = concat!("sk_", "test_canary4242");
const LIVE_KEY: &str = concat!("sk_", "live_canary4242");
const METER: &str = "tokens";
const METER_ID: &str = "mtr_1";

/// A Stripe account, whose events go by this channel.
pub(super) struct Account(Channel);

pub(super) const V1: Account = Account(Channel::V1);
pub(super) const V2: Account = Account(Channel::V2);
pub(super) const STREAM: Account = Account(Channel::Stream);

/// What a session of the stream is opened with, and the token of the one that is.
const SESSION: &str = "POST /v2/billing/meter_event_session";
const TOKEN: &str = "session_canary4242";

fn settings(access: &Access, channel: Channel) -> Settings {
    Settings {
        name: ProviderName::new("stripe.main").unwrap(),
        api: access.host.clone(),
        stream_api: if access.host == API { STREAM_API.to_owned() } else { access.host.clone() },
        channel,
        key: if access.live { LIVE_KEY } else { TEST_KEY }.into(),
        account: None,
        meters: vec![MeterPin {
            meter: ProviderMeter::new(METER).unwrap(),
            id: Some(METER_ID.to_owned()),
            formula: Formula::Sum,
            customer_key: "stripe_customer_id".to_owned(),
            value_key: "value".to_owned(),
            span: None,
            active: true,
            learned: false,
        }],
        webhook_secrets: if access.webhooks { vec![NEW.into()] } else { Vec::new() },
        timeout_millis: access.timeout_millis,
    }
}

fn event() -> Value {
    json!({
        "object": "billing.meter_event", "created": 1_795_168_800, "event_name": METER,
        "identifier": IDENTIFIER, "livemode": false, "timestamp": 1_795_168_000,
        "payload": {"stripe_customer_id": "cus_1", "value": "5"},
    })
}

fn adjustment() -> Value {
    json!({
        "object": "billing.meter_event_adjustment", "cancel": {"identifier": TARGET},
        "event_name": METER, "livemode": false, "status": "pending", "type": "cancel",
    })
}

/// The object with one field changed.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

fn refused(message: &str) -> Vec<u8> {
    V1.error("400 Bad Request", "", message)
}

fn usage() -> Telling {
    let other = |pointer: &str, value: Value| vec![ok(&with(event(), pointer, value))];
    Telling {
        case: "usage",
        says: Says::Usage,
        body: "b=2&a=%31&payload[value]=5&a=1 ",
        goes_to: "POST /v1/billing/meter_events",
        yes: ok(&event()),
        again: vec![
            vec![ok(&event())],
            vec![refused(&format!("An event already exists with identifier {IDENTIFIER}."))],
        ],
        others: vec![
            ("another identifier", other("/identifier", json!(OTHER))),
            ("another mode", other("/livemode", json!(true))),
            ("another object", other("/object", json!("billing.meter"))),
            (
                "a duplicate of another one",
                vec![refused(&format!("An event already exists with identifier {OTHER}."))],
            ),
        ],
        no: vec![refused("No active meter was found for this event name.")],
    }
}

fn coded(code: &str) -> Vec<u8> {
    let error = json!({ "error": { "code": code, "message": "No." } });
    http("400 Bad Request", "", &error.to_string())
}

fn second() -> Telling {
    let event = with(event(), "/object", json!("v2.billing.meter_event"));
    let other = |pointer: &str, value: Value| vec![ok(&with(event.clone(), pointer, value))];
    Telling {
        case: "usage of version 2",
        says: Says::Usage,
        body: "{\"timestamp\": \"2026-11-20T10:00:00.0Z\", \"payload\": {\"value\": \"5\"},\
               \"event_name\":\"\\u0074okens\"}",
        goes_to: "POST /v2/billing/meter_events",
        yes: ok(&event),
        again: vec![vec![ok(&event)], vec![coded("duplicate_meter_event")]],
        others: vec![
            ("another identifier", other("/identifier", json!(OTHER))),
            ("another mode", other("/livemode", json!(true))),
            ("another object", other("/object", json!("v2.billing.meter_event_session"))),
            ("nothing", vec![ok(&json!({}))]),
        ],
        no: vec![coded("no_meter")],
    }
}

fn streamed() -> Telling {
    Telling {
        case: "usage by the stream",
        says: Says::Usage,
        body: "{ \"events\": [ {\"payload\": {\"value\": \"5\"},\
               \"event_name\":\"\\u0074okens\"} ] }",
        goes_to: "POST /v2/billing/meter_event_stream",
        yes: ok(&json!({})),
        again: vec![vec![ok(&json!({}))]],
        others: vec![
            ("an event", vec![ok(&event())]),
            ("a session", vec![ok(&session())]),
            ("what was there already", vec![coded("duplicate_meter_event")]),
        ],
        no: vec![coded("no_meter")],
    }
}

fn session() -> Value {
    json!({
        "object": "v2.billing.meter_event_session", "id": "mes_1", "livemode": false,
        "authentication_token": TOKEN, "created": "2026-11-20T10:00:00Z",
        "expires_at": "2026-11-20T10:15:00Z",
    })
}

fn cancellation() -> Telling {
    let other = |pointer: &str, value: Value| vec![ok(&with(adjustment(), pointer, value))];
    Telling {
        case: "a cancellation",
        says: Says::Cancel(Identifier::stored(TARGET)),
        body: "type=cancel&cancel[identifier]=%74&x= ",
        goes_to: "POST /v1/billing/meter_event_adjustments",
        yes: ok(&adjustment()),
        again: vec![vec![ok(&adjustment())], vec![refused("It was already cancelled.")]],
        others: vec![
            ("another identifier", other("/cancel/identifier", json!(OTHER))),
            ("another mode", other("/livemode", json!(true))),
            ("another object", other("/object", json!("billing.meter"))),
            ("a state of next year", other("/status", json!("lost"))),
        ],
        no: vec![refused("No.")],
    }
}

fn total(span: Window, value: &str) -> String {
    format!(
        r#"{{"id":"mtrusg_{start}","object":"billing.meter_event_summary","livemode":false,
            "aggregated_value":{value},"start_time":{start},"end_time":{end},
            "meter":"{METER_ID}"}}"#,
        start = span.start.seconds(),
        end = span.end.seconds(),
    )
}

fn page(rows: &[String], has_more: bool) -> Vec<u8> {
    let rows = rows.join(",");
    let body = format!(r#"{{"object":"list","url":"/v1","has_more":{has_more},"data":[{rows}]}}"#);
    http("200 OK", "", &body)
}

fn first_hour() -> String {
    total(super::subject::hour(0), "1")
}

fn the_account() -> Vec<u8> {
    ok(&json!({"id": "acct_1", "object": "account"}))
}

fn meters(livemode: bool) -> Vec<u8> {
    ok(&json!({
        "object": "list", "url": "/v1/billing/meters", "has_more": false, "data": [{
            "id": METER_ID, "object": "billing.meter", "created": 1, "updated": 1,
            "livemode": livemode, "display_name": METER, "event_name": METER,
            "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
            "default_aggregation": {"formula": "sum"}, "event_time_window": null,
            "status": "active", "status_transitions": {"deactivated_at": null},
            "value_settings": {"event_payload_key": "value"},
        }],
    }))
}

impl Subject for Account {
    fn room(&self) -> &'static str {
        "stripe"
    }

    fn make(&self, access: &Access) -> Result<Made, String> {
        let stripe = Stripe::new(&settings(access, self.0)).map_err(|error| error.to_string())?;
        let shown = format!("{stripe:?}");
        let stripe = Arc::new(stripe);
        Ok(Made { provider: stripe.clone(), billing: Some(stripe), shown })
    }

    fn shown_settings(&self, access: &Access) -> String {
        format!("{:?}", settings(access, self.0))
    }

    fn own_host(&self) -> &'static str {
        API
    }

    fn meter(&self) -> &'static str {
        METER
    }

    fn account(&self) -> &'static str {
        "cus_1"
    }

    fn contact_account(&self) -> Option<&'static str> {
        Some("acct_1")
    }

    fn key_line(&self) -> Option<String> {
        Some(format!("authorization: Bearer {}", self.quoted_key()))
    }

    fn quoted_key(&self) -> String {
        match self.0 {
            Channel::V1 | Channel::V2 => TEST_KEY.to_owned(),
            Channel::Stream => TOKEN.to_owned(),
        }
    }

    fn lacks(&self) -> &'static [(&'static str, &'static str)] {
        match self.0 {
            Channel::V1 | Channel::V2 => &[],
            Channel::Stream => {
                &[("stored key", "the stream is told no key, but each event's identifier")]
            }
        }
    }

    fn content_type(&self) -> &'static str {
        match self.0 {
            Channel::V1 => "application/x-www-form-urlencoded",
            Channel::V2 | Channel::Stream => "application/json;charset=UTF-8",
        }
    }

    fn opening(&self) -> Option<(&'static str, Vec<u8>)> {
        match self.0 {
            Channel::V1 | Channel::V2 => None,
            Channel::Stream => Some((SESSION, ok(&session()))),
        }
    }

    fn idempotency_header(&self) -> &'static str {
        "idempotency-key"
    }

    fn tellings(&self) -> Vec<Telling> {
        // A cancellation is made by version 1 whatever the channel.
        match self.0 {
            Channel::V1 => vec![usage(), cancellation()],
            Channel::V2 => vec![second()],
            Channel::Stream => vec![streamed()],
        }
    }

    fn error(&self, status: &str, headers: &str, message: &str) -> Vec<u8> {
        let body =
            format!(r#"{{"error":{{"type":"invalid_request_error","message":"{message}"}}}}"#);
        http(status, headers, &body)
    }

    fn missing(&self) -> Vec<u8> {
        let error = json!({
            "type": "invalid_request_error", "code": "resource_missing", "message": "No such one",
        });
        http("404 Not Found", "", &json!({ "error": error }).to_string())
    }

    fn limited(&self, headers: &str) -> Vec<u8> {
        let headers = format!("Stripe-Rate-Limited-Reason: global-rate\r\n{headers}");
        self.error("429 Too Many Requests", &headers, "Slow down.")
    }

    fn totals(&self, rows: &[(Window, &str)], next: Option<usize>) -> Vec<u8> {
        let rows: Vec<String> = rows.iter().map(|(span, value)| total(*span, value)).collect();
        page(&rows, next.is_some())
    }

    fn other_totals(&self) -> Vec<(&'static str, Vec<u8>)> {
        let first = first_hour();
        let two_hours = super::subject::span(MIDNIGHT, MIDNIGHT + 7_200);
        vec![
            ("another meter", page(&[first.replace(METER_ID, "mtr_2")], false)),
            ("another mode", page(&[first.replace("false", "true")], false)),
            ("another object", page(&[first.replace("event_summary", "event")], false)),
            ("the same hour twice", page(&[first.clone(), first], false)),
            ("two hours as one", page(&[total(two_hours, "1")], false)),
            ("an empty page that goes on", page(&[], true)),
        ]
    }

    fn contact(&self) -> Exchange {
        vec![the_account(), meters(false)]
    }

    fn no_contact(&self) -> Vec<(&'static str, Exchange, Outcome)> {
        let expired = self.error("401 Unauthorized", "", "Expired.");
        vec![
            ("expired meanwhile", vec![the_account(), expired], Outcome::Unauthorized),
            ("meters of another mode", vec![the_account(), meters(true)], Outcome::WrongAccount),
            (
                "a welcome later",
                vec![the_account(), http("200 OK", "", "<html>")],
                Outcome::Unknown,
            ),
            ("no meters", vec![the_account(), http("200 OK", "", "{}")], Outcome::Unknown),
        ]
    }

    fn unproven(&self) -> Vec<(&'static str, Headers)> {
        let header = "stripe-signature";
        let by_another = signed(&[OLD], 1_795_168_800, b"canary4242").into_bytes();
        vec![
            ("nothing", vec![]),
            ("nonsense", vec![(header, b"canary4242".to_vec())]),
            ("a signature under another secret", vec![(header, by_another.clone())]),
            ("two of them", vec![(header, by_another.clone()), (header, by_another)]),
        ]
    }

    fn proof(&self, body: &[u8]) -> Headers {
        let now = chrono::DateTime::parse_from_rfc2822(super::subject::NOW).unwrap().timestamp();
        vec![("stripe-signature", signed(&[NEW], now, body).into_bytes())]
    }

    fn subscription(&self, id: &str) -> Value {
        json!({
            "id": id, "object": "subscription", "livemode": false, "status": "active",
            "customer": "cus_1", "start_date": 1_832_889_600, "ended_at": null, "cancel_at": null,
            "cancel_at_period_end": false, "latest_invoice": null,
            "items": {"object": "list", "has_more": false, "data": []},
        })
    }

    fn invoice(&self, id: &str) -> Value {
        json!({
            "id": id, "object": "invoice", "livemode": false, "status": "open",
            "customer": "cus_1", "created": 1_835_395_200, "automatically_finalizes_at": null,
            "status_transitions": {"finalized_at": 1_835_395_200}, "parent": null,
            "lines": {"object": "list", "has_more": false, "data": []},
        })
    }

    fn after_subscription(&self) -> Exchange {
        Vec::new()
    }

    fn after_invoice(&self) -> Exchange {
        Vec::new()
    }

    fn row(&self, _kind: &str, object: Value) -> Value {
        object
    }

    fn list(&self, rows: &[Value], next: Option<&str>) -> Vec<u8> {
        ok(&json!({"object": "list", "has_more": next.is_some(), "data": rows}))
    }

    fn feed(&self) -> &'static str {
        "events"
    }
}
