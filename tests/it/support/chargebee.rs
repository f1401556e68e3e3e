//! A running sandbox and a client of its Chargebee that checks every answer. Here: starting,
//! asking, reading. Never here: an expectation beyond the schemas. Read next: [`super::openapi`].

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::chargebee::{
    ChargebeeHandle, Limits, NewItemPrice, NewSubscription, Settings,
};
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::{Sandbox, SandboxHandle, Settings as SandboxSettings};
use tokio::task::JoinSet;

use super::openapi;
use super::stripe::{Pairs, Reply, client, pairs};

/// Where every test's clock begins: noon of a first day of a month.
pub(crate) const START: i64 = 1_790_856_000;
/// A minute in seconds.
pub(crate) const MINUTE: i64 = 60;
/// A day in seconds.
pub(crate) const DAY: i64 = 86_400;
/// The month that begins at [`START`], in seconds: October.
pub(crate) const MONTH: i64 = 31 * DAY;

/// What lies before every path of the API.
const API: &str = "/api/v2";
/// The test key, as the user of Basic authentication with an empty password.
const BASIC: &str = "Basic dGVzdF9rZXk6";

/// A sandbox that runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) handle: ChargebeeHandle,
    pub(crate) sandbox: SandboxHandle,
    pub(crate) url: String,
    pub(crate) stripe_url: String,
    client: Client,
    _tasks: JoinSet<()>,
}

/// A sandbox without limits, with the metered price `calls` and the subscription `sub` to it.
pub(crate) async fn start() -> Running {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Running {
    let mut chargebee = Settings {
        limits: Limits::NONE,
        item_prices: vec![NewItemPrice::plan("basic"), NewItemPrice::metered("calls")],
        ..Settings::default()
    };
    change(&mut chargebee);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(START)));
    let settings = SandboxSettings { chargebee, ..SandboxSettings::default() };
    let sandbox = Sandbox::bind(settings, clock).await.expect("it binds");
    let (url, stripe_url) = (sandbox.chargebee_url(), sandbox.stripe_url());
    let (handle, control) = (sandbox.handle().chargebee(), sandbox.handle());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        sandbox.run(std::future::pending()).await.expect("it runs");
    });
    let running =
        Running { handle, sandbox: control, url, stripe_url, client: client(), _tasks: tasks };
    running.subscribe("sub", &["basic", "calls"]);
    running
}

/// A usage of `calls` at this time.
pub(crate) fn usage(id: &str, quantity: &str, at: i64) -> Pairs {
    pairs(&[
        ("id", id),
        ("item_price_id", "calls"),
        ("quantity", quantity),
        ("usage_date", &at.to_string()),
    ])
}

/// The path of a subscription's usages.
pub(crate) fn usages_of(subscription: &str) -> String {
    format!("/subscriptions/{subscription}/usages")
}

/// The headers of a request that is asked without a connection.
pub(crate) fn headers(pairs: &[(&'static str, &'static str)]) -> reqwest::header::HeaderMap {
    let header = |(name, value): &(&'static str, &'static str)| {
        let name = reqwest::header::HeaderName::from_static(name);
        (name, reqwest::header::HeaderValue::from_static(value))
    };
    pairs.iter().map(header).collect()
}

/// The error code of an answer.
pub(crate) fn code(reply: &Reply) -> &str {
    reply.body["api_error_code"].as_str().unwrap_or_default()
}

impl Running {
    pub(crate) fn subscribe(&self, id: &str, item_prices: &[&str]) {
        let new = NewSubscription::new(id, "customer", item_prices);
        self.handle.create_subscription(&new).expect("a sound subscription");
    }

