//! Whether a webhook is Stripe's. PURE. Here: the header `Stripe-Signature`, held against the raw
//! body, the endpoint's secrets and the clock. Never here: what the body says
//! ([`super::notices`]). Read next: [`super::notices`].
//!
//! The header reads `t=<unix seconds>,v1=<hex>[,v1=<hex>…]`, and each `v1` is the HMAC-SHA256 of
//! `<t>.<body>` under one of the endpoint's secrets; while a secret is rolled there are two. Other
//! schemes stand beside it and prove nothing. Stripe signs each sending anew, so that an old time
//! is a replay, or a clock that is wrong.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::closed::closed;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// The header's name.
pub const HEADER: &str = "stripe-signature";
/// Longest header that is looked at, in bytes: room for fifty signatures, and nothing to chew on
/// for long.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Most signatures that are compared: Stripe sends one for each secret in force, which are two
/// while one is rolled.
pub const SIGNATURES_MAX: usize = 8;
/// How far a signature's time may lie from this host's, in seconds, before or behind: the tolerance
/// of Stripe's own libraries. Nothing switches it off.
pub const TOLERANCE_SECONDS: i64 = 300;
/// Most digits of a signature's time: some thirty thousand years, and no overflow.
const TIME_DIGITS_MAX: usize = 12;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

closed! {
    /// Why nothing proves that Stripe sent a request. What the request says is never part of it.
    SignatureRefusal {
        /// There is no header.
        Missing = "signature_missing",
        /// There is more than one header.
        Repeated = "signature_repeated",
        /// The header is longer than [`HEADER_BYTES_MAX`].
        TooLong = "signature_too_long",
        /// The header does not have its form.
        Malformed = "signature_malformed",
        /// The header has more than [`SIGNATURES_MAX`] signatures.
        TooMany = "signature_too_many",
        /// No signature is of a scheme that proves something.
        NoScheme = "signature_no_scheme",
        /// It was signed more than [`TOLERANCE_SECONDS`] ago.
        Stale = "signature_stale",
        /// It was signed more than [`TOLERANCE_SECONDS`] from now.
        Ahead = "signature_ahead",
        /// No signature is of this body under one of the secrets.
        Mismatch = "signature_mismatch",
    }
}

impl SignatureRefusal {
    /// What is wrong, as a sentence.
    #[must_use]
    pub fn why(self) -> String {
        match self {
            Self::Missing => "the header Stripe-Signature is missing".to_owned(),
            Self::Repeated => "there is more than one header Stripe-Signature".to_owned(),
            Self::TooLong => {
                format!("the header Stripe-Signature is longer than {HEADER_BYTES_MAX} bytes")
            }
            Self::Malformed => "the header Stripe-Signature is not t=…,v1=…".to_owned(),
            Self::TooMany => {
                format!("the header Stripe-Signature has more than {SIGNATURES_MAX} signatures")
            }
            Self::NoScheme => "the header Stripe-Signature has no signature v1".to_owned(),
            Self::Stale => format!(
                "the signature is older than {TOLERANCE_SECONDS} s, or this host's clock is ahead"
            ),
            Self::Ahead => format!(
                "the signature is more than {TOLERANCE_SECONDS} s ahead, or this host's clock is \
                 behind"
            ),
            Self::Mismatch => "no signature is of this body under a secret of this endpoint".into(),
        }
    }
}

/// A header in its parts.
struct Parts<'a> {
    /// The time as it is written, which is what was signed.
    time: &'a [u8],
    seconds: i64,
    signatures: Vec<[u8; SIGNATURE_BYTES]>,
}

