//! CloudEvents to records. PURE. Here: what the attributes of a CloudEvent, and the members of its
//! data, are of a record. Never here: what a field has to hold (see [`super::admit`]), how a body
//! holds its events (see [`super::json`]). Read next: [`super::import`].
//!
//! | of the event | of the record |
//! |---|---|
//! | `source` | the source: this very name, or the one whose table names it as `cloudevents` |
//! | `id` | the id |
//! | `subject`, `type`, `time` | the customer, the meter, the time |
//! | `data.quantity`, or `data.value` | the quantity |
//! | the other members of `data` | the properties |
//!
//! An event is named by its `source` and `id` together, and a record by its source and id. So each
//! `source` of events has a source of records to itself ([`source`]): were two of them one, usage
//! would be lost as a duplicate wherever both count their ids from one.
//!
//! Extension attributes are no part of the record. Those for tracing, such as `traceparent`, are
//! made anew whenever a sender tries again, and the same event would contradict itself. What shall
//! be kept of an event stands in its data.

use std::borrow::Cow;

use super::admit::{Fault, Fields, Rules, Written, admit, field_name, quoted, source_of_sender};
use super::batch::{Batch, Place, Raw};
use super::json::{check_length, members, pieces, written};
use crate::domain::names::{NameError, SourceName};
use crate::domain::record::UsageRecord;
use crate::domain::rejected::Form;
use crate::domain::time::Timestamp;

/// The version of CloudEvents that is read. Another one may mean another thing by an attribute.
const VERSION: &str = "1.0";
/// The member of an event's data that says how much.
const QUANTITY: &str = "data.quantity";
/// The same, as OpenMeter's users call it.
const VALUE: &str = "data.value";

/// Judges one event's text, a JSON object.
pub fn read_event(text: &str, place: Place, rules: &Rules<'_>, batch: &mut Batch) {
    let text = text.trim_ascii();
    let read = check_length(text, rules).and_then(|()| Event::read(text));
    let id = read.as_ref().map_or(None, |event| event.id.clone());
    match read.and_then(|event| event.judge(rules)) {
        Ok(record) => batch.admit(place, record),
        Err(fault) => {
            let fault = fault.of_event();
            let id = id.as_ref().and_then(Written::said);
            batch.reject(place, fault, id, Raw::whole(Form::Event, text), rules.sources);
        }
    }
}

/// An event's attributes as they were written, and the first thing in it that no event has.
#[derive(Default)]
struct Event<'a> {
    specversion: Option<Written<'a>>,
    id: Option<Written<'a>>,
    source: Option<Written<'a>>,
    subject: Option<Written<'a>>,
    kind: Option<Written<'a>>,
    time: Option<Written<'a>>,
    datacontenttype: Option<Written<'a>>,
    data_base64: Option<Written<'a>>,
    /// Its JSON.
    data: Option<&'a str>,
    fault: Option<Fault>,
}

