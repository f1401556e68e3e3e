//! What Planship promises of metered usage, as data. PURE. Here: each limit with its unit, its
//! reason and where it was read. Never here: a decision taken from them. Read next:
//! [`super::encode`].

use crate::domain::time::MICROS_PER_SECOND;
use crate::provider::{Capabilities, counting};

/// Largest usage of one report. `usage` is an integer without a bound in the published schema, and
/// what a larger one meets behind it is not known: this fits an integer of 32 bits, and usage
/// beyond it is told by several reports, which come to the same.
pub const USAGE_MAX: i64 = 2_147_483_647;
/// Most significant digits of one: those of the largest.
pub const DIGITS_MAX: u32 = 10;
/// Most characters of an id that a customer is called by.
/// <https://docs.planship.io/integration/customers>
pub const CUSTOMER_CHARS_MAX: usize = 256;

/// Longest life of a token that is believed, in microseconds: a day. How long one lives is said
/// with each, and published nowhere.
const TOKEN_MICROS_MAX: i64 = 24 * 60 * 60 * MICROS_PER_SECOND;
/// How long before its end a token is not used any more, in microseconds: a minute. A report that
/// begins with it has to arrive before that end, and takes twenty seconds at most by default.
const RENEWAL_MARGIN_MICROS: i64 = 60 * MICROS_PER_SECOND;

/// For how long reports begin with a token of which `expires_in` seconds were told. Of one that
/// lives for less than two margins it is half of its life, so that it is used at all.
#[must_use]
pub fn token_used_for_micros(expires_in: i64) -> i64 {
    let lives = expires_in.max(0).saturating_mul(MICROS_PER_SECOND).min(TOKEN_MICROS_MAX);
    (lives - RENEWAL_MARGIN_MICROS).max(lives / 2)
}

/// What Planship promises for a metering id. Levers can be read, but not what became of one report:
/// they lack it for a time that is published nowhere, begin anew with each period, and add up what
/// other writers and other metering ids brought.
/// <https://docs.planship.io/concepts/metered-levers>
pub const OF_METERED_USAGE: Capabilities = counting::of_amounts(USAGE_MAX, DIGITS_MAX);
