//! Signals: the first lets what is in flight finish, the second does not wait for it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::daemon::{Billing, Home, Lines, usage};

/// Ten customers' usage, so that ten requests may be in flight at once.
fn ten() -> Vec<Value> {
    (0..10).map(|n| usage(&format!("r{n}"), &format!("cus_{n}"), "calls", "2.5", 7_200)).collect()
}

#[tokio::test]
async fn sigterm_lets_what_is_in_flight_finish_and_leaves_nothing_open() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let mut daemon = home.start().await;
    provider.handle.hold_answers();
    daemon.accept(&ten()).await;
    provider.handle.wait_for_in_flight(10).await;

    daemon.signal(Signal::TERM);
    home.says("stopping; a second signal ends at once").await;
    assert!(daemon.is_running());
    provider.handle.release_answers();
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", home.said());
    assert_eq!(home.verify().await, [("accepted".to_owned(), 10)].into());
    assert!(provider.books().values().all(|total| total == "2.5"));
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_next_start_clears_what_is_unknown() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    provider.handle.hold_answers();
    daemon.accept(&ten()).await;
    provider.handle.wait_for_in_flight(10).await;

    daemon.signal(Signal::TERM);
    home.says("stopping; a second signal ends at once").await;
    daemon.signal(Signal::INT);
    // The answers are still held: it did not wait for them.
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", home.said());
    assert!(home.said().contains("ending at once"));
    assert_eq!(home.verify().await, [("in_flight".to_owned(), 10)].into());

    provider.handle.release_answers();
    let daemon = home.start().await;
    daemon.all_told(10).await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.handle.statistics().meter_events_accepted, 10);
    assert_eq!(provider.books().len(), 10);
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_bound_for_answers_and_the_next_start_clears_the_rest() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    provider.handle.hold_answers();
    daemon.accept(&ten()).await;
    provider.handle.wait_for_in_flight(10).await;

    // The answers never come, and no second signal does.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", home.said());
    assert!(home.said().contains("requests were cut short by the stop"), "{}", home.said());
    assert_eq!(home.verify().await, [("in_flight".to_owned(), 10)].into());

    provider.handle.release_answers();
    let daemon = home.start().await;
    daemon.all_told(10).await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(provider.handle.statistics().meter_events_accepted, 10);
}

#[tokio::test]
async fn a_signal_while_the_daemon_starts_ends_the_start() {
    // Whoever is asked what time it is takes the question, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let more = format!("[clock]\nfollow = \"{address}\"");
    let home = Home::with(&address, Lines { more: &more, ..Lines::default() });
    let mut starting = home.spawn();
    let (_question, _) = silent.accept().await.unwrap();
    let pid = i32::try_from(starting.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    // It would exit 75 for want of an answer.
    assert_eq!(starting.wait().await.unwrap().code(), Some(0), "{}", home.said());
    assert!(!home.ledger.exists());
    assert!(!home.said().contains("ready"), "{}", home.said());
}
