//! Corrections, read and judged. PURE. Here: the fields of a correction as they were written, and
//! the one function that makes a correction of them or says which field is at fault and why. Never
//! here: what the record counts with, the ledger. Read next: [`super::correction_files`].

use super::Settings;
use super::admit::{Fault, Sources, Written, escaped, field_name, name, quoted, source};
use super::batch::{Place, Raw, rejected};
use super::json::members;
use crate::domain::correction::{Change, Correction, CorrectionKind, REASON_BYTES_MAX};
use crate::domain::names::{CorrectionName, RecordId};
use crate::domain::quantity::Quantity;
use crate::domain::rejected::Form;
use crate::ledger::intake::Rejected;

/// The fields of a correction, by the names they have in JSON and in the header of a table.
pub const FIELDS: [&str; 7] = ["source", "record", "id", "kind", "quantity", "replaces", "reason"];

/// How one learns what a record counts with.
const HOW_TO_LEARN: &str = "the quantity the record counts with now, by which a lost answer and a \
    change beside this one are seen; GET /v1/usage/{source}/{id} or tallyd trace SOURCE/ID show it";

/// The fields of a correction as they were written. Null says the same as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Where the record comes from.
    pub source: Option<Written<'a>>,
    /// The record's name there.
    pub record: Option<Written<'a>>,
    /// The correction's own name.
    pub id: Option<Written<'a>>,
    /// What it does: `cancel` or `adjust`.
    pub kind: Option<Written<'a>>,
    /// The new quantity of an adjustment.
    pub quantity: Option<Written<'a>>,
    /// The quantity it replaces.
    pub replaces: Option<Written<'a>>,
    /// Why.
    pub reason: Option<Written<'a>>,
}

impl<'a> Fields<'a> {
    /// Where the field of this name stands; nothing when no correction has it.
    pub(super) fn slot(&mut self, name: &str) -> Option<&mut Option<Written<'a>>> {
        Some(match name {
            "source" => &mut self.source,
            "record" => &mut self.record,
            "id" => &mut self.id,
            "kind" => &mut self.kind,
            "quantity" => &mut self.quantity,
            "replaces" => &mut self.replaces,
            "reason" => &mut self.reason,
            _ => return None,
        })
    }

    /// The fields of a JSON object, and the first thing in it that no correction has.
    ///
    /// # Errors
    /// When the text is no JSON object.
    pub fn of_json(text: &'a str) -> Result<(Self, Option<Fault>), Fault> {
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            return Err(Fault::whole("is not a JSON object"));
        }
        let members = members(text).map_err(|why| Fault::whole(format!("is not JSON: {why}")))?;
        let (mut fields, mut fault) = (Self::default(), None);
        for (name, value) in members {
            let why = match fields.slot(&name) {
                Some(slot @ None) => {
                    *slot = Some(value);
                    continue;
                }
                Some(Some(_)) => "is there twice".to_owned(),
                None => format!("is not a field of a correction, which has {}", FIELDS.join(", ")),
            };
            fault.get_or_insert(Fault::new(field_name(&name), why));
        }
        Ok((fields, fault))
    }
}

/// What corrections are judged by.
#[derive(Clone, Copy, Debug)]
pub struct CorrectionRules<'a> {
    /// The bounds.
    pub settings: &'a Settings,
    /// Whom the sender speaks for.
    pub sources: &'a Sources,
    /// Who sends: kept with each correction.
    pub who: &'a str,
}

/// Makes a correction of what was written.
///
/// # Errors
/// The first field at fault, and why.
pub fn correction(fields: Fields<'_>, rules: &CorrectionRules<'_>) -> Result<Correction, Fault> {
    let source = source(fields.source, rules.sources)?;
    let record = name("record", fields.record, RecordId::new)?;
    let id = name("id", fields.id, CorrectionName::new)?;
    let change = match kind(fields.kind)? {
        CorrectionKind::Cancel => {
            for (field, written) in [("quantity", fields.quantity), ("replaces", fields.replaces)] {
                if !matches!(written, None | Some(Written::Null)) {
                    let why = "is not taken by a cancellation, after which the record is nothing";
                    return Err(Fault::new(field, why));
                }
            }
            Change::Cancel
        }
        CorrectionKind::Adjust => Change::Adjust {
            quantity: decimal("quantity", "the quantity to count with", fields.quantity)?,
            replaces: decimal("replaces", HOW_TO_LEARN, fields.replaces)?,
        },
    };
    let reason = reason(fields.reason)?;
    Ok(Correction { source, record, name: id, change, reason, who: rules.who.to_owned() })
}

