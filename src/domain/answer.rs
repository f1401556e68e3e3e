//! What an attempt comes to. Here: the closed set of outcomes, and the receipt that is kept of each
//! answer. Never here: a provider's statuses and texts (`provider::*::classify`), what follows
//! (`delivery::settle`). Read next: [`crate::domain::state`].

use super::closed::closed;
use super::state::HoldReason;
use super::time::Timestamp;

closed! {
    /// What one attempt came to. Only what was proven has a name of its own; everything else is
    /// [`Self::Unknown`].
    OutcomeKind {
        /// The provider said yes.
        Accepted = "accepted",
        /// The provider says it has this identifier already.
        Duplicate = "duplicate",
        /// The provider looked at the request and said no for good.
        Refused = "refused",
        /// Definitely not processed: the provider is busy with the same customer and meter.
        Busy = "busy",
        /// Definitely not processed: over the rate limit.
        RateLimited = "rate_limited",
        /// Definitely not processed: the key is not accepted, or may not do this.
        Unauthorized = "unauthorized",
        /// Definitely not processed: no byte of the request left this host.
        NotSent = "not_sent",
        /// Perhaps processed: the provider failed, and may answer the same under the same key for
        /// ever.
        Failed = "failed",
        /// Perhaps processed: no answer, half an answer, or one that makes no sense.
        Unknown = "unknown",
        /// Processed, but by another account or in another mode than the pinned one.
        WrongAccount = "wrong_account",
    }
}

/// What one attempt came to, with what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// See [`OutcomeKind::Accepted`].
    Accepted,
    /// See [`OutcomeKind::Duplicate`].
    Duplicate,
    /// See [`OutcomeKind::Refused`]; why.
    Refused(HoldReason),
    /// See [`OutcomeKind::Busy`].
    Busy,
    /// See [`OutcomeKind::RateLimited`].
    RateLimited,
    /// See [`OutcomeKind::Unauthorized`].
    Unauthorized,
    /// See [`OutcomeKind::NotSent`].
    NotSent,
    /// See [`OutcomeKind::Failed`].
    Failed,
    /// See [`OutcomeKind::Unknown`].
    Unknown,
    /// See [`OutcomeKind::WrongAccount`].
    WrongAccount,
}

impl Outcome {
    /// Which of the closed set it is.
    #[must_use]
    pub const fn kind(self) -> OutcomeKind {
        match self {
            Self::Accepted => OutcomeKind::Accepted,
            Self::Duplicate => OutcomeKind::Duplicate,
            Self::Refused(_) => OutcomeKind::Refused,
            Self::Busy => OutcomeKind::Busy,
            Self::RateLimited => OutcomeKind::RateLimited,
            Self::Unauthorized => OutcomeKind::Unauthorized,
            Self::NotSent => OutcomeKind::NotSent,
            Self::Failed => OutcomeKind::Failed,
            Self::Unknown => OutcomeKind::Unknown,
            Self::WrongAccount => OutcomeKind::WrongAccount,
        }
    }

    /// Whether, as the answer to a question, it says something of that question alone, so that
    /// others may be asked all the same. Everything else is about the provider or the way to it, or
    /// is no answer to a question at all: the next one would fare no better now.
    #[must_use]
    pub const fn concerns_one_question(self) -> bool {
        self.is_refusal()
    }

    /// Whether what was sent was looked at, and is not taken.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Accepted
            | Self::Duplicate
            | Self::Busy
            | Self::RateLimited
            | Self::Unauthorized
            | Self::NotSent
            | Self::Failed
            | Self::Unknown
            | Self::WrongAccount => false,
        }
    }
}

/// Longest provider message that is kept, in bytes: enough for every message seen, and no payload.
pub const MESSAGE_BYTES_MAX: usize = 500;

/// An outcome and what the provider said with it: the attempt's receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it comes to.
    pub outcome: Outcome,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// The provider's name for the request, to ask its support about.
    pub request_id: Option<String>,
    /// The provider's error code, when it gave one.
    pub code: Option<String>,
    /// What the provider, or the transport, said; at most [`MESSAGE_BYTES_MAX`], never a payload.
    pub message: Option<String>,
    /// The provider's clock, from its `Date`.
    pub provider_at: Option<Timestamp>,
    /// How long the provider asked to wait, in seconds.
    pub retry_after_seconds: Option<u32>,
}

impl Answer {
    /// An outcome of which nothing came over the wire.
    #[must_use]
    pub fn bare(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            status: None,
            request_id: None,
            code: None,
            message: Some(cut(message.into())),
            provider_at: None,
            retry_after_seconds: None,
        }
    }
}

/// The start of a message, at most [`MESSAGE_BYTES_MAX`] long, without control characters.
#[must_use]
pub fn cut(message: String) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].chars().map(|each| if each.is_control() { ' ' } else { each }).collect()
}
