//! What we remember: the ports. Here: one small trait per room, and the values that pass through
//! them. A method is a transaction: it upholds one invariant, whole or not at all, and is never
//! held open across a network call. Never here: SQL (see `store`). Read next: [`intake`], then down
//! the list.
//!
//! Rooms meet only in the ledger. Each step reads what is there, decides purely, and writes what
//! follows in one transaction; so the only moments at which a crash can matter lie between two
//! verbs.

pub mod intake;
pub mod spool;
pub mod accrual;
pub mod posting;
pub mod delivery;
pub mod cutover;
pub mod reconcile;
pub mod report;
pub mod verification;
pub mod operator;
pub mod corrections;
pub mod remap;
pub mod holds;
pub mod export;
pub mod rejected;
pub mod notices;
pub mod billing;
pub mod silence;
pub mod usage;

/// Why a ledger verb did not do what it promises. Nothing of the verb was done, except for
/// [`LedgerError::Broken`], after which nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk, or the room left to the ledger, is full. The transaction rolled back cleanly: this
    /// is backpressure, and the same verb may be tried again later.
    #[error("the ledger has no room left on its disk")]
    Full(#[source] Source),
    /// The ledger is busy for longer than a caller should wait; nothing was done.
    #[error("the ledger is busy")]
    Busy(#[source] Source),
    /// An I/O error, or a failed commit. Whether the transaction happened is unknown, and what this
    /// process believes may be wrong: it must stop and recover from disk.
    #[error("the ledger's storage failed")]
    Broken(#[source] Source),
    /// What the ledger holds contradicts a promise it makes. Nothing was written.
    #[error("the ledger contradicts itself: {0}")]
    Contradiction(String),
    /// Any other failure to do a verb; nothing was done.
    #[error("the ledger refused: {0}")]
    Refused(String, #[source] Option<Source>),
}

/// The error beneath a ledger error, for the log.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

impl LedgerError {
    /// Whether this process must stop and recover from disk.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Contradiction(_) => true,
            Self::Full(_) | Self::Busy(_) | Self::Refused(..) => false,
        }
    }

    /// The same error once more, for another caller whose work shared the transaction: its kind,
    /// and its chain as text.
    #[must_use]
    pub fn repeated(&self) -> Self {
        let chain = |source: &Source| -> Source {
            let mut text = source.to_string();
            let mut next = source.source();
            while let Some(inner) = next {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                next = inner.source();
            }
            text.into()
        };
        match self {
            Self::Full(source) => Self::Full(chain(source)),
            Self::Busy(source) => Self::Busy(chain(source)),
            Self::Broken(source) => Self::Broken(chain(source)),
            Self::Contradiction(text) => Self::Contradiction(text.clone()),
            Self::Refused(text, source) => Self::Refused(text.clone(), source.as_ref().map(chain)),
        }
    }
}

/// All the ports of a ledger that a daemon needs.
pub trait Ledger:
    intake::IntakeLedger
    + accrual::AccrualLedger
    + posting::PostingLedger
    + delivery::DeliveryLedger
    + cutover::CutoverLedger
    + reconcile::ReconcileLedger
    + report::ReportLedger
    + operator::OperatorLedger
    + holds::HoldsLedger
    + notices::NoticesLedger
    + billing::BillingLedger
    + silence::SilenceLedger
{
}

impl<T> Ledger for T where
    T: intake::IntakeLedger
        + accrual::AccrualLedger
        + posting::PostingLedger
        + delivery::DeliveryLedger
        + cutover::CutoverLedger
        + reconcile::ReconcileLedger
        + report::ReportLedger
        + operator::OperatorLedger
        + holds::HoldsLedger
        + notices::NoticesLedger
        + billing::BillingLedger
        + silence::SilenceLedger
{
}
