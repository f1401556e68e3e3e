//! Totals at the edge of Stripe's room: what is asked for, and what is believed of the answers.
//! Read next: `super`.

use serde_json::{Value, json};
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::provider_facts::MeterPin;
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::stripe::Stripe;
use tallyd::provider::{Grouping, Provider as _, Totals};

use super::contact::pin;
use super::{PATIENT, http, refused, run, stripe};
use crate::support::openapi;
use crate::support::raw_server::{RawServer, Step};
use crate::support::stripe::{METERS, NOON, event_at, start};

const HOUR: i64 = 3_600;
const MIDNIGHT: i64 = NOON - 12 * HOUR;

fn tokens() -> ProviderMeter {
    ProviderMeter::new("tokens").unwrap()
}

fn span(start: i64, end: i64) -> Window {
    Window { start: Timestamp::from_seconds(start), end: Timestamp::from_seconds(end) }
}

async fn read(stripe: &Stripe, span: Window, grouping: Grouping) -> Result<Totals, Answer> {
    let payer = AccountName::new("cus_1").unwrap();
    stripe.read_totals(&tokens(), &payer, span, grouping).await
}

fn row(value: Value, hour: i64, livemode: bool) -> Value {
    json!({
        "id": format!("mtrusg_{hour}"), "object": "billing.meter_event_summary",
        "aggregated_value": value, "start_time": MIDNIGHT + hour * HOUR,
        "end_time": MIDNIGHT + (hour + 1) * HOUR, "livemode": livemode, "meter": "mtr_1",
    })
}

fn page(rows: &[Value], has_more: bool) -> Value {
    let url = format!("{METERS}/mtr_1/event_summaries");
    json!({"object": "list", "url": url, "has_more": has_more, "data": rows})
}

/// A reading of the first four hours of a day from a server that gives these answers in turn, and
/// what was asked.
fn hours(answers: &[Vec<u8>]) -> (Result<Totals, Answer>, Vec<String>) {
    let call = |answer: &Vec<u8>| [Step::Read, Step::Write(answer.clone())];
    let server = RawServer::start(vec![answers.iter().flat_map(call).collect()]);
    let stripe = stripe(&server.url(), PATIENT);
    stripe.adopt_meters(vec![MeterPin { id: Some("mtr_1".to_owned()), ..pin(&tokens()) }]);
    let found = run(read(&stripe, span(MIDNIGHT, MIDNIGHT + 4 * HOUR), Grouping::Hour));
    let line = |request: Vec<u8>| {
        let text = String::from_utf8(request).unwrap();
        text.lines().next().unwrap_or_default().replace(" HTTP/1.1", "")
    };
    (found, server.finish().requests.into_iter().map(line).collect())
}

fn quantities(totals: &Totals) -> Vec<String> {
    totals.parts.iter().map(|part| part.quantity.to_string()).collect()
}

