//! The control of the stand-in for Planship, for code in the same process. Here: settings while it
//! runs, and the books. Never here: HTTP. Read next: [`crate::sandbox::SandboxHandle`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::Known;
use super::books::{BookLine, RecordLine};
use super::levers::Lever;
use crate::clock::Clock as _;
use crate::sandbox::faults::Faults;
use crate::sandbox::handle::{Shared, ask};
use crate::sandbox::server::Door;
use crate::sandbox::statistics::Statistics;
use crate::sandbox::wire::Request;

/// Controls the stand-in for Planship in a running sandbox and reads its books, without HTTP.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct PlanshipHandle(Arc<Shared>);

impl PlanshipHandle {
    pub(in crate::sandbox) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What a request comes to, without a connection: status and body, or nothing where the
    /// connection would be closed.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Option<(u16, Bytes)> {
        let (path, query) = (path.to_owned(), String::new());
        let request = Request { method, path, query, headers, body };
        ask(Door::Planship, &self.0, request).await
    }

    /// What each customer was reported of, by product, customer and metering id.
    #[must_use]
    pub fn books(&self) -> Vec<BookLine> {
        self.0.planship().organization.books()
    }

    /// Every metering record, in the order of receipt.
    #[must_use]
    pub fn records(&self) -> Vec<RecordLine> {
        self.0.planship().organization.records().to_vec()
    }

    /// What it saw so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.planship().front.counters.view()
    }

    /// What is set to go wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.planship().front.dice.faults.clone()
    }

    /// Sets what goes wrong from now on. The count of attempts starts afresh.
    ///
    /// # Errors
    /// A rate or a delay is out of range, or a kind has no meaning here.
    pub fn set_faults(&self, faults: Faults) -> Result<(), String> {
        faults.check_of_counting("Planship")?;
        self.0.planship().front.dice.load(faults);
        Ok(())
    }

    /// Sets which clients may ask for a token, by their ids, as when a secret is revoked. Tokens
    /// that were given are accepted for as long as they live.
    pub fn set_clients(&self, clients: BTreeMap<String, String>) {
        self.0.planship().organization.settings.clients = clients;
    }

    /// Forgets all tokens, before their time.
    pub fn end_tokens(&self) {
        self.0.planship().tokens.end();
    }

    /// Sets how long a token is accepted that is given from now on, in whole seconds.
    pub fn set_token_lives(&self, lives: Duration) {
        self.0.planship().organization.settings.token_lives = lives;
    }

    /// Sets which customers there are.
    pub fn set_customers(&self, customers: Known) {
        self.0.planship().organization.settings.customers = customers;
    }

    /// Sets which metering ids may be reported of.
    pub fn set_metering_ids(&self, metering_ids: Known) {
        self.0.planship().organization.settings.metering_ids = metering_ids;
    }

    /// Sets what is read of what was reported.
    pub fn set_levers(&self, levers: Vec<Lever>) {
        self.0.planship().organization.settings.levers = levers;
    }

    /// Sets how long a report waits before levers have it. Those of before keep their time.
    pub fn set_lag(&self, lag: Duration) {
        self.0.planship().organization.settings.lag = lag;
    }

    /// Sets how long a report takes from now on, in real time.
    pub fn set_latency(&self, latency: Duration) {
        self.0.planship().organization.settings.latency = latency;
    }

    /// Ends the running period of every subscription, and begins another.
    pub fn renew(&self) {
        let now = self.0.clock.now();
        self.0.planship().organization.renew(now);
    }
}
