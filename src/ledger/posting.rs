//! What posting asks of the ledger. Here: balances that are due, with their events, and the verb
//! that applies a plan. Never here: the plan (`posting::plan`). Read next: [`super::delivery`].

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::balance::{Balance, BalanceId};
use crate::domain::event::{EventId, EventIntent, EventKind, Identifier, LedgerId};
use crate::domain::names::{AccountName, ProviderName};
use crate::domain::period::Billing;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{Timestamp, Window};
use crate::domain::write_off::PolicyWriteOff;

/// What posting needs to know of a balance's earlier event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedEvent {
    /// Its number.
    pub id: EventId,
    /// Its state.
    pub state: EventState,
    /// What kind of thing it says.
    pub kind: EventKind,
    /// Its name.
    pub identifier: Identifier,
    /// How much it changes what was told.
    pub quantity: Quantity,
    /// The total that it says, where its meter is told totals.
    pub total: Option<Quantity>,
    /// When it says the usage was.
    pub occurred_at: Timestamp,
    /// The event that it cancels, when it is a cancel.
    pub target: Option<EventId>,
    /// Whether it was ever leased; if so, bytes of it may have left this host.
    pub leased: bool,
    /// Whether some attempt of it may have landed.
    pub may_exist: bool,
    /// On the provider's clock: no later than the first attempt that may have landed.
    pub first_attempt_at: Option<Timestamp>,
    /// Whether a cancel of it was tried and came to nothing.
    pub cancel_spent: bool,
    /// It covers the bookings of its balance after this one.
    pub covers_from: i64,
}

impl PostedEvent {
    /// Whether no byte of it can have left this host.
    #[must_use]
    pub fn was_never_sent(&self) -> bool {
        self.state == EventState::Pending && !self.leased
    }

    /// Whether it is held, and definitely not at the provider.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.state == EventState::Held && !self.may_exist
    }
}

/// A balance that is due, and the events that told it so far and still may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueBalance {
    /// The balance.
    pub balance: Balance,
    /// Since when it is.
    pub due_at: Timestamp,
    /// Its events that count as told, as far as they were [`Needed`], oldest first.
    pub events: Vec<PostedEvent>,
    /// What is known of how its newest usage is billed.
    pub billing: Billing,
    /// Whether usage of two periods may be in it: its window was made before a bound within was
    /// known.
    pub spans_bound: bool,
    /// Where the provider keeps entries, the seconds of its window at which its account and meter
    /// ever had one, whichever balance that is of.
    pub seconds_taken: BTreeSet<i64>,
    /// Whether usage that it was given by other balances is still told by theirs.
    pub still_told: StillTold,
    /// Of a gauge, the newest time within its window that is at the provider, or may be, whichever
    /// balance told it.
    pub told_at: Option<Timestamp>,
    /// Of a gauge that was part of another, what was told of it there.
    pub said: Option<Said>,
    /// Up to how much a person confirmed that it was used.
    pub confirmed: Option<Quantity>,
}

impl DueBalance {
    /// Whether nothing that counts as told says anything of it.
    #[must_use]
    pub fn is_unsaid(&self) -> bool {
        self.events.is_empty() && self.said.is_none()
    }
}

/// Which events of a balance a plan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// All that live.
    Living,
    /// Those that are open or held, and the newest of those that were accepted. A balance without a
    /// window is told for as long as its account lives, and no plan of a provider that undoes
    /// nothing asks what it was told years ago.
    Open,
}

/// What was told of a gauge as it was part of another: what that one's event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// For which time.
    pub at: Timestamp,
    /// The reading.
    pub total: Quantity,
}

/// A balance whose usage belongs to several windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanning {
    /// The balance.
    pub balance: BalanceId,
    /// The version it was read at.
    pub version: i64,
    /// Whether its windows can only be told whole.
    pub whole: bool,
    /// Where its window ends beside the bounds of periods: where another program's telling does.
    pub bill_from: Option<Timestamp>,
}

/// Whether usage that a balance was given is still told by events of those that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StillTold {
    /// It is not.
    #[default]
    No,
    /// It is, and is being taken back.
    Going,
    /// It is, and why it stays is held.
    Held,
}

