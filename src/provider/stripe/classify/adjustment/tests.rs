//! Every answer to a cancellation, and what it comes to.

use super::*;

const TARGET: &str = "tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100";
const EXPECTED: Expected<'static> = Expected { target: TARGET, livemode: false };

fn received(status: u16, body: &str) -> Received {
    Received { status, body: body.as_bytes().to_vec(), ..Received::default() }
}

fn object(target: &str, livemode: bool, status: &str) -> String {
    serde_json::json!({
        "object": "billing.meter_event_adjustment", "cancel": {"identifier": target},
        "event_name": "tokens", "livemode": livemode, "status": status, "type": "cancel",
    })
    .to_string()
}

fn error(code: Option<&str>, message: &str) -> String {
    serde_json::json!({
        "error": {"type": "invalid_request_error", "code": code, "message": message},
    })
    .to_string()
}

fn check(received: &Received, outcome: Outcome) {
    let answer = adjustment(received, EXPECTED);
    let body = String::from_utf8_lossy(&received.body);
    assert_eq!(answer.outcome, outcome, "{} {body}", received.status);
    assert_eq!(answer.status, Some(received.status));
}

#[test]
fn a_yes_is_one_that_echoes_the_target_and_the_mode() {
    for status in ["pending", "complete"] {
        check(&received(200, &object(TARGET, false, status)), Outcome::Accepted);
        check(&received(200, &object(TARGET, true, status)), Outcome::WrongAccount);
        check(&received(200, &object("another", false, status)), Outcome::Unknown);
        check(&received(200, &object(&format!("{TARGET}0"), false, status)), Outcome::Unknown);
        check(&received(201, &object(TARGET, false, status)), Outcome::Unknown);
    }
    for status in ["failed", "", "Complete"] {
        check(&received(200, &object(TARGET, false, status)), Outcome::Unknown);
    }
    let whole = object(TARGET, false, "complete");
    for body in [
        &whole.replace("meter_event_adjustment", "meter_event"),
        &whole.replace("\"type\":\"cancel\"", "\"type\":\"replace\""),
        &whole.replace(&format!("\"{TARGET}\""), "null"),
        &whole[..whole.len() - 1],
        "",
        "{}",
        "<html>welcome</html>",
    ] {
        check(&received(200, body), Outcome::Unknown);
    }
    let mut cut_off = received(200, &whole);
    cut_off.broken = Some("the connection was closed".to_owned());
    check(&cut_off, Outcome::Unknown);
}

#[test]
fn cancelled_already_is_believed_in_many_words() {
    for message in [
        &format!("The event {TARGET} is cancelled already."),
        &format!("The event {TARGET} has already been canceled."),
        "This meter event was already cancelled.",
        "Event already canceled",
        "The meter event was previously canceled.",
        "You cannot cancel this event because it has already been canceled.",
    ] {
        check(&received(400, &error(None, message)), Outcome::Duplicate);
    }
    check(&received(400, &error(Some("already_canceled"), "No.")), Outcome::Duplicate);
}

#[test]
fn no_other_refusal_passes_for_a_cancellation() {
    let late = Outcome::Refused(HoldReason::TooOldRefused);
    let plain = Outcome::Refused(HoldReason::Refused);
    let billed = Outcome::Refused(HoldReason::LateForPeriod);
    let no_meter = Outcome::Refused(HoldReason::NoMeter);
    for (message, outcome) in [
        (format!("No event found with identifier {TARGET}."), plain),
        (format!("The event {TARGET} was received more than 24 hours ago."), late),
        ("It is too late: the event cannot be cancelled already.".to_owned(), late),
        ("The event cannot be cancelled: already billed.".to_owned(), plain),
        ("The event cannot be cancelled already".to_owned(), plain),
        ("The event is already on a finalized invoice and cannot be cancelled.".to_owned(), billed),
        ("Event not found, or it was already cancelled.".to_owned(), plain),
        ("The event tallyd-00-11 is cancelled already.".to_owned(), plain),
        ("No meter found for event name \"tokens\"".to_owned(), no_meter),
        ("Already exists.".to_owned(), plain),
        (format!("An event already exists with identifier {TARGET}."), plain),
        (String::new(), plain),
    ] {
        check(&received(400, &error(None, &message)), outcome);
        // A status that no duplicate has been seen with makes none.
        check(&received(404, &error(None, &message)), outcome);
    }
    let already = "The event has already been canceled.";
    check(&received(404, &error(None, already)), plain);
    check(&received(400, &error(Some("out_of_window"), "No.")), late);
    check(&received(400, already), Outcome::Unknown);
    let foreign = serde_json::json!({"error": {"type": "api_error", "message": already}});
    check(&received(400, &foreign.to_string()), Outcome::Failed);
}

#[test]
fn what_every_endpoint_answers_means_here_what_it_means_there() {
    let no = error(None, "No.");
    for (status, outcome) in [
        (401, Outcome::Unauthorized),
        (403, Outcome::Unauthorized),
        (408, Outcome::Unknown),
        (409, Outcome::Busy),
        (424, Outcome::Failed),
        (429, Outcome::Busy),
        (500, Outcome::Failed),
        (503, Outcome::Failed),
        (302, Outcome::Unknown),
    ] {
        check(&received(status, &no), outcome);
    }
    let mut limited = received(429, &no);
    limited.rate_limited_reason = Some("endpoint-rate".to_owned());
    check(&limited, Outcome::RateLimited);
    let mut again = received(400, &no);
    again.should_retry = Some("true".to_owned());
    check(&again, Outcome::Unknown);
    let key = serde_json::json!({"error": {"type": "idempotency_error", "message": "No."}});
    let conflict = Outcome::Refused(HoldReason::KeyConflict);
    check(&received(400, &key.to_string()), conflict);
    for status in [401, 403, 409, 429] {
        check(&received(status, "<html>proxy</html>"), Outcome::Unknown);
    }
    check(&received(500, "<html>proxy</html>"), Outcome::Failed);
}
