//! What Cryptolens promises of RecordUsage, as data. PURE. Here: each limit with its unit, its
//! reason and where it was read. Never here: a decision taken from them. Read next:
//! [`super::encode`].

use crate::provider::{Capabilities, counting};

/// Largest amount: `Amount` is an int of 32 bits in every client. (Cryptolens' .NET and Java
/// clients, `RecordUsageModel`.) A larger one might be taken for none, as that is its default.
pub const AMOUNT_MAX: i64 = 2_147_483_647;
/// Most significant digits of an amount: those of the largest one.
pub const DIGITS_MAX: u32 = 10;

/// What Cryptolens promises for a product. Nothing tells what was recorded, and what Stripe's
/// increment would do with an amount below zero is documented nowhere.
pub const OF_RECORD_USAGE: Capabilities = counting::of_amounts(AMOUNT_MAX, DIGITS_MAX);
