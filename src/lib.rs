//! tallyd books local usage records in a ledger, tells billing providers what the ledger says, and
//! proves that both sides agree.

pub mod domain;
pub mod clock;
pub mod schedule;
pub mod ledger;
pub mod service;
pub mod provider;
pub mod store;
pub mod intake;
pub mod accrual;
pub mod posting;
pub mod delivery;
pub mod web;
pub mod telemetry;
pub mod config;
pub mod daemon;
pub mod cli;
pub mod sandbox;
