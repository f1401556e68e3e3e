//! The real binary and Stripe's other channels: version 2, and the stream of many events a request.

use std::time::Duration;

use serde_json::Value;
use tallyd::sandbox::faults::{FaultKind, Faults};

use crate::support::daemon::{Billing, Home, Lines, METERS, until, usage};

/// Records of each test.
const RECORDS: i64 = 400;
/// Customers that they are of.
const CUSTOMERS: i64 = 40;

/// Records of two meters; every twentieth is a fraction.
fn records() -> Vec<Value> {
    (0..RECORDS)
        .map(|number| {
            let meter = METERS[usize::try_from(number % 2).unwrap()];
            let quantity = if number % 20 == 7 { "0.5" } else { "3" };
            let customer = format!("cus_{}", number % CUSTOMERS);
            usage(&format!("r{number}"), &customer, meter, quantity, 60 + number)
        })
        .collect()
}

/// How many requests to a route were answered so.
fn requests(provider: &Billing, route: &str, status: &str) -> u64 {
    let all = provider.handle.statistics().requests;
    all.get(route).and_then(|by| by.get(status)).copied().unwrap_or_default()
}

/// How many halves a total is, as its text has it.
fn halves(text: &str) -> i64 {
    match text.strip_suffix(".5") {
        Some(whole) => 2 * whole.parse::<i64>().unwrap() + 1,
        None => 2 * text.parse::<i64>().unwrap(),
    }
}

/// Waits until all of [`records`] counts, and each once.
async fn counts_all(provider: &Billing) {
    let fractions = RECORDS / 20;
    let expected = (RECORDS - fractions) * 6 + fractions;
    until("the stand-in's books", async || {
        let counted: i64 = provider.books().values().map(|text| halves(text)).sum();
        if counted == expected { Ok(()) } else { Err(format!("{counted} of {expected} halves")) }
    })
    .await;
}

#[tokio::test]
async fn a_daemon_tells_by_the_stream_under_lost_answers_and_ended_sessions() {
    let provider = Billing::start().await;
    let faults = Faults {
        seed: 7,
        basis_points: [(FaultKind::AnswerLost, 1_500), (FaultKind::ErrorAfter, 500)].into(),
        ..Faults::default()
    };
    provider.handle.set_faults(faults).unwrap();
    let stripe = "channel = \"stream\"\nstream_events_per_second = 2000";
    let route = "window = \"record\"";
    let home = Home::with(&provider.url, Lines { stripe, route, ..Lines::default() });
    let checked = home.run(&["check", "--config", "tallyd.toml"]).await;
    assert!(checked.status.success(), "{checked:?}");

    let daemon = home.start().await;
    let records = records();
    let (first, second) = records.split_at(records.len() / 2);
    daemon.accept(first).await;
    daemon.all_told(first.len()).await;
    let streamed = requests(&provider, "POST /v2/billing/meter_event_stream", "200");
    assert!(streamed > 0, "{:?}", provider.handle.statistics());
    // All tokens end early, and the next request is turned away for it.
    provider.handle.end_sessions();
    daemon.accept(second).await;
    daemon.all_told(records.len()).await;
    counts_all(&provider).await;

    let seen = provider.handle.statistics();
    assert!(requests(&provider, "POST /v2/billing/meter_event_stream", "401") > 0, "{seen:?}");
    assert!(requests(&provider, "POST /v2/billing/meter_event_session", "200") >= 2, "{seen:?}");
    assert!(requests(&provider, "POST /v1/billing/meter_events", "200") > 0, "{seen:?}");
    daemon.stop().await;
    home.verify().await;
    assert!(!home.said().contains("sandbox_session"), "{}", home.said());
}

#[tokio::test]
async fn a_crash_while_a_request_of_many_events_is_answered_tells_none_of_them_twice() {
    let provider = Billing::start().await;
    let stripe = "channel = \"stream\"\nstream_events_per_second = 2000";
    let route = "window = \"record\"";
    let home = Home::with(&provider.url, Lines { stripe, route, ..Lines::default() });
    let daemon = home.start().await;
    let records = records();
    provider.handle.hold_answers();
    daemon.accept(&records).await;
    until("a request to the stream", async || {
        let taken = provider.handle.statistics().meter_events_accepted;
        if taken > 0 { Ok(()) } else { Err("nothing was sent".to_owned()) }
    })
    .await;
    daemon.kill().await;
    provider.handle.release_answers();
    let daemon = home.start().await;
    daemon.all_told(records.len()).await;
    counts_all(&provider).await;
    daemon.stop().await;
    home.verify().await;
}

#[tokio::test]
async fn a_daemon_tells_by_version_2_and_goes_on_by_it_with_what_was_made_for_it() {
    let provider = Billing::start().await;
    let route = "window = \"record\"";
    let lines = |stripe| Lines { stripe, route, ..Lines::default() };
    let home = Home::with(&provider.url, lines("channel = \"v2\""));
    let records = records();
    let faults = Faults {
        seed: 3,
        basis_points: [(FaultKind::AnswerLost, 10_000)].into(),
        ..Faults::default()
    };
    provider.handle.set_faults(faults).unwrap();
    let daemon = home.start().await;
    daemon.accept(&records).await;
    daemon
        .level("events that may be there", |status| {
            let events = status["events"].as_array().unwrap().iter();
            let unknown = events.filter(|event| event["state"] == "unknown");
            unknown.map(|event| event["count"].as_i64().unwrap()).sum::<i64>() > 10
        })
        .await;
    daemon.kill().await;
    let before = requests(&provider, "POST /v2/billing/meter_events", "200");
    // What was sent as version 2 takes it stays so.
    home.configure(&provider.url, lines("channel = \"v1\""));
    provider.handle.set_faults(Faults::default()).unwrap();
    let daemon = home.start().await;
    daemon.all_told(records.len()).await;
    counts_all(&provider).await;
    assert!(requests(&provider, "POST /v2/billing/meter_events", "400") > 0);
    assert!(requests(&provider, "POST /v2/billing/meter_events", "200") >= before);
    tokio::time::timeout(Duration::from_secs(30), daemon.stop()).await.unwrap();
    home.verify().await;
}
