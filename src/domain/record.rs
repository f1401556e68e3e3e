//! Usage records. Here: the immutable fact from a source, and what makes two of them the same.
//! Never here: parsing, storage. Read next: [`crate::domain::rejected`].

use std::collections::BTreeMap;
use std::fmt;

use super::digest::{Digest, Fields};
use super::names::{CustomerName, MeterName, RecordId, SourceName};
use super::quantity::Quantity;
use super::time::Timestamp;

/// A record's place in the journal: 1, 2, 3, … in the order they were booked, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub i64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of a property: a text, a number as it was written, or a truth value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// A string.
    Text(String),
    /// A number, exactly as written.
    Number(String),
    /// True or false.
    Flag(bool),
}

impl Property {
    /// The text that a route's `match` compares with: `eu`, `3`, `true`.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Flag(true) => "true",
            Self::Flag(false) => "false",
        }
    }
}

/// What else a source says of a record, by name, in the order of the names.
pub type Properties = BTreeMap<String, Property>;

/// One fact of usage: who used how much of what, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Where it comes from.
    pub source: SourceName,
    /// Its unique name there.
    pub id: RecordId,
    /// Who used.
    pub customer: CustomerName,
    /// What was used.
    pub meter: MeterName,
    /// How much: zero or more.
    pub quantity: Quantity,
    /// When it was used.
    pub occurred_at: Timestamp,
    /// What else the source says.
    pub properties: Properties,
}

impl UsageRecord {
    /// What makes two records the same record: source and id.
    #[must_use]
    pub fn identity(&self) -> Digest {
        identity(&self.source, &self.id)
    }

    /// What makes two copies of a record say the same: everything but source and id, by value, so
    /// that `1.0` repeats `1`.
    #[must_use]
    pub fn content(&self) -> Digest {
        let mut fields = Fields::of("record content 1")
            .text(self.customer.as_str())
            .text(self.meter.as_str())
            .text(&self.quantity.to_string())
            .number(self.occurred_at.micros());
        for (name, value) in &self.properties {
            let kind = match value {
                Property::Text(_) => "text",
                Property::Number(_) => "number",
                Property::Flag(_) => "flag",
            };
            fields = fields.text(name).text(kind).text(value.as_text());
        }
        fields.finish()
    }
}

/// The identity of the record that `source` calls `id`.
#[must_use]
pub fn identity(source: &SourceName, id: &RecordId) -> Digest {
    Fields::of("record identity 1").text(source.as_str()).text(id.as_str()).finish()
}