#[test]
fn totals_are_read_page_by_page_as_stripes_schema_has_it() {
    let pages =
        [page(&[row(json!(0.3), 3, false)], true), page(&[row(json!(-2.5), 1, false)], false)];
    let answers = pages.each_ref().map(|page| http("200 OK", "", &page.to_string()));
    let (found, asked) = hours(&answers);
    let found = found.unwrap();
    assert_eq!(quantities(&found), ["0", "-2.5", "0", "0.3"]);
    assert_eq!(found.parts[1].span, span(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR));
    assert_eq!(found.calls, 2);
    assert_eq!(found.provider_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    let first = format!(
        "GET /v1/billing/meters/mtr_1/event_summaries?customer=cus_1&start_time={MIDNIGHT}\
         &end_time={}&limit=100&value_grouping_window=hour",
        MIDNIGHT + 4 * HOUR
    );
    assert_eq!(asked, [first.clone(), format!("{first}&starting_after=mtrusg_3")]);
    let path = format!("{METERS}/mtr_1/event_summaries");
    for line in asked {
        let query = line.split_once('?').unwrap().1;
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        openapi::check_request("GET", &path, &pairs).unwrap();
    }
    for page in pages {
        openapi::check_response("GET", &path, 200, &page).unwrap();
    }
}

#[test]
fn answers_that_prove_nothing_are_no_totals() {
    let check = |answers: &[Vec<u8>], outcome: Outcome, calls: usize| {
        let (found, asked) = hours(answers);
        let answer = found.unwrap_err();
        assert_eq!(answer.outcome, outcome, "{answer:?}");
        assert_eq!(asked.len(), calls);
    };
    let ok = |page: &Value| http("200 OK", "", &page.to_string());
    let more = ok(&page(&[row(json!(1), 3, false)], true));
    check(&[ok(&page(&[row(json!(1), 3, true)], false))], Outcome::WrongAccount, 1);
    check(&[ok(&page(&[row(json!("1"), 3, false)], false))], Outcome::Unknown, 1);
    check(&[ok(&page(&[row(json!(1), 7, false)], false))], Outcome::Unknown, 1);
    check(&[ok(&page(&[], true))], Outcome::Unknown, 1);
    check(&[http("200 OK", "", "<html>")], Outcome::Unknown, 1);
    check(&[more.clone(), refused("429 Too Many Requests", "", "No.")], Outcome::Busy, 2);
    check(&[more.clone(), http("500 Internal Server Error", "", "")], Outcome::Failed, 2);
    // The same page for ever: its rows are there twice.
    check(&[more.clone(), more], Outcome::Unknown, 2);
    check(&[refused("401 Unauthorized", "", "No.")], Outcome::Unauthorized, 1);
    let gone = refused("404 Not Found", "", "No such meter: 'mtr_1'");
    check(&[gone], Outcome::Refused(HoldReason::Refused), 1);
    check(&[], Outcome::Unknown, 0);
}

#[test]
fn what_cannot_be_asked_is_not_asked() {
    let server = RawServer::start(vec![]);
    let stripe = stripe(&server.url(), PATIENT);
    let check = |span: Window, grouping: Grouping, why: &str| {
        let answer = run(read(&stripe, span, grouping)).unwrap_err();
        assert!(matches!(answer.outcome, Outcome::Refused(_)), "{answer:?}");
        assert!(answer.message.as_deref().unwrap_or_default().contains(why), "{answer:?}");
    };
    let day = span(MIDNIGHT, MIDNIGHT + 24 * HOUR);
    check(day, Grouping::Whole, "is not known: it was neither found");
    stripe.adopt_meters(vec![pin(&tokens())]);
    check(day, Grouping::Whole, "its id is not known");
    stripe.adopt_meters(vec![MeterPin { id: Some("mtr_1".to_owned()), ..pin(&tokens()) }]);
    check(span(MIDNIGHT, MIDNIGHT + HOUR), Grouping::Day, "UTC midnight");
    check(span(MIDNIGHT + 60, MIDNIGHT + HOUR), Grouping::Hour, "UTC hour");
    check(span(MIDNIGHT + 1, MIDNIGHT + HOUR), Grouping::Whole, "UTC minute");
    assert_eq!(server.finish().connections, 0);
}

#[tokio::test]
async fn the_sandboxs_totals_are_read_in_every_grouping() {
    let sandbox = start().await;
    let stripe = stripe(&sandbox.url, PATIENT);
    stripe.contact().await.map(|contact| stripe.adopt_meters(contact.meters)).unwrap();
    for hour in 0..150_i64 {
        let at = NOON - hour * HOUR;
        sandbox.accept(&event_at(&hour.to_string(), "0.1", at)).await;
    }
    let days = span(MIDNIGHT - 7 * 24 * HOUR, MIDNIGHT + 24 * HOUR);
    let whole = read(&stripe, days, Grouping::Whole).await.unwrap();
    assert_eq!((quantities(&whole), whole.calls), (vec!["15".to_owned()], 1));
    let by_day = read(&stripe, days, Grouping::Day).await.unwrap();
    assert_eq!(quantities(&by_day), ["0", "1.7", "2.4", "2.4", "2.4", "2.4", "2.4", "1.3"]);
    let by_hour = read(&stripe, days, Grouping::Hour).await.unwrap();
    assert_eq!((by_hour.parts.len(), by_hour.calls), (8 * 24, 2));
    assert_eq!(quantities(&by_hour).iter().filter(|part| *part == "0.1").count(), 150);
    let none = read(&stripe, span(NOON + 60, NOON + 120), Grouping::Whole).await.unwrap();
    assert_eq!(quantities(&none), ["0"]);
}
