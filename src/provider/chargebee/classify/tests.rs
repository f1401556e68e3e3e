//! What classification promises, at its edge.

use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::*;
use crate::domain::time::Timestamp;

const SUBSCRIPTION: &str = "sub_1";
const NOON: &str = "Fri, 20 Nov 2026 12:00:00 GMT";

fn sent() -> Usage {
    Usage {
        id: "tallyd-1".to_owned(),
        item_price: "calls-EUR".to_owned(),
        quantity: Quantity::parse("12.5").unwrap(),
        second: 1_700_000_000,
    }
}

fn received(status: u16, body: &str) -> Received {
    let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(NOON))]);
    Received { status, headers, body: body.as_bytes().to_vec(), broken: None }
}

fn usage(change: impl Fn(String) -> String) -> Received {
    let body = r#"{"usage":{"id":"tallyd-1","subscription_id":"sub_1","item_price_id":"calls-EUR",
        "quantity":"12.50","usage_date":1700000000,"object":"usage","created_at":1}}"#;
    received(200, &change(body.to_owned()))
}

fn error(status: u16, code: &str, param: Option<&str>) -> Received {
    let param = param.map(|param| format!(r#","param":"{param}""#)).unwrap_or_default();
    let body = format!(
        r#"{{"message":"no, test_abcdefgh1234 may not","type":"invalid_request",
        "api_error_code":"{code}"{param}}}"#
    );
    received(status, &body)
}

fn known(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Known(answer) => *answer,
        Verdict::Ask(answer) => panic!("it asks: {answer:?}"),
    }
}

fn refused(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Ask(answer) => *answer,
        Verdict::Known(answer) => panic!("it does not ask: {answer:?}"),
    }
}

fn create(received: &Received) -> Verdict {
    created(received, &sent(), SUBSCRIPTION)
}

fn delete(received: &Received) -> Verdict {
    deleted(received, "tallyd-1", SUBSCRIPTION)
}

#[test]
fn a_yes_is_one_only_when_it_is_about_what_was_sent() {
    let yes = known(create(&usage(|body| body)));
    assert_eq!((yes.outcome, yes.status), (Outcome::Accepted, Some(200)));
    assert_eq!(yes.provider_at, Timestamp::parse_rfc3339("2026-11-20T12:00:00Z"));
    for (from, to) in [
        ("tallyd-1", "tallyd-2"),
        ("sub_1", "sub_2"),
        ("calls-EUR", "calls-USD"),
        ("12.50", "12.51"),
        ("1700000000", "1700000001"),
        ("usage", "abusage"),
    ] {
        let other = known(create(&usage(|body| body.replace(from, to))));
        assert_eq!(other.outcome, Outcome::Unknown, "{from} {to}");
    }
    let broken = Received { broken: Some("it broke off".to_owned()), ..usage(|body| body) };
    assert_eq!(known(create(&broken)).outcome, Outcome::Unknown);
    assert_eq!(known(delete(&usage(|body| body))).outcome, Outcome::Accepted);
    for other in ["tallyd-1", SUBSCRIPTION] {
        let about_another = usage(|body| body.replace(other, "another"));
        assert_eq!(known(delete(&about_another)).outcome, Outcome::Unknown, "{other}");
    }
}