impl<'a> Event<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        if !text.starts_with('{') {
            return Err(Fault::whole("is not a JSON object"));
        }
        let pieces = pieces(text).map_err(|why| Fault::whole(format!("is not JSON: {why}")))?;
        let mut event = Self::default();
        // After a fault the rest is still read, for the id that a person will look for.
        for (name, raw) in pieces {
            if let Err(fault) = event.take(&name, raw.get()) {
                event.fault.get_or_insert(fault);
            }
        }
        Ok(event)
    }

    fn take(&mut self, name: &str, raw: &'a str) -> Result<(), Fault> {
        let twice = || Fault::new(name, "is there twice");
        let slot = match name {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "subject" => &mut self.subject,
            "type" => &mut self.kind,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.datacontenttype,
            "data_base64" => &mut self.data_base64,
            "data" => return self.data.replace(raw).map_or(Ok(()), |_first| Err(twice())),
            // The schema of the data, and extension attributes.
            other => return check_attribute(other),
        };
        if slot.is_some() {
            return Err(twice());
        }
        *slot = Some(written(raw).map_err(|why| Fault::new(name, format!("is not text: {why}")))?);
        Ok(())
    }

    fn judge(self, rules: &Rules<'_>) -> Result<UsageRecord, Fault> {
        check_version(self.specversion.as_ref())?;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !matches!(self.data_base64, None | Some(Written::Null)) {
            let reason = "is not taken: data has to be a JSON object with the quantity in it";
            return Err(Fault::new("data_base64", reason));
        }
        check_content_type(self.datacontenttype.as_ref())?;
        let source = source(self.source, rules)?;
        check_time(self.time.as_ref())?;
        let data = Data::read(self.data, rules.settings.properties_max)?;
        let fields = Fields {
            source: Some(Written::Text(Cow::Borrowed(source.as_str()))),
            id: self.id,
            customer: self.subject,
            meter: self.kind,
            quantity: Some(data.quantity),
            time: self.time,
            properties: data.properties,
        };
        admit(fields, rules).map_err(|fault| match fault.field.as_str() {
            "quantity" => Fault::new(data.field, fault.reason),
            _ => fault,
        })
    }
}

/// Another attribute may be there, and is not read; a name that no attribute can have is a slip.
fn check_attribute(name: &str) -> Result<(), Fault> {
    let spelt = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !name.is_empty() && name.bytes().all(spelt) {
        return Ok(());
    }
    let reason = "is not the name of an attribute, which has small letters and digits only; what \
        shall be kept of an event stands in its data";
    Err(Fault::new(field_name(name), reason))
}

fn check_version(written: Option<&Written<'_>>) -> Result<(), Fault> {
    let reason = match written {
        Some(Written::Text(text)) if text == VERSION => return Ok(()),
        None | Some(Written::Null) => "is missing".to_owned(),
        Some(Written::Text(text)) => format!("is {}", quoted(text)),
        Some(other) => format!("is {}", other.kind()),
    };
    Err(Fault::new("specversion", format!("{reason}, and must be \"{VERSION}\"")))
}

/// Data without a type of its own is JSON.
fn check_content_type(written: Option<&Written<'_>>) -> Result<(), Fault> {
    const FIELD: &str = "datacontenttype";
    let text = match written {
        None | Some(Written::Null) => return Ok(()),
        Some(Written::Text(text)) => text,
        Some(other) => {
            let reason = format!("is {}, and must be a string", other.kind());
            return Err(Fault::new(FIELD, reason));
        }
    };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.split_once('/') {
        Some((_, subtype)) if subtype == "json" || subtype.ends_with("+json") => Ok(()),
        Some(_) | None => {
            let reason = format!("is {}, and must be application/json", quoted(text));
            Err(Fault::new(FIELD, reason))
        }
    }
}

/// The source of records that an event's `source` is. No two are the same: a table names one, a
/// source that has such a table is named by nothing else, and any other is named by its own name.
fn source(written: Option<Written<'_>>, rules: &Rules<'_>) -> Result<SourceName, Fault> {
    const FIELD: &str = "source";
    let text = match written {
        None | Some(Written::Null) => {
            return Err(Fault::new(FIELD, "is missing: with the id it is the event's name"));
        }
        Some(Written::Text(text)) => text,
        Some(other) => {
            let reason = format!("is {}, and must be a string", other.kind());
            return Err(Fault::new(FIELD, reason));
        }
    };
    let declared = &rules.settings.sources;
    let refused = |why: &str| Fault::new(FIELD, format!("{} {why}", quoted(&text)));
    let named = |said: &str| declared.iter().find(|each| each.cloudevents.as_deref() == Some(said));
    let source = match named(&text) {
        Some(each) => each.name.clone(),
        None => SourceName::new(&text).map_err(|why| match why {
            NameError::Empty => Fault::new(FIELD, why.to_string()),
            NameError::TooLong => refused(&format!(
                "{why}; a table such as [source.NAME] can give it a name by `cloudevents`"
            )),
            NameError::Control | NameError::Padded => refused(&why.to_string()),
        })?,
    };
    let own = declared.iter().find(|each| each.name == source);
    if let Some(other) = own.and_then(|each| each.cloudevents.as_deref())
        && other != text
    {
        let why = format!("names a source whose events say {} instead", quoted(other));
        return Err(refused(&why));
    }
    source_of_sender(source, rules.sources)
        .map_err(|_| refused("is not one this sender may speak for"))
}

