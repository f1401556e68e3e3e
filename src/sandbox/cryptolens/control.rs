//! The control over HTTP. Here: `/_sandbox/cryptolens/…` and its JSON. Never here: a rule of the
//! provider. Read next: [`super::handle`].
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET books` | | `{"books":[{"product","key","total","records"}]}` |
//! | `GET records` | | `{"records":[{"product","key","amount","received_at_micros"}]}` |
//! | `GET statistics` | | [`crate::sandbox::statistics::Statistics`] |
//! | `GET`, `POST faults` | [`Faults`] | the faults now set |
//! | `POST settings` | [`Changes`]: each part may be absent | what was set |
//!
//! The clock, and answers that are held, are the whole sandbox's.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::handle::CryptolensHandle;
use super::{Billing, Keys};
use crate::sandbox::control::{ok, parse, refusal};
use crate::sandbox::faults::Faults;
use crate::sandbox::wire::Answer;

/// What `POST /_sandbox/cryptolens/settings` may change.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, skip_serializing)]
    tokens: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Keys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    billing: Option<Billing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_micros: Option<u64>,
}

/// Answers a question about what `name` says.
pub(in crate::sandbox) fn read(handle: &CryptolensHandle, name: &str) -> Result<Answer, Answer> {
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
    handle: &CryptolensHandle,
    name: &str,
    body: &[u8],
) -> Result<Answer, Answer> {
    match name {
        "faults" => {
            let faults: Faults = parse(body)?;
            handle.set_faults(faults).map_err(|reason| refusal(400, &reason))?;
            Ok(ok(&handle.faults()))
        }
        "settings" => {
            let changes: Changes = parse(body)?;
            let answer = ok(&changes);
            if let Some(tokens) = changes.tokens {
                handle.set_tokens(tokens);
            }
            if let Some(keys) = changes.keys {
                handle.set_keys(keys);
            }
            if let Some(billing) = changes.billing {
                handle.set_billing(billing);
            }
            if let Some(micros) = changes.latency_micros {
                handle.set_latency(Duration::from_micros(micros));
            }
            Ok(answer)
        }
        unknown => Err(refusal(404, &format!("the control has no {unknown:?} to change"))),
    }
}
