//! The doors of what is billed and announced. Never here: how a door fails (see [`super`]). Read
//! next: [`crate::billing`].

use async_trait::async_trait;
use tallyd::domain::names::ProviderName;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::LedgerError;
use tallyd::ledger::billing::{BillingLedger, Cursor, Learned, Learnt, Overdue};
use tallyd::ledger::notices::{
    Archived, Arrival, Cleared, Conclusion, NoticeNumber, NoticesLedger, WaitingNotice,
};

use super::Ports;

#[async_trait]
impl BillingLedger for Ports {
    async fn learn(
        &self,
        provider: &ProviderName,
        learned: &Learned,
        now: Timestamp,
    ) -> Result<Learnt, LedgerError> {
        self.writing("learn", self.inner.learn(provider, learned, now)).await
    }

    async fn overdue(
        &self,
        provider: &ProviderName,
        provider_now: Timestamp,
        asked_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<Overdue, LedgerError> {
        let call = self.inner.overdue(provider, provider_now, asked_before, limit, now);
        self.writing("overdue", call).await
    }

    async fn heard_at(&self, provider: &ProviderName) -> Result<Option<Timestamp>, LedgerError> {
        self.reading("heard_at", self.inner.heard_at(provider)).await
    }

    async fn cursor(
        &self,
        provider: &ProviderName,
        feed: &str,
    ) -> Result<Option<Cursor>, LedgerError> {
        self.reading("cursor", self.inner.cursor(provider, feed)).await
    }

    async fn move_cursor(
        &self,
        provider: &ProviderName,
        feed: &str,
        cursor: Cursor,
    ) -> Result<(), LedgerError> {
        self.writing("move_cursor", self.inner.move_cursor(provider, feed, cursor)).await
    }
}

#[async_trait]
impl NoticesLedger for Ports {
    async fn archive_notices(
        &self,
        arrivals: &[Arrival],
        now: Timestamp,
    ) -> Result<Vec<Archived>, LedgerError> {
        self.writing("archive_notices", self.inner.archive_notices(arrivals, now)).await
    }

    async fn waiting_notices(
        &self,
        provider: &ProviderName,
        limit: u32,
    ) -> Result<Vec<WaitingNotice>, LedgerError> {
        self.reading("waiting_notices", self.inner.waiting_notices(provider, limit)).await
    }

    async fn conclude_notice(
        &self,
        number: NoticeNumber,
        conclusion: &Conclusion,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let call = self.inner.conclude_notice(number, conclusion, now);
        self.writing("conclude_notice", call).await
    }

    async fn clear_notices(&self, now: Timestamp) -> Result<Cleared, LedgerError> {
        self.writing("clear_notices", self.inner.clear_notices(now)).await
    }
}
