//! A site that meters by usage events, against the stand-in for Chargebee: what is told once, what
//! is held, what settles. Never here: what an answer means by itself
//! (`usage_events::classify`). Read next: [`super::rooms`].

use std::sync::Arc;

use tallyd::accrual::route::WindowRule;
use tallyd::clock::Clock as _;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::balance::BalanceId;
use tallyd::domain::event::{EventIntent, Identifier, Says};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::reading::Grouping;
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::provider::chargebee::usage_events::UsageEvents;
use tallyd::provider::chargebee::usage_events::settings::{Feature, Settings};
use tallyd::provider::{Provider, Request};
use tallyd::sandbox::chargebee::NewFeature;
use tallyd::sandbox::faults::{FaultKind, Faults, Reach};
use tallyd::service::Service as _;

use super::rooms::{QUICK, World, held};
use super::{HOUR, account, meter, provider_name};
use crate::support::chargebee::{DAY, MINUTE, Running, START, start};

/// A room of events, told at the stand-in.
fn room(sandbox: &Running) -> Arc<UsageEvents> {
    for name in ["calls", "bytes"] {
        let new = NewFeature { id: name.to_owned(), property: name.to_owned() };
        sandbox.handle.create_feature(new).unwrap();
    }
    let feature = |name: &str| Feature { id: meter(name), property: name.to_owned() };
    let settings = Settings {
        name: provider_name(),
        site: "tallyd-test".to_owned(),
        api: format!("{}/api/v2", sandbox.url),
        ingest: format!("{}/api/v2", sandbox.url),
        key: "test_key_of_a_test".to_owned().into(),
        features: vec![feature("calls"), feature("bytes")],
        reads_per_minute: super::QUICK,
        timeout_millis: 2_000,
    };
    Arc::new(UsageEvents::new(settings).unwrap())
}

async fn world() -> World {
    let sandbox = start().await;
    let provider = room(&sandbox);
    World::of(sandbox, provider, QUICK, WindowRule::Hour).await
}

/// What the site counts, as `subscription feature total`.
fn counted(world: &World) -> Vec<String> {
    let lines = world.sandbox.handle.event_books().into_iter();
    lines.map(|line| format!("{} {} {}", line.subscription, line.feature, line.total)).collect()
}

fn body(room: &UsageEvents, name: &str, quantity: &str, at: i64) -> Vec<u8> {
    let intent = EventIntent {
        balance: BalanceId(1),
        ordinal: 1,
        identifier: Identifier::stored(name),
        says: Says::Usage,
        quantity: Quantity::parse(quantity).unwrap(),
        total: None,
        occurred_at: Timestamp::from_seconds(at),
    };
    room.encode(&meter("calls"), &account("sub"), &intent).unwrap().body
}

/// Sends these bodies by one request.
async fn send(room: &UsageEvents, bodies: &[Vec<u8>]) -> Vec<Answer> {
    let (meter, account) = (meter("calls"), account("sub"));
    let request = |body| Request {
        says: &Says::Usage,
        meter: &meter,
        account: &account,
        body,
        idempotency_key: "k",
        identifier: "tallyd-1",
    };
    let requests: Vec<Request<'_>> = bodies.iter().map(|body| request(body)).collect();
    room.send_batch(&requests).await
}

fn outcomes(answers: &[Answer]) -> Vec<Outcome> {
    answers.iter().map(|answer| answer.outcome).collect()
}

