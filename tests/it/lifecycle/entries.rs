//! The real binary and a Chargebee site: entries are made, taken away, and agreed upon; pauses and
//! invoices are heard of.

use std::time::Duration;

use serde_json::json;
use tallyd::sandbox::chargebee::{NewItemPrice, NewSubscription, WebhookEndpoint, WebhookSettings};

use crate::support::daemon::{Billing, Home, Lines, TestDaemon, now, until, usage};

/// The password of the webhooks.
const PASSWORD: &str = "a_canary_of_webhooks";

/// The config of the site that `provider` stands in for, with `more` in its table.
fn site_of(provider: &Billing, more: &str) -> String {
    format!(
        "[chargebee.main]\nkey = {{ file = \"site.key\" }}\nsite = \"tallyd-test\"\n\
         api = \"{}/api/v2\"\nbackoff_first_millis = 20\n{more}\
         [chargebee.main.item_price.pages-EUR]\naggregation = \"sum\"\n\
         [route.pages]\nmeter = \"pages\"\nto = \"chargebee.main\"\nevent = \"pages-EUR\"\n\
         settle = \"1s\"\n",
        provider.chargebee_url
    )
}

/// A home with that config and its secrets.
fn home_of(provider: &Billing, more: &str) -> Home {
    let home = Home::with(&provider.url, Lines { more, ..Lines::default() });
    std::fs::write(home.path().join("site.key"), "test_canary_of_a_site").unwrap();
    std::fs::write(home.path().join("site.webhooks"), PASSWORD).unwrap();
    home
}

