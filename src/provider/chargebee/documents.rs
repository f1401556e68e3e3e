//! Documents that a site makes, behind the port. Here: what is asked of the site, and what is
//! loaded from where it says. Never here: how an answer is read ([`super::download`]), the wire.
//! Read next: [`crate::provider::documents`].

use async_trait::async_trait;

use super::{Chargebee, classify, download};
use crate::domain::names::InvoiceId;
use crate::provider::documents::{NoDocument, UsageDocuments};
use crate::provider::wire::{self, Load};

/// How long a document may take to load, in milliseconds: a person waits for it, and the largest
/// comes in that time at two megabits a second.
const LOAD_TIMEOUT_MILLIS: u32 = 60_000;
/// Largest document that is loaded, in bytes: the 5,000 usages of a subscription's whole life, at
/// three kibibytes each.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[async_trait]
impl UsageDocuments for Chargebee {
    async fn usage_pdf(&self, invoice: &InvoiceId) -> Result<Vec<u8>, NoDocument> {
        let answered = self.client.usage_pdf(&download::body(invoice)).await;
        let received = answered.map_err(NoDocument::NotMade)?;
        let offered = download::offered(&received, invoice)?;
        let refused = |why: &str| NoDocument::NoDownload(format!("its address {why}"));
        wire::check_download(&offered.address, &self.settings.api).map_err(refused)?;
        let load = Load {
            address: &offered.address,
            timeout_millis: LOAD_TIMEOUT_MILLIS,
            bytes_max: DOCUMENT_BYTES_MAX,
        };
        download::loaded(wire::load(load, classify::redacted).await.map_err(NoDocument::NotLoaded)?)
    }
}
