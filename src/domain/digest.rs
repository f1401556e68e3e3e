//! Names made by hashing what they name. Here: the one way fields are hashed, and every digest that
//! is stored. Never here: chance, time. Read next: [`crate::domain::event`].
//!
//! Each field is hashed behind its length, so that no two lists of fields run together into the
//! same bytes. A digest's meaning is frozen by its `domain` word, which carries a version: a change
//! makes a new word, never another digest under the old one.

use sha2::{Digest as _, Sha256};

/// The first half of a SHA-256: 128 bits, past any chance of meeting twice in a ledger's life.
pub type Digest = [u8; 16];

/// Collects fields into one digest.
#[derive(Clone, Debug)]
pub struct Fields(Sha256);

impl Fields {
    /// Starts a digest of the kind that `domain` names.
    #[must_use]
    pub fn of(domain: &str) -> Self {
        Self(Sha256::new()).text(domain)
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(field);
        self
    }

    /// Adds text.
    #[must_use]
    pub fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, field: i64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        let whole = self.0.finalize();
        let mut half = Digest::default();
        half.copy_from_slice(&whole[..16]);
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together() {
        let one = Fields::of("test").text("ab").text("c").finish();
        let other = Fields::of("test").text("a").text("bc").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn a_digest_never_changes() {
        let digest = Fields::of("test").text("a").number(7).finish();
        assert_eq!(hex::encode(digest), "381a08b34dc8df157c52c66c198acd53");
    }
}
