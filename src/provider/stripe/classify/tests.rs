//! Every answer that the provider sheet names, and what it comes to.

use super::*;

const OURS: &str = "tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100";
const EXPECTED: Expected<'static> = Expected { identifier: OURS, livemode: false };

fn received(status: u16, body: &str) -> Received {
    Received {
        status,
        request_id: Some("req_1".to_owned()),
        date: Some("Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
        body: body.as_bytes().to_vec(),
        ..Received::default()
    }
}

fn event(identifier: &str, livemode: bool) -> String {
    format!(
        r#"{{"object":"billing.meter_event","created":1795168800,"event_name":"tokens",
            "identifier":"{identifier}","livemode":{livemode},
            "payload":{{"value":"5","stripe_customer_id":"cus_1"}},"timestamp":1795168000}}"#
    )
}

fn refused(message: &str) -> String {
    serde_json::json!({"error": {"type": "invalid_request_error", "message": message}}).to_string()
}

fn error(kind: &str, code: &str) -> String {
    serde_json::json!({"error": {"type": kind, "code": code, "message": "No."}}).to_string()
}

fn check(received: &Received, outcome: Outcome) -> Answer {
    let answer = meter_event(received, EXPECTED);
    assert_eq!(
        answer.outcome,
        outcome,
        "{} {}",
        received.status,
        String::from_utf8_lossy(&received.body)
    );
    assert_eq!(answer.status, Some(received.status));
    answer
}

#[test]
fn a_yes_is_one_that_echoes_our_identifier_and_mode() {
    let answer = check(&received(200, &event(OURS, false)), Outcome::Accepted);
    assert_eq!(answer.request_id.as_deref(), Some("req_1"));
    assert_eq!(answer.provider_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));

    check(&received(200, &event(OURS, true)), Outcome::WrongAccount);
    for body in [
        &event("another", false),
        &event("another", true),
        &event(&format!("{OURS}0"), false),
        &event(OURS, false).replace("billing.meter_event", "billing.meter"),
        &event(OURS, false).replace("false", "null"),
        &event(OURS, false)[..80],
        "",
        "{}",
        "null",
        "[]",
        "<html>welcome to the hotel network</html>",
        &refused("No."),
    ] {
        check(&received(200, body), Outcome::Unknown);
    }
    for status in [100, 101, 201, 202, 204, 206, 299, 600, 999] {
        check(&received(status, &event(OURS, false)), Outcome::Unknown);
    }
}

#[test]
fn a_body_that_broke_off_proves_nothing_by_itself() {
    for (status, outcome) in [
        (200, Outcome::Unknown),
        (400, Outcome::Unknown),
        (401, Outcome::Unknown),
        (409, Outcome::Unknown),
        (429, Outcome::Unknown),
        (500, Outcome::Failed),
    ] {
        for body in [event(OURS, false), refused("No."), String::new()] {
            let mut cut_off = received(status, &body);
            cut_off.broken = Some("the connection was closed".to_owned());
            let answer = check(&cut_off, outcome);
            assert!(answer.message.unwrap().contains("the connection was closed"));
            assert_eq!(answer.provider_at, None);
        }
    }
}

#[test]
fn a_duplicate_is_one_that_names_our_identifier() {
    let said = |identifier: &str| {
        refused(&format!("An event already exists with identifier {identifier}."))
    };
    check(&received(400, &said(OURS)), Outcome::Duplicate);
    check(
        &received(400, &refused(&format!("AN EVENT ALREADY EXISTS WITH IDENTIFIER '{OURS}'"))),
        Outcome::Duplicate,
    );
    let mut not_again = received(400, &said(OURS));
    not_again.should_retry = Some("false".to_owned());
    check(&not_again, Outcome::Duplicate);
    check(
        &received(400, &error("invalid_request_error", "duplicate_meter_event")),
        Outcome::Duplicate,
    );

    check(&received(400, &said("another")), Outcome::Unknown);
    check(&received(400, &said(&format!("{OURS}-2"))), Outcome::Unknown);
    check(&received(400, &said("")), Outcome::Unknown);
    check(&received(422, &said(OURS)), Outcome::Unknown);
    check(&received(400, &format!("already exists with identifier {OURS}")), Outcome::Unknown);
}

