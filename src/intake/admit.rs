//! Judging. PURE. Here: the fields of a record as they were written, and the one function that
//! makes a usage record of them or says which field is at fault and why. Never here: a format (see
//! [`super::json`], [`super::csv`]), the ledger. Read next: [`super::instant`].

use std::borrow::Cow;

use super::{Settings, instant};
use crate::domain::names::{NAME_BYTES_MAX, NameError, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::{Properties, Property, UsageRecord};
use crate::domain::time::{MICROS_PER_SECOND, TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp};

/// Most of a value that a reason repeats, in bytes: enough to recognise it, too little to be a
/// payload.
pub const VALUE_BYTES_MAX: usize = 64;

/// What a sender of a negative quantity is told: a record never takes usage back.
const CORRECT_INSTEAD: &str = "to take usage back correct its record (tallyd cancel, tallyd \
    adjust, or POST /v1/usage/{source}/{id}/cancel or adjust)";

/// The fields of a record, by the names they have in JSON.
pub const FIELDS: [&str; 7] =
    ["source", "id", "customer", "meter", "quantity", "time", "properties"];

/// Names that other metering products use for our fields, so that a refusal can name ours.
const OTHER_NAMES: [(&str, &str); 14] = [
    ("amount", "quantity"),
    ("customer_id", "customer"),
    ("event_id", "id"),
    ("event_name", "meter"),
    ("idempotency_key", "id"),
    ("identifier", "id"),
    ("labels", "properties"),
    ("metadata", "properties"),
    ("metric", "meter"),
    ("occurred_at", "time"),
    ("subject", "customer"),
    ("timestamp", "time"),
    ("transaction_id", "id"),
    ("value", "quantity"),
];

/// A value as it was written: nothing is interpreted before it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    /// A string, or the cell of a table.
    Text(Cow<'a, str>),
    /// A number, in the very digits that were sent.
    Number(&'a str),
    /// True or false.
    Flag(bool),
    /// Nothing, said aloud.
    Null,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Written<'_> {
    /// What kind of value it is, as a sentence names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Null => "null",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    /// The words of a text or a number, by which a person may look for it; nothing of the others.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_ref()),
            Self::Number(digits) => Some(digits),
            Self::Flag(_) | Self::Null | Self::List | Self::Object => None,
        }
    }
}

/// The fields of a record as they were written. Absent is `None`; null says the same, so that a
/// sender may write its empty optional fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Where it comes from.
    pub source: Option<Written<'a>>,
    /// Its unique name there.
    pub id: Option<Written<'a>>,
    /// Who used.
    pub customer: Option<Written<'a>>,
    /// What was used.
    pub meter: Option<Written<'a>>,
    /// How much.
    pub quantity: Option<Written<'a>>,
    /// When.
    pub time: Option<Written<'a>>,
    /// What else is said of it, in the order it was written.
    pub properties: Vec<(Cow<'a, str>, Written<'a>)>,
}

/// Which sources a sender may speak for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// All; each record names its own.
    Any,
    /// All; a record that names none is of this one.
    AnyOr(SourceName),
    /// These. With exactly one, records need not name it.
    These(Vec<SourceName>),
}

impl Sources {
    /// The source of a record that names none.
    #[must_use]
    pub fn only(&self) -> Option<&SourceName> {
        match self {
            Self::Any => None,
            Self::AnyOr(name) => Some(name),
            Self::These(names) => match names.as_slice() {
                [name] => Some(name),
                [] | [_, _, ..] => None,
            },
        }
    }
}

/// What records are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The bounds.
    pub settings: &'a Settings,
    /// Whom the sender speaks for.
    pub sources: &'a Sources,
    /// The present instant.
    pub now: Timestamp,
}

/// Why something is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field at fault; `record` when it is the whole.
    pub field: String,
    /// What is wrong with it: a sentence that goes on after the field's name, and repeats the
    /// value.
    pub reason: String,
}

