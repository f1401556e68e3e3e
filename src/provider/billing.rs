//! What a provider bills, and what it announces. Here: the port that asks. Never here: what follows
//! from an answer (`reconcile::listener`), one provider's wire. Read next:
//! [`crate::domain::billing`].
//!
//! Every method makes a bounded number of requests and says how many they were: reads are rationed.

use async_trait::async_trait;

use crate::domain::answer::Answer;
use crate::domain::billing::{Invoice, RejectionReport, Subscription};
use crate::domain::names::{
    AccountName, FeedName, InvoiceId, NoticeId, NoticeKind, SubscriptionId,
};
use crate::domain::notice::{Notice, Related};
use crate::domain::time::Timestamp;

/// What a notice is about, as far as anything follows from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Announced {
    /// A subscription changed.
    Subscription(SubscriptionId),
    /// An invoice changed.
    Invoice(InvoiceId),
    /// An account is gone, and its subscriptions with it.
    AccountGone(AccountName),
    /// A meter changed, or takes events no longer.
    Meters,
    /// Events that were accepted were rejected later.
    Rejections,
    /// Nothing that concerns usage.
    Nothing,
}

/// What was read, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// What was read.
    pub value: T,
    /// The provider's clock, when an answer told it.
    pub provider_at: Option<Timestamp>,
    /// How many requests it took.
    pub calls: u32,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask for the next page with; nothing on the last one.
    pub next: Option<String>,
}

/// Reads what a provider instance bills, and what it announces.
#[async_trait]
pub trait BillingReader: Send + Sync {
    /// What a notice is about. Pure.
    fn announced(&self, kind: &NoticeKind, related: Option<&Related>) -> Announced;

    /// The lists of what was announced, which are asked for what no webhook brought.
    fn feeds(&self) -> Vec<FeedName>;

    /// A page of what `feed` holds from `since` on and something follows from; newest first.
    ///
    /// # Errors
    /// The answer, when there is none that can be read.
    async fn feed_page(
        &self,
        feed: &FeedName,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<Answered<Page<Notice>>, Answer>;

    /// A subscription; nothing where there is none of this id.
    ///
    /// # Errors
    /// The answer, when there is none that can be read.
    async fn subscription(
        &self,
        id: &SubscriptionId,
    ) -> Result<Answered<Option<Subscription>>, Answer>;

    /// A page of all subscriptions, or of one account's, also of those that have ended.
    ///
    /// # Errors
    /// The answer, when there is none that can be read.
    async fn subscriptions(
        &self,
        account: Option<&AccountName>,
        page: Option<&str>,
    ) -> Result<Answered<Page<Subscription>>, Answer>;

    /// An invoice; nothing where there is none of this id.
    ///
    /// # Errors
    /// The answer, when there is none that can be read.
    async fn invoice(&self, id: &InvoiceId) -> Result<Answered<Option<Invoice>>, Answer>;

    /// A page of all invoices that were made from `since` on.
    ///
    /// # Errors
    /// The answer, when there is none that can be read.
    async fn invoices(
        &self,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<Answered<Page<Invoice>>, Answer>;

    /// The report that a notice of [`Announced::Rejections`] announces; nothing where there is none
    /// of this id.
    ///
    /// # Errors
    /// The answer, when there is none that can be read.
    async fn rejections(
        &self,
        notice: &NoticeId,
    ) -> Result<Answered<Option<RejectionReport>>, Answer>;
}
