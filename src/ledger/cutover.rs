//! What taking over from another program asks of the ledger. Here: how each provider instance is
//! told, and since when; what it held of what another program told. Never
//! here: from when on anything is told (`domain::cutover`). Read next: [`super::reconcile`].

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::LedgerError;
use super::operator::BookFilter;
use crate::domain::cutover::{Earlier, ForeignKind, Lacking, Telling};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::time::{Timestamp, Window};

/// What became of how a provider instance is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It is told so from now on.
    Adopted {
        /// How it was told before, and since when, where that was otherwise.
        before: Option<Earlier>,
        /// How many events are sent no more, as what they say was told by another program.
        withdrawn: u64,
    },
    /// Nothing was changed: something would be told that another program may have told.
    Refused(Lacking),
}

/// What a provider held of a period before this program's telling began: another program told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The least that it may be.
    pub low: Quantity,
    /// The most.
    pub high: Quantity,
}

/// A period that another program began to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunPeriod {
    /// Who pays.
    pub account: AccountName,
    /// What is counted.
    pub meter: ProviderMeter,
    /// Used when.
    pub span: Window,
    /// Until which instants it is known what the provider held of it.
    pub known_until: Vec<Timestamp>,
}

/// An account and a meter in shadow, whose totals are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowedPlace {
    /// Who pays.
    pub account: AccountName,
    /// What is counted.
    pub meter: ProviderMeter,
    /// The start of the first window that is booked.
    pub first: Timestamp,
}

/// Which places in shadow are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowQuestion {
    /// With something booked before this.
    pub booked_before: Timestamp,
    /// Not read since this instant of this host.
    pub not_read_since: Timestamp,
    /// Most of them.
    pub limit: u32,
}

/// A total that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignTotal {
    /// Who pays.
    pub account: AccountName,
    /// What is counted.
    pub meter: ProviderMeter,
    /// Of what it is.
    pub kind: ForeignKind,
    /// The span.
    pub span: Window,
    /// The least that it may be.
    pub low: Quantity,
    /// The most.
    pub high: Quantity,
    /// The provider's clock.
    pub provider_at: Timestamp,
}

/// What a provider held of a period before this program's telling began, for a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningLine {
    /// The provider instance.
    pub provider: String,
    /// Who pays.
    pub account: String,
    /// What is counted.
    pub meter: String,
    /// From the start of the period to the instant that this program tells from.
    pub span: Window,
    /// The least that it may be.
    pub low: Quantity,
    /// The most.
    pub high: Quantity,
    /// When it was read, here.
    pub read_at: Timestamp,
}

/// A UTC day of a provider in shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowLine {
    /// The provider instance.
    pub provider: String,
    /// Who pays.
    pub account: String,
    /// What is counted.
    pub meter: String,
    /// The day.
    pub day: Window,
    /// What is accrued in windows that begin in it.
    pub would_be_told: Quantity,
    /// What the provider held of it, and when that was read, here.
    pub held: Option<(Quantity, Timestamp)>,
}

/// What the books say of what another program told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignBooks {
    /// What providers held when this program began.
    pub openings: Vec<OpeningLine>,
    /// Providers that are in shadow, by day.
    pub shadowed: Vec<ShadowLine>,
}

/// The port of the cutover.
#[async_trait]
pub trait CutoverLedger: Send + Sync {
    /// Has `provider`, which routes lead to the `meters` of, told like this from now on. Events of
    /// usage that another program told are withdrawn where no byte of them left, and held where
    /// they would be tried again, or where a file tells them. What is held is looked at again by
    /// whoever posts next.
    ///
    /// # Errors
    /// Then nothing was changed.
    async fn adopt_telling(
        &self,
        provider: &ProviderName,
        telling: &Telling,
        meters: &BTreeSet<ProviderMeter>,
        now: Timestamp,
    ) -> Result<Adoption, LedgerError>;

    /// What `provider` held of a span before this program's telling began; nothing while that was
    /// not read.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn opening(
        &self,
        provider: &ProviderName,
        account: &AccountName,
        meter: &ProviderMeter,
        span: Window,
    ) -> Result<Option<Opening>, LedgerError>;

    /// The periods of `provider` that hold an instant from the start of `within` to its end, which
    /// is one of them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn begun_periods(
        &self,
        provider: &ProviderName,
        within: (Timestamp, Timestamp),
    ) -> Result<Vec<BegunPeriod>, LedgerError>;

    /// Places of `provider` in shadow whose totals are to be read, the longest unread first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn shadowed_places(
        &self,
        provider: &ProviderName,
        question: ShadowQuestion,
    ) -> Result<Vec<ShadowedPlace>, LedgerError>;

    /// What the books say of what another program told.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn foreign_books(&self, filter: &BookFilter) -> Result<ForeignBooks, LedgerError>;

    /// Keeps totals of `provider` that were read. An opening is kept once; a day in shadow is where
    /// it says another thing than before, or is the last of them.
    ///
    /// # Errors
    /// Then nothing was kept.
    async fn keep_foreign(
        &self,
        provider: &ProviderName,
        totals: &[ForeignTotal],
        now: Timestamp,
    ) -> Result<(), LedgerError>;
}
