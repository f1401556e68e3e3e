//! Whether a webhook is the site's. PURE. Here: the header `Authorization`, held against the user
//! name and the password that were set for the endpoint. Never here: what the body says
//! ([`super::events`]). Read next: [`super::events`].
//!
//! Chargebee signs nothing: an endpoint is protected by Basic authentication
//! (<https://www.chargebee.com/docs/2.0/webhook_settings.html>). So who knows the password can make
//! tallyd look at a subscription or an invoice again, and nothing more: no body is believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::events;
use super::settings::Password;
use crate::domain::closed::closed;
use crate::domain::notice::Notice;
use crate::domain::time::Timestamp;
use crate::provider::{NoticeReader, NoticeRefusal, Posted};

/// The header's name.
const HEADER: &str = "authorization";
/// The scheme, in lower case; its case does not matter.
const SCHEME: &[u8] = b"basic ";

closed! {
    /// Why nothing proves that the site sent a request. What the request says is never part of it.
    PasswordRefusal {
        /// There is no header.
        Missing = "password_missing",
        /// There is more than one header.
        Repeated = "password_repeated",
        /// The header is of another scheme.
        NoBasic = "password_no_basic",
        /// It is another user name or password.
        Mismatch = "password_mismatch",
    }
}

impl PasswordRefusal {
    /// What is wrong, as a sentence.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Missing => "the header Authorization is missing: set Basic authentication there",
            Self::Repeated => "there is more than one header Authorization",
            Self::NoBasic => "the header Authorization is not of the scheme Basic",
            Self::Mismatch => "the user name or the password is another one",
        }
    }
}

/// Reads the webhooks that carry an endpoint's password.
pub struct ProtectedNotices {
    /// What they carry after the scheme.
    token: SecretString,
    livemode: bool,
}

impl ProtectedNotices {
    /// A reader of what a site of this mode sends with `password`.
    #[must_use]
    pub fn new(Password { user, password }: &Password, livemode: bool) -> Self {
        let token = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        Self { token: SecretString::from(token), livemode }
    }

    fn verify(&self, headers: &[(&str, &[u8])]) -> Result<(), PasswordRefusal> {
        let mut values = headers.iter().filter(|(name, _)| *name == HEADER);
        let Some((_, value)) = values.next() else { return Err(PasswordRefusal::Missing) };
        if values.next().is_some() {
            return Err(PasswordRefusal::Repeated);
        }
        let scheme = value.get(..SCHEME.len());
        let is_basic = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        let token = value.get(SCHEME.len()..).filter(|_| is_basic);
        let token = token.ok_or(PasswordRefusal::NoBasic)?;
        // How long it takes tells nothing of where they differ.
        if bool::from(token.ct_eq(self.token.expose_secret().as_bytes())) {
            Ok(())
        } else {
            Err(PasswordRefusal::Mismatch)
        }
    }
}

impl NoticeReader for ProtectedNotices {
    fn read(&self, posted: Posted<'_>, _now: Timestamp) -> Result<Notice, NoticeRefusal> {
        self.verify(posted.headers).map_err(|refusal| NoticeRefusal::Unproven {
            code: refusal.as_str(),
            why: refusal.why().to_owned(),
        })?;
        events::read_posted(posted.body, self.livemode).map_err(|fault| NoticeRefusal::Unreadable {
            code: "malformed_notice",
            field: fault.field,
            why: fault.why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const EVENT: &str = r#"{"id":"ev_1","object":"event","event_type":"invoice_updated",
        "occurred_at":1790000000,"content":{"invoice":{"id":"1"}}}"#;

    fn read(headers: &[(&str, &[u8])], body: &str) -> Result<Notice, NoticeRefusal> {
        let password = SecretString::from("open sesame");
        let reader = ProtectedNotices::new(&Password { user: "tallyd".into(), password }, false);
        reader.read(Posted { headers, body: body.as_bytes() }, NOW)
    }

    #[test]
    fn what_carries_the_password_is_read() {
        for value in ["Basic dGFsbHlkOm9wZW4gc2VzYW1l", "basic dGFsbHlkOm9wZW4gc2VzYW1l"] {
            let read = read(&[("host", b"x"), (HEADER, value.as_bytes())], EVENT).unwrap();
            assert_eq!(read.id.as_str(), "ev_1");
        }
    }

    #[test]
    fn what_does_not_is_refused_before_its_body_is_looked_at() {
        let right: &[u8] = b"Basic dGFsbHlkOm9wZW4gc2VzYW1l";
        for (headers, code) in [
            (vec![("host", right)], "password_missing"),
            (vec![(HEADER, right), (HEADER, right)], "password_repeated"),
            (vec![(HEADER, b"Bearer dGFsbHlkOm9wZW4gc2VzYW1l")], "password_no_basic"),
            (vec![(HEADER, b"Basi")], "password_no_basic"),
            (vec![(HEADER, b"Basic dGFsbHlkOm9wZW4gc2VzYW1m")], "password_mismatch"),
            (vec![(HEADER, b"Basic ")], "password_mismatch"),
        ] {
            let refusal = read(&headers, "{").unwrap_err();
            assert_eq!(refusal.code(), code, "{headers:?}");
            assert!(matches!(refusal, NoticeRefusal::Unproven { .. }));
            assert!(!refusal.to_string().contains("dGFs"), "{refusal}");
        }
        let refusal = read(&[(HEADER, right)], "{}").unwrap_err();
        assert_eq!(refusal.code(), "malformed_notice");
    }
}
