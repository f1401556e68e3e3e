//! The wire to Cryptolens. Here: which request asks for what, over [`wire`]. Never here: the bytes
//! of a record (`super::encode`), what an answer means (`super::classify`). Read next:
//! [`super::classify`].

use reqwest::Method;
use reqwest::header::HeaderMap;

use super::classify::{self, Products};
use super::settings::{Settings, is_own};
use crate::domain::answer::Answer;
use crate::provider::counting::BuildError;
use crate::provider::wire::{self, Body, Call, Received, Wire};

/// Records usage.
pub const RECORD_USAGE: &str = "/api/subscription/RecordUsage";
/// Lists the account's products, and changes nothing.
/// <https://app.cryptolens.io/docs/api/v3/GetProducts>
pub const GET_PRODUCTS: &str = "/api/product/GetProducts";
/// The field of the access token.
const TOKEN: &str = "token";
/// Largest answer that is read, in bytes: a thousand products with a page of text each.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A connection to Cryptolens, with its token.
pub struct Client(Wire);

impl Client {
    /// Makes ready to call; nothing is sent yet.
    ///
    /// # Errors
    /// When the token must not be sent to the address, or no HTTP client can be made.
    pub fn new(settings: &Settings) -> Result<Self, BuildError> {
        let Settings { name, api, token, livemode, timeout_millis, .. } = settings;
        wire::check_address(api, *livemode, is_own)
            .map_err(|why| BuildError::Api(name.clone(), why))?;
        let wire = Wire::new(api, HeaderMap::new(), *timeout_millis, str::to_owned)
            .map_err(|why| BuildError::Http(name.clone(), why))?;
        // By POST it is in no log of an address.
        Ok(Self(wire.by_field(TOKEN, token.clone())))
    }

    /// Sends a stored record, unchanged, once. The token goes in front of it, in the same form.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn record(&self, body: Vec<u8>) -> Result<Received, Box<Answer>> {
        self.post(RECORD_USAGE, body).await
    }

    /// The products, as far as the token may list them.
    ///
    /// # Errors
    /// The answer, when nobody answered for the token.
    pub async fn products(&self) -> Result<Products, Box<Answer>> {
        let received = self.post(GET_PRODUCTS, Vec::new()).await?;
        classify::products(&received)
    }

    async fn post(&self, path: &str, form: Vec<u8>) -> Result<Received, Box<Answer>> {
        let call = Call {
            method: Method::POST,
            path: path.to_owned(),
            body: Some(Body::Form(form)),
            idempotency_key: None,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        self.0.call(call).await
    }
}
