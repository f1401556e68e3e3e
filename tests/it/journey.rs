//! The journey of usage, stepped by hand over a real ledger and the sandbox: what was acknowledged
//! is at the provider once, whatever happens on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use tallyd::accrual::route::{AccountRule, Aggregate, Route, WindowRule};
use tallyd::clock::{Clock, ManualClock};
use tallyd::domain::names::AccountName;
use tallyd::domain::names::{CustomerName, ProviderMeter, RouteName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::UsageRecord;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::intake::Admission;
use tallyd::ledger::operator::OperatorLedger;
use tallyd::ledger::report::ReportLedger as _;
use tallyd::sandbox::faults::{FaultKind, Faults, Reach};
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;

use crate::support::journey::{Setting, World, provider_books, provider_name, record, route};
use crate::support::stripe::{NOON, Running, start_with};

const START: Timestamp = Timestamp::from_seconds(NOON);

async fn sandbox() -> Running {
    start_with(|stripe| {
        stripe.meters = ["calls", "bytes", "other"]
            .map(|name| NewMeter::new(name, Formula::Sum))
            .into_iter()
            .chain([NewMeter::new("counted", Formula::Count)])
            .collect();
    })
    .await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Usage of `customers` customers in the hours before [`START`].
fn usage(customers: i64, records: i64) -> Vec<UsageRecord> {
    (0..records)
        .map(|index| {
            let meter = if index % 3 == 0 { "bytes" } else { "calls" };
            let at = START.plus_seconds(-(index * 977) % 20_000 - 1);
            let customer = format!("cus_{}", index % customers);
            record(&format!("r{index}"), &customer, meter, &format!("{}.{index}", index % 7), at)
        })
        .collect()
}

fn sums(records: &[UsageRecord]) -> BTreeMap<(String, String), String> {
    let mut sums: BTreeMap<(String, String), Quantity> = BTreeMap::new();
    for record in records {
        let place = (record.meter.to_string(), record.customer.to_string());
        let sum = sums.entry(place).or_insert_with(Quantity::zero);
        *sum = &*sum + &record.quantity;
    }
    sums.into_iter().map(|(place, sum)| (place, sum.to_string())).collect()
}

fn routes() -> Vec<Route> {
    vec![route("calls"), route("bytes")]
}

/// Moves the clock of the world and of the sandbox, which is one and the same.
fn clock(sandbox: &Running) -> Arc<ManualClock> {
    sandbox.clock.clone()
}

#[tokio::test]
async fn usage_reaches_the_provider_once_and_both_books_are_equal() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    let world = World::open(folder.path(), &sandbox, &clock, routes(), Setting::default()).await;
    let usage = usage(7, 300);
    let admissions = world.accept(usage.clone()).await;
    assert!(admissions.iter().all(|each| matches!(each, Admission::Accepted(_))));
    world.run_until(START.plus_seconds(60)).await;
    assert_eq!(world.accrued().await, sums(&usage));
    assert_eq!(provider_books(sandbox.handle.books()), sums(&usage));
    world.verify().await;

    // The same again, and nothing happens; other content under the same id, and it is a conflict.
    let again = world.accept(usage.clone()).await;
    assert!(again.iter().all(|each| matches!(each, Admission::Duplicate(_))));
    let mut other = usage[0].clone();
    other.quantity = Quantity::parse("99").unwrap();
    assert!(matches!(world.accept(vec![other]).await[0], Admission::Conflict(_)));
    world.run_until(START.plus_seconds(120)).await;
    assert_eq!(provider_books(sandbox.handle.books()), sums(&usage));
    world.verify().await;
}

#[tokio::test]
async fn late_usage_of_a_told_window_makes_a_further_event() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    let world = World::open(folder.path(), &sandbox, &clock, routes(), Setting::default()).await;
    let at = START.plus_seconds(-7_200);
    for id in ["a", "b", "c"] {
        world.accept(vec![record(id, "cus_1", "calls", "5", at)]).await;
        world.run_until(clock.now().plus_seconds(60)).await;
    }
    let books = sandbox.handle.books();
    assert_eq!((books[0].total.to_string().as_str(), books[0].events), ("15", 3));
    world.verify().await;
}

