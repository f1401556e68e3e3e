//! PDFs of usages. Here: what stands in one, where it lies, and until when. Never here: how a PDF
//! is written ([`super::pdf`]). Read next: [`super::pdf`].
//!
//! Chargebee answers with an address that is valid for a time. Where the file lies, for how long,
//! and what is said afterwards is not published. Here it lies at this very address, outside of the
//! API; whoever knows its name may load it, as with a signed address, and a request that brings a
//! key along is refused, as by the hosts of such files: a client that sends its key to a stranger
//! is found out. What Chargebee makes of an invoice without usages is unconfirmed; here it is a
//! document that says so.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pdf;
use super::quantity;
use super::refusal::Refusal;
use super::site::Site;
use crate::domain::time::Timestamp;
use crate::sandbox::wire::{Answer, Request, http_date};

/// What the path of every file begins with.
pub(super) const PREFIX: &str = "/downloads/";
/// Files that are kept; of more, the oldest are gone before their time.
const FILES_MAX: usize = 32;
/// The longest id of an invoice here, in characters: Chargebee's own limit.
pub(super) const INVOICE_ID_LENGTH_MAX: usize = 50;

#[derive(Debug)]
struct File {
    name: String,
    valid_till: i64,
    bytes: Bytes,
}

/// The files that were made.
#[derive(Debug, Default)]
pub(super) struct Files {
    kept: VecDeque<File>,
    made: u64,
}

impl Files {
    /// Keeps a file; answers its name, which nobody guesses.
    fn keep(&mut self, bytes: Vec<u8>, about: &str, valid_till: i64) -> String {
        self.made += 1;
        let hash = Sha256::digest(format!("{} {about} {valid_till}", self.made));
        let name = format!("{}.pdf", hex::encode(&hash[..16]));
        if self.kept.len() == FILES_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(File { name: name.clone(), valid_till, bytes: Bytes::from(bytes) });
        name
    }

    /// What the host of the files answers.
    pub(super) fn answer(&self, name: &str, request: &Request, now: Timestamp) -> Answer {
        let plain = |status, text: &'static str| Answer {
            status,
            content_type: "text/plain",
            headers: vec![("date", http_date(now))],
            body: Bytes::from_static(text.as_bytes()),
        };
        if request.method != hyper::Method::GET {
            return plain(405, "Only GET is supported.");
        }
        if request.headers.contains_key("authorization") {
            return plain(400, "A download takes no credentials.");
        }
        match self.kept.iter().find(|file| file.name == name) {
            None => plain(404, "There is no such file."),
            Some(file) if file.valid_till <= now.seconds() => plain(403, "The file has expired."),
            Some(file) => Answer {
                content_type: "application/pdf",
                body: file.bytes.clone(),
                ..plain(200, "")
            },
        }
    }
}

impl Site {
    /// Makes the PDF of the usages that an invoice bills, and says where it lies.
    pub(super) fn usage_pdf(&mut self, id: &str, now: Timestamp) -> Result<Value, Refusal> {
        let place = self.invoices.place(id)?;
        let invoice = self.invoices.at(place)?;
        let mut lines = vec![format!("Usages of the invoice {id}"), String::new()];
        for line in self.lines(invoice) {
            lines.push(self.catalog.id(line.price).to_owned());
            for usage in line.usages {
                let usage = self.usages.at(usage)?;
                let at = Timestamp::from_seconds(usage.usage_date).to_rfc3339();
                let quantity = quantity::text(&usage.quantity);
                lines.push(format!("{at}  {quantity:>20}  {}", usage.id));
            }
            lines.push(format!("total {}", quantity::text(&line.quantity)));
        }
        if lines.len() == 2 {
            lines.push("There are none.".to_owned());
        }
        let valid = i64::try_from(self.settings.downloads_valid.as_secs()).unwrap_or(i64::MAX);
        let valid_till = now.seconds().saturating_add(valid);
        let name = self.files.keep(pdf::document(&lines), id, valid_till);
        Ok(json!({ "download": {
            "download_url": format!("{}{PREFIX}{name}", self.address),
            "valid_till": valid_till,
            "mime_type": "application/pdf",
            "object": "download",
        } }))
    }
}
