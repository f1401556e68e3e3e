//! tallyd books local usage records in a ledger, tells billing providers what the ledger says,
//! under their rate limits, and proves that both sides agree. This page is its architecture.
//!
//! # The promise
//!
//! Every usage record that was acknowledged is at the provider **exactly once**, or is **visibly**
//! waiting, held or dead with a reason. No crash, lost answer, late record, correction, restart or
//! restored backup changes that. As arithmetic, for each balance:
//!
//! ```text
//! conservation   accrued = fold(records, corrections, write-offs)     accrued = told + outstanding
//! bracket        Σ settled + Σ min(0, open) ≤ what the provider holds ≤ Σ settled + Σ max(0, open)
//! ```
//!
//! where *open* are the events that may or may not be there: in flight, unknown, accepted, and held
//! or dead ones that may exist; a cancel and its target count as a pair. `tallyd ledger verify`
//! checks the first over the whole ledger; `tallyd books` prints the second.
//!
//! # One journey
//!
//! ```text
//!  HTTP, files          journal           balances         meter events        provider
//!      │                   ▲                  ▲                  ▲                  ▲
//!      ▼                   │                  │                  │                  │
//!  [intake] ──accept──► ledger ◄──accrue── [accrual]             │                  │
//!                          ▲ ▲                                   │                  │
//!                          │ └────────────post────────────── [posting]              │
//!                          ├────────lease, record──────────[delivery] ──stored bytes┤
//!                          └──settle, release, learn───────[reconcile] ◄─totals, periods┘
//! ```
//!
//! | room | takes | decides, purely | leaves in the ledger |
//! |---|---|---|---|
//! | [`intake`] | HTTP, files | a record? new, duplicate, conflict? | records, corrections |
//! | [`accrual`] | the journal past a watermark | route, account, window? | bookings, balances |
//! | [`posting`] | balances that are due | how to close what is outstanding | meter events |
//! | [`delivery`] | meter events | what an answer means, when to try again | attempts, receipts |
//! | [`reconcile`] | totals, notices | which explanation is the only one? | periods, drifts |
//!
//! The idea that keeps it small is *desired against told*. A balance carries `accrued`, what the
//! provider should hold, and `told`, what live meter events have said. First delivery, late usage,
//! cancellation and adjustment are the same move: change `accrued`, and let posting close the
//! difference. A balance's key is its destination, never the route that fed it, so renaming,
//! splitting or rescaling a route tells nothing again.
//!
//! # What is always true
//!
//! - Rooms meet only in the ledger. None calls another; a [`service::Bell`] wakes the next one and
//!   carries no data. Kill the process anywhere: the ledger is the truth.
//! - A port method is a transaction, and none is held across a network call.
//! - What is archived is gone from the ledger and known to it: its digests refuse a second booking,
//!   and a balance is folded on from what it had come to. Only a sealed archive lets a fact go.
//! - How far a file was read moves in the transaction that books what was read of it.
//! - Encode, persist, send: an event's bytes and its identifier are made when it is posted.
//!   Delivery
//!   sends those bytes, however often.
//! - Where a provider takes several events by one request, each keeps its bytes and has an answer
//!   of its own; a lost answer is every event's, and so is a yes that speaks of none of them.
//! - An event's bytes say by which request they go, so that another channel in the config never
//!   changes how an event goes that was made before it.
//! - The intent to send is on disk before a byte leaves. An attempt without a definite answer is
//!   `unknown`, goes first, with the same identifier, and only inside the provider's dedupe window
//!   less a margin, measured on the provider's clock.
//! - Before anything of a lease is sent, a file outside the ledger says so; a ledger behind that
//!   file was rolled back, and what it may have told since is held by name.
//! - Time and chance are arguments. Decisions take `now`; keys are hashes of what they name; jitter
//!   is a hash. Only [`clock`] reads a clock, only `daemon::supervisor` starts tasks. Where nothing
//!   but a sandbox is told, time may be the sandbox's (`daemon::following`).
//! - An event is told by requests or by a file that a person uploads, never by both: it is held for
//!   its file before that is written, and nothing that a request may have told goes into one.
//! - Where a provider recognises nothing that it was told before and tells nothing back, an event
//!   is told once: one whose outcome is unknown is held, to the unit, and ends by a person's word.
//! - What requests bear for a while instead of a key is in memory alone ([`provider::session`]).
//!   One that was refused for it was not looked at, and goes again once; an event that waits for
//!   another was not sent.
//! - What another program told before a cutover is booked, written off, and never told; a provider
//!   in shadow is told nothing, and its [`provider::shadowed`] cannot send.
//! - Windows end where billing periods do. Nothing is sent for a period whose invoice is final, or
//!   may be.
//! - Where a meter bills the newest reading of a period, each is told for its own time, and what
//!   replaces one that was told, for a later one.
//! - Where distinct values are counted, each line says which one it is of; a value goes only with
//!   the last of its records.
//! - A window that comes to more than its route expects is told once a person confirmed the
//!   quantity; what is too much told is taken back without asking.
//! - Another route changes nothing that is booked. A remap, which a person asks for after a
//!   preview, takes a record from where it was booked and brings it to where the routes lead by
//!   now: two lines, which posting closes as it does a correction.
//! - What a program asks of a customer's usage ([`usage`]) is answered from sums that are counted
//!   behind intake, and from what they have not reached, in one snapshot: a record that was
//!   acknowledged is in the next answer. No bill rests on these sums.
//! - Who has fallen silent is learned in accrual's own transaction. No fact rests on it, and
//!   nothing waits for it.
//! - A webhook is believed for its signature alone, is on disk before it is answered, and is a
//!   hint: whoever acts on it asks the provider how things stand.
//! - Every part of the daemon beats on a [`service::pulse`], and the service manager is pinged only
//!   while all of them do: a part that is stuck ends the process, and the ledger is recovered.
//! - A config that is read again is followed whole or not at all: its routes by one transaction of
//!   the ledger, everything else between two steps of the part that it concerns
//!   (`daemon::reload`). It comes to what a restart with it would.
//! - Whether a provider agrees with a config is asked where a person wants to know, by
//!   [`provider::Provider::inspect`], which only reads.
//! - No float touches a quantity. No fact is changed. No state or outcome is matched with `_`.
//! - Nothing but `store` names sqlx, nothing but [`provider::wire`] sends to a provider, and nobody
//!   asks which provider it is: providers differ in [`provider::Capabilities`], not in flow.
//! - The [`sandbox`] shares no code with [`provider`]: it is an independent reading of the same
//!   rules.
//!
//! # The rooms, in reading order
//!
//! A test holds which room may name which; another holds that what is marked PURE does no I/O.

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
pub mod reconcile;
pub mod usage;
pub mod web;
pub mod telemetry;
pub mod config;
pub mod daemon;
pub mod cli;
pub mod sandbox;
