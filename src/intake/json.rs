//! JSON to records. PURE. Here: one object, an array, or a line each. Never here: what a field has
//! to hold (see [`super::admit`]). Read next: [`super::cloudevents`].
//!
//! Nothing is copied before it is judged: the body's UTF-8 is checked once, each record stays a
//! piece of it, and each field a piece of that. Numbers are taken as they were written; no float is
//! made.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::str::Utf8Error;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::admit::{Fault, Fields, Rules, Written, admit, unknown_field};
use super::batch::{Batch, Place, Raw};
use super::cloudevents::read_event;
use crate::domain::record::{Property, UsageRecord};
use crate::domain::rejected::Form;

/// How a body holds its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One JSON value: an object, or an array of objects.
    Json,
    /// A record a line.
    Lines,
    /// One CloudEvent: an object.
    Event,
    /// A batch of CloudEvents: an array of objects.
    Events,
    /// CloudEvents in another format than JSON, which is not read.
    OtherEvents,
    /// Unsaid. An object at the end of the first line, with another at the start of a later line,
    /// makes it [`Self::Lines`]; anything else is [`Self::Json`].
    Unsaid,
}

impl BodyKind {
    /// What a `Content-Type` says.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Self {
        let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => Self::Lines,
            "application/cloudevents+json" => Self::Event,
            "application/cloudevents-batch+json" => Self::Events,
            other if other.starts_with("application/cloudevents") => Self::OtherEvents,
            _ => Self::Unsaid,
        }
    }

    /// Whether the body holds CloudEvents, with all that they say.
    #[must_use]
    pub const fn is_of_events(self) -> bool {
        match self {
            Self::Event | Self::Events | Self::OtherEvents => true,
            Self::Json | Self::Lines | Self::Unsaid => false,
        }
    }
}

/// Why a body as a whole is not read; then nothing of it is booked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing there.
    #[error("the body is empty")]
    Empty,
    /// Not text.
    #[error("the body is not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    /// Not JSON, or no object and no array.
    #[error("the body is not JSON: {0}")]
    Malformed(String),
    /// An array where one CloudEvent was announced.
    #[error(
        "application/cloudevents+json is one event, an object; several are an array, and \
         application/cloudevents-batch+json"
    )]
    EventExpected,
    /// An object where a batch of CloudEvents was announced.
    #[error(
        "application/cloudevents-batch+json is an array of events; a single one is an object, and \
         application/cloudevents+json"
    )]
    EventsExpected,
    /// CloudEvents in another format.
    #[error(
        "CloudEvents are taken as application/cloudevents+json, or several of them as \
         application/cloudevents-batch+json"
    )]
    EventFormat,
    /// More than `batch_records_max`.
    #[error("the body holds more than {0} records; send them in several requests")]
    TooMany(usize),
}

/// Reads and judges a body.
///
/// # Errors
/// When the body as a whole cannot be read. A bad record alone is a rejected item of the batch.
pub fn read_body(body: &[u8], kind: BodyKind, rules: &Rules<'_>) -> Result<Batch, BodyError> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Err(BodyError::Empty);
    }
    let read: fn(&str, Place, &Rules<'_>, &mut Batch) = match kind {
        BodyKind::Lines => return read_lines(body, rules),
        BodyKind::Unsaid if looks_like_lines(body) => return read_lines(body, rules),
        BodyKind::Json | BodyKind::Unsaid => read_record,
        BodyKind::Event | BodyKind::Events => read_event,
        BodyKind::OtherEvents => return Err(BodyError::EventFormat),
    };
    let text = str::from_utf8(body).map_err(|why| BodyError::NotUtf8(why.valid_up_to()))?;
    let malformed = |why: serde_json::Error| BodyError::Malformed(why.to_string());
    let most = rules.settings.batch_records_max;
    let mut batch = Batch::default();
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'[') if kind == BodyKind::Event => return Err(BodyError::EventExpected),
        Some(b'[') => {
            let elements = elements(text, most)?;
            for (index, element) in elements.into_iter().enumerate() {
                read(element.get(), Place::Record(index + 1), rules, &mut batch);
            }
        }
        Some(b'{') if kind == BodyKind::Events => return Err(BodyError::EventsExpected),
        Some(b'{') => {
            let element: &RawValue = serde_json::from_str(text).map_err(malformed)?;
            read(element.get(), Place::Record(1), rules, &mut batch);
        }
        Some(_) | None => {
            let reason = "it starts with neither { nor [ at line 1 column 1";
            return Err(BodyError::Malformed(reason.to_owned()));
        }
    }
    Ok(batch)
}

