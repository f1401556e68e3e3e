//! Subscriptions and what they are to: how they look, and how they change.

use serde_json::json;
use tallyd::sandbox::chargebee::{CancelAt, Change, NewItemPrice, NewSubscription};

use crate::support::chargebee::{DAY, MONTH, Running, START, ids, start, usage};
use crate::support::openapi;

async fn subscription(site: &Running, id: &str) -> serde_json::Value {
    site.get(&format!("/subscriptions/{id}"), &[]).await["subscription"].clone()
}

#[tokio::test]
async fn a_subscription_shows_its_term_and_items_beside_its_customer() {
    let site = start().await;
    let answer = site.get("/subscriptions/sub", &[]).await;
    assert_eq!(answer["customer"]["id"], "customer");
    let found = &answer["subscription"];
    assert_eq!(found["status"], "active");
    assert_eq!(found["started_at"], START);
    assert_eq!(found["activated_at"], START);
    assert_eq!(found["current_term_start"], START);
    assert_eq!(found["current_term_end"], START + MONTH);
    assert_eq!(found["next_billing_at"], START + MONTH);
    assert_eq!(found["deleted"], false);
    let items = found["subscription_items"].as_array().expect("items");
    assert_eq!((items.len(), &items[1]["item_price_id"]), (2, &json!("calls")));
    assert_eq!(items[1].get("quantity"), None, "what is metered has no quantity");
}

#[tokio::test]
async fn terms_follow_the_anchor_through_short_months() {
    let site = start().await;
    // The 31st of October, noon.
    site.go_to(START + 30 * DAY);
    site.subscribe("late", &["calls"]);
    let mut days = Vec::new();
    for _ in 0..5 {
        let end = subscription(&site, "late").await["current_term_end"].as_i64().expect("an end");
        days.push((end - START) / DAY);
        site.go_to(end);
    }
    // 30 November, 31 December, 31 January, 28 February, 31 March, in days after 1 October.
    assert_eq!(days, [60, 91, 122, 150, 181]);
}

#[tokio::test]
async fn a_version_grows_with_every_change() {
    let site = start().await;
    let mut last = subscription(&site, "sub").await["resource_version"].as_i64();
    for change in [
        Change::Pause,
        Change::Resume,
        Change::Cancel(CancelAt::TermEnd),
        Change::KeepOn,
        Change::RemoveItemPrice("basic".to_owned()),
        Change::AddItemPrice("basic".to_owned()),
        Change::Cancel(CancelAt::Now),
        Change::Reactivate,
    ] {
        site.handle.change("sub", &change).expect("it is admitted");
        let version = subscription(&site, "sub").await["resource_version"].as_i64();
        assert!(version > last, "{change:?}");
        last = version;
    }
}

#[tokio::test]
async fn each_status_is_reached_and_told_of() {
    let site = start().await;
    let later = NewSubscription {
        started_at: Some(START + DAY),
        ..NewSubscription::new("later", "customer", &["calls"])
    };
    site.handle.create_subscription(&later).expect("sound");
    let tried = NewSubscription {
        trial_end: Some(START + 2 * DAY),
        ..NewSubscription::new("tried", "other", &["calls"])
    };
    site.handle.create_subscription(&tried).expect("sound");
    assert_eq!(subscription(&site, "later").await["status"], "future");
    assert_eq!(subscription(&site, "tried").await["status"], "in_trial");
    site.go_to(START + 2 * DAY);
    assert_eq!(subscription(&site, "later").await["status"], "active");
    let tried = subscription(&site, "tried").await;
    assert_eq!(
        (&tried["status"], &tried["activated_at"]),
        (&json!("active"), &json!(START + 2 * DAY))
    );
    site.handle.pause("later").expect("it is paused");
    let paused = subscription(&site, "later").await;
    assert_eq!(
        (&paused["status"], &paused["pause_date"]),
        (&json!("paused"), &json!(START + 2 * DAY))
    );
    site.handle.cancel("sub", CancelAt::TermEnd).expect("it is admitted");
    let leaving = subscription(&site, "sub").await;
    assert_eq!(
        (&leaving["status"], &leaving["cancelled_at"]),
        (&json!("non_renewing"), &json!(START + MONTH))
    );
    site.go_to(START + MONTH);
    assert_eq!(subscription(&site, "sub").await["status"], "cancelled");
    site.handle.change("sub", &Change::Delete).expect("it is deleted");
    let told: Vec<String> = site.event_types().await;
    let told = told.iter().filter(|name| name.starts_with("subscription")).map(String::as_str);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "subscription_created",
            "subscription_created",
            "subscription_created",
            "subscription_started",
            "subscription_activated",
            "subscription_paused",
            "subscription_cancellation_scheduled",
            "subscription_cancelled",
            "subscription_deleted",
        ]
    );
}

