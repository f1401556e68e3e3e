//! Files to records. PURE. Here: how a file's columns become records, and the reader that takes a
//! file batch by batch. Never here: opening a file, the ledger. Read next: [`super::csv`].
//!
//! The whole file is never held: a batch, one row and the reader's buffer are. A row that is longer
//! than a record may be is rejected without being held either.

use std::borrow::Cow;
use std::io::BufRead;

use serde::de::IgnoredAny;
use serde_json::from_slice;

use super::Settings;
use super::admit::{Fault, Fields, Rules, Written, admit, quoted};
use super::batch::{Batch, Place, Raw};
use super::csv::Table;
use super::json;
use super::rows::{Cutting, Found, RowStart, Rows};
use crate::domain::names::MeterName;
use crate::domain::quantity::Quantity;
use crate::domain::rejected::Form;

/// What a mapped file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with a header.
    Csv {
        /// What stands between two cells.
        delimiter: u8,
    },
    /// A JSON object a line; its columns are the names at the object's top.
    Ndjson,
}

/// How the rows of a file become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// What the file is written in.
    pub format: Format,
    /// The column that holds a row's unique name.
    pub id: String,
    /// The column that holds the time.
    pub time: String,
    /// The column that holds the customer.
    pub customer: String,
    /// The columns that become properties, under their own names. An empty cell is no property.
    pub properties: Vec<String>,
    /// The records that each row makes.
    pub records: Vec<RecordRule>,
}

/// One of the records that a row makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRule {
    /// Its meter.
    pub meter: MeterName,
    /// Its quantity.
    pub quantity: QuantityRule,
    /// What is added to the row's id, so that the records of a row have names of their own.
    pub id_suffix: String,
    /// What an empty quantity means.
    pub when_empty: WhenEmpty,
}

/// Where a record's quantity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityRule {
    /// The same for each row.
    Constant(Quantity),
    /// From this column.
    Column(String),
}

/// What an empty quantity means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenEmpty {
    /// There is no record.
    Skip,
    /// There is a record of nothing.
    Zero,
    /// The record is rejected.
    Reject,
}

impl Mapping {
    /// The columns it needs, each once, in the order it names them.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let quantities = self.records.iter().filter_map(|record| match &record.quantity {
            QuantityRule::Constant(_) => None,
            QuantityRule::Column(column) => Some(column.as_str()),
        });
        let named = [&self.id, &self.time, &self.customer].into_iter().chain(&self.properties);
        let mut columns: Vec<&str> = Vec::new();
        for column in named.map(String::as_str).chain(quantities) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }
}

/// Why a file is not imported, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The table has no header.
    #[error("{file} is empty: its first line must be a header")]
    NoHeader {
        /// The file.
        file: String,
    },
    /// The header cannot be used.
    #[error("the header of {file}: {field} {reason}")]
    Header {
        /// The file.
        file: String,
        /// The column at fault.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The header lacks columns that the mapping names.
    #[error(
        "{file} has no column {}, which the mapping \"{mapping}\" needs; its header is: {}",
        missing.join(", "), header.join(", ")
    )]
    MissingColumns {
        /// The file.
        file: String,
        /// The mapping.
        mapping: String,
        /// The columns that are not there, in quotation marks.
        missing: Vec<String>,
        /// The columns that are, in quotation marks.
        header: Vec<String>,
    },
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        why: std::io::Error,
    },
}

/// What becomes of the last row of a file where nothing ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRow {
    /// It is whole: the file is.
    Whole,
    /// It is left: more of it may be written.
    Left,
    /// It is taken where it is whole beyond doubt, as a closed JSON object is, and left elsewhere.
    IfClosed,
    /// It may have been cut. A JSON object that is cut is none, and is rejected as such; a row of a
    /// table that is cut may look whole, and is rejected.
    Doubted,
}

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBatch {
    /// Its records and rejected items; may be empty where rows make no records.
    pub batch: Batch,
    /// Where the first row begins that is not in it, or in one before it.
    pub next: RowStart,
}

/// Reads a file batch by batch.
pub struct FileRecords<R> {
    file: String,
    rows: Rows<R>,
    row: Vec<u8>,
    shape: Shape,
    last: LastRow,
}

