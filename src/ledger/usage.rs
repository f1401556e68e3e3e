//! What the `usage` room asks of the ledger. Here: views, what they have not counted yet, and what
//! is read to answer for a customer. Never here: levers, what a figure comes to (see `usage`). Read
//! next: [`super::verification`].
//!
//! A view is counted behind intake. What it has not counted yet is read beside its sums, in the
//! same snapshot, so an answer holds every record that was acknowledged before it was asked for.

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::balance::Place;
use crate::domain::correction::CorrectionId;
use crate::domain::names::{AccountName, CustomerName, ProviderName};
use crate::domain::record::Position;
use crate::domain::time::{Timestamp, Window};
use crate::domain::usage::{CountedRecord, Grain, Part, Span, Sum, View, ViewId};

/// Most records that an answer reads beside the sums. They are passed over one by one, in
/// milliseconds; a view that is further behind is still being made, or its ledger is overloaded.
pub const BEHIND_MAX: i64 = 20_000;
/// Most sums that an answer is made of: a hundred thousand buckets or subscriptions of a customer
/// fill some megabytes.
pub const SUMS_MAX: u32 = 100_000;

/// How far views are counted: all records up to a position, as all corrections up to one have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountedTo {
    /// The records.
    pub position: Position,
    /// The corrections.
    pub corrected: CorrectionId,
}

/// Views that are counted equally far, and what comes next of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncounted {
    /// The views.
    pub views: Vec<(ViewId, View)>,
    /// How far they are counted.
    pub from: CountedTo,
    /// How far they are with what follows.
    pub to: CountedTo,
    /// Records of their meters in between.
    pub records: Vec<CountedRecord>,
    /// Those counted before that were corrected since.
    pub corrected: Vec<CountedRecord>,
}

impl Uncounted {
    /// Whether there is nothing to count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// What is kept a sum for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SumKey {
    /// In which view.
    pub view: ViewId,
    /// Of whom.
    pub customer: CustomerName,
    /// How long its slice of time is.
    pub grain: Grain,
    /// Where that begins.
    pub start: Timestamp,
    /// Of what.
    pub part: Part,
}

/// What a step adds to sums, and how far the views are then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The views.
    pub views: Vec<ViewId>,
    /// How far they were counted.
    pub from: CountedTo,
    /// How far they are now.
    pub to: CountedTo,
    /// What is added, in the order of the keys.
    pub changes: Vec<(SumKey, Sum)>,
}

/// What is asked of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuestion {
    /// The view.
    pub view: View,
    /// Of whom.
    pub customer: CustomerName,
    /// Of which time.
    pub span: Span,
}

/// What is read for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRead {
    /// How far the view is counted.
    pub counted: CountedTo,
    /// The sums of the span, a line for each slice.
    pub sums: Vec<(Part, Sum)>,
    /// The customer's records that came since, of any time.
    pub records: Vec<CountedRecord>,
    /// Those counted before that were corrected since.
    pub corrected: Vec<CountedRecord>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageTold {
    /// What is known.
    Known(UsageRead),
    /// The view is not in the ledger: no daemon ran with its lever so far.
    NoView,
    /// So many records are still to be counted, or corrections: more than [`BEHIND_MAX`].
    Behind(i64),
    /// Records were archived before the view was made. What occurred before this may be among them.
    ArchivedBefore(Timestamp),
    /// It is more than [`SUMS_MAX`] sums.
    TooMany,
}

/// The port of the `usage` room.
#[async_trait]
pub trait UsageLedger: Send + Sync {
    /// Has exactly these views counted from here on. One that is new begins with the oldest record
    /// that is there; one that is not among them is forgotten bit by bit.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn adopt_views(&self, views: &[View]) -> Result<(), LedgerError>;

    /// What comes next of the journal for each group of views that are counted equally far: at most
    /// `limit` positions and as many corrections each.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn uncounted(&self, limit: u32) -> Result<Vec<Uncounted>, LedgerError>;

    /// Adds to the sums of some views, and moves them on.
    ///
    /// # Errors
    /// Then nothing was changed. [`LedgerError::Contradiction`] when a view is not where the step
    /// read it.
    async fn count(&self, counted: &Counted) -> Result<(), LedgerError>;

    /// Deletes at most `limit` sums of views that nobody asks for any more, and then the views;
    /// answers how many sums went.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn forget_views(&self, limit: u32) -> Result<u64, LedgerError>;

    /// Reads what an answer is made of, in one snapshot.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn usage_of(&self, question: &UsageQuestion) -> Result<UsageTold, LedgerError>;

    /// The imported account of `customer` at `provider`, where there is one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn imported_account(
        &self,
        provider: &ProviderName,
        customer: &CustomerName,
    ) -> Result<Option<AccountName>, LedgerError>;

    /// The billing periods of some places that hold `at`, without those that are not known.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn periods_at(&self, places: &[Place], at: Timestamp)
    -> Result<Vec<Window>, LedgerError>;
}
