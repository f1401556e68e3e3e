//! A report as Planship takes it: a number in JSON, for a customer and a metering id that its path
//! names. Never here: what becomes of it (see [`super::records`]), a token, which is no matter of
//! the rules. Read next: [`super::keeps`].

use serde_json::{Value, json};
use tallyd::provider::Request;

use super::records;
use crate::amount::Amount;

/// A request with what its path says, as one form that [`records`] reads. What is no such report
/// has no amount.
pub(super) fn form(request: &Request<'_>, body: &[u8]) -> Vec<u8> {
    let report = serde_json::from_slice::<Value>(body).ok();
    let usage = report.as_ref().and_then(|report| report.get("usage")).map(Value::to_string);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("ProductId", request.meter.as_str());
    form.append_pair("Key", request.account.as_str());
    if let Some(usage) = usage {
        form.append_pair("Amount", &usage);
    }
    records::named(request.identifier, form.finish().as_bytes())
}

/// The metering record of what was counted.
pub(super) fn record(meter: &str, value: Amount) -> String {
    let usage: Value = serde_json::from_str(&value.to_string()).unwrap_or(Value::Null);
    let (id, customer_id, product_id) = ("record", "customer", "product");
    json!({
        "id": id, "usage": usage, "metering_id": meter, "customer_id": customer_id,
        "product_id": product_id, "is_allocated": false, "subscription_id": null, "bucket": null,
    })
    .to_string()
}
