//! What people ask of the ledger. Here: the readings behind `status`, `books`, `trace`, `held` and
//! `ledger verify`, and the import of accounts. Never here: how they are printed (`cli`). Read
//! next: [`super::holds`].

use async_trait::async_trait;

use super::LedgerError;
use super::intake::Archived;
use super::posting::Restored;
use super::spool::SpoolStatus;
use super::verification::Verification;
use crate::domain::correction::{Change, Effect, Standing};
use crate::domain::entries::EntriesTold;
use crate::domain::names::{AccountName, CustomerName, ProviderName, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::resolution::Token;
use crate::domain::time::Timestamp;

/// One number per name, in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Of what: a state, a reason.
    pub name: String,
    /// How many.
    pub count: i64,
}

/// What `status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The ledger's own name.
    pub ledger_id: String,
    /// Records in the journal.
    pub records: i64,
    /// The journal position accrual has reached.
    pub accrued_to: i64,
    /// Accepted corrections.
    pub corrections: i64,
    /// The correction that accrual has reached.
    pub corrected_to: i64,
    /// Copies of booked records that say something else.
    pub conflicts: i64,
    /// Items that came in and are no records.
    pub rejected: i64,
    /// Of those, how many nobody has seen to.
    pub rejected_open: i64,
    /// Records that wait in front of a route, by reason.
    pub parked: Vec<Count>,
    /// Events by provider and state: (provider, state, how many).
    pub events: Vec<(String, String, i64)>,
    /// Balances with something outstanding.
    pub balances_open: i64,
    /// The oldest time, here, since which an event waits to be told.
    pub oldest_open_at: Option<Timestamp>,
    /// The nearest deadline of an event that waits to be told.
    pub nearest_deadline_at: Option<Timestamp>,
    /// What stands of each provider: (provider, account, livemode, pause).
    pub providers: Vec<ProviderStatus>,
    /// Held events and balances by provider and reason: (provider, reason, how many).
    pub held: Vec<(String, String, i64)>,
    /// What is at risk by held events and balances, the most first.
    pub at_risk: Vec<AtRisk>,
    /// What is in flight or unknown, by provider and meter, added up without signs.
    pub open: Vec<(String, String, Quantity)>,
    /// How many of the newest events are held.
    pub recent: RecentEvents,
    /// Whether the ledger was rolled back.
    pub restored: Option<Restored>,
    /// What stands of the notices of each provider that sent any.
    pub notices: Vec<NoticesStatus>,
    /// How far each spool was read of which anything was.
    pub spools: Vec<SpoolStatus>,
}

/// What `status` shows of a provider's notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticesStatus {
    /// The provider instance.
    pub provider: String,
    /// How many wait.
    pub waiting: i64,
    /// When the newest came.
    pub newest_at: Timestamp,
}

/// How much of a customer's usage may be billed twice, or not at all, while it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRisk {
    /// The provider instance.
    pub provider: String,
    /// Who pays.
    pub account: String,
    /// What is counted.
    pub meter: String,
    /// How many events and balances are held.
    pub items: i64,
    /// Their quantities, without their signs: a held `+5` does not make up for a held `-5`.
    pub quantity: Quantity,
}

/// Events that are looked at to say how often something is held: enough that one in two hundred is
/// told from one in a thousand, and few enough to be counted at every reading of the metrics.
pub const RECENT_EVENTS: i64 = 10_000;

/// How many of the newest [`RECENT_EVENTS`] events are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentEvents {
    /// How many events there are, at most [`RECENT_EVENTS`].
    pub events: i64,
    /// How many of them are held.
    pub held: i64,
}

impl RecentEvents {
    /// The share that is held, in basis points, rounded up.
    #[must_use]
    pub const fn held_basis_points(self) -> i64 {
        if self.events <= 0 {
            return 0;
        }
        let shares = self.held.saturating_mul(10_000);
        shares.saturating_add(self.events - 1) / self.events
    }
}

/// What `status` shows of a provider instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Its name.
    pub provider: String,
    /// The pinned account.
    pub account: Option<String>,
    /// The pinned mode.
    pub livemode: Option<bool>,
    /// Why nothing is sent, and since when.
    pub pause: Option<(String, Timestamp)>,
    /// Whether it is in shadow.
    pub in_shadow: bool,
    /// How many balances have usage that was written off, as another program told it.
    pub told_before: i64,
}

