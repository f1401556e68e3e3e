//! What delivery asks of the ledger. Here: leases, answers, and what is pinned of a provider. Never
//! here: what an answer means (`delivery::settle`). Read next: [`super::reconcile`].

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::answer::Answer;
use crate::domain::event::{EventId, Identifier, Says};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::provider_facts::{AccountPin, ClockReading, Lanes, MeterPin};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::Timestamp;

/// An attempt's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub i64);

/// What may be leased, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// This host's time.
    pub now: Timestamp,
    /// The provider's clock: an event's `first_attempt` is no later than this.
    pub provider_clock: ClockReading,
    /// An unknown first tried before this provider instant is past the dedupe window less its
    /// margin: it is held, not sent again. Nothing where the provider recognises nothing: every
    /// unknown is, however lately it was tried.
    pub dedupe_floor: Option<Timestamp>,
    /// An upper bound, in microseconds, of how long after its lease a request may still land.
    pub attempt_span_micros: i64,
    /// At most this many leases.
    pub limit: u32,
    /// What the provider is told one after the other.
    pub lanes: Lanes,
}

/// A leased event: the intent to send it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The event.
    pub event: EventId,
    /// This attempt.
    pub attempt: AttemptId,
    /// Its place among the event's attempts: 1, 2, 3, …
    pub attempt_number: i64,
    /// Attempts in a row that counted as failures, for the backoff.
    pub failures: i64,
    /// The event's name.
    pub identifier: Identifier,
    /// What it says.
    pub says: Says,
    /// This attempt's idempotency key.
    pub idempotency_key: String,
    /// What the provider counts.
    pub meter: ProviderMeter,
    /// Who pays.
    pub account: AccountName,
    /// The stored bytes.
    pub body: Vec<u8>,
    /// Whether an earlier attempt may have landed.
    pub ambiguous: bool,
}

/// What a step of leasing did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// What may be sent.
    pub leased: Vec<Leased>,
    /// How many events were held instead, being past a window.
    pub expired: u64,
}

/// What becomes of a leased event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The event.
    pub event: EventId,
    /// The attempt that ended.
    pub attempt: AttemptId,
    /// What came back, kept as the attempt's receipt.
    pub answer: Answer,
    /// When it came back, here.
    pub answered_at: Timestamp,
    /// The state it moves to.
    pub to: EventState,
    /// Why, when it is held.
    pub hold: Option<(HoldReason, String)>,
    /// When it may be tried again, when it will be.
    pub next_attempt_at: Option<Timestamp>,
    /// Whether some attempt may have landed.
    pub ambiguous: bool,
    /// Whether the next attempt needs a new idempotency key.
    pub new_key: bool,
    /// Whether this attempt counts as a failure, for the backoff.
    pub failed: bool,
}

/// What the ledger knows of a provider instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderFacts {
    /// The account and livemode pinned at first contact.
    pub pin: Option<AccountPin>,
    /// The newest reading of its clock.
    pub clock: Option<ClockReading>,
    /// Why nothing is sent to it, and since when.
    pub pause: Option<(String, Timestamp)>,
    /// Its meters.
    pub meters: Vec<MeterPin>,
}

/// The port of the `delivery` room.
#[async_trait]
pub trait DeliveryLedger: Send + Sync {
    /// Bytes free on the ledger's disk. The room of the ballast is not free, even while it is used.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    fn free_bytes(&self) -> Result<u64, LedgerError>;

    /// At start: whatever an earlier run left in flight was perhaps sent, and becomes unknown; what
    /// a clock that was ahead put off comes back. Answers how many were in flight.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn recover_in_flight(&self, now: Timestamp) -> Result<u64, LedgerError>;

    /// Leases events of `provider`: unknowns first, then the nearest deadline; at most one in
    /// flight per customer and meter. The intent to send is on disk when it returns. Unknowns past
    /// the dedupe window and events past their deadline are held instead.
    ///
    /// # Errors
    /// Then nothing was leased.
    async fn lease(
        &self,
        provider: &ProviderName,
        terms: LeaseTerms,
    ) -> Result<Leases, LedgerError>;

    /// Records what became of leased events, each with its receipt, and frees their lanes.
    ///
    /// # Errors
    /// Then nothing was recorded.
    async fn settle(
        &self,
        provider: &ProviderName,
        settlements: Vec<Settlement>,
        clock: Option<ClockReading>,
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// When the next event of `provider` may be tried, if any waits.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn next_attempt_at(
        &self,
        provider: &ProviderName,
    ) -> Result<Option<Timestamp>, LedgerError>;

    /// What is known of a provider instance.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn provider_facts(&self, provider: &ProviderName) -> Result<ProviderFacts, LedgerError>;

    /// Pins the account at first contact; afterwards answers whether it is still the same.
    ///
    /// # Errors
    /// Then nothing was pinned.
    async fn pin_account(
        &self,
        provider: &ProviderName,
        pin: &AccountPin,
        now: Timestamp,
    ) -> Result<PinCheck, LedgerError>;

    /// Pins meters at first sight; afterwards answers which of them changed in a way that would
    /// change what events mean. Those keep their old pin.
    ///
    /// # Errors
    /// Then nothing was pinned.
    async fn pin_meters(
        &self,
        provider: &ProviderName,
        meters: &[MeterPin],
        now: Timestamp,
    ) -> Result<Vec<MeterChange>, LedgerError>;

    /// Keeps a reading of the provider's clock that was asked for, as it is. One that an answer
    /// brought along ([`Self::settle`]) never goes back.
    ///
    /// # Errors
    /// Then it was not kept.
    async fn read_clock(
        &self,
        provider: &ProviderName,
        reading: ClockReading,
    ) -> Result<(), LedgerError>;

    /// Stops, or with nothing resumes, sending to a provider.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn pause(
        &self,
        provider: &ProviderName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), LedgerError>;
}

/// What pinning an account found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinCheck {
    /// Pinned now.
    Pinned,
    /// Pinned before, the same.
    Same,
    /// Pinned before, to another account or mode.
    Other(AccountPin),
}

/// A meter that is not what it was when it was pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterChange {
    /// As it was pinned.
    pub pinned: MeterPin,
    /// As it is now.
    pub found: MeterPin,
}