/// An event to be stored: what it says, and the bytes that say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    /// What it says.
    pub intent: EventIntent,
    /// The event that a cancel takes back.
    pub target: Option<EventId>,
    /// Why it is held from the start: a ledger that was lost may have told it.
    pub born_held: Option<(HoldReason, String)>,
    /// The request body. Delivery sends these bytes, however often.
    pub body: Vec<u8>,
    /// The last instant, on the provider's clock, at which the provider still takes it.
    pub deadline_at: Timestamp,
    /// The first instant at which it may be sent.
    pub not_before: Timestamp,
    /// Where the provider keeps entries, the second that it is entered at: no other entry of its
    /// lane ever has the same.
    pub second: Option<i64>,
    /// It covers the bookings after this one, where those are not just what nothing covers yet.
    pub covers_from: Option<i64>,
    /// What it takes away is told anew from the bookings after this one.
    pub uncovers: Option<i64>,
}

/// Usage that goes into a window of another period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carry {
    /// How much.
    pub amount: Quantity,
    /// Into which window.
    pub into: Window,
}

/// What is done to one balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The balance.
    pub balance: BalanceId,
    /// The version the plan was made from; the posting is skipped when it has changed since.
    pub version: i64,
    /// Events withdrawn: pending and never leased.
    pub voided: Vec<EventId>,
    /// Events that the provider definitely refused, and that are told otherwise or not at all.
    pub superseded: Vec<EventId>,
    /// Events to be told.
    pub events: Vec<EncodedEvent>,
    /// What is carried as a transfer: the balance is held as late instead where that is not just
    /// what no event covers.
    pub carry: Option<Carry>,
    /// How much of what no event covers is written off, and by which policy.
    pub write_off: Option<PolicyWriteOff>,
    /// What is left untold, as it is finer than the provider takes.
    pub finer: Quantity,
    /// Why what remains cannot be told.
    pub hold: Option<(HoldReason, String)>,
    /// When to look at the balance again without a change to it.
    pub due_at: Option<Timestamp>,
}

/// What a step of posting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Events stored.
    pub events: u64,
    /// Events withdrawn.
    pub voided: u64,
    /// Balances held.
    pub held: u64,
    /// Balances that had changed since they were read; they stay due.
    pub skipped: u64,
}

/// A ledger that was found to be older than what was sent from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When it was found.
    pub restored_at: Timestamp,
    /// Usage of until this instant may have been sent, though no row says so.
    pub sent_through_at: Timestamp,
    /// Since when a person says that the sources sent again what the ledger lacked.
    pub caught_up_at: Option<Timestamp>,
}

/// The port of the `posting` room.
#[async_trait]
pub trait PostingLedger: Send + Sync {
    /// The ledger's own name.
    fn ledger_id(&self) -> &LedgerId;

    /// Whether the ledger was rolled back, and how far sending had gone: what is told of usage of
    /// until then is born held.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn restored(&self) -> Result<Option<Restored>, LedgerError>;

    /// At most `limit` balances of `provider` that are due at `now`, the longest due first, with
    /// those of their events that are `needed`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn due_balances(
        &self,
        provider: &ProviderName,
        needed: Needed,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueBalance>, LedgerError>;

    /// How many entries each of `accounts` was told, of all its meters and whatever became of them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn entries_of(
        &self,
        provider: &ProviderName,
        accounts: &BTreeSet<AccountName>,
    ) -> Result<BTreeMap<AccountName, usize>, LedgerError>;

    /// When the next balance of `provider` falls due, if any will.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn next_due_at(&self, provider: &ProviderName) -> Result<Option<Timestamp>, LedgerError>;

    /// Makes all balances of a provider due of which something is held.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn ring_held(&self, provider: &ProviderName, now: Timestamp) -> Result<(), LedgerError>;

    /// Gives each of these balances' usage to balances whose windows end where periods do, and
    /// where its `bill_from` says, or whose windows are whole and of one side; skipped where the
    /// version is another by now. What was told of the old ones is taken back by posting, as all
    /// that is told too much. Answers how many were parted.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn part_at_bounds(
        &self,
        balances: &[Spanning],
        now: Timestamp,
    ) -> Result<u64, LedgerError>;

    /// Applies plans, each whole or (where its balance has changed) not at all.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn post(&self, postings: Vec<Posting>, now: Timestamp) -> Result<Posted, LedgerError>;
}
