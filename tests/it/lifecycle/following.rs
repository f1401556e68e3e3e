//! The real binary by a sandbox's clock: it starts with it, jumps with it, and does not start
//! without it.

use hyper::Method;
use serde_json::json;
use tallyd::domain::time::Timestamp;

use crate::support::billing::{SUBSCRIPTIONS, ask, price};
use crate::support::daemon::{Billing, Home, Lines};

/// A home whose daemon goes by the clock of the sandbox that it tells.
fn home(url: &str) -> Home {
    let more = format!("[clock]\nfollow = \"{url}\"");
    Home::with(url, Lines { more: &more, ..Lines::default() })
}

#[tokio::test]
async fn a_daemon_jumps_with_the_clock_of_the_sandbox_that_it_follows() {
    let provider = Billing::start().await;
    provider.go_to("2027-06-01T10:20:00Z");
    let home = home(&provider.url);
    let daemon = home.start().await;
    // The hour that it falls in ends in forty minutes, which nobody waits for.
    daemon
        .accept(&[json!({"id": "a", "customer": "cus_1", "meter": "calls", "quantity": "5",
            "time": "2027-06-01T10:10:00Z"})])
        .await;
    daemon.level("booking it", |status| status["accrued_to"] == 1).await;
    assert_eq!(provider.books().len(), 0);
    provider.go_to("2027-06-01T11:30:00Z");
    daemon.all_told(1).await;
    assert_eq!(provider.books()[&("calls".to_owned(), "cus_1".to_owned())], "5");
    assert!(home.said().contains("time is simulated: it follows a sandbox's clock"));
    assert!(home.said().contains("time was moved with the sandbox's clock"));

    // What is typed goes by it as well: without a span, the month before and this one.
    let report = home.run(&["reconcile", "--config", "tallyd.toml", "--json"]).await;
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    let document: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    assert_eq!(document["reports"][0]["compared"], 1, "{report:?}");

    // A sandbox that goes away does not end it, and is missed once.
    drop(provider);
    home.says("the sandbox's clock cannot be read").await;
    daemon.stop().await;
    assert_eq!(home.said().matches("the sandbox's clock cannot be read").count(), 1);
    home.verify().await;
}

#[tokio::test]
async fn nothing_starts_while_it_is_not_known_what_time_it_is() {
    let provider = Billing::start().await;
    let home = home(&provider.url);
    drop(provider);
    let ran = home.run(&["run", "--config", "tallyd.toml"]).await;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(75), "{said}");
    assert!(said.contains("(`clock.follow`) does not answer at http://127.0.0.1:"), "{said}");
    assert!(!home.ledger.exists(), "a ledger was made at no known time");
}

#[tokio::test]
async fn an_invoice_that_bills_what_nobody_here_told_is_reported_as_soon_as_it_is_final() {
    let provider = Billing::start().await;
    provider.go_to("2027-06-01T10:20:00Z");
    let price = price(&provider, "1").await;
    let end = Timestamp::parse_rfc3339("2027-06-01T12:00:00Z").unwrap().seconds().to_string();
    for customer in ["cus_1", "cus_2"] {
        let form =
            [("customer", customer), ("items[0][price]", &price), ("billing_cycle_anchor", &end)];
        ask(&provider, Method::POST, SUBSCRIPTIONS, &form).await;
    }
    let home = home(&provider.url);
    let daemon = home.start().await;
    let used = |customer: &str| {
        json!({"id": customer, "customer": customer, "meter": "calls", "quantity": "5",
            "time": "2027-06-01T10:30:00Z"})
    };
    provider.go_to("2027-06-01T11:30:00Z");
    daemon.accept(&[used("cus_1"), used("cus_2")]).await;
    daemon.all_told(2).await;
    let foreign = [
        ("event_name", "calls"),
        ("identifier", "foreign"),
        ("payload[stripe_customer_id]", "cus_2"),
        ("payload[value]", "3"),
    ];
    ask(&provider, Method::POST, "/v1/billing/meter_events", &foreign).await;
    // The invoices are asked for when their periods have ended: no webhook names them.
    provider.go_to("2027-06-01T13:10:00Z");
    home.says("ledger, provider and invoices differ").await;
    daemon.stop().await;
    let said = home.said();
    let differs: Vec<&str> = said.lines().filter(|line| line.contains("invoices differ")).collect();
    assert_eq!(differs.len(), 1, "{said}");
    let account = "account=\"cus_2\"";
    assert!(differs[0].contains(account) && differs[0].contains("kind=\"excess\""), "{said}");
    let last = home.run(&["reconcile", "--last", "--config", "tallyd.toml"]).await;
    let shown = String::from_utf8_lossy(&last.stdout).into_owned();
    assert_eq!(last.status.code(), Some(2), "{last:?}");
    assert!(shown.contains("cus_2") && !shown.contains("cus_1"), "{shown}");
    home.verify().await;
}
