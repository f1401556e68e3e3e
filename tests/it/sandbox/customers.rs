//! Customers: created, named, deleted.

use tallyd::sandbox::stripe::{Customers, EventStatus, RejectionCode};

use crate::support::billing::{SUBSCRIPTIONS, text};
use crate::support::stripe::{METERS, event, pairs, start, start_with};

const CUSTOMERS: &str = "/v1/customers";
const UNKNOWN: EventStatus = EventStatus::Rejected(RejectionCode::MeterEventCustomerNotFound);

#[tokio::test]
async fn a_customer_is_created_changed_listed_and_deleted() {
    let sandbox = start().await;
    let form = [("name", "Ada"), ("email", "ada@example.com"), ("metadata[team]", "a")];
    let created = sandbox.post_for("customer", CUSTOMERS, &form).await;
    let path = format!("{CUSTOMERS}/{}", text(&created, "id"));
    assert_eq!(sandbox.get(&path, &[]).await.body, created);
    let form = [("name", "Grace"), ("metadata[plan]", "b")];
    let changed = sandbox.post_for("customer", &path, &form).await;
    assert_eq!((text(&changed, "name"), text(&changed, "email")), ("Grace", "ada@example.com"));
    assert_eq!(changed["metadata"], serde_json::json!({ "plan": "b", "team": "a" }));
    assert_eq!(sandbox.get(CUSTOMERS, &[]).await.body["data"], serde_json::json!([changed]));
    assert_eq!(sandbox.delete(&path, &[]).await.body["deleted"], true);
    assert_eq!(sandbox.get(&path, &[]).await.body["deleted"], true);
    assert_eq!(sandbox.get(CUSTOMERS, &[]).await.body["data"], serde_json::json!([]));
    assert_eq!(sandbox.delete(&path, &[]).await.status, 404);
    assert_eq!(sandbox.post(&path, &pairs(&[("name", "Ada")])).await.status, 404);
}

#[tokio::test]
async fn any_customer_exists_until_it_is_deleted() {
    let sandbox = start().await;
    sandbox.accept(&event("a", "1")).await;
    let listed = sandbox.get(CUSTOMERS, &[]).await;
    assert_eq!(text(&listed.body["data"][0], "id"), "cus_1");
    assert_eq!(sandbox.get(&format!("{CUSTOMERS}/cus_2"), &[]).await.status, 200);
    assert_eq!(sandbox.get(&format!("{CUSTOMERS}/2"), &[]).await.status, 404);
    assert_eq!(sandbox.delete(&format!("{CUSTOMERS}/cus_1"), &[]).await.status, 200);
    // The API takes the event all the same: customers are looked for later.
    sandbox.accept(&event("b", "1")).await;
    let became: Vec<EventStatus> = sandbox.handle.events().iter().map(|it| it.status).collect();
    assert_eq!(became, [EventStatus::Counted, UNKNOWN]);
    let range = [("customer", "cus_1"), ("start_time", "0"), ("end_time", "60")];
    let path = format!("{METERS}/{}/event_summaries", sandbox.meter_id("tokens"));
    assert_eq!(sandbox.get(&path, &range).await.status, 400);
}

#[tokio::test]
async fn in_strict_mode_only_created_customers_exist() {
    let sandbox = start_with(|settings| settings.customers = Customers::Created).await;
    sandbox.accept(&event("a", "1")).await;
    assert_eq!(sandbox.handle.events()[0].status, UNKNOWN);
    assert_eq!(sandbox.get(&format!("{CUSTOMERS}/cus_1"), &[]).await.status, 404);
    let price = sandbox.price("tokens", "1").await;
    let mut form = vec![("customer", "cus_1"), ("items[0][price]", price.as_str())];
    assert_eq!(sandbox.post(SUBSCRIPTIONS, &pairs(&form)).await.status, 400);
    let created = sandbox.post_for("customer", CUSTOMERS, &[]).await;
    form[0].1 = text(&created, "id");
    sandbox.post_for("subscription", SUBSCRIPTIONS, &form).await;
}

#[tokio::test]
async fn deleting_a_customer_ends_its_subscriptions_at_once() {
    let sandbox = start().await;
    let subscription = sandbox.subscribe(&[]).await;
    sandbox.delete(&format!("{CUSTOMERS}/cus_1"), &[]).await;
    let after = sandbox.look(&subscription).await;
    assert_eq!(text(&after, "status"), "canceled");
    assert_eq!(after["ended_at"], subscription["created"]);
}