/// One line of the books: a balance, and the bracket that the provider's holding lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookLine {
    /// The provider instance.
    pub provider: String,
    /// Who pays.
    pub account: String,
    /// What is counted.
    pub meter: String,
    /// The span of usage; the widest of the lines when several are summed.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// What the provider should hold.
    pub accrued: Quantity,
    /// What live events have said.
    pub told: Quantity,
    /// Seen in the provider's total.
    pub settled: Quantity,
    /// Said yes to.
    pub accepted: Quantity,
    /// Pending: certainly not there yet.
    pub pending: Quantity,
    /// In flight or unknown: may be there.
    pub uncertain: Quantity,
    /// Held.
    pub held: Quantity,
    /// What held events and balances stand for, added up without their signs.
    pub at_risk: Quantity,
    /// The least the provider holds, if nobody else writes to the meter.
    pub low: Quantity,
    /// The most it holds.
    pub high: Quantity,
    /// What was written off of it, as another program told it.
    pub told_before: Quantity,
    /// Whether more than that may be there all the same: a ledger that was lost may have told usage
    /// of this time, and the sources have not sent it again yet.
    pub unbounded: bool,
}

/// How `books` sums its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookFilter {
    /// Only this account.
    pub account: Option<String>,
    /// Only this meter.
    pub meter: Option<String>,
    /// One line per window, instead of one per account and meter.
    pub by_window: bool,
}

/// The life of a record; or, while only corrections of it have come, theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Where it comes from.
    pub source: SourceName,
    /// Its name there.
    pub id: RecordId,
    /// The record, once it has come, until it is archived.
    pub record: Option<TraceRecord>,
    /// Where it went, if it is archived.
    pub archived: Option<Archived>,
    /// What it counts with; nothing while it has not come.
    pub standing: Option<Standing>,
    /// Its corrections, in the order in which they were accepted.
    pub corrections: Vec<TraceCorrection>,
    /// Copies that say something else.
    pub conflicts: Vec<TraceConflict>,
    /// Where it waits: (route, reason, particulars, since).
    pub parked: Vec<(String, String, String, Timestamp)>,
    /// Where it was booked.
    pub bookings: Vec<TraceBooking>,
}

/// A record in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// Its place in the journal.
    pub position: i64,
    /// Its fields, by name.
    pub fields: Vec<(&'static str, String)>,
    /// When it was booked in the journal.
    pub recorded_at: Timestamp,
}

/// A correction in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceCorrection {
    /// Its number in the ledger.
    pub id: i64,
    /// Its own name.
    pub name: String,
    /// What it says.
    pub change: Change,
    /// What it came to; nothing while its record has not come.
    pub effect: Option<Effect>,
    /// Why it was made.
    pub reason: String,
    /// Who made it.
    pub who: String,
    /// When it was accepted.
    pub recorded_at: Timestamp,
}

/// A copy of a record that says something else, in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConflict {
    /// When it came.
    pub recorded_at: Timestamp,
    /// What it says.
    pub says: String,
    /// Which copy a person decided for: `first`, `second`.
    pub decided: Option<String>,
    /// What a person decided of it.
    pub resolutions: Vec<TraceResolution>,
}

/// What a person decided, in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceResolution {
    /// When.
    pub at: Timestamp,
    /// What.
    pub verdict: String,
    /// Over which quantity.
    pub quantity: Quantity,
    /// Why.
    pub why: String,
    /// Who.
    pub who: String,
}

/// A balance in a trace, with what the record and its corrections did to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceBooking {
    /// The route, and its version.
    pub route: String,
    /// The version's number.
    pub route_version: i64,
    /// The provider instance, account and meter.
    pub destination: (String, String, String),
    /// The balance's number.
    pub balance: i64,
    /// Its window.
    pub window: (Timestamp, Timestamp),
    /// What the record adds to it now: the sum of the lines.
    pub quantity: Quantity,
    /// The lines of the record, oldest first.
    pub lines: Vec<TraceLine>,
    /// The balance's sums now: accrued, told.
    pub sums: (Quantity, Quantity),
    /// Why the rest of the balance is held, and the particulars.
    pub hold: Option<(String, String)>,
    /// The events that cover one of the lines, and the cancels of those, oldest first.
    pub events: Vec<TraceEvent>,
    /// The invoices of the period that the window begins in, with what each bills, once final.
    pub invoices: Vec<(String, Option<Quantity>)>,
    /// What people decided of the balance.
    pub resolutions: Vec<TraceResolution>,
}

