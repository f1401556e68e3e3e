//! What Chargebee promises of usages, as data. PURE. Here: each limit with its unit, its reason and
//! where it was read. Never here: a decision taken from them. Read next: [`super::encode`].

use crate::domain::fold::Fold;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND};
use crate::provider::{Capabilities, ReadBack, ToldAs};

/// Stands for "without an end", in microseconds: ten years, which no usage waits for. A usage's own
/// id is unique and never changes ("A unique and immutable id for the usage": Chargebee's API
/// documentation, "Usages"), and a usage of any date is taken ("is then stored and never invoiced"
/// at the worst: the same page), so what ends both is the invoice, not a time.
pub const ENDLESS_MICROS: i64 = 3_653 * MICROS_PER_DAY;
/// Most significant digits of a quantity: what a quantity of tallyd's has. It goes as text of at
/// most 40 characters (the same page, `quantity`), a point included.
pub const DIGITS_MAX: u32 = 30;
/// What the list of usages promises. It is eventually consistent; five minutes are said to be
/// documented (<https://github.com/estuary/connectors/pull/3637>), of which an hour is far on the
/// safe side. A request that timed out may land later: a day after its last attempt nothing on the
/// way is believed to hold one any more. Quantities come as decimal text, to the last digit.
pub const READ_BACK: ReadBack = ReadBack {
    lag_micros: MICROS_PER_HOUR,
    landing_micros: 24 * MICROS_PER_HOUR,
    grain_micros: MICROS_PER_SECOND,
    digits_max: DIGITS_MAX,
};

/// What Chargebee promises for an item price of this aggregation, at a site that takes `decimals`
/// digits after the point, and `usages_max` usages in a subscription's life.
///
/// A site, or a price, bills of a term's usages their sum, the most recent one by its date, or the
/// largest one (Chargebee's documentation, "Configuring metered billing").
#[must_use]
pub const fn of(aggregation: Fold, decimals: u32, usages_max: u32) -> Capabilities {
    Capabilities {
        told_as: match aggregation {
            // How many distinct values a window has is a part of a sum, and told as one.
            Fold::Sum | Fold::Unique => ToldAs::Entry,
            // No price bills a gauge: its entries are of windows.
            Fold::Last | Fold::Gauge | Fold::Max => ToldAs::Level,
        },
        bills: aggregation,
        accepts_past_micros: ENDLESS_MICROS,
        accepts_past_margin_micros: 0,
        // A usage of the future is stored; whether it is billed once its time has come is not said.
        accepts_ahead_micros: 0,
        digits_max: DIGITS_MAX,
        decimals_max: decimals,
        value_max: None,
        // What becomes of a quantity below zero is not documented: none is sent.
        negative: false,
        // A usage is deleted by its id until it is invoiced.
        cancels_for_micros: Some(ENDLESS_MICROS),
        entries_max: Some(usages_max),
        read_back: Some(READ_BACK),
    }
}
