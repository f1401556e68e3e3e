//! A running sandbox and a client that checks every answer. Here: starting, asking, reading. Never
//! here: an expectation beyond the schemas. Read next: [`super::openapi`].

use std::sync::{Arc, OnceLock};

use reqwest::{Client, Method};
use serde_json::Value;
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{Sandbox, SandboxHandle, Settings as SandboxSettings};
use tokio::task::JoinSet;

use super::openapi;

/// Where every test's clock begins: noon of a day, so that minutes, hours and days are easy.
pub(crate) const NOON: i64 = 20_717 * 86_400 + 43_200;

/// The path that bills.
pub(crate) const EVENTS: &str = "/v1/billing/meter_events";
/// The path of cancellations.
pub(crate) const ADJUSTMENTS: &str = "/v1/billing/meter_event_adjustments";
/// The path of meters.
pub(crate) const METERS: &str = "/v1/billing/meters";

/// Parameters of a request.
pub(crate) type Pairs = Vec<(String, String)>;

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An event of the meter `tokens` for `cus_1` at noon.
pub(crate) fn event(identifier: &str, value: &str) -> Pairs {
    event_at(identifier, value, NOON)
}

pub(crate) fn event_at(identifier: &str, value: &str, timestamp: i64) -> Pairs {
    event_of("tokens", "cus_1", identifier, value, timestamp)
}

pub(crate) fn event_of(
    event_name: &str,
    customer: &str,
    identifier: &str,
    value: &str,
    timestamp: i64,
) -> Pairs {
    pairs(&[
        ("event_name", event_name),
        ("identifier", identifier),
        ("payload[stripe_customer_id]", customer),
        ("payload[value]", value),
        ("timestamp", &timestamp.to_string()),
    ])
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are text"))
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}

/// A sandbox that runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) handle: SandboxHandle,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) url: String,
    client: Client,
    _tasks: JoinSet<()>,
}

/// A plain HTTP client. It wants a cryptography provider even where nothing is encrypted.
pub(crate) fn client() -> Client {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // Another test of this process may have been first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    Client::builder().no_proxy().build().expect("a plain client")
}

/// A sandbox without limits that has the sum meter `tokens`.
pub(crate) async fn start() -> Running {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Running {
    let mut stripe = Settings {
        limits: Limits::NONE,
        meters: vec![NewMeter::new("tokens", Formula::Sum)],
        ..Settings::default()
    };
    change(&mut stripe);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOON)));
    let settings = SandboxSettings { stripe, ..SandboxSettings::default() };
    let sandbox = Sandbox::bind(settings, clock.clone()).await.expect("it binds");
    let (handle, url) = (sandbox.handle(), sandbox.stripe_url());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        sandbox.run(std::future::pending()).await.expect("it runs");
    });
    let client = client();
    Running { handle, clock, url, client, _tasks: tasks }
}

impl Running {
    /// Sends a request with a test key and checks the answer against the schemas.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        pairs: &Pairs,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Reply> {
        let mut all = vec![("authorization", "Bearer sk_test_1")];
        if method != Method::GET {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| name == other));
        all.extend_from_slice(headers);
        let form: String =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let mut request = if method == Method::GET {
            self.client.get(format!("{}{path}?{form}", self.url))
        } else {
            self.client.request(method.clone(), format!("{}{path}", self.url)).body(form)
        };
        for (name, value) in all {
            request = request.header(name, value);
        }
        Self::checked(method.as_str(), path, request).await
    }

    /// Sends a document by version 2, with the key or with this token.
    pub(crate) async fn tell(&self, path: &str, document: &Value, token: Option<&str>) -> Reply {
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request
            .header("authorization", format!("Bearer {}", token.unwrap_or("sk_test_1")))
            .header("content-type", "application/json")
            .body(document.to_string());
        Self::checked("POST", path, request).await.expect("an answer")
    }

    /// What a request comes to, its answer checked against the schemas.
    async fn checked(
        method: &str,
        path: &str,
        request: reqwest::RequestBuilder,
    ) -> reqwest::Result<Reply> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let is_json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
        if is_json && openapi::knows(method, path) {
            let checked = openapi::check_response(method, path, status, &body);
            checked.expect("the answer fits the schema");
        }
        Ok(Reply { status, headers, text, body })
    }

    pub(crate) async fn post(&self, path: &str, pairs: &Pairs) -> Reply {
        self.ask(Method::POST, path, pairs, &[]).await.expect("an answer")
    }

    /// Sends a request that must succeed and answer an object of this schema.
    pub(crate) async fn post_for(&self, schema: &str, path: &str, pairs: &[(&str, &str)]) -> Value {
        let reply = self.post(path, &self::pairs(pairs)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        openapi::check_object(schema, &reply.body).expect("the object fits its schema");
        reply.body
    }

    pub(crate) async fn delete(&self, path: &str, pairs: &[(&str, &str)]) -> Reply {
        self.ask(Method::DELETE, path, &self::pairs(pairs), &[]).await.expect("an answer")
    }

    pub(crate) async fn post_with_key(&self, path: &str, pairs: &Pairs, key: &str) -> Reply {
        let headers = [("idempotency-key", key)];
        self.ask(Method::POST, path, pairs, &headers).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        self.ask(Method::GET, path, &pairs(query), &[]).await.expect("an answer")
    }

    /// Sends a meter event that must be accepted, its request checked against the schemas too.
    pub(crate) async fn accept(&self, event: &Pairs) -> Reply {
        openapi::check_request("POST", EVENTS, event).expect("the request fits the schema");
        let reply = self.post(EVENTS, event).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply
    }

    /// Sets faults for the next requests.
    pub(crate) fn script(&self, next: &[FaultKind]) {
        let faults = Faults { next: next.iter().copied().collect(), ..Faults::default() };
        self.handle.set_faults(faults).expect("sound faults");
    }

    /// The id of the meter of this event name.
    pub(crate) fn meter_id(&self, event_name: &str) -> String {
        let meters = self.handle.meters();
        let meter = meters.iter().find(|meter| meter.settings.event_name == event_name);
        meter.expect("the meter exists").id.clone()
    }

    /// The summary rows of one customer.
    pub(crate) async fn summary(&self, event_name: &str, query: &[(&str, &str)]) -> Reply {
        let path = format!("{METERS}/{}/event_summaries", self.meter_id(event_name));
        self.get(&path, query).await
    }

    /// What counts, as `event name, customer, total, events`.
    pub(crate) fn books(&self) -> Vec<String> {
        let line = |line: &tallyd::sandbox::stripe::BookLine| {
            let (name, customer, total) = (&line.event_name, &line.customer, &line.total);
            format!("{name} {customer} {} {}", total.to_plain_string(), line.events)
        };
        self.handle.books().iter().map(line).collect()
    }
}
