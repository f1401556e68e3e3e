//! What is known of how a provider bills. Here: the port that keeps subscriptions, periods and
//! invoices as they are learned, and has what they change looked at. Never here: what an answer of
//! the provider makes of what is known (`domain::period`). Read next: [`super::notices`].

use async_trait::async_trait;

use super::LedgerError;
use super::notices::{Conclusion, NoticeNumber};
use crate::domain::billing::{Invoice, RejectionReport, Subscription};
use crate::domain::names::{InvoiceId, ProviderName, SubscriptionId};
use crate::domain::time::Timestamp;

/// What was read of a provider, and the notices that this concludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The provider's clock when it was read.
    pub seen_at: Timestamp,
    /// Subscriptions as they are now.
    pub subscriptions: Vec<Subscription>,
    /// Invoices as they are now.
    pub invoices: Vec<Invoice>,
    /// Invoices that there are none of.
    pub missing: Vec<InvoiceId>,
    /// Reports of events that were rejected after a yes.
    pub rejections: Vec<RejectionReport>,
    /// What notices led to.
    pub concluded: Vec<(NoticeNumber, Conclusion)>,
}

impl Learned {
    /// Nothing yet, at `seen_at`.
    #[must_use]
    pub const fn nothing(seen_at: Timestamp) -> Self {
        Self {
            seen_at,
            subscriptions: Vec::new(),
            invoices: Vec::new(),
            missing: Vec::new(),
            rejections: Vec::new(),
            concluded: Vec::new(),
        }
    }
}

/// What came of learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Periods that are new, or not what they were.
    pub periods: u64,
    /// Events that a report named, and that are held now.
    pub rejected: u64,
    /// Notices that waited until now.
    pub concluded: u64,
}

/// What has to be asked for again, because its time has come and nobody announced what became of
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Subscriptions of which a period ended, and no draft of it is known.
    pub subscriptions: Vec<SubscriptionId>,
    /// Drafts that should be final.
    pub invoices: Vec<InvoiceId>,
}

/// How far a list of the provider's was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Everything that was announced, or made, before this is known.
    pub read_to: Timestamp,
    /// When it was read last, on this host's clock.
    pub read_at: Timestamp,
}

/// The port of what is known of billing.
#[async_trait]
pub trait BillingLedger: Send + Sync {
    /// Keeps what was learned: periods, and with them what they change. What a draft still takes is
    /// told before everything else, what is found to be open again goes on, drafts that are missing
    /// count as never seen, windows that span a bound are looked at, events that a report names are
    /// held, and lanes of those that it does not name are compared next. The notices are concluded
    /// in the same transaction.
    ///
    /// # Errors
    /// Then nothing was kept.
    async fn learn(
        &self,
        provider: &ProviderName,
        learned: &Learned,
        now: Timestamp,
    ) -> Result<Learnt, LedgerError>;

    /// What has to be asked for again when the provider's clock is at `provider_now`, and was not
    /// asked for since `asked_before`; at most `limit` of each. Having been told, it counts as
    /// asked for.
    ///
    /// # Errors
    /// When nothing was noted.
    async fn overdue(
        &self,
        provider: &ProviderName,
        provider_now: Timestamp,
        asked_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<Overdue, LedgerError>;

    /// When the newest webhook of `provider` came.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn heard_at(&self, provider: &ProviderName) -> Result<Option<Timestamp>, LedgerError>;

    /// How far a list was read; nothing before the first time.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn cursor(
        &self,
        provider: &ProviderName,
        feed: &str,
    ) -> Result<Option<Cursor>, LedgerError>;

    /// Keeps how far a list was read.
    ///
    /// # Errors
    /// Then it was not kept.
    async fn move_cursor(
        &self,
        provider: &ProviderName,
        feed: &str,
        cursor: Cursor,
    ) -> Result<(), LedgerError>;
}