    /// Sends a request with the test key and checks the answer against the schemas.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        pairs: &Pairs,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Reply> {
        let mut all = vec![("authorization", BASIC)];
        if method != Method::GET {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| name == other));
        all.extend_from_slice(headers);
        let form: String =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let url = format!("{}{API}{path}", self.url);
        let mut request = if method == Method::GET {
            self.client.get(format!("{url}?{form}"))
        } else {
            self.client.request(method.clone(), url).body(form)
        };
        for (name, value) in all {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        if body != Value::Null && openapi::chargebee().knows(method.as_str(), path) {
            let checked = openapi::chargebee().check_response(method.as_str(), path, status, &body);
            checked.expect("the answer fits the schema");
        }
        Ok(Reply { status, headers, text, body })
    }

    pub(crate) async fn post(&self, path: &str, pairs: &Pairs) -> Reply {
        self.ask(Method::POST, path, pairs, &[]).await.expect("an answer")
    }

    /// Sends a JSON document, as the ingest host takes it.
    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Reply {
        let request = self
            .client
            .post(format!("{}{API}{path}", self.url))
            .header("authorization", BASIC)
            .header("content-type", "application/json;charset=UTF-8")
            .body(body.to_string());
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("its body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        if body != Value::Null {
            let checked = openapi::chargebee().check_response("POST", path, status, &body);
            checked.expect("the answer fits the schema");
        }
        Reply { status, headers, text, body }
    }

    pub(crate) async fn post_with_key(&self, path: &str, pairs: &Pairs, key: &str) -> Reply {
        let headers = [("chargebee-idempotency-key", key)];
        self.ask(Method::POST, path, pairs, &headers).await.expect("an answer")
    }

    /// Asks for something that must be there, by parameters that the schema knows.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        if openapi::chargebee().knows("GET", path) {
            let checked = openapi::chargebee().check_request("GET", path, &pairs(query));
            checked.expect("the request fits the schema");
        }
        let reply = self.try_get(path, query).await;
        assert_eq!(reply.status, 200, "{path} {query:?}: {}", reply.text);
        reply.body
    }

    pub(crate) async fn try_get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        self.ask(Method::GET, path, &pairs(query), &[]).await.expect("an answer")
    }

    /// Records a usage of `sub` that must be accepted, its request checked against the schemas too.
    pub(crate) async fn accept(&self, usage: &Pairs) -> Value {
        let path = usages_of("sub");
        let checked = openapi::chargebee().check_request("POST", &path, usage);
        checked.expect("the request fits the schema");
        let reply = self.post(&path, usage).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.body["usage"].clone()
    }

    /// Records a usage of `sub` that must be refused with this status.
    pub(crate) async fn refuse(&self, usage: &Pairs, status: u16) -> Reply {
        let reply = self.post(&usages_of("sub"), usage).await;
        assert_eq!(reply.status, status, "{usage:?}: {}", reply.text);
        reply
    }

    pub(crate) async fn delete(&self, id: &str) -> Reply {
        self.post("/subscriptions/sub/delete_usage", &pairs(&[("id", id)])).await
    }

    /// A usage of `sub`, by its id.
    pub(crate) async fn usage(&self, id: &str) -> Reply {
        self.try_get(&usages_of("sub"), &[("id", id)]).await
    }

    /// The ids of a list's rows, which are called `name`.
    pub(crate) async fn ids(&self, path: &str, name: &str, query: &[(&str, &str)]) -> Vec<String> {
        ids(&self.get(path, query).await, name)
    }

    /// Moves the clock to this second.
    pub(crate) fn go_to(&self, at: i64) {
        self.sandbox.advance_to(Timestamp::from_seconds(at)).expect("time goes forward");
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.sandbox.advance(Duration::from_secs(seconds.unsigned_abs()));
    }

    /// Sets faults for the next requests.
    pub(crate) fn script(&self, next: &[FaultKind]) {
        let faults = Faults { next: next.iter().copied().collect(), ..Faults::default() };
        self.handle.set_faults(faults).expect("sound faults");
    }

    /// What counts, as `subscription item-price total usages`.
    pub(crate) fn books(&self) -> Vec<String> {
        let line = |line: &tallyd::sandbox::chargebee::BookLine| {
            let (of, price) = (&line.subscription, &line.item_price);
            format!("{of} {price} {} {}", line.total.normalized().to_plain_string(), line.usages)
        };
        self.handle.books().iter().map(line).collect()
    }

    /// What has become of each usage, as `id fate`.
    pub(crate) fn fates(&self) -> Vec<String> {
        let lines = self.handle.usages();
        lines.iter().map(|line| format!("{} {:?}", line.id, line.fate)).collect()
    }

    /// The types of all events so far, in their order.
    pub(crate) async fn event_types(&self) -> Vec<String> {
        let query = [("limit", "100"), ("sort_by[asc]", "occurred_at")];
        let list = self.get("/events", &query).await;
        let rows = list["list"].as_array().expect("a list").iter();
        rows.map(|row| row["event"]["event_type"].as_str().expect("a type").to_owned()).collect()
    }
}

/// The ids of the rows of a page.
pub(crate) fn ids(page: &Value, name: &str) -> Vec<String> {
    let rows = page["list"].as_array().expect("a list").iter();
    rows.map(|row| row[name]["id"].as_str().expect("an id").to_owned()).collect()
}
