//! What the sandbox announces: events in both forms, and the reports of late rejections.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tallyd::sandbox::faults::{FaultKind, Faults};

use crate::support::billing::{SUBSCRIPTIONS, seconds, text};
use crate::support::openapi::check_object;
use crate::support::stripe::{METERS, Running, event_of, pairs, start, start_with};

const SNAPSHOTS: &str = "/v1/events";
const THIN: &str = "/v2/core/events";
const REPORT: &str = "v1.billing.meter.error_report_triggered";
const NO_METER: &str = "v1.billing.meter.no_meter_found";

async fn rows(sandbox: &Running, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
    let reply = sandbox.get(path, query).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["data"].as_array().expect("rows").clone()
}

/// The types of all snapshots, oldest first.
async fn told(sandbox: &Running) -> Vec<String> {
    let rows = rows(sandbox, SNAPSHOTS, &[("limit", "100")]).await;
    rows.iter().rev().map(|row| text(row, "type").to_owned()).collect()
}

/// Sends events that are rejected later, each of its own customer, and lets the window close.
async fn reject(sandbox: &Running, kind: FaultKind, count: usize) {
    let faults = Faults { next: vec![kind; count].into(), ..Faults::default() };
    sandbox.handle.set_faults(faults).expect("sound faults");
    for place in 0..count {
        let (customer, identifier) = (format!("cus_{place}"), format!("doomed-{place}"));
        let event =
            event_of("tokens", &customer, &identifier, "1", seconds("2026-09-21T12:00:00Z"));
        sandbox.accept(&event).await;
    }
    sandbox.handle.advance(Duration::from_secs(10));
}

/// Holds a report against its schema, which does not know the older form of a request.
fn check(schema: &str, report: &Value) {
    let mut report = report.clone();
    let types = report["data"]["reason"]["error_types"].as_array_mut().expect("types");
    for sample in types.iter_mut().flat_map(|it| it["sample_errors"].as_array_mut().unwrap()) {
        if sample["request"].get("idempotency_key").is_some() {
            sample["request"]["identifier"] = json!("");
        }
    }
    check_object(schema, &report).expect("the report fits its schema");
}

/// The only thin event there is, with its data.
async fn only_report(sandbox: &Running) -> Value {
    let listed = rows(sandbox, THIN, &[]).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].get("data"), None, "the list has no data");
    let whole = sandbox.get(&format!("{THIN}/{}", text(&listed[0], "id")), &[]).await.body;
    assert_eq!((&whole["id"], &whole["type"]), (&listed[0]["id"], &listed[0]["type"]));
    whole
}

#[tokio::test]
async fn the_life_of_a_subscription_is_told_in_order() {
    let sandbox = start().await;
    let anchor = seconds("2026-10-01T00:00:00Z").to_string();
    let subscription = sandbox.subscribe(&[("billing_cycle_anchor", &anchor)]).await;
    let path = format!("{SUBSCRIPTIONS}/{}", text(&subscription, "id"));
    sandbox.post_for("subscription", &path, &[("cancel_at_period_end", "true")]).await;
    // A request that changes nothing tells nothing.
    sandbox.post_for("subscription", &path, &[("cancel_at_period_end", "true")]).await;
    sandbox.post_for("subscription", &path, &[("cancel_at_period_end", "false")]).await;
    sandbox.post_for("subscription", &format!("{path}/pause"), &[]).await;
    let unchanged = [("billing_cycle_anchor", "unchanged")];
    sandbox.post_for("subscription", &format!("{path}/resume"), &unchanged).await;
    sandbox.go_to("2026-10-01T01:00:00Z");
    sandbox.delete("/v1/customers/cus_1", &[]).await;
    let expected = [
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.updated",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "invoice.created",
        "customer.subscription.updated",
        "invoice.finalized",
        "customer.subscription.deleted",
        "customer.deleted",
    ];
    assert_eq!(told(&sandbox).await, expected);
    let events = rows(&sandbox, SNAPSHOTS, &[("limit", "100")]).await;
    assert_eq!(events[8]["data"]["previous_attributes"]["cancel_at_period_end"], false);
    assert_eq!(events[9]["data"]["object"], subscription);
    assert_eq!(events[4]["data"]["object"]["status"], "draft");
    assert_eq!(events[2]["data"]["object"]["status"], "open");
    assert_eq!(events[2]["created"], seconds("2026-10-01T01:00:00Z"));
    assert_eq!(events[0]["data"]["object"]["id"], "cus_1");
    let one = sandbox.get(&format!("{SNAPSHOTS}/{}", text(&events[3], "id")), &[]).await;
    assert_eq!(one.body, events[3]);
}

