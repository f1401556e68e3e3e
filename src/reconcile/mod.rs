//! The fifth room: totals come back. Here: what a provider's total proves of the events that were
//! told, and the service that asks. Never here: a provider's wire; a guess: what no total proves
//! stays as it is, or is held. Read next: [`explain`], then down the list; what people are told
//! begins with [`suspects`].
//!
//! A yes is not a bill: an event counts as settled only when the provider's own total was seen to
//! contain it. A lane's events of a span are compared as one group, because a total has no names in
//! it. Exactly one explanation has to fit, and two readings have to say the same.

use crate::domain::names::ProviderName;
use crate::ledger::reconcile::ReadCalls;

pub mod asking;
pub mod explain;
pub mod gauge;
pub mod judge;
pub mod span;
pub mod settler;
pub mod listener;
pub mod suspects;
pub mod drift;
pub mod parts;
mod target;
pub mod calendar;
pub mod line;
pub mod remedy;
pub mod keeper;
pub mod reporter;
pub mod surveyor;

/// Requests for totals in any 30 days, when the operator set none. Stripe gives 10,000 reads a
/// month at least; first contacts take 1,440 of them, a paused provider's probes and people's own
/// tools some more.
pub const READS_PER_MONTH: u32 = 8_000;

/// Days over which the budget of reads runs.
const BUDGET_DAYS: u32 = 30;

/// What a report that is made by a schedule does about the differences that it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heal {
    /// It tells them, and changes nothing.
    #[default]
    None,
    /// What the provider lacks is acted on as far as that is safe: only what is proven absent goes
    /// again. What it has too much of is told, and moves nothing: a person decides.
    Low,
}

/// What the operator set for reading the totals of one provider instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The provider instance.
    pub provider: ProviderName,
    /// Most requests for totals in any 30 days.
    pub reads_per_month: u32,
}

impl Settings {
    /// What is left of the requests for totals once so many were made: of the 30 days', and of a
    /// day's share of them, so that a busy day leaves something for the others.
    fn left(&self, used: ReadCalls) -> ReadCalls {
        let month = self.reads_per_month.saturating_sub(used.month);
        let a_day = self.reads_per_month.div_ceil(BUDGET_DAYS);
        ReadCalls { day: a_day.saturating_sub(used.day).min(month), month }
    }
}
