//! Meter events.

use reqwest::Method;
use tallyd::sandbox::stripe::{
    Customers, EventStatus, Formula, NewMeter, RejectionCode, TimeWindow,
};

use crate::support::openapi::check_request;
use crate::support::stripe::{
    EVENTS, NOON, Pairs, event, event_at, event_of, pairs, start, start_with,
};

fn without(event: &Pairs, name: &str) -> Pairs {
    event.iter().filter(|(other, _)| other != name).cloned().collect()
}

fn with(event: &Pairs, name: &str, value: &str) -> Pairs {
    let mut changed = without(event, name);
    changed.push((name.to_owned(), value.to_owned()));
    changed
}

#[tokio::test]
async fn an_accepted_event_is_answered_as_it_was_sent_and_booked_exactly() {
    let sandbox = start().await;
    let reply = sandbox.accept(&event("a", "0.1")).await;
    assert_eq!(reply.body["object"], "billing.meter_event");
    assert_eq!(reply.body["identifier"], "a");
    assert_eq!(reply.body["created"], NOON);
    assert_eq!(reply.body["timestamp"], NOON);
    assert_eq!(reply.body["livemode"], false);
    assert_eq!(reply.body["payload"]["value"], "0.1");
    sandbox.accept(&event("b", "0.2")).await;
    sandbox.accept(&event("c", "-0.05")).await;
    assert_eq!(sandbox.books(), ["tokens cus_1 0.25 3"]);
}

#[tokio::test]
async fn an_event_without_identifier_or_timestamp_gets_both() {
    let sandbox = start().await;
    let bare = without(&without(&event("a", "1"), "identifier"), "timestamp");
    let first = sandbox.accept(&bare).await;
    let second = sandbox.accept(&bare).await;
    assert_ne!(first.body["identifier"], second.body["identifier"]);
    assert_eq!(first.body["timestamp"], NOON);
    assert_eq!(sandbox.books(), ["tokens cus_1 2 2"]);
}

#[tokio::test]
async fn a_request_that_the_schema_refuses_is_refused() {
    let sandbox = start().await;
    let good = event("a", "1");
    let long = "x".repeat(101);
    let cases = [
        (with(&good, "colour", "red"), "parameter_unknown"),
        (without(&good, "event_name"), "parameter_missing"),
        (with(&good, "identifier", &long), ""),
        (with(&good, "event_name", &long), ""),
        (with(&good, "timestamp", "noon"), "parameter_invalid_integer"),
        (pairs(&[("event_name", "tokens")]), "parameter_missing"),
        (pairs(&[("event_name", "tokens"), ("payload", "5")]), ""),
    ];
    for (case, code) in cases {
        check_request("POST", EVENTS, &case).expect_err("the schema refuses it too");
        let reply = sandbox.post(EVENTS, &case).await;
        assert_eq!(reply.status, 400, "{case:?}");
        assert_eq!(reply.body["error"]["type"], "invalid_request_error");
        assert_eq!(reply.body["error"]["code"].as_str().unwrap_or_default(), code, "{case:?}");
    }
    assert!(sandbox.books().is_empty());
}

#[tokio::test]
async fn a_parameter_that_is_empty_or_there_twice_is_refused() {
    let sandbox = start().await;
    let mut twice = event("a", "1");
    twice.push(("identifier".to_owned(), "b".to_owned()));
    for case in [with(&event("a", "1"), "identifier", ""), event("a", ""), twice] {
        assert_eq!(sandbox.post(EVENTS, &case).await.status, 400, "{case:?}");
    }
    assert!(sandbox.books().is_empty());
}

#[tokio::test]
async fn expand_is_accepted_and_does_nothing() {
    let sandbox = start().await;
    sandbox.accept(&with(&event("a", "1"), "expand[]", "payload")).await;
    sandbox.accept(&with(&event("b", "1"), "expand[0]", "payload")).await;
}

#[tokio::test]
async fn a_hundred_characters_are_not_too_long() {
    let sandbox = start().await;
    sandbox.accept(&event(&"ü".repeat(100), "1")).await;
    assert_eq!(sandbox.post(EVENTS, &event(&"ü".repeat(101), "1")).await.status, 400);
}

#[tokio::test]
async fn an_event_lies_within_35_days_past_and_5_minutes_ahead() {
    let sandbox = start().await;
    let earliest = NOON - 35 * 86_400;
    sandbox.accept(&event_at("old", "1", earliest)).await;
    sandbox.accept(&event_at("ahead", "1", NOON + 300)).await;
    let reply = sandbox.post(EVENTS, &event_at("older", "1", earliest - 1)).await;
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.message(),
        format!(
            "The event timestamp cannot be more than 35 days in past. \
             Expected a timestamp greater than or equal to {earliest}."
        )
    );
    let reply = sandbox.post(EVENTS, &event_at("later", "1", NOON + 301)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("5 minutes"), "{}", reply.text);
}