#[tokio::test]
async fn a_leap_in_time_tells_everything_at_the_time_it_happened() {
    let sandbox = start().await;
    let cancel_at = seconds("2026-11-01T00:00:00Z").to_string();
    sandbox.subscribe(&[("cancel_at", &cancel_at)]).await;
    sandbox.go_to("2026-11-05T00:00:00Z");
    let events = rows(&sandbox, SNAPSHOTS, &[("limit", "100")]).await;
    let seen: Vec<(&str, i64)> = events
        .iter()
        .rev()
        .map(|it| (text(it, "type"), it["created"].as_i64().expect("a time")))
        .collect();
    let first = seconds("2026-10-21T12:00:00Z");
    let end = seconds("2026-11-01T00:00:00Z");
    assert_eq!(
        seen,
        [
            ("invoice.created", first),
            ("customer.subscription.updated", first),
            ("invoice.finalized", first + 3_600),
            ("invoice.created", end),
            ("customer.subscription.deleted", end),
            ("invoice.finalized", end + 3_600),
        ]
    );
}

#[tokio::test]
async fn a_meter_tells_when_it_is_renamed_and_switched() {
    let sandbox = start().await;
    let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
    sandbox.post(&path, &pairs(&[("display_name", "Words")])).await;
    sandbox.post(&format!("{path}/deactivate"), &pairs(&[])).await;
    sandbox.post(&format!("{path}/reactivate"), &pairs(&[])).await;
    let expected =
        ["billing.meter.updated", "billing.meter.deactivated", "billing.meter.reactivated"];
    assert_eq!(told(&sandbox).await, expected);
    let query = [("type", "billing.meter.updated")];
    let renamed = rows(&sandbox, SNAPSHOTS, &query).await;
    assert_eq!(renamed[0]["data"]["previous_attributes"], json!({ "display_name": "tokens" }));
}

#[tokio::test]
async fn events_are_listed_by_type_and_time_in_pages_for_thirty_days() {
    let sandbox = start().await;
    let path = format!("{METERS}/{}", sandbox.meter_id("tokens"));
    for place in 0..12 {
        sandbox.post(&path, &pairs(&[("display_name", &format!("m{place}"))])).await;
        sandbox.clock.advance_micros(1_000_000);
    }
    let first = sandbox.get(SNAPSHOTS, &[]).await.body;
    assert_eq!(
        (first["data"].as_array().map(Vec::len), &first["has_more"]),
        (Some(10), &json!(true))
    );
    let last = text(&first["data"][9], "id").to_owned();
    let second = sandbox.get(SNAPSHOTS, &[("starting_after", &last)]).await.body;
    assert_eq!(
        (second["data"].as_array().map(Vec::len), &second["has_more"]),
        (Some(2), &json!(false))
    );
    let back = rows(&sandbox, SNAPSHOTS, &[("ending_before", &last), ("limit", "2")]).await;
    assert_eq!(back, first["data"].as_array().unwrap()[7..9]);
    let noon = seconds("2026-09-21T12:00:00Z");
    let (from, until) = ((noon + 3).to_string(), (noon + 5).to_string());
    let types = ["billing.meter.updated", "customer.deleted"];
    for (query, count) in [
        (vec![("created[gte]", from.as_str()), ("created[lt]", &until)], 2),
        (vec![("created[gt]", from.as_str()), ("created[lte]", &until)], 2),
        (vec![("created", from.as_str())], 1),
        (vec![("types[]", types[0]), ("types[]", types[1]), ("limit", "100")], 12),
        (vec![("types[0]", types[1])], 0),
        (vec![("type", "customer.deleted")], 0),
    ] {
        assert_eq!(rows(&sandbox, SNAPSHOTS, &query).await.len(), count, "{query:?}");
    }
    for wrong in [
        vec![("type", "a"), ("types[0]", "b")],
        vec![("created[after]", "1")],
        vec![("created", "noon")],
        vec![("starting_after", "evt_none")],
    ] {
        assert_eq!(sandbox.get(SNAPSHOTS, &wrong).await.status, 400, "{wrong:?}");
    }
    sandbox.go_to("2026-10-21T12:00:05.999999Z");
    assert_eq!(rows(&sandbox, SNAPSHOTS, &[("limit", "100")]).await.len(), 6);
    assert_eq!(sandbox.get(&format!("{SNAPSHOTS}/{last}"), &[]).await.status, 404);
}

