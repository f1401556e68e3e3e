//! What accrual asks of the ledger. Here: the journal past the watermark, parked records, and the
//! one verb that changes balances. Never here: which route takes a record (`accrual::map`). Read
//! next: [`super::posting`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;

use super::LedgerError;
use super::remap::{OpenRemap, RemapStep};
use crate::domain::balance::{BalanceKey, Place};
use crate::domain::correction::{Cause, Change, CorrectionId};
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, CustomerName, ProviderName, RouteName};
use crate::domain::quantity::Quantity;
use crate::domain::record::{Position, UsageRecord};
use crate::domain::silence::Hearing;
use crate::domain::state::ParkReason;
use crate::domain::time::Timestamp;
use crate::domain::unique::Member;

/// A route as it stood from some journal position on: its number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteVersionId(pub i64);

/// A route as configured, in a canonical text that changes exactly when its meaning does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDefinition {
    /// Its name.
    pub name: RouteName,
    /// Its canonical text.
    pub definition: String,
}

/// A journal entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its place in the journal.
    pub position: Position,
    /// The record.
    pub record: UsageRecord,
}

/// A record that waits, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRecord {
    /// The record.
    pub entry: JournalRecord,
    /// The route it waits in front of; nothing when no route matched it.
    pub route: Option<RouteName>,
    /// The destinations, as (provider, provider meter), that other routes booked it to.
    pub booked: Vec<(String, String)>,
    /// Those that a remap took it away from since: only a remap brings it back.
    pub left: Vec<(String, String)>,
}

/// A record booked to a balance by a route version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// The record.
    pub position: Position,
    /// The route version that books it.
    pub route: RouteVersionId,
    /// The balance's key; the balance is made when it is not there yet.
    pub balance: BalanceKey,
    /// How the balance comes to what it accrues; one that is there already stays as it was made.
    pub fold: Fold,
    /// What it adds to what the record stands for there: for a record, its quantity after the
    /// route's scale.
    pub quantity: Quantity,
    /// The value that the record is counted by, where the balance counts distinct values.
    pub member: Option<Member>,
    /// Why it is made, and the number of the correction; 0 for the record itself.
    pub cause: (Cause, i64),
    /// The record's own time.
    pub occurred_at: Timestamp,
    /// When the balance may be posted, as far as this record says.
    pub due_at: Timestamp,
}

/// A record parked in front of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parking {
    /// The record.
    pub position: Position,
    /// The route; nothing when no route matched.
    pub route: Option<RouteName>,
    /// Why.
    pub reason: ParkReason,
    /// The particulars, for a person.
    pub detail: String,
}

/// What counts the changes of routes and accounts. A step that parks says which mapping it went by,
/// so that a change made meanwhile brings the record up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappingVersion(pub i64);

/// The corrections of some records, each with those of its record in the order in which they were
/// accepted.
pub type Corrections = BTreeMap<Position, Vec<(CorrectionId, Change)>>;

/// A record that corrections came for after it was accrued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectedRecord {
    /// The record.
    pub entry: JournalRecord,
    /// All corrections of it.
    pub corrections: Vec<(CorrectionId, Change)>,
    /// The lines that balances have of it.
    pub lines: Vec<BookedLine>,
}

/// A line that a balance has of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedLine {
    /// The balance.
    pub balance: BalanceKey,
    /// The route version that booked the record there.
    pub route: RouteVersionId,
    /// Its canonical text.
    pub definition: String,
    /// What the line adds.
    pub quantity: Quantity,
    /// Why it is there, and the number of what caused it.
    pub cause: (Cause, i64),
    /// Corrections up to this one are in it already; none but in the line of a remap.
    pub corrected_to: CorrectionId,
}

/// The corrections past accrual's watermark of corrections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorrectionsPage {
    /// The watermark.
    pub watermark: CorrectionId,
    /// The newest correction of the page.
    pub to: CorrectionId,
    /// The newest line of any balance when it was read.
    pub lines_to: i64,
    /// The records they name that were accrued already. A record that was not yet is followed by
    /// its corrections when it is.
    pub records: Vec<CorrectedRecord>,
}

/// The journal past accrual's watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalPage {
    /// The watermark.
    pub watermark: Position,
    /// The mapping in force when it was read.
    pub mapping: MappingVersion,
    /// The entries past it, in order.
    pub entries: Vec<JournalRecord>,
    /// When each of them arrived, likewise.
    pub arrivals: Vec<Timestamp>,
    /// The corrections that came for them already.
    pub corrections: Corrections,
}

