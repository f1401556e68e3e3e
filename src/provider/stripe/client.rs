//! The wire to Stripe. Here: what every request carries, and that async-stripe's requests run over
//! [`wire`]. Never here: the bytes of a meter event (`super::encode`), what an answer means
//! (`super::classify`). Read next: `crate::delivery`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};
use stripe_billing::BillingMeter;
use stripe_billing::billing_meter::ListBillingMeter;
use stripe_client_core::{
    CustomizedStripeRequest, StripeClient, StripeClientErr, StripeMethod, VERSION,
};

use super::BuildError;
use super::classify::{self, Received};
use super::settings::{API, STREAM_API, Settings};
use super::summaries::{self, NoTotals, Read, Rows};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::time::Timestamp;
use crate::provider::Total;
use crate::provider::wire::{self, Body, Call, Wire};

/// Largest answer to a meter event that is read, in bytes: real ones have under a thousand.
const EVENT_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Largest answer to a reading request that is read, in bytes: a page of 100 subscriptions with 20
/// items each, the most that they may have, has about 6,000,000.
const READING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Meters asked for in one page: the most that Stripe gives.
const METERS_PER_PAGE: i64 = 100;
/// Most pages of meters that are read. 10,000 meters are past any price list; a list without an end
/// is a fault, and must not keep the program from starting for ever.
const METER_PAGES_MAX: usize = 100;

/// Where meter events are sent.
pub const METER_EVENTS: &str = "/v1/billing/meter_events";
/// Where their cancellations are sent.
pub const ADJUSTMENTS: &str = "/v1/billing/meter_event_adjustments";
/// Where meter events of version 2 are sent, one by one.
pub const METER_EVENTS_V2: &str = "/v2/billing/meter_events";
/// Where a session of the stream is opened.
const SESSIONS: &str = "/v2/billing/meter_event_session";
/// Where the stream takes events, at its own address.
const STREAM: &str = "/v2/billing/meter_event_stream";

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const STRIPE_VERSION: &str = "stripe-version";

/// A connection to Stripe, with its key.
pub struct Client {
    wire: Wire,
    /// To the stream, without the key: that host takes sessions' tokens.
    stream: Wire,
}

impl Client {
    /// Makes ready to call; nothing is sent yet.
    ///
    /// # Errors
    /// When the key must not be sent to the address, or no HTTP client can be made.
    pub fn new(settings: &Settings, livemode: bool) -> Result<Self, BuildError> {
        wire::check_address(&settings.api, livemode, |api| api == API)
            .map_err(|why| BuildError::Api(settings.name.clone(), why))?;
        wire::check_address(&settings.stream_api, livemode, |api| api == STREAM_API)
            .map_err(|why| BuildError::StreamApi(settings.name.clone(), why))?;
        let mut key = HeaderValue::from_str(&format!("Bearer {}", settings.key.expose_secret()))
            .map_err(|_| BuildError::Key(settings.name.clone()))?;
        key.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(STRIPE_VERSION, HeaderValue::from_static(VERSION.as_str()));
        let wire = |api: &str, headers: HeaderMap| {
            Wire::new(api, headers, settings.timeout_millis, classify::redacted)
                .map_err(|why| BuildError::Http(settings.name.clone(), why))
        };
        let stream = wire(&settings.stream_api, headers.clone())?;
        headers.insert(AUTHORIZATION, key);
        Ok(Self { wire: wire(&settings.api, headers)?, stream })
    }

    /// Sends a stored meter event or cancellation to `path`, unchanged, once.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn post(
        &self,
        path: &str,
        body: Body,
        idempotency_key: &str,
    ) -> Result<Received, Box<Answer>> {
        self.call(Call {
            idempotency_key: Some((IDEMPOTENCY_KEY, idempotency_key)),
            ..writing(path, Some(body))
        })
        .await
    }

    /// Asks for a session of the stream, once. Its answer holds a secret.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn open_session(&self) -> Result<Received, Box<Answer>> {
        self.call(writing(SESSIONS, None)).await
    }

    /// Sends stored events to the stream, once. No idempotency key goes along: the stream is not
    /// said to know any, and each event has its identifier.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn tell_stream(
        &self,
        body: &[u8],
        token: &SecretString,
    ) -> Result<Received, Box<Answer>> {
        let call = writing(STREAM, Some(Body::Json(body.to_vec())));
        self.stream.call_bearing(call, token).await.map(read_headers)
    }

    async fn call(&self, call: Call<'_>) -> Result<Received, Box<Answer>> {
        self.wire.call(call).await.map(read_headers)
    }
}

/// A call that writes, and bears no idempotency key.
fn writing(path: &str, body: Option<Body>) -> Call<'static> {
    Call {
        method: Method::POST,
        path: path.to_owned(),
        body,
        idempotency_key: None,
        answer_bytes_max: EVENT_ANSWER_BYTES_MAX,
    }
}

/// What came back: the headers of interest, and the body.
fn read_headers(answer: wire::Received) -> Received {
    Received {
        request_id: answer.header("request-id"),
        should_retry: answer.header("stripe-should-retry"),
        rate_limited_reason: answer.header("stripe-rate-limited-reason"),
        retry_after: answer.header(RETRY_AFTER.as_str()),
        date: answer.header(DATE.as_str()),
        status: answer.status,
        body: answer.body,
        broken: answer.broken,
    }
}