#[tokio::test]
async fn usage_in_a_trial_or_before_the_start_is_stored_and_never_billed() {
    let site = start().await;
    let tried = NewSubscription {
        trial_end: Some(START + DAY),
        ..NewSubscription::new("tried", "other", &["calls"])
    };
    site.handle.create_subscription(&tried).expect("sound");
    let path = "/subscriptions/tried/usages";
    assert_eq!(site.post(path, &usage("trial", "1", START + 5)).await.status, 200);
    site.go_to(START + DAY);
    assert_eq!(site.post(path, &usage("active", "1", START + DAY)).await.status, 200);
    assert_eq!(site.fates(), ["trial Unbilled(Inactive)", "active Counts"]);
}

#[tokio::test]
async fn a_change_that_the_status_does_not_admit_is_refused() {
    let site = start().await;
    for change in [
        Change::Resume,
        Change::KeepOn,
        Change::Reactivate,
        Change::AddItemPrice("calls".to_owned()),
        Change::AddItemPrice("nothing".to_owned()),
        Change::RemoveItemPrice("nothing".to_owned()),
    ] {
        site.handle.change("sub", &change).expect_err("it is not admitted");
    }
    site.handle.change("nobody", &Change::Pause).expect_err("there is none");
    for wrong in [
        NewSubscription::new("sub", "customer", &["calls"]),
        NewSubscription::new("none", "customer", &[]),
        NewSubscription::new("twice", "customer", &["calls", "calls"]),
        NewSubscription::new("odd", "customer", &["nothing"]),
        NewSubscription {
            started_at: Some(START - MONTH),
            ..NewSubscription::new("old", "customer", &["calls"])
        },
        NewSubscription { term_months: 0, ..NewSubscription::new("short", "customer", &["calls"]) },
    ] {
        site.handle.create_subscription(&wrong).expect_err("it makes no sense");
    }
}

#[tokio::test]
async fn subscriptions_are_listed_by_what_they_are_and_when_they_changed() {
    let site = start().await;
    site.advance(10);
    site.subscribe("second", &["calls"]);
    site.advance(10);
    site.handle.cancel("second", CancelAt::Now).expect("it is admitted");
    site.subscribe("third", &["basic"]);
    site.handle.change("third", &Change::Delete).expect("it is deleted");
    let after = (START + 10).to_string();
    for (query, expected) in [
        (vec![], "sub second"),
        (vec![("include_deleted", "true")], "sub second third"),
        (vec![("status[is]", "cancelled")], "second"),
        (vec![("status[in]", "active")], "sub"),
        (vec![("updated_at[after]", after.as_str())], "second"),
        (vec![("item_price_id[is]", "basic")], "sub"),
        (vec![("customer_id[is]", "customer"), ("sort_by[desc]", "updated_at")], "second sub"),
    ] {
        let found = site.ids("/subscriptions", "subscription", &query).await;
        assert_eq!(found.join(" "), expected, "{query:?}");
    }
    assert_eq!(site.try_get("/subscriptions/third", &[]).await.status, 404);
}

#[tokio::test]
async fn items_and_prices_say_what_is_metered_and_how_it_adds_up() {
    let site = start().await;
    site.advance(5);
    let most = NewItemPrice::metered("peak").by(tallyd::sandbox::chargebee::Aggregation::Max);
    site.handle.create_item_price(most).expect("a new price");
    let item = site.get("/items/peak-item", &[]).await["item"].clone();
    assert_eq!((&item["metered"], &item["usage_calculation"]), (&json!(true), &json!("max_usage")));
    let plan = site.get("/items/basic-item", &[]).await["item"].clone();
    assert_eq!((&plan["metered"], plan.get("usage_calculation")), (&json!(false), None));
    assert_eq!(site.get("/item_prices/peak", &[]).await["item_price"]["item_id"], "peak-item");
    let after = START.to_string();
    let changed = [("updated_at[after]", after.as_str())];
    assert_eq!(site.ids("/item_prices", "item_price", &changed).await, ["peak"]);
    let page = site.get("/items", &[("limit", "2")]).await;
    assert_eq!(ids(&page, "item"), ["basic-item", "calls-item"]);
    let next = page["next_offset"].as_str().expect("there is more");
    let rest = site.get("/items", &[("limit", "2"), ("offset", next)]).await;
    assert_eq!(ids(&rest, "item"), ["peak-item"]);
    for row in rest["list"].as_array().expect("a list") {
        openapi::chargebee().check_object("Item", &row["item"]).expect("it fits its schema");
    }
    let configurations = site.get("/configurations", &[]).await["configurations"].clone();
    assert_eq!(configurations[0]["product_catalog_version"], "v2");
    assert_eq!(configurations[0]["chargebee_response_schema_type"], "items");
}