impl Fault {
    /// A fault of `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// A fault of the record as a whole.
    #[must_use]
    pub fn whole(reason: impl Into<String>) -> Self {
        Self::new("record", reason)
    }
}

/// Makes a usage record of what was written.
///
/// # Errors
/// The first field at fault, and why.
pub fn admit(fields: Fields<'_>, rules: &Rules<'_>) -> Result<UsageRecord, Fault> {
    let source = source(fields.source, rules.sources)?;
    let id = name("id", fields.id, RecordId::new)?;
    let customer = name("customer", fields.customer, crate::domain::names::CustomerName::new)?;
    let meter = name("meter", fields.meter, crate::domain::names::MeterName::new)?;
    let quantity = quantity(fields.quantity)?;
    let occurred_at = time(fields.time, &source, rules)?;
    let properties = properties(fields.properties, rules.settings.properties_max)?;
    Ok(UsageRecord { source, id, customer, meter, quantity, occurred_at, properties })
}

pub(super) fn source(written: Option<Written<'_>>, sources: &Sources) -> Result<SourceName, Fault> {
    if matches!(written, None | Some(Written::Null)) {
        return match sources.only() {
            Some(only) => Ok(only.clone()),
            None => Err(Fault::new("source", "is missing, and the sender speaks for several")),
        };
    }
    source_of_sender(name("source", written, SourceName::new)?, sources)
}

/// `source`, if the sender may speak for it.
pub(super) fn source_of_sender(source: SourceName, sources: &Sources) -> Result<SourceName, Fault> {
    match sources {
        Sources::Any | Sources::AnyOr(_) => Ok(source),
        Sources::These(names) if names.contains(&source) => Ok(source),
        Sources::These(_) => {
            let value = quoted(source.as_str());
            Err(Fault::new("source", format!("{value} is not one this sender may speak for")))
        }
    }
}

pub(super) fn name<T>(
    field: &str,
    written: Option<Written<'_>>,
    new: impl Fn(&str) -> Result<T, NameError>,
) -> Result<T, Fault> {
    match written {
        None | Some(Written::Null) => Err(Fault::new(field, "is missing")),
        Some(Written::Text(text)) => new(&text).map_err(|why| {
            let value = if text.is_empty() { String::new() } else { quoted(&text) + " " };
            Fault::new(field, format!("{value}{why}"))
        }),
        Some(other) => Err(Fault::new(field, format!("is {}, and must be a string", other.kind()))),
    }
}

fn quantity(written: Option<Written<'_>>) -> Result<Quantity, Fault> {
    const FIELD: &str = "quantity";
    let text = match &written {
        None | Some(Written::Null) => return Err(Fault::new(FIELD, "is missing")),
        Some(Written::Text(text)) if text.is_empty() => {
            return Err(Fault::new(FIELD, "is empty; a record of no usage says 0"));
        }
        Some(Written::Text(text)) => text.as_ref(),
        Some(Written::Number(text)) => text,
        Some(other) => {
            let reason = format!("is {}, and must be a decimal number", other.kind());
            return Err(Fault::new(FIELD, reason));
        }
    };
    let quantity = Quantity::parse(text)
        .map_err(|why| Fault::new(FIELD, format!("{} {why}", quoted(text))))?;
    if quantity.is_negative() {
        let value = quoted(text);
        let reason = format!("{value} is below zero; {CORRECT_INSTEAD}");
        return Err(Fault::new(FIELD, reason));
    }
    Ok(quantity)
}

