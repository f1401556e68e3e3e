//! Whom we tell: the port, and one room per provider. Here: what a provider promises, as data, and
//! the contract. Never here: one provider's wire (see `provider::stripe`). Read next: [`stripe`];
//! whoever adds a room, the steps at the end of this page.
//!
//! What every room does, whoever is behind it, is the list below. Each MUST has a name, under which
//! `tests/it/provider_conformance` shows it of every room, against servers that cut, hang and lie.
//!
//! Of a meter and of bytes:
//!
//! * **known meter**: Capabilities MUST be told of a meter that is known and of no other, by a
//!   reason that names it.
//! * **pure encode**: The same intent MUST give the same bytes, whichever instance encodes it, for
//!   as long as the meter is the same.
//! * **named meter**: Encoding for an unknown meter MUST be an error that names the meter.
//! * **named event**: The bytes of usage MUST name the event, and those of a cancellation its
//!   target.
//!
//! Of an attempt:
//!
//! * **one write**: An attempt MUST make exactly one request that writes usage, whatever it is
//!   answered, and may beside it only ask what an answer means, or open the session that it is sent
//!   by; only where that had ended, so that nothing was looked at, it makes a second one.
//! * **stored bytes**: The stored bytes MUST be sent unchanged.
//! * **stored key**: Where the provider knows idempotency keys, that of the attempt MUST go with
//!   it, and the same one with a retry that has the same.
//! * **redirect**: A redirect MUST NOT be followed, and comes to `Unknown`.
//! * **not sent**: A request that never left, for want of a name, a connection, TLS or a sound
//!   header, MUST come to `NotSent`.
//! * **cut**: A connection that ends after a request began to be written MUST come to `Unknown`,
//!   and is not made anew.
//!
//! Of an answer:
//!
//! * **half a yes**: A yes whose body breaks off, is empty, too large or no such object MUST come
//!   to `Unknown`.
//! * **late**: An answer that does not come whole in time MUST come to `Unknown`.
//! * **yes**: A yes that echoes what was sent MUST come to `Accepted`, with the provider's clock.
//! * **another's yes**: A yes that is about another identifier, account or mode MUST NOT come to
//!   `Accepted` or `Duplicate`, nor to a refusal but for a conflict of identifiers.
//! * **again**: What a provider answers to the same request again MUST come to `Accepted` or
//!   `Duplicate`, never to a conflict.
//! * **no**: A no of the provider's that looked at the request MUST come to `Refused`, with what it
//!   said.
//! * **failure**: A 5xx MUST come to `Failed`, which is perhaps processed, whoever wrote its body.
//! * **stranger**: Any other status without the provider's own error in its body MUST come to
//!   `Unknown`, and its clock counts for nothing.
//! * **limit**: A limiter's answer MUST come to `RateLimited` with the wait that it asks for, and
//!   is not waited out here.
//! * **key**: A key that the provider does not accept MUST come to `Unauthorized`.
//!
//! Of what gets out:
//!
//! * **secret**: A credential MUST NOT be in a text for debugging, an error, an answer or a log,
//!   not even where a provider quotes it.
//! * **key's place**: A live key MUST go to the provider's own address or this host alone, and no
//!   key across a network in clear.
//! * **payload**: What was sent MUST NOT be in an answer's text or a log.
//! * **bounded text**: What an answer says MUST be one short line, and quote no stranger's page.
//!
//! Of totals:
//!
//! * **tiles**: The parts MUST tile the span, oldest first, each of them zero where nothing counts.
//! * **exact**: A total MUST be told to the last digit that the provider wrote.
//! * **grain**: A span that is off its grain, has no time in it, or more parts than are ever needed
//!   MUST be refused without a request.
//! * **unknown total**: Totals of an unknown meter MUST be refused without a request.
//! * **another's total**: What was not asked for, or makes no sense, MUST NOT count into a total.
//! * **end**: A list without an end MUST be given up as `Unknown`.
//! * **counted**: Every request of a reading MUST be counted in its result.
//!
//! Of first contact:
//!
//! * **contact**: First contact MUST name the account as far as the provider tells it, its mode,
//!   its meters and the provider's clock.
//! * **no contact**: First contact MUST fail when nobody answers for the key, or somebody else
//!   does.
//!
//! Of an inspection:
//!
//! * **read only**: An inspection MUST make requests that read and no others, and count them.
//! * **all found**: An inspection MUST name all that the key may not read, and stop at none of it.
//! * **no inspection**: An inspection whose question nobody answers, or whose key is not accepted,
//!   MUST say so and end there.
//!
//! Of webhooks:
//!
//! * **no proof**: Without a secret there MUST be no reader of webhooks.
//! * **proof first**: A webhook without proof MUST be refused before its body is looked at.
//! * **silence**: The refusal of a webhook MUST NOT hold anything of its request.
//!
//! Of what is billed:
//!
//! * **nothing there**: What is not there MUST be told as nothing, with the provider's clock.
//! * **another object**: An object that was not asked for MUST come to `Unknown`.
//! * **circle**: A page that leads to itself MUST come to `Unknown`.
//! * **odd row**: A row of a list that makes no sense MUST NOT spoil the others.
//!
#![doc = include_str!("adding.md")]

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::answer::Answer;
use crate::domain::event::{EventIntent, Says};
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::notice::Notice;
use crate::domain::provider_facts::{AccountPin, Lanes, MeterPin};
use crate::domain::quantity::Quantity;
use crate::domain::state::HoldReason;
use crate::domain::time::{Timestamp, Window};

