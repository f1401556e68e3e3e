//! What Stripe's room says of an account before anything is sent: first contact, and how its meters
//! are encoded. Read next: `super`.

use tallyd::domain::answer::Answer;
use tallyd::domain::balance::BalanceId;
use tallyd::domain::event::{EventIntent, Identifier, Says};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::provider_facts::{Formula, MeterPin};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::Timestamp;
use tallyd::provider::stripe::Stripe;
use tallyd::provider::stripe::settings::Settings;
use tallyd::provider::{Contact, Provider as _};

use super::{IDENTIFIER, PATIENT, event, http, refused, run, settings, stripe};
use crate::support::openapi;
use crate::support::raw_server::{RawServer, Step};

fn meter(id: &str, name: &str, livemode: bool) -> serde_json::Value {
    serde_json::json!({
        "id": id, "object": "billing.meter", "created": 1, "updated": 1, "livemode": livemode,
        "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
        "default_aggregation": {"formula": "sum"}, "display_name": name, "event_name": name,
        "event_time_window": null, "status": "active",
        "status_transitions": {"deactivated_at": null},
        "value_settings": {"event_payload_key": "value"},
    })
}

fn page(meters: &[serde_json::Value], has_more: bool) -> serde_json::Value {
    serde_json::json!({
        "object": "list", "url": "/v1/billing/meters", "has_more": has_more, "data": meters,
    })
}

fn ok(body: &serde_json::Value) -> Vec<u8> {
    http("200 OK", "", &body.to_string())
}

fn account() -> Vec<u8> {
    ok(&serde_json::json!({"id": "acct_1", "object": "account"}))
}

fn forbidden() -> Vec<u8> {
    refused("403 Forbidden", "", "The provided key does not have the required permissions.")
}

type FirstContact = Result<Contact, Answer>;

