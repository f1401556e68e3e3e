//! The real binary and a Chargebee site that meters by usage events.

use tallyd::sandbox::chargebee::{NewFeature, NewItemPrice, NewSubscription};

use crate::support::daemon::{Billing, Home, Lines, until, usage};

/// The config of the site that `provider` stands in for.
fn site_of(provider: &Billing) -> String {
    format!(
        "[chargebee.main]\nmode = \"usage_events\"\nkey = {{ file = \"site.key\" }}\n\
         site = \"tallyd-test\"\napi = \"{}/api/v2\"\nbackoff_first_millis = 20\n\
         [chargebee.main.feature.page-views]\nproperty = \"pages\"\n\
         [route.pages]\nmeter = \"pages\"\nto = \"chargebee.main\"\nevent = \"page-views\"\n\
         window = \"record\"\nsettle = \"0s\"\n",
        provider.chargebee_url
    )
}

#[tokio::test]
async fn a_daemon_tells_usage_events_in_batches_and_agrees_with_the_site() {
    let provider = Billing::start().await;
    let site = provider.handle.chargebee();
    site.create_item_price(NewItemPrice::metered("pages-EUR")).unwrap();
    for number in 0..5 {
        let id = format!("sub_{number}");
        site.create_subscription(&NewSubscription::new(&id, "customer", &["pages-EUR"])).unwrap();
    }
    let new = NewFeature { id: "page-views".to_owned(), property: "pages".to_owned() };
    site.create_feature(new).unwrap();
    let more = site_of(&provider);
    let home = Home::with(&provider.url, Lines { more: &more, ..Lines::default() });
    std::fs::write(home.path().join("site.key"), "test_canary_of_a_site").unwrap();
    let checked = home.run(&["check", "--config", "tallyd.toml"]).await;
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("8000 events a minute; 1 feature declared"), "{checked}");

    let daemon = home.start().await;
    let records: Vec<serde_json::Value> = (0..200)
        .map(|number| {
            let customer = format!("sub_{}", number % 5);
            usage(&format!("r{number}"), &customer, "pages", "1.5", 60 + number)
        })
        .collect();
    daemon.accept(&records).await;
    until("the site's books", async || {
        let books = site.event_books();
        let whole = books.iter().map(|line| line.events).sum::<u64>();
        if whole == 200 && books.iter().all(|line| line.total == "60") {
            Ok(())
        } else {
            Err(format!("{books:?}"))
        }
    })
    .await;
    daemon.level("telling all", |status| status["balances_open"] == 0).await;
    let requests = site.statistics().requests;
    assert!(requests.contains_key("POST /batch/usage_events"), "{requests:?}");
    let report = home.run(&["reconcile", "--config", "tallyd.toml", "--json"]).await;
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.status.success(), "{report:?}");
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of_site = &document["reports"][1];
    assert_eq!(of_site["provider"], "chargebee.main", "{said}");
    assert_eq!(of_site["drifts"], serde_json::json!([]), "{said}");
    daemon.stop().await;
    home.verify().await;
    assert!(!home.said().contains("canary"), "{}", home.said());
}