pub use crate::domain::reading::Grouping;
pub use inspection::Inspection;

pub mod billing;
pub mod documents;
pub mod inspection;
pub mod wire;
pub mod session;
pub mod counting;
pub mod shadowed;
pub mod stripe;
pub mod chargebee;
pub mod cryptolens;
pub mod planship;

/// How a meter is told what it should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldAs {
    /// Each event adds to the total.
    Delta,
    /// Each record is an event of its own, and only their number counts.
    EachRecord,
    /// Each event is an entry that can be taken away and made anew, and all of them add up.
    Entry,
    /// As [`Self::Entry`], and of all entries the newest or the largest one counts: one of them
    /// says all that its window came to.
    Level,
    /// Each event says the new total of its window, and overwrites the last.
    Total,
    /// As [`Self::Total`], of a period: by their times the last event of it counts.
    Last,
}

/// What a provider promises for a meter: the core decides from this data, never from the provider's
/// name (design: providers differ in promises, not in flow). Times are measured on the provider's
/// clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How the meter is told.
    pub told_as: ToldAs,
    /// How the events of a period come to what is billed of it.
    pub bills: Fold,
    /// How far in the past, in microseconds, an event's time may lie.
    pub accepts_past_micros: i64,
    /// How much of that is left unused.
    pub accepts_past_margin_micros: i64,
    /// How far ahead of the provider's clock an event's time may lie, less a margin.
    pub accepts_ahead_micros: i64,
    /// Most significant digits of a value.
    pub digits_max: u32,
    /// Most digits after the point of a value.
    pub decimals_max: u32,
    /// Largest value of an event; nothing where only its digits are bounded.
    pub value_max: Option<i64>,
    /// Whether a value may be below zero.
    pub negative: bool,
    /// How long after the provider received an event, in microseconds, it cancels it by its
    /// identifier: the provider's own limit less a margin. Nothing where it never does.
    pub cancels_for_micros: Option<i64>,
    /// Most entries that an account takes in its life, whatever becomes of them. Nothing where
    /// there is no such limit.
    pub entries_max: Option<u32>,
    /// How the provider's totals can be read back. Nothing where they cannot.
    pub read_back: Option<ReadBack>,
}

