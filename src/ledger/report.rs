//! What a report on the agreement with a provider asks of the ledger. Here: which accounts and
//! meters there are to compare, what is booked there, which records stand behind an event, and the
//! runs that are kept. Never here: whether anything differs (`reconcile::drift`). Read next:
//! [`super::reconcile`].

use async_trait::async_trait;

use super::LedgerError;
use super::reconcile::{Comparison, Concluded, LaneId};
use crate::domain::balance::BalanceId;
use crate::domain::drift::{DriftKind, Role};
use crate::domain::names::{AccountName, InvoiceId, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::resolution::ItemName;
use crate::domain::state::{HoldReason, ParkReason};
use crate::domain::time::{Timestamp, Window};

/// What is to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// With which provider instance.
    pub provider: ProviderName,
    /// Only this account.
    pub account: Option<AccountName>,
    /// Only this meter.
    pub meter: Option<ProviderMeter>,
    /// Usage of when.
    pub range: Window,
}

/// An account and a meter with something to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparand {
    /// Who pays.
    pub account: AccountName,
    /// What is counted.
    pub meter: ProviderMeter,
    /// Its lane, once something was posted.
    pub lane: Option<LaneId>,
    /// The periods of it that overlap the range.
    pub periods: Vec<BilledPeriod>,
}

/// A period, with its invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledPeriod {
    /// Used when.
    pub span: Window,
    /// The invoice, once there is one.
    pub invoice: Option<InvoiceId>,
    /// How much was billed, once it is closed.
    pub billed: Option<Quantity>,
}

/// A period whose invoice became final, and was not compared since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalPeriod {
    /// Its number.
    pub number: i64,
    /// When it was learned as it is.
    pub learned_at: Timestamp,
    /// Who pays.
    pub account: AccountName,
    /// What is counted.
    pub meter: ProviderMeter,
    /// The lane of both, once something was posted.
    pub lane: Option<LaneId>,
    /// Used when.
    pub span: Window,
    /// The invoice.
    pub invoice: InvoiceId,
    /// How much was billed.
    pub billed: Quantity,
}

/// What is booked of an account and a meter in a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanBooks {
    /// What the provider should hold.
    pub accrued: Quantity,
    /// What live events have said.
    pub told: Quantity,
    /// How much of what was used is written off.
    pub written_off: Quantity,
    /// How much of it was carried to another span, less what was carried here.
    pub carried: Quantity,
    /// What is outstanding.
    pub outstanding: Vec<Outstanding>,
}

/// What a balance has outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// The balance.
    pub balance: BalanceId,
    /// How much.
    pub quantity: Quantity,
    /// Whether it is left, as it is finer than the provider takes.
    pub too_fine: bool,
    /// Why it cannot be told; nothing where its turn has not come yet.
    pub hold: Option<(HoldReason, String)>,
}

/// Usage that waits in front of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedUsage {
    /// Who used, in the words of the source.
    pub customer: String,
    /// What was used, in the words of the source.
    pub meter: String,
    /// In front of which route; empty when none matched.
    pub route: String,
    /// Why.
    pub reason: ParkReason,
    /// How much.
    pub quantity: Quantity,
    /// The first of the records, as `SOURCE/ID`.
    pub records: Vec<String>,
    /// How many there are beside those.
    pub more_records: u64,
}

/// What stands behind an event or a balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The first of its records, as `SOURCE/ID`.
    pub records: Vec<String>,
    /// How many there are beside those.
    pub more_records: u64,
    /// Its attempts, each in words.
    pub attempts: Vec<String>,
}

/// Most records that are named of an event or of parked usage.
pub const RECORDS_NAMED_MAX: usize = 5;

/// Something that could make up a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// What.
    pub item: ItemName,
    /// What would have to be true of it.
    pub role: Role,
    /// Those of one set make the difference up together.
    pub set: u32,
    /// What it says.
    pub quantity: Quantity,
    /// Its state.
    pub state: String,
    /// The first of its records, as `SOURCE/ID`.
    pub records: Vec<String>,
    /// How many there are beside those.
    pub more_records: u64,
    /// Its attempts, each in words.
    pub attempts: Vec<String>,
}

