//! SIGHUP: the real binary reads its config again, and follows all of it or nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tallyd::config::{Outside, Overrides, SecretPolicy, load};
use tallyd::daemon::notify::ServiceHost;
use tallyd::daemon::reload::listed;
use tallyd::daemon::supervisor::BEAT_SECONDS_MAX;
use tallyd::daemon::{Daemon, Time};
use tallyd::sandbox::stripe::Keys;
use tallyd::service::pulse::{Late, Pulses};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::daemon::{Billing, Home, Lines, TOKEN, TestDaemon, until, usage};

/// Keys that no log may show.
const OLD_KEY: &str = "sk_test_canaryThatWasRolled";
const NEW_KEY: &str = "sk_test_canaryThatTookOver";

/// Has the daemon read its config again, and waits until it says that it follows these.
async fn follows(home: &Home, daemon: &TestDaemon, changed: &str) {
    daemon.signal(Signal::HUP);
    home.says(&format!("the config was read again and is followed changed=\"{changed}\"")).await;
}

/// What the provider has of a meter and customer.
fn has(provider: &Billing, meter: &str, customer: &str) -> Option<String> {
    provider.books().get(&(meter.to_owned(), customer.to_owned())).cloned()
}

/// Changes the text of the config.
fn rewrite(home: &Home, change: impl FnOnce(String) -> String) {
    let path = home.path().join("tallyd.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

#[tokio::test]
async fn a_changed_route_applies_to_what_comes_after_it_and_not_to_what_came_before() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "cus_1", "calls", "2", 7_200)]).await;
    daemon.accept(&[usage("b", "cus_1", "pages", "5", 7_200)]).await;
    let of_old = |status: &Value| status["accrued_to"] == 2 && status["balances_open"] == 0;
    daemon.level("booking by the old routes", of_old).await;

    let more = "[route.pages]\nmeter = \"pages\"\nto = \"stripe.main\"\nevent = \"bytes\"\n\
                settle = \"1s\"\n";
    home.configure(&provider.url, Lines { route: "scale = \"10\"", more, ..Lines::default() });
    follows(&home, &daemon, "route.bytes, route.calls, route.pages (new)").await;
    assert!(home.said().contains("journal_from=3"), "{}", home.said());
    daemon.accept(&[usage("c", "cus_1", "calls", "3", 7_200)]).await;
    // What was parked is mapped by the newest config.
    daemon.all_told(3).await;
    assert_eq!(has(&provider, "calls", "cus_1").as_deref(), Some("32"));
    assert_eq!(has(&provider, "bytes", "cus_1").as_deref(), Some("5"));

    // As a restart with it: nothing is booked anew, and nothing is told again.
    daemon.stop().await;
    let daemon = home.start().await;
    daemon.all_told(3).await;
    daemon.signal(Signal::HUP);
    home.says("the config was read again: it is as it was").await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.handle.statistics().meter_events_accepted, 3);
}

#[tokio::test]
async fn a_bad_config_is_refused_whole_and_the_daemon_runs_on_by_the_one_before() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let mut daemon = home.start().await;
    home.configure(
        &provider.url,
        Lines { route: "scale = \"0\"", more: "[nowhere]\n", ..Lines::default() },
    );
    daemon.signal(Signal::HUP);
    home.says("the config is not followed; what ran before runs on").await;
    let said = home.said();
    for problem in ["`route.calls.scale` is zero", "there is no key `nowhere`", "errors=3"] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    assert!(said.contains("line="), "{said}");
    daemon.accept(&[usage("a", "cus_1", "calls", "2", 7_200)]).await;
    daemon.all_told(1).await;
    assert_eq!(has(&provider, "calls", "cus_1").as_deref(), Some("2"));

    // What cannot change is named, and nothing beside it is followed either.
    let lines = Lines {
        ledger: "cache_kib = 4096",
        intake: "inflight_bytes_max = 20000000",
        route: "scale = \"10\"",
        more: "[stripe.other]\nkey = { env = \"TEST_KEY\" }\n",
        ..Lines::default()
    };
    home.configure(&provider.url, lines);
    daemon.signal(Signal::HUP);
    home.says(
        "restart needed: intake.inflight_bytes_max, ledger.cache_kib, stripe.other (new) cannot \
         change while the daemon runs",
    )
    .await;
    assert!(daemon.is_running());
    daemon.accept(&[usage("b", "cus_1", "calls", "3", 7_200)]).await;
    daemon.all_told(2).await;
    assert_eq!(has(&provider, "calls", "cus_1").as_deref(), Some("5"));
    daemon.stop().await;
    home.verify().await;
}

