//! Subscriptions in a running sandbox, and what is learned of one. Here: a price, a subscription, a
//! walk through time; an invoice as the ledger is told it. Never here: an expectation. Read next:
//! [`super::stripe`].

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use tallyd::domain::billing::{Invoice, InvoiceLine, InvoiceStatus};
use tallyd::domain::names::{
    AccountName, InvoiceId, LineId, PriceId, ProviderMeter, SubscriptionId,
};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::{Timestamp, Window};

use super::daemon::Billing;
use super::stripe::{Running, event_of};

/// The path of subscriptions.
pub(crate) const SUBSCRIPTIONS: &str = "/v1/subscriptions";

/// The Unix second of an RFC 3339 time.
pub(crate) fn seconds(text: &str) -> i64 {
    Timestamp::parse_rfc3339(text).expect("a time").seconds()
}

/// The text of a field.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().expect("the field is a text")
}

/// The invoice by which `sub_1` bills `cus_1` nothing of the meter `calls` in a period, and which
/// is or becomes final at `closes`.
pub(crate) fn invoice_of(period: Window, status: InvoiceStatus, closes: Timestamp) -> Invoice {
    let line = InvoiceLine {
        id: LineId::new("il_1").unwrap(),
        subscription: SubscriptionId::new("sub_1").unwrap(),
        account: AccountName::new("cus_1").unwrap(),
        price: PriceId::new("price_1").unwrap(),
        meter: ProviderMeter::new("calls").unwrap(),
        period,
        quantity: Quantity::zero(),
    };
    Invoice {
        id: InvoiceId::new("in_1").unwrap(),
        status,
        created_at: period.end,
        finalizes_at: Some(closes),
        finalized_at: (status == InvoiceStatus::Final).then_some(closes),
        lines: vec![line],
        term: None,
    }
}

/// Asks the sandbox beside a real daemon with a test key; it must answer 200.
pub(crate) async fn ask(
    sandbox: &Billing,
    method: Method,
    path: &str,
    form: &[(&str, &str)],
) -> Value {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sk_test_beside"));
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, kind);
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let (query, body) = match method == Method::GET {
        true => (text, Bytes::new()),
        false => (String::new(), Bytes::from(text)),
    };
    let answer = sandbox.handle.ask(method, path, &query, headers, body).await;
    let (status, body) = answer.unwrap();
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// The id of a new price of the meter `calls` there.
pub(crate) async fn price(sandbox: &Billing, unit_amount: &str) -> String {
    let meters = sandbox.handle.meters();
    let meter = meters.iter().find(|meter| meter.settings.event_name == "calls").unwrap();
    let form = [
        ("currency", "eur"),
        ("product_data[name]", "Usage"),
        ("recurring[interval]", "month"),
        ("recurring[meter]", meter.id.as_str()),
        ("recurring[usage_type]", "metered"),
        ("unit_amount_decimal", unit_amount),
    ];
    text(&ask(sandbox, Method::POST, "/v1/prices", &form).await, "id").to_owned()
}

impl Running {
    /// Moves the sandbox's clock to this time.
    pub(crate) fn go_to(&self, time: &str) {
        let at = Timestamp::parse_rfc3339(time).expect("a time");
        self.handle.advance_to(at).expect("the time has not passed");
    }

    /// The id of a new price, in cents, of the meter of this event name.
    pub(crate) async fn price(&self, event_name: &str, unit_amount: &str) -> String {
        let meter = self.meter_id(event_name);
        let form = [
            ("currency", "eur"),
            ("product_data[name]", "Usage"),
            ("recurring[interval]", "month"),
            ("recurring[meter]", &meter),
            ("recurring[usage_type]", "metered"),
            ("unit_amount_decimal", unit_amount),
        ];
        let reply = self.post("/v1/prices", &super::stripe::pairs(&form)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        text(&reply.body, "id").to_owned()
    }

    /// A new subscription of `cus_1` to the meter `tokens`, with further parameters.
    pub(crate) async fn subscribe(&self, more: &[(&str, &str)]) -> Value {
        let price = self.price("tokens", "2.5").await;
        let mut form = vec![("customer", "cus_1"), ("items[0][price]", &price)];
        form.extend_from_slice(more);
        self.post_for("subscription", SUBSCRIPTIONS, &form).await
    }

    /// How a subscription looks now.
    pub(crate) async fn look(&self, subscription: &Value) -> Value {
        let path = format!("{SUBSCRIPTIONS}/{}", text(subscription, "id"));
        self.get(&path, &[]).await.body
    }

    /// Sends usage of `cus_1` at the time it has in the sandbox.
    pub(crate) async fn use_at(&self, identifier: &str, value: &str, time: &str) {
        let event = event_of("tokens", "cus_1", identifier, value, seconds(time));
        self.accept(&event).await;
    }
}