#[test]
fn a_reading_request_is_never_a_duplicate() {
    for body in [error("invalid_request_error", "duplicate_meter_event"), refused("already exists")]
    {
        assert_ne!(reading(&received(400, &body)).outcome, Outcome::Duplicate, "{body}");
    }
}

#[test]
fn a_refusal_is_held_for_the_reason_stripe_gave() {
    use HoldReason::{AheadRefused, KeyConflict, NoMeter, Refused, TooOldRefused, ValueRefused};
    for (message, reason) in [
        (
            "The event timestamp cannot be more than 35 days in past. Expected a timestamp greater \
             than or equal to 1792144800.",
            TooOldRefused,
        ),
        ("The event timestamp cannot be more than 5 minutes in the future.", AheadRefused),
        ("No active meter found for event name \"tokens\".", NoMeter),
        ("No meter was found matching event_name tokens.", NoMeter),
        ("The payload value can have at most 15 digits.", ValueRefused),
        ("Received unknown parameter: colour", Refused),
        ("", Refused),
    ] {
        let answer = check(&received(400, &refused(message)), Outcome::Refused(reason));
        assert_eq!(answer.message.as_deref(), Some(message));
    }
    for (code, reason) in [
        ("no_meter", NoMeter),
        ("archived_meter", NoMeter),
        ("timestamp_too_far_in_past", TooOldRefused),
        ("timestamp_in_future", AheadRefused),
        ("payload_invalid_value", ValueRefused),
        ("payload_no_value_defined", ValueRefused),
        ("meter_event_value_too_many_digits", ValueRefused),
        ("payload_no_customer_defined", Refused),
        ("a_code_of_next_year", Refused),
    ] {
        let body = error("invalid_request_error", code);
        let answer = check(&received(400, &body), Outcome::Refused(reason));
        assert_eq!(answer.code.as_deref(), Some(code));
    }
    let conflict = serde_json::json!({"error": {"type": "idempotency_error", "message":
        "Keys for idempotent requests can only be used with the same parameters they were first \
         used with."}});
    check(&received(400, &conflict.to_string()), Outcome::Refused(KeyConflict));
    for status in [402, 404, 405, 413, 415, 422, 451] {
        check(&received(status, &refused("No.")), Outcome::Refused(Refused));
    }
}

#[test]
fn a_refusal_that_stripe_asks_to_repeat_is_no_refusal() {
    let mut again = received(400, &refused("Try that again."));
    again.should_retry = Some("true".to_owned());
    check(&again, Outcome::Unknown);
    check(&received(400, &error("api_error", "")), Outcome::Failed);
}

#[test]
fn what_is_not_stripes_own_word_proves_nothing() {
    for status in [400, 401, 403, 404, 407, 408, 409, 413, 422, 424, 429, 431, 499] {
        for body in ["<html>nginx</html>", "", "{}", r#"{"error":"no"}"#, r#"{"error":{}}"#] {
            let answer = check(&received(status, body), Outcome::Unknown);
            assert_eq!(answer.provider_at, None, "a stranger's clock is not Stripe's");
            assert!(!answer.message.unwrap().contains("nginx"));
        }
    }
    for status in [300, 301, 302, 303, 304, 307, 308] {
        check(&received(status, ""), Outcome::Unknown);
        check(&received(status, &refused("No.")), Outcome::Unknown);
    }
    check(&received(408, &refused("No.")), Outcome::Unknown);
}

#[test]
fn a_key_that_is_not_accepted_blames_no_event() {
    let body = refused("Invalid API Key provided: sk_test_****************cret");
    let answer = check(&received(401, &body), Outcome::Unauthorized);
    assert_eq!(answer.message.as_deref(), Some("Invalid API Key provided: [key]"));
    check(
        &received(403, &error("invalid_request_error", "more_permissions_required")),
        Outcome::Unauthorized,
    );
}