/// Its form alone. Unix seconds are refused, as no CloudEvent has them; a time without a zone is
/// judged as a record's is.
fn check_time(written: Option<&Written<'_>>) -> Result<(), Fault> {
    let reason = match written {
        None | Some(Written::Null) => {
            "is missing; when the event came in is not taken for it".to_owned()
        }
        Some(Written::Text(text)) => {
            let read = |text: &str| Timestamp::parse_rfc3339(text).is_some();
            if read(text) || read(&format!("{text}Z")) {
                return Ok(());
            }
            format!("{} is not RFC 3339, such as 2026-01-31T23:59:59Z", quoted(text))
        }
        Some(other) => {
            format!("is {}, and must be RFC 3339, such as \"2026-01-31T23:59:59Z\"", other.kind())
        }
    };
    Err(Fault::new("time", reason))
}

/// What an event's data say of the record.
struct Data<'a> {
    quantity: Written<'a>,
    /// The member that the quantity was in.
    field: &'static str,
    properties: Vec<(Cow<'a, str>, Written<'a>)>,
}

impl<'a> Data<'a> {
    fn read(raw: Option<&'a str>, properties_max: usize) -> Result<Self, Fault> {
        const FIELD: &str = "data";
        let raw = raw.ok_or_else(|| {
            Fault::new(FIELD, "is missing: an object with the quantity in it, as quantity or value")
        })?;
        if !raw.starts_with('{') {
            let found = written(raw).map_err(|why| Fault::new(FIELD, why))?;
            let reason = format!("is {}, and must be an object", found.kind());
            return Err(Fault::new(FIELD, reason));
        }
        let (mut quantity, mut value, mut properties) = (None, None, Vec::new());
        for (name, written) in members(raw).map_err(|why| Fault::new(FIELD, why))? {
            let (field, slot) = match name.as_ref() {
                "quantity" => (QUANTITY, &mut quantity),
                "value" => (VALUE, &mut value),
                _ => {
                    properties.push((name, written));
                    continue;
                }
            };
            if slot.replace(written).is_some() {
                return Err(Fault::new(field, "is there twice"));
            }
        }
        if properties.len() > properties_max {
            let found = properties.len();
            let reason = format!("has {found} properties, and at most {properties_max} are taken");
            return Err(Fault::new(FIELD, reason));
        }
        let said = |written: &Written<'_>| !matches!(written, Written::Null);
        match (quantity.filter(said), value.filter(said)) {
            (Some(quantity), None) => Ok(Self { quantity, field: QUANTITY, properties }),
            (None, Some(quantity)) => Ok(Self { quantity, field: VALUE, properties }),
            (Some(_), Some(_)) => {
                let reason = "is there beside data.quantity, and only one of them can count";
                Err(Fault::new(VALUE, reason))
            }
            (None, None) => {
                let reason =
                    "is missing, and so is data.value; an event that is only counted has 1";
                Err(Fault::new(QUANTITY, reason))
            }
        }
    }
}

impl Fault {
    /// The same fault in the words of an event.
    fn of_event(self) -> Self {
        let Self { field, reason } = self;
        let field = match field.as_str() {
            "record" => "event".to_owned(),
            "customer" => "subject".to_owned(),
            "meter" => "type".to_owned(),
            other => match other.strip_prefix("properties.") {
                Some(member) => format!("data.{member}"),
                None => field,
            },
        };
        Self { field, reason }
    }
}

#[cfg(test)]
mod tests;
