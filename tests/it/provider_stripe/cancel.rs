//! Cancellations at the edge of Stripe's room: what goes over the wire, and what the sandbox makes
//! of it. Read next: `super`.

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::{Identifier, Says};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::MICROS_PER_HOUR;
use tallyd::provider::stripe::Stripe;
use tallyd::provider::{Provider as _, Request};

use super::contact::{intent, pin};
use super::{IDENTIFIER, PATIENT, error, http, run, stripe};
use crate::support::openapi;
use crate::support::raw_server::{RawServer, Step};
use crate::support::stripe::{ADJUSTMENTS, event, start_with};

/// The name of the cancellation itself, which Stripe never sees but as a key.
const OWN: &str = "tallyd-00112233445566aa-00000000000000000000000000000001";

fn cancel(target: &str) -> Says {
    Says::Cancel(Identifier::stored(target))
}

fn adjustment(target: &str, status: &str) -> serde_json::Value {
    serde_json::json!({
        "object": "billing.meter_event_adjustment", "cancel": {"identifier": target},
        "event_name": "tokens", "livemode": false, "status": status, "type": "cancel",
    })
}

/// The stored bytes that cancel `target`, as they are made.
fn body(stripe: &Stripe, target: &str) -> Vec<u8> {
    let tokens = ProviderMeter::new("tokens").unwrap();
    let payer = AccountName::new("cus_1").unwrap();
    stripe.adopt_meters(vec![pin(&tokens)]);
    let mut intent = intent("-5");
    intent.says = cancel(target);
    stripe.encode(&tokens, &payer, &intent).unwrap().body
}

async fn send(stripe: &Stripe, target: &str, key: &str) -> Answer {
    let (says, body) = (cancel(target), body(stripe, target));
    let account = AccountName::new("cus_1").unwrap();
    let request = Request {
        says: &says,
        meter: &ProviderMeter::new("tokens").unwrap(),
        account: &account,
        body: &body,
        idempotency_key: key,
        identifier: OWN,
    };
    stripe.send(request).await
}

#[test]
fn a_cancellation_goes_to_its_own_endpoint_and_fits_stripes_schema() {
    let answer = http("200 OK", "", &adjustment(IDENTIFIER, "pending").to_string());
    let server = RawServer::start(vec![vec![Step::Read, Step::Write(answer)]]);
    let stripe = stripe(&server.url(), PATIENT);
    let answer = run(send(&stripe, IDENTIFIER, OWN));
    assert_eq!(answer.outcome, Outcome::Accepted, "{answer:?}");
    let requests = server.finish().requests;
    assert_eq!(requests.len(), 1);
    let text = String::from_utf8(requests[0].clone()).unwrap();
    let (head, sent) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/billing/meter_event_adjustments HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("idempotency-key: {OWN}\r\n")), "{head}");
    assert_eq!(sent, format!("cancel[identifier]={IDENTIFIER}&event_name=tokens&type=cancel"));
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
    openapi::check_request("POST", ADJUSTMENTS, &pairs).unwrap();
    for status in ["pending", "complete"] {
        let answer = adjustment(IDENTIFIER, status);
        openapi::check_response("POST", ADJUSTMENTS, 200, &answer).unwrap();
    }
    openapi::check_response("POST", ADJUSTMENTS, 400, &error("No.")).unwrap();
}

#[test]
fn an_answer_to_a_cancellation_has_to_be_about_its_target() {
    for (status, body, outcome) in [
        ("200 OK", adjustment(OWN, "complete"), Outcome::Unknown),
        ("200 OK", adjustment(IDENTIFIER, "lost"), Outcome::Unknown),
        ("400 Bad Request", error("It was already cancelled."), Outcome::Duplicate),
        ("400 Bad Request", error("No."), Outcome::Refused(HoldReason::Refused)),
        ("500 Internal Server Error", error("No."), Outcome::Failed),
    ] {
        let answer = http(status, "", &body.to_string());
        let server = RawServer::start(vec![vec![Step::Read, Step::Write(answer)]]);
        let stripe = stripe(&server.url(), PATIENT);
        assert_eq!(run(send(&stripe, IDENTIFIER, OWN)).outcome, outcome, "{body}");
        assert_eq!(server.finish().requests.len(), 1);
    }
    let server = RawServer::start(vec![vec![Step::Read]]);
    let stripe = stripe(&server.url(), PATIENT);
    assert_eq!(run(send(&stripe, IDENTIFIER, OWN)).outcome, Outcome::Unknown);
    server.finish();
}

#[tokio::test]
async fn the_sandbox_takes_a_cancellation_once_and_in_time() {
    // The names are kept for longer, so that being late is told from being unknown.
    let names_kept = std::time::Duration::from_secs(48 * 3_600);
    let sandbox = start_with(|settings| settings.uniqueness_window = names_kept).await;
    let stripe = stripe(&sandbox.url, PATIENT);
    for identifier in ["event-1", "event-2"] {
        sandbox.accept(&event(identifier, "5")).await;
    }
    assert_eq!(sandbox.books(), ["tokens cus_1 10 2"]);
    assert_eq!(send(&stripe, "event-1", "key-1").await.outcome, Outcome::Accepted);
    // The same key replays the answer, another finds that it is done.
    assert_eq!(send(&stripe, "event-1", "key-1").await.outcome, Outcome::Accepted);
    assert_eq!(send(&stripe, "event-1", "key-2").await.outcome, Outcome::Duplicate);
    assert_eq!(sandbox.books(), ["tokens cus_1 5 1"]);
    let stranger = send(&stripe, "event-3", "key-3").await;
    assert_eq!(stranger.outcome, Outcome::Refused(HoldReason::Refused), "{stranger:?}");
    let day = std::time::Duration::from_micros(u64::try_from(25 * MICROS_PER_HOUR).unwrap());
    sandbox.handle.advance(day);
    let late = send(&stripe, "event-2", "key-4").await;
    assert_eq!(late.outcome, Outcome::Refused(HoldReason::TooOldRefused), "{late:?}");
    assert_eq!(sandbox.books(), ["tokens cus_1 5 1"]);
}
