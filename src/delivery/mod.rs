//! The fourth room: events leave. Here: the courier of each provider instance, what an answer leads
//! to, when to try again, how fast. Never here: a provider's wire. Read next: [`settle`], then
//! [`courier`].

use std::num::NonZeroU32;

use crate::domain::names::ProviderName;

pub mod settle;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod courier;
mod lease;
mod contact;
mod pipeline;

/// Requests in flight at once to one provider instance, when the operator set none: at 50 ms an
/// answer, 64 of them carry more than a thousand requests a second.
pub const CONCURRENCY: u32 = 64;
/// Seconds one attempt may take, when the operator set none: what a stopping daemon waits for at
/// most.
pub const ATTEMPT_TIMEOUT_SECONDS: u32 = 20;
/// How much of an attempt's time, in milliseconds, is kept back from the request itself: for the
/// lease before it and the answer's commit after it.
pub const ATTEMPT_MARGIN_MILLIS: u32 = 1_000;
/// Milliseconds before the first retry, when the operator set none.
pub const BACKOFF_FIRST_MILLIS: u32 = 500;
/// Longest wait between two attempts, in seconds, when the operator set none: a provider that is
/// back is noticed within five minutes, hundreds of attempts before any dedupe window closes.
pub const BACKOFF_SECONDS_MAX: u32 = 300;
/// Seconds after which a paused provider is asked again, when the operator set none: whoever puts
/// the cause right sees it go on within a minute, and two readings a minute stay far below any
/// ration.
pub const PAUSE_PROBE_SECONDS: u32 = 60;
/// Free bytes below which nothing is sent: less than intake keeps, so that on a filling disk new
/// usage is refused first, and what was sent can still be recorded.
pub const FREE_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Seconds for which nothing is sent after a limiter that counts by the second spoke and named no
/// time: the provider's current second passes.
pub const LIMITED_PAUSE_SECONDS: u32 = 1;

/// A number of requests in a time; of events, where one request tells several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; none counts as one.
    pub requests: u32,
    /// In how many seconds.
    pub seconds: NonZeroU32,
}

impl Rate {
    /// So many in each second.
    #[must_use]
    pub const fn per_second(requests: u32) -> Self {
        Self { requests, seconds: NonZeroU32::MIN }
    }

    /// So many in each minute.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        const MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("60 is not zero");
        Self { requests, seconds: MINUTE }
    }
}

/// What the operator set for the delivery to one provider instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The provider instance.
    pub provider: ProviderName,
    /// Most requests that the provider shall see, or events, where one request tells several.
    pub rate: Rate,
    /// The same of events that go with others by one request, where the provider has a limit of its
    /// own for them; nothing where they count among the rest.
    pub batched_rate: Option<Rate>,
    /// How long nothing is sent, in seconds, after the provider's limiter spoke and named no time.
    pub limited_pause_seconds: u32,
    /// Most requests in flight at once.
    pub concurrency: u32,
    /// How long one attempt may take, in milliseconds, from lease to answer.
    pub attempt_timeout_millis: u32,
    /// The first wait after a failed attempt, in milliseconds; it doubles with each failure.
    pub backoff_first_millis: u32,
    /// The longest wait between two attempts, in seconds.
    pub backoff_seconds_max: u32,
    /// How long a paused provider is left alone before it is asked again, in seconds.
    pub pause_probe_seconds: u32,
    /// Nothing is sent while less than this is free on the ledger's disk, in bytes.
    pub free_bytes_min: u64,
}
