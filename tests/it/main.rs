//! One test binary: the product at its edges, and the house it is built in. Here: which tests
//! belong where. Never here: a test. Read next: [`journey`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

/// The journey of usage, stepped by hand: ledger, accrual, posting, delivery, sandbox.
mod journey;
/// Corrections: cancelled and adjusted at every moment of a record's life.
mod corrections;
/// Usage over HTTP: real sockets, a model of the ledger behind them.
mod intake_http;
/// Usage from files: how their columns become records, in bounded batches.
mod import;

mod spool;
/// The config file: its example, every problem it can have, and what is never shown.
mod config;
/// The real binary, typed at.
mod cli;
/// The real binary, run: crashes, signals, full disks, lost keys.
mod lifecycle;
/// Every provider's room at its edge: the one list of what each of them must do.
mod provider_conformance;
/// Chargebee's room at its edge, beside that list: what its own answers mean.
mod provider_chargebee;
/// Planship's room at its edge, beside that list: its tokens.
mod provider_planship;
/// Stripe's room at its edge, beside that list: what its own answers mean.
mod provider_stripe;
/// What posting reads of a balance.
mod posting;
/// Events that one request tells together.
mod batches;
/// What is held, and decided by people.
mod holds;
/// More than anybody expects: what waits until somebody confirms it.
mod spikes;
/// Usage that files tell, which a person uploads, and requests never.
mod export;
/// Taking over from another program: what that told is never told again.
mod cutover;
/// Backups, and ledgers that are not the one usage was sent from.
mod fence;
/// Archives: settled records that go, and stay known.
mod archive;
/// What providers announce, in the ledger: kept once, in whatever order it comes.
mod notices;
/// Telling at set times only.
mod flush;
/// A billing month of a thousand customers, stepped through the sandbox.
mod billing_month;
/// A short billing month on the real program, by a sandbox's clock.
mod real_month;
/// The listener before a provider that does not answer, or will not.
mod listening;
/// Periods of subscriptions: windows that end with them, drafts, what comes too late.
mod periods;
/// Reports: each difference planted, found, and explained down to the record.
mod reconcile;
/// The ledger against a model, over random sequences of its verbs.
mod ledger_properties;
/// What once went wrong: one directed test a fault.
mod regressions;
mod remap;
/// Usage as programs ask for it: levers, against a count by hand.
mod usage;
/// Planship's usage API, by its official SDK.
mod planship;
/// The stand-in for Stripe, held to the rules of the one it stands in for.
mod sandbox;
/// The stand-in for Chargebee, likewise.
mod sandbox_chargebee;
/// The stand-in for Cryptolens, likewise.
mod sandbox_cryptolens;
/// The stand-in for Planship, likewise.
mod sandbox_planship;
/// The ledger's schema: what the database itself refuses, whoever writes to it.
mod schema;
/// Settlement, stepped by hand: what a total proves of what was told.
mod settlement;
/// What the service manager is told, and when it is pinged no more.
mod watching;
/// The alarm of silence: told once, over once, and never for what this program missed itself.
mod silence;
/// The ledger's statements: none dead, none missing, each with the plan it is run by.
mod statements;
/// The house: who may know whom, what stays pure, how large a thing may grow.
mod tidy;
mod totals;
/// Meters that bill the last value of a period.
mod gauges;
/// Windows that count the distinct values of a property.
mod unique;
/// What several tests need, and no expectation of its own.
mod support;
