//! Chargebee's room under trial. Here: how it is made, and what a site's answers look like. Never
//! here: a MUST. Read next: `tallyd::provider`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tallyd::domain::answer::Outcome;
use tallyd::domain::event::{Identifier, Says};
use tallyd::domain::fold::Fold;
use tallyd::domain::names::{ProviderMeter, ProviderName};
use tallyd::domain::time::Window;
use tallyd::provider::chargebee::Chargebee;
use tallyd::provider::chargebee::settings::{API_PATH, ItemPrice, Password, Settings};

use super::subject::{
    Access, Exchange, Headers, IDENTIFIER, MIDNIGHT, Made, OTHER, Subject, TARGET, Telling, hour,
    http, ok,
};

/// Keys of another form than those that are known, which the room takes too.
const TEST_KEY: &str = "of_a_test_canary4242_site";
const LIVE_KEY: &str = "of_a_live_canary4242_site";
const METER: &str = "calls";
const SUBSCRIPTION: &str = "sub_1";
/// The password of webhooks: no refusal may tell it either.
const PASSWORD: &str = "a password canary4242 of a test";

/// A Chargebee site.
pub(super) struct Site;

fn settings(access: &Access) -> Settings {
    let password = Password { user: "tallyd".to_owned(), password: PASSWORD.into() };
    Settings {
        name: ProviderName::new("chargebee.main").unwrap(),
        site: if access.live { "acme" } else { "acme-test" }.to_owned(),
        api: format!("{}{API_PATH}", access.host),
        key: if access.live { LIVE_KEY } else { TEST_KEY }.into(),
        item_prices: vec![ItemPrice {
            id: ProviderMeter::new(METER).unwrap(),
            aggregation: Fold::Sum,
        }],
        decimals: 2,
        usages_max: 5_000,
        invoices_close_after_hours: 48,
        webhooks: access.webhooks.then_some(password),
        rate_per_minute: 1_000_000,
        timeout_millis: access.timeout_millis,
    }
}

fn one(id: &str) -> Value {
    json!({"usage": {
        "id": id, "object": "usage", "subscription_id": SUBSCRIPTION, "item_price_id": METER,
        "quantity": "5", "usage_date": MIDNIGHT, "created_at": MIDNIGHT, "source": "api",
    }})
}

/// The usage with one field changed.
fn with(id: &str, field: &str, value: Value) -> Vec<u8> {
    let mut one = one(id);
    one["usage"][field] = value;
    ok(&one)
}

fn refused(status: &str, code: &str) -> Vec<u8> {
    let body = json!({"message": "No.", "type": "invalid_request", "api_error_code": code});
    http(status, "", &body.to_string())
}

fn usage() -> Telling {
    let taken = || refused("400 Bad Request", "duplicate_entry");
    let other = |field: &str, value: Value| vec![with(IDENTIFIER, field, value)];
    let asked = |field: &str, value: Value| vec![taken(), with(IDENTIFIER, field, value)];
    Telling {
        case: "a usage",
        says: Says::Usage,
        // Of IDENTIFIER, as no encoder of ours would write it.
        body: "usage_date=1794528000&item_price_id=%63alls&quantity=5.00&\
               id=tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100",
        goes_to: "POST /api/v2/subscriptions/sub_1/usages",
        yes: ok(&one(IDENTIFIER)),
        again: vec![vec![ok(&one(IDENTIFIER))], vec![taken(), ok(&one(IDENTIFIER))]],
        others: vec![
            ("another id", other("id", json!(OTHER))),
            ("another subscription", other("subscription_id", json!("sub_2"))),
            ("another item price", other("item_price_id", json!("bytes"))),
            ("another quantity", other("quantity", json!("6"))),
            ("another second", other("usage_date", json!(MIDNIGHT + 1))),
            ("another id, when it was asked for", asked("id", json!(OTHER))),
            ("another account, when it was asked for", asked("subscription_id", json!("sub_2"))),
        ],
        no: vec![refused("400 Bad Request", "param_wrong_value"), Site.missing()],
    }
}

fn deletion() -> Telling {
    let gone = || refused("404 Not Found", "resource_not_found");
    let other = |field: &str, value: Value| vec![with(TARGET, field, value)];
    let asked = |field: &str, value: Value| vec![gone(), with(TARGET, field, value)];
    Telling {
        case: "a deletion",
        says: Says::Cancel(Identifier::stored(TARGET)),
        body: "id=%74allyd-00112233445566aa-00000000000000000000000000000001",
        goes_to: "POST /api/v2/subscriptions/sub_1/delete_usage",
        yes: ok(&one(TARGET)),
        again: vec![vec![ok(&one(TARGET))], vec![gone(), gone()]],
        others: vec![
            ("another id", other("id", json!(OTHER))),
            ("another subscription", other("subscription_id", json!("sub_2"))),
            ("another id, when it was asked for", asked("id", json!(OTHER))),
        ],
        no: vec![refused("409 Conflict", "invalid_state_for_request"), ok(&one(TARGET))],
    }
}

/// A usage of `quantity` at the start of a span.
fn entry(span: Window, quantity: &str) -> Value {
    let at = span.start.seconds();
    let quantity = quantity.trim_matches('"');
    json!({"usage": {
        "id": format!("u{at}"), "object": "usage", "subscription_id": SUBSCRIPTION,
        "item_price_id": METER, "quantity": quantity, "usage_date": at, "created_at": at,
    }})
}

