//! Answers about billing that no sandbox gives: of the other mode, in pieces, of something else.
//! Read next: `super`.

use serde_json::{Value, json};
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::names::{AccountName, InvoiceId, NoticeId, ProviderMeter, SubscriptionId};
use tallyd::domain::provider_facts::MeterPin;
use tallyd::domain::time::Timestamp;
use tallyd::provider::Provider as _;
use tallyd::provider::billing::{BillingReader as _, Page};
use tallyd::provider::stripe::Stripe;

use super::super::contact::pin;
use super::super::{PATIENT, http, run, stripe};
use super::{at, feed, items};
use crate::support::openapi;
use crate::support::raw_server::{RawServer, Step};

/// What is asked of a server that gives these answers in turn, and the path of each request.
fn asked<T>(answers: &[Vec<u8>], ask: impl AsyncFnOnce(&Stripe) -> T) -> (T, Vec<String>) {
    let call = |answer: &Vec<u8>| [Step::Read, Step::Write(answer.clone())];
    let server = RawServer::start(vec![answers.iter().flat_map(call).collect()]);
    let stripe = stripe(&server.url(), PATIENT);
    let tokens = ProviderMeter::new("tokens").unwrap();
    stripe.adopt_meters(vec![MeterPin { id: Some("mtr_1".to_owned()), ..pin(&tokens) }]);
    let found = run(ask(&stripe));
    let path = |request: Vec<u8>| {
        let text = String::from_utf8(request).unwrap();
        assert!(text.contains("\r\nstripe-version: 20"), "{text}");
        let first = text.lines().next().unwrap_or_default();
        first.replace(" HTTP/1.1", "").replace("GET ", "")
    };
    (found, server.finish().requests.into_iter().map(path).collect())
}

fn ok(body: &Value) -> Vec<u8> {
    http("200 OK", "", &body.to_string())
}

fn missing(status: &str, code: &str) -> Vec<u8> {
    let error = json!({"type": "invalid_request_error", "code": code, "message": "No such thing"});
    http(status, "", &json!({"error": error}).to_string())
}

fn item(id: &str, meter: &str) -> Value {
    json!({
        "id": id, "object": "subscription_item",
        "current_period_start": 1_832_889_600, "current_period_end": 1_835_395_200,
        "price": {"id": format!("price_{id}"), "object": "price", "recurring": {"meter": meter}},
    })
}

fn subscription(id: &str) -> Value {
    json!({
        "id": id, "object": "subscription", "livemode": false, "status": "active",
        "customer": "cus_1", "start_date": 1_832_889_600, "ended_at": null, "cancel_at": null,
        "cancel_at_period_end": false, "latest_invoice": null,
        "items": {"object": "list", "has_more": false, "data": [item("si_1", "mtr_1")]},
    })
}

fn invoice(id: &str, price: &str) -> Value {
    json!({
        "id": id, "object": "invoice", "livemode": false, "status": "open", "customer": "cus_1",
        "created": 1_835_395_200, "automatically_finalizes_at": null,
        "status_transitions": {"finalized_at": 1_835_395_200}, "parent": null,
        "lines": {"object": "list", "has_more": false, "data": [{
            "id": "il_1", "object": "line_item", "livemode": false, "quantity": 5,
            "quantity_decimal": null, "period": {"start": 1_832_889_600, "end": 1_835_395_200},
            "parent": {"subscription_item_details": {"subscription": "sub_1"}},
            "pricing": {"price_details": {"price": price}},
        }]},
    })
}

fn list(rows: &[Value]) -> Value {
    json!({"object": "list", "has_more": false, "data": rows})
}

fn live(mut object: Value) -> Value {
    object["livemode"] = json!(true);
    object
}

fn since() -> Timestamp {
    at("2026-09-21T12:00:00Z")
}

async fn ask_subscription(stripe: &Stripe) -> Result<u32, Answer> {
    let id = SubscriptionId::new("sub_1").unwrap();
    stripe.subscription(&id).await.map(|answered| answered.calls)
}

async fn ask_invoice(stripe: &Stripe) -> Result<u32, Answer> {
    let id = InvoiceId::new("in_1").unwrap();
    stripe.invoice(&id).await.map(|answered| answered.calls)
}

async fn ask_report(stripe: &Stripe) -> Result<u32, Answer> {
    let id = NoticeId::new("evt_test_1").unwrap();
    stripe.rejections(&id).await.map(|answered| answered.calls)
}

