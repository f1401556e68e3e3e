//! Providers that only count what they are told. Here: what they have in common, as data. PURE.
//! Never here: how one of them is told, a decision taken from this. Read next:
//! [`super::cryptolens`].
//!
//! Such a provider recognises nothing that it was told before. It knows no time: usage counts when
//! it arrives, so that its balances have no windows. It takes nothing back, and what is too much is
//! taken off later usage.

use super::{Capabilities, EncodeError, ToldAs};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::fold::Fold;
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::provider_facts::{Formula, MeterPin};
use crate::domain::state::HoldReason;
use crate::domain::time::MICROS_PER_DAY;

/// How far in the past usage may lie, in microseconds: ten years, which is any. No time goes along,
/// and what is told counts in the period in which it arrives.
pub const ACCEPTS_PAST_MICROS: i64 = 3_650 * MICROS_PER_DAY;
/// For how long an event is told again whose answer was lost, in microseconds, where the operator
/// chose that: as long as a person may need to notice that the provider is away.
const RESENDS_FOR_MICROS: i64 = 35 * MICROS_PER_DAY;

/// Why such a provider cannot be worked with as it is set.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its secret must not be sent to the address.
    #[error("the address of {0} {1}")]
    Api(ProviderName, &'static str),
    /// No HTTP client could be made.
    #[error("no HTTP client can be made for {0}: {1}")]
    Http(ProviderName, String),
}

/// What becomes of an event whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// A person finds out whether it was counted: what errs, errs towards billing too little.
    Hold,
    /// It is told again: what errs, errs towards billing twice.
    Resend,
}

impl OnUnknown {
    /// How long an event may be told again. It is not recognised, so that it never may; unless the
    /// operator has it that way.
    #[must_use]
    pub const fn resends_for_micros(self) -> Option<i64> {
        match self {
            Self::Hold => None,
            Self::Resend => Some(RESENDS_FOR_MICROS),
        }
    }
}

/// What such a provider promises of whole amounts up to `value_max`, which has `digits_max` digits.
#[must_use]
pub const fn of_amounts(value_max: i64, digits_max: u32) -> Capabilities {
    Capabilities {
        told_as: ToldAs::Delta,
        bills: Fold::Sum,
        accepts_past_micros: ACCEPTS_PAST_MICROS,
        accepts_past_margin_micros: 0,
        // No time goes along: one record that is dated ahead must not keep all others of its
        // account waiting, of which there is one balance.
        accepts_ahead_micros: ACCEPTS_PAST_MICROS,
        digits_max,
        decimals_max: 0,
        value_max: Some(value_max),
        // What one below zero would do is documented nowhere: none is sent.
        negative: false,
        // There is no operation that takes usage back.
        cancels_for_micros: None,
        entries_max: None,
        // Nothing tells what became of one amount.
        read_back: None,
    }
}

/// A declared meter as it is pinned. Nothing is learned of one: an event says whose it is and how
/// much under these names.
#[must_use]
pub fn pin(meter: &ProviderMeter, customer_key: &str, value_key: &str) -> MeterPin {
    MeterPin {
        meter: meter.clone(),
        id: None,
        formula: Formula::Sum,
        customer_key: customer_key.to_owned(),
        value_key: value_key.to_owned(),
        span: None,
        active: true,
        learned: false,
    }
}

/// The answer to whoever asks for totals: of a meter that is known there are none, for this reason.
#[must_use]
pub fn no_totals(meter: &ProviderMeter, is_known: bool, why: &str) -> Answer {
    let (reason, why) = if is_known {
        (HoldReason::Refused, why.to_owned())
    } else {
        let unknown = EncodeError::UnknownMeter(meter.clone());
        (unknown.reason(), unknown.to_string())
    };
    Answer::bare(Outcome::Refused(reason), why)
}
