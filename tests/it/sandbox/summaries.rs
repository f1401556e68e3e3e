//! Event summaries.

use serde_json::Value;
use tallyd::sandbox::stripe::{Formula, NewMeter, TimeWindow};

use crate::support::openapi::check_request;
use crate::support::stripe::{METERS, NOON, event_at, event_of, pairs, start, start_with};

const DAY: i64 = 86_400;
const MIDNIGHT: i64 = NOON - 43_200;

fn text(seconds: i64) -> String {
    seconds.to_string()
}

fn values(body: &Value) -> Vec<f64> {
    let rows = body["data"].as_array().expect("rows");
    rows.iter().map(|row| row["aggregated_value"].as_f64().expect("a float")).collect()
}

#[tokio::test]
async fn one_row_sums_a_half_open_range_as_a_float() {
    let sandbox = start().await;
    for (identifier, value, at) in
        [("a", "0.1", NOON), ("b", "0.2", NOON + 59), ("c", "5", NOON + 60), ("d", "7", NOON - 1)]
    {
        sandbox.accept(&event_at(identifier, value, at)).await;
    }
    let (start_time, end_time) = (text(NOON), text(NOON + 60));
    let query = [("customer", "cus_1"), ("start_time", &start_time), ("end_time", &end_time)];
    let path = format!("{METERS}/x/event_summaries");
    check_request("GET", &path, &pairs(&query)).expect("the request fits the schema");
    let body = sandbox.summary("tokens", &query).await.body;
    assert_eq!(values(&body), [0.3]);
    assert_eq!(body["data"][0]["start_time"], NOON);
    assert_eq!(body["data"][0]["end_time"], NOON + 60);
    assert_eq!(body["data"][0]["meter"], sandbox.meter_id("tokens"));
    assert!(body["data"][0]["aggregated_value"].is_f64());
    assert_eq!(body["has_more"], false);
}

#[tokio::test]
async fn a_range_without_usage_is_one_row_of_zero() {
    let sandbox = start().await;
    let (start_time, end_time) = (text(NOON), text(NOON + 60));
    let query = [("customer", "cus_1"), ("start_time", &start_time), ("end_time", &end_time)];
    assert_eq!(values(&sandbox.summary("tokens", &query).await.body), [0.0]);
}

#[tokio::test]
async fn times_are_aligned_with_the_grouping() {
    let sandbox = start().await;
    for (grouping, start_time, end_time, status) in [
        (None, NOON, NOON + 60, 200),
        (None, NOON + 1, NOON + 60, 400),
        (None, NOON, NOON + 59, 400),
        (None, NOON, NOON, 400),
        (None, NOON + 60, NOON, 400),
        (Some("hour"), NOON, NOON + 3_600, 200),
        (Some("hour"), NOON + 60, NOON + 3_600, 400),
        (Some("day"), MIDNIGHT, MIDNIGHT + DAY, 200),
        (Some("day"), NOON, NOON + DAY, 400),
        (Some("week"), MIDNIGHT, MIDNIGHT + DAY, 400),
    ] {
        let (start_text, end_text) = (text(start_time), text(end_time));
        let mut query =
            vec![("customer", "cus_1"), ("start_time", &start_text), ("end_time", &end_text)];
        query.extend(grouping.map(|grouping| ("value_grouping_window", grouping)));
        let reply = sandbox.summary("tokens", &query).await;
        assert_eq!(reply.status, status, "{query:?} {}", reply.text);
    }
}

