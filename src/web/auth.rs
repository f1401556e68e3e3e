//! Who may speak. Here: which sources a bearer token speaks for. Never here: the secret itself,
//! once it is hashed. Read next: [`super::answer`].

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::Token;
use crate::intake::admit::Sources;

/// Everyone who may send usage.
pub(super) struct Callers(Vec<Caller>);

struct Caller {
    digest: [u8; 32],
    sources: Arc<Sources>,
}

impl Callers {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let caller = |token: &Token| Caller {
            digest: digest(token.secret.expose_secret().as_bytes()),
            sources: Arc::new(Sources::These(token.sources.clone())),
        };
        Self(tokens.iter().map(caller).collect())
    }

    /// What the request's token speaks for; nothing without a token that is known. Digests are
    /// compared, and all of them, so that the time taken tells neither a length nor which was near.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Arc<Sources>> {
        let header = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, token) = header.split_at_checked(b"bearer ".len())?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return None;
        }
        let shown = digest(token.trim_ascii());
        let mut found = Choice::from(0);
        let mut index = 0_u32;
        for (candidate, caller) in (0_u32..).zip(&self.0) {
            let same = caller.digest.ct_eq(&shown);
            index.conditional_assign(&candidate, same);
            found |= same;
        }
        let caller = self.0.get(usize::try_from(index).ok()?)?;
        bool::from(found).then(|| Arc::clone(&caller.sources))
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::domain::names::SourceName;

    #[test]
    fn a_token_speaks_for_its_own_sources_and_no_other_does() {
        let sources = |name| vec![SourceName::new(name).unwrap()];
        let token = |secret: &str, name| Token { secret: secret.into(), sources: sources(name) };
        let callers = Callers::new(&[token("one", "a"), token("two", "b"), token("three", "c")]);
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            callers.of(&headers).map(|found| found.as_ref().clone())
        };
        assert_eq!(of("Bearer one"), Some(Sources::These(sources("a"))));
        assert_eq!(of("bearer two"), Some(Sources::These(sources("b"))));
        for wrong in ["Bearer tw", "Bearer twoo", "Bearer ", "Bearer", "Basic two", "two"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(callers.of(&HeaderMap::new()), None);
        let nobody = Callers::new(&[]);
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer one"))]);
        assert_eq!(nobody.of(&headers), None);
    }
}
