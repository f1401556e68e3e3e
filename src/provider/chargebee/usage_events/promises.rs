//! What Chargebee promises of usage events, as data. PURE. Here: each limit with its unit, its
//! reason and where it was read. Never here: a decision taken from them. Read next:
//! [`super::encode`].

use crate::domain::fold::Fold;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND};
use crate::provider::{Capabilities, ReadBack, ToldAs};

/// How far in the past an event may lie: 12 hours, in microseconds ("The timestamp must be within
/// the last 12 hours": Chargebee's API documentation, "Ingest a usage event", `usage_timestamp`).
pub const ACCEPTS_PAST_MICROS: i64 = 12 * MICROS_PER_HOUR;
/// How much of that is left unused: an hour, in microseconds. It has to hold a stale reading of
/// Chargebee's clock, the longest attempt, and a request that the network delays.
pub const ACCEPTS_PAST_MARGIN_MICROS: i64 = MICROS_PER_HOUR;
/// How long an event is certainly recognised: for as long as it is taken, less the margin, in
/// microseconds. Time, subscription and `deduplication_id` together are its identity (the same
/// page). For how long they are remembered is not said; an event that is past its time is refused,
/// and one within it that was forgotten would make the identity worth nothing. What is older is
/// held, and the summaries decide over it.
pub const RECOGNISES_FOR_MICROS: i64 = ACCEPTS_PAST_MICROS - ACCEPTS_PAST_MARGIN_MICROS;
/// Most events of one request (the same documentation, "Ingest usage events in batch").
pub const BATCH_MAX: u32 = 500;
/// Most characters of a subscription's id in an event (the same page, `subscription_id`).
pub const ACCOUNT_CHARS_MAX: usize = 50;
/// Most significant digits of a value. It goes as a JSON number, and what reads it may go by a
/// float: 15 digits come whole through one.
pub const DIGITS_MAX: u32 = 15;
/// Most digits after the point of a value. No limit is published. With at most [`DIGITS_MAX`]
/// digits in all, one more or less here is no loss to a float; and what a site would round away is
/// seen in its totals, which then settle nothing.
pub const DECIMALS_MAX: u32 = 12;
/// What the summaries of usage promise. No lag is published: a day is far on the safe side, and
/// costs nothing but patience. A request that was delayed is refused once its event is past its
/// time: a day after its last attempt none can land any more. Summaries begin at any second ("begin
/// at timeframe_start": the same documentation, "Retrieve usage summary for a subscription"), and
/// come as decimal text; what they add up may have been floats.
pub const READ_BACK: ReadBack = ReadBack {
    lag_micros: MICROS_PER_DAY,
    landing_micros: MICROS_PER_DAY,
    grain_micros: MICROS_PER_SECOND,
    digits_max: DIGITS_MAX,
};

/// What Chargebee promises for a feature whose meter adds a property up.
pub const OF_A_FEATURE: Capabilities = Capabilities {
    told_as: ToldAs::Delta,
    bills: Fold::Sum,
    accepts_past_micros: ACCEPTS_PAST_MICROS,
    accepts_past_margin_micros: ACCEPTS_PAST_MARGIN_MICROS,
    // "Within the last 12 hours": what is ahead is not.
    accepts_ahead_micros: 0,
    digits_max: DIGITS_MAX,
    decimals_max: DECIMALS_MAX,
    value_max: None,
    // What becomes of a value below zero is not documented: none is sent.
    negative: false,
    // There is no operation that takes an event back.
    cancels_for_micros: None,
    entries_max: None,
    read_back: Some(READ_BACK),
};
