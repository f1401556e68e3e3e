//! Meters: how one is made, listed and switched off.

use serde_json::Value;
use tallyd::sandbox::stripe::{Formula, NewMeter};

use crate::support::openapi::check_request;
use crate::support::stripe::{METERS, NOON, Pairs, pairs, start, start_with};

fn new_meter(event_name: &str) -> Pairs {
    pairs(&[
        ("display_name", "Calls"),
        ("event_name", event_name),
        ("default_aggregation[formula]", "count"),
        ("event_time_window", "hour"),
        ("customer_mapping[type]", "by_id"),
        ("customer_mapping[event_payload_key]", "who"),
        ("value_settings[event_payload_key]", "calls"),
    ])
}

#[tokio::test]
async fn a_meter_is_created_as_asked_and_can_be_retrieved() {
    let sandbox = start().await;
    check_request("POST", METERS, &new_meter("calls")).expect("the request fits the schema");
    let created = sandbox.post(METERS, &new_meter("calls")).await;
    assert_eq!(created.status, 200, "{}", created.text);
    assert_eq!(created.body["created"], NOON);
    assert_eq!(created.body["status"], "active");
    assert_eq!(created.body["event_time_window"], "hour");
    assert_eq!(created.body["default_aggregation"]["formula"], "count");
    assert_eq!(created.body["customer_mapping"]["event_payload_key"], "who");
    assert_eq!(created.body["value_settings"]["event_payload_key"], "calls");
    let path = format!("{METERS}/{}", created.body["id"].as_str().expect("an id"));
    assert_eq!(sandbox.get(&path, &[]).await.body, created.body);
}

#[tokio::test]
async fn a_plain_meter_has_stripes_payload_keys_and_no_window() {
    let sandbox = start().await;
    let plain = pairs(&[
        ("display_name", "Calls"),
        ("event_name", "calls"),
        ("default_aggregation[formula]", "sum"),
    ]);
    let created = sandbox.post(METERS, &plain).await;
    assert_eq!(created.body["customer_mapping"]["event_payload_key"], "stripe_customer_id");
    assert_eq!(created.body["value_settings"]["event_payload_key"], "value");
    assert_eq!(created.body["event_time_window"], Value::Null);
}

#[tokio::test]
async fn a_meter_that_makes_no_sense_is_refused() {
    let sandbox = start().await;
    let good = new_meter("calls");
    let changed = |name: &str, value: Option<&str>| -> Pairs {
        let mut pairs: Pairs = good.iter().filter(|(other, _)| other != name).cloned().collect();
        pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        pairs
    };
    let long = "x".repeat(251);
    let cases = [
        changed("display_name", None),
        changed("display_name", Some(&long)),
        changed("event_name", Some(&long)),
        changed("default_aggregation[formula]", None),
        changed("default_aggregation[formula]", Some("max")),
        changed("event_time_window", Some("week")),
        changed("customer_mapping[type]", None),
        changed("customer_mapping[type]", Some("by_name")),
        changed("customer_mapping[event_payload_key]", None),
        changed("colour", Some("red")),
    ];
    for case in cases {
        assert_eq!(sandbox.post(METERS, &case).await.status, 400, "{case:?}");
    }
    assert_eq!(sandbox.handle.meters().len(), 1);
}

#[tokio::test]
async fn an_event_name_belongs_to_one_meter() {
    let sandbox = start().await;
    assert_eq!(sandbox.post(METERS, &new_meter("calls")).await.status, 200);
    assert_eq!(sandbox.post(METERS, &new_meter("calls")).await.status, 400);
}

#[tokio::test]
async fn only_the_display_name_of_a_meter_changes() {
    let sandbox = start().await;
    let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
    sandbox.clock.advance_micros(5_000_000);
    let renamed = sandbox.post(&path, &pairs(&[("display_name", "Words")])).await;
    assert_eq!(renamed.body["display_name"], "Words");
    assert_eq!(renamed.body["updated"], NOON + 5);
    let reply = sandbox.post(&path, &pairs(&[("event_name", "words")])).await;
    assert_eq!(reply.body["error"]["code"], "parameter_unknown");
}

#[tokio::test]
async fn a_meter_is_switched_off_and_on_again() {
    let sandbox = start().await;
    let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
    let none = Pairs::new();
    let off = sandbox.post(&format!("{path}/deactivate"), &none).await;
    assert_eq!(off.body["status"], "inactive");
    assert_eq!(off.body["status_transitions"]["deactivated_at"], NOON);
    assert_eq!(sandbox.post(&format!("{path}/deactivate"), &none).await.status, 400);
    let on = sandbox.post(&format!("{path}/reactivate"), &none).await;
    assert_eq!(on.body["status"], "active");
    assert_eq!(on.body["status_transitions"]["deactivated_at"], Value::Null);
}

#[tokio::test]
async fn a_meter_that_does_not_exist_is_not_found() {
    let sandbox = start().await;
    let range = [("customer", "cus_1"), ("start_time", "0"), ("end_time", "60")];
    let summaries = format!("{METERS}/mtr_none/event_summaries");
    assert_eq!(sandbox.get(&summaries, &range).await.status, 404);
    let reply = sandbox.get(&format!("{METERS}/mtr_none"), &[]).await;
    assert_eq!(reply.body["error"]["code"], "resource_missing");
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn meters_are_listed_newest_first_in_pages() {
    let sandbox = start_with(|settings| {
        settings.meters.clear();
        for place in 0..12 {
            settings.meters.push(NewMeter::new(&format!("m{place}"), Formula::Sum));
        }
    })
    .await;
    let names = |body: &Value| -> Vec<String> {
        let rows = body["data"].as_array().expect("rows");
        rows.iter().map(|row| row["event_name"].as_str().expect("a name").to_owned()).collect()
    };
    let first = sandbox.get(METERS, &[]).await.body;
    assert_eq!(names(&first).len(), 10);
    assert_eq!(names(&first)[0], "m11");
    assert_eq!(first["has_more"], true);
    let last = first["data"][9]["id"].as_str().expect("an id").to_owned();
    let second = sandbox.get(METERS, &[("starting_after", &last)]).await.body;
    assert_eq!(names(&second), ["m1", "m0"]);
    assert_eq!(second["has_more"], false);
    let back = sandbox.get(METERS, &[("ending_before", &last), ("limit", "2")]).await.body;
    assert_eq!(names(&back), ["m4", "m3"]);
    assert_eq!(back["has_more"], true);
    let path = format!("{METERS}/{}/deactivate", sandbox.meter_id("m5"));
    sandbox.post(&path, &Pairs::new()).await;
    assert_eq!(names(&sandbox.get(METERS, &[("status", "inactive")]).await.body), ["m5"]);
}