fn looks_like_lines(body: &[u8]) -> bool {
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    first.starts_with(b"{") && first.ends_with(b"}") && lines.any(|line| line.starts_with(b"{"))
}

fn read_lines(body: &[u8], rules: &Rules<'_>) -> Result<Batch, BodyError> {
    let mut batch = Batch::default();
    // One check for the whole body; only a body that fails it is looked at line by line.
    let text = str::from_utf8(body).ok();
    let mut start = 0;
    let mut number = 0;
    for line in body.split(|byte| *byte == b'\n') {
        number += 1;
        if !line.trim_ascii().is_empty() {
            if batch.len() == rules.settings.batch_records_max {
                return Err(BodyError::TooMany(rules.settings.batch_records_max));
            }
            match text.map(|text| &text[start..start + line.len()]) {
                Some(line) => read_record(line, Place::Line(number), rules, &mut batch),
                None => read_line(line, number, rules, &mut batch),
            }
        }
        start += line.len() + 1;
    }
    Ok(batch)
}

/// Judges one line of bytes that were not checked yet.
pub fn read_line(line: &[u8], number: u64, rules: &Rules<'_>, batch: &mut Batch) {
    match str::from_utf8(line) {
        Ok(line) => read_record(line, Place::Line(number), rules, batch),
        Err(why) => {
            let (fault, shown) = not_utf8(line, why);
            let raw = Raw::part(Form::Record, &shown);
            batch.reject(Place::Line(number), fault, None, raw, rules.sources);
        }
    }
}

/// The fault of a line that is not text, and what can be shown of it.
pub(super) fn not_utf8(line: &[u8], why: Utf8Error) -> (Fault, Cow<'_, str>) {
    let start = &line[..line.len().min(super::batch::RAW_BYTES_MAX)];
    let fault = Fault::whole(format!("is not UTF-8 from its byte {} on", why.valid_up_to()));
    (fault, String::from_utf8_lossy(start))
}

/// Judges one record's text.
pub fn read_record(text: &str, place: Place, rules: &Rules<'_>, batch: &mut Batch) {
    let text = text.trim_ascii();
    let object = check_length(text, rules).and_then(|()| read_object(text));
    let (id, judged) = match object {
        Err(fault) => (None, Err(fault)),
        Ok(Object { fields, fault, .. }) => {
            let id = fields.id.clone();
            (id, fault.map_or_else(|| admit(fields, rules), Err))
        }
    };
    match judged {
        Ok(record) => batch.admit(place, record),
        Err(fault) => {
            let id = id.as_ref().and_then(Written::said);
            batch.reject(place, fault, id, Raw::whole(Form::Record, text), rules.sources);
        }
    }
}

/// Whether the text of a record or an event is short enough to be looked into.
pub(super) fn check_length(text: &str, rules: &Rules<'_>) -> Result<(), Fault> {
    let most = rules.settings.record_bytes_max;
    if text.len() <= most {
        return Ok(());
    }
    Err(Fault::whole(format!("is {} bytes long, and at most {most} are taken", text.len())))
}

fn read_object(text: &str) -> Result<Object<'_>, Fault> {
    if !text.starts_with('{') {
        return Err(Fault::whole("is not a JSON object"));
    }
    serde_json::from_str(text).map_err(|why| Fault::whole(format!("is not JSON: {why}")))
}

/// The value behind `raw`, which is well-formed JSON without space around it.
pub(super) fn written(raw: &str) -> Result<Written<'_>, String> {
    Ok(match raw.as_bytes().first() {
        Some(b'"') if raw.contains('\\') => {
            let text: String = serde_json::from_str(raw).map_err(|why| why.to_string())?;
            Written::Text(Cow::Owned(text))
        }
        Some(b'"') => Written::Text(Cow::Borrowed(&raw[1..raw.len() - 1])),
        Some(b't') => Written::Flag(true),
        Some(b'f') => Written::Flag(false),
        Some(b'n') => Written::Null,
        Some(b'[') => Written::List,
        Some(b'{') => Written::Object,
        Some(_) | None => Written::Number(raw),
    })
}