fn basic(user: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into_bytes()
}

impl Subject for Site {
    fn room(&self) -> &'static str {
        "chargebee"
    }

    fn make(&self, access: &Access) -> Result<Made, String> {
        let site = Chargebee::new(settings(access)).map_err(|error| error.to_string())?;
        let shown = format!("{site:?}");
        let site = Arc::new(site);
        Ok(Made { provider: site.clone(), billing: Some(site), shown })
    }

    fn shown_settings(&self, access: &Access) -> String {
        format!("{:?}", settings(access))
    }

    fn own_host(&self) -> &'static str {
        "https://acme.chargebee.com"
    }

    fn meter(&self) -> &'static str {
        METER
    }

    fn account(&self) -> &'static str {
        SUBSCRIPTION
    }

    fn contact_account(&self) -> Option<&'static str> {
        Some("acme-test")
    }

    fn key_line(&self) -> Option<String> {
        Some(format!("authorization: Basic {}", STANDARD.encode(format!("{TEST_KEY}:"))))
    }

    fn quoted_key(&self) -> String {
        TEST_KEY.to_owned()
    }

    fn idempotency_header(&self) -> &'static str {
        "chargebee-idempotency-key"
    }

    fn tellings(&self) -> Vec<Telling> {
        vec![usage(), deletion()]
    }

    fn error(&self, status: &str, headers: &str, message: &str) -> Vec<u8> {
        let body = format!(
            r#"{{"message":"{message}","type":"invalid_request",
                "api_error_code":"invalid_request"}}"#
        );
        http(status, headers, &body)
    }

    fn missing(&self) -> Vec<u8> {
        refused("404 Not Found", "resource_not_found")
    }

    fn limited(&self, headers: &str) -> Vec<u8> {
        let body = json!({
            "message": "Too many.", "type": "operation_failed",
            "api_error_code": "api_request_limit_exceeded",
        });
        http("429 Too Many Requests", headers, &body.to_string())
    }

    fn totals(&self, rows: &[(Window, &str)], next: Option<usize>) -> Vec<u8> {
        let rows: Vec<Value> = rows.iter().map(|(span, quantity)| entry(*span, quantity)).collect();
        self.list(&rows, next.map(|next| format!("page {next}")).as_deref())
    }

    fn other_totals(&self) -> Vec<(&'static str, Vec<u8>)> {
        let other = |field: &str, value: Value| {
            let mut row = entry(hour(1), "1");
            row["usage"][field] = value;
            self.list(&[row], None)
        };
        vec![
            ("another item price", other("item_price_id", json!("bytes"))),
            ("another subscription", other("subscription_id", json!("sub_2"))),
            ("no usage", self.list(&[json!({"invoice": {"id": "1"}})], None)),
        ]
    }

    fn contact(&self) -> Exchange {
        vec![self.list(&[], None)]
    }

    fn no_contact(&self) -> Vec<(&'static str, Exchange, Outcome)> {
        let off = refused("400 Bad Request", "configuration_incompatible");
        vec![("usages are switched off", vec![off], Outcome::Unauthorized)]
    }

    fn unproven(&self) -> Vec<(&'static str, Headers)> {
        let header = "authorization";
        let right = basic("tallyd", PASSWORD);
        vec![
            ("nothing", vec![]),
            ("nonsense", vec![(header, b"canary4242".to_vec())]),
            ("another password", vec![(header, basic("tallyd", "canary4242"))]),
            ("another user", vec![(header, basic("canary4242", PASSWORD))]),
            ("two of them", vec![(header, right.clone()), (header, right)]),
        ]
    }

    fn proof(&self, _body: &[u8]) -> Headers {
        vec![("authorization", basic("tallyd", PASSWORD))]
    }

    fn subscription(&self, id: &str) -> Value {
        json!({
            "id": id, "object": "subscription", "status": "active", "customer_id": "cus_1",
            "billing_period": 1, "billing_period_unit": "month", "created_at": MIDNIGHT,
            "started_at": MIDNIGHT, "activated_at": MIDNIGHT, "updated_at": MIDNIGHT,
            "current_term_start": MIDNIGHT, "current_term_end": MIDNIGHT + 30 * 86_400,
            "deleted": false, "subscription_items": [],
        })
    }

    fn invoice(&self, id: &str) -> Value {
        json!({
            "id": id, "object": "invoice", "status": "paid", "recurring": true,
            "customer_id": "cus_1", "date": MIDNIGHT, "generated_at": MIDNIGHT,
            "updated_at": MIDNIGHT, "line_items": [],
        })
    }

    /// The list of its invoices; and where there is none of it, of those that were deleted.
    fn after_subscription(&self) -> Exchange {
        vec![self.list(&[], None)]
    }

    fn after_invoice(&self) -> Exchange {
        Vec::new()
    }

    fn row(&self, kind: &str, object: Value) -> Value {
        json!({ kind: object })
    }

    fn list(&self, rows: &[Value], next: Option<&str>) -> Vec<u8> {
        let mut list = json!({ "list": rows });
        if let Some(next) = next {
            list["next_offset"] = json!(next);
        }
        ok(&list)
    }

    fn feed(&self) -> &'static str {
        "events"
    }
}
