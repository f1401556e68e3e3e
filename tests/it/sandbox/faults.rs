//! Faults on purpose.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tallyd::sandbox::faults::{FaultKind, Faults, Reach, Span};
use tallyd::sandbox::stripe::EventStatus;

use crate::support::stripe::{
    EVENTS, METERS, NOON, Running, event, event_of, pairs, start, start_with,
};

fn always(kind: FaultKind) -> Faults {
    Faults { basis_points: BTreeMap::from([(kind, 10_000)]), ..Faults::default() }
}

/// Sends one event under one fault; gives the status, if there was an answer, and the books.
async fn send_under(kind: FaultKind) -> (Running, Option<u16>, Vec<String>) {
    let sandbox = start().await;
    sandbox.handle.set_faults(always(kind)).expect("sound faults");
    let headers = [("idempotency-key", "k")];
    let reply = sandbox.ask(reqwest::Method::POST, EVENTS, &event("a", "1"), &headers).await;
    let counted = sandbox.handle.statistics().faults.get(kind.name()).copied();
    assert_eq!(counted, Some(1), "{}", kind.name());
    sandbox.handle.set_faults(Faults::default()).expect("sound faults");
    let books = sandbox.books();
    (sandbox, reply.ok().map(|reply| reply.status), books)
}

#[tokio::test]
async fn each_fault_answers_and_books_as_it_says() {
    let booked = vec!["tokens cus_1 1 1".to_owned()];
    let nothing = Vec::<String>::new();
    for kind in FaultKind::ALL {
        let (status, books) = match kind {
            FaultKind::ClosedBefore => (None, &nothing),
            FaultKind::AnswerLost | FaultKind::AnswerCut => (None, &booked),
            FaultKind::SlowBefore | FaultKind::SlowAfter => (Some(200), &booked),
            FaultKind::ErrorBefore | FaultKind::PinnedErrorBefore => (Some(500), &nothing),
            FaultKind::ErrorAfter | FaultKind::PinnedErrorAfter => (Some(500), &booked),
            FaultKind::Conflict => (Some(409), &nothing),
            FaultKind::RateLimited | FaultKind::LockTimeout => (Some(429), &nothing),
            FaultKind::UnavailableHtml => (Some(503), &nothing),
            FaultKind::RejectedLater | FaultKind::NoMeterLater => (Some(200), &nothing),
        };
        let (_sandbox, seen, kept) = send_under(kind).await;
        assert_eq!((seen, &kept), (status, books), "{}", kind.name());
    }
}

#[tokio::test]
async fn after_a_lost_answer_the_key_replays_and_a_new_key_meets_the_duplicate() {
    for kind in [FaultKind::AnswerLost, FaultKind::AnswerCut] {
        let (sandbox, _, _) = send_under(kind).await;
        let again = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
        assert_eq!(sandbox.post(EVENTS, &event("a", "1")).await.status, 400);
        assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
    }
}

#[tokio::test]
async fn after_an_unpinned_500_the_same_key_is_carried_out_again() {
    let (sandbox, _, _) = send_under(FaultKind::ErrorBefore).await;
    assert_eq!(sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await.status, 200);
    let (sandbox, _, _) = send_under(FaultKind::ErrorAfter).await;
    let again = sandbox.post_with_key(EVENTS, &event("a", "1"), "k").await;
    assert_eq!(again.message(), "An event already exists with identifier a.");
}

#[tokio::test]
async fn injected_answers_look_like_the_real_ones() {
    let sandbox = start().await;
    sandbox.script(&[FaultKind::RateLimited, FaultKind::LockTimeout, FaultKind::UnavailableHtml]);
    let limited = sandbox.post(EVENTS, &event("a", "1")).await;
    assert_eq!(limited.header("stripe-rate-limited-reason"), Some("global-rate"));
    assert_eq!(limited.body["error"]["code"], "rate_limit");
    let locked = sandbox.post(EVENTS, &event("a", "1")).await;
    assert_eq!(locked.header("stripe-rate-limited-reason"), None);
    assert_eq!(locked.body["error"]["code"], "lock_timeout");
    let page = sandbox.post(EVENTS, &event("a", "1")).await;
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert!(page.text.starts_with("<html>"));
    // The script is used up.
    sandbox.accept(&event("a", "1")).await;
}

#[tokio::test]
async fn a_doomed_event_is_accepted_and_never_counts() {
    let (sandbox, _, _) = send_under(FaultKind::RejectedLater).await;
    let events = sandbox.handle.events();
    assert!(matches!(events[0].status, EventStatus::Rejected(_)), "{events:?}");
}

#[tokio::test]
async fn a_slow_request_goes_on_when_its_client_has_left() {
    for kind in [FaultKind::SlowBefore, FaultKind::SlowAfter] {
        let sandbox = start().await;
        let faults = Faults { slow_millis: 50, next: [kind].into(), ..Faults::default() };
        sandbox.handle.set_faults(faults).expect("sound faults");
        // Held as well, so that nothing below depends on how long the delay is.
        sandbox.handle.hold_answers();
        let sent = event("a", "1");
        tokio::select! {
            _ = sandbox.post(EVENTS, &sent) => panic!("the answer is slow"),
            () = sandbox.handle.wait_for_in_flight(1) => {}
        }
        let landed = if kind == FaultKind::SlowBefore { 0 } else { 1 };
        assert_eq!(sandbox.books().len(), landed, "{}", kind.name());
        // The lane stays occupied while the request goes on.
        assert_eq!(sandbox.post(EVENTS, &event("b", "1")).await.status, 409);
        sandbox.handle.release_answers();
        sandbox.handle.wait_for_in_flight(0).await;
        assert_eq!(sandbox.books(), ["tokens cus_1 1 1"]);
        sandbox.accept(&event("b", "1")).await;
    }
}

