//! What answers about usage events come to: each status, each shape, each doubt.

use serde_json::json;

use super::*;

fn event(name: &str) -> Identity {
    Identity {
        deduplication_id: name.to_owned(),
        subscription_id: "sub".to_owned(),
        usage_timestamp: 1_700_000_000_123,
    }
}

fn received(status: u16, body: &Value) -> Received {
    Received { status, body: body.to_string().into_bytes(), ..Received::default() }
}

fn error(status: u16, code: &str) -> Received {
    let body = json!({"message": "No.", "type": "invalid_request", "api_error_code": code});
    received(status, &body)
}

/// The outcomes of three events, `a`, `b` and `c`, in short.
fn outcomes(received: &Received) -> Vec<Outcome> {
    let events = [event("a"), event("b"), event("c")];
    all_told(received, &events).iter().map(|answer| answer.outcome).collect()
}

fn echo(name: &str, subscription: &str, at: i64) -> Received {
    let event = json!({"deduplication_id": name, "subscription_id": subscription,
        "usage_timestamp": at, "properties": {"calls": 1}});
    received(200, &json!({ "usage_event": event }))
}

#[test]
fn a_yes_to_one_event_echoes_it() {
    let told_as = |received: &Received| told(received, &event("a")).outcome;
    assert_eq!(told_as(&echo("a", "sub", 1_700_000_000_123)), Outcome::Accepted);
    for other in [
        echo("b", "sub", 1_700_000_000_123),
        echo("a", "another", 1_700_000_000_123),
        echo("a", "sub", 1_700_000_000),
    ] {
        assert_eq!(told_as(&other), Outcome::Unknown);
    }
    let broken = Some("the body broke off".to_owned());
    let half = Received { broken, ..echo("a", "sub", 1_700_000_000_123) };
    assert_eq!(told_as(&half), Outcome::Unknown);
    assert_eq!(told_as(&Received { status: 202, ..Received::default() }), Outcome::Unknown);
}

#[test]
fn every_error_of_one_event_comes_to_what_it_says() {
    let told_as = |received: &Received| told(received, &event("a")).outcome;
    for (status, code, outcome) in [
        (400, "invalid_request", Outcome::Refused(HoldReason::Refused)),
        (400, "param_wrong_value", Outcome::Refused(HoldReason::Refused)),
        (400, "duplicate_entry", Outcome::Duplicate),
        (400, "resource_limit_exhausted", Outcome::Refused(HoldReason::Refused)),
        (400, "resource_limit_exceeded", Outcome::Refused(HoldReason::Refused)),
        (400, "configuration_incompatible", Outcome::Unauthorized),
        (401, "api_authentication_failed", Outcome::Unauthorized),
        (401, "basic_authentication_failed", Outcome::Unauthorized),
        (403, "request_blocked", Outcome::Unauthorized),
        (403, "api_authorization_failed", Outcome::Unauthorized),
        (404, "resource_not_found", Outcome::Refused(HoldReason::Refused)),
        (404, "site_not_found", Outcome::Unauthorized),
        (405, "http_method_not_supported", Outcome::Refused(HoldReason::Refused)),
        (409, "invalid_state_for_request", Outcome::Refused(HoldReason::Refused)),
        (422, "unable_to_process_request", Outcome::Refused(HoldReason::Refused)),
        (429, "api_request_limit_exceeded", Outcome::RateLimited),
        (429, "third_party_api_request_limit_exceeded", Outcome::RateLimited),
        (429, "lock_timeout", Outcome::Busy),
        (500, "internal_error", Outcome::Failed),
        (503, "db_connection_failure", Outcome::Failed),
        (503, "site_read_only_mode", Outcome::Failed),
        (503, "site_not_ready", Outcome::Failed),
        (503, "internal_temporary_error", Outcome::Failed),
    ] {
        assert_eq!(told_as(&error(status, code)), outcome, "{status} {code}");
    }
    let of_param = |param: &str| {
        let body = json!({"message": "No.", "api_error_code": "param_wrong_value", "param": param});
        told_as(&received(400, &body))
    };
    assert_eq!(of_param("usage_timestamp"), Outcome::Refused(HoldReason::TooOldRefused));
    assert_eq!(of_param("properties"), Outcome::Refused(HoldReason::ValueRefused));
    let page = |status| Received { status, body: b"<html>".to_vec(), ..Received::default() };
    assert_eq!(told_as(&page(503)), Outcome::Failed);
    assert_eq!(told_as(&page(400)), Outcome::Unknown);
}

