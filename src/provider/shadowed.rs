//! A provider in shadow. Here: everything but sending. Never here: why it is in shadow, a
//! provider's wire. Read next: [`super::stripe`].
//!
//! Only [`Provider::send`] and [`Provider::send_batch`] tell a provider anything, and here both end
//! before a byte leaves, whoever asks for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, Totals,
};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::event::{EventIntent, Says};
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::provider_facts::{Lanes, MeterPin};
use crate::domain::time::Window;

/// A provider instance that is read, and told nothing.
pub struct Shadowed {
    inner: Arc<dyn Provider>,
}

impl Shadowed {
    /// The shadow of a provider instance.
    #[must_use]
    pub const fn new(inner: Arc<dyn Provider>) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl Provider for Shadowed {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        self.inner.capabilities(meter)
    }

    fn lanes(&self) -> Lanes {
        self.inner.lanes()
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        self.inner.recognises_for_micros()
    }

    fn undoes(&self) -> bool {
        self.inner.undoes()
    }

    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        self.inner.notice_reader()
    }

    fn adopt_meters(&self, meters: Vec<MeterPin>) {
        self.inner.adopt_meters(meters);
    }

    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        self.inner.encode(meter, account, intent)
    }

    async fn send(&self, _request: Request<'_>) -> Answer {
        Answer::bare(Outcome::NotSent, "the provider is in shadow: it is told nothing")
    }

    fn is_batched(&self, says: &Says, body: &[u8]) -> bool {
        self.inner.is_batched(says, body)
    }

    fn batch_max(&self) -> u32 {
        self.inner.batch_max()
    }

    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Totals, Answer> {
        self.inner.read_totals(meter, account, span, grouping).await
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        self.inner.contact().await
    }

    async fn inspect(&self, routed: &BTreeSet<ProviderMeter>) -> Inspection {
        self.inner.inspect(routed).await
    }
}