#[tokio::test]
async fn faults_reach_meter_events_writes_or_everything() {
    for (reach, event_hit, write_hit, read_hit) in [
        (Reach::MeterEvents, true, false, false),
        (Reach::Writes, true, true, false),
        (Reach::Everything, true, true, true),
    ] {
        let sandbox = start().await;
        let faults = Faults { reach, ..always(FaultKind::ErrorBefore) };
        sandbox.handle.set_faults(faults).expect("sound faults");
        let status = |hit: bool| if hit { 500 } else { 200 };
        assert_eq!(sandbox.post(EVENTS, &event("a", "1")).await.status, status(event_hit));
        let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
        let renamed = sandbox.post(&path, &pairs(&[("display_name", "x")])).await;
        assert_eq!(renamed.status, status(write_hit));
        assert_eq!(sandbox.get(&path, &[]).await.status, status(read_hit));
    }
}

#[tokio::test]
async fn during_an_outage_no_request_is_answered_but_the_control_is() {
    let sandbox = start().await;
    let faults = Faults { outage_until: Some(NOON + 10), ..Faults::default() };
    sandbox.handle.set_faults(faults).expect("sound faults");
    let asked = sandbox.ask(reqwest::Method::GET, METERS, &Vec::new(), &[]).await;
    assert!(asked.is_err());
    let control = format!("{}/_sandbox/clock", sandbox.url);
    let reply = crate::support::stripe::client().get(control).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    sandbox.clock.advance_micros(10_000_000);
    sandbox.accept(&event("a", "1")).await;
    assert_eq!(sandbox.handle.statistics().faults.get("outage"), Some(&1));
}

#[tokio::test]
async fn in_a_storm_the_limiter_refuses_everything_in_reach() {
    let sandbox = start().await;
    let storm = Some(Span { from: NOON + 1, until: NOON + 2 });
    sandbox.handle.set_faults(Faults { storm, ..Faults::default() }).expect("sound faults");
    sandbox.accept(&event("a", "1")).await;
    sandbox.clock.advance_micros(1_000_000);
    let refused = sandbox.post(EVENTS, &event("b", "1")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("stripe-rate-limited-reason"), Some("global-rate"));
    sandbox.clock.advance_micros(1_000_000);
    sandbox.accept(&event("b", "1")).await;
    assert_eq!(sandbox.handle.statistics().faults.get("storm"), Some(&1));
}

#[tokio::test]
async fn faults_out_of_range_are_refused() {
    let sandbox = start().await;
    let too_often = Faults {
        basis_points: BTreeMap::from([(FaultKind::Conflict, 10_001)]),
        ..Faults::default()
    };
    sandbox.handle.set_faults(too_often).expect_err("more than always");
    let too_slow = Faults { slow_millis: 120_001, ..Faults::default() };
    sandbox.handle.set_faults(too_slow).expect_err("longer than anybody waits");
}

fn mixed(seed: u64) -> Faults {
    let kinds = FaultKind::ALL.into_iter().map(|kind| (kind, 700)).collect();
    Faults { seed, basis_points: kinds, ..Faults::default() }
}

/// Sends forty events, each twice, in the given order of customers; gives what each saw.
async fn outcomes(seed: u64, reversed: bool) -> Vec<(String, Vec<Option<u16>>)> {
    let sandbox = start_with(|settings| settings.faults = mixed(seed)).await;
    let mut places: Vec<i32> = (0..40).collect();
    if reversed {
        places.reverse();
    }
    let send = async |place: i32| {
        let (identifier, customer) = (format!("e{place}"), format!("cus_{place}"));
        let event = event_of("tokens", &customer, &identifier, "1", NOON);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let reply = sandbox.ask(reqwest::Method::POST, EVENTS, &event, &[]).await;
            seen.push(reply.ok().map(|reply| reply.status));
        }
        (identifier, seen)
    };
    let mut seen = join_all(places.into_iter().map(send)).await;
    seen.sort();
    seen
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults_in_whatever_order_events_arrive() {
    let first = outcomes(7, false).await;
    assert_eq!(first, outcomes(7, true).await);
    assert_ne!(first, outcomes(8, false).await);
    let kinds: std::collections::BTreeSet<_> =
        first.iter().flat_map(|(_, seen)| seen.iter().copied()).collect();
    assert!(kinds.len() > 4, "the faults are of many kinds: {kinds:?}");
}

#[tokio::test]
async fn a_rate_in_basis_points_is_met() {
    let sandbox = start().await;
    let faults = Faults {
        seed: 3,
        basis_points: BTreeMap::from([(FaultKind::Conflict, 2_500)]),
        ..Faults::default()
    };
    sandbox.handle.set_faults(faults).expect("sound faults");
    for place in 0..1_000 {
        sandbox.post(EVENTS, &event(&place.to_string(), "1")).await;
    }
    let hits = sandbox.handle.statistics().faults.get("conflict").copied().unwrap_or_default();
    assert!((200..300).contains(&hits), "{hits} of 1,000 at a quarter");
}