#[tokio::test]
async fn hours_come_newest_first_in_pages_of_ten() {
    let sandbox = start().await;
    for hour in 0..24_i64 {
        let at = MIDNIGHT + hour * 3_600 - 12 * 3_600;
        sandbox.accept(&event_at(&hour.to_string(), &(hour + 1).to_string(), at)).await;
    }
    let (start_time, end_time) = (text(MIDNIGHT - DAY), text(MIDNIGHT + DAY));
    let query = vec![
        ("customer", "cus_1"),
        ("start_time", start_time.as_str()),
        ("end_time", end_time.as_str()),
        ("value_grouping_window", "hour"),
    ];
    let first = sandbox.summary("tokens", &query).await.body;
    assert_eq!(values(&first), [24., 23., 22., 21., 20., 19., 18., 17., 16., 15.]);
    assert_eq!(first["has_more"], true);
    let cursor = first["data"][9]["id"].as_str().expect("an id");
    let mut next = query.clone();
    next.extend([("starting_after", cursor), ("limit", "100")]);
    let rest = sandbox.summary("tokens", &next).await.body;
    assert_eq!(values(&rest).len(), 14);
    assert_eq!(rest["has_more"], false);
    let mut back = query.clone();
    back.extend([("ending_before", cursor), ("limit", "3")]);
    let before = sandbox.summary("tokens", &back).await.body;
    assert_eq!(values(&before), [18., 17., 16.]);
    assert_eq!(before["has_more"], true);
    for odd in [("limit", "0"), ("limit", "101"), ("starting_after", "mtrusg_none")] {
        let mut query = query.clone();
        query.push(odd);
        assert_eq!(sandbox.summary("tokens", &query).await.status, 400, "{odd:?}");
    }
    let mut days = query.clone();
    days.pop();
    days.push(("value_grouping_window", "day"));
    let sums = values(&sandbox.summary("tokens", &days).await.body);
    assert_eq!(sums, [222., 78.]);
}

#[tokio::test]
async fn count_last_and_pre_aggregated_meters_sum_up_in_their_own_way() {
    let sandbox = start_with(|settings| {
        let hourly = NewMeter::new("hourly", Formula::Sum).pre_aggregated(TimeWindow::Hour);
        let (calls, seats) = (Formula::Count, Formula::Last);
        settings.meters.extend([
            NewMeter::new("calls", calls),
            NewMeter::new("seats", seats),
            hourly,
        ]);
    })
    .await;
    for name in ["calls", "seats", "hourly"] {
        for (identifier, value, at) in
            [("a", "5", NOON - 60), ("b", "7", NOON), ("c", "2", NOON - 120), ("d", "9", NOON + 60)]
        {
            let identifier = format!("{name}-{identifier}");
            sandbox.accept(&event_of(name, "cus_1", &identifier, value, at)).await;
        }
    }
    let (start_time, end_time) = (text(NOON - 3_600), text(NOON + 3_600));
    let mut query = vec![
        ("customer", "cus_1"),
        ("start_time", start_time.as_str()),
        ("end_time", end_time.as_str()),
    ];
    for (name, whole, hours) in
        [("calls", 4.0, [2.0, 2.0]), ("seats", 9.0, [9.0, 5.0]), ("hourly", 11.0, [9.0, 2.0])]
    {
        assert_eq!(values(&sandbox.summary(name, &query).await.body), [whole], "{name}");
        query.push(("value_grouping_window", "hour"));
        assert_eq!(values(&sandbox.summary(name, &query).await.body), hours, "{name}");
        query.pop();
    }
}

#[tokio::test]
async fn a_summary_shows_an_event_only_after_the_lag() {
    let lag = std::time::Duration::from_secs(90);
    let sandbox = start_with(|settings| settings.lag = lag).await;
    sandbox.accept(&event_at("a", "4", NOON)).await;
    let (start_time, end_time) = (text(NOON), text(NOON + 60));
    let query = [("customer", "cus_1"), ("start_time", &start_time), ("end_time", &end_time)];
    assert_eq!(values(&sandbox.summary("tokens", &query).await.body), [0.0]);
    sandbox.handle.advance(lag);
    assert_eq!(values(&sandbox.summary("tokens", &query).await.body), [4.0]);
}

#[tokio::test]
async fn a_customer_that_does_not_exist_has_no_summary() {
    let sandbox = start().await;
    let (start_time, end_time) = (text(NOON), text(NOON + 60));
    let query = [("customer", "nobody"), ("start_time", &start_time), ("end_time", &end_time)];
    let reply = sandbox.summary("tokens", &query).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body["error"]["code"], "resource_missing");
    assert_eq!(sandbox.summary("tokens", &query[..1]).await.status, 400);
}
