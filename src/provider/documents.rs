//! Documents that a provider makes of what was used. Here: the port for those who make one, and
//! why there is none. Never here: where a document is kept (`crate::cli`), one provider's wire.
//! Read next: [`crate::domain::billing`].

use async_trait::async_trait;

use crate::domain::answer::{Answer, Outcome};
use crate::domain::names::InvoiceId;

/// What every PDF begins with.
const PDF_BEGINS: &[u8] = b"%PDF-";
/// What stands near its end.
const PDF_ENDS: &[u8] = b"%%EOF";
/// How near, in bytes: readers look for it in the last kibibyte.
const PDF_END_BYTES: usize = 1_024;

/// Why there is no document; a sentence for a person. Neither an address nor a body is in it: the
/// address of a download opens it to whoever has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    /// There is no such invoice.
    #[error("the provider has no invoice \"{0}\"")]
    NoInvoice(InvoiceId),
    /// The provider made none.
    #[error("the provider made no document: {}", said(.0))]
    NotMade(Box<Answer>),
    /// What the provider answered is no download.
    #[error("the provider's answer is no download: {0}")]
    NoDownload(String),
    /// The download is there no longer.
    #[error("the download has expired ({0}): run the command again")]
    Expired(String),
    /// The download did not come.
    #[error("the document was not downloaded: {0}")]
    NotLoaded(String),
    /// What came is something else.
    #[error("what was downloaded is no PDF")]
    NotPdf,
}

impl NoDocument {
    /// Whether the same may work later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotMade(answer) => match answer.outcome {
                Outcome::Busy
                | Outcome::RateLimited
                | Outcome::NotSent
                | Outcome::Failed
                | Outcome::Unknown => true,
                Outcome::Accepted
                | Outcome::Duplicate
                | Outcome::Refused(_)
                | Outcome::Unauthorized
                | Outcome::WrongAccount => false,
            },
            Self::Expired(_) | Self::NotLoaded(_) => true,
            Self::NoInvoice(_) | Self::NoDownload(_) | Self::NotPdf => false,
        }
    }
}

fn said(answer: &Answer) -> String {
    let message = answer.message.as_deref().unwrap_or("no reason was given");
    let wait = answer.retry_after_seconds;
    let wait = wait.map(|seconds| format!("; it asks to wait {seconds} s")).unwrap_or_default();
    format!("{}: {message}{wait}", answer.outcome.kind())
}

/// Whether these bytes are a whole PDF, as far as its first and last ones tell.
#[must_use]
pub fn is_pdf(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(PDF_END_BYTES)..];
    bytes.starts_with(PDF_BEGINS) && end.windows(PDF_ENDS.len()).any(|found| found == PDF_ENDS)
}

/// Has a provider instance make documents of what was used.
#[async_trait]
pub trait UsageDocuments: Send + Sync {
    /// A PDF of the usages that `invoice` bills. Nothing is changed by it.
    ///
    /// # Errors
    /// When there is none.
    async fn usage_pdf(&self, invoice: &InvoiceId) -> Result<Vec<u8>, NoDocument>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdf_is_known_by_its_first_and_its_last_bytes() {
        assert!(is_pdf(b"%PDF-1.4\n1 0 obj\n%%EOF\n"));
        for other in [&b""[..], b"%PDF-1.4\n1 0 obj", b"<html>%%EOF", b"\n%PDF-1.4\n%%EOF"] {
            assert!(!is_pdf(other), "{other:?}");
        }
        let cut = [b"%PDF-1.4\n%%EOF", &[b'x'; PDF_END_BYTES][..]].concat();
        assert!(!is_pdf(&cut), "what stands at its end is not there");
    }

    #[test]
    fn a_reason_says_what_the_provider_said_and_whether_to_come_again() {
        let limited = Answer {
            retry_after_seconds: Some(7),
            ..Answer::bare(Outcome::RateLimited, "Slow down.")
        };
        let why = NoDocument::NotMade(Box::new(limited));
        let said = "the provider made no document: rate_limited: Slow down.; it asks to wait 7 s";
        assert_eq!((why.to_string().as_str(), why.may_pass()), (said, true));
        let none = NoDocument::NoInvoice(InvoiceId::new("17").unwrap());
        assert_eq!(none.to_string(), "the provider has no invoice \"17\"");
        assert!(!none.may_pass() && !NoDocument::NotPdf.may_pass());
    }
}