#[tokio::test]
async fn what_fails_in_a_batch_is_refused_by_itself_and_the_rest_is_taken() {
    let sandbox = start().await;
    let room = room(&sandbox);
    let bodies = [
        body(&room, "a", "1", START),
        body(&room, "b", "2", START - 13 * HOUR),
        b"id=a&quantity=1".to_vec(),
        body(&room, "c", "4", START),
    ];
    let answers = send(&room, &bodies).await;
    assert_eq!(
        outcomes(&answers),
        [
            Outcome::Accepted,
            Outcome::Refused(HoldReason::TooOldRefused),
            Outcome::Refused(HoldReason::MeterMismatch),
            Outcome::Accepted,
        ]
    );
    assert_eq!(answers[0].provider_at, Some(Timestamp::from_seconds(START)));
    assert_eq!(sandbox.handle.event_books()[0].total, "5");
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_unknown_and_counts_once_when_it_goes_again() {
    let sandbox = start().await;
    let room = room(&sandbox);
    let bodies = [body(&room, "a", "1", START), body(&room, "b", "2", START)];
    for (fault, outcome) in [
        (FaultKind::AnswerLost, Outcome::Unknown),
        (FaultKind::AnswerCut, Outcome::Unknown),
        (FaultKind::ErrorAfter, Outcome::Failed),
        (FaultKind::ErrorBefore, Outcome::Failed),
        (FaultKind::UnavailableHtml, Outcome::Failed),
        (FaultKind::RateLimited, Outcome::RateLimited),
        (FaultKind::LockTimeout, Outcome::Busy),
    ] {
        sandbox.script(&[fault]);
        assert_eq!(outcomes(&send(&room, &bodies).await), [outcome; 2], "{fault:?}");
    }
    assert_eq!(outcomes(&send(&room, &bodies).await), [Outcome::Accepted; 2]);
    assert_eq!((sandbox.handle.event_books()[0].total.as_str()), "3");
}

#[tokio::test]
async fn totals_are_read_by_whatever_parts_are_asked_for() {
    let sandbox = start().await;
    let room = room(&sandbox);
    let midnight = START - 12 * HOUR;
    let bodies: Vec<Vec<u8>> = (0..12)
        .map(|hour| body(&room, &format!("e{hour}"), "0.1", midnight + hour * HOUR + 1))
        .collect();
    assert_eq!(outcomes(&send(&room, &bodies).await), [Outcome::Accepted; 12]);
    let span = Window {
        start: Timestamp::from_seconds(midnight),
        end: Timestamp::from_seconds(midnight + 5 * DAY),
    };
    let read = async |grouping| {
        let read = room.read_totals(&meter("calls"), &account("sub"), span, grouping).await;
        let totals = read.unwrap();
        let said: Vec<String> = totals.parts.iter().map(|part| part.quantity.to_string()).collect();
        (said, totals.calls)
    };
    assert_eq!(read(Grouping::Whole).await, (vec!["1.2".to_owned()], 1));
    let (days, calls) = read(Grouping::Day).await;
    assert_eq!((days.join(" "), calls), ("1.2 0 0 0 0".to_owned(), 1));
    let (hours, calls) = read(Grouping::Hour).await;
    assert_eq!((hours.len(), hours[11].as_str(), hours[12].as_str(), calls), (120, "0.1", "0", 2));
    let unknown = room.read_totals(&meter("none"), &account("sub"), span, Grouping::Whole).await;
    assert_eq!(unknown.unwrap_err().outcome, Outcome::Refused(HoldReason::NoMeter));
    let stranger = room.read_totals(&meter("calls"), &account("x"), span, Grouping::Whole).await;
    assert_eq!(stranger.unwrap_err().status, Some(404), "it proves no absence");
}

#[tokio::test]
async fn first_contact_pins_the_site_and_its_features_and_fails_for_a_refused_key() {
    let sandbox = start().await;
    let room = room(&sandbox);
    let contact = room.contact().await.unwrap();
    assert_eq!(contact.account.account.as_deref(), Some("tallyd-test"));
    assert_eq!(contact.provider_at, Some(Timestamp::from_seconds(START)));
    let pins: Vec<(&str, &str)> =
        contact.meters.iter().map(|pin| (pin.meter.as_str(), pin.value_key.as_str())).collect();
    assert_eq!(pins, [("calls", "calls"), ("bytes", "bytes")]);
    sandbox.handle.set_keys(tallyd::sandbox::chargebee::Keys::Only(Default::default()));
    assert_eq!(room.contact().await.unwrap_err().outcome, Outcome::Unauthorized);
    let answers = send(&room, &[body(&room, "a", "1", START)]).await;
    assert_eq!(outcomes(&answers), [Outcome::Unauthorized]);
}

#[tokio::test]
async fn lost_answers_and_failures_of_batches_lose_and_double_nothing() {
    let world = world().await;
    let faults = Faults {
        seed: 11,
        basis_points: [
            (FaultKind::AnswerLost, 1_500),
            (FaultKind::AnswerCut, 500),
            (FaultKind::ErrorAfter, 1_000),
            (FaultKind::ErrorBefore, 500),
            (FaultKind::ClosedBefore, 500),
            (FaultKind::RateLimited, 300),
        ]
        .into(),
        reach: Reach::Writes,
        ..Faults::default()
    };
    world.sandbox.handle.set_faults(faults).unwrap();
    for number in 0..240 {
        let (id, customer) = (format!("r{number}"), format!("sub_{}", number % 40));
        let name = if number % 2 == 0 { "calls" } else { "bytes" };
        let at = START + number / 40 * HOUR + number % 7;
        world.accept(&id, &customer, name, &format!("{number}.{:02}", number % 100), at).await;
        if number % 40 == 39 {
            world.run_until(START + (number / 40 + 1) * HOUR + 5 * MINUTE).await;
        }
    }
    world.run_until(START + 8 * HOUR).await;
    let mut counted = counted(&world);
    counted.sort();
    assert_eq!(counted, totals(&world).await);
    let seen = world.sandbox.handle.statistics();
    assert!(seen.faults.values().sum::<u64>() > 5, "{seen:?}");
    let batches = seen.requests["POST /batch/usage_events"].values().sum::<u64>();
    assert!(batches > 0, "{seen:?}");
    let states = world.states().await;
    assert!(states.iter().all(|(state, _)| state == "accepted"), "{states:?}");
}

/// What each account should hold of each meter, over all its windows.
async fn totals(world: &World) -> Vec<String> {
    let mut sums = std::collections::BTreeMap::<String, Quantity>::new();
    for line in world.accrued().await {
        let (key, quantity) = line.rsplit_once(' ').unwrap();
        let sum = sums.entry(key.to_owned()).or_insert_with(Quantity::zero);
        *sum = &*sum + &Quantity::parse(quantity).unwrap();
    }
    sums.into_iter().map(|(key, sum)| format!("{key} {sum}")).collect()
}

#[tokio::test]
async fn what_was_told_too_much_is_held_as_no_event_can_be_taken_back() {
    let world = world().await;
    world.accept("a", "sub", "calls", "10", START).await;
    world.run_until(START + 2 * HOUR).await;
    world.adjust("a", "k1", "10", "7").await;
    world.run_until(START + 3 * HOUR).await;
    assert_eq!(held(&world).await, ["sub -3 cannot_lower"]);
    assert_eq!(counted(&world), ["sub calls 10"]);
    // What comes more is told with that taken off.
    world.accept("b", "sub", "calls", "5", START + 1).await;
    world.run_until(START + 4 * HOUR).await;
    assert_eq!(counted(&world), ["sub calls 12"]);
    assert_eq!(held(&world).await, [""; 0]);
}

#[tokio::test]
async fn usage_that_is_older_than_the_site_takes_is_held_and_not_sent() {
    let world = world().await;
    world.accept("old", "sub", "calls", "10", START - 13 * HOUR).await;
    world.accept("new", "sub", "calls", "1", START - 5 * HOUR).await;
    world.run_until(START + HOUR).await;
    assert_eq!(held(&world).await, ["sub 10 deadline_passed"]);
    assert_eq!(counted(&world), ["sub calls 1"]);
}

#[tokio::test]
async fn a_subscription_whose_id_is_too_long_is_held_by_name() {
    let world = world().await;
    let long = "s".repeat(51);
    world.accept("a", &long, "calls", "10", START).await;
    world.run_until(START + 2 * HOUR).await;
    assert_eq!(held(&world).await, [format!("{long} 10 meter_mismatch")]);
    let detail = &world.ledger.held(10).await.unwrap()[0].detail;
    assert!(detail.contains("50 characters"), "{detail}");
    assert_eq!(counted(&world), [""; 0]);
}

/// Looks at the totals again and again until this time.
async fn look_until(world: &World, until: i64) {
    let mut at = world.clock.now().seconds();
    while at < until {
        at += 3 * HOUR;
        world.set(Timestamp::from_seconds(at));
        // The provider's clock is read anew.
        world.run_until(at).await;
        world.settler.run_once(world.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_summaries_contain_is_settled() {
    let world = world().await;
    world.accept("a", "sub", "calls", "10", START).await;
    world.accept("b", "sub", "bytes", "0.25", START).await;
    world.run_until(START + 2 * HOUR).await;
    look_until(&world, START + 4 * DAY).await;
    assert_eq!(world.states().await, [("settled".to_owned(), 2)]);
}

#[tokio::test]
async fn an_answer_that_is_lost_for_twelve_hours_is_held_until_the_summaries_tell() {
    let world = world().await;
    let lost = |kind| Faults {
        basis_points: [(kind, 10_000)].into(),
        reach: Reach::MeterEvents,
        ..Faults::default()
    };
    world.accept("a", "sub", "calls", "10", START).await;
    world.sandbox.handle.set_faults(lost(FaultKind::AnswerLost)).unwrap();
    world.run_until(START + 10 * HOUR).await;
    assert_eq!(world.states().await, [("unknown".to_owned(), 1)]);
    world.run_until(START + 14 * HOUR).await;
    assert_eq!(held(&world).await, ["sub 10 window_passed"]);
    world.sandbox.handle.set_faults(Faults::default()).unwrap();
    look_until(&world, START + 5 * DAY).await;
    assert_eq!(world.states().await, [("settled".to_owned(), 1)]);
    assert_eq!(counted(&world), ["sub calls 10"]);
}

#[tokio::test]
async fn what_never_arrived_within_twelve_hours_is_outstanding_and_held_as_too_old() {
    let world = world().await;
    let closed = Faults {
        basis_points: [(FaultKind::ErrorBefore, 10_000)].into(),
        reach: Reach::MeterEvents,
        ..Faults::default()
    };
    world.accept("a", "sub", "calls", "10", START).await;
    world.sandbox.handle.set_faults(closed).unwrap();
    world.run_until(START + 14 * HOUR).await;
    assert_eq!(held(&world).await, ["sub 10 window_passed"]);
    world.sandbox.handle.set_faults(Faults::default()).unwrap();
    look_until(&world, START + 5 * DAY).await;
    // The summaries disprove it; it cannot be told any more, and a person sees that.
    let held = held(&world).await;
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].starts_with("sub 10 "), "{held:?}");
    assert_eq!(counted(&world), [""; 0]);
}
