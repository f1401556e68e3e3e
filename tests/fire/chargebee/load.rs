//! The load that a site is told. Here: which record a number is. Never here: how a record is
//! written ([`crate::record`]). Read next: [`super::site`].
//!
//! A site takes a few dozen requests a second, and every entry is one. So there are some thousand
//! windows, and all records fall into those.

use crate::chance::Dice;
use crate::record::{Meter, Place, Record, signed};

/// Customers with a subscription each: as many lanes.
pub(super) const CUSTOMERS: u64 = 48;
/// Customers of what is told by the minute: so many that few records meet in a window, and a
/// correction takes entries away.
const CUSTOMERS_OF_BURSTS: u64 = 24;
/// Usage by the hour is at least this old, in seconds, so that its hour has ended; and by the
/// minute.
const AGE_MIN: i64 = 7_200;
const AGE_MIN_OF_BURSTS: i64 = 120;
/// Hours, days and minutes that usage falls in.
const HOURS: u64 = 10;
const DAYS: u64 = 2;
const MINUTES: u64 = 60;
/// One record in so many of those by the hour is older than its subscription.
const TOO_OLD_ONE_IN: u64 = 400;
/// How old those are more than others, in seconds: forty days. No subscription began before that.
const TOO_OLD_AGE: i64 = 40 * DAY;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The record of a number.
pub(crate) fn draw(seed: u64, base: i64, number: u64) -> Record {
    let mut dice = Dice::of(seed, number);
    let meter = match dice.below(100) {
        0..15 => Meter::Bursts,
        15..55 => Meter::Calls,
        _ => Meter::Tokens,
    };
    let customers = if meter == Meter::Bursts { CUSTOMERS_OF_BURSTS } else { CUSTOMERS };
    let place = Place { meter, customer: dice.below(customers) };
    let too_old = meter == Meter::Calls && dice.once_in(TOO_OLD_ONE_IN);
    let mut within = |units: u64, unit: i64| signed(dice.below(units * unit.unsigned_abs()));
    let second = match meter {
        Meter::Bursts => base - AGE_MIN_OF_BURSTS - within(MINUTES, MINUTE),
        Meter::Tokens => base - base.rem_euclid(DAY) - 1 - within(DAYS, DAY),
        Meter::Traced | Meter::Counted | Meter::Calls => {
            let age = AGE_MIN + within(HOURS, HOUR);
            base - age - if too_old { TOO_OLD_AGE } else { 0 }
        }
    };
    let sent = match meter {
        Meter::Bursts => signed(dice.below(900)),
        Meter::Traced | Meter::Counted | Meter::Calls => signed(dice.below(5_000)),
        Meter::Tokens => signed(dice.below(2_000_000_000)),
    };
    Record { number, place, second, sent, expected: sent, corrected: false, too_old }
}