/// Runs usage through a provider with `faults`, crashing after every few steps, until all is told.
async fn through_faults(faults: Faults, seed: u64) {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    sandbox.handle.set_faults(faults).unwrap();
    let usage = usage(11, 400);
    let until = START.plus_seconds(6 * 3_600);
    let mut chunks = usage.chunks(100);
    let mut crashes = 0;
    loop {
        let world =
            World::open(folder.path(), &sandbox, &clock, routes(), Setting::default()).await;
        if let Some(chunk) = chunks.next() {
            world.accept(chunk.to_vec()).await;
            // A few steps, then the process is gone: mid-way, with leases taken and answers lost.
            for _ in 0..=(seed + crashes) % 4 {
                world.step().await;
                clock.advance_micros(700_000);
            }
            crashes += 1;
            continue;
        }
        world.run_until(until).await;
        assert_eq!(world.accrued().await, sums(&usage), "seed {seed}");
        world.verify().await;
        break;
    }
    assert_eq!(provider_books(sandbox.handle.books()), sums(&usage), "seed {seed}");
}

fn at_basis_points(seed: u64, kinds: &[(FaultKind, u32)]) -> Faults {
    Faults {
        seed,
        basis_points: kinds.iter().copied().collect(),
        reach: Reach::MeterEvents,
        ..Faults::default()
    }
}

#[tokio::test]
async fn one_lost_answer_in_ten_and_crashes_lose_and_double_nothing() {
    for seed in 0..4 {
        let kinds = [(FaultKind::AnswerLost, 1_000), (FaultKind::ClosedBefore, 500)];
        through_faults(at_basis_points(seed, &kinds), seed).await;
    }
}

#[tokio::test]
async fn failures_that_are_pinned_to_their_key_and_failures_that_are_not_are_survived() {
    for seed in 0..4 {
        let kinds = [
            (FaultKind::AnswerLost, 1_000),
            (FaultKind::ErrorBefore, 125),
            (FaultKind::ErrorAfter, 125),
            (FaultKind::PinnedErrorBefore, 125),
            (FaultKind::PinnedErrorAfter, 125),
            (FaultKind::UnavailableHtml, 100),
            (FaultKind::Conflict, 100),
            (FaultKind::LockTimeout, 100),
        ];
        through_faults(at_basis_points(seed, &kinds), seed).await;
    }
}

#[tokio::test]
async fn a_storm_of_429s_is_waited_out() {
    let span = tallyd::sandbox::faults::Span { from: NOON, until: NOON + 600 };
    through_faults(Faults { storm: Some(span), ..Faults::default() }, 1).await;
}

#[tokio::test]
async fn an_outage_of_thirty_minutes_leaves_a_backlog_that_is_told_once() {
    let kinds = [(FaultKind::AnswerLost, 1_000)];
    let faults = Faults { outage_until: Some(NOON + 1_800), ..at_basis_points(3, &kinds) };
    through_faults(faults, 3).await;
}

#[tokio::test]
async fn renaming_splitting_or_scaling_a_route_sends_nothing_again_for_what_was_booked() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    let before = record("before", "cus_1", "calls", "10", START.plus_seconds(-7_200));
    let world = World::open(folder.path(), &sandbox, &clock, routes(), Setting::default()).await;
    world.accept(vec![before]).await;
    world.run_until(START.plus_seconds(60)).await;
    drop(world);

    // Renamed, then split in two by a property, then scaled.
    let renamed = Route { name: RouteName::new("renamed").unwrap(), ..route("calls") };
    let eu = Route {
        name: RouteName::new("eu").unwrap(),
        matches: [("region".to_owned(), "eu".to_owned())].into(),
        ..route("calls")
    };
    let rest = Route {
        name: RouteName::new("rest").unwrap(),
        provider_meter: ProviderMeter::new("other").unwrap(),
        ..route("calls")
    };
    let scaled = Route { scale: Quantity::parse("0.5").unwrap(), ..route("calls") };
    for routes in [vec![renamed], vec![eu, rest], vec![scaled.clone()]] {
        let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
        world.run_until(clock.now().plus_seconds(600)).await;
        assert_eq!(sandbox.books(), ["calls cus_1 10 1"]);
        world.verify().await;
    }
    // What comes afterwards goes by the new scale, into the same balance.
    let world =
        World::open(folder.path(), &sandbox, &clock, vec![scaled], Setting::default()).await;
    let after = record("after", "cus_1", "calls", "10", START.plus_seconds(-7_100));
    world.accept(vec![after]).await;
    world.run_until(clock.now().plus_seconds(600)).await;
    assert_eq!(sandbox.books(), ["calls cus_1 15 2"]);
    world.verify().await;
}

