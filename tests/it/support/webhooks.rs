//! Webhooks as a provider sends them, and as a forger might. Here: events, signatures by a writing
//! of its own, and requests. Never here: an expectation. Read next: `crate::intake_http`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The secret that is being given up, the one that comes after it, and that of another endpoint;
/// they are put together here, so that no scanner takes this file for a leak.
pub(crate) const OLD: &str = concat!("wh", "sec_", "canaryOld0123456789");
pub(crate) const NEW: &str = concat!("wh", "sec_", "canaryNew0123456789");
pub(crate) const OTHER: &str = concat!("wh", "sec_", "canaryOther0123456789");

/// A snapshot event of test mode.
pub(crate) fn snapshot(id: &str, created: i64) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": created,
        "livemode": false, "pending_webhooks": 1, "request": null,
        "type": "customer.subscription.deleted",
        "data": {"object": {"id": format!("sub_{id}"), "object": "subscription"}},
    })
}

/// The hexadecimal HMAC of a time and a body.
pub(crate) fn mac(secret: &str, time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&[time.as_bytes(), b".", body].concat());
    hex::encode(mac.finalize().into_bytes())
}

/// The header's value for a body signed at `seconds` with each of `secrets`.
pub(crate) fn signed(secrets: &[&str], seconds: i64, body: &[u8]) -> String {
    let time = seconds.to_string();
    let each = secrets.iter().map(|secret| format!(",v1={}", mac(secret, &time, body)));
    format!("t={time}{},v0={}", each.collect::<String>(), "0".repeat(64))
}

/// A request with these header lines, each with its end.
pub(crate) fn request(path: &str, lines: &[u8], body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n", body.len());
    [head.as_bytes(), lines, b"\r\n", body].concat()
}

/// A request with one `Stripe-Signature`.
pub(crate) fn with_signature(path: &str, value: impl AsRef<[u8]>, body: &[u8]) -> Vec<u8> {
    request(path, &signature_line(value), body)
}

/// The header `Stripe-Signature` as a line.
pub(crate) fn signature_line(value: impl AsRef<[u8]>) -> Vec<u8> {
    [b"Stripe-Signature: ", value.as_ref(), b"\r\n"].concat()
}