/// Says whether Stripe sent `body`, about `now`, to an endpoint that has one of `secrets`; with no
/// secret it never did. `headers` are the request's, their names in lower case.
///
/// # Errors
/// When nothing proves it.
pub fn verify(
    headers: &[(&str, &[u8])],
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<(), SignatureRefusal> {
    let parts = parts(the_header(headers)?)?;
    check_time(parts.seconds, now)?;
    // Every signature is held against every secret, whatever was found before, so that the time
    // taken tells nothing of which was near.
    let mut proven = Choice::from(0);
    for secret in secrets {
        let made = sign(secret, parts.time, body);
        for signature in &parts.signatures {
            proven |= made.ct_eq(signature);
        }
    }
    if bool::from(proven) { Ok(()) } else { Err(SignatureRefusal::Mismatch) }
}

fn the_header<'a>(headers: &[(&str, &'a [u8])]) -> Result<&'a [u8], SignatureRefusal> {
    let mut found = headers.iter().filter(|(name, _)| *name == HEADER).map(|(_, value)| *value);
    match (found.next(), found.next()) {
        (None, _) => Err(SignatureRefusal::Missing),
        (Some(_), Some(_)) => Err(SignatureRefusal::Repeated),
        (Some(value), None) if value.len() > HEADER_BYTES_MAX => Err(SignatureRefusal::TooLong),
        (Some(value), None) => Ok(value),
    }
}

fn parts(header: &[u8]) -> Result<Parts<'_>, SignatureRefusal> {
    let mut time: Option<&[u8]> = None;
    let mut signatures = Vec::new();
    for item in header.split(|byte| *byte == b',') {
        let equals = item.iter().position(|byte| *byte == b'=');
        let equals = equals.ok_or(SignatureRefusal::Malformed)?;
        let (name, value) = (&item[..equals], &item[equals + 1..]);
        match name {
            b"t" if time.is_some() => return Err(SignatureRefusal::Malformed),
            b"t" => time = Some(value),
            b"v1" if signatures.len() == SIGNATURES_MAX => return Err(SignatureRefusal::TooMany),
            b"v1" => signatures.push(signature(value)?),
            _other_scheme => {}
        }
    }
    let time = time.ok_or(SignatureRefusal::Malformed)?;
    let seconds = seconds(time).ok_or(SignatureRefusal::Malformed)?;
    if signatures.is_empty() {
        return Err(SignatureRefusal::NoScheme);
    }
    Ok(Parts { time, seconds, signatures })
}