#[test]
fn busy_and_limited_were_definitely_not_processed() {
    let lane = "Cannot create multiple usage events for the same customer, meter concurrently";
    check(&received(409, &refused(lane)), Outcome::Busy);
    check(&received(409, &error("idempotency_error", "idempotency_key_in_use")), Outcome::Busy);
    check(&received(409, &error("", "too_many_concurrent_requests")), Outcome::Busy);
    check(&received(429, &error("invalid_request_error", "lock_timeout")), Outcome::Busy);
    check(&received(429, &refused("Slow down.")), Outcome::Busy);
    let answer =
        check(&received(429, &error("invalid_request_error", "rate_limit")), Outcome::RateLimited);
    assert_eq!(answer.code.as_deref(), Some("rate_limit"));
    for body in [refused("Slow down."), error("invalid_request_error", "rate_limit"), String::new()]
    {
        let mut limited = received(429, &body);
        limited.rate_limited_reason = Some("endpoint-rate".to_owned());
        let answer = check(&limited, Outcome::RateLimited);
        assert_eq!(answer.code.as_deref(), Some("endpoint-rate"));
    }
}

#[test]
fn a_failure_of_the_provider_may_have_been_processed() {
    for status in [500, 501, 502, 503, 504, 529, 599] {
        for should_retry in [None, Some("false"), Some("true")] {
            for body in [&error("api_error", ""), "<html>503</html>", "", &event(OURS, false)] {
                let mut failed = received(status, body);
                failed.should_retry = should_retry.map(str::to_owned);
                check(&failed, Outcome::Failed);
            }
        }
    }
    check(&received(424, &error("api_error", "")), Outcome::Failed);
}

#[test]
fn a_wish_to_wait_is_read_as_seconds_or_as_a_date() {
    for (text, seconds) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("0", Some(0)),
        ("99999999999999999999", Some(u32::MAX)),
        ("Fri, 20 Nov 2026 10:01:30 GMT", Some(90)),
        ("Fri, 20 Nov 2026 09:00:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
        ("", None),
    ] {
        for status in [429, 503] {
            let mut limited = received(status, "");
            limited.retry_after = Some(text.to_owned());
            assert_eq!(meter_event(&limited, EXPECTED).retry_after_seconds, seconds, "{text}");
        }
    }
    let mut dateless = received(503, "");
    dateless.date = None;
    dateless.retry_after = Some("Fri, 20 Nov 2026 10:01:30 GMT".to_owned());
    assert_eq!(meter_event(&dateless, EXPECTED).retry_after_seconds, None);
}

#[test]
fn a_date_of_another_age_is_not_believed() {
    for text in ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2300 00:00:00 GMT", "today", ""] {
        let mut odd = received(200, &event(OURS, false));
        odd.date = Some(text.to_owned());
        assert_eq!(check(&odd, Outcome::Accepted).provider_at, None, "{text}");
    }
}

#[test]
fn no_key_and_no_flood_gets_into_a_receipt() {
    for (message, safe) in [
        ("Bad key sk_live_51Hx9.", "Bad key [key]."),
        (
            "rk_test_a_b-c*** and whsec_abc, and risk_low desk_top",
            "[key] and [key], and risk_low desk_top",
        ),
        ("ünknown «sk_test_é»", "ünknown «[key]é»"),
        ("", ""),
    ] {
        assert_eq!(redacted(message), safe);
    }
    let flood = "x".repeat(100_000);
    let mut long = received(400, &refused(&flood));
    long.request_id = Some(flood.clone());
    let answer = check(&long, Outcome::Refused(HoldReason::Refused));
    assert_eq!(answer.message.unwrap().len(), crate::domain::answer::MESSAGE_BYTES_MAX);
    assert_eq!(answer.request_id.unwrap().len(), HEADER_BYTES_MAX);
}