/// Waits until the site's books come to this.
async fn holds(provider: &Billing, expected: &str) {
    until("the site's books", async || {
        let books = provider.handle.chargebee().books();
        let found: Vec<String> =
            books.iter().map(|line| line.total.normalized().to_plain_string()).collect();
        if found == [expected] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_daemon_enters_usages_at_a_site_takes_them_away_and_agrees_with_it() {
    let provider = Billing::start().await;
    let site = provider.handle.chargebee();
    site.create_item_price(NewItemPrice::metered("pages-EUR")).unwrap();
    let began = now().seconds() - 20 * 86_400;
    let subscription = NewSubscription {
        started_at: Some(began),
        ..NewSubscription::new("sub_1", "customer", &["pages-EUR"])
    };
    site.create_subscription(&subscription).unwrap();
    let home = home_of(&provider, &site_of(&provider, ""));
    let checked = home.run(&["check", "--config", "tallyd.toml"]).await;
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.contains("a day of 2000 subscriptions, 1 item price each, is told in 20 min"),
        "{checked}"
    );

    let daemon = home.start().await;
    daemon.accept(&[usage("a", "sub_1", "pages", "12.5", 172_800)]).await;
    daemon.accept(&[usage("b", "sub_1", "pages", "4", 259_200)]).await;
    holds(&provider, "16.5").await;
    daemon.kill().await;

    let daemon = home.start().await;
    let adjust =
        ["adjust", "--config", "tallyd.toml", "web/a", "--to", "2.5", "--reason", "a test"];
    let adjusted = home.run(&adjust).await;
    assert!(adjusted.status.success(), "{adjusted:?}");
    holds(&provider, "6.5").await;
    daemon.level("telling all", |status| status["balances_open"] == 0).await;
    let checked = home.run(&["check", "--config", "tallyd.toml"]).await;
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    let said = "3 usages told to 1 subscription; a day of them, 3 lately, is told in 1 min";
    assert!(checked.contains(said), "{checked}");
    let report = home.run(&["reconcile", "--config", "tallyd.toml", "--json"]).await;
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.status.success(), "{report:?}");
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of_site = &document["reports"][1];
    assert_eq!(of_site["provider"], "chargebee.main", "{said}");
    assert_eq!(
        (&of_site["drifts"], of_site["compared"].as_u64() > Some(0)),
        (&serde_json::json!([]), true)
    );
    daemon.stop().await;
    home.verify().await;
    assert!(!home.said().contains("canary"), "{}", home.said());
}

/// Waits until nothing that the site announced is left to be acted on.
async fn heard(daemon: &TestDaemon, provider: &Billing, announced: u64) {
    until("the webhooks", async || {
        let counts = provider.handle.chargebee().webhook_counts();
        if counts.delivered >= announced { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    daemon
        .level("acting on what was announced", |status| status["notices"][0]["waiting"] == 0)
        .await;
}

#[tokio::test]
async fn a_pause_that_is_heard_of_is_billed_to_nobody_and_a_pending_invoice_takes_what_is_late() {
    let provider = Billing::start().await;
    provider.go_to("2027-06-01T10:00:00Z");
    let site = provider.handle.chargebee();
    site.set_pending(Duration::from_secs(48 * 3_600)).unwrap();
    site.create_item_price(NewItemPrice::metered("pages-EUR")).unwrap();
    site.create_subscription(&NewSubscription::new("sub_1", "customer", &["pages-EUR"])).unwrap();
    let followed = site_of(
        &provider,
        "invoices_close_after_hours = 48\nwebhook_password = { file = \"site.webhooks\" }\n",
    );
    // The site alone, as the sandbox's clock is followed where all is told to it.
    let followed = format!("{followed}[clock]\nfollow = \"{}\"\n", provider.url);
    let home = home_of(&provider, &followed);
    let daemon = home.start().await;
    let endpoint = WebhookEndpoint {
        url: format!("{}/webhooks/chargebee.main", daemon.url),
        basic: Some(("tallyd".to_owned(), PASSWORD.to_owned())),
        types: Default::default(),
        carrier: Default::default(),
    };
    let webhooks = WebhookSettings { endpoints: vec![endpoint], ..WebhookSettings::default() };
    site.set_webhooks(webhooks).unwrap();
    let used = |id: &str, quantity: &str, time: &str| {
        json!({"id": id, "customer": "sub_1", "meter": "pages", "quantity": quantity,
            "time": time})
    };

    provider.go_to("2027-06-01T12:00:00Z");
    site.pause("sub_1").unwrap();
    heard(&daemon, &provider, 1).await;
    provider.go_to("2027-06-01T15:00:00Z");
    site.resume("sub_1").unwrap();
    heard(&daemon, &provider, 2).await;
    provider.go_to("2027-06-01T18:00:00Z");
    daemon.accept(&[used("before", "1", "2027-06-01T11:00:00Z")]).await;
    daemon.accept(&[used("within", "10", "2027-06-01T13:00:00Z")]).await;
    daemon.accept(&[used("after", "100", "2027-06-01T17:00:00Z")]).await;
    provider.go_to("2027-06-02T01:00:00Z");
    holds(&provider, "101").await;

    provider.go_to("2027-07-01T11:00:00Z");
    heard(&daemon, &provider, 4).await;
    daemon.accept(&[used("late", "1000", "2027-06-10T13:00:00Z")]).await;
    holds(&provider, "1101").await;
    provider.go_to("2027-07-03T11:00:00Z");
    heard(&daemon, &provider, 5).await;
    daemon.accept(&[used("too late", "5", "2027-06-10T14:00:00Z")]).await;
    let held = || async {
        let listed = home.run(&["held", "list", "--config", "tallyd.toml", "--json"]).await;
        String::from_utf8_lossy(&listed.stdout).into_owned()
    };
    until("what is held", async || {
        let held = held().await;
        let is_there = |reason: &str| held.contains(reason);
        if is_there("no_period") && is_there("late_for_period") { Ok(()) } else { Err(held) }
    })
    .await;
    let trace = home.run(&["trace", "--config", "tallyd.toml", "web/late"]).await;
    let said = String::from_utf8_lossy(&trace.stdout).into_owned();
    assert!(said.contains("which bills 1101 for its period"), "{said}");
    daemon.stop().await;
    home.verify().await;
    assert!(!home.said().contains("canary"), "{}", home.said());
}