/// Parkings made under an earlier mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedPage {
    /// The mapping in force when they were read.
    pub mapping: MappingVersion,
    /// The parkings.
    pub parked: Vec<ParkedRecord>,
    /// The corrections that came for them already.
    pub corrections: Corrections,
}

/// What a step of accrual changes, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accrual {
    /// The mapping the step went by.
    pub mapping: MappingVersion,
    /// The journal positions the step consumed, as (the watermark it read, the new one). Nothing
    /// when the step looked at parked records only.
    pub watermark: Option<(Position, Position)>,
    /// The corrections the step consumed, as (the watermark it read, the new one).
    pub corrections: Option<(CorrectionId, CorrectionId)>,
    /// The parkings the step looked at again: they end, and what still waits is parked anew.
    pub unparked: Vec<(Position, Option<RouteName>)>,
    /// What is booked.
    pub bookings: Vec<Booking>,
    /// What is parked.
    pub parkings: Vec<Parking>,
    /// Who was heard in the entries that were consumed, of which cadences are learned.
    pub hearings: Vec<Hearing>,
    /// How far a remap went.
    pub remap: Option<RemapStep>,
    /// The newest line of any balance when those were read that this was derived from; nothing
    /// where it was derived from none. Whoever gave usage of such a record away since, or decided
    /// about it, has it derived anew.
    pub lines_to: Option<i64>,
}

/// What a step of accrual did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accrued {
    /// Bookings made.
    pub booked: u64,
    /// Records parked.
    pub parked: u64,
    /// Whether nothing was done, as what the step was derived from is no longer so.
    pub outdated: bool,
    /// Balances that fold otherwise than the step would have booked records to them; nothing was
    /// done then. Those records have to wait.
    pub unfit: BTreeMap<BalanceKey, Fold>,
}

/// The port of the `accrual` room.
#[async_trait]
pub trait AccrualLedger: Send + Sync {
    /// Adopts the routes of the present configuration: each gets the number of its version, an old
    /// one where nothing changed. When anything did, what is parked is looked at again. A changed
    /// route applies to what the watermark has not passed; what is booked stays booked.
    ///
    /// # Errors
    /// Then nothing was adopted.
    async fn adopt_routes(
        &self,
        routes: &[RouteDefinition],
        now: Timestamp,
    ) -> Result<Vec<RouteVersionId>, LedgerError>;

    /// The routes that are in force, each with the number of its version.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn routes_in_force(&self) -> Result<Vec<(RouteDefinition, RouteVersionId)>, LedgerError>;

    /// At most `limit` entries of the journal past accrual's watermark.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn unaccrued(&self, limit: u32) -> Result<JournalPage, LedgerError>;

    /// At most `limit` parkings that have not been looked at since the routes or the accounts last
    /// changed.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn parked_to_review(&self, limit: u32) -> Result<ParkedPage, LedgerError>;

    /// At most `limit` corrections past accrual's watermark of corrections.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn uncorrected(&self, limit: u32) -> Result<CorrectionsPage, LedgerError>;

    /// The oldest remap that is not done, with at most `limit` of its next records.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn open_remap(&self, limit: u32) -> Result<Option<OpenRemap>, LedgerError>;

    /// The imported accounts, at `provider`, of those of `customers` that have one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn imported_accounts(
        &self,
        provider: &ProviderName,
        customers: &[CustomerName],
    ) -> Result<HashMap<CustomerName, AccountName>, LedgerError>;

    /// Those of `accounts` that were told `least` entries or more, of all their meters and whatever
    /// became of them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn accounts_with_entries(
        &self,
        provider: &ProviderName,
        accounts: &BTreeSet<AccountName>,
        least: u32,
    ) -> Result<BTreeSet<AccountName>, LedgerError>;

    /// The bounds of the periods that are known of some places, in order; places without any are
    /// left out.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn period_bounds(
        &self,
        places: &[Place],
    ) -> Result<BTreeMap<Place, Vec<Timestamp>>, LedgerError>;

    /// How those of some balances that are there fold.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn folds(
        &self,
        balances: &BTreeSet<BalanceKey>,
    ) -> Result<BTreeMap<BalanceKey, Fold>, LedgerError>;

    /// Books, parks, learns who was heard, and moves the watermark, or a remap on. A record is
    /// booked to a provider's meter at most once for ever: the schema holds it.
    ///
    /// # Errors
    /// Then nothing was changed. [`LedgerError::Contradiction`] when the watermark is not where the
    /// step read it.
    async fn accrue(&self, accrual: Accrual, now: Timestamp) -> Result<Accrued, LedgerError>;
}