#[test]
fn whatever_is_asked_fits_stripes_schema() {
    let thin = json!({"data": [], "next_page_url": null});
    let answers = [list(&[]), list(&[]), list(&[]), thin].map(|page| ok(&page));
    let ((), paths) = asked(&answers, async |stripe: &Stripe| {
        let payer = AccountName::new("cus_1").unwrap();
        stripe.subscriptions(Some(&payer), Some("sub_9")).await.unwrap();
        stripe.invoices(since(), Some("in_9")).await.unwrap();
        stripe.feed_page(&feed("events"), since(), Some("evt_9")).await.unwrap();
        stripe.feed_page(&feed("core_events"), since(), None).await.unwrap();
    });
    assert_eq!(paths.len(), 4);
    let first = "/v1/subscriptions?status=all&customer=cus_1&limit=100&starting_after=sub_9";
    assert_eq!(paths[0], first);
    for path in paths {
        let (path, query) = path.split_once('?').unwrap();
        let query: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        openapi::check_request("GET", path, &query).unwrap();
    }
}

#[test]
fn an_object_of_the_other_mode_means_another_account() {
    let event = json!({
        "id": "evt_test_1", "object": "v2.core.event", "livemode": true,
        "created": "2026-09-21T14:13:20.000Z", "type": "v1.billing.meter.no_meter_found",
        "data": {
            "validation_start": "2026-09-21T14:13:10.000Z",
            "validation_end": "2026-09-21T14:13:20.000Z",
            "reason": {"error_count": 1, "error_types": []},
        },
    });
    let check = |found: (Result<u32, Answer>, Vec<String>), calls: usize| {
        let answer = found.0.unwrap_err();
        assert_eq!(answer.outcome, Outcome::WrongAccount, "{answer:?}");
        assert_eq!(found.1.len(), calls);
    };
    let subscription = live(subscription("sub_1"));
    check(asked(&[ok(&subscription)], ask_subscription), 1);
    let page = ok(&list(&[super::answers::subscription("sub_2"), subscription]));
    check(asked(&[page], async |it: &Stripe| it.subscriptions(None, None).await.map(|_| 0)), 1);
    check(asked(&[ok(&live(invoice("in_1", "price_1")))], ask_invoice), 1);
    let page = ok(&list(&[live(invoice("in_1", "price_1"))]));
    check(asked(&[page], async |it: &Stripe| it.invoices(since(), None).await.map(|_| 0)), 1);
    let price = live(json!({"id": "price_1", "object": "price", "recurring": null}));
    check(asked(&[ok(&invoice("in_1", "price_1")), ok(&price)], ask_invoice), 2);
    check(asked(&[ok(&event)], ask_report), 1);
    let page = ok(&json!({"data": [event], "next_page_url": null}));
    let ask =
        async |it: &Stripe| it.feed_page(&feed("core_events"), since(), None).await.map(|_| 0);
    check(asked(&[page], ask), 1);
}

#[test]
fn only_stripes_own_word_that_there_is_none_is_believed() {
    let check = |answer: Vec<u8>, outcome: Option<Outcome>| {
        for found in [
            asked(std::slice::from_ref(&answer), ask_subscription),
            asked(std::slice::from_ref(&answer), ask_invoice),
            asked(std::slice::from_ref(&answer), ask_report),
        ] {
            assert_eq!(found.0.map_err(|answer| answer.outcome).err(), outcome);
            assert_eq!(found.1.len(), 1);
        }
    };
    check(missing("404 Not Found", "resource_missing"), None);
    check(missing("404 Not Found", "not_found"), None);
    let refused = Some(Outcome::Refused(tallyd::domain::state::HoldReason::Refused));
    check(missing("404 Not Found", "url_invalid"), refused);
    check(missing("400 Bad Request", "resource_missing"), refused);
    check(missing("401 Unauthorized", "resource_missing"), Some(Outcome::Unauthorized));
    check(http("404 Not Found", "", "<html>gone</html>"), Some(Outcome::Unknown));
    check(http("200 OK", "", "<html>welcome</html>"), Some(Outcome::Unknown));
    check(http("200 OK", "", "{}"), Some(Outcome::Unknown));
    check(http("302 Found", "Location: /\r\n", ""), Some(Outcome::Unknown));
}

#[test]
fn an_answer_about_another_object_is_none() {
    let check = |found: (Result<u32, Answer>, Vec<String>)| {
        let answer = found.0.unwrap_err();
        assert_eq!(answer.outcome, Outcome::Unknown, "{answer:?}");
        assert!(answer.message.unwrap_or_default().contains("is another one"));
    };
    check(asked(&[ok(&subscription("sub_2"))], ask_subscription));
    let price = json!({"id": "price_1", "object": "price", "livemode": false, "recurring": null});
    check(asked(&[ok(&invoice("in_2", "price_1")), ok(&price)], ask_invoice));
}