#[tokio::test]
async fn what_was_rejected_later_is_reported_with_its_window() {
    let sandbox = start().await;
    let faults = Faults { next: [FaultKind::RejectedLater].into(), ..Faults::default() };
    sandbox.go_to("2026-09-21T12:00:13Z");
    sandbox.handle.set_faults(faults).expect("sound faults");
    sandbox.use_at("doomed", "1", "2026-09-21T12:00:00Z").await;
    sandbox.use_at("sound", "1", "2026-09-21T12:00:00Z").await;
    sandbox.use_at("odd", "many", "2026-09-21T12:00:00Z").await;
    sandbox.go_to("2026-09-21T12:00:19.999999Z");
    assert_eq!(rows(&sandbox, THIN, &[]).await, [json!(null); 0]);
    sandbox.go_to("2026-09-21T12:00:20Z");
    let report = only_report(&sandbox).await;
    check(REPORT, &report);
    assert_eq!(text(&report, "created"), "2026-09-21T12:00:20Z");
    let meter = sandbox.meter_id("tokens");
    assert_eq!(report["related_object"]["id"], meter.as_str());
    assert_eq!(report["related_object"]["url"], format!("{METERS}/{meter}"));
    assert_eq!(report["data"]["validation_start"], "2026-09-21T12:00:10Z");
    assert_eq!(report["data"]["validation_end"], "2026-09-21T12:00:20Z");
    assert_eq!(report["data"]["reason"]["error_count"], 2);
    let types = report["data"]["reason"]["error_types"].as_array().expect("types");
    let codes: Vec<&str> = types.iter().map(|it| text(it, "code")).collect();
    assert_eq!(codes, ["meter_event_customer_not_found", "meter_event_invalid_value"]);
    assert_eq!(sandbox.get(&format!("{THIN}/evt_none"), &[]).await.status, 404);
}

#[tokio::test]
async fn a_report_counts_exactly_and_names_ten_at_most() {
    for (count, named) in [(10, 10), (11, 10), (40, 10)] {
        let sandbox = start().await;
        reject(&sandbox, FaultKind::RejectedLater, count).await;
        let report = only_report(&sandbox).await;
        let part = &report["data"]["reason"]["error_types"][0];
        assert_eq!(part["error_count"], count);
        assert_eq!(part["sample_errors"].as_array().map(Vec::len), Some(named));
    }
}

#[tokio::test]
async fn samples_come_in_both_forms_and_follow_the_seed() {
    let mut seen = BTreeSet::new();
    let mut forms = BTreeSet::new();
    for seed in [1, 1, 2] {
        let sandbox = start_with(|settings| settings.report_seed = seed).await;
        reject(&sandbox, FaultKind::RejectedLater, 30).await;
        let report = only_report(&sandbox).await;
        let samples = report["data"]["reason"]["error_types"][0]["sample_errors"].clone();
        for sample in samples.as_array().expect("samples") {
            let fields = sample["request"].as_object().expect("a request");
            forms.insert(fields.keys().cloned().collect::<Vec<String>>().join(" "));
        }
        seen.insert(samples.to_string());
    }
    assert_eq!(seen.len(), 2, "the same seed names the same events");
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["id idempotency_key", "identifier"]);
}

#[tokio::test]
async fn what_has_no_meter_is_reported_without_one() {
    let sandbox = start().await;
    reject(&sandbox, FaultKind::NoMeterLater, 2).await;
    let report = only_report(&sandbox).await;
    check(NO_METER, &report);
    assert_eq!(text(&report, "type"), NO_METER);
    assert_eq!(report.get("related_object"), None);
    let part = &report["data"]["reason"]["error_types"][0];
    assert_eq!((text(part, "code"), &part["error_count"]), ("no_meter", &json!(2)));
    let message = &part["sample_errors"][0]["error_message"];
    assert_eq!(message, "No meter was found matching event_name tokens.");
    assert_eq!(sandbox.books(), [""; 0]);
}

#[tokio::test]
async fn thin_events_are_listed_by_type_and_time_in_pages() {
    let sandbox = start().await;
    for _ in 0..3 {
        reject(&sandbox, FaultKind::RejectedLater, 1).await;
        sandbox.handle.advance(Duration::from_secs(25 * 3_600));
    }
    let query = [("limit", "2"), ("types[0]", REPORT), ("created[gte]", "2026-09-21T00:00:00Z")];
    let first = sandbox.get(THIN, &query).await.body;
    assert_eq!(first["data"].as_array().map(Vec::len), Some(2));
    let next = text(&first, "next_page_url").to_owned();
    let (path, query) = next.split_once('?').expect("a query");
    let query: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let query: Vec<(&str, &str)> =
        query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let second = sandbox.get(path, &query).await.body;
    assert_eq!(second["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["next_page_url"], Value::Null);
    let meter = sandbox.meter_id("tokens");
    for (query, count) in [
        (vec![("types[0]", NO_METER)], 0),
        (vec![("object_id", meter.as_str())], 3),
        (vec![("object_id", "mtr_other")], 0),
        (vec![("created[gt]", "2026-09-21T12:00:10Z")], 2),
        (vec![("created[gte]", "2026-09-21T12:00:10Z")], 3),
        (vec![("created[lt]", "2026-09-21T12:00:10.000001Z")], 1),
    ] {
        assert_eq!(rows(&sandbox, THIN, &query).await.len(), count, "{query:?}");
    }
    for wrong in [vec![("page", "evt_1")], vec![("created[gt]", "noon")]] {
        assert_eq!(sandbox.get(THIN, &wrong).await.status, 400, "{wrong:?}");
    }
}
