//! The control over HTTP. Here: `/_sandbox/chargebee/…` and its JSON. Never here: a rule of the
//! provider. Read next: [`super::handle`].
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET books` | | `{"books":[{"subscription","item_price","total","usages"}]}` |
//! | `GET event_books` | | `{"event_books":[{"subscription","feature","total","events"}]}` |
//! | `GET usages` | `?from=&limit=` | `{"usages":[{"id","quantity","fate",…}]}` |
//! | `GET statistics` | | [`super::Statistics`] |
//! | `GET`, `POST faults` | [`Faults`] | the faults now set |
//! | `POST item_prices` | [`NewItemPrice`] | `{}` |
//! | `POST features` | [`NewFeature`] | `{}` |
//! | `POST subscriptions` | [`NewSubscription`] | `{}` |
//! | `POST changes` | `{"subscription","change":`[`Change`]`}` | `{}` |
//! | `POST settings` | [`Changes`]: each part may be absent | what was set |
//! | `GET`, `POST webhooks` | [`WebhookSettings`] | [`super::WebhookCounts`] |
//! | `POST unblock` | `{}` | `{}` |
//!
//! The clock, and answers that are held, are the whole sandbox's.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::catalog::NewItemPrice;
use super::changes::Change;
use super::handle::ChargebeeHandle;
use super::ingest::NewFeature;
use super::settings::Limits;
use super::subscriptions::NewSubscription;
use super::webhooks::WebhookSettings;
use crate::sandbox::control::{ok, parse, places, refusal};
use crate::sandbox::faults::Faults;
use crate::sandbox::wire::Answer;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeOf {
    subscription: String,
    change: Change,
}

/// What `POST /_sandbox/chargebee/settings` may change.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_micros: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list_lag_micros: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_micros: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<NamedLimits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usages_enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usages_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multi_decimal: Option<bool>,
}

/// `"site"`, `"none"` or `{"custom":{"per_minute":n,"concurrent":n}}`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum NamedLimits {
    Site,
    None,
    Custom { per_minute: Option<u32>, concurrent: Option<u32> },
}

/// Answers a question about what `name` says.
pub(in crate::sandbox) fn read(
    handle: &ChargebeeHandle,
    name: &str,
    query: &str,
) -> Result<Answer, Answer> {
    match name {
        "books" => Ok(ok(&json!({ "books": handle.books() }))),
        "event_books" => Ok(ok(&json!({ "event_books": handle.event_books() }))),
        "usages" => {
            let (from, until) = places(query)?;
            Ok(ok(&json!({ "usages": handle.usages_between(from, until) })))
        }
        "statistics" => Ok(ok(&handle.statistics())),
        "faults" => Ok(ok(&handle.faults())),
        "webhooks" => Ok(ok(&handle.webhook_counts())),
        unknown => Err(refusal(404, &format!("the control has no {unknown:?} to read"))),
    }
}

/// Changes what `name` says.
pub(in crate::sandbox) fn change(
    handle: &ChargebeeHandle,
    name: &str,
    body: &[u8],
) -> Result<Answer, Answer> {
    let wrong = |reason: String| refusal(400, &reason);
    match name {
        "item_prices" => {
            let new: NewItemPrice = parse(body)?;
            handle.create_item_price(new).map_err(wrong)?;
        }
        "features" => {
            let new: NewFeature = parse(body)?;
            handle.create_feature(new).map_err(wrong)?;
        }
        "subscriptions" => {
            let new: NewSubscription = parse(body)?;
            handle.create_subscription(&new).map_err(wrong)?;
        }
        "changes" => {
            let ChangeOf { subscription, change } = parse(body)?;
            handle.change(&subscription, &change).map_err(wrong)?;
        }
        "faults" => {
            let faults: Faults = parse(body)?;
            handle.set_faults(faults).map_err(wrong)?;
            return Ok(ok(&handle.faults()));
        }
        "webhooks" => {
            let settings: WebhookSettings = parse(body)?;
            handle.set_webhooks(settings).map_err(wrong)?;
            return Ok(ok(&handle.webhook_counts()));
        }
        "settings" => return apply(handle, parse(body)?),
        "unblock" => handle.unblock(),
        unknown => {
            return Err(refusal(404, &format!("the control has no {unknown:?} to change")));
        }
    }
    Ok(ok(&json!({})))
}

fn apply(handle: &ChargebeeHandle, changes: Changes) -> Result<Answer, Answer> {
    let answer = ok(&changes);
    // What can be refused comes first, so that a refusal changes nothing.
    if let Some(micros) = changes.pending_micros {
        let set = handle.set_pending(Duration::from_micros(micros));
        set.map_err(|reason| refusal(400, &reason))?;
    }
    if let Some(micros) = changes.latency_micros {
        handle.set_latency(Duration::from_micros(micros));
    }
    if let Some(micros) = changes.list_lag_micros {
        handle.set_list_lag(Duration::from_micros(micros));
    }
    match changes.limits {
        Some(NamedLimits::Site) => handle.set_limits(Limits::SITE),
        Some(NamedLimits::None) => handle.set_limits(Limits::NONE),
        Some(NamedLimits::Custom { per_minute, concurrent }) => {
            handle.set_limits(Limits { per_minute, concurrent });
        }
        None => {}
    }
    if let Some(enabled) = changes.usages_enabled {
        handle.set_usages_enabled(enabled);
    }
    if let Some(most) = changes.usages_max {
        handle.set_usages_max(most);
    }
    if let Some(enabled) = changes.multi_decimal {
        handle.set_multi_decimal(enabled);
    }
    Ok(answer)
}