/// What a provider promises of the totals that are read back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// How long after an event was answered, in microseconds, a total may still lack it.
    pub lag_micros: i64,
    /// How long after an event's last attempt, in microseconds, a request that was delayed may
    /// still land: before this, absence from a total proves nothing.
    pub landing_micros: i64,
    /// Spans are asked for in multiples of this, in microseconds.
    pub grain_micros: i64,
    /// Significant digits of a total that can be trusted; with more it is not compared.
    pub digits_max: u32,
}

/// The provider's total for a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The span, of the events' own times.
    pub span: Window,
    /// What counts there.
    pub quantity: Quantity,
}

/// What a reading of totals came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// One for each part of the span, oldest first; a part in which nothing counts is zero.
    pub parts: Vec<Total>,
    /// The provider's clock, when the answer told it.
    pub provider_at: Option<Timestamp>,
    /// How many requests it took, for the budget of reads.
    pub calls: u32,
}

/// Why a meter cannot be told now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct CannotTell {
    /// What the balances are held for meanwhile.
    pub reason: HoldReason,
    /// A sentence for a person.
    pub why: String,
}

/// The bytes of a request, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The request body.
    pub body: Vec<u8>,
}

/// Why an event cannot be encoded for its meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The meter was neither learned nor declared.
    #[error("the meter \"{0}\" is not known: it was neither found at the provider nor declared")]
    UnknownMeter(ProviderMeter),
    /// The provider takes no account of such a length.
    #[error("the account \"{account}\" is longer than the {most} characters that an event takes")]
    AccountTooLong {
        /// The account.
        account: AccountName,
        /// How many characters it takes.
        most: usize,
    },
    /// The meter's events cannot be cancelled, and its capabilities say so.
    #[error("events of the meter \"{0}\" are never cancelled")]
    NeverCancelled(ProviderMeter),
}

impl EncodeError {
    /// What the balance is held for.
    #[must_use]
    pub const fn reason(&self) -> HoldReason {
        match self {
            Self::UnknownMeter(_) => HoldReason::NoMeter,
            Self::AccountTooLong { .. } => HoldReason::MeterMismatch,
            Self::NeverCancelled(_) => HoldReason::CannotLower,
        }
    }
}

/// One attempt, as it is sent.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What the event says, which decides where it goes.
    pub says: &'a Says,
    /// What it is told to.
    pub meter: &'a ProviderMeter,
    /// Who pays.
    pub account: &'a AccountName,
    /// The stored body.
    pub body: &'a [u8],
    /// The attempt's idempotency key.
    pub idempotency_key: &'a str,
    /// The event's identifier, which the answer has to echo.
    pub identifier: &'a str,
}

/// What first contact finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The account behind the key, and its mode.
    pub account: AccountPin,
    /// The meters: those that the key may list, and those that were declared beside them.
    pub meters: Vec<MeterPin>,
    /// The provider's clock, when any answer told it.
    pub provider_at: Option<Timestamp>,
    /// The account that the operator declared, when the one behind the key is another: then nothing
    /// may be sent.
    pub declared_other: Option<String>,
    /// Meters that the provider has and this program cannot tell.
    pub unusable: Vec<UnusableMeter>,
}

/// A meter that was found and cannot be pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableMeter {
    /// What events would name.
    pub meter: String,
    /// Why it cannot be told, as the end of a sentence about it.
    pub reason: String,
}

/// A webhook's request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    /// Its headers, their names in lower case, in the order in which they came.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its body, byte for byte: what was signed.
    pub body: &'a [u8],
}

/// Why a webhook's request is not taken. The text never holds anything of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefusal {
    /// Nothing proves that the provider sent it, and its body was not looked at.
    #[error("{why}")]
    Unproven {
        /// A word of a closed set of the provider's.
        code: &'static str,
        /// What is wrong with the proof.
        why: String,
    },
    /// The provider sent it, and it is no notice, or not for this account's mode.
    #[error("{field} {why}")]
    Unreadable {
        /// A word of a closed set of the provider's.
        code: &'static str,
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl NoticeRefusal {
    /// The word for it, of a closed set.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unproven { code, .. } | Self::Unreadable { code, .. } => code,
        }
    }
}

