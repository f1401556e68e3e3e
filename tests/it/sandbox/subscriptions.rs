//! Subscriptions: their periods, their changes and their ends.

use serde_json::{Value, json};

use crate::support::billing::{SUBSCRIPTIONS, seconds, text};
use crate::support::stripe::{Running, pairs, start};

/// The start and end of the current period.
fn period(subscription: &Value) -> (i64, i64) {
    let item = &subscription["items"]["data"][0];
    let second = |name: &str| item[name].as_i64().expect("a time");
    (second("current_period_start"), second("current_period_end"))
}

fn days(from: &str, until: &str) -> (i64, i64) {
    (seconds(from), seconds(until))
}

async fn update(sandbox: &Running, subscription: &Value, form: &[(&str, &str)]) -> Value {
    let path = format!("{SUBSCRIPTIONS}/{}", text(subscription, "id"));
    sandbox.post_for("subscription", &path, form).await
}

#[tokio::test]
async fn a_subscription_bills_by_the_month_from_its_beginning() {
    let sandbox = start().await;
    let created = sandbox.subscribe(&[("metadata[a]", "b")]).await;
    assert_eq!(text(&created, "status"), "active");
    assert_eq!(period(&created), days("2026-09-21T12:00:00Z", "2026-10-21T12:00:00Z"));
    assert_eq!(created["items"]["data"][0]["price"]["recurring"]["usage_type"], "metered");
    assert_eq!(sandbox.look(&created).await, created);
    sandbox.go_to("2026-10-21T11:59:59.999999Z");
    assert_eq!(sandbox.look(&created).await, created);
    sandbox.go_to("2026-10-21T12:00:00Z");
    let next = days("2026-10-21T12:00:00Z", "2026-11-21T12:00:00Z");
    assert_eq!(period(&sandbox.look(&created).await), next);
    sandbox.go_to("2027-05-01T00:00:00Z");
    let later = days("2027-04-21T12:00:00Z", "2027-05-21T12:00:00Z");
    assert_eq!(period(&sandbox.look(&created).await), later);
}

#[tokio::test]
async fn a_period_on_the_last_day_is_shortened_and_comes_back() {
    let sandbox = start().await;
    sandbox.go_to("2028-01-31T00:00:00Z");
    let created = sandbox.subscribe(&[]).await;
    for (at, until) in [
        ("2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"),
        ("2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z"),
        ("2028-04-30T00:00:00Z", "2028-05-31T00:00:00Z"),
    ] {
        sandbox.go_to(at);
        assert_eq!(period(&sandbox.look(&created).await), days(at, until));
    }
}

