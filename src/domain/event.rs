//! Meter events: what a provider is to be told. Here: an event's content and its identifier. Never
//! here: its bytes on a provider's wire (`provider::*::encode`), its moves (`domain::state`). Read
//! next: [`crate::ledger`].

use std::fmt;

use super::balance::{Balance, BalanceId};
use super::closed::closed;
use super::digest::Fields;
use super::quantity::Quantity;
use super::time::Timestamp;

/// A meter event's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub i64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The ledger's own name: 16 lower-case hex digits, made once, carried in every identifier so that
/// two ledgers never make the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId(Box<str>);

impl LedgerId {
    /// Digits in a ledger's name. 64 bits of chance tell any two ledgers of one account apart.
    pub const DIGITS: usize = 16;

    /// Takes a stored name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == Self::DIGITS && text.bytes().all(hex)).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event's name for ever: what the provider dedupes on. It hashes the ledger, the balance, the
/// event's ordinal in it, the records it covers, the quantity and the time. So two late `+5` never
/// look alike, a retry always does, and after a restored backup the same place in the journal never
/// gives the same name to other content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier(Box<str>);

impl Identifier {
    /// The name of the `ordinal`th event of `balance`, which says `value` at `occurred_at`. All
    /// that its bytes say goes into it: after a restored backup the same records may be told for
    /// another account, or taken back by a negative event in place of a cancellation.
    #[must_use]
    pub fn of(
        ledger: &LedgerId,
        balance: &Balance,
        ordinal: i64,
        says: &Says,
        value: &Quantity,
        occurred_at: Timestamp,
    ) -> Self {
        let target = match says {
            Says::Usage => "",
            Says::Cancel(target) => target.as_str(),
        };
        let digest = Fields::of("meter event identifier 1")
            .text(ledger.as_str())
            .number(balance.id.0)
            .text(balance.key.meter.as_str())
            .text(balance.key.account.as_str())
            .text(&balance.key.dimensions)
            .number(ordinal)
            .bytes(&balance.digest)
            .text(says.kind().as_str())
            .text(target)
            .text(&value.to_string())
            .number(occurred_at.micros())
            .finish();
        Self(format!("tallyd-{ledger}-{}", hex::encode(digest)).into())
    }

    /// Takes a stored name.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text: 56 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The HTTP idempotency key of an attempt generation. The first equals the identifier; a later
    /// one says which it is. Every generation is stored with its attempt.
    #[must_use]
    pub fn idempotency_key(&self, generation: i64) -> String {
        if generation <= 1 { self.0.to_string() } else { format!("{}-{generation}", self.0) }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

closed! {
    /// What kind of thing an event says.
    EventKind {
        /// That there was usage; below zero, that some is taken back.
        Usage = "usage",
        /// That one earlier event does not count.
        Cancel = "cancel",
    }
}

/// What an event says to the provider, beside how much and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// See [`EventKind::Usage`].
    Usage,
    /// See [`EventKind::Cancel`]: the name of the event that shall not count.
    Cancel(Identifier),
}

impl Says {
    /// Which of the closed set it is.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Usage => EventKind::Usage,
            Self::Cancel(_) => EventKind::Cancel,
        }
    }
}

/// What a provider is to be told, before it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventIntent {
    /// The balance it tells.
    pub balance: BalanceId,
    /// Its place among the balance's events: 1, 2, 3, …
    pub ordinal: i64,
    /// Its name for ever.
    pub identifier: Identifier,
    /// What it says.
    pub says: Says,
    /// How much it changes what was told: a cancel says its target's quantity with the other sign.
    pub quantity: Quantity,
    /// Where its meter keeps the last total that it was told: that total.
    pub total: Option<Quantity>,
    /// When it says the usage was.
    pub occurred_at: Timestamp,
}

impl EventIntent {
    /// The value that its bytes say.
    #[must_use]
    pub fn value(&self) -> &Quantity {
        self.total.as_ref().unwrap_or(&self.quantity)
    }
}