fn kind(written: Option<Written<'_>>) -> Result<CorrectionKind, Fault> {
    const FIELD: &str = "kind";
    match written {
        None | Some(Written::Null) => {
            Err(Fault::new(FIELD, "is missing: it says cancel or adjust"))
        }
        Some(Written::Text(text)) => CorrectionKind::parse(&text).ok_or_else(|| {
            Fault::new(FIELD, format!("{} is neither cancel nor adjust", quoted(&text)))
        }),
        Some(other) => {
            Err(Fault::new(FIELD, format!("is {}, and must be cancel or adjust", other.kind())))
        }
    }
}

fn decimal(field: &str, meaning: &str, written: Option<Written<'_>>) -> Result<Quantity, Fault> {
    let text = match &written {
        None | Some(Written::Null) => {
            return Err(Fault::new(field, format!("is missing: it is {meaning}")));
        }
        Some(Written::Text(text)) => text.as_ref(),
        Some(Written::Number(text)) => text,
        Some(other) => {
            let reason = format!("is {}, and must be a decimal number", other.kind());
            return Err(Fault::new(field, reason));
        }
    };
    let quantity = Quantity::parse(text)
        .map_err(|why| Fault::new(field, format!("{} {why}", quoted(text))))?;
    if quantity.is_negative() {
        let why = format!("{} is below zero, which no record counts with", quoted(text));
        return Err(Fault::new(field, why));
    }
    Ok(quantity)
}

/// Why a text cannot be the reason of a correction: a sentence that goes on after its name.
///
/// # Errors
/// When it is empty, too long, or holds a control character.
pub fn check_reason(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("is empty: it tells whoever reads the books why".to_owned());
    }
    if text.len() > REASON_BYTES_MAX {
        return Err(format!(
            "is {} bytes long, and at most {REASON_BYTES_MAX} are taken",
            text.len()
        ));
    }
    match text.chars().any(char::is_control) {
        true => Err(format!("{} holds a control character", quoted(text))),
        false => Ok(()),
    }
}

fn reason(written: Option<Written<'_>>) -> Result<String, Fault> {
    const FIELD: &str = "reason";
    match written {
        None | Some(Written::Null) => {
            Err(Fault::new(FIELD, "is missing: it tells whoever reads the books why"))
        }
        Some(Written::Text(text)) => match check_reason(&text) {
            Ok(()) => Ok(text.trim().to_owned()),
            Err(why) => Err(Fault::new(FIELD, why)),
        },
        Some(other) => Err(Fault::new(FIELD, format!("is {}, and must be a string", other.kind()))),
    }
}

/// Something that came as a correction and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Where it stood.
    pub place: Place,
    /// What kind it said to be, where that could be read.
    pub kind: Option<CorrectionKind>,
    /// Its own name, where one could be read.
    pub id: Option<String>,
    /// What is kept of it for a person.
    pub item: Rejected,
}

/// Judged corrections, in the order they came, and what came as a correction and is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorrectionBatch {
    /// The corrections.
    pub admitted: Vec<(Place, Correction)>,
    /// The others.
    pub unfit: Vec<Unfit>,
}

impl CorrectionBatch {
    /// How many items came.
    #[must_use]
    pub fn len(&self) -> usize {
        self.admitted.len() + self.unfit.len()
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty() && self.unfit.is_empty()
    }