#[tokio::test]
async fn secrets_that_were_rotated_in_their_files_are_used_and_never_shown() {
    let provider = Billing::start().await;
    provider.handle.set_keys(Keys::Only(BTreeSet::from([OLD_KEY.to_owned()])));
    let home = Home::new(&provider.url);
    let put = |name: &str, secret: &str| {
        std::fs::write(home.path().join(name), format!("{secret}\n")).unwrap();
    };
    put("stripe.key", OLD_KEY);
    put("web.token", TOKEN);
    let in_files = |text: String| {
        text.replace("{ env = \"TEST_KEY\" }", "{ file = \"stripe.key\" }")
            .replace("{ env = \"TEST_TOKEN\" }", "{ file = \"web.token\" }")
    };
    rewrite(&home, in_files);
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "cus_1", "calls", "2", 7_200)]).await;
    daemon.all_told(1).await;

    provider.handle.set_keys(Keys::Only(BTreeSet::from([NEW_KEY.to_owned()])));
    daemon.accept(&[usage("b", "cus_1", "calls", "3", 7_200)]).await;
    home.says("paused: nothing is sent until this is put right").await;
    put("stripe.key", NEW_KEY);
    put("web.token", "another-canary-of-a-token");
    follows(&home, &daemon, "http.token, stripe.main.key").await;
    daemon.all_told(2).await;
    assert_eq!(has(&provider, "calls", "cus_1").as_deref(), Some("5"));

    let body = |id: &str| Value::from(vec![usage(id, "cus_1", "calls", "1", 7_200)]).to_string();
    assert_eq!(daemon.post(body("c")).await.status, 401);
    let taken = daemon.post_as("another-canary-of-a-token", body("c")).await.unwrap();
    assert_eq!(taken.status, 200, "{}", taken.text);
    daemon.stop().await;
    let said = home.said();
    for secret in [OLD_KEY, NEW_KEY, TOKEN, "another-canary"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn what_is_in_flight_is_answered_before_another_courier_takes_over() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let mut daemon = home.start().await;
    provider.handle.hold_answers();
    let records = |from: usize| -> Vec<Value> {
        let customer = |n: usize| format!("cus_{n}");
        let record = |n| usage(&format!("r{n}"), &customer(n), "calls", "2.5", 7_200);
        (from..from + 10).map(record).collect()
    };
    daemon.accept(&records(0)).await;
    provider.handle.wait_for_in_flight(10).await;
    let lines = Lines { stripe: "concurrency = 3", filter: "debug", ..Lines::default() };
    home.configure(&provider.url, lines);
    follows(&home, &daemon, "log.filter, stripe.main.concurrency").await;
    daemon.accept(&records(10)).await;
    // By the filter that came with it.
    home.says("DEBUG").await;
    assert!(daemon.is_running());
    provider.handle.release_answers();
    daemon.all_told(20).await;
    daemon.stop().await;
    assert_eq!(home.verify().await, [("accepted".to_owned(), 20)].into());
    let counted = provider.handle.statistics();
    let sent: u64 = counted.requests["POST /v1/billing/meter_events"].values().sum();
    assert_eq!((counted.meter_events_accepted, sent), (20, 20));
}

