//! Cancellations: which event one takes back, and until when.

use std::time::Duration;

use tallyd::sandbox::stripe::{EventStatus, Formula, NewMeter, TimeWindow};

use crate::support::openapi::check_request;
use crate::support::stripe::{
    ADJUSTMENTS, EVENTS, NOON, Pairs, event, event_of, pairs, start, start_with,
};

fn cancel(identifier: &str) -> Pairs {
    cancel_of("tokens", identifier)
}

fn cancel_of(event_name: &str, identifier: &str) -> Pairs {
    pairs(&[("event_name", event_name), ("type", "cancel"), ("cancel[identifier]", identifier)])
}

#[tokio::test]
async fn a_cancelled_event_no_longer_counts() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "0.5")).await;
    sandbox.accept(&event("b", "2")).await;
    check_request("POST", ADJUSTMENTS, &cancel("a")).expect("the request fits the schema");
    let reply = sandbox.post(ADJUSTMENTS, &cancel("a")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.body["status"], "complete");
    assert_eq!(reply.body["cancel"]["identifier"], "a");
    assert_eq!(sandbox.books(), ["tokens cus_1 2 1"]);
    let statuses: Vec<_> = sandbox.handle.events().iter().map(|event| event.status).collect();
    assert_eq!(statuses, [EventStatus::Cancelled, EventStatus::Counted]);
    // Its identifier stays spent.
    assert_eq!(sandbox.post(EVENTS, &event("a", "1")).await.status, 400);
}

#[tokio::test]
async fn an_event_can_be_cancelled_for_24_hours_after_its_receipt() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "1")).await;
    sandbox.accept(&event("b", "1")).await;
    sandbox.clock.advance_micros(24 * 3_600 * 1_000_000 - 1);
    assert_eq!(sandbox.post(ADJUSTMENTS, &cancel("a")).await.status, 200);
    sandbox.clock.advance_micros(1);
    assert_eq!(sandbox.post(ADJUSTMENTS, &cancel("b")).await.status, 400);
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_refused() {
    let sandbox = start_with(|settings| {
        settings.meters.push(NewMeter::new("calls", Formula::Sum));
    })
    .await;
    sandbox.accept(&event("a", "1")).await;
    let cases = [
        cancel("unknown"),
        cancel_of("calls", "a"),
        cancel_of("nothing", "a"),
        pairs(&[("event_name", "tokens"), ("type", "cancel")]),
        pairs(&[("event_name", "tokens"), ("type", "undo"), ("cancel[identifier]", "a")]),
        pairs(&[("event_name", "tokens"), ("cancel[identifier]", "a")]),
    ];
    for case in cases {
        assert_eq!(sandbox.post(ADJUSTMENTS, &case).await.status, 400, "{case:?}");
    }
    assert_eq!(sandbox.post(ADJUSTMENTS, &cancel("a")).await.status, 200);
    assert_eq!(sandbox.post(ADJUSTMENTS, &cancel("a")).await.status, 400);
}

#[tokio::test]
async fn a_cancellation_is_pending_until_the_lag_has_passed() {
    let sandbox = start_with(|settings| settings.lag = Duration::from_secs(60)).await;
    sandbox.accept(&event("a", "1")).await;
    sandbox.handle.advance(Duration::from_secs(30));
    let reply = sandbox.post(ADJUSTMENTS, &cancel("a")).await;
    assert_eq!(reply.body["status"], "pending");
    sandbox.handle.advance(Duration::from_secs(30));
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
    sandbox.handle.advance(Duration::from_secs(30));
    let books = sandbox.handle.books();
    assert_eq!((books[0].events, books[0].total.to_plain_string().as_str()), (0, "0"));
}

#[tokio::test]
async fn cancelling_an_overwriting_event_brings_back_what_it_overwrote() {
    let sandbox = start_with(|settings| {
        let hourly = NewMeter::new("hourly", Formula::Sum).pre_aggregated(TimeWindow::Hour);
        settings.meters.push(hourly);
    })
    .await;
    sandbox.accept(&event_of("hourly", "cus_1", "a", "10", NOON)).await;
    sandbox.accept(&event_of("hourly", "cus_1", "b", "15", NOON)).await;
    assert_eq!(sandbox.post(ADJUSTMENTS, &cancel_of("hourly", "b")).await.status, 200);
    assert_eq!(sandbox.books(), ["hourly cus_1 10 1"]);
}
