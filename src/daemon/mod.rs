//! The daemon. Here: the only room that knows everybody: what is made of the settings, in which
//! order, and how it stops. Never here: a decision about usage. Read next: [`assemble`],
//! [`supervisor`], [`shutdown`].

pub mod assemble;
pub mod supervisor;
pub mod shutdown;
mod following;
mod housekeeping;
mod reporting;

pub use assemble::{Daemon, StartError};
pub use following::{FollowError, Time};