/// Reads what a provider instance announces by webhooks.
pub trait NoticeReader: Send + Sync {
    /// Proves that `posted` is the provider's and was sent about `now`, and only then reads it.
    ///
    /// # Errors
    /// When it cannot be proven, or is no notice.
    fn read(&self, posted: Posted<'_>, now: Timestamp) -> Result<Notice, NoticeRefusal>;
}

/// Sends one attempt of each event by a request of its own; says what came of each, in their order.
async fn one_by_one<P: Provider + ?Sized>(provider: &P, requests: &[Request<'_>]) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.push(provider.send(request.clone()).await);
    }
    answers
}

/// A provider instance.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it promises for `meter`; nothing while the meter is neither learned nor declared, or
    /// when it adds up in a way that this program cannot tell it yet (the reason says which).
    ///
    /// # Errors
    /// A sentence for a person.
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell>;

    /// What it is told one after the other, and what beside one another.
    fn lanes(&self) -> Lanes;

    /// How long after the first attempt, in microseconds, an identifier is certainly recognised:
    /// the provider's window less its margin, whatever the meter. Nothing where it recognises none:
    /// then what may have arrived is never sent again.
    fn recognises_for_micros(&self) -> Option<i64>;

    /// Whether something that it accepted can be taken back or overwritten, or is proven by totals,
    /// whatever the meter. Where nothing can, no plan is told what it accepted.
    fn undoes(&self) -> bool {
        true
    }

    /// What reads its webhooks; nothing while none can be proven to be its own.
    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>>;

    /// Takes what is pinned of the meters; from here on they are what `encode` goes by.
    fn adopt_meters(&self, meters: Vec<MeterPin>);

    /// Makes the bytes that tell `intent` to `meter` for `account`. Pure: the same intent gives the
    /// same bytes for as long as the meter is the same.
    ///
    /// # Errors
    /// When the meter is not known.
    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError>;

    /// Sends one attempt, once, and says what came of it.
    async fn send(&self, request: Request<'_>) -> Answer;

    /// Whether the event of these stored bytes may be told with others by one request, and counts
    /// in the limit for such events, where the provider has one of its own.
    fn is_batched(&self, says: &Says, _body: &[u8]) -> bool {
        match says {
            Says::Usage => true,
            Says::Cancel(_) => false,
        }
    }

    /// Most events of usage that one request tells; one where each needs a request of its own. An
    /// event that [`Self::is_batched`] denies always has its own, and so has one that failed
    /// before.
    fn batch_max(&self) -> u32 {
        1
    }

    /// Sends one attempt of each of several events of usage, no more than [`Self::batch_max`], once
    /// and by one request; says what came of each, in their order. Each event's stored bytes go
    /// unchanged. What concerns the request as a whole is every event's answer: one that was lost
    /// makes all of them unknown.
    async fn send_batch(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        one_by_one(self, requests).await
    }

    /// Reads what the provider has counted of `account` at `meter` in `span`: one total, or one for
    /// each UTC day or hour of it. The bounds of `span` lie on multiples of
    /// [`ReadBack::grain_micros`], on whole hours or on UTC midnights, as `grouping` has it. A
    /// total is told exactly as the provider wrote it; how many of its digits can be trusted is
    /// [`ReadBack::digits_max`].
    ///
    /// # Errors
    /// The answer, when there is none that can be read; also when the meter's totals cannot be
    /// asked for, or not for such a span.
    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Totals, Answer>;

    /// First contact: which account, which meters, what time.
    ///
    /// # Errors
    /// The answer, when nobody answers or the key is not accepted.
    async fn contact(&self) -> Result<Contact, Answer>;

    /// What it is, beside what its settings say, and what the key may read of all that the daemon
    /// asks for; `routed` are the meters that are to be told. It reads and never writes, makes a
    /// bounded number of requests, each as long as any other may take, and stops asking when the
    /// next question would fare no better.
    async fn inspect(&self, routed: &BTreeSet<ProviderMeter>) -> Inspection;
}
