//! What reconciliation asks of the ledger. Here: lanes with something unproven, their events, and
//! the verb that keeps a reading with what it proves. Never here: what a total proves
//! (`reconcile::explain`). Read next: [`super::operator`].

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::balance::BalanceId;
use crate::domain::digest::{Digest, Fields};
use crate::domain::event::EventId;
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::reading::{FindingKind, Grouping};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{Timestamp, Window};

/// A lane's number in the ledger: a meter and an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub i64);

/// Which lanes are to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneQuestion {
    /// The meters whose totals can be read, each with the instant before which an event was last
    /// touched that a total can prove something of.
    pub meters: Vec<(ProviderMeter, Timestamp)>,
    /// Lanes compared after this are left alone,
    pub recheck_before: Timestamp,
    /// unless the comparison waits for a second look, and was made before this.
    pub look_again_before: Timestamp,
    /// At most this many lanes.
    pub limit: u32,
}

/// A lane with events that no total has proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnprovenLane {
    /// The lane.
    pub lane: LaneId,
    /// What the provider counts.
    pub meter: ProviderMeter,
    /// For whom.
    pub account: AccountName,
    /// How finely its total is asked for next.
    pub grouping: Grouping,
    /// Whether something is held that only a total can end.
    pub waits: bool,
    /// The time of the usage of the oldest unproven event.
    pub oldest: Timestamp,
    /// The time of the usage of the newest.
    pub newest: Timestamp,
    /// The time of the usage of the oldest event that the provider said yes to.
    pub accepted_from: Option<Timestamp>,
    /// Where the last comparison began, if it came to anything.
    pub last_from: Option<Timestamp>,
    /// The span of the last comparison, where it waits for a second look.
    pub first_seen: Option<Window>,
}

/// How far an event has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The event.
    pub event: EventId,
    /// Its state.
    pub state: EventState,
    /// Whether some attempt of it may have landed.
    pub may_exist: bool,
    /// Why it is held, when it is.
    pub hold: Option<HoldReason>,
    /// How often it was tried.
    pub attempts: i64,
    /// No attempt of it could land after this by itself, on the provider's clock.
    pub last_at: Timestamp,
}

/// An event that says usage, with the cancel of it that lives, if one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEvent {
    /// How far it has come.
    pub usage: Standing,
    /// How far its cancel has come.
    pub cancel: Option<Standing>,
    /// The balance that both tell.
    pub balance: BalanceId,
    /// Its window: where in it a lost ledger told of the same usage, nobody knows.
    pub window: Window,
    /// What it says.
    pub quantity: Quantity,
    /// The reading that it says, where its balance is a gauge.
    pub level: Option<Quantity>,
    /// When it says the usage was.
    pub occurred_at: Timestamp,
}

/// What a balance has outstanding that a ledger which was lost may have told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// The balance.
    pub balance: BalanceId,
    /// Its window: somewhere in it the usage was.
    pub window: Window,
    /// How much no event of this ledger says.
    pub quantity: Quantity,
}

/// A digest over events and what each has been through: two readings of the same total speak of the
/// same question only when it is the same.
#[must_use]
pub fn fingerprint(events: &[LaneEvent]) -> Digest {
    let mut fields = Fields::of("reading fingerprint 1");
    for event in events {
        for standing in std::iter::once(&event.usage).chain(&event.cancel) {
            fields = fields
                .number(standing.event.0)
                .text(standing.state.as_str())
                .number(i64::from(standing.may_exist))
                .text(standing.hold.map_or("", HoldReason::as_str))
                .number(standing.attempts);
        }
    }
    fields.finish()
}

/// What a reading proves of an event: where it moves to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The event.
    pub event: EventId,
    /// Where to.
    pub to: EventState,
    /// Why, as a sentence.
    pub why: String,
    /// Why it is held, when it is.
    pub hold: Option<(HoldReason, String)>,
}

/// A total that was read, and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The span of the total.
    pub span: Window,
    /// The total.
    pub total: Quantity,
    /// Over the events that it was compared with.
    pub fingerprint: Digest,
    /// What it comes to.
    pub finding: FindingKind,
    /// The same as a sentence.
    pub detail: String,
    /// What moves.
    pub fates: Vec<Fate>,
}

/// A comparison of a lane, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The lane.
    pub lane: LaneId,
    /// How finely its total is asked for next.
    pub grouping: Grouping,
    /// The provider's clock at the reading.
    pub provider_at: Timestamp,
    /// The totals; none where nothing could be read or judged.
    pub parts: Vec<Judged>,
}

/// What came of keeping a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Concluded {
    /// Events that moved.
    pub moved: u64,
    /// Totals whose events had changed since they were read; nothing of those moved.
    pub outdated: u64,
}

/// Requests for totals so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCalls {
    /// Of the UTC day asked about.
    pub day: u32,
    /// Of it and the 29 days before.
    pub month: u32,
}

/// The port of the `reconcile` room.
#[async_trait]
pub trait ReconcileLedger: Send + Sync {
    /// Lanes of `provider` with something to prove: those with something held first, then those
    /// compared least recently.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn unproven_lanes(
        &self,
        provider: &ProviderName,
        question: &LaneQuestion,
    ) -> Result<Vec<UnprovenLane>, LedgerError>;

    /// The events of a lane that say usage in `span`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn lane_events(
        &self,
        lane: LaneId,
        span: Window,
        limit: u32,
    ) -> Result<Vec<LaneEvent>, LedgerError>;

    /// What balances of a lane whose windows reach into `span` have outstanding, and a ledger that
    /// was lost may have told, under a name that this one does not know; none where none was lost.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn untold(&self, lane: LaneId, span: Window) -> Result<Vec<Untold>, LedgerError>;

    /// Since when, by the provider's clock and without another reading in between, the same total
    /// was seen for the same span and the same events, by readings that waited for a second look.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn seen_since(
        &self,
        lane: LaneId,
        span: Window,
        fingerprint: Digest,
        total: &Quantity,
    ) -> Result<Option<Timestamp>, LedgerError>;

    /// Whether what a lost ledger may have told can be judged: none was lost, or the inputs have
    /// been read again since.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn caught_up(&self) -> Result<bool, LedgerError>;

    /// Keeps a comparison with all that it proves. A total whose events have changed since they
    /// were read proves nothing, and is kept as too early.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn conclude(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError>;

    /// How many requests for totals were counted at `now`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn read_calls(
        &self,
        provider: &ProviderName,
        now: Timestamp,
    ) -> Result<ReadCalls, LedgerError>;

    /// Counts requests for totals, before they are made.
    ///
    /// # Errors
    /// Then they were not counted.
    async fn count_reads(
        &self,
        provider: &ProviderName,
        calls: u32,
        now: Timestamp,
    ) -> Result<(), LedgerError>;
}
