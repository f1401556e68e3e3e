//! The real binary, against the sandbox: what it survives, what it says, what it exits with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod crash;
mod disk;
mod door;
mod entries;
mod events;
mod exits;
mod following;
mod notifying;
mod online;
mod pause;
mod records;
mod metered_usage;
mod holding;
mod reloading;
mod reports;
mod restored;
mod stopping;
mod stream;
mod surroundings;
mod webhooks;