#[test]
fn an_id_that_would_lead_elsewhere_is_not_asked_for() {
    for id in ["..", "."] {
        let id = SubscriptionId::new(id).unwrap();
        let (found, paths) = asked(&[], async |it: &Stripe| it.subscription(&id).await);
        assert!(matches!(found.unwrap_err().outcome, Outcome::Refused(_)));
        assert_eq!(paths, [""; 0]);
    }
    let id = InvoiceId::new("in/1?x#y").unwrap();
    let gone = missing("404 Not Found", "resource_missing");
    let (found, paths) = asked(&[gone], async |it: &Stripe| it.invoice(&id).await);
    assert_eq!((found.unwrap().value, paths), (None, vec!["/v1/invoices/in%2F1%3Fx%23y".into()]));
    for (name, page) in [("charges", None), ("core_events", Some("page=a b"))] {
        let (found, paths) =
            asked(&[], async |it: &Stripe| it.feed_page(&feed(name), since(), page).await);
        assert!(matches!(found.unwrap_err().outcome, Outcome::Refused(_)), "{name}");
        assert_eq!(paths, [""; 0]);
    }
}

#[test]
fn further_items_and_lines_are_asked_for_where_they_are() {
    let mut long = subscription("sub_1");
    long["items"]["has_more"] = json!(true);
    let rest = ok(&list(&[item("si_2", "mtr_1")]));
    let id = SubscriptionId::new("sub_1").unwrap();
    let (found, paths) = asked(&[ok(&long), rest], async |it: &Stripe| it.subscription(&id).await);
    let found = found.unwrap();
    assert_eq!((items(&found.value.unwrap()).len(), found.calls), (2, 2));
    let more = "/v1/subscription_items?subscription=sub_1&limit=100&starting_after=si_1";
    assert_eq!(paths, ["/v1/subscriptions/sub_1", more]);

    let mut endless = list(&[item("si_2", "mtr_1")]);
    endless["has_more"] = json!(true);
    let answers = [ok(&long), ok(&endless), ok(&endless)];
    let (found, paths) = asked(&answers, ask_subscription);
    assert_eq!((found.unwrap_err().outcome, paths.len()), (Outcome::Unknown, 3));
}

#[test]
fn a_row_that_makes_no_sense_hides_no_other() {
    let mut odd = subscription("sub_2");
    odd["start_date"] = json!("noon");
    let page = ok(&list(&[subscription("sub_1"), odd, subscription("sub_3")]));
    let (found, _) = asked(&[page], async |it: &Stripe| it.subscriptions(None, None).await);
    let Page { items, next } = found.unwrap().value;
    let ids: Vec<&str> = items.iter().map(|each| each.id.as_str()).collect();
    assert_eq!((ids, next), (vec!["sub_1", "sub_3"], None));

    let mut odd = invoice("in_1", "price_1");
    odd["status"] = json!("sealed");
    let mut nobodys = invoice("in_2", "price_1");
    nobodys["customer"] = Value::Null;
    let page = ok(&list(&[odd, nobodys, invoice("in_3", "price_1")]));
    let gone = missing("404 Not Found", "resource_missing");
    let (found, paths) = asked(&[page, gone], async |it: &Stripe| it.invoices(since(), None).await);
    let items = found.unwrap().value.items;
    // A price that is gone bills no meter that could be known.
    assert_eq!((items.len(), items[0].lines.len()), (1, 0));
    assert_eq!(paths[1], "/v1/prices/price_1");

    let page = ok(&json!({"data": [{"id": "evt_1"}, 7], "next_page_url": null}));
    let ask = async |it: &Stripe| it.feed_page(&feed("core_events"), since(), None).await;
    let (found, _) = asked(&[page], ask);
    assert_eq!(found.unwrap().value, Page { items: vec![], next: None });
}

#[test]
fn a_meter_that_is_not_known_is_left_out_of_what_is_billed() {
    let mut odd = subscription("sub_1");
    odd["items"]["data"][0] = item("si_1", "mtr_odd");
    let id = SubscriptionId::new("sub_1").unwrap();
    let (found, _) = asked(&[ok(&odd)], async |it: &Stripe| it.subscription(&id).await);
    assert_eq!(found.unwrap().value.unwrap().items, []);
    let price = json!({
        "id": "price_1", "object": "price", "livemode": false, "recurring": {"meter": "mtr_1"},
    });
    let id = InvoiceId::new("in_1").unwrap();
    let answers = [ok(&invoice("in_1", "price_1")), ok(&price)];
    let (found, _) = asked(&answers, async |it: &Stripe| it.invoice(&id).await);
    let found = found.unwrap();
    assert_eq!(found.calls, 2);
    assert_eq!(found.value.unwrap().lines[0].quantity.to_string(), "5");
}
