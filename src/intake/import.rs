//! Files of usage. PURE. Here: how a file's columns become records. Never here: the file, the
//! journal. Read next: [`crate::intake::admit`].

use crate::domain::names::MeterName;
use crate::domain::quantity::Quantity;

/// How the rows of one kind of file become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The mapping's name.
    pub name: String,
    /// How the file is written.
    pub format: Format,
    /// The column that names a row uniquely.
    pub id: String,
    /// The column with the time of use.
    pub time: String,
    /// The column that names who used.
    pub customer: String,
    /// The columns kept as properties.
    pub properties: Vec<String>,
    /// The records made of each row.
    pub records: Vec<RecordRule>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Rows of columns, the first row naming them.
    Csv {
        /// The byte between two columns.
        delimiter: u8,
    },
    /// One JSON object a line.
    Ndjson,
}

/// One record made of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRule {
    /// What was used.
    pub meter: MeterName,
    /// How much.
    pub quantity: QuantityRule,
    /// What is put behind the row's id, so that the records of one row have different names.
    pub id_suffix: String,
    /// What becomes of a row whose quantity is empty.
    pub when_empty: WhenEmpty,
}

/// Where a record's quantity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityRule {
    /// The same for every row.
    Constant(Quantity),
    /// From this column.
    Column(String),
}

/// What becomes of a row whose quantity is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenEmpty {
    /// No record is made.
    Skip,
    /// The record says zero.
    Zero,
    /// The row is rejected, and kept for a person.
    Reject,
}
