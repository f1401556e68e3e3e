//! What the stream may answer, and what it comes to.

use super::*;
use crate::domain::state::HoldReason;
use secrecy::ExposeSecret as _;

fn received(status: u16, body: &str) -> Received {
    let date = Some("Fri, 20 Nov 2026 10:00:00 GMT".to_owned());
    Received { status, date, body: body.as_bytes().to_vec(), ..Received::default() }
}

fn error(code: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": "No."}}).to_string()
}

fn opened(changes: &[(&str, serde_json::Value)]) -> Result<Opened, Box<Answer>> {
    let mut session = serde_json::json!({
        "object": "v2.billing.meter_event_session", "id": "mes_1", "livemode": false,
        "authentication_token": "token-1", "created": "2026-11-20T10:00:00.000Z",
        "expires_at": "2026-11-20T10:15:00.000Z",
    });
    for (field, value) in changes {
        session[*field] = value.clone();
    }
    session_of(200, &session.to_string())
}

fn session_of(status: u16, body: &str) -> Result<Opened, Box<Answer>> {
    session(&received(status, body), false)
}

#[test]
fn a_session_is_used_as_long_as_it_says_less_a_margin_and_never_longer_than_documented() {
    let used = |expires_at: &str| {
        let found = opened(&[("expires_at", expires_at.into())]).unwrap();
        assert_eq!(found.token.expose_secret(), "token-1");
        found.used_for_micros / 1_000_000
    };
    assert_eq!(used("2026-11-20T10:15:00Z"), 840);
    assert_eq!(used("2026-11-20T10:01:30Z"), 30);
    assert_eq!(used("2026-11-20T09:00:00Z"), 0);
    assert_eq!(used("2027-11-20T10:00:00Z"), 840);
    assert_eq!(used("soon"), 840);
}

#[test]
fn what_is_no_session_sends_nothing() {
    let outcome = |found: Result<Opened, Box<Answer>>| found.map(|_| ()).unwrap_err().outcome;
    for odd in [
        ("object", serde_json::json!("v2.billing.meter_event")),
        ("authentication_token", serde_json::json!("")),
        ("authentication_token", serde_json::json!("a token")),
        ("authentication_token", serde_json::json!("x".repeat(4_097))),
    ] {
        assert_eq!(outcome(opened(&[odd])), Outcome::NotSent);
    }
    assert_eq!(outcome(opened(&[("livemode", true.into())])), Outcome::Unauthorized);
    for (status, body, expected) in [
        (200, "{}".to_owned(), Outcome::NotSent),
        (200, "<html>".to_owned(), Outcome::NotSent),
        (400, error("invalid_request"), Outcome::NotSent),
        (401, error("unauthorized"), Outcome::Unauthorized),
        (403, error("forbidden"), Outcome::Unauthorized),
        (403, "<html>".to_owned(), Outcome::NotSent),
        (404, error("not_found"), Outcome::NotSent),
        (409, error("busy"), Outcome::NotSent),
        (429, error("rate_limit"), Outcome::RateLimited),
        (500, error("internal"), Outcome::NotSent),
    ] {
        assert_eq!(outcome(session_of(status, &body)), expected, "{status} {body}");
    }
}

#[test]
fn a_yes_has_nothing_in_it() {
    let answer = told(&received(200, "{}"), 100);
    assert_eq!(answer.outcome, Outcome::Accepted);
    assert_eq!(answer.provider_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    for odd in ["", "[]", "null", "{\"a\":1}", "{}{}", "<html>"] {
        assert_eq!(told(&received(200, odd), 1).outcome, Outcome::Unknown, "{odd}");
    }
    for status in [201, 202, 204, 302] {
        assert_eq!(told(&received(status, "{}"), 1).outcome, Outcome::Unknown, "{status}");
    }
    let broken = Received { broken: Some("cut".to_owned()), ..received(200, "{}") };
    assert_eq!(told(&broken, 1).outcome, Outcome::Unknown);
}

#[test]
fn a_no_is_of_one_event_alone_or_of_none() {
    for (status, code, alone) in [
        (400, "no_meter", Outcome::Refused(HoldReason::NoMeter)),
        (400, "payload_invalid_value", Outcome::Refused(HoldReason::ValueRefused)),
        (400, "payload_no_customer_defined", Outcome::Refused(HoldReason::Refused)),
        (400, "invalid_request", Outcome::Refused(HoldReason::Refused)),
        (400, "duplicate_meter_event", Outcome::Unknown),
        (401, "unauthorized", Outcome::Unauthorized),
        (409, "too_many_concurrent_requests", Outcome::Busy),
        (429, "rate_limit", Outcome::RateLimited),
        (429, "lock_timeout", Outcome::Busy),
        (500, "internal", Outcome::Failed),
    ] {
        let answer = received(status, &error(code));
        assert_eq!(told(&answer, 1).outcome, alone, "{code}");
        let is_refusal = matches!(alone, Outcome::Refused(_));
        let of_many = if is_refusal { Outcome::Unknown } else { alone };
        assert_eq!(told(&answer, 2).outcome, of_many, "{code}");
    }
}

#[test]
fn that_a_session_ended_is_believed_of_stripe_alone() {
    let code = error("billing_meter_event_session_expired");
    assert!(is_expired(&received(401, &code)));
    let kind = r#"{"error":{"type":"temporary_session_expired","code":"x","message":"No."}}"#;
    assert!(is_expired(&received(401, kind)));
    for (status, body) in
        [(400, code.as_str()), (401, "session expired"), (401, &error("unauthorized")), (200, "{}")]
    {
        assert!(!is_expired(&received(status, body)), "{status} {body}");
    }
}
