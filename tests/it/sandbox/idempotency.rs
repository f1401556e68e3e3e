//! Idempotency keys.

use reqwest::Method;
use tallyd::sandbox::faults::FaultKind;
use tallyd::sandbox::stripe::Limits;

use crate::support::stripe::{EVENTS, NOON, event, event_at, start, start_with};

#[tokio::test]
async fn a_key_replays_the_first_answer_and_does_nothing_again() {
    let sandbox = start().await;
    let first = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("idempotency-key"), Some("k"));
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_ne!(again.header("request-id"), first.header("request-id"));
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
    assert_eq!(sandbox.handle.statistics().replays, 1);
}

#[tokio::test]
async fn the_order_of_parameters_does_not_matter_to_a_key() {
    let sandbox = start().await;
    let mut event = event("a", "1");
    sandbox.post_with_key(EVENTS, &event, "k").await;
    event.reverse();
    assert_eq!(sandbox.post_with_key(EVENTS, &event, "k").await.status, 200);
}

#[tokio::test]
async fn a_key_with_other_parameters_or_another_path_is_an_idempotency_error() {
    let sandbox = start().await;
    sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    let other = sandbox.post_with_key(EVENTS, &event("b", "1"), "k").await;
    assert_eq!(other.status, 400);
    assert_eq!(other.body["error"]["type"], "idempotency_error");
    let path = format!("/v1/billing/meters/{}/deactivate", sandbox.meter_id("tokens"));
    let other = sandbox.post_with_key(&path, &Vec::new(), "k").await;
    assert_eq!(other.body["error"]["type"], "idempotency_error");
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
}

#[tokio::test]
async fn a_key_is_forgotten_after_24_hours_and_the_identifier_with_it() {
    let sandbox = start().await;
    sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    sandbox.clock.advance_micros(24 * 3_600 * 1_000_000 - 1);
    let again = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    sandbox.clock.advance_micros(1);
    let again = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, None));
    assert_eq!(sandbox.books(), ["tokens cus_1 2 2"]);
}

#[tokio::test]
async fn a_400_found_while_executing_is_replayed_and_a_malformed_request_is_not() {
    let sandbox = start().await;
    let old = event_at("a", "1", NOON - 40 * 86_400);
    assert_eq!(sandbox.post_with_key(EVENTS, &old, "k").await.status, 400);
    let again = sandbox.post_with_key(EVENTS, &old, "k").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let mut odd = event("b", "1");
    odd.push(("colour".to_owned(), "red".to_owned()));
    assert_eq!(sandbox.post_with_key(EVENTS, &odd, "free").await.status, 400);
    let mended = sandbox.post_with_key(EVENTS, &event("b", "1"), "free").await;
    assert_eq!((mended.status, mended.header("idempotent-replayed")), (200, None));
}

#[tokio::test]
async fn a_replayed_duplicate_keeps_its_advice_not_to_retry() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "1")).await;
    for _ in 0..2 {
        let reply = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
        assert_eq!((reply.status, reply.header("stripe-should-retry")), (400, Some("false")));
    }
    assert_eq!(sandbox.handle.statistics().duplicates_refused, 1);
}

#[tokio::test]
async fn a_401_and_a_429_leave_the_key_free() {
    let limits = Limits { meter_events: Some(1), ..Limits::NONE };
    let sandbox = start_with(|settings| settings.limits = limits).await;
    let headers = [("authorization", "Bearer nonsense"), ("idempotency-key", "k")];
    let reply = sandbox.ask(Method::POST, EVENTS, &event("a", "1"), &headers).await;
    assert_eq!(reply.expect("an answer").status, 401);
    sandbox.accept(&event("b", "1")).await;
    let limited = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!(limited.status, 429);
    sandbox.clock.advance_micros(1_000_000);
    let reply = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!((reply.status, reply.header("idempotent-replayed")), (200, None));
}

#[tokio::test]
async fn pinned_500s_are_replayed_whether_or_not_the_event_was_booked() {
    for (kind, books) in [
        (FaultKind::PinnedErrorBefore, Vec::new()),
        (FaultKind::PinnedErrorAfter, vec!["tokens cus_1 1 1".to_owned()]),
    ] {
        let sandbox = start().await;
        sandbox.script(&[kind]);
        let first = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
        assert_eq!((first.status, first.header("idempotent-replayed")), (500, None));
        let again = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (500, Some("true")));
        assert_eq!(sandbox.books(), books);
        // A new key gets through to the account, where the identifier tells the truth.
        let fresh = sandbox.post_with_key(EVENTS, &event("a", "1"), "k2").await;
        assert_eq!(fresh.status, if books.is_empty() { 200 } else { 400 });
    }
}

#[tokio::test]
async fn a_key_in_use_is_a_conflict() {
    let sandbox = start().await;
    sandbox.handle.hold_answers();
    let sent = event("a", "1");
    let other = async {
        sandbox.handle.wait_for_in_flight(1).await;
        let reply = sandbox.post_with_key(EVENTS, &sent, "k").await;
        assert_eq!(reply.status, 409);
        assert_eq!(reply.body["error"]["code"], "idempotency_key_in_use");
        sandbox.handle.release_answers();
    };
    let (first, ()) = tokio::join!(sandbox.post_with_key(EVENTS, &sent, "k"), other);
    assert_eq!(first.status, 200);
    let again = sandbox.post_with_key(EVENTS, &sent, "k").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
}

#[tokio::test]
async fn a_key_has_at_most_255_characters() {
    let sandbox = start().await;
    let key = "k".repeat(256);
    assert_eq!(sandbox.post_with_key(EVENTS, &event("a", "1"), &key).await.status, 400);
    assert_eq!(sandbox.post_with_key(EVENTS, &event("a", "1"), &key[1..]).await.status, 200);
}
