//! A download as a site offers it. PURE. Here: the form that asks for one, what the answer offers,
//! and what its loading comes to. Never here: a request ([`super::client`]), the host that has the
//! file (`crate::provider::wire`). Read next: [`super::documents`].
//!
//! `POST /usages/pdf` answers with an address and the time until which it is valid ("Retrieve
//! usages as PDF" of Chargebee's API documentation). Where the file lies, for how long, and what
//! the host says afterwards is not published: so each refusal of a host's that may mean "no longer"
//! is told as that, and the command can be run again.

use form_urlencoded::Serializer;
use serde::Deserialize;

use super::classify;
use crate::domain::names::InvoiceId;
use crate::domain::time::Timestamp;
use crate::provider::documents::{NoDocument, is_pdf};
use crate::provider::wire::Received;

/// Longest address that is taken, in bytes: a signed one has under two thousand.
const ADDRESS_BYTES_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
struct Offer {
    download: Download,
}

/// What is offered.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Download {
    /// Where it is. Whoever knows this can load it, so it is shown nowhere.
    #[serde(rename = "download_url")]
    pub address: String,
    /// Until when, in Unix seconds.
    valid_till: i64,
}

/// The form body that asks for the usages of `invoice`.
#[must_use]
pub fn body(invoice: &InvoiceId) -> Vec<u8> {
    let mut form = Serializer::new(String::new());
    form.append_pair("invoice[id]", invoice.as_str());
    form.append_pair("disposition_type", "attachment");
    form.finish().into_bytes()
}

/// What the answer to it offers.
///
/// # Errors
/// Why it offers nothing.
pub fn offered(received: &Received, invoice: &InvoiceId) -> Result<Download, NoDocument> {
    if received.status != 200 {
        let answer = classify::reading(received);
        return Err(if classify::is_missing(&answer) {
            NoDocument::NoInvoice(invoice.clone())
        } else {
            NoDocument::NotMade(Box::new(answer))
        });
    }
    let nothing = |why: &str| NoDocument::NoDownload(why.to_owned());
    if let Some(why) = &received.broken {
        return Err(nothing(why));
    }
    let offer: Offer = serde_json::from_slice(&received.body)
        .map_err(|_| nothing("the body has not the form of one"))?;
    if offer.download.address.len() > ADDRESS_BYTES_MAX {
        let why = format!("its address has more than {ADDRESS_BYTES_MAX} bytes");
        return Err(nothing(&why));
    }
    // By the site's own clock, where it tells one.
    let till = Timestamp::from_seconds(offer.download.valid_till);
    match received.provider_at() {
        Some(now) if till <= now => Err(NoDocument::Expired(format!("it was valid till {till}"))),
        Some(_) | None => Ok(offer.download),
    }
}

/// The PDF that was loaded.
///
/// # Errors
/// Why it is none.
pub fn loaded(received: Received) -> Result<Vec<u8>, NoDocument> {
    let status = received.status;
    match (status, received.broken) {
        (200, Some(why)) => Err(NoDocument::NotLoaded(why)),
        (200, None) if is_pdf(&received.body) => Ok(received.body),
        (200, None) => Err(NoDocument::NotPdf),
        // The hosts of files have all three words for what is there no longer.
        (403 | 404 | 410, _) => Err(NoDocument::Expired(format!("answered {status}"))),
        (300..=399, _) => {
            let why = format!("answered {status}, a redirect, which is never followed");
            Err(NoDocument::NotLoaded(why))
        }
        _ => Err(NoDocument::NotLoaded(format!("answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Fri, 20 Nov 2026 12:00:00 GMT";
    const NOON_SECONDS: i64 = 1_795_176_000;

    fn received(status: u16, body: &str) -> Received {
        let body = body.as_bytes().to_vec();
        let mut received = Received { status, body, ..Received::default() };
        received.headers.insert("date", NOON.parse().unwrap());
        received
    }

    fn offer(address: &str, valid_till: i64) -> Received {
        let body = format!(
            r#"{{"download":{{"download_url":"{address}","valid_till":{valid_till},
            "object":"download"}}}}"#
        );
        received(200, &body)
    }

    fn invoice() -> InvoiceId {
        InvoiceId::new("draft_inv & 1").unwrap()
    }

    #[test]
    fn an_invoice_is_asked_for_by_a_form() {
        let text = String::from_utf8(body(&invoice())).unwrap();
        assert_eq!(text, "invoice%5Bid%5D=draft_inv+%26+1&disposition_type=attachment");
    }

    #[test]
    fn what_is_offered_is_an_address_that_is_still_valid() {
        let read = |received: &Received| offered(received, &invoice()).map(|found| found.address);
        let address = "https://files.example/a?sign=b";
        assert_eq!(read(&offer(address, NOON_SECONDS + 1)), Ok(address.to_owned()));
        let late = read(&offer(address, NOON_SECONDS)).unwrap_err();
        let said = "the download has expired (it was valid till 2026-11-20T12:00:00Z): run the \
                    command again";
        assert_eq!(late.to_string(), said);
        let long = offer(&"a".repeat(ADDRESS_BYTES_MAX + 1), NOON_SECONDS + 1);
        assert!(matches!(read(&long), Err(NoDocument::NoDownload(_))));
        for body in ["", "<html>", "{}", r#"{"download":{}}"#, r#"{"download":{"valid_till":1}}"#] {
            let none = read(&received(200, body));
            assert!(matches!(none, Err(NoDocument::NoDownload(_))), "{body}: {none:?}");
        }
        let broken = Received { broken: Some("cut".to_owned()), ..offer(address, i64::MAX) };
        assert_eq!(read(&broken), Err(NoDocument::NoDownload("cut".to_owned())));
    }

    #[test]
    fn an_invoice_that_is_not_there_is_told_from_a_refusal() {
        let error = |status, code: &str| {
            let body = format!(r#"{{"message":"No.","api_error_code":"{code}"}}"#);
            offered(&received(status, &body), &invoice()).err().map(|error| error.to_string())
        };
        let missing = "the provider has no invoice \"draft_inv & 1\"";
        assert_eq!(error(404, "resource_not_found").as_deref(), Some(missing));
        let refused = "the provider made no document: refused: No.";
        assert_eq!(error(400, "invalid_request").as_deref(), Some(refused));
        let stranger = offered(&received(404, "<html>"), &invoice());
        assert!(matches!(stranger, Err(NoDocument::NotMade(_))));
    }

    #[test]
    fn only_a_whole_pdf_is_one() {
        let pdf = "%PDF-1.4\n%%EOF\n";
        assert_eq!(loaded(received(200, pdf)), Ok(pdf.as_bytes().to_vec()));
        assert_eq!(loaded(received(200, "<html>")), Err(NoDocument::NotPdf));
        let broken = Received { broken: Some("cut".to_owned()), ..received(200, pdf) };
        assert_eq!(loaded(broken), Err(NoDocument::NotLoaded("cut".to_owned())));
        for status in [403, 404, 410] {
            assert!(matches!(loaded(received(status, pdf)), Err(NoDocument::Expired(_))));
        }
        for status in [204, 302, 401, 500] {
            let failed = loaded(received(status, pdf));
            assert!(matches!(failed, Err(NoDocument::NotLoaded(_))), "{failed:?}");
        }
    }
}
