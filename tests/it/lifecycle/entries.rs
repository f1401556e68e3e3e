//! The real binary and a Chargebee site: entries are made, taken away, and agreed upon.

use tallyd::sandbox::chargebee::{NewItemPrice, NewSubscription};

use crate::support::daemon::{Billing, Home, Lines, now, until, usage};

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
    let more = format!(
        "[chargebee.main]\nkey = {{ file = \"site.key\" }}\nsite = \"tallyd-test\"\n\
         api = \"{}/api/v2\"\nbackoff_first_millis = 20\n\
         [chargebee.main.item_price.pages-EUR]\naggregation = \"sum\"\n\
         [route.pages]\nmeter = \"pages\"\nto = \"chargebee.main\"\nevent = \"pages-EUR\"\n\
         settle = \"1s\"\n",
        provider.chargebee_url
    );
    let home = Home::with(&provider.url, Lines { more: &more, ..Lines::default() });
    std::fs::write(home.path().join("site.key"), "test_canary_of_a_site").unwrap();
    let checked = home.run(&["check", "--config", "tallyd.toml"]).await;
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("a day of 2000 subscriptions is told in 20 min"), "{checked}");

    let daemon = home.start().await;
    daemon.accept(&[usage("a", "sub_1", "pages", "12.5", 172_800)]).await;
    daemon.accept(&[usage("b", "sub_1", "pages", "4", 259_200)]).await;
    let held = || {
        let books = site.books();
        books.iter().map(|line| line.total.normalized().to_plain_string()).collect::<Vec<_>>()
    };
    let holds = async |expected: &str| {
        until("the site's books", async || match held() {
            found if found == [expected] => Ok(()),
            found => Err(format!("{found:?}")),
        })
        .await;
    };
    holds("16.5").await;
    daemon.kill().await;

    let daemon = home.start().await;
    let adjust =
        ["adjust", "--config", "tallyd.toml", "web/a", "--to", "2.5", "--reason", "a test"];
    let adjusted = home.run(&adjust).await;
    assert!(adjusted.status.success(), "{adjusted:?}");
    holds("6.5").await;
    daemon.level("telling all", |status| status["balances_open"] == 0).await;
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