#[tokio::test]
async fn usage_without_a_route_or_an_account_waits_and_accrues_once_when_the_mapping_is_fixed() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    let imported = || vec![Route { account: AccountRule::Imported, ..route("calls") }];
    let world = World::open(folder.path(), &sandbox, &clock, imported(), Setting::default()).await;
    let at = START.plus_seconds(-7_200);
    world.accept(vec![record("a", "acme", "calls", "3", at)]).await;
    world.accept(vec![record("b", "acme", "bytes", "4", at)]).await;
    world.run_until(clock.now().plus_seconds(60)).await;
    assert_eq!(world.ledger.parked().await.unwrap().len(), 2);
    assert_eq!(sandbox.books(), Vec::<String>::new());
    world.verify().await;

    let accounts = [(CustomerName::new("acme").unwrap(), AccountName::new("cus_9").unwrap())];
    for _ in 0..2 {
        let now = clock.now();
        world.ledger.import_accounts(&provider_name(), &accounts, now).await.unwrap();
        world.run_until(clock.now().plus_seconds(60)).await;
        assert_eq!(sandbox.books(), ["calls cus_9 3 1"]);
    }
    drop(world);
    let bytes = Route { account: AccountRule::Imported, ..route("bytes") };
    let both = imported().into_iter().chain([bytes]).collect();
    let world = World::open(folder.path(), &sandbox, &clock, both, Setting::default()).await;
    world.run_until(clock.now().plus_seconds(60)).await;
    assert_eq!(sandbox.books(), ["bytes cus_9 4 1", "calls cus_9 3 1"]);
    assert_eq!(world.ledger.parked().await.unwrap(), []);
    world.verify().await;
}

#[tokio::test]
async fn a_counting_meter_is_told_one_event_a_record() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    let counted = Route {
        provider_meter: ProviderMeter::new("counted").unwrap(),
        window: WindowRule::Record,
        aggregate: Aggregate::Count,
        ..route("calls")
    };
    let world =
        World::open(folder.path(), &sandbox, &clock, vec![counted], Setting::default()).await;
    let at = START.plus_seconds(-60);
    let records = ["3", "1", "0"]
        .iter()
        .enumerate()
        .map(|(index, quantity)| record(&format!("r{index}"), "cus_1", "calls", quantity, at))
        .collect();
    world.accept(records).await;
    world.run_until(clock.now().plus_seconds(60)).await;
    assert_eq!(sandbox.books(), ["counted cus_1 3 3"]);
    world.verify().await;
}

#[tokio::test]
async fn what_a_host_clock_that_was_ahead_put_off_is_told_once_the_clock_is_right() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let ahead = Arc::new(ManualClock::new(START.plus_seconds(40 * 86_400)));
    let at = START.plus_seconds(-7_200);
    let world = World::open(folder.path(), &sandbox, &ahead, routes(), Setting::default()).await;
    sandbox.script(&[FaultKind::AnswerLost]);
    world.accept(vec![record("tried", "cus_1", "calls", "2", at)]).await;
    world.step().await;
    world.step().await;
    // Booked by the clock that is ahead, and not posted any more.
    world.accept(vec![record("booked", "cus_2", "calls", "3", at)]).await;
    world.accruer.run_once(ahead.now()).await.unwrap();
    drop(world);

    let right = Arc::new(ManualClock::new(START));
    let world = World::open(folder.path(), &sandbox, &right, routes(), Setting::default()).await;
    world.run_until(START.plus_seconds(3_600)).await;
    assert_eq!(sandbox.books(), ["calls cus_1 2 1", "calls cus_2 3 1"]);
    world.verify().await;
}

#[tokio::test]
async fn how_busy_a_lane_was_that_is_told_each_record_is_known_by_its_busiest_day() {
    let (folder, sandbox) = (folder(), sandbox().await);
    let clock = clock(&sandbox);
    let each = Route {
        window: WindowRule::Record,
        aggregate: Aggregate::Count,
        provider_meter: ProviderMeter::new("counted").unwrap(),
        ..route("calls")
    };
    let routes = vec![each, route("bytes")];
    let world = World::open(folder.path(), &sandbox, &clock, routes, Setting::default()).await;
    let day = 86_400;
    let used =
        [("a", "cus_1", -10), ("b", "cus_1", -20), ("c", "cus_1", -3 * day), ("d", "cus_2", -9)];
    let mut records: Vec<UsageRecord> = used
        .iter()
        .map(|(id, customer, at)| record(id, customer, "calls", "3", START.plus_seconds(*at)))
        .collect();
    records.push(record("e", "cus_1", "bytes", "9", START.plus_seconds(-7_200)));
    world.accept(records).await;
    world.run_until(START.plus_seconds(60)).await;
    let since = START.plus_seconds(-2 * day);
    let found = world.ledger.lane_loads(&provider_name(), since).await.unwrap();
    let busiest: Vec<(&str, &str, i64)> = found
        .loads
        .iter()
        .map(|load| (load.account.as_str(), load.meter.as_str(), load.busiest_day))
        .collect();
    assert_eq!(busiest, [("cus_1", "counted", 2), ("cus_2", "counted", 1)]);
    assert!(found.answer_micros.is_some());
}
