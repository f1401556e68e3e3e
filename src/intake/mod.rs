//! The first room: a record arrives. Here: reading outside bytes into records, judging them, and
//! the one door into the journal. Never here: routes, providers. Read next: [`admit`], then down
//! the list.

use crate::domain::names::SourceName;

pub mod admit;
pub mod instant;
pub mod batch;
pub mod json;
pub mod cloudevents;
pub mod import;
pub mod csv;
pub mod rows;
pub mod spool;
pub mod gate;
pub mod correct;
pub mod correction_files;
pub mod desk;
pub mod resubmit;

/// What the operator set for intake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Most records in one request.
    pub batch_records_max: usize,
    /// Largest single record, in bytes of its text; also the largest line of a file.
    pub record_bytes_max: usize,
    /// Most properties of a record.
    pub properties_max: usize,
    /// How far ahead of this host's clock, in microseconds, a record's time may lie.
    pub ahead_micros_max: i64,
    /// Intake answers 503 while less than this is free on the ledger's disk, in bytes.
    pub free_bytes_min: u64,
    /// Most bytes of request bodies that may be in work at once; above it intake answers 429.
    pub inflight_bytes_max: usize,
    /// What is particular to a source, by name.
    pub sources: Vec<SourceSettings>,
}

/// What the operator set for one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// The source.
    pub name: SourceName,
    /// The offset from UTC, in seconds, of times that come without a zone; nothing refuses them.
    pub zone_offset_seconds: Option<i32>,
    /// What its CloudEvents have as their `source`, where that is not the source's own name. Just
    /// one: ids are unique within it, and two of them may use the same.
    pub cloudevents: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            batch_records_max: 10_000,
            record_bytes_max: 64 * 1024,
            properties_max: 32,
            ahead_micros_max: crate::domain::time::MICROS_PER_DAY,
            free_bytes_min: 64 * 1024 * 1024,
            inflight_bytes_max: 64 * 1024 * 1024,
            sources: Vec::new(),
        }
    }
}
