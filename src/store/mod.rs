//! The ledger's body. Here: the only code that names sqlx. Never here: a decision about usage. Read
//! next: [`sqlite`].

use std::path::PathBuf;

pub mod sqlite;
mod codec;
mod fence;
mod lock;
mod ballast;
mod archiving;

pub use archiving::{ARCHIVE_AGE_DAYS, ARCHIVE_AGE_DAYS_MAX, ARCHIVE_AGE_DAYS_MIN};
pub use fence::{FenceError, Fencing};
pub use lock::{Holder, LockError};

/// The ledger file's name when the operator gave none; it lies beside the config file.
pub const PATH: &str = "tallyd.ledger";
/// The writer's default page cache, in KiB. Random record identities touch as many index pages as
/// there are records in a batch; 40 MiB holds the index of more than a million of them, and leaves
/// the whole daemon below 150 MiB with a million records waiting.
pub const CACHE_KIB: u32 = 40 * 1024;

/// The ballast's default size, in bytes: 32 MiB. Whatever may be in flight at once when the disk
/// fills up, some thousand requests at five dirty pages an answer, can be recorded in it.
pub const BALLAST_BYTES: u64 = 32 * 1024 * 1024;

/// What the operator set for the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The ledger file. Its lock, write-ahead log and operator socket lie beside it.
    pub path: PathBuf,
    /// The writer's page cache, in KiB.
    pub cache_kib: u32,
}

/// Why a ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to it.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// It is not the ledger that its fence knows.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// There is none, and none was to be made.
    #[error("there is no ledger at {}", .0.display())]
    Missing(PathBuf),
    /// Its storage failed, or it is not a ledger of this program.
    #[error("cannot open the ledger {}", path.display())]
    Storage {
        /// The ledger file.
        path: PathBuf,
        /// Why.
        #[source]
        source: crate::ledger::Source,
    },
    /// The storage engine does not keep a promise that the ledger rests on.
    #[error("the ledger's storage engine {0}")]
    Engine(String),
}
