//! What one request, or one stretch of a file, brought. PURE. Here: where each record stood, the
//! records that were admitted, and the items that are none. Never here: judging, the ledger. Read
//! next: [`super::json`].

use std::fmt;

use super::admit::{Fault, Sources, cut};
use crate::domain::names::{NAME_BYTES_MAX, SourceName};
use crate::domain::record::UsageRecord;
use crate::domain::rejected::Form;
use crate::ledger::intake::{Admitted, Rejected};

/// Most of a rejected item's own text that is kept, in bytes: the whole of an ordinary record, so
/// that a person can correct and send it again, and no room for a flood.
pub const RAW_BYTES_MAX: usize = 4096;

/// Where a record stood in what brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a JSON body, counted from one. A body that is one object holds record 1.
    Record(usize),
    /// In a body or file of lines, counted from one.
    Line(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(number) => write!(f, "record {number}"),
            Self::Line(number) => write!(f, "line {number}"),
        }
    }
}

/// What came as a record and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Its text.
    pub text: &'a str,
    /// What it came as.
    pub form: Form,
    /// Whether the text is all that came, and as it came.
    pub whole: bool,
}

impl<'a> Raw<'a> {
    /// The whole of something.
    #[must_use]
    pub const fn whole(form: Form, text: &'a str) -> Self {
        Self { text, form, whole: true }
    }

    /// What `came`, shown as `text`: the whole of it, if nothing had to be replaced.
    #[must_use]
    pub fn shown(form: Form, came: &[u8], text: &'a str) -> Self {
        Self { text, form, whole: text.as_bytes() == came }
    }

    /// What can be shown of something.
    #[must_use]
    pub const fn part(form: Form, text: &'a str) -> Self {
        Self { text, form, whole: false }
    }
}

/// Judged records, in the order they came, and what came as a record and is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The admitted records.
    pub admitted: Vec<(Place, Admitted)>,
    /// The others.
    pub rejected: Vec<(Place, Rejected)>,
}

impl Batch {
    /// How many items came.
    #[must_use]
    pub fn len(&self) -> usize {
        self.admitted.len() + self.rejected.len()
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty() && self.rejected.is_empty()
    }

    /// Adds a record, whose digests are made here, outside the ledger's one writer.
    pub fn admit(&mut self, place: Place, record: UsageRecord) {
        self.admitted.push((place, record.into()));
    }

    /// Adds an item that is no record. `id` is what could be read of its id, `raw` what came.
    pub fn reject(
        &mut self,
        place: Place,
        fault: Fault,
        id: Option<&str>,
        raw: Raw<'_>,
        sources: &Sources,
    ) {
        let source = sources.only().map_or("", SourceName::as_str);
        self.rejected.push((place, rejected(place, fault, (source, sources), id, raw)));
    }
}

/// An item of `source`, by a sender who speaks for `sources`, as it is kept for a person.
pub(super) fn rejected(
    place: Place,
    fault: Fault,
    (source, sources): (&str, &Sources),
    id: Option<&str>,
    raw: Raw<'_>,
) -> Rejected {
    Rejected {
        source: cut(source, NAME_BYTES_MAX).to_owned(),
        spoke_for: match sources {
            Sources::Any | Sources::AnyOr(_) => None,
            Sources::These(names) => Some(names.clone()),
        },
        id: id.map(|id| cut(id, NAME_BYTES_MAX).to_owned()),
        place: place.to_string(),
        field: fault.field,
        reason: fault.reason,
        raw: cut(raw.text, RAW_BYTES_MAX).to_owned(),
        form: raw.form,
        whole: raw.whole && raw.text.len() <= RAW_BYTES_MAX,
    }
}