/// A few reading requests in a row: how many there were, and the newest time that their answers
/// told.
pub struct Reading<'a> {
    client: &'a Client,
    calls: AtomicU32,
    provider_at: Mutex<Option<Timestamp>>,
}

/// Why a reading request has no result.
#[derive(Debug)]
pub struct Unread(Box<Answer>);

impl StripeClientErr for Unread {
    fn deserialize_err(message: impl std::fmt::Display) -> Self {
        let message = format!("the answer cannot be read: {message}");
        Self(Box::new(Answer::bare(Outcome::Unknown, message)))
    }
}

impl StripeClient for Reading<'_> {
    type Err = Unread;

    /// Runs one of async-stripe's requests, once.
    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, Unread> {
        let (request, options) = request.into_pieces();
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let path = match request.query.as_deref() {
            None | Some("") => format!("/v1{}", request.path),
            Some(query) => format!("/v1{}?{query}", request.path),
        };
        let key = options.request_strategy.and_then(|strategy| strategy.get_key());
        let call = Call {
            method,
            path,
            body: request.body.map(|form| Body::Form(form.into_bytes())),
            idempotency_key: key.as_ref().map(|key| (IDEMPOTENCY_KEY, key.as_str())),
            answer_bytes_max: READING_BYTES_MAX,
        };
        self.read(call).await.map_err(Unread)
    }
}

impl<'a> Reading<'a> {
    /// Starts without a request and without a time.
    #[must_use]
    pub const fn new(client: &'a Client) -> Self {
        Self { client, calls: AtomicU32::new(0), provider_at: Mutex::new(None) }
    }

    /// How many requests were made.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The newest time that an answer told.
    #[must_use]
    pub fn provider_at(&self) -> Option<Timestamp> {
        *self.provider_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the account behind the key; nothing when the key may not ask.
    ///
    /// # Errors
    /// The answer, when it is neither an account nor a 403.
    pub async fn account(&self) -> Result<Option<String>, Box<Answer>> {
        let Some(body) = permitted(self.get("/v1/account").await)? else {
            return Ok(None);
        };
        match classify::account(&body) {
            Some(id) => Ok(Some(id)),
            None => Err(Unread::deserialize_err("it is no account").0),
        }
    }

    /// All meters, whatever their status; nothing when the key may not list them.
    ///
    /// # Errors
    /// The answer, when it is neither a list nor a 403, or a list without an end.
    pub async fn meters(&self) -> Result<Option<Vec<BillingMeter>>, Box<Answer>> {
        let mut meters: Vec<BillingMeter> = Vec::new();
        for _ in 0..METER_PAGES_MAX {
            let mut request = ListBillingMeter::new().limit(METERS_PER_PAGE);
            if let Some(last) = meters.last() {
                request = request.starting_after(last.id.as_str());
            }
            let Some(page) = permitted(request.send(self).await.map_err(|unread| unread.0))? else {
                return Ok(None);
            };
            let ended = !page.has_more || page.data.is_empty();
            meters.extend(page.data);
            if ended {
                return Ok(Some(meters));
            }
        }
        Err(Unread::deserialize_err("the list of meters has no end").0)
    }

    /// The totals that `rows` asks for.
    ///
    /// # Errors
    /// The answer, when it is no page of them, or the pages have no end.
    pub async fn totals(&self, mut rows: Rows<'_>) -> Result<Vec<Total>, Box<Answer>> {
        for _ in 0..summaries::PAGES_MAX {
            let body = self.get(&format!("/v1{}", rows.path())).await?;
            match rows.take(&body) {
                Ok(Read::More) => {}
                Ok(Read::All) => return Ok(rows.totals()),
                Err(why @ NoTotals::OtherMode) => {
                    return Err(Box::new(Answer::bare(Outcome::WrongAccount, why.to_string())));
                }
                Err(why @ (NoTotals::Span(_) | NoTotals::Unreadable(_))) => {
                    return Err(Box::new(Answer::bare(Outcome::Unknown, why.to_string())));
                }
            }
        }
        Err(Unread::deserialize_err("the list of summaries has no end").0)
    }

    /// The body at `path`, which begins with its version and may have a query.
    ///
    /// # Errors
    /// The answer, when it is none with a whole body.
    pub async fn get(&self, path: &str) -> Result<Bytes, Box<Answer>> {
        self.read(Call {
            method: Method::GET,
            path: path.to_owned(),
            body: None,
            idempotency_key: None,
            answer_bytes_max: READING_BYTES_MAX,
        })
        .await
    }

    async fn read(&self, call: Call<'_>) -> Result<Bytes, Box<Answer>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let received = self.client.call(call).await?;
        let answer = if received.status == 200 && received.broken.is_none() {
            self.note(classify::provider_at(&received));
            return Ok(Bytes::from(received.body));
        } else {
            classify::reading(&received)
        };
        self.note(answer.provider_at);
        Err(Box::new(answer))
    }

    fn note(&self, told: Option<Timestamp>) {
        let mut newest = self.provider_at.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max(told);
    }
}

/// A key that may not ask for something is no fault: restricted keys are made to be.
fn permitted<T>(read: Result<T, Box<Answer>>) -> Result<Option<T>, Box<Answer>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(answer) if answer.outcome == Outcome::Unauthorized && answer.status == Some(403) => {
            Ok(None)
        }
        Err(answer) => Err(answer),
    }
}
