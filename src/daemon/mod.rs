//! The daemon. Here: the only room that knows everybody: what is made of the settings, in which
//! order, how others take their place, and how it stops. Never here: a decision about usage. Read
//! next: [`providers`], [`assemble`], [`reload`], [`supervisor`], [`shutdown`], [`watchdog`].

pub mod assemble;
pub mod reload;
pub mod supervisor;
pub mod shutdown;
pub mod notify;
pub mod watchdog;
pub mod providers;
pub mod reporting;
mod cutover;
pub mod remapping;
mod following;
mod housekeeping;
pub mod silence;

pub use assemble::{Daemon, StartError};
pub use cutover::NoBillFrom;
pub use following::{FollowError, Time};
pub use reload::Reloader;