enum Shape {
    Records,
    Objects(Mapping),
    Table(Mapping, Table),
}

impl<R: BufRead> FileRecords<R> {
    /// Begins to read `reader`, which messages call `file`. Without a mapping each line holds a
    /// record as `POST /v1/usage` takes it.
    ///
    /// # Errors
    /// When the header lacks a column: then nothing of the file was made a record.
    pub fn open(
        reader: R,
        file: &str,
        mapping: Option<Mapping>,
        settings: &Settings,
    ) -> Result<Self, ImportError> {
        let cutting = cutting(mapping.as_ref());
        let mut rows = Rows::new(reader, cutting, settings.record_bytes_max);
        let mut row = Vec::new();
        let shape = match mapping {
            None => Shape::Records,
            Some(mapping) => match mapping.format {
                Format::Ndjson => Shape::Objects(mapping),
                Format::Csv { delimiter } => {
                    let table = read_header(&mut rows, &mut row, file, &mapping, delimiter)?;
                    Shape::Table(mapping, table)
                }
            },
        };
        Ok(Self { file: file.to_owned(), rows, row, shape, last: LastRow::Whole })
    }

    /// The records of the same file from the row on that starts at `start`, behind the byte `last`;
    /// `reader` begins there. What is said of a last row that nothing ends is `rule`.
    pub fn resume<S: BufRead>(
        self,
        reader: S,
        (start, last): (RowStart, u8),
        rule: LastRow,
        settings: &Settings,
    ) -> FileRecords<S> {
        let cutting = cutting(self.shape.mapping());
        let rows = Rows::resume(reader, cutting, settings.record_bytes_max, start, last);
        FileRecords { file: self.file, rows, row: self.row, shape: self.shape, last: rule }
    }

    /// Where the first row begins that was not read: of a table that was just opened, the one
    /// behind its header. Nothing where the header may not be whole.
    pub fn next_row(&self) -> Option<RowStart> {
        self.rows.is_ended().then(|| self.rows.next())
    }

    /// The next stretch, of at most `batch_records_max` rows or items, and little more than
    /// `body_bytes_max` bytes, as a request may have; nothing at the end. A row is never cut in
    /// two.
    ///
    /// # Errors
    /// When the file cannot be read. What was returned before stays good.
    pub fn next_batch(&mut self, rules: &Rules<'_>) -> Result<Option<FileBatch>, ImportError> {
        let most = rules.settings.batch_records_max;
        let bytes_max = u64::try_from(rules.settings.body_bytes_max).unwrap_or(u64::MAX);
        let begin = self.rows.next();
        let mut next = begin;
        let mut batch = Batch::default();
        let mut rows = 0;
        while rows < most
            && next.offset - begin.offset < bytes_max
            && (batch.is_empty() || batch.len() + self.records_per_row() <= most)
        {
            let found = self.rows.next_into(&mut self.row);
            let found = found.map_err(|why| ImportError::Read { file: self.file.clone(), why })?;
            if found != Found::End && !self.rows.is_ended() && self.is_left(found) {
                break;
            }
            match found {
                Found::Row { line } => self.read_row(line, rules, &mut batch),
                Found::Overlong { line, bytes } => {
                    let most = rules.settings.record_bytes_max;
                    let reason = format!("is {bytes} bytes long, and at most {most} are taken");
                    let raw = String::from_utf8_lossy(&self.row);
                    let (fault, raw) = (Fault::whole(reason), Raw::part(self.form(), &raw));
                    batch.reject(Place::Line(line), fault, None, raw, rules.sources);
                }
                Found::End => {
                    next = self.rows.next();
                    break;
                }
            }
            next = self.rows.next();
            rows += 1;
        }
        // Empty rows at a file's end are worth a stretch to whoever reads on from there.
        let is_done = rows == 0 && (self.last == LastRow::Whole || next == begin);
        Ok((!is_done).then_some(FileBatch { batch, next }))
    }

    /// Whether a last row that nothing ends is left. Zeros behind it say that its file was made
    /// longer than it is filled: its writer goes on in them, whenever that is.
    fn is_left(&self, found: Found) -> bool {
        match self.last {
            LastRow::Whole => false,
            LastRow::Left => true,
            LastRow::IfClosed => !self.is_closed(found),
            LastRow::Doubted => self.rows.ends_in_zeros(),
        }
    }

