//! The control over HTTP, for harnesses that run the real binary. Here: `/_sandbox/…` and its JSON.
//! Never here: a rule of a provider. Read next: [`crate::sandbox::stripe`], and for what is under
//! `/_sandbox/chargebee/` [`crate::sandbox::chargebee::control`], under `/_sandbox/cryptolens/`
//! [`crate::sandbox::cryptolens::control`], under `/_sandbox/planship/`
//! [`crate::sandbox::planship::control`].
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /_sandbox/books` | | `{"books":[{"event_name","customer","total","events"}]}` |
//! | `GET /_sandbox/events` | `?from=&limit=` | `{"events":[{"identifier","value","status",…}]}` |
//! | `GET /_sandbox/statistics` | | [`crate::sandbox::statistics::Statistics`] |
//! | `GET`, `POST /_sandbox/faults` | [`Faults`] | the faults now set |
//! | `GET`, `POST /_sandbox/clock` | [`ClockMove`] | `{"now_micros","now"}` |
//! | `GET`, `POST /_sandbox/meters` | [`NewMeter`] | the meters, or the one created |
//! | `POST /_sandbox/bulk` | a file: a table, or JSON lines | [`super::stripe::FileReport`] |
//! | `POST /_sandbox/settings` | [`Changes`]: each part may be absent | what was set |
//! | `GET`, `POST /_sandbox/webhooks` | [`WebhookSettings`] | [`super::stripe::WebhookCounts`] |
//! | `POST /_sandbox/sessions` | `{"ended":bool}`: all of the stream | `{"ended":bool}` |
//! | `POST /_sandbox/answers` | `{"held":bool}` | `{"held":bool}` |
//!
//! Totals and values are exact decimal text, never JSON numbers. Errors are `{"error":"…"}`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chargebee;
use super::cryptolens;
use super::faults::Faults;
use super::handle::{SandboxHandle, Shared};
use super::planship;
use super::stripe::{Customers, Limits, NewMeter, WebhookSettings};
use super::wire::{Answer, Request};
use crate::domain::time::Timestamp;

/// What every control path begins with.
pub(super) const PREFIX: &str = "/_sandbox/";

/// `{"advance_micros":n}` or `{"set_micros":n}`: by how much to move the clock, or to where.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ClockMove {
    AdvanceMicros(u64),
    SetMicros(i64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    ended: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    held: bool,
}

/// What `POST /_sandbox/settings` may change.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lag_micros: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_micros: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<NamedLimits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customers: Option<KnownCustomers>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invoice_grace_micros: Option<u64>,
}

/// `"live"`, `"sandbox"`, `"none"` or `{"custom":{"meter_events":n,"stream_events":n,"global":n}}`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum NamedLimits {
    Live,
    Sandbox,
    None,
    Custom { meter_events: Option<u32>, stream_events: Option<u32>, global: Option<u32> },
}

/// `"any"`, `"created"` or `{"only":["cus_1"]}`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum KnownCustomers {
    Any,
    Only(BTreeSet<String>),
    Created,
}

/// Answers one control request.
pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Answer {
    let handle = SandboxHandle::new(Arc::clone(shared));
    let name = request.path.strip_prefix(PREFIX).unwrap_or_default();
    let (query, body) = (request.query.as_str(), &request.body);
    let (whose, of_it) = name.split_once('/').unwrap_or(("", name));
    let answered = match (&request.method, whose) {
        (&Method::GET, "chargebee") => chargebee::control::read(&handle.chargebee(), of_it, query),
        (&Method::GET, "cryptolens") => cryptolens::control::read(&handle.cryptolens(), of_it),
        (&Method::GET, "planship") => planship::control::read(&handle.planship(), of_it),
        (&Method::GET, _) => read(&handle, name, query),
        (&Method::POST, "chargebee") => {
            chargebee::control::change(&handle.chargebee(), of_it, body)
        }
        (&Method::POST, "cryptolens") => {
            cryptolens::control::change(&handle.cryptolens(), of_it, body)
        }
        (&Method::POST, "planship") => planship::control::change(&handle.planship(), of_it, body),
        (&Method::POST, _) => change(&handle, name, body),
        _ => Err(refusal(405, "the control knows GET and POST")),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

/// An error in the control's own form.
pub(super) fn refusal(status: u16, reason: &str) -> Answer {
    Answer::json(status, json!({ "error": reason }).to_string())
}

fn read(handle: &SandboxHandle, name: &str, query: &str) -> Result<Answer, Answer> {
    match name {
        "books" => Ok(ok(&json!({ "books": handle.books() }))),
        "events" => {
            let (from, until) = places(query)?;
            Ok(ok(&json!({ "events": handle.events_between(from, until) })))
        }
        "statistics" => Ok(ok(&handle.statistics())),
        "faults" => Ok(ok(&handle.faults())),
        "clock" => Ok(clock(handle)),
        "webhooks" => Ok(ok(&handle.webhook_counts())),
        "meters" => Ok(ok(&json!({ "meters": handle.meters() }))),
        unknown => Err(refusal(404, &format!("the control has no {unknown:?} to read"))),
    }
}

/// The places that `from=…&limit=…` asks for; without them, all.
pub(super) fn places(query: &str) -> Result<(usize, usize), Answer> {
    let (mut from, mut limit) = (0_usize, usize::MAX);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = value.parse();
        let number = number.map_err(|_| refusal(400, &format!("{name} is no number: {value}")))?;
        match name.as_ref() {
            "from" => from = number,
            "limit" => limit = number,
            other => return Err(refusal(400, &format!("there is no parameter {other:?}"))),
        }
    }
    Ok((from, from.saturating_add(limit)))
}

fn change(handle: &SandboxHandle, name: &str, body: &[u8]) -> Result<Answer, Answer> {
    match name {
        "faults" => {
            let faults: Faults = parse(body)?;
            handle.set_faults(faults).map_err(|reason| refusal(400, &reason))?;
            Ok(ok(&handle.faults()))
        }
        "clock" => {
            match parse(body)? {
                ClockMove::AdvanceMicros(micros) => handle.advance(Duration::from_micros(micros)),
                ClockMove::SetMicros(micros) => {
                    handle
                        .advance_to(Timestamp::from_micros(micros))
                        .map_err(|error| refusal(409, &error.to_string()))?
                }
            }
            Ok(clock(handle))
        }
        "meters" => {
            let meter: NewMeter = parse(body)?;
            let created = handle.create_meter(meter).map_err(|reason| refusal(400, &reason))?;
            Ok(ok(&created))
        }
        "webhooks" => {
            let settings: WebhookSettings = parse(body)?;
            handle.set_webhooks(settings).map_err(|reason| refusal(400, &reason))?;
            Ok(ok(&handle.webhook_counts()))
        }
        "bulk" => {
            let report = handle.take_file(body).map_err(|reason| refusal(400, &reason))?;
            Ok(ok(&report))
        }
        "settings" => apply(handle, parse(body)?),
        "sessions" => {
            let Ended { ended } = parse(body)?;
            if ended {
                handle.end_sessions();
            }
            Ok(ok(&json!({ "ended": ended })))
        }
        "answers" => {
            let Held { held } = parse(body)?;
            if held {
                handle.hold_answers()
            } else {
                handle.release_answers()
            }
            Ok(ok(&json!({ "held": held })))
        }
        unknown => Err(refusal(404, &format!("the control has no {unknown:?} to change"))),
    }
}

fn apply(handle: &SandboxHandle, changes: Changes) -> Result<Answer, Answer> {
    let answer = ok(&changes);
    // What can be refused comes first, so that a refusal changes nothing.
    if let Some(micros) = changes.invoice_grace_micros {
        let set = handle.set_invoice_grace(Duration::from_micros(micros));
        set.map_err(|reason| refusal(400, &reason))?;
    }
    if let Some(micros) = changes.lag_micros {
        handle.set_lag(Duration::from_micros(micros));
    }
    if let Some(micros) = changes.latency_micros {
        handle.set_latency(Duration::from_micros(micros));
    }
    match changes.limits {
        Some(NamedLimits::Live) => handle.set_limits(Limits::LIVE),
        Some(NamedLimits::Sandbox) => handle.set_limits(Limits::SANDBOX),
        Some(NamedLimits::None) => handle.set_limits(Limits::NONE),
        Some(NamedLimits::Custom { meter_events, stream_events, global }) => {
            handle.set_limits(Limits { meter_events, stream_events, global });
        }
        None => {}
    }
    match changes.customers {
        Some(KnownCustomers::Any) => handle.set_customers(Customers::Any),
        Some(KnownCustomers::Only(known)) => handle.set_customers(Customers::Only(known)),
        Some(KnownCustomers::Created) => handle.set_customers(Customers::Created),
        None => {}
    }
    Ok(answer)
}

fn clock(handle: &SandboxHandle) -> Answer {
    let now = handle.now();
    ok(&json!({ "now_micros": now.micros(), "now": now.to_rfc3339() }))
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| refusal(400, &error.to_string()))
}

pub(super) fn ok<T: Serialize>(value: &T) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::json(200, Value::to_string(&value)),
        Err(error) => refusal(500, &error.to_string()),
    }
}
