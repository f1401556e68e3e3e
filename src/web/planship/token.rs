//! Tokens of the Planship API. PURE. Here: who may have one, and whether one is good. Never here:
//! storage: a token says by itself until when it is good, and that it was issued here. Read next:
//! [`crate::web::auth`].
//!
//! A token is `<unix seconds of its end>.<hex>`, where the hex is the HMAC-SHA256 of its end and
//! the client's id under the client's secret. So it stays good through a restart, and another
//! secret ends all of them.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::domain::time::Timestamp;
use crate::web::PlanshipApi;

/// How long a token is good, in seconds: an hour, after which the SDKs get another one by
/// themselves.
pub(super) const LIFE_SECONDS: i64 = 3_600;

/// What stands behind a scheme in the header of who asks.
fn shown<'h>(headers: &'h HeaderMap, scheme: &[u8]) -> Option<&'h [u8]> {
    let header = headers.get(AUTHORIZATION)?.as_bytes();
    let (found, rest) = header.split_at_checked(scheme.len())?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}

/// Whether the request shows the client's id and secret. Digests are compared, so that the time
/// taken tells neither a length nor how much was right.
pub(super) fn is_client(headers: &HeaderMap, settings: &PlanshipApi) -> bool {
    let Some(shown) = shown(headers, b"basic ") else { return false };
    let Ok(shown) = STANDARD.decode(shown) else { return false };
    let secret = settings.client_secret.expose_secret();
    let wanted = format!("{}:{secret}", settings.client_id);
    let (shown, wanted) = (Sha256::digest(&shown), Sha256::digest(wanted.as_bytes()));
    shown.as_slice().ct_eq(wanted.as_slice()).into()
}

fn proof(settings: &PlanshipApi, ends: i64) -> String {
    let secret = settings.client_secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(format!("planship token 1 {ends} {}", settings.client_id).as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// A token that is good from `now` on.
pub(super) fn issue(settings: &PlanshipApi, now: Timestamp) -> String {
    let ends = now.plus_seconds(LIFE_SECONDS).seconds();
    format!("{ends}.{}", proof(settings, ends))
}

/// Whether the request shows a token that is good at `now`.
pub(super) fn is_known(headers: &HeaderMap, settings: &PlanshipApi, now: Timestamp) -> bool {
    let Some(token) = shown(headers, b"bearer ") else { return false };
    let Some((ends, shown)) =
        std::str::from_utf8(token).ok().and_then(|token| token.split_once('.'))
    else {
        return false;
    };
    let Ok(ends) = ends.parse::<i64>() else { return false };
    let is_proven: bool = proof(settings, ends).as_bytes().ct_eq(shown.as_bytes()).into();
    // One that ends later than any that is issued now was issued by a clock that ran ahead.
    is_proven && now.seconds() < ends && ends <= now.seconds().saturating_add(LIFE_SECONDS)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::domain::names::SourceName;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn settings(secret: &str) -> PlanshipApi {
        PlanshipApi {
            client_id: "id".to_owned(),
            client_secret: secret.into(),
            products: ["demo".to_owned()].into(),
            source: SourceName::new("planship").unwrap(),
        }
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_the_client_gets_a_token() {
        let basic = |text: &str| headers(&format!("Basic {}", STANDARD.encode(text)));
        let settings = settings("secret");
        assert!(is_client(&basic("id:secret"), &settings));
        for wrong in ["id:secre", "id:secret2", "other:secret", "", ":"] {
            assert!(!is_client(&basic(wrong), &settings), "{wrong}");
        }
        for wrong in ["Basic ???", "Bearer aWQ6c2VjcmV0", "Basic"] {
            assert!(!is_client(&headers(wrong), &settings), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_good_for_an_hour_under_its_secret_alone() {
        let own = settings("secret");
        let token = issue(&own, NOON);
        let shown = headers(&format!("Bearer {token}"));
        assert!(is_known(&shown, &own, NOON));
        assert!(is_known(&shown, &own, NOON.plus_seconds(LIFE_SECONDS - 1)));
        assert!(!is_known(&shown, &own, NOON.plus_seconds(LIFE_SECONDS)));
        assert!(!is_known(&shown, &settings("other"), NOON));
        let later = token.replacen("17900", "17901", 1);
        for wrong in [later.as_str(), &token[..token.len() - 1], "1.", ".", ""] {
            assert!(!is_known(&headers(&format!("Bearer {wrong}")), &own, NOON), "{wrong}");
        }
    }
}
