//! The daemon. Here: the only room that knows everybody: what is made of the settings, in which
//! order, and how it stops. Never here: a decision about usage. Read next: [`providers`],
//! [`assemble`], [`supervisor`], [`shutdown`], [`watchdog`].

pub mod assemble;
pub mod supervisor;
pub mod shutdown;
pub mod notify;
pub mod watchdog;
pub mod providers;
pub mod reporting;
mod following;
mod housekeeping;

pub use assemble::{Daemon, StartError};
pub use following::{FollowError, Time};
