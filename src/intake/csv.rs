//! Tables. PURE. Here: rows of cells, by the names in the header. Never here: what a cell means
//! (see [`super::import`]). Read next: [`super::gate`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use super::admit::{Fault, Written};

/// A table's header, and the reader of its rows.
pub struct Table {
    columns: BTreeMap<String, usize>,
    width: usize,
    reader: ::csv::Reader<Feed>,
    record: ::csv::ByteRecord,
}

impl Table {
    /// A table whose header is `row`.
    ///
    /// # Errors
    /// When the header is no row of text, or names a column twice.
    pub fn new(row: &[u8], delimiter: u8) -> Result<Self, Fault> {
        let reader = ::csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(Feed::default());
        let record = ::csv::ByteRecord::new();
        let mut table = Self { columns: BTreeMap::new(), width: 0, reader, record };
        table.read(row)?;
        for (index, name) in table.record.iter().enumerate() {
            let name = cell_text(name)?.into_owned();
            if let Some(_first) = table.columns.insert(name.clone(), index) {
                return Err(Fault::new(name, "is there twice"));
            }
        }
        table.width = table.record.len();
        Ok(table)
    }

    /// The header's names in their order.
    #[must_use]
    pub fn header(&self) -> Vec<&str> {
        let mut names: Vec<(&usize, &str)> =
            self.columns.iter().map(|(name, index)| (index, name.as_str())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Takes the cells of `row` apart.
    ///
    /// # Errors
    /// When it has another number of cells than the header.
    pub fn take(&mut self, row: &[u8]) -> Result<(), Fault> {
        self.read(row)?;
        let (cells, width) = (self.record.len(), self.width);
        if cells == width {
            Ok(())
        } else {
            Err(Fault::whole(format!("has {cells} cells, and the header has {width}")))
        }
    }

    /// A cell of the row last taken; nothing when it is empty.
    ///
    /// # Errors
    /// When the cell is not text.
    pub fn cell(&self, column: &str) -> Result<Option<Written<'_>>, Fault> {
        let index = self.columns.get(column);
        match index.and_then(|index| self.record.get(*index)) {
            None | Some([]) => Ok(None),
            Some(bytes) => cell_text(bytes).map(|text| Some(Written::Text(text))),
        }
    }

    fn read(&mut self, row: &[u8]) -> Result<(), Fault> {
        self.reader.get_mut().put(row);
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::whole("is empty")),
            Err(why) => Err(Fault::whole(format!("is not a row: {why}"))),
        }
    }
}

fn cell_text(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let text = str::from_utf8(bytes);
    text.map(Cow::Borrowed).map_err(|_| Fault::whole("holds a cell that is not UTF-8"))
}

/// Hands the parser one row at a time, so that a row's line and length are known before it is
/// parsed.
#[derive(Default)]
struct Feed {
    row: Vec<u8>,
    taken: usize,
}

impl Feed {
    fn put(&mut self, row: &[u8]) {
        self.row.clear();
        self.row.extend_from_slice(row);
        self.row.push(b'\n');
        self.taken = 0;
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.row[self.taken..];
        let read = rest.read(into)?;
        self.taken += read;
        Ok(read)
    }
}
