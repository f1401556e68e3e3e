//! The wire to Planship. Here: which request asks for what, over [`wire`], and the token that it
//! bears. Never here: the bytes of a report (`super::encode`), what an answer means
//! (`super::classify`). Read next: [`super::classify`].
//!
//! A token is asked for by the client's id and secret, with nothing in the body, as both official
//! SDKs ask for it. It goes by a connection of its own: the secret is on no request but that one.

use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::SecretString;

use super::classify;
use super::settings::{Settings, is_own};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::provider::counting::BuildError;
use crate::provider::session::{self, Opened, Sessions, Way};
use crate::provider::wire::{self, Body, Call, Received, Wire};

/// Gives a token.
pub const TOKEN: &str = "/api/v1/auth/token";
/// Largest answer that is read, in bytes: a metering record or a token has under a thousand, and a
/// product what its owner wrote about it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A connection to Planship, as one of its clients.
pub struct Client {
    /// Asks for tokens.
    credentials: Wire,
    /// Does everything else.
    wire: Wire,
    sessions: Sessions,
    product: String,
}

/// A token that was asked for by itself.
pub struct Greeted {
    opened: Opened,
    /// The provider's clock.
    pub provider_at: Option<Timestamp>,
}

/// One report on its way.
struct Report<'a> {
    client: &'a Client,
    path: String,
    body: &'a [u8],
}

impl Way for Report<'_> {
    type Answered = Received;

    async fn open(&self) -> Result<Opened, Box<Answer>> {
        let greeted = self.client.greet().await;
        greeted
            .map(|greeted| greeted.opened)
            .map_err(|answer| session::not_opened("no token was given", *answer))
    }

    async fn request(&self, token: &SecretString) -> Result<Received, Box<Answer>> {
        let body = Some(Body::Json(self.body.to_vec()));
        let call = call(Method::POST, self.path.clone(), body);
        self.client.wire.call_bearing(call, token).await
    }

    fn has_ended(answered: &Received) -> bool {
        classify::is_expired(answered)
    }
}

impl Client {
    /// Makes ready to call; nothing is sent yet.
    ///
    /// # Errors
    /// When the secret must not be sent to the address, or no HTTP client can be made.
    pub fn new(settings: &Settings) -> Result<Self, BuildError> {
        let Settings { name, api, livemode, timeout_millis, .. } = settings;
        wire::check_address(api, *livemode, is_own)
            .map_err(|why| BuildError::Api(name.clone(), why))?;
        let wire = || {
            Wire::new(api, HeaderMap::new(), *timeout_millis, str::to_owned)
                .map_err(|why| BuildError::Http(name.clone(), why))
        };
        let (id, secret) = (settings.client_id.clone(), settings.client_secret.clone());
        Ok(Self {
            credentials: wire()?.by_password(id, secret),
            wire: wire()?,
            sessions: Sessions::new(*timeout_millis),
            product: settings.product.clone(),
        })
    }

    /// Sends a stored report, unchanged, once; where its token had ended, so that it was not looked
    /// at, once more with another.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn report(
        &self,
        customer: &str,
        metering_id: &str,
        body: &[u8],
    ) -> Result<Received, Box<Answer>> {
        let parts = [customer, self.product.as_str(), metering_id].map(wire::segment);
        let [Some(customer), Some(product), Some(metering_id)] = parts else {
            // It would be another path.
            let why = "there is no path with such a customer or metering id";
            return Err(Box::new(Answer::bare(Outcome::Refused(HoldReason::Refused), why)));
        };
        let path = format!("/api/v1/customers/{customer}/products/{product}/usage/{metering_id}");
        self.sessions.attempt(&Report { client: self, path, body }).await
    }

    /// Asks for a token, which shows that the client is one, and reports by it from now on; answers
    /// the provider's clock.
    ///
    /// # Errors
    /// The answer, when there is none.
    pub async fn meet(&self) -> Result<Option<Timestamp>, Box<Answer>> {
        let opening = async {
            let Greeted { opened, provider_at } = self.greet().await?;
            Ok((opened, provider_at))
        };
        self.sessions.open_another(opening).await
    }

    /// Asks for a token that nothing else is sent by.
    ///
    /// # Errors
    /// The answer, when there is none.
    pub async fn greet(&self) -> Result<Greeted, Box<Answer>> {
        let received = self.credentials.call(call(Method::POST, TOKEN.to_owned(), None)).await?;
        let opened = classify::token(&received)?;
        Ok(Greeted { opened, provider_at: received.provider_at() })
    }

    /// Whether the product is there, by one request that only reads.
    ///
    /// # Errors
    /// The answer, when it is not, or nobody says so.
    pub async fn find_product(&self, greeted: &Greeted) -> Result<(), Box<Answer>> {
        let Some(slug) = wire::segment(&self.product) else {
            let why = "there is no path with such a product";
            return Err(Box::new(Answer::bare(Outcome::Refused(HoldReason::Refused), why)));
        };
        let call = call(Method::GET, format!("/api/v1/products/{slug}"), None);
        let received = self.wire.call_bearing(call, &greeted.opened.token).await?;
        classify::product(&received, &self.product)
    }
}

const fn call(method: Method, path: String, body: Option<Body>) -> Call<'static> {
    Call { method, path, body, idempotency_key: None, answer_bytes_max: ANSWER_BYTES_MAX }
}
