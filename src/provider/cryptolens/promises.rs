//! What Cryptolens promises of RecordUsage, as data. PURE. Here: each limit with its unit, its
//! reason and where it was read. Never here: a decision taken from them. Read next:
//! [`super::encode`].

use super::settings::OnUnknown;
use crate::domain::fold::Fold;
use crate::domain::time::MICROS_PER_DAY;
use crate::provider::{Capabilities, ToldAs};

/// How far in the past usage may lie, in microseconds: ten years, which is any. No time goes along,
/// and what is told counts in the period in which it arrives.
pub const ACCEPTS_PAST_MICROS: i64 = 3_650 * MICROS_PER_DAY;
/// Largest amount: `Amount` is an int of 32 bits in every client. (Cryptolens' .NET and Java
/// clients, `RecordUsageModel`.) A larger one might be taken for none, as that is its default.
pub const AMOUNT_MAX: i64 = 2_147_483_647;
/// Most significant digits of an amount: those of the largest one.
pub const DIGITS_MAX: u32 = 10;
/// For how long an event is told again whose answer was lost, in microseconds, where the operator
/// chose that: as long as a person may need to notice that Cryptolens is away.
const RESENDS_FOR_MICROS: i64 = 35 * MICROS_PER_DAY;

/// How long an event may be told again. Cryptolens recognises none, so that it never may; unless
/// the operator has it that way.
#[must_use]
pub const fn recognises_for_micros(on_unknown: OnUnknown) -> Option<i64> {
    match on_unknown {
        OnUnknown::Hold => None,
        OnUnknown::Resend => Some(RESENDS_FOR_MICROS),
    }
}

/// What Cryptolens promises for a product.
pub const OF_RECORD_USAGE: Capabilities = Capabilities {
    told_as: ToldAs::Delta,
    bills: Fold::Sum,
    accepts_past_micros: ACCEPTS_PAST_MICROS,
    accepts_past_margin_micros: 0,
    // No time goes along: one record that is dated ahead must not keep all others of its key
    // waiting, of which there is one balance.
    accepts_ahead_micros: ACCEPTS_PAST_MICROS,
    digits_max: DIGITS_MAX,
    decimals_max: 0,
    value_max: Some(AMOUNT_MAX),
    // What Stripe's increment would do with one below zero is documented nowhere: none is sent, and
    // what is too much is taken off later usage.
    negative: false,
    // There is no operation that takes usage back.
    cancels_for_micros: None,
    entries_max: None,
    // Nothing tells what was recorded.
    read_back: None,
};
