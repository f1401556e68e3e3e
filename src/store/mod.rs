//! The ledger's body. Here: the only code that names sqlx. Never here: a decision about usage. Read
//! next: `store::sqlite`.

use std::path::PathBuf;

/// What the operator set for the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The ledger file. Its lock, write-ahead log and operator socket lie beside it.
    pub path: PathBuf,
    /// The writer's page cache, in KiB.
    pub cache_kib: u32,
}
