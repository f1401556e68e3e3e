//! The control over HTTP. Here: `/_sandbox/planship/…` and its JSON. Never here: a rule of the
//! provider. Read next: [`super::handle`].
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET books` | | `{"books":[{"product","customer","metering_id","total","records"}]}` |
//! | `GET records` | | `{"records":[{"id","usage","bucket","received_at_micros",…}]}` |
//! | `GET statistics` | | [`crate::sandbox::statistics::Statistics`] |
//! | `GET`, `POST faults` | [`Faults`] | the faults now set |
//! | `POST settings` | [`Changes`]: each part may be absent | what was set |
//! | `POST tokens` | `{"ended":bool}`: all of them | `{"ended":bool}` |
//! | `POST periods` | `{"renewed":bool}`: of every subscription | `{"renewed":bool}` |
//!
//! The clock, and answers that are held, are the whole sandbox's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Known;
use super::handle::PlanshipHandle;
use super::levers::Lever;
use crate::sandbox::control::{ok, parse, refusal};
use crate::sandbox::faults::Faults;
use crate::sandbox::wire::Answer;

/// What `POST /_sandbox/planship/settings` may change.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, skip_serializing)]
    clients: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customers: Option<Known>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metering_ids: Option<Known>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    levers: Option<Vec<Lever>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lag_micros: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_micros: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    ended: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewed {
    renewed: bool,
}

/// Answers a question about what `name` says.
pub(in crate::sandbox) fn read(handle: &PlanshipHandle, name: &str) -> Result<Answer, Answer> {
    match name {
        "books" => Ok(ok(&json!({ "books": handle.books() }))),
        "records" => Ok(ok(&json!({ "records": handle.records() }))),
        "statistics" => Ok(ok(&handle.statistics())),
        "faults" => Ok(ok(&handle.faults())),
        unknown => Err(refusal(404, &format!("the control has no {unknown:?} to read"))),
    }
}

/// Changes what `name` says.
pub(in crate::sandbox) fn change(
    handle: &PlanshipHandle,
    name: &str,
    body: &[u8],
) -> Result<Answer, Answer> {
    match name {
        "faults" => {
            let faults: Faults = parse(body)?;
            handle.set_faults(faults).map_err(|reason| refusal(400, &reason))?;
            Ok(ok(&handle.faults()))
        }
        "settings" => Ok(apply(handle, parse(body)?)),
        "tokens" => {
            let Ended { ended } = parse(body)?;
            if ended {
                handle.end_tokens();
            }
            Ok(ok(&json!({ "ended": ended })))
        }
        "periods" => {
            let Renewed { renewed } = parse(body)?;
            if renewed {
                handle.renew();
            }
            Ok(ok(&json!({ "renewed": renewed })))
        }
        unknown => Err(refusal(404, &format!("the control has no {unknown:?} to change"))),
    }
}

fn apply(handle: &PlanshipHandle, changes: Changes) -> Answer {
    let answer = ok(&changes);
    if let Some(clients) = changes.clients {
        handle.set_clients(clients);
    }
    if let Some(seconds) = changes.token_seconds {
        handle.set_token_lives(Duration::from_secs(seconds));
    }
    if let Some(customers) = changes.customers {
        handle.set_customers(customers);
    }
    if let Some(metering_ids) = changes.metering_ids {
        handle.set_metering_ids(metering_ids);
    }
    if let Some(levers) = changes.levers {
        handle.set_levers(levers);
    }
    if let Some(micros) = changes.lag_micros {
        handle.set_lag(Duration::from_micros(micros));
    }
    if let Some(micros) = changes.latency_micros {
        handle.set_latency(Duration::from_micros(micros));
    }
    answer
}