    /// Whether the row that was read is a JSON object to its end.
    fn is_closed(&self, found: Found) -> bool {
        let is_whole = match found {
            Found::Row { .. } => true,
            Found::Overlong { .. } | Found::End => false,
        };
        let is_object = match &self.shape {
            Shape::Records | Shape::Objects(_) => true,
            Shape::Table(..) => false,
        };
        let row = self.row.trim_ascii();
        is_whole && is_object && row.starts_with(b"{") && from_slice::<IgnoredAny>(row).is_ok()
    }

    /// What its rows are.
    const fn form(&self) -> Form {
        match &self.shape {
            Shape::Records => Form::Record,
            Shape::Objects(_) | Shape::Table(..) => Form::Row,
        }
    }

    fn records_per_row(&self) -> usize {
        match &self.shape {
            Shape::Records => 1,
            Shape::Objects(mapping) | Shape::Table(mapping, _) => mapping.records.len(),
        }
    }

    fn read_row(&mut self, line: u64, rules: &Rules<'_>, batch: &mut Batch) {
        let row = self.row.as_slice();
        if row.trim_ascii().is_empty() {
            return;
        }
        let doubted = self.last == LastRow::Doubted && !self.rows.is_ended();
        match &mut self.shape {
            Shape::Records => json::read_line(row, line, rules, batch),
            Shape::Objects(mapping) => read_object(mapping, row, line, rules, batch),
            Shape::Table(mapping, table) => {
                let text = String::from_utf8_lossy(row);
                let place = RowPlace { line, raw: Raw::shown(Form::Row, row, &text), rules };
                match table.take(row) {
                    Ok(()) if doubted => place.reject(unended(), None, batch),
                    Ok(()) => map_row(mapping, &|column| table.cell(column), &place, batch),
                    Err(fault) => place.reject(fault, None, batch),
                }
            }
        }
    }
}

impl Shape {
    const fn mapping(&self) -> Option<&Mapping> {
        match self {
            Self::Records => None,
            Self::Objects(mapping) | Self::Table(mapping, _) => Some(mapping),
        }
    }
}

fn cutting(mapping: Option<&Mapping>) -> Cutting {
    match mapping.map(|mapping| mapping.format) {
        Some(Format::Csv { delimiter }) => Cutting::Csv { delimiter },
        Some(Format::Ndjson) | None => Cutting::Lines,
    }
}

/// The fault of a table's row that may have been cut.
fn unended() -> Fault {
    Fault::whole("is the last one, and no line end follows: some of it may never have been written")
}

fn read_header<R: BufRead>(
    rows: &mut Rows<R>,
    row: &mut Vec<u8>,
    file: &str,
    mapping: &Mapping,
    delimiter: u8,
) -> Result<Table, ImportError> {
    let file = file.to_owned();
    let header = |fault: Fault, file| {
        let Fault { field, reason } = fault;
        ImportError::Header { file, field, reason }
    };
    match rows.next_into(row) {
        Err(why) => return Err(ImportError::Read { file, why }),
        Ok(Found::End) => return Err(ImportError::NoHeader { file }),
        Ok(Found::Overlong { bytes, .. }) => {
            return Err(header(Fault::whole(format!("is {bytes} bytes long")), file));
        }
        Ok(Found::Row { .. }) => {}
    }
    let table = Table::new(row, delimiter).map_err(|fault| header(fault, file.clone()))?;
    let found = table.header();
    let missing: Vec<String> =
        mapping.columns().into_iter().filter(|each| !found.contains(each)).map(quoted).collect();
    if missing.is_empty() {
        return Ok(table);
    }
    let header = found.into_iter().map(quoted).collect();
    Err(ImportError::MissingColumns { file, mapping: mapping.name.clone(), missing, header })
}

