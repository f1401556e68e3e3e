//! `tallyd reconcile`, beside a daemon and without one.

use tallyd::clock::Clock as _;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::stripe::{Formula, NewMeter};

use super::daemon::Daemon;
use super::{CONFIG, Place, Ran};
use crate::support::journey::{Setting, World, record, route};
use crate::support::stripe::{NOON, Running, event_of, start_with};

/// What is asked: the month of the usage here.
const MONTH: &str = "reconcile --since 2026-09-01T00:00:00Z --until 2026-10-01T00:00:00Z";

/// A ledger that told usage, and the sandbox that counts it.
async fn told(place: &Place) -> Running {
    let sandbox =
        start_with(|stripe| stripe.meters = vec![NewMeter::new("requests", Formula::Sum)]).await;
    let clock = sandbox.clock.clone();
    let routes = vec![route("requests")];
    let world = World::open(place.0.path(), &sandbox, &clock, routes, Setting::default()).await;
    let at = Timestamp::from_seconds(NOON - 7_200);
    let usage = [("a", "cus_1", "5"), ("b", "cus_2", "7")];
    let usage =
        usage.map(|(id, customer, quantity)| record(id, customer, "requests", quantity, at));
    world.accept(usage.to_vec()).await;
    world.run_until(clock.now().plus_seconds(60)).await;
    let World { ledger, accruer, poster, courier, settler, listener, .. } = world;
    drop((accruer, poster, courier, settler, listener));
    std::sync::Arc::into_inner(ledger).unwrap().close().await;
    for (from, to) in [("ledger", "tallyd.ledger"), ("ledger.fence", "tallyd.ledger.fence")] {
        std::fs::rename(place.path(from), place.path(to)).unwrap();
    }
    let config =
        CONFIG.replace("[stripe.main]", &format!("[stripe.main]\napi = \"{}\"", sandbox.url));
    place.put("tallyd.toml", &config);
    sandbox
}

async fn run(place: &Place, line: &str) -> Ran {
    let mut command = place.command(line);
    command.env("STRIPE_KEY", "sk_test_reconciling");
    Ran::of(tokio::process::Command::from(command).output().await.unwrap())
}

fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("Report ") {
        Some((_, rest)) => {
            let (before, after) = rest.split_once(", 20").unwrap();
            format!("Report {before}, [time]{}\n", &after[after.find(": ").unwrap()..])
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[tokio::test]
async fn a_report_shows_what_agrees_and_is_kept() {
    let place = Place::new();
    assert_eq!(place.run("reconcile --last").code, 1, "there is no ledger");
    let _sandbox = told(&place).await;
    let nothing = place.run("reconcile --last");
    assert_eq!((nothing.code, nothing.out.as_str()), (1, ""));
    let report = run(&place, MONTH).await;
    insta::assert_snapshot!(without_times(&report.whole()), @r"
    exit 0
    stripe.main:
      account  meter     period                                        acknowledged  told  low..high  provider  billed  invoice
      cus_1    requests  [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z)             5     5       0..5         5       -  -        agrees so far
      cus_2    requests  [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z)             7     7       0..7         7       -  -        agrees so far

    Report 1 with stripe.main, [time]: 2 compared, 2 agree, 0 drifts.
    It took 2 requests for totals; the fewest are 2.
    ");
    let last = run(&place, "reconcile --last").await;
    insta::assert_snapshot!(without_times(&last.whole()), @r"
    exit 0
    stripe.main, usage of [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z):

    Report 1 with stripe.main, [time]: 2 compared, 2 agree, 0 drifts.
    It took 2 requests for totals; the fewest are 2.
    ");
    let csv = run(&place, &format!("{MONTH} --csv --account cus_2")).await;
    insta::assert_snapshot!(csv.whole(), @r"
    exit 0
    provider,account,meter,start,end,acknowledged,accrued,told,low,high,provider_total,billed,invoice,verdict
    stripe.main,cus_2,requests,2026-09-01T00:00:00Z,2026-10-01T00:00:00Z,7,7,7,0,7,7,,,agrees so far
    ");
}

#[tokio::test]
async fn a_difference_is_explained_beside_a_daemon_that_keeps_the_report() {
    let place = Place::new();
    let sandbox = told(&place).await;
    let foreign = event_of("requests", "cus_2", "foreign", "7", NOON - 7_000);
    sandbox.accept(&foreign).await;
    let daemon = Daemon::start(&place, tallyd::intake::Settings::default()).await;
    let report = run(&place, &format!("{MONTH} --apply")).await;
    assert_eq!(report.code, 2, "{report:?}");
    insta::assert_snapshot!(without_times(&attempts_cut(&report.whole())), @r"
    exit 2
    stripe.main:
      account  meter     period                                        acknowledged  told  low..high  provider  billed  invoice
      cus_1    requests  [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z)             5     5       0..5         5       -  -        agrees so far
      cus_2    requests  [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z)             7     7       0..7        14       -  -        excess

    cus_2 requests [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z): of 7 acknowledged, 7 accepted

    !! excess 7 of cus_2 requests [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z)
      the provider counts 14, and was told 7 at most; 7 on 2026-09-21
      event:2 (7, accepted) twice: web/b

    Report 1 with stripe.main, [time]: 2 compared, 1 agree, 1 drift.
    It took 3 requests for totals; the fewest are 2.

    Done about it:
      cus_2 requests [2026-09-01T00:00:00Z, 2026-10-01T00:00:00Z): the provider counts 14, and was told 7 at most; 7 on 2026-09-21; nothing is moved, a person decides
    ");
    let json = run(&place, "reconcile --last --json").await.json();
    assert_eq!(json["drifts"][0]["kind"], "excess");
    assert_eq!(json["drifts"][0]["suspects"][0]["records"][0], "web/b");
    daemon.end().await;
    assert_eq!(run(&place, "ledger verify").await.code, 0);
}

/// Without what differs from run to run.
fn attempts_cut(text: &str) -> String {
    text.lines()
        .filter(|line| !line.contains("attempt 20"))
        .map(|line| format!("{line}\n"))
        .collect()
}
