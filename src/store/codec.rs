//! Between rows and values. Here: one function each way for what a column holds, and what a
//! database error means. Never here: a statement. Read next: [`super::sqlite`].

use serde_json::Value;
use sqlx::sqlite::{SqliteError, SqliteRow};
use sqlx::{Row, error::DatabaseError};

use crate::domain::digest::Digest;
use crate::domain::names::{CustomerName, MeterName, NameError, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::{Properties, Property, UsageRecord};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;

/// SQLite's primary result codes that mean something to us; the low byte of an extended code.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const IO_ERROR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// What an error of the database means for the verb that met it.
pub(super) fn ledger_error(error: sqlx::Error) -> LedgerError {
    let primary = if let Some(inner) = error.as_database_error() {
        primary_code(inner)
    } else if matches!(error, sqlx::Error::PoolTimedOut) {
        Some(code::BUSY)
    } else if matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) {
        // The connection's thread died, or the file went away beneath it.
        Some(code::IO_ERROR)
    } else {
        None
    };
    match primary {
        Some(code::FULL) => LedgerError::Full(Box::new(error)),
        Some(code::BUSY | code::LOCKED) => LedgerError::Busy(Box::new(error)),
        Some(code::IO_ERROR | code::CORRUPT | code::NOT_A_DATABASE) => {
            LedgerError::Broken(Box::new(error))
        }
        // A constraint is a promise of the schema: whoever breaks it has a wrong picture of the
        // ledger, and must stop before it writes more.
        Some(code::CONSTRAINT) => LedgerError::Contradiction(error.to_string()),
        Some(_) | None => LedgerError::Refused(error.to_string(), Some(Box::new(error))),
    }
}

/// What an error of a `COMMIT` means: whether it happened is unknown, unless the engine says that
/// it found no room, in which case it has rolled back.
pub(super) fn commit_error(error: sqlx::Error) -> LedgerError {
    match ledger_error(error) {
        full @ LedgerError::Full(_) => full,
        broken @ LedgerError::Broken(_) => broken,
        LedgerError::Busy(source) | LedgerError::Refused(_, Some(source)) => {
            LedgerError::Broken(source)
        }
        LedgerError::Refused(text, None) | LedgerError::Contradiction(text) => {
            LedgerError::Broken(text.into())
        }
    }
}

fn primary_code(error: &dyn DatabaseError) -> Option<i32> {
    let extended: i32 = error.try_downcast_ref::<SqliteError>()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether the file is no database at all.
pub(super) fn is_no_database(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary_code) == Some(code::NOT_A_DATABASE)
}

/// A contradiction that a stored value makes.
pub(super) fn unreadable(column: &str, value: &str) -> LedgerError {
    LedgerError::Contradiction(format!("the column {column} holds \"{value}\""))
}

/// Reads columns with their own types, and turns a mismatch into a contradiction.
pub(super) trait Columns {
    /// An integer.
    fn integer(&self, column: &str) -> Result<i64, LedgerError>;
    /// An integer, or nothing.
    fn maybe_integer(&self, column: &str) -> Result<Option<i64>, LedgerError>;
    /// A text.
    fn text(&self, column: &str) -> Result<String, LedgerError>;
    /// A text, or nothing.
    fn maybe_text(&self, column: &str) -> Result<Option<String>, LedgerError>;
    /// Bytes.
    fn blob(&self, column: &str) -> Result<Vec<u8>, LedgerError>;
    /// Bytes, or nothing.
    fn maybe_blob(&self, column: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// An instant.
    fn time(&self, column: &str) -> Result<Timestamp, LedgerError> {
        self.integer(column).map(Timestamp::from_micros)
    }
    /// An instant, or nothing.
    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.maybe_integer(column)?.map(Timestamp::from_micros))
    }
    /// A truth value, stored as 0 or 1.
    fn flag(&self, column: &str) -> Result<bool, LedgerError> {
        Ok(self.integer(column)? != 0)
    }
    /// An exact quantity.
    fn quantity(&self, column: &str) -> Result<Quantity, LedgerError> {
        let text = self.text(column)?;
        Quantity::parse_unbounded(&text).map_err(|_| unreadable(column, &text))
    }
    /// An exact quantity, or nothing.
    fn maybe_quantity(&self, column: &str) -> Result<Option<Quantity>, LedgerError> {
        self.maybe_text(column)?.map(|_| self.quantity(column)).transpose()
    }
    /// A digest.
    fn digest(&self, column: &str) -> Result<Digest, LedgerError> {
        let bytes = self.blob(column)?;
        Digest::try_from(bytes.as_slice()).map_err(|_| unreadable(column, &hex::encode(&bytes)))
    }
    /// A digest, or nothing.
    fn maybe_digest(&self, column: &str) -> Result<Option<Digest>, LedgerError> {
        self.maybe_blob(column)?.map(|_| self.digest(column)).transpose()
    }
    /// A name of some kind.
    fn name<N>(
        &self,
        column: &str,
        make: fn(&str) -> Result<N, NameError>,
    ) -> Result<N, LedgerError> {
        let text = self.text(column)?;
        make(&text).map_err(|_| unreadable(column, &text))
    }
    /// A name of some kind, or nothing.
    fn maybe_name<N>(
        &self,
        column: &str,
        make: fn(&str) -> Result<N, NameError>,
    ) -> Result<Option<N>, LedgerError> {
        self.maybe_text(column)?.map(|_| self.name(column, make)).transpose()
    }
    /// A member of a closed set.
    fn member<T>(&self, column: &str, parse: fn(&str) -> Option<T>) -> Result<T, LedgerError> {
        let text = self.text(column)?;
        parse(&text).ok_or_else(|| unreadable(column, &text))
    }
    /// A member of a closed set, or nothing.
    fn maybe_member<T>(
        &self,
        column: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, LedgerError> {
        self.maybe_text(column)?.map(|_| self.member(column, parse)).transpose()
    }
}

