//! Invoices: which usage is on which, and from when on it stays.

use std::time::Duration;

use serde_json::Value;
use tallyd::sandbox::stripe::{Formula, NewMeter, Settings, TimeWindow};

use crate::support::billing::{SUBSCRIPTIONS, seconds, text};
use crate::support::stripe::{ADJUSTMENTS, Running, event_of, pairs, start, start_with};

const INVOICES: &str = "/v1/invoices";

/// Every invoice, oldest first, as `status billing_reason quantities`.
async fn invoices(sandbox: &Running) -> Vec<String> {
    let listed = sandbox.get(INVOICES, &[("limit", "100")]).await.body;
    let rows = listed["data"].as_array().expect("rows").iter().rev();
    let line = |invoice: &Value| {
        let lines = invoice["lines"]["data"].as_array().expect("lines");
        let quantities: Vec<&str> = lines.iter().map(|it| text(it, "quantity_decimal")).collect();
        let (status, reason) = (text(invoice, "status"), text(invoice, "billing_reason"));
        format!("{status} {reason} {}", quantities.join(" "))
    };
    rows.map(line).collect()
}

fn path_of(subscription: &Value) -> String {
    format!("{SUBSCRIPTIONS}/{}", text(subscription, "id"))
}

#[tokio::test]
async fn an_ended_period_is_drafted_and_finalized_after_its_grace() {
    let sandbox = start().await;
    let subscription = sandbox.subscribe(&[]).await;
    sandbox.use_at("a", "1.25", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2026-10-21T11:59:59Z");
    assert_eq!(invoices(&sandbox).await, [""; 0]);
    sandbox.use_at("b", "2", "2026-10-21T11:59:59Z").await;
    sandbox.go_to("2026-10-21T12:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["draft subscription_cycle 3.25"]);
    let id = text(&sandbox.look(&subscription).await, "latest_invoice").to_owned();
    let draft = sandbox.get(&format!("{INVOICES}/{id}"), &[]).await.body;
    assert_eq!(draft["created"], seconds("2026-10-21T12:00:00Z"));
    assert_eq!(draft["automatically_finalizes_at"], seconds("2026-10-21T13:00:00Z"));
    assert_eq!(draft["parent"]["subscription_details"]["subscription"], subscription["id"]);
    sandbox.go_to("2026-10-21T13:00:00Z");
    let open = sandbox.get(&format!("{INVOICES}/{id}"), &[]).await.body;
    assert_eq!(text(&open, "status"), "open");
    assert_eq!(open["status_transitions"]["finalized_at"], seconds("2026-10-21T13:00:00Z"));
    let line = &open["lines"]["data"][0];
    assert_eq!((&line["quantity"], &line["amount"]), (&Value::from(3), &Value::from(8)));
    assert_eq!(line["period"]["start"], seconds("2026-09-21T12:00:00Z"));
    assert_eq!(line["period"]["end"], seconds("2026-10-21T12:00:00Z"));
    let listed = sandbox.get(&format!("{INVOICES}/{id}/lines"), &[]).await.body;
    assert_eq!(listed["data"], open["lines"]["data"]);
    assert_eq!(sandbox.get(&format!("{INVOICES}/in_none"), &[]).await.status, 404);
}

#[tokio::test]
async fn usage_of_the_period_counts_until_its_invoice_is_finalized_and_never_after() {
    let sandbox = start().await;
    sandbox.subscribe(&[]).await;
    sandbox.go_to("2026-10-21T12:59:59.999999Z");
    sandbox.use_at("last", "1", "2026-10-21T11:59:59Z").await;
    sandbox.use_at("next", "20", "2026-10-21T12:00:00Z").await;
    assert_eq!(invoices(&sandbox).await, ["draft subscription_cycle 1"]);
    sandbox.go_to("2026-10-21T13:00:00Z");
    sandbox.use_at("late", "300", "2026-10-21T11:59:59Z").await;
    assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 1"]);
    sandbox.go_to("2026-12-01T00:00:00Z");
    let both = ["open subscription_cycle 1", "open subscription_cycle 20"];
    assert_eq!(invoices(&sandbox).await, both);
    assert_eq!(sandbox.books(), ["tokens cus_1 321 3"]);
}

#[tokio::test]
async fn usage_from_before_the_subscription_is_on_no_invoice() {
    let sandbox = start().await;
    sandbox.subscribe(&[]).await;
    sandbox.use_at("early", "7", "2026-09-21T11:59:59Z").await;
    sandbox.go_to("2026-10-21T12:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["draft subscription_cycle 0"]);
}

#[tokio::test]
async fn the_grace_is_a_setting_of_up_to_three_days() {
    let grace = |hours: u64| {
        move |settings: &mut Settings| {
            settings.invoice_grace = Duration::from_secs(hours * 3_600);
        }
    };
    for (hours, until) in [(0, "2026-10-21T12:00:00Z"), (72, "2026-10-24T12:00:00Z")] {
        let sandbox = start_with(grace(hours)).await;
        sandbox.subscribe(&[]).await;
        let second = seconds(until) - 1;
        if hours > 0 {
            sandbox
                .handle
                .advance_to(tallyd::domain::time::Timestamp::from_seconds(second))
                .unwrap();
            assert_eq!(invoices(&sandbox).await, ["draft subscription_cycle 0"]);
        }
        sandbox.go_to(until);
        assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 0"]);
    }
    let sandbox = start().await;
    let day = Duration::from_secs(86_400);
    sandbox.handle.set_invoice_grace(4 * day).expect_err("three days are the most");
    sandbox.handle.set_invoice_grace(3 * day).expect("three days are allowed");
}

#[tokio::test]
async fn what_is_still_lagging_when_an_invoice_is_finalized_was_received_all_the_same() {
    let lag = Duration::from_secs(60);
    let sandbox = start_with(|settings| settings.lag = lag).await;
    sandbox.subscribe(&[]).await;
    sandbox.go_to("2026-10-21T12:59:59Z");
    sandbox.use_at("a", "1", "2026-10-21T11:00:00Z").await;
    sandbox.use_at("b", "2", "2026-10-21T11:00:00Z").await;
    let cancel = [("event_name", "tokens"), ("type", "cancel"), ("cancel[identifier]", "b")];
    assert_eq!(sandbox.post(ADJUSTMENTS, &pairs(&cancel)).await.status, 200);
    sandbox.go_to("2026-10-21T13:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 1"]);
    // A cancellation after the invoice does not change it.
    let cancel = [("event_name", "tokens"), ("type", "cancel"), ("cancel[identifier]", "a")];
    assert_eq!(sandbox.post(ADJUSTMENTS, &pairs(&cancel)).await.status, 200);
    sandbox.go_to("2026-10-22T00:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 1"]);
    assert_eq!(sandbox.books(), ["tokens cus_1 0 0"; 1]);
}

#[tokio::test]
async fn a_net_below_zero_is_billed_as_nothing() {
    let sandbox = start().await;
    sandbox.subscribe(&[]).await;
    sandbox.use_at("a", "1", "2026-09-21T12:00:00Z").await;
    sandbox.use_at("b", "-5", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2026-10-21T13:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 0"]);
}

#[tokio::test]
async fn every_formula_is_billed_by_its_own_rule() {
    let sandbox = start_with(|settings| {
        settings.meters = vec![
            NewMeter::new("count", Formula::Count),
            NewMeter::new("last", Formula::Last),
            NewMeter::new("hourly", Formula::Sum).pre_aggregated(TimeWindow::Hour),
        ];
    })
    .await;
    for name in ["count", "last", "hourly"] {
        let price = sandbox.price(name, "1").await;
        let form = [("customer", "cus_1"), ("items[0][price]", price.as_str())];
        sandbox.post_for("subscription", SUBSCRIPTIONS, &form).await;
        for (place, (value, time)) in [
            ("7", "2026-09-21T12:00:01Z"),
            ("5", "2026-09-21T12:00:00Z"),
            ("2", "2026-09-21T11:59:59Z"),
        ]
        .into_iter()
        .enumerate()
        {
            let identifier = format!("{name}{place}");
            sandbox.accept(&event_of(name, "cus_1", &identifier, value, seconds(time))).await;
        }
    }
    sandbox.go_to("2026-10-21T13:00:00Z");
    // The hour from 12:00 was last told 5; the one before it lies outside.
    let expected = ["2", "7", "5"].map(|used| format!("open subscription_cycle {used}"));
    assert_eq!(invoices(&sandbox).await, expected);
}

#[tokio::test]
async fn a_cancellation_bills_the_open_period_only_when_asked_to() {
    for (invoice_now, expected) in [
        (None, vec![]),
        (Some("false"), vec![]),
        (Some("true"), vec!["open subscription_update 3".to_owned()]),
    ] {
        let sandbox = start().await;
        let subscription = sandbox.subscribe(&[]).await;
        sandbox.use_at("a", "3", "2026-09-21T12:00:00Z").await;
        sandbox.go_to("2026-09-30T00:00:00Z");
        let form: Vec<_> = invoice_now.map(|flag| ("invoice_now", flag)).into_iter().collect();
        assert_eq!(sandbox.delete(&path_of(&subscription), &form).await.status, 200);
        sandbox.use_at("b", "4", "2026-09-29T00:00:00Z").await;
        sandbox.go_to("2026-12-01T00:00:00Z");
        assert_eq!(invoices(&sandbox).await, expected, "{invoice_now:?}");
    }
}

#[tokio::test]
async fn a_period_that_was_cut_short_is_billed_with_its_grace() {
    let sandbox = start().await;
    let at = seconds("2026-10-01T00:00:00Z").to_string();
    let subscription = sandbox.subscribe(&[("cancel_at", &at)]).await;
    sandbox.use_at("a", "3", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2026-10-01T00:30:00Z");
    assert_eq!(text(&sandbox.look(&subscription).await, "status"), "canceled");
    sandbox.use_at("b", "4", "2026-09-30T23:59:59Z").await;
    sandbox.use_at("c", "50", "2026-10-01T00:00:00Z").await;
    sandbox.go_to("2026-12-01T00:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 7"]);
}

#[tokio::test]
async fn a_change_of_plan_freezes_what_the_old_price_bills() {
    let sandbox = start().await;
    let subscription = sandbox.subscribe(&[]).await;
    sandbox.use_at("a", "3", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2026-10-01T00:00:00Z");
    let price = sandbox.price("tokens", "1").await;
    let item = text(&subscription["items"]["data"][0], "id").to_owned();
    let form = [("items[0][id]", item.as_str()), ("items[0][price]", &price)];
    sandbox.post_for("subscription", &path_of(&subscription), &form).await;
    sandbox.use_at("dropped", "40", "2026-09-30T23:59:59Z").await;
    sandbox.use_at("b", "500", "2026-10-01T00:00:00Z").await;
    sandbox.go_to("2026-10-21T13:00:00Z");
    assert_eq!(invoices(&sandbox).await, ["open subscription_cycle 3 500"]);
}

#[tokio::test]
async fn a_leap_over_years_makes_every_invoice_in_its_order() {
    let sandbox = start().await;
    let subscription = sandbox.subscribe(&[]).await;
    sandbox.use_at("a", "3", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2028-09-21T12:30:00Z");
    let made = invoices(&sandbox).await;
    assert_eq!(made.len(), 24);
    assert_eq!(
        (made[0].as_str(), made[1].as_str()),
        ("open subscription_cycle 3", "open subscription_cycle 0",)
    );
    assert_eq!(made[23], "draft subscription_cycle 0");
    let before = (seconds("2028-09-21T12:00:00Z") - 1).to_string();
    for (query, count) in [
        (vec![("status", "draft")], 1),
        (vec![("customer", "cus_2")], 0),
        (vec![("subscription", text(&subscription, "id"))], 10),
        (vec![("created[gt]", &before)], 1),
    ] {
        let listed = sandbox.get(INVOICES, &query).await.body;
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(count), "{query:?}");
    }
}
