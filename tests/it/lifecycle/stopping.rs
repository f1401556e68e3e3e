//! Signals: the first lets what is in flight finish, the second does not wait for it.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::daemon::{Billing, Home, usage};

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