#[tokio::test]
async fn an_anchor_ends_the_first_period_early() {
    let sandbox = start().await;
    let anchor = seconds("2026-10-01T00:00:00Z").to_string();
    let created = sandbox.subscribe(&[("billing_cycle_anchor", &anchor)]).await;
    assert_eq!(period(&created), days("2026-09-21T12:00:00Z", "2026-10-01T00:00:00Z"));
    sandbox.go_to("2026-10-01T00:00:00Z");
    let next = days("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z");
    assert_eq!(period(&sandbox.look(&created).await), next);
    let price = sandbox.price("tokens", "1").await;
    for anchor in ["2026-10-01T00:00:00Z", "2026-11-01T00:00:01Z"] {
        let anchor = seconds(anchor).to_string();
        let form =
            [("customer", "cus_1"), ("items[0][price]", &price), ("billing_cycle_anchor", &anchor)];
        assert_eq!(sandbox.post(SUBSCRIPTIONS, &pairs(&form)).await.status, 400);
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_period_when_told_to() {
    let sandbox = start().await;
    let created = sandbox.subscribe(&[]).await;
    let told = update(&sandbox, &created, &[("cancel_at_period_end", "true")]).await;
    assert_eq!(told["cancel_at"], seconds("2026-10-21T12:00:00Z"));
    assert_eq!(told["canceled_at"], created["created"]);
    let kept = update(&sandbox, &created, &[("cancel_at_period_end", "false")]).await;
    assert_eq!(kept, created);
    update(&sandbox, &created, &[("cancel_at_period_end", "true")]).await;
    sandbox.go_to("2026-10-21T12:00:00Z");
    let ended = sandbox.look(&created).await;
    assert_eq!(text(&ended, "status"), "canceled");
    assert_eq!(ended["ended_at"], seconds("2026-10-21T12:00:00Z"));
    assert_eq!(period(&ended), days("2026-09-21T12:00:00Z", "2026-10-21T12:00:00Z"));
}

#[tokio::test]
async fn a_subscription_ends_at_the_time_it_was_given() {
    let sandbox = start().await;
    let at = seconds("2026-11-01T00:00:00Z").to_string();
    let created = sandbox.subscribe(&[("cancel_at", &at)]).await;
    assert_eq!(period(&created), days("2026-09-21T12:00:00Z", "2026-10-21T12:00:00Z"));
    sandbox.go_to("2026-10-31T23:59:59Z");
    let last = sandbox.look(&created).await;
    assert_eq!(period(&last), days("2026-10-21T12:00:00Z", "2026-11-01T00:00:00Z"));
    let kept = update(&sandbox, &created, &[("cancel_at", "")]).await;
    assert_eq!(period(&kept), days("2026-10-21T12:00:00Z", "2026-11-21T12:00:00Z"));
    update(&sandbox, &created, &[("cancel_at", &at)]).await;
    sandbox.go_to("2026-11-05T00:00:00Z");
    assert_eq!(sandbox.look(&created).await["ended_at"], seconds("2026-11-01T00:00:00Z"));
    let path = format!("{SUBSCRIPTIONS}/{}", text(&created, "id"));
    let late = pairs(&[("cancel_at_period_end", "true")]);
    assert_eq!(sandbox.post(&path, &late).await.status, 400);
    assert_eq!(sandbox.delete(&path, &[]).await.status, 404);
}

#[tokio::test]
async fn a_subscription_is_cancelled_at_once() {
    let sandbox = start().await;
    let created = sandbox.subscribe(&[]).await;
    sandbox.go_to("2026-09-22T00:00:00Z");
    let path = format!("{SUBSCRIPTIONS}/{}", text(&created, "id"));
    let ended = sandbox.delete(&path, &[]).await.body;
    assert_eq!(text(&ended, "status"), "canceled");
    assert_eq!(ended["ended_at"], seconds("2026-09-22T00:00:00Z"));
    assert_eq!(ended["canceled_at"], ended["ended_at"]);
    sandbox.go_to("2027-01-01T00:00:00Z");
    assert_eq!(sandbox.look(&created).await, ended);
}

#[tokio::test]
async fn a_paused_subscription_has_no_further_periods_until_it_is_resumed() {
    let sandbox = start().await;
    let created = sandbox.subscribe(&[]).await;
    let path = format!("{SUBSCRIPTIONS}/{}", text(&created, "id"));
    let pause = format!("{path}/pause");
    let paused = sandbox.post_for("subscription", &pause, &[]).await;
    assert_eq!(text(&paused, "status"), "paused");
    assert_eq!(sandbox.post(&pause, &pairs(&[])).await.status, 400);
    sandbox.go_to("2027-01-01T00:00:00Z");
    assert_eq!(period(&sandbox.look(&created).await), period(&created));
    let kept = [("billing_cycle_anchor", "unchanged")];
    let resumed = sandbox.post_for("subscription", &format!("{path}/resume"), &kept).await;
    assert_eq!(text(&resumed, "status"), "active");
    assert_eq!(period(&resumed), days("2026-12-21T12:00:00Z", "2027-01-21T12:00:00Z"));
    sandbox.post_for("subscription", &pause, &[]).await;
    let resumed = sandbox.post_for("subscription", &format!("{path}/resume"), &[]).await;
    assert_eq!(period(&resumed), days("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"));
}

#[tokio::test]
async fn a_change_of_plan_replaces_the_items() {
    let sandbox = start().await;
    let created = sandbox.subscribe(&[]).await;
    let item = text(&created["items"]["data"][0], "id").to_owned();
    let (other, third) = (sandbox.price("tokens", "1").await, sandbox.price("tokens", "3").await);
    let replaced =
        update(&sandbox, &created, &[("items[0][id]", &item), ("items[0][price]", &other)]).await;
    assert_eq!(text(&replaced["items"]["data"][0], "id"), item);
    assert_eq!(replaced["items"]["data"][0]["price"]["id"], json!(other));
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][deleted]", "true"),
        ("items[1][price]", &third),
    ];
    let moved = update(&sandbox, &created, &form).await;
    assert_eq!(moved["items"]["data"].as_array().map(Vec::len), Some(1));
    assert_ne!(text(&moved["items"]["data"][0], "id"), item);
    let path = format!("{SUBSCRIPTIONS}/{}", text(&created, "id"));
    for wrong in [
        vec![("items[0][id]", item.as_str()), ("items[0][deleted]", "true")],
        vec![("items[0][price]", third.as_str())],
        vec![("items[0][price]", "price_none")],
        vec![("items[0][quantity]", "1"), ("items[0][price]", other.as_str())],
        vec![("items[0]", "1")],
        vec![("cancel_at", "1")],
    ] {
        assert_eq!(sandbox.post(&path, &pairs(&wrong)).await.status, 400, "{wrong:?}");
    }
    assert_eq!(sandbox.look(&created).await, moved);
}

#[tokio::test]
async fn subscriptions_are_listed_by_customer_and_status() {
    let sandbox = start().await;
    let price = sandbox.price("tokens", "1").await;
    for customer in ["cus_1", "cus_2", "cus_1"] {
        let form = [("customer", customer), ("items[0][price]", price.as_str())];
        sandbox.post_for("subscription", SUBSCRIPTIONS, &form).await;
    }
    sandbox.delete(&format!("{SUBSCRIPTIONS}/sub_sandbox00000000"), &[]).await;
    for (query, expected) in [
        (vec![], vec![2, 1]),
        (vec![("status", "all")], vec![2, 1, 0]),
        (vec![("status", "canceled")], vec![0]),
        (vec![("status", "paused")], vec![]),
        (vec![("customer", "cus_1")], vec![2]),
        (vec![("customer", "cus_1"), ("status", "all")], vec![2, 0]),
        (vec![("price", price.as_str()), ("limit", "1")], vec![2]),
        (vec![("created[lt]", "1")], vec![]),
        (vec![("created[gte]", "1")], vec![2, 1]),
    ] {
        let listed = sandbox.get(SUBSCRIPTIONS, &query).await.body;
        let expected: Vec<String> =
            expected.iter().map(|place| format!("sub_sandbox{place:08}")).collect();
        let rows = listed["data"].as_array().expect("rows");
        let ids: Vec<&str> = rows.iter().map(|row| text(row, "id")).collect();
        assert_eq!(ids, expected, "{query:?}");
    }
}