fn time(
    written: Option<Written<'_>>,
    source: &SourceName,
    rules: &Rules<'_>,
) -> Result<Timestamp, Fault> {
    const FIELD: &str = "time";
    let written = match written {
        None | Some(Written::Null) => return Err(Fault::new(FIELD, "is missing")),
        Some(written) => written,
    };
    let declared = rules.settings.sources.iter().find(|each| each.name == *source);
    let zone = declared.and_then(|each| each.zone_offset_seconds);
    let at = instant::read(&written, zone).map_err(|reason| Fault::new(FIELD, reason))?;
    if at < TIMESTAMP_MIN {
        return Err(Fault::new(FIELD, format!("{at} lies before {TIMESTAMP_MIN}")));
    }
    if at > TIMESTAMP_MAX {
        let reason = format!("{at} lies after {TIMESTAMP_MAX}; Unix times are seconds");
        return Err(Fault::new(FIELD, reason));
    }
    let ahead = rules.settings.ahead_micros_max;
    if at > rules.now.plus_micros(ahead) {
        // Without the present instant: sent again, the record is the same item for a person.
        let seconds = ahead / MICROS_PER_SECOND;
        let reason = format!("{at} lies too far ahead: at most {seconds} seconds from now on");
        return Err(Fault::new(FIELD, reason));
    }
    Ok(at)
}

fn properties(written: Vec<(Cow<'_, str>, Written<'_>)>, most: usize) -> Result<Properties, Fault> {
    if written.len() > most {
        let reason = format!("are {}, and at most {most} are taken", written.len());
        return Err(Fault::new("properties", reason));
    }
    let mut properties = Properties::new();
    for (name, value) in written {
        let field = || format!("properties.{}", escaped(&name));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let rule = format!("must be 1 to {NAME_BYTES_MAX} bytes without control characters");
            return Err(Fault::new(field(), format!("has a name that cannot be kept: it {rule}")));
        }
        let value = match value {
            Written::Text(text) => Property::Text(text.into_owned()),
            Written::Number(text) => Property::Number(text.to_owned()),
            Written::Flag(flag) => Property::Flag(flag),
            other @ (Written::Null | Written::List | Written::Object) => {
                let kind = other.kind();
                let reason = format!("is {kind}, and must be a string, a number, true or false");
                return Err(Fault::new(field(), reason));
            }
        };
        if properties.contains_key(name.as_ref()) {
            return Err(Fault::new(field(), "is there twice"));
        }
        properties.insert(name.into_owned(), value);
    }
    Ok(properties)
}

/// The fault of a field that no record has: most likely a slip in the name of one that it has.
#[must_use]
pub fn unknown_field(name: &str) -> Fault {
    if name == "specversion" {
        return Fault::new(
            name,
            "is of a CloudEvent, which is sent as application/cloudevents+json",
        );
    }
    let reason = match nearest_field(name) {
        Some(field) => format!("is not a field of a record; did you mean \"{field}\"?"),
        None => format!("is not a field of a record, which has {}", FIELDS.join(", ")),
    };
    Fault::new(field_name(name), reason)
}

/// A field's name as it was sent, to be read by a person. An empty one would leave nobody to blame.
pub(super) fn field_name(name: &str) -> String {
    if name.is_empty() { quoted(name) } else { escaped(name) }
}

fn nearest_field(name: &str) -> Option<&'static str> {
    let lower = cut(name, VALUE_BYTES_MAX).to_ascii_lowercase();
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == lower).map(|(_, field)| *field);
    // Two slips in a short word make another word, so a short field is only near by one.
    let near = |field: &str| edits(&lower, field) <= if field.len() < 5 { 1 } else { 2 };
    other.or_else(|| FIELDS.into_iter().find(|field| near(field)))
}

/// How many letters one has to add, drop or change to make `one` of `other`.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (done, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = done + 1;
        for (column, each) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *each);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// The start of `text`, at most `bytes` long, never half a character.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `text` as a reason or a field's name shows it: cut, and without characters that would make a log
/// line lie.
#[must_use]
pub fn escaped(text: &str) -> String {
    let start = cut(text, VALUE_BYTES_MAX);
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{}{more}", start.escape_debug())
}

/// [`escaped`], in quotation marks.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}
