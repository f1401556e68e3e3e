//! The control of the stand-in for Cryptolens, for code in the same process. Here: settings while
//! it runs, and the books. Never here: HTTP. Read next: [`crate::sandbox::SandboxHandle`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::books::{BookLine, RecordLine};
use super::{Billing, Keys};
use crate::sandbox::faults::Faults;
use crate::sandbox::handle::{Shared, ask};
use crate::sandbox::server::Door;
use crate::sandbox::statistics::Statistics;
use crate::sandbox::wire::Request;

/// Controls the stand-in for Cryptolens in a running sandbox and reads its books, without HTTP.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct CryptolensHandle(Arc<Shared>);

impl CryptolensHandle {
    pub(in crate::sandbox) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What a request comes to, without a connection: status and body, or nothing where the
    /// connection would be closed.
    pub async fn ask(&self, method: Method, path: &str, form: Bytes) -> Option<(u16, Bytes)> {
        let (path, query, headers) = (path.to_owned(), String::new(), HeaderMap::new());
        let request = Request { method, path, query, headers, body: form };
        ask(Door::Cryptolens, &self.0, request).await
    }

    /// What each key's subscription item was told, by product and key.
    #[must_use]
    pub fn books(&self) -> Vec<BookLine> {
        self.0.cryptolens().account.books()
    }

    /// Every record of usage, in the order of receipt.
    #[must_use]
    pub fn records(&self) -> Vec<RecordLine> {
        self.0.cryptolens().account.records().to_vec()
    }

    /// What it saw so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.cryptolens().front.counters.view()
    }

    /// What is set to go wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.cryptolens().front.dice.faults.clone()
    }

    /// Sets what goes wrong from now on. The count of attempts starts afresh.
    ///
    /// # Errors
    /// A rate or a delay is out of range, or a kind has no meaning here.
    pub fn set_faults(&self, faults: Faults) -> Result<(), String> {
        faults.check_of_counting("Cryptolens")?;
        self.0.cryptolens().front.dice.load(faults);
        Ok(())
    }

    /// Sets which tokens are accepted, as when one is revoked.
    pub fn set_tokens(&self, tokens: BTreeSet<String>) {
        self.0.cryptolens().account.settings.tokens = tokens;
    }

    /// Sets which license keys there are.
    pub fn set_keys(&self, keys: Keys) {
        self.0.cryptolens().account.settings.keys = keys;
    }

    /// Sets how the account's Stripe bills.
    pub fn set_billing(&self, billing: Billing) {
        self.0.cryptolens().account.settings.billing = billing;
    }

    /// Sets how long a record takes from now on, in real time.
    pub fn set_latency(&self, latency: Duration) {
        self.0.cryptolens().account.settings.latency = latency;
    }
}