/// The names of an object and the JSON behind each; a name may be there twice.
pub(super) fn pieces(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, String> {
    let members: Members<'_> = serde_json::from_str(text).map_err(|why| why.to_string())?;
    Ok(members.0)
}

/// The names and values of an object, which may be of any depth; a name may be there twice.
pub(super) fn members(text: &str) -> Result<Vec<(Cow<'_, str>, Written<'_>)>, String> {
    pieces(text)?
        .into_iter()
        .map(|(name, raw)| {
            let value = written(raw.get()).map_err(|why| format!("{name}: {why}"))?;
            Ok((name, value))
        })
        .collect()
}

/// A record's JSON as it was read, and the first thing in it that no record has.
struct Object<'a> {
    fields: Fields<'a>,
    has_properties: bool,
    fault: Option<Fault>,
}

impl<'a> Object<'a> {
    fn take(&mut self, name: &str, raw: &'a str) -> Result<(), Fault> {
        if name == "properties" {
            return self.take_properties(raw);
        }
        let slot = match name {
            "source" => &mut self.fields.source,
            "id" => &mut self.fields.id,
            "customer" => &mut self.fields.customer,
            "meter" => &mut self.fields.meter,
            "quantity" => &mut self.fields.quantity,
            "time" => &mut self.fields.time,
            _ => return Err(unknown_field(name)),
        };
        if slot.is_some() {
            return Err(Fault::new(name, "is there twice"));
        }
        *slot = Some(written(raw).map_err(|why| Fault::new(name, format!("is not text: {why}")))?);
        Ok(())
    }

    fn take_properties(&mut self, raw: &'a str) -> Result<(), Fault> {
        const FIELD: &str = "properties";
        if std::mem::replace(&mut self.has_properties, true) {
            return Err(Fault::new(FIELD, "is there twice"));
        }
        match raw.as_bytes().first() {
            Some(b'{') => {
                self.fields.properties = members(raw).map_err(|why| Fault::new(FIELD, why))?;
                Ok(())
            }
            Some(b'n') => Ok(()),
            Some(_) | None => {
                Err(Fault::new(FIELD, "must be an object of strings, numbers, true and false"))
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object =
                    Object { fields: Fields::default(), has_properties: false, fault: None };
                // After a fault the rest is still read, for the id that a person will look for.
                while let Some(Name(name)) = map.next_key()? {
                    let raw: &'de RawValue = map.next_value()?;
                    if let Err(fault) = object.take(&name, raw.get()) {
                        object.fault.get_or_insert(fault);
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// An object's key: a piece of the body, unless it was written with escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// The elements of an array, at most `most`: a body of eight million `1`s must not become eight
/// million pieces before it is refused.
fn elements(text: &str, most: usize) -> Result<Vec<&RawValue>, BodyError> {
    struct Reader<'a> {
        most: usize,
        past: &'a Cell<bool>,
    }
    impl<'de> Visitor<'de> for Reader<'_> {
        type Value = Vec<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                if elements.len() == self.most {
                    self.past.set(true);
                    return Err(A::Error::custom("too many"));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    let past = Cell::new(false);
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json.deserialize_seq(Reader { most, past: &past });
    let read = read.and_then(|elements| json.end().map(|()| elements));
    match read {
        Ok(elements) => Ok(elements),
        Err(_) if past.get() => Err(BodyError::TooMany(most)),
        Err(why) => Err(BodyError::Malformed(why.to_string())),
    }
}

/// A record as the JSON that [`read_body`] reads back to the same record, on one line.
#[must_use]
pub fn write_record(record: &UsageRecord) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let properties: Vec<String> = record
        .properties
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Property::Text(value) => text(value),
                Property::Number(value) => value.clone(),
                Property::Flag(value) => value.to_string(),
            };
            format!("{}:{value}", text(name))
        })
        .collect();
    format!(
        "{{\"source\":{},\"id\":{},\"customer\":{},\"meter\":{},\"quantity\":\"{}\",\
         \"time\":\"{}\",\"properties\":{{{}}}}}",
        text(record.source.as_str()),
        text(record.id.as_str()),
        text(record.customer.as_str()),
        text(record.meter.as_str()),
        record.quantity,
        record.occurred_at,
        properties.join(",")
    )
}

#[cfg(test)]
mod tests;