/// A signature: as many lower-case hexadecimal digits as it has, and nothing else. A prefix of the
/// true one proves nothing.
fn signature(text: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignatureRefusal> {
    let mut bytes = [0; SIGNATURE_BYTES];
    if text.iter().any(u8::is_ascii_uppercase) {
        return Err(SignatureRefusal::Malformed);
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|_| SignatureRefusal::Malformed)?;
    Ok(bytes)
}

fn seconds(digits: &[u8]) -> Option<i64> {
    let fits = (1..=TIME_DIGITS_MAX).contains(&digits.len());
    if !fits || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

fn check_time(seconds: i64, now: Timestamp) -> Result<(), SignatureRefusal> {
    let tolerance = TOLERANCE_SECONDS * MICROS_PER_SECOND;
    // By the whole second, as signatures are.
    let signed_at = Timestamp::from_seconds(seconds);
    let age = Timestamp::from_seconds(now.seconds()).micros_since(signed_at);
    if age > tolerance {
        Err(SignatureRefusal::Stale)
    } else if age < -tolerance {
        Err(SignatureRefusal::Ahead)
    } else {
        Ok(())
    }
}

fn sign(secret: &SecretString, time: &[u8], body: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
    let mut mac = mac.expect("a secret of any length is a key");
    mac.update(time);
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_900_000);
    const BODY: &[u8] = b"{\"id\":\"evt_1\"}";
    // Made once with another program: HMAC-SHA256 of "1790000000." and the body.
    const BY_OLD: &str = "9297351e1379fa389d9bb355e57b8c11640949b2c515967418208c369ab2b4aa";
    const BY_NEW: &str = "a8d78c58874a6b2e5d89493e1b6dbe9f5a71790e5f2f2ce02d06c84076e09fe9";

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    fn judge(header: &str, texts: &[&str], now: Timestamp) -> Result<(), SignatureRefusal> {
        verify(&[("host", b"t"), (HEADER, header.as_bytes())], BODY, &secrets(texts), now)
    }

    #[test]
    fn a_signature_made_by_another_program_is_taken() {
        assert_eq!(judge(&format!("t=1790000000,v1={BY_OLD}"), &["whsec_old"], NOW), Ok(()));
        assert_eq!(judge(&format!("v0=x,v1={BY_OLD},t=1790000000"), &["whsec_old"], NOW), Ok(()));
    }

    #[test]
    fn while_a_secret_is_rolled_either_of_both_is_enough() {
        let both = format!("t=1790000000,v1={BY_NEW},v1={BY_OLD}");
        for (header, known) in [
            (both.clone(), vec!["whsec_old"]),
            (both.clone(), vec!["whsec_new"]),
            (both, vec!["whsec_new", "whsec_old"]),
            (format!("t=1790000000,v1={BY_OLD}"), vec!["whsec_new", "whsec_old"]),
            (format!("t=1790000000,v1={BY_NEW}"), vec!["whsec_new", "whsec_old"]),
        ] {
            assert_eq!(judge(&header, &known, NOW), Ok(()), "{header} {known:?}");
        }
        let old = format!("t=1790000000,v1={BY_OLD}");
        assert_eq!(judge(&old, &["whsec_new"], NOW), Err(SignatureRefusal::Mismatch));
        assert_eq!(judge(&old, &[], NOW), Err(SignatureRefusal::Mismatch));
    }

    #[test]
    fn a_signature_is_taken_for_five_minutes_before_and_after_its_time() {
        let header = format!("t=1790000000,v1={BY_OLD}");
        for (seconds, expected) in [
            (-301, Err(SignatureRefusal::Ahead)),
            (-300, Ok(())),
            (300, Ok(())),
            (301, Err(SignatureRefusal::Stale)),
        ] {
            let now = NOW.plus_seconds(seconds);
            assert_eq!(judge(&header, &["whsec_old"], now), expected, "{seconds}");
        }
    }

    #[test]
    fn a_header_without_its_form_is_refused_by_its_fault() {
        let good = format!("v1={BY_OLD}");
        let many = format!("t=1790000000{}", format!(",{good}").repeat(SIGNATURES_MAX + 1));
        let as_many = format!("t=1790000000{}", format!(",{good}").repeat(SIGNATURES_MAX));
        assert_eq!(judge(&as_many, &["whsec_old"], NOW), Ok(()));
        for (header, expected) in [
            (String::new(), SignatureRefusal::Malformed),
            (good.clone(), SignatureRefusal::Malformed),
            (format!("t=,{good}"), SignatureRefusal::Malformed),
            (format!("t=1790000000,{good},"), SignatureRefusal::Malformed),
            (format!("t=1790000000,t=1790000000,{good}"), SignatureRefusal::Malformed),
            (format!("t=+790000000,{good}"), SignatureRefusal::Malformed),
            (format!("t=1790000000000,{good}"), SignatureRefusal::Malformed),
            (format!("t=1790000000,v1={}", &BY_OLD[..62]), SignatureRefusal::Malformed),
            (format!("t=1790000000,v1={BY_OLD}0"), SignatureRefusal::Malformed),
            (format!("t=1790000000,v1={}", BY_OLD.to_uppercase()), SignatureRefusal::Malformed),
            ("t=1790000000".to_owned(), SignatureRefusal::NoScheme),
            (format!("t=1790000000,v0={BY_OLD}"), SignatureRefusal::NoScheme),
            (format!("t=1790000000,V1={BY_OLD}"), SignatureRefusal::NoScheme),
            (format!("t=1790000000, {good}"), SignatureRefusal::NoScheme),
            (many, SignatureRefusal::TooMany),
            (format!("{}={good}", "a".repeat(HEADER_BYTES_MAX)), SignatureRefusal::TooLong),
            (format!("t=01790000000,{good}"), SignatureRefusal::Mismatch),
            (format!("t=1790000001,{good}"), SignatureRefusal::Mismatch),
        ] {
            assert_eq!(judge(&header, &["whsec_old"], NOW), Err(expected), "{header}");
        }
        let header = format!("t=1790000000,{good}");
        let twice = [(HEADER, header.as_bytes()), (HEADER, header.as_bytes())];
        let known = secrets(&["whsec_old"]);
        assert_eq!(verify(&twice, BODY, &known, NOW), Err(SignatureRefusal::Repeated));
        assert_eq!(verify(&[], BODY, &known, NOW), Err(SignatureRefusal::Missing));
        let other = [BODY, b"\n"].concat();
        assert_eq!(verify(&twice[..1], &other, &known, NOW), Err(SignatureRefusal::Mismatch));
    }
}
