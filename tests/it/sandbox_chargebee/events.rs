//! Events: what is told, and how it is found.

use serde_json::{Value, json};
use tallyd::sandbox::chargebee::CancelAt;

use crate::support::chargebee::{MINUTE, MONTH, START, ids, start, usage};
use crate::support::openapi;

#[tokio::test]
async fn a_month_is_told_in_its_order_and_no_usage_is() {
    let site = start().await;
    site.accept(&usage("a", "1", START)).await;
    site.delete("a").await;
    site.handle.cancel("sub", CancelAt::TermEnd).expect("it is admitted");
    site.go_to(START + MONTH + 120 * MINUTE);
    assert_eq!(
        site.event_types().await,
        [
            "item_created",
            "item_price_created",
            "item_created",
            "item_price_created",
            "customer_created",
            "subscription_created",
            "subscription_cancellation_scheduled",
            "pending_invoice_created",
            "subscription_cancelled",
            "invoice_generated",
        ]
    );
}

#[tokio::test]
async fn an_event_shows_what_it_tells_of_as_it_was() {
    let site = start().await;
    site.advance(7);
    site.handle.pause("sub").expect("it is paused");
    let query = [("event_type[is]", "subscription_paused")];
    let list = site.get("/events", &query).await;
    let event = &list["list"][0]["event"];
    assert_eq!(event["occurred_at"], START + 7);
    assert_eq!((&event["source"], &event["api_version"]), (&json!("admin_console"), &json!("v2")));
    assert_eq!(event["webhook_status"], "not_configured");
    let told = &event["content"]["subscription"];
    assert_eq!(*told, site.get("/subscriptions/sub", &[]).await["subscription"]);
    openapi::chargebee().check_object("Subscription", told).expect("it fits its schema");
    openapi::chargebee().check_object("Customer", &event["content"]["customer"]).expect("it fits");
    let id = event["id"].as_str().expect("an id");
    assert_eq!(site.get(&format!("/events/{id}"), &[]).await["event"], *event);
    assert_eq!(site.try_get("/events/ev_nothing", &[]).await.status, 404);
    site.handle.resume("sub").expect("it goes on");
    let after = site.get(&format!("/events/{id}"), &[]).await;
    assert_eq!(after["event"]["content"]["subscription"]["status"], "paused");
}

#[tokio::test]
async fn events_are_found_by_time_type_and_id() {
    let site = start().await;
    site.advance(10);
    site.handle.pause("sub").expect("it is paused");
    site.advance(10);
    site.handle.resume("sub").expect("it goes on");
    let at = |second: i64| (START + second).to_string();
    let types = |page: &Value| -> Vec<String> {
        let rows = page["list"].as_array().expect("a list").iter();
        rows.map(|row| row["event"]["event_type"].as_str().expect("a type").to_owned()).collect()
    };
    let between = format!("[{},{}]", at(10), at(20));
    let both = "[\"subscription_paused\",\"subscription_resumed\"]";
    for (name, value) in [
        ("occurred_at[after]", at(9)),
        ("occurred_at[between]", between),
        ("event_type[in]", both.to_owned()),
        ("event_type[in]", both.replace('"', "'")),
    ] {
        let page = site.try_get("/events", &[(name, &value)]).await.body;
        assert_eq!(types(&page), ["subscription_paused", "subscription_resumed"], "{name}");
    }
    let newest = [("limit", "1"), ("sort_by[desc]", "occurred_at")];
    let page = site.get("/events", &newest).await;
    assert_eq!(types(&page), ["subscription_resumed"]);
    let next = page["next_offset"].as_str().expect("there is more");
    let rest = site.get("/events", &[newest[0], newest[1], ("offset", next)]).await;
    assert_eq!(types(&rest), ["subscription_paused"]);
    let wanted = format!("[{}]", ids(&page, "event").join(","));
    let by_id = site.get("/events", &[("id[in]", &wanted)]).await;
    assert_eq!(types(&by_id), ["subscription_resumed"]);
    assert_eq!(types(&site.get("/events", &[("source[is]", "api")]).await), [""; 0]);
}