    /// Judges what was written, or keeps it with the `fault` that was seen in it before.
    pub fn judge(
        &mut self,
        place: Place,
        (fields, fault): (Fields<'_>, Option<Fault>),
        raw: &str,
        rules: &CorrectionRules<'_>,
    ) {
        let said = Fields { quantity: None, replaces: None, reason: None, ..fields.clone() };
        match fault.map_or_else(|| correction(fields, rules), Err) {
            Ok(correction) => self.admitted.push((place, correction)),
            Err(fault) => {
                self.reject(place, fault, &said, Raw::whole(Form::Correction, raw), rules);
            }
        }
    }

    /// Adds an item that is no correction, with what could be read of it.
    pub fn reject(
        &mut self,
        place: Place,
        fault: Fault,
        said: &Fields<'_>,
        raw: Raw<'_>,
        rules: &CorrectionRules<'_>,
    ) {
        let only = rules.sources.only().map(|source| source.as_str());
        let source = text(said.source.as_ref()).or(only).unwrap_or_default();
        let kind = text(said.kind.as_ref()).and_then(CorrectionKind::parse);
        let id = text(said.id.as_ref()).map(escaped);
        let record = text(said.record.as_ref());
        let item = rejected(place, fault, (source, rules.sources), record, raw);
        self.unfit.push(Unfit { place, kind, id, item });
    }

    /// Judges one line's JSON.
    pub fn read_line(&mut self, line: &[u8], place: Place, rules: &CorrectionRules<'_>) {
        let most = rules.settings.record_bytes_max;
        let whole = |reason: String| Fault::whole(reason).of_correction();
        let text = match str::from_utf8(line) {
            Ok(text) => text.trim_ascii(),
            Err(why) => {
                let fault = whole(format!("is not UTF-8 from its byte {} on", why.valid_up_to()));
                let shown = String::from_utf8_lossy(line);
                let raw = Raw::part(Form::Correction, &shown);
                return self.reject(place, fault, &Fields::default(), raw, rules);
            }
        };
        if text.len() > most {
            let fault =
                whole(format!("is {} bytes long, and at most {most} are taken", text.len()));
            let raw = Raw::whole(Form::Correction, text);
            return self.reject(place, fault, &Fields::default(), raw, rules);
        }
        match Fields::of_json(text) {
            Ok(read) => self.judge(place, read, text, rules),
            Err(fault) => {
                let raw = Raw::whole(Form::Correction, text);
                self.reject(place, fault.of_correction(), &Fields::default(), raw, rules);
            }
        }
    }
}

impl Fault {
    /// The same fault of a correction: one of the whole is not of a record.
    pub(super) fn of_correction(self) -> Self {
        let Self { field, reason } = self;
        let field = if field == "record" { "correction".to_owned() } else { field };
        Self { field, reason }
    }
}

fn text<'a>(written: Option<&'a Written<'_>>) -> Option<&'a str> {
    written.and_then(Written::said)
}

/// A correction as the JSON that [`CorrectionBatch::read_line`] reads back to the same correction,
/// but for who made it, on one line.
#[must_use]
pub fn write_correction(correction: &Correction) -> String {
    let mut document = serde_json::json!({
        "source": correction.source.as_str(),
        "record": correction.record.as_str(),
        "id": correction.name.as_str(),
        "kind": correction.change.kind().as_str(),
        "reason": correction.reason,
    });
    match &correction.change {
        Change::Cancel => {}
        Change::Adjust { quantity, replaces } => {
            document["quantity"] = quantity.to_string().into();
            document["replaces"] = replaces.to_string().into();
        }
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::SourceName;

    fn judge(line: &str) -> String {
        let settings = Settings::default();
        let sources = Sources::These(vec![SourceName::new("web").unwrap()]);
        let rules = CorrectionRules { settings: &settings, sources: &sources, who: "cli:ada" };
        let mut batch = CorrectionBatch::default();
        batch.read_line(line.as_bytes(), Place::Line(1), &rules);
        match (batch.admitted.as_slice(), batch.unfit.as_slice()) {
            ([(_, correction)], []) => {
                let written = write_correction(correction);
                let mut again = CorrectionBatch::default();
                again.read_line(written.as_bytes(), Place::Line(1), &rules);
                assert_eq!(again.admitted, batch.admitted, "{written}");
                written
            }
            ([], [unfit]) => format!("{} {}", unfit.item.field, unfit.item.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_correction_is_read_and_written_back_the_same() {
        let line = r#"{"record":"r1","id":"f","kind":"adjust","quantity":7.50,"replaces":"5",
            "reason":" counted twice "}"#
            .replace('\n', "");
        assert_eq!(
            judge(&line),
            concat!(
                r#"{"source":"web","record":"r1","id":"f","kind":"adjust","#,
                r#""reason":"counted twice","quantity":"7.5","replaces":"5"}"#
            )
        );
    }

    #[test]
    fn what_is_wrong_with_a_correction_names_the_field_and_the_value() {
        let cancel = |more: &str| format!(r#"{{"record":"r","kind":"cancel"{more}}}"#);
        let adjust =
            |more: &str| format!(r#"{{"record":"r","id":"f","reason":"x","kind":"adjust"{more}}}"#);
        for (line, expected) in [
            ("nothing".to_owned(), "correction is not a JSON object"),
            (cancel(""), "id is missing"),
            (cancel(r#","id":"f""#), "reason is missing: it tells whoever reads the books why"),
            (cancel(r#","id":"f","reason":" ""#), "reason is empty: it tells whoever"),
            (cancel(r#","id":"f","id":"g""#), "id is there twice"),
            (cancel(r#","id":"f","reason":"x","quantity":1"#), "quantity is not taken by a cancel"),
            (cancel(r#","id":"f","":"x""#), "\"\" is not a field of a correction, which has"),
            (cancel(r#","id":"f","why":"x""#), "why is not a field of a correction, which has"),
            (cancel(r#","id":"f","source":"api""#), "source \"api\" is not one this sender may"),
            (r#"{"record":"r","id":"f","kind":"undo"}"#.to_owned(), "kind \"undo\" is neither"),
            (adjust(r#","replaces":5"#), "quantity is missing: it is the quantity to count with"),
            (
                adjust(r#","quantity":5"#),
                "replaces is missing: it is the quantity the record count",
            ),
            (adjust(r#","quantity":"-1","replaces":5"#), "quantity \"-1\" is below zero, which no"),
            (adjust(r#","quantity":"many","replaces":5"#), "quantity \"many\" is not a decimal"),
        ] {
            let found = judge(&line);
            assert!(found.starts_with(expected), "{line}\n{found}");
        }
    }
}