impl Columns for SqliteRow {
    fn integer(&self, column: &str) -> Result<i64, LedgerError> {
        self.try_get(column).map_err(ledger_error)
    }
    fn maybe_integer(&self, column: &str) -> Result<Option<i64>, LedgerError> {
        self.try_get(column).map_err(ledger_error)
    }
    fn text(&self, column: &str) -> Result<String, LedgerError> {
        self.try_get(column).map_err(ledger_error)
    }
    fn maybe_text(&self, column: &str) -> Result<Option<String>, LedgerError> {
        self.try_get(column).map_err(ledger_error)
    }
    fn maybe_blob(&self, column: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.try_get(column).map_err(ledger_error)
    }
    fn blob(&self, column: &str) -> Result<Vec<u8>, LedgerError> {
        self.try_get(column).map_err(ledger_error)
    }
}

/// The usage record that a row of the journal holds.
pub(super) fn usage_record(row: &SqliteRow) -> Result<UsageRecord, LedgerError> {
    Ok(UsageRecord {
        source: row.name("source", SourceName::new)?,
        id: row.name("id", RecordId::new)?,
        customer: row.name("customer", CustomerName::new)?,
        meter: row.name("meter", MeterName::new)?,
        quantity: row.quantity("quantity")?,
        occurred_at: row.time("occurred_at")?,
        properties: properties_from_text(&row.text("properties")?)?,
    })
}

/// The stored text of properties: a JSON object, in the order of the names.
pub(super) fn properties_to_text(properties: &Properties) -> String {
    if properties.is_empty() {
        return "{}".to_owned();
    }
    let mut text = String::from("{");
    for (name, value) in properties {
        if text.len() > 1 {
            text.push(',');
        }
        push_json(&mut text, name);
        text.push(':');
        match value {
            Property::Text(inner) => push_json(&mut text, inner),
            // A number stays as it was written: it is JSON already, and a float would change it.
            Property::Number(inner) => text.push_str(inner),
            Property::Flag(inner) => text.push_str(if *inner { "true" } else { "false" }),
        }
    }
    text.push('}');
    text
}

/// Writes a string as JSON. Nearly all need no escape.
fn push_json(text: &mut String, string: &str) {
    let escapes = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\' || byte == 0x7f;
    if string.bytes().any(escapes) {
        text.push_str(&Value::from(string).to_string());
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

/// Reads [`properties_to_text`] back.
pub(super) fn properties_from_text(text: &str) -> Result<Properties, LedgerError> {
    if text == "{}" {
        return Ok(Properties::new());
    }
    let raw: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_str(text).map_err(|_| unreadable("properties", text))?;
    raw.into_iter()
        .map(|(name, value)| {
            let property = match value.get() {
                "true" => Property::Flag(true),
                "false" => Property::Flag(false),
                quoted if quoted.starts_with('"') => Property::Text(
                    serde_json::from_str(quoted).map_err(|_| unreadable("properties", text))?,
                ),
                number => Property::Number(number.to_owned()),
            };
            Ok((name, property))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_read_back_as_they_were() {
        let properties: Properties = [
            ("a \"b\"".to_owned(), Property::Text("x\n\u{1f600}".to_owned())),
            ("n".to_owned(), Property::Number("1.50e3".to_owned())),
            ("t".to_owned(), Property::Flag(true)),
            ("f".to_owned(), Property::Flag(false)),
        ]
        .into();
        let text = properties_to_text(&properties);
        assert_eq!(properties_from_text(&text).unwrap(), properties);
        assert_eq!(properties_from_text("{}").unwrap(), Properties::new());
    }
}
