//! Telling at set times, stepped over a real ledger and the sandbox. Here: windows that end and
//! usage that comes late between two times, and a daemon that did not run at one. Never here: what
//! waits for which reason (`posting::plan` tests that). Read next: [`crate::journey`].

use tallyd::clock::Clock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::schedule::{Schedule, Zone};

use crate::support::journey::{Setting, World, record, route};
use crate::support::stripe::{NOON, Running, start_with};

const START: Timestamp = Timestamp::from_seconds(NOON);

/// A world that tells at six in the morning of Berlin.
async fn open(folder: &std::path::Path, sandbox: &Running) -> World {
    let routes = vec![route("calls")];
    let setting = Setting::default();
    let World { poster, .. } = World::open(folder, sandbox, &sandbox.clock, vec![], setting).await;
    drop(poster);
    let world = World::open(folder, sandbox, &sandbox.clock, routes, Setting::default()).await;
    let schedule = Schedule::parse("0 6 * * *").unwrap();
    let schedule = schedule.in_zone(Zone::parse("Europe/Berlin").unwrap());
    World { poster: world.poster.flushing(Some(schedule)), ..world }
}

#[tokio::test]
async fn what_is_due_is_told_at_the_times_of_the_schedule_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox =
        start_with(|stripe| stripe.meters = vec![NewMeter::new("calls", Formula::Sum)]).await;
    let clock = sandbox.clock.clone();
    let world = open(folder.path(), &sandbox).await;
    let six = Schedule::parse("0 6 * * *").unwrap();
    let six = six.in_zone(Zone::parse("Europe/Berlin").unwrap());
    let first = six.next_after(START.plus_seconds(7_200)).unwrap();
    let events = || sandbox.handle.books().iter().map(|line| line.events).sum::<u64>();
    for (hour, id) in [(-7_200, "a"), (-3_600, "b")] {
        world.accept(vec![record(id, "cus_1", "calls", "5", START.plus_seconds(hour))]).await;
    }
    world.run_until(first.plus_seconds(-3_600)).await;
    assert!(clock.now() < first);
    assert_eq!(events(), 0);
    world.run_until(first.plus_seconds(600)).await;
    assert_eq!(events(), 2, "one for each window");
    // What comes late is told at the next time, in one event, and nothing is told twice.
    for id in ["c", "d"] {
        world.accept(vec![record(id, "cus_1", "calls", "1", START.plus_seconds(-7_200))]).await;
        world.run_until(clock.now().plus_seconds(600)).await;
    }
    assert_eq!(events(), 2);
    let second = six.next_after(clock.now()).unwrap();
    drop(world);
    // Nothing ran at that time: it is told when somebody does.
    clock.set(second.plus_seconds(7_200));
    let world = open(folder.path(), &sandbox).await;
    world.run_until(clock.now().plus_seconds(60)).await;
    assert_eq!(events(), 3);
    assert_eq!(sandbox.handle.books()[0].total.to_string(), "12");
    world.verify().await;
}