#[tokio::test]
async fn a_value_has_at_most_15_significant_digits() {
    let sandbox = start().await;
    for (place, value) in
        ["123456789012345", "-0.00123456789012345", "1234567.12345678"].iter().enumerate()
    {
        sandbox.accept(&event(&place.to_string(), value)).await;
    }
    for value in ["1234567890123456", "0.1234567890123456", "12345678.12345678"] {
        let reply = sandbox.post(EVENTS, &event("long", value)).await;
        assert_eq!(reply.status, 400, "{value}");
        assert!(reply.message().contains("at most 15 digits"), "{}", reply.text);
    }
}

#[tokio::test]
async fn the_meter_says_which_payload_keys_are_required() {
    let sandbox = start_with(|settings| {
        let mut meter = NewMeter::new("bytes", Formula::Sum);
        meter.customer_key = "who".to_owned();
        meter.value_key = "bytes_used".to_owned();
        settings.meters.push(meter);
    })
    .await;
    let good = pairs(&[
        ("event_name", "bytes"),
        ("payload[who]", "cus_1"),
        ("payload[bytes_used]", "7"),
        ("payload[region]", "north"),
    ]);
    let reply = sandbox.accept(&good).await;
    assert_eq!(reply.body["payload"]["region"], "north");
    let reply = sandbox.post(EVENTS, &without(&good, "payload[who]")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.message(), "Customer mapping key who not found in payload.");
    let reply = sandbox.post(EVENTS, &without(&good, "payload[bytes_used]")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("bytes_used"));
}

#[tokio::test]
async fn an_event_without_an_active_meter_is_refused() {
    let sandbox = start().await;
    let stranger = event_of("strange", "cus_1", "a", "1", NOON);
    let reply = sandbox.post(EVENTS, &stranger).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.message(), "No active meter found for event name \"strange\"");
    let path = format!("/v1/billing/meters/{}/deactivate", sandbox.meter_id("tokens"));
    assert_eq!(sandbox.post(&path, &Pairs::new()).await.status, 200);
    let reply = sandbox.post(EVENTS, &event("a", "1")).await;
    assert_eq!(reply.message(), "No active meter found for event name \"tokens\"");
}

#[tokio::test]
async fn a_used_identifier_is_refused_with_the_words_clients_match_on() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "1")).await;
    let reply = sandbox.post(EVENTS, &event("a", "2")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.message(), "An event already exists with identifier a.");
    assert_eq!(reply.body["error"]["type"], "invalid_request_error");
    assert!(reply.body["error"].get("code").is_none());
    assert_eq!(reply.header("stripe-should-retry"), Some("false"));
    // The identifier is the account's: another customer cannot use it either.
    let other = event_of("tokens", "cus_2", "a", "1", NOON);
    assert_eq!(sandbox.post(EVENTS, &other).await.status, 400);
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
    assert_eq!(sandbox.handle.statistics().duplicates_refused, 2);
}

#[tokio::test]
async fn an_identifier_is_forgotten_after_its_window_and_then_bills_twice() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "1")).await;
    sandbox.clock.advance_micros(24 * 3_600 * 1_000_000 - 1);
    assert_eq!(sandbox.post(EVENTS, &event("a", "1")).await.status, 400);
    sandbox.clock.advance_micros(1);
    sandbox.accept(&event("a", "1")).await;
    assert_eq!(sandbox.books(), ["tokens cus_1 2 2"]);
    assert_eq!(sandbox.post(EVENTS, &event("a", "1")).await.status, 400);
}

#[tokio::test]
async fn the_uniqueness_window_is_a_setting() {
    let sandbox = start_with(|settings| {
        settings.uniqueness_window = std::time::Duration::from_secs(60);
    })
    .await;
    sandbox.accept(&event("a", "1")).await;
    sandbox.clock.advance_micros(60_000_000);
    sandbox.accept(&event("a", "1")).await;
}

#[tokio::test]
async fn one_call_at_a_time_for_a_customer_and_meter() {
    let sandbox = start_with(|settings| {
        settings.meters.push(NewMeter::new("calls", Formula::Sum));
    })
    .await;
    sandbox.handle.hold_answers();
    let (first, held) = (event("a", "1"), event("b", "1"));
    let others = async {
        sandbox.handle.wait_for_in_flight(1).await;
        let reply = sandbox.post(EVENTS, &held).await;
        assert_eq!(reply.status, 409);
        assert_eq!(
            reply.message(),
            "Cannot create multiple usage events for the same customer, meter concurrently"
        );
        sandbox.handle.release_answers();
        // Another customer or meter is another lane, whether or not the first is free yet.
        sandbox.accept(&event_of("tokens", "cus_2", "c", "1", NOON)).await;
        sandbox.accept(&event_of("calls", "cus_1", "d", "1", NOON)).await;
    };
    let (first, ()) = tokio::join!(sandbox.accept(&first), others);
    assert_eq!(first.body["identifier"], "a");
    sandbox.accept(&held).await;
    assert_eq!(sandbox.books(), ["calls cus_1 1 1", "tokens cus_1 2 2", "tokens cus_2 1 1"]);
}