/// A difference, before it is known where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of which kind.
    pub kind: DriftKind,
    /// How much.
    pub quantity: Quantity,
    /// The same as a sentence.
    pub detail: String,
    /// What could make it up.
    pub suspects: Vec<Suspect>,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Of whom; nothing where that is not known.
    pub account: Option<String>,
    /// Of what; where the account is not known, in the words of the source.
    pub meter: String,
    /// Of when.
    pub span: Window,
    /// What.
    pub found: Found,
}

/// A comparison of everything that a question names, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What was asked.
    pub question: Question,
    /// When, here.
    pub begun_at: Timestamp,
    /// Until when.
    pub ended_at: Timestamp,
    /// Requests for totals that it took.
    pub calls: u32,
    /// The fewest that it could have taken.
    pub calls_min: u32,
    /// Spans of an account and a meter whose total was compared.
    pub compared: u64,
    /// Those without a difference.
    pub agreed: u64,
    /// The differences.
    pub drifts: Vec<Drift>,
}

/// How busy an account's lane is that is told each record by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneLoad {
    /// Who pays.
    pub account: AccountName,
    /// What is counted.
    pub meter: ProviderMeter,
    /// Records on its busiest day.
    pub busiest_day: i64,
}

/// How busy the lanes of a provider are that are told each record by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneLoads {
    /// Those with any.
    pub loads: Vec<LaneLoad>,
    /// How long an answer took lately, in microseconds: the median; nothing where none was seen.
    pub answer_micros: Option<i64>,
}

/// The port of the report.
#[async_trait]
pub trait ReportLedger: Send + Sync {
    /// How busy the lanes of `provider` were since an instant that are told each record by itself.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn lane_loads(
        &self,
        provider: &ProviderName,
        since: Timestamp,
    ) -> Result<LaneLoads, LedgerError>;

    /// The accounts and meters with something booked or billed in the range.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn comparands(&self, question: &Question) -> Result<Vec<Comparand>, LedgerError>;

    /// Whether anything is booked of an account and a meter in `span`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn is_booked(
        &self,
        provider: &ProviderName,
        comparand: &Comparand,
        span: Window,
    ) -> Result<bool, LedgerError>;

    /// What is booked of an account and a meter in windows that begin in `span`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn span_books(
        &self,
        provider: &ProviderName,
        comparand: &Comparand,
        span: Window,
    ) -> Result<SpanBooks, LedgerError>;

    /// What waits in front of routes, of usage in `range`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn parked_usage(&self, range: Window) -> Result<Vec<ParkedUsage>, LedgerError>;

    /// What stands behind a thing.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn evidence(&self, item: ItemName) -> Result<Evidence, LedgerError>;

    /// Keeps a run with its differences; answers its number.
    ///
    /// # Errors
    /// Then it was not kept.
    async fn keep_run(&self, run: &Run) -> Result<i64, LedgerError>;

    /// The newest runs with `provider`, or with any, newest first: each with its number, and how
    /// many differences it has.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn runs(
        &self,
        provider: Option<&ProviderName>,
        limit: u32,
    ) -> Result<Vec<(i64, u64)>, LedgerError>;

    /// A run as it was kept.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn run(&self, number: i64) -> Result<Option<Run>, LedgerError>;

    /// Periods of `provider` with a final invoice that was not compared since it was learned, at
    /// most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn final_periods(
        &self,
        provider: &ProviderName,
        limit: u32,
    ) -> Result<Vec<FinalPeriod>, LedgerError>;

    /// Notes that these were compared. One that was learned anew meanwhile is to be compared again.
    ///
    /// # Errors
    /// Then nothing was noted.
    async fn note_compared(
        &self,
        periods: &[FinalPeriod],
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Keeps a comparison that a report makes with all that it proves, as settlement's are kept,
    /// and has its lane compared again next.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn conclude_and_compare_next(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError>;
}

/// Records in words: `web/a, web/b and 3 more`.
#[must_use]
pub fn records_said(named: &[String], more: u64) -> String {
    match (named, more) {
        ([], _) => "no record".to_owned(),
        (named, 0) => named.join(", "),
        (named, more) => format!("{} and {more} more", named.join(", ")),
    }
}
