//! The fourth room: events leave. Here: the courier of each provider instance, what an answer leads to,
//! when to try again, how fast. Never here: a provider's wire. Read next: [`settle`], then [`courier`].

use crate::domain::names::ProviderName;

pub mod settle;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod courier;
mod contact;
mod pipeline;
/// What the operator set for the delivery to one provider instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The provider instance.
    pub provider: ProviderName,
    /// Most requests a second that the provider shall see.
    pub rate_per_second: u32,
    /// Most requests in flight at once.
    pub concurrency: u32,
    /// How long one attempt may take, in milliseconds, from lease to answer.
    pub attempt_timeout_millis: u32,
    /// The first wait after a failed attempt, in milliseconds; it doubles with each failure.
    pub backoff_first_millis: u32,
    /// The longest wait between two attempts, in seconds.
    pub backoff_seconds_max: u32,
    /// Nothing is sent while less than this is free on the ledger's disk, in bytes.
    pub free_bytes_min: u64,
}