#[tokio::test]
async fn a_write_that_takes_its_time_occupies_its_customer_and_meter() {
    // Longer than any test runs: the first answer is never waited for.
    let latency = std::time::Duration::from_secs(3_600);
    let sandbox = start_with(|settings| settings.latency = latency).await;
    let (first, second) = (event("a", "1"), event("b", "1"));
    let other = async {
        sandbox.handle.wait_for_in_flight(1).await;
        sandbox.post(EVENTS, &second).await.status
    };
    tokio::select! {
        _ = sandbox.accept(&first) => panic!("the first takes an hour"),
        status = other => assert_eq!(status, 409),
    }
}

#[tokio::test]
async fn each_formula_makes_its_own_number() {
    let sandbox = start_with(|settings| {
        settings.meters.push(NewMeter::new("calls", Formula::Count));
        settings.meters.push(NewMeter::new("seats", Formula::Last));
    })
    .await;
    for name in ["tokens", "calls", "seats"] {
        for (identifier, value, at) in
            [("a", "5", NOON - 60), ("b", "7", NOON), ("c", "2", NOON - 1)]
        {
            let identifier = format!("{name}-{identifier}");
            sandbox.accept(&event_of(name, "cus_1", &identifier, value, at)).await;
        }
    }
    let expected = ["calls cus_1 3 3", "seats cus_1 7 3", "tokens cus_1 14 3"];
    assert_eq!(sandbox.books(), expected);
    // Of two with one timestamp, the one received later is the last.
    sandbox.accept(&event_of("seats", "cus_1", "tie", "9", NOON)).await;
    assert_eq!(sandbox.books().get(1).map(String::as_str), Some("seats cus_1 9 4"));
}

#[tokio::test]
async fn on_a_pre_aggregated_meter_the_event_received_last_overwrites_its_hour() {
    let sandbox = start_with(|settings| {
        let hourly = NewMeter::new("hourly", Formula::Sum).pre_aggregated(TimeWindow::Hour);
        let daily = NewMeter::new("daily", Formula::Sum).pre_aggregated(TimeWindow::Day);
        settings.meters.extend([hourly, daily]);
    })
    .await;
    for name in ["hourly", "daily"] {
        for (identifier, value, at) in
            [("a", "10", NOON - 1), ("b", "20", NOON + 60), ("c", "15", NOON)]
        {
            let identifier = format!("{name}-{identifier}");
            sandbox.accept(&event_of(name, "cus_1", &identifier, value, at)).await;
        }
    }
    assert_eq!(sandbox.books(), ["daily cus_1 15 3", "hourly cus_1 25 3"]);
    let statuses: Vec<_> = sandbox.handle.events().iter().map(|event| event.status).collect();
    let (counted, overwritten) = (EventStatus::Counted, EventStatus::Overwritten);
    assert_eq!(
        statuses,
        [counted, overwritten, counted, overwritten, overwritten, counted],
        "hourly keeps one of each hour, daily one of the day"
    );
}

#[tokio::test]
async fn an_event_counts_only_after_the_lag() {
    let sandbox = start_with(|settings| settings.lag = std::time::Duration::from_secs(60)).await;
    sandbox.accept(&event("a", "1")).await;
    assert!(sandbox.books().is_empty());
    assert_eq!(
        sandbox.handle.events().first().map(|event| event.status),
        Some(EventStatus::Pending)
    );
    sandbox.clock.advance_micros(59_999_999);
    assert!(sandbox.books().is_empty());
    sandbox.clock.advance_micros(1);
    assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
}

#[tokio::test]
async fn an_unknown_customer_or_a_value_that_is_no_number_is_rejected_later() {
    let known = ["cus_1".to_owned()].into();
    let zeros = format!("0.{}1", "0".repeat(100));
    let sandbox = start_with(|settings| settings.customers = Customers::Only(known)).await;
    sandbox.accept(&event_of("tokens", "cus_2", "stranger", "1", NOON)).await;
    for (place, value) in ["five", "1e3", "+1", "1.", ".5", " 1", "1,5", &zeros].iter().enumerate()
    {
        sandbox.accept(&event(&format!("text-{place}"), value)).await;
    }
    assert!(sandbox.books().is_empty());
    let codes: Vec<_> = sandbox.handle.events().iter().map(|event| event.status).collect();
    assert_eq!(codes[0], EventStatus::Rejected(RejectionCode::MeterEventCustomerNotFound));
    for code in &codes[1..] {
        assert_eq!(*code, EventStatus::Rejected(RejectionCode::MeterEventInvalidValue));
    }
    // Its identifier stays spent all the same.
    assert_eq!(sandbox.post(EVENTS, &event("text-0", "5")).await.status, 400);
}

#[tokio::test]
async fn any_customer_means_ids_that_begin_with_cus() {
    let sandbox = start().await;
    sandbox.accept(&event_of("tokens", "acct_1", "a", "1", NOON)).await;
    sandbox.accept(&event_of("tokens", "cus_9", "b", "1", NOON)).await;
    assert_eq!(sandbox.books(), ["tokens cus_9 1 1"]);
}

#[tokio::test]
async fn a_json_body_is_refused() {
    let sandbox = start().await;
    let headers = [("content-type", "application/json")];
    let reply = sandbox.ask(Method::POST, EVENTS, &event("a", "1"), &headers).await;
    assert_eq!(reply.expect("an answer").status, 400);
}