fn read_object(mapping: &Mapping, row: &[u8], line: u64, rules: &Rules<'_>, batch: &mut Batch) {
    let text = match str::from_utf8(row) {
        Ok(text) => text.trim_ascii(),
        Err(why) => {
            let (fault, shown) = json::not_utf8(row, why);
            let place = RowPlace { line, raw: Raw::part(Form::Row, &shown), rules };
            return place.reject(fault, None, batch);
        }
    };
    let place = RowPlace { line, raw: Raw::whole(Form::Row, text), rules };
    let members = match json::members(text) {
        Ok(members) => members,
        Err(why) => return place.reject(Fault::whole(format!("is not JSON: {why}")), None, batch),
    };
    let cell = |column: &str| {
        let mut named = members.iter().filter(|(name, _)| name == column);
        match (named.next(), named.next()) {
            (_, Some(_)) => Err(Fault::new(column, "is there twice")),
            (None | Some((_, Written::Null)), None) => Ok(None),
            (Some((_, Written::Text(text))), None) if text.is_empty() => Ok(None),
            (Some((_, value)), None) => Ok(Some(value.clone())),
        }
    };
    map_row(mapping, &cell, &place, batch);
}

struct RowPlace<'a> {
    line: u64,
    raw: Raw<'a>,
    rules: &'a Rules<'a>,
}

impl RowPlace<'_> {
    /// Rejects a record of the row; without an `id`, any number of them.
    fn reject(&self, fault: Fault, id: Option<&str>, batch: &mut Batch) {
        batch.reject(Place::Line(self.line), fault, id, self.raw, self.rules.sources);
    }
}

/// A cell by its column; nothing when it is empty.
type Cells<'a, 'row> = &'a dyn Fn(&str) -> Result<Option<Written<'row>>, Fault>;

/// Makes the records of one row. Each stands by itself: where one is rejected the others live.
fn map_row(mapping: &Mapping, cells: Cells<'_, '_>, place: &RowPlace<'_>, batch: &mut Batch) {
    for rule in &mapping.records {
        let id = match named(cells, &mapping.id) {
            Ok(Some(Written::Text(id))) => Some(format!("{id}{}", rule.id_suffix)),
            Ok(_) | Err(_) => None,
        };
        match map_record(mapping, rule, id.as_deref(), cells, place.rules) {
            Ok(None) => {}
            Ok(Some(record)) => batch.admit(Place::Line(place.line), record),
            Err(fault) => place.reject(fault, id.as_deref(), batch),
        }
    }
}

fn map_record(
    mapping: &Mapping,
    rule: &RecordRule,
    id: Option<&str>,
    cells: Cells<'_, '_>,
    rules: &Rules<'_>,
) -> Result<Option<crate::domain::record::UsageRecord>, Fault> {
    let quantity = match &rule.quantity {
        QuantityRule::Constant(quantity) => Written::Text(Cow::Owned(quantity.to_string())),
        QuantityRule::Column(column) => match (cells(column)?, rule.when_empty) {
            (Some(written), _) => written,
            (None, WhenEmpty::Skip) => return Ok(None),
            (None, WhenEmpty::Zero) => Written::Text(Cow::Borrowed("0")),
            (None, WhenEmpty::Reject) => {
                let reason = format!("is missing: {} is empty", quoted(column));
                return Err(Fault::new("quantity", reason));
            }
        },
    };
    let mut properties = Vec::new();
    for column in &mapping.properties {
        if let Some(value) = cells(column)? {
            properties.push((Cow::Borrowed(column.as_str()), value));
        }
    }
    let id = match id {
        Some(id) => Some(Written::Text(Cow::Borrowed(id))),
        None => named(cells, &mapping.id)?,
    };
    let fields = Fields {
        source: None,
        id,
        customer: named(cells, &mapping.customer)?,
        meter: Some(Written::Text(Cow::Borrowed(rule.meter.as_str()))),
        quantity: Some(quantity),
        time: cells(&mapping.time)?,
        properties,
    };
    admit(fields, rules).map(Some)
}

/// A cell that names something. Files number their rows and customers, so here a number is taken
/// for the text it was written as.
fn named<'row>(cells: Cells<'_, 'row>, column: &str) -> Result<Option<Written<'row>>, Fault> {
    Ok(match cells(column)? {
        Some(Written::Number(digits)) => Some(Written::Text(Cow::Borrowed(digits))),
        other => other,
    })
}
