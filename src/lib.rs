//! tallyd books local usage records in a ledger, tells billing providers what the ledger says, and
//! proves that both sides agree.

pub mod clock;
pub mod domain;
pub mod sandbox;
