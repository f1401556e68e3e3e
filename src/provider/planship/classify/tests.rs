//! What classification promises, at its edge.

use reqwest::header::{DATE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;

use super::*;

const NOON: &str = "Fri, 20 Nov 2026 12:00:00 GMT";
const SENT: Sent<'static> = Sent { metering_id: "api-call", usage: Some(5) };
/// As the published schema has it, with what may be null.
const RECORD: &str = r#"{"id":"r-1","is_allocated":false,"usage":5,"metering_id":"api-call",
    "customer_id":"c-1","product_id":"p-1","subscription_id":null,"bucket":null,"later":1}"#;

fn received(status: u16, body: &str) -> Received {
    let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(NOON))]);
    Received { status, headers, body: body.as_bytes().to_vec(), broken: None }
}

fn said(status: u16, body: &str) -> Answer {
    reported(&received(status, body), SENT)
}

#[test]
fn a_yes_is_a_metering_record_of_what_was_sent() {
    let answer = said(200, RECORD);
    assert_eq!(answer.outcome, Outcome::Accepted);
    assert_eq!(answer.provider_at, received(200, RECORD).provider_at());
    for other in [
        RECORD.replace("\"usage\":5", "\"usage\":6"),
        RECORD.replace("\"usage\":5", "\"usage\":\"5\""),
        RECORD.replace("\"usage\":5", "\"usage\":5.0"),
        RECORD.replace("api-call", "another"),
        RECORD.replace("\"id\":\"r-1\",", ""),
        RECORD.replace("r-1", ""),
        RECORD.replace("\"product_id\":\"p-1\",", ""),
        "{}".to_owned(),
        format!("[{RECORD}]"),
    ] {
        let answer = said(200, &other);
        assert_eq!((answer.outcome, answer.provider_at), (Outcome::Unknown, None), "{other}");
    }
    let broken = Received { broken: Some("cut".into()), ..received(200, RECORD) };
    assert_eq!(reported(&broken, SENT).outcome, Outcome::Unknown);
    let unread = Sent { usage: None, ..SENT };
    assert_eq!(reported(&received(200, RECORD), unread).outcome, Outcome::Unknown);
}

#[test]
fn a_no_is_told_by_its_status_and_believed_for_its_detail() {
    use HoldReason::{Refused, ValueRefused};
    let detail = r#"{"detail":"No."}"#;
    let of_usage = r#"{"detail":[{"loc":["body","usage"],"msg":"field required","type":"v"}]}"#;
    for (status, body, outcome) in [
        (400, detail, Outcome::Refused(Refused)),
        (404, detail, Outcome::Refused(Refused)),
        (422, detail, Outcome::Refused(Refused)),
        (422, of_usage, Outcome::Refused(ValueRefused)),
        (401, detail, Outcome::Unauthorized),
        (403, detail, Outcome::Unauthorized),
        (429, detail, Outcome::RateLimited),
        (500, detail, Outcome::Failed),
        (503, "<html>", Outcome::Failed),
        // Nobody says of these that nothing was counted.
        (409, detail, Outcome::Unknown),
        (201, RECORD, Outcome::Unknown),
        (302, detail, Outcome::Unknown),
    ] {
        assert_eq!(said(status, body).outcome, outcome, "{status} {body}");
    }
    for stranger in ["<html>", "{}", r#"{"detail":null}"#, r#"{"error":"no"}"#, "null"] {
        for status in [400, 401, 403, 404, 422, 429] {
            assert_eq!(said(status, stranger).outcome, Outcome::Unknown, "{status} {stranger}");
        }
    }
}

#[test]
fn what_a_422_says_names_the_place_and_never_what_was_sent() {
    let body = r#"{"detail":[
        {"loc":["body","usage"],"msg":"value is not a valid integer","type":"t","input":"canary"},
        {"loc":["path",0],"msg":"no such path","type":"t"},
        {"msg":"and more"}, 7]}"#;
    let message = said(422, body).message.unwrap();
    let expected = "body.usage: value is not a valid integer; path.0: no such path; and more; \
                    refused";
    assert_eq!(message, expected);
}

#[test]
fn only_a_401_of_planships_own_says_that_a_token_has_ended() {
    assert!(is_expired(&received(401, r#"{"detail":"Could not validate credentials"}"#)));
    assert!(!is_expired(&received(401, "<html>a proxy</html>")));
    assert!(!is_expired(&received(403, r#"{"detail":"Forbidden"}"#)));
}

#[test]
fn a_token_is_used_for_its_life_less_a_margin_and_never_for_longer_than_a_day() {
    let second = 1_000_000;
    for (expires_in, seconds) in
        [(3_600, 3_540), (120, 60), (60, 30), (2, 1), (0, 0), (-5, 0), (i64::MAX, 24 * 3_600 - 60)]
    {
        let body = format!(
            "{{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":{expires_in}}}"
        );
        let opened = token(&received(200, &body)).unwrap_or_else(|answer| panic!("{answer:?}"));
        assert_eq!(opened.token.expose_secret(), "t");
        assert_eq!(opened.used_for_micros, seconds * second, "{expires_in}");
    }
}

#[test]
fn what_is_no_token_is_told_as_that() {
    let token = |status, body| token(&received(status, body)).err().map(|answer| answer.outcome);
    for body in [
        "{}",
        r#"{"access_token":"","token_type":"bearer","expires_in":1}"#,
        r#"{"access_token":"a b","token_type":"bearer","expires_in":1}"#,
        r#"{"access_token":"a","token_type":"mac","expires_in":1}"#,
        r#"{"access_token":"a","token_type":"bearer"}"#,
    ] {
        assert_eq!(token(200, body), Some(Outcome::Unknown), "{body}");
    }
    assert_eq!(token(401, r#"{"detail":"No."}"#), Some(Outcome::Unauthorized));
    assert_eq!(token(429, r#"{"detail":"No."}"#), Some(Outcome::RateLimited));
    assert_eq!(token(500, ""), Some(Outcome::Failed));
}
