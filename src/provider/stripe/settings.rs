//! What the operator set for a Stripe account, already validated. Never here: TOML. Read next:
//! `super::encode`.

use secrecy::SecretString;

use crate::domain::names::ProviderName;
use crate::domain::provider_facts::MeterPin;

/// Where Stripe's API is.
pub const API: &str = "https://api.stripe.com";
/// Where Stripe's meter event stream is: a host of its own (Stripe's OpenAPI document, the servers
/// of `POST /v2/billing/meter_event_stream`).
pub const STREAM_API: &str = "https://meter-events.stripe.com";

/// Requests a second with a live key, when the operator set none. Stripe takes 1,000 meter event
/// calls a second from an account; a tenth is left to its other users and to bursts.
pub const RATE_PER_SECOND_LIVE: u32 = 900;
/// Requests a second with a test key, when the operator set none. A sandbox takes 25 calls a second
/// of every kind together.
pub const RATE_PER_SECOND_TEST: u32 = 20;
/// Events a second by the stream with a live key, when the operator set none. Stripe takes 10,000
/// of an account, beside its other calls; a tenth is left to its other users and to bursts. With a
/// test key the stream is said to count among the calls of every kind, and gets no more of them.
pub const STREAM_EVENTS_PER_SECOND_LIVE: u32 = 9_000;
/// What a customer's id starts with. Accounts of the newer form (`acct_…`) are reported to be
/// refused as a meter's customer, and are not taken until that is known to be otherwise.
pub const ACCOUNT_PREFIX: &str = "cus_";
/// Longest event name of a meter, in characters.
pub const EVENT_NAME_CHARS_MAX: usize = 100;
/// Longest payload key of a meter, in characters.
pub const PAYLOAD_KEY_CHARS_MAX: usize = 100;
/// The payload key that carries the customer, unless the meter was made with another.
pub const CUSTOMER_KEY: &str = "stripe_customer_id";
/// The payload key that carries the value, unless the meter was made with another.
pub const VALUE_KEY: &str = "value";
/// What every secret of a webhook endpoint starts with.
pub const WEBHOOK_SECRET_PREFIX: &str = "whsec_";
/// Shortest secret of a webhook endpoint, in bytes, without its prefix: Stripe's have 32. With a
/// few letters behind the prefix, anybody could find it from one signed request.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 16;
/// Most secrets of webhook endpoints: two destinations, each while its secret is rolled. Whatever
/// comes is hashed once for each of them, and anybody may send something.
pub const WEBHOOK_SECRETS_MAX: usize = 4;

/// How meter events reach Stripe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// One by one, by version 1 of the API.
    #[default]
    V1,
    /// One by one, by version 2, which names every refusal by a code.
    V2,
    /// Many by one request, by version 2's stream, which says nothing of any single one.
    Stream,
}

/// One Stripe account.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider instance's name, such as `stripe.main`.
    pub name: ProviderName,
    /// The API's base address, without a slash at its end. With a live key it is [`API`].
    pub api: String,
    /// The stream's base address, likewise. With a live key it is [`STREAM_API`].
    pub stream_api: String,
    /// How events that are made from now on go.
    pub channel: Channel,
    /// The secret or restricted key.
    pub key: SecretString,
    /// The account the key has to belong to, where the operator said so.
    pub account: Option<String>,
    /// Meters declared because the key may not list them.
    pub meters: Vec<MeterPin>,
    /// The secrets of the webhook endpoints that announce this account's changes; while one is
    /// rolled there are two. With none, no webhook is taken.
    pub webhook_secrets: Vec<SecretString>,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}