#[test]
fn a_failure_inside_a_yes_is_that_events_alone() {
    let accepted = Outcome::Accepted;
    let of = |failed: Value| outcomes(&received(200, &json!({"failed_events": failed})));
    assert_eq!(of(json!([])), [accepted; 3]);
    let plain = json!([{"deduplication_id": "b", "api_error_code": "param_wrong_value"}]);
    let refused = Outcome::Refused(HoldReason::Refused);
    assert_eq!(of(plain), [accepted, refused, accepted]);
    let nested = json!([{"event": {"deduplication_id": "b", "usage_timestamp": "1700000000123"},
        "error": {"code": "x", "param": "usage_timestamp", "message": "too old"}}]);
    assert_eq!(of(nested), [accepted, Outcome::Refused(HoldReason::TooOldRefused), accepted]);
    for (code, outcome) in [
        ("duplicate_entry", Outcome::Duplicate),
        ("lock_timeout", Outcome::Busy),
        ("internal_error", Outcome::Failed),
    ] {
        let failed = json!([{"deduplication_id": "b", "api_error_code": code}]);
        assert_eq!(of(failed), [accepted, outcome, accepted], "{code}");
    }
    for status in [201, 202, 207] {
        let failed = json!({"failed_events": [{"deduplication_id": "b"}]});
        assert_eq!(outcomes(&received(status, &failed)), [accepted, refused, accepted]);
    }
}

#[test]
fn a_failure_that_names_no_event_makes_the_others_unknown() {
    let refused = Outcome::Refused(HoldReason::Refused);
    for stranger in [
        json!("an event failed"),
        json!({"message": "one of them"}),
        json!({"deduplication_id": "z"}),
        json!({"deduplication_id": "a", "subscription_id": "another"}),
        json!({"deduplication_id": "a", "usage_timestamp": 1}),
    ] {
        let failed = json!({"failed_events": [stranger, {"deduplication_id": "b"}]});
        let found = outcomes(&received(200, &failed));
        assert_eq!(found, [Outcome::Unknown, refused, Outcome::Unknown], "{failed}");
    }
}

#[test]
fn a_yes_that_makes_no_sense_leaves_all_unknown() {
    for body in [json!({}), json!([]), json!({"failed_events": "none"}), json!({"batch_id": "1"})] {
        assert_eq!(outcomes(&received(200, &body)), [Outcome::Unknown; 3], "{body}");
    }
    assert_eq!(outcomes(&Received { status: 202, ..Received::default() }), [Outcome::Unknown; 3]);
}

#[test]
fn a_refusal_of_the_whole_request_is_none_of_its_events() {
    let invalid = json!({"message": "No.", "type": "ubb_batch_ingestion_invalid_request",
        "api_error_code": "invalid_request", "batch_id": "1"});
    assert_eq!(outcomes(&received(400, &invalid)), [Outcome::Unknown; 3]);
    assert_eq!(outcomes(&error(413, "invalid_request")), [Outcome::Unknown; 3]);
    // What it says of those it names is of them.
    let mut named = invalid;
    named["failed_events"] = json!([{"deduplication_id": "c", "param": "properties"}]);
    let found = outcomes(&received(400, &named));
    let refused = Outcome::Refused(HoldReason::ValueRefused);
    assert_eq!(found, [Outcome::Unknown, Outcome::Unknown, refused]);
}

#[test]
fn what_concerns_the_site_concerns_every_event() {
    for (status, code, outcome) in [
        (401, "api_authentication_failed", Outcome::Unauthorized),
        (429, "api_request_limit_exceeded", Outcome::RateLimited),
        (429, "lock_timeout", Outcome::Busy),
        (500, "internal_error", Outcome::Failed),
    ] {
        assert_eq!(outcomes(&error(status, code)), [outcome; 3], "{code}");
    }
    let page =
        Received { status: 503, body: b"Service Unavailable".to_vec(), ..Received::default() };
    assert_eq!(outcomes(&page), [Outcome::Failed; 3]);
}

#[test]
fn what_an_answer_says_is_short_and_holds_no_key() {
    let failed = json!({"failed_events": [{"deduplication_id": "a",
        "message": format!("the key test_abcdefgh12 {}", "x".repeat(9_000))}]});
    let answer = &all_told(&received(200, &failed), &[event("a")])[0];
    let said = answer.message.as_deref().unwrap();
    assert!(said.len() <= crate::domain::answer::MESSAGE_BYTES_MAX, "{}", said.len());
    assert!(said.contains("[key]") && !said.contains("abcdefgh"), "{said}");
}
