//! Files to corrections. PURE. Here: the reader that takes a file of corrections batch by batch,
//! lines of JSON or a table. Never here: opening a file, the ledger. Read next: [`super::desk`].

use std::io::BufRead;

use super::Settings;
use super::admit::{Fault, quoted};
use super::batch::{Place, Raw};
use super::correct::{CorrectionBatch, CorrectionRules, FIELDS, Fields};
use super::csv::Table;
use super::import::ImportError;
use super::rows::{Cutting, Found, Rows};
use crate::domain::rejected::Form;

/// The columns that a table of corrections must have.
const NEEDED: [&str; 4] = ["record", "id", "kind", "reason"];
/// What stands between two cells.
const DELIMITER: u8 = b',';

/// What a file of corrections is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrectionFormat {
    /// A table with a header.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionStretch {
    /// Its corrections, and what is none.
    pub batch: CorrectionBatch,
    /// How much of the file was read up to its end, in bytes.
    pub bytes_read: u64,
}

/// Reads a file of corrections batch by batch.
pub struct FileCorrections<R> {
    file: String,
    rows: Rows<R>,
    row: Vec<u8>,
    table: Option<Table>,
}

impl<R: BufRead> FileCorrections<R> {
    /// Begins to read `reader`, which messages call `file`.
    ///
    /// # Errors
    /// When the header of a table lacks a column or has one that no correction has: then nothing of
    /// the file was made a correction.
    pub fn open(
        reader: R,
        file: &str,
        format: CorrectionFormat,
        settings: &Settings,
    ) -> Result<Self, ImportError> {
        let cutting = match format {
            CorrectionFormat::Csv => Cutting::Csv { delimiter: DELIMITER },
            CorrectionFormat::Ndjson => Cutting::Lines,
        };
        let mut rows = Rows::new(reader, cutting, settings.record_bytes_max);
        let mut row = Vec::new();
        let table = match format {
            CorrectionFormat::Csv => Some(read_header(&mut rows, &mut row, file)?),
            CorrectionFormat::Ndjson => None,
        };
        Ok(Self { file: file.to_owned(), rows, row, table })
    }

    /// The next stretch, of at most `most` rows; nothing at the end.
    ///
    /// # Errors
    /// When the file cannot be read. What was returned before stays good.
    pub fn next_stretch(
        &mut self,
        most: usize,
        rules: &CorrectionRules<'_>,
    ) -> Result<Option<CorrectionStretch>, ImportError> {
        let mut batch = CorrectionBatch::default();
        let mut rows = 0;
        while rows < most {
            let found = self.rows.next_into(&mut self.row);
            match found.map_err(|why| ImportError::Read { file: self.file.clone(), why })? {
                Found::Row { line } => self.read_row(line, rules, &mut batch),
                Found::Overlong { line, bytes } => {
                    let most = rules.settings.record_bytes_max;
                    let reason = format!("is {bytes} bytes long, and at most {most} are taken");
                    let fault = Fault::whole(reason).of_correction();
                    let shown = String::from_utf8_lossy(&self.row);
                    let raw = Raw::part(Form::Correction, &shown);
                    batch.reject(Place::Line(line), fault, &Fields::default(), raw, rules);
                }
                Found::End if rows == 0 => return Ok(None),
                Found::End => break,
            }
            rows += 1;
        }
        Ok(Some(CorrectionStretch { batch, bytes_read: self.rows.next().offset }))
    }

    fn read_row(&mut self, line: u64, rules: &CorrectionRules<'_>, batch: &mut CorrectionBatch) {
        let (row, place) = (self.row.as_slice(), Place::Line(line));
        if row.trim_ascii().is_empty() {
            return;
        }
        let Some(table) = &mut self.table else { return batch.read_line(row, place, rules) };
        let raw = String::from_utf8_lossy(row);
        match table.take(row) {
            Err(fault) => {
                let raw = Raw::shown(Form::Correction, row, &raw);
                batch.reject(place, fault.of_correction(), &Fields::default(), raw, rules);
            }
            Ok(()) => {
                let (mut fields, mut fault) = (Fields::default(), None);
                for name in FIELDS {
                    match (table.cell(name), fields.slot(name)) {
                        (Ok(cell), Some(slot)) => *slot = cell,
                        (Ok(_), None) => {}
                        (Err(why), _) => {
                            fault.get_or_insert(why.of_correction());
                        }
                    }
                }
                batch.judge(place, (fields, fault), &raw, rules);
            }
        }
    }
}

fn read_header<R: BufRead>(
    rows: &mut Rows<R>,
    row: &mut Vec<u8>,
    file: &str,
) -> Result<Table, ImportError> {
    let header = |fault: Fault| ImportError::Header {
        file: file.to_owned(),
        field: fault.field,
        reason: fault.reason,
    };
    match rows.next_into(row) {
        Err(why) => return Err(ImportError::Read { file: file.to_owned(), why }),
        Ok(Found::End) => return Err(ImportError::NoHeader { file: file.to_owned() }),
        Ok(Found::Overlong { bytes, .. }) => {
            return Err(header(Fault::new("it", format!("is {bytes} bytes long"))));
        }
        Ok(Found::Row { .. }) => {}
    }
    let table = Table::new(row, DELIMITER).map_err(&header)?;
    let found = table.header();
    if let Some(missing) = NEEDED.into_iter().find(|name| !found.contains(name)) {
        let said = format!("is missing: a table of corrections has {}", FIELDS.join(", "));
        return Err(header(Fault::new(missing, said)));
    }
    if let Some(other) = found.into_iter().find(|name| !FIELDS.contains(name)) {
        let said = format!("is no column of corrections, which have {}", FIELDS.join(", "));
        return Err(header(Fault::new(quoted(other), said)));
    }
    Ok(table)
}