/// Waits until every part has beaten from here on, and answers with the names of all.
async fn all_beat(pulses: &Pulses) -> Vec<String> {
    let (now, bound) = (Instant::now(), Duration::from_secs(BEAT_SECONDS_MAX));
    let names = |late: Vec<Late>| late.into_iter().map(|late| late.part).collect::<Vec<_>>();
    until("a beat of every part", async || {
        // Late then are those whose newest beat was before now.
        let late = names(pulses.late(now + bound));
        if late.is_empty() { Ok(()) } else { Err(format!("{late:?}")) }
    })
    .await;
    names(pulses.late(now + 1_000 * bound))
}

#[tokio::test]
async fn every_part_beats_on_after_a_reload_that_replaced_some() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let config = || {
        let environment = |name: &str| match name {
            "TEST_KEY" => Some(NEW_KEY.to_owned()),
            "TEST_TOKEN" => Some(TOKEN.to_owned()),
            _ => None,
        };
        let outside = Outside { overrides: Overrides::default(), environment: &environment };
        let read = load(&home.path().join("tallyd.toml"), &outside, SecretPolicy::Resolve);
        read.unwrap_or_else(|problems| panic!("{problems}"))
    };
    let first = config();
    let time = Time::of(&first).await.unwrap();
    let daemon = Daemon::assemble(first, time).await.unwrap();
    let (reloader, pulses) = (daemon.reloader(), daemon.pulses());
    let (stop, host) = (CancellationToken::new(), ServiceHost::default());
    let reloading = async {
        let before = all_beat(&pulses).await;
        assert!(before.contains(&"delivery to stripe.main".to_owned()), "{before:?}");
        for (concurrency, ledger) in [(3, "held_alarm_basis_points = 7"), (4, "")] {
            let stripe = format!("concurrency = {concurrency}");
            let lines = Lines { stripe: &stripe, ledger, ..Lines::default() };
            home.configure(&provider.url, lines);
            let followed = reloader.follow(config(), None).await.unwrap();
            let alarm = "ledger.held_alarm_basis_points, stripe.main.concurrency";
            assert_eq!(listed(&followed.changed), alarm);
            // The part that was replaced has no pulse of its own, that would beat no more.
            assert_eq!(all_beat(&pulses).await, before);
        }
        stop.cancel();
    };
    let running = daemon.run(stop.clone(), CancellationToken::new(), &host);
    let (ended, ()) = tokio::join!(running, reloading);
    ended.unwrap();
}

#[tokio::test]
async fn reloads_at_any_moment_lose_nothing_and_tell_nothing_twice() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    for round in 0..20_usize {
        let (stripe, route) = match round % 3 {
            0 => ("concurrency = 3", "late = \"drop\""),
            1 => ("concurrency = 5\nreads_per_month = 500", "window = \"1m\""),
            _ => ("concurrency = 1", "window = \"record\""),
        };
        // Whoever changes a file in place has it read half: it is put there whole.
        home.configure_whole(&provider.url, Lines { stripe, route, ..Lines::default() });
        daemon.signal(Signal::HUP);
        let record = |n: usize| {
            usage(&format!("r{round}-{n}"), &format!("cus_{}", n % 4), "calls", "1", 7_200)
        };
        let records: Vec<Value> = (0..10).map(record).collect();
        daemon.accept(&records).await;
    }
    daemon.all_told(200).await;
    // A stop beside a reload is a stop.
    home.configure_whole(&provider.url, Lines { stripe: "concurrency = 7", ..Lines::default() });
    daemon.signal(Signal::HUP);
    daemon.stop().await;
    home.verify().await;
    let told: u64 = provider.books().values().map(|total| total.parse::<u64>().unwrap()).sum();
    assert_eq!(told, 200, "{}", home.said());
    assert!(home.said().contains("the config was read again and is followed"), "{}", home.said());
    assert!(!home.said().contains("ERROR"), "{}", home.said());
}