/// A line of a balance in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// What it adds.
    pub quantity: Quantity,
    /// Why it is there.
    pub cause: String,
    /// The number of the correction, resolution or event of the cause; 0 for the record itself.
    pub cause_id: i64,
    /// When it was booked.
    pub booked_at: Timestamp,
}

/// A meter event in a trace or a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// Its number.
    pub id: i64,
    /// The event that it cancels, if it is a cancel.
    pub cancels: Option<i64>,
    /// Its identifier.
    pub identifier: String,
    /// Its state.
    pub state: String,
    /// Why it is held, and the particulars.
    pub hold: Option<(String, String)>,
    /// What it says.
    pub quantity: Quantity,
    /// When it says the usage was.
    pub occurred_at: Timestamp,
    /// Its attempts.
    pub attempts: Vec<TraceAttempt>,
    /// Every move it made.
    pub moves: Vec<TraceMove>,
    /// What people decided of it.
    pub resolutions: Vec<TraceResolution>,
}

/// A move in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceMove {
    /// When.
    pub at: Timestamp,
    /// From which state; empty when it began.
    pub from: String,
    /// To which.
    pub to: String,
    /// Why.
    pub why: String,
}

/// An attempt in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceAttempt {
    /// When it was leased.
    pub begun_at: Timestamp,
    /// The key it carried.
    pub idempotency_key: String,
    /// What it came to; nothing when the process ended before an answer.
    pub outcome: Option<String>,
    /// The HTTP status.
    pub status: Option<i64>,
    /// The provider's name for the request.
    pub request_id: Option<String>,
    /// What the provider said.
    pub message: Option<String>,
}

/// Something that waits for a person: a held event or balance, or parked records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldItem {
    /// Its number, as `held show` takes it: `event:12`, `balance:7`.
    pub name: String,
    /// The provider instance.
    pub provider: String,
    /// Who pays.
    pub account: String,
    /// What is counted.
    pub meter: String,
    /// How much is at stake.
    pub quantity: Quantity,
    /// Why.
    pub reason: String,
    /// The particulars.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// How it was seen: a verdict over it names this.
    pub token: Token,
}

/// Records parked for the same reason in front of the same route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedGroup {
    /// The route; empty when none matched.
    pub route: String,
    /// Why.
    pub reason: String,
    /// What was used.
    pub meter: String,
    /// Who used, for one of them.
    pub customer: String,
    /// The particulars of one of them.
    pub detail: String,
    /// How many.
    pub count: i64,
    /// How much, in the source's unit.
    pub quantity: Quantity,
}

/// The port of the people who run the ledger.
#[async_trait]
pub trait OperatorLedger: Send + Sync {
    /// Counts and ages.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn status(&self) -> Result<Status, LedgerError>;

    /// How many entries each account of `provider` was told in its life, and since `recent_from`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn entries_told(
        &self,
        provider: &ProviderName,
        recent_from: Timestamp,
    ) -> Result<Vec<EntriesTold>, LedgerError>;

    /// The books, by provider, account and meter.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn books(&self, filter: &BookFilter) -> Result<Vec<BookLine>, LedgerError>;

    /// The life of a record.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn trace(&self, source: &SourceName, id: &RecordId)
    -> Result<Option<Trace>, LedgerError>;

    /// What is held, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn held(&self, limit: u32) -> Result<Vec<HeldItem>, LedgerError>;

    /// One event with its attempts and moves.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn event(&self, id: i64) -> Result<Option<TraceEvent>, LedgerError>;

    /// What is parked, in groups.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn parked(&self) -> Result<Vec<ParkedGroup>, LedgerError>;

    /// Adds or changes customers' accounts at a provider; what is parked is looked at again.
    /// Answers how many changed. What is booked stays where it is booked.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn import_accounts(
        &self,
        provider: &ProviderName,
        accounts: &[(CustomerName, AccountName)],
        now: Timestamp,
    ) -> Result<u64, LedgerError>;

    /// Checks the whole ledger: its storage, and every promise that its rows make about each other.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn verify(&self) -> Result<Verification, LedgerError>;

    /// Sees that a ballast of so many bytes lies beside the ledger, if its disk has the room. It is
    /// given up once when what was already sent must be recorded on a full disk. Without it the
    /// ledger works all the same, so a failure is only said.
    async fn keep_ballast(&self, bytes: u64);

    /// Moves the write-ahead log into the ledger file and refreshes the planner's statistics.
    ///
    /// # Errors
    /// When storage fails.
    async fn maintain(&self) -> Result<(), LedgerError>;
}