/// First contact with a server that gives these answers in turn, and the first lines that it saw.
fn contact(declared: Option<&str>, answers: &[Vec<u8>]) -> (FirstContact, Vec<String>) {
    let call = |answer: &Vec<u8>| [Step::Read, Step::Write(answer.clone())];
    let server = RawServer::start(vec![answers.iter().flat_map(call).collect()]);
    let settings =
        Settings { account: declared.map(str::to_owned), ..settings(&server.url(), PATIENT) };
    let found = run(Stripe::new(&settings).unwrap().contact());
    let requests = server.finish().requests;
    let first = |request: Vec<u8>| {
        String::from_utf8(request).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    (found, requests.into_iter().map(first).collect())
}

#[test]
fn first_contact_learns_the_account_all_meters_and_the_time() {
    let pages = [
        page(&[meter("mtr_1", "a", false), meter("mtr_2", "b", false)], true),
        page(&[meter("mtr_3", "c", false)], false),
    ];
    let (found, calls) = contact(None, &[account(), ok(&pages[0]), ok(&pages[1])]);
    assert_eq!(
        calls,
        [
            "GET /v1/account HTTP/1.1",
            "GET /v1/billing/meters?limit=100 HTTP/1.1",
            "GET /v1/billing/meters?limit=100&starting_after=mtr_2 HTTP/1.1",
        ]
    );
    let found = found.unwrap();
    let account = found.account;
    assert_eq!((account.account.as_deref(), account.livemode), (Some("acct_1"), false));
    let ids: Vec<_> = found.meters.into_iter().filter_map(|meter| meter.id).collect();
    assert_eq!(ids, ["mtr_1", "mtr_2", "mtr_3"]);
    assert_eq!(found.provider_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    assert_eq!((found.declared_other, found.unusable), (None, vec![]));
}

#[test]
fn a_key_that_may_not_ask_makes_first_contact_all_the_same() {
    let found = contact(Some("acct_2"), &[forbidden(), forbidden()]).0.unwrap();
    assert_eq!((found.account.account, found.declared_other), (None, None));
    assert_eq!(found.meters, []);
    assert_eq!(found.provider_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    assert!(!found.account.livemode);
}

#[test]
fn first_contact_tells_of_another_account_than_the_declared_one() {
    let empty = ok(&page(&[], false));
    let other = contact(Some("acct_2"), &[account(), empty.clone()]).0.unwrap();
    assert_eq!(other.declared_other.as_deref(), Some("acct_2"));
    let same = contact(Some("acct_1"), &[account(), empty]).0.unwrap();
    assert_eq!(same.declared_other, None);
}

#[test]
fn an_inspection_tells_of_meters_of_the_other_mode_than_the_key() {
    let listed = ok(&page(&[meter("mtr_1", "tokens", true)], false));
    let answers = [vec![account(), listed], vec![forbidden(); 6]].concat();
    let calls = answers.iter().flat_map(|answer| [Step::Read, Step::Write(answer.clone())]);
    let server = RawServer::start(vec![calls.collect()]);
    let stripe = Stripe::new(&settings(&server.url(), PATIENT)).unwrap();
    let routed = [ProviderMeter::new("tokens").unwrap()].into();
    let found = run(stripe.inspect(&routed));
    let said: Vec<&str> = found.disagreements.iter().map(|each| each.what.as_str()).collect();
    assert_eq!(said[0], "the key is a test key, but its meters are not");
    assert_eq!((said.len(), found.calls, server.finish().requests.len()), (7, 8, 8), "{said:?}");
}

pub(super) fn intent(quantity: &str) -> EventIntent {
    EventIntent {
        balance: BalanceId(1),
        ordinal: 1,
        identifier: Identifier::stored(IDENTIFIER),
        says: Says::Usage,
        quantity: Quantity::parse(quantity).unwrap(),
        total: None,
        occurred_at: Timestamp::from_seconds(1_795_168_000),
    }
}

pub(super) fn pin(meter: &ProviderMeter) -> MeterPin {
    MeterPin {
        meter: meter.clone(),
        id: None,
        formula: Formula::Sum,
        customer_key: "who".to_owned(),
        value_key: "how_much".to_owned(),
        span: None,
        active: true,
        learned: false,
    }
}

#[test]
fn a_meter_is_encoded_by_its_pin_once_it_is_known() {
    let tokens = ProviderMeter::new("tokens").unwrap();
    let payer = AccountName::new("cus_1").unwrap();
    let stripe = stripe("https://api.stripe.com", PATIENT);
    assert!(stripe.capabilities(&tokens).unwrap_err().why.contains("\"tokens\" is not known"));
    assert!(stripe.encode(&tokens, &payer, &intent("5")).is_err());
    stripe.adopt_meters(vec![pin(&tokens)]);
    assert!(stripe.capabilities(&tokens).is_ok());
    let encoded = stripe.encode(&tokens, &payer, &intent("-5")).unwrap();
    let text = String::from_utf8(encoded.body).unwrap();
    assert!(text.contains("payload[how_much]=-5&payload[who]=cus_1&"), "{text}");
}

#[test]
fn what_is_sent_and_what_these_tests_answer_fit_stripes_own_schema() {
    let tokens = ProviderMeter::new("tokens").unwrap();
    let payer = AccountName::new("cus_1").unwrap();
    let stripe = stripe("https://api.stripe.com", PATIENT);
    stripe.adopt_meters(vec![pin(&tokens)]);
    for quantity in ["5", "-5", "0.000000000001", "999999999999999"] {
        let encoded = stripe.encode(&tokens, &payer, &intent(quantity)).unwrap();
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(&encoded.body).into_owned().collect();
        openapi::check_request("POST", "/v1/billing/meter_events", &pairs).unwrap();
    }
    let listing = [("limit".to_owned(), "100".to_owned())];
    openapi::check_request("GET", "/v1/billing/meters", &listing).unwrap();

    let listed = page(&[meter("mtr_1", "a", false)], false);
    assert!(openapi::knows("GET", "/v1/billing/meters"));
    openapi::check_response("GET", "/v1/billing/meters", 200, &listed).unwrap();
    openapi::check_response("POST", "/v1/billing/meter_events", 200, &event()).unwrap();
}