#[test]
fn every_error_is_told_apart_by_its_status_code_and_parameter() {
    let outcomes: [(u16, &str, Outcome); 13] = [
        (401, "api_authentication_failed", Outcome::Unauthorized),
        (403, "request_blocked", Outcome::Unauthorized),
        (403, "api_authorization_failed", Outcome::Unauthorized),
        (400, "configuration_incompatible", Outcome::Unauthorized),
        (404, "site_not_found", Outcome::Unauthorized),
        (429, "api_request_limit_exceeded", Outcome::RateLimited),
        (429, "third_party_api_request_limit_exceeded", Outcome::RateLimited),
        (429, "lock_timeout", Outcome::Busy),
        (408, "internal_temporary_error", Outcome::Unknown),
        (500, "internal_error", Outcome::Failed),
        (503, "site_read_only_mode", Outcome::Failed),
        (302, "moved", Outcome::Unknown),
        (204, "nothing", Outcome::Unknown),
    ];
    for (status, code, expected) in outcomes {
        let answer = known(create(&error(status, code, None)));
        assert_eq!((answer.outcome, answer.code.as_deref()), (expected, Some(code)), "{status}");
        assert_eq!(answer.message.as_deref(), Some("no, [key] may not"));
    }
    let refusals: [(u16, &str, Option<&str>, HoldReason); 8] = [
        (400, "duplicate_entry", Some("id"), HoldReason::Refused),
        (400, "invalid_request", Some("usage_date"), HoldReason::Refused),
        (400, "param_wrong_value", Some("quantity"), HoldReason::ValueRefused),
        (400, "param_wrong_value", Some("item_price_id"), HoldReason::NoMeter),
        (400, "resource_limit_exhausted", None, HoldReason::Refused),
        (404, "resource_not_found", Some("subscription_id"), HoldReason::Refused),
        (409, "invalid_state_for_request", None, HoldReason::Refused),
        (422, "unable_to_process_request", None, HoldReason::KeyConflict),
    ];
    for (status, code, param, reason) in refusals {
        let refusal = refused(create(&error(status, code, param)));
        assert_eq!(refusal.outcome, Outcome::Refused(reason), "{status} {code}");
    }
}

#[test]
fn a_feature_that_is_switched_off_is_told_by_the_code_of_before_as_well() {
    let body = r#"{"message":"ask support","api_error_code":"invalid_request",
        "error_code":"api_restricted"}"#;
    assert_eq!(known(create(&received(400, body))).outcome, Outcome::Unauthorized);
}

#[test]
fn a_strangers_page_proves_nothing() {
    for (status, expected) in [
        (503, Outcome::Failed),
        (504, Outcome::Failed),
        (400, Outcome::Unknown),
        (429, Outcome::Unknown),
    ] {
        for body in ["Service Unavailable", "<html>", r#"{"error":"no"}"#, ""] {
            let answer = known(create(&received(status, body)));
            assert_eq!((answer.outcome, answer.provider_at), (expected, None), "{status} {body}");
        }
    }
}

#[test]
fn what_was_refused_is_believed_only_when_its_id_is_not_there() {
    let refusal = || refused(create(&error(400, "duplicate_entry", None)));
    let asked = |received: &Received| {
        created_after_asking(refusal(), received, &sent(), SUBSCRIPTION).outcome
    };
    assert_eq!(asked(&usage(|body| body)), Outcome::Duplicate);
    let conflict = Outcome::Refused(HoldReason::IdentifierConflict);
    assert_eq!(asked(&usage(|body| body.replace("12.50", "13"))), conflict);
    let absent = error(404, "resource_not_found", None);
    assert_eq!(asked(&absent), Outcome::Refused(HoldReason::Refused));
    for unanswered in [error(500, "internal_error", None), received(404, "<html>")] {
        assert_eq!(asked(&unanswered), Outcome::Unknown);
    }
}

#[test]
fn a_deletion_that_was_refused_is_done_when_its_target_is_gone() {
    let refusal = || refused(delete(&error(404, "resource_not_found", None)));
    let asked = |received: &Received| deleted_after_asking(refusal(), received, "tallyd-1").outcome;
    assert_eq!(asked(&error(404, "resource_not_found", None)), Outcome::Duplicate);
    assert_eq!(asked(&usage(|body| body)), Outcome::Refused(HoldReason::Refused));
    let other = usage(|body| body.replace("tallyd-1", "tallyd-2"));
    assert_eq!(asked(&other), Outcome::Unknown, "it was not asked for");
    assert_eq!(asked(&error(429, "api_request_limit_exceeded", None)), Outcome::Unknown);
}

#[test]
fn a_wait_that_is_asked_for_is_told() {
    let waits = |retry_after: &'static str| {
        let mut limited = error(429, "api_request_limit_exceeded", None);
        limited.headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        known(create(&limited)).retry_after_seconds
    };
    assert_eq!(waits("17"), Some(17));
    assert_eq!(waits("Fri, 20 Nov 2026 12:01:00 GMT"), Some(60));
}
