//! What the real daemon tells the service manager that started it.

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::support::daemon::{Billing, Home, Lines, until, usage};
use crate::support::service_host::Listening;

#[tokio::test]
async fn systemd_hears_of_the_start_the_standing_the_pings_and_the_stop() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let path = home.path().join("notify");
    let mut systemd = Listening::at(&path);
    let socket = path.to_str().unwrap();
    let daemon = home.start_in(&[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "50000")]).await;
    systemd.hears("READY", |word| word == "READY=1").await;
    // Whoever is told that it is ready may use it at once.
    assert_eq!(daemon.get("/readyz").await.status, 200);
    systemd.hears("standing", |word| word == "STATUS=0 events wait to be told").await;
    let before = systemd.pings();
    systemd.hears("more pings", |word| word == "WATCHDOG=1").await;
    until("pings", async || {
        let pings = systemd.pings();
        if pings >= before + 3 { Ok(()) } else { Err(pings.to_string()) }
    })
    .await;

    // What is in flight is waited for, and said to be.
    provider.handle.hold_answers();
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    provider.handle.wait_for_in_flight(1).await;
    assert!(!systemd.heard().iter().any(|word| word == "STOPPING=1"));
    daemon.signal(Signal::TERM);
    systemd.hears("STOPPING", |word| word == "STOPPING=1").await;
    systemd.hears("stopping", |word| word.starts_with("STATUS=stopping; ")).await;
    provider.handle.release_answers();
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", home.said());
    let words = systemd.heard().to_vec();
    let at = |wanted: &str| words.iter().position(|word| word.starts_with(wanted)).unwrap();
    assert_eq!(at("STATUS=opening the ledger"), 0, "{words:?}");
    assert!(at("READY=1") < at("WATCHDOG=1") && at("READY=1") < at("STOPPING=1"), "{words:?}");
    assert_eq!(words.iter().filter(|word| *word == "READY=1").count(), 1, "{words:?}");
}

/// Microseconds of the kernel's own time, by which systemd tells one reload from another.
fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[tokio::test]
async fn systemd_hears_when_the_config_is_read_again_and_when_that_is_over() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let path = home.path().join("notify");
    let mut systemd = Listening::at(&path);
    let daemon = home.start_in(&[("NOTIFY_SOCKET", path.to_str().unwrap())]).await;
    systemd.hears("READY", |word| word == "READY=1").await;
    let followed = Lines { stripe: "concurrency = 3", ..Lines::default() };
    // One that is refused is over as well: the daemon runs on.
    let refused = Lines { more: "[nowhere]\n", ..Lines::default() };
    for (lines, said) in [(followed, "is followed changed="), (refused, "is not followed; ")] {
        let (heard, before) = (systemd.heard().len(), monotonic_micros());
        home.configure(&provider.url, lines);
        daemon.signal(Signal::HUP);
        let words = until("the end of the reload", async || {
            let mut words = systemd.heard()[heard..].to_vec();
            words.retain(|word| !word.starts_with("STATUS="));
            if words.len() >= 2 { Ok(words) } else { Err(format!("{words:?}")) }
        })
        .await;
        assert!(home.said().contains(said), "{}", home.said());
        let [begun, over] = words.as_slice() else { panic!("{words:?}") };
        let at = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let at: i64 = at.parse().unwrap();
        assert!((before..=monotonic_micros()).contains(&at), "{before} {at}");
        assert_eq!(over, "READY=1");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn an_abstract_socket_is_told_too_and_a_ping_that_another_process_owes_is_not_sent() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let name = home.path().display().to_string();
    let mut systemd = Listening::at_abstract(&name);
    let socket = format!("@{name}");
    let environment =
        [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")];
    let daemon = home.start_in(&environment).await;
    systemd.hears("READY", |word| word == "READY=1").await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    daemon.all_told(1).await;
    daemon.stop().await;
    assert!(systemd.heard().iter().any(|word| word == "STOPPING=1"));
    assert_eq!(systemd.pings(), 0);
}

#[tokio::test]
async fn a_listener_for_notifications_that_is_gone_is_no_reason_to_stop() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let gone = home.path().join("gone").display().to_string();
    let daemon = home.start_in(&[("NOTIFY_SOCKET", &gone)]).await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    daemon.all_told(1).await;
    daemon.stop().await;
    assert!(home.said().contains("the service manager could not be told"), "{}", home.said());
}
