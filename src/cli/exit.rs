//! Exit codes: a contract with scripts and service managers. Here: the codes, and which error means
//! which. Never here: printing. Read next: [`super`].

use std::process::ExitCode;

use super::socket::AskError;
use crate::config::Problems;
use crate::daemon::{FollowError, NoBillFrom};
use crate::intake::gate::GateError;
use crate::ledger::LedgerError;
use crate::provider::documents::NoDocument;
use crate::service::StepError;
use crate::store::{FenceError, LockError, OpenError};

/// What a command exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok,
    /// Something failed.
    Failure,
    /// The books differ, or a verification found something.
    Drift,
    /// The command line cannot be understood.
    Usage,
    /// The ledger's storage failed, or contradicts itself.
    LedgerIo,
    /// Something is in use or full; the same may work later.
    TryLater,
    /// The config is not valid.
    Config,
}

impl Exit {
    /// The number, as `sysexits` has them.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Drift => 2,
            Self::Usage => 64,
            Self::LedgerIo => 74,
            Self::TryLater => 75,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// What an error means for the exit: the first link of its chain that says.
#[must_use]
pub fn of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(of_link).unwrap_or(Exit::Failure)
}

fn of_link(link: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if link.is::<Problems>() || link.is::<NoBillFrom>() {
        return Some(Exit::Config);
    }
    if let Some(error) = link.downcast_ref::<LockError>() {
        return Some(match error {
            LockError::Held { .. } => Exit::TryLater,
            LockError::Io { .. } => Exit::LedgerIo,
        });
    }
    if let Some(error) = link.downcast_ref::<FenceError>() {
        return Some(match error {
            // Another start comes to the same: a person has to put a file in its place.
            FenceError::LedgerLost { .. } | FenceError::OtherLedger { .. } => Exit::Config,
            FenceError::Unreadable { .. } | FenceError::Io { .. } => Exit::LedgerIo,
        });
    }
    if let Some(error) = link.downcast_ref::<OpenError>() {
        return match error {
            OpenError::Locked(lock) => of_link(lock),
            OpenError::Missing(_) => Some(Exit::Failure),
            OpenError::Storage { source, .. } => {
                let said = source.downcast_ref::<LedgerError>();
                let later = said.is_some_and(|said| of_link(said) == Some(Exit::TryLater));
                Some(if later { Exit::TryLater } else { Exit::LedgerIo })
            }
            OpenError::Engine(_) => Some(Exit::LedgerIo),
            OpenError::Fence(fence) => of_link(fence),
        };
    }
    if let Some(error) = link.downcast_ref::<LedgerError>() {
        return Some(match error {
            LedgerError::Full(_) | LedgerError::Busy(_) => Exit::TryLater,
            LedgerError::Broken(_) | LedgerError::Contradiction(_) => Exit::LedgerIo,
            LedgerError::Refused(..) => Exit::Failure,
        });
    }
    if let Some(error) = link.downcast_ref::<GateError>() {
        return Some(match error {
            GateError::Overloaded
            | GateError::LowDisk { .. }
            | GateError::LedgerFull(_)
            | GateError::LedgerBusy(_) => Exit::TryLater,
            GateError::Refused(_) => Exit::Failure,
            GateError::Fatal => Exit::LedgerIo,
        });
    }
    if let Some(error) = link.downcast_ref::<AskError>() {
        return Some(match error {
            AskError::Silent { .. } | AskError::Later(_) => Exit::TryLater,
            AskError::Client(_) | AskError::Refused { .. } | AskError::Unreadable(_) => {
                Exit::Failure
            }
        });
    }
    if let Some(error) = link.downcast_ref::<FollowError>() {
        return Some(match error {
            FollowError::Silent { .. } | FollowError::NoSandbox { .. } => Exit::TryLater,
            FollowError::Client(_) => Exit::Failure,
        });
    }
    if let Some(error) = link.downcast_ref::<NoDocument>() {
        return Some(if error.may_pass() { Exit::TryLater } else { Exit::Failure });
    }
    match link.downcast_ref::<StepError>() {
        Some(StepError::Fatal(_)) => Some(Exit::LedgerIo),
        Some(StepError::Later(_)) | None => None,
    }
}
