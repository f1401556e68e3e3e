//! The load that Stripe is told. Here: which record a number is. Never here: how a record is
//! written ([`crate::record`]). Read next: [`super::told`].

use crate::chance::Dice;
use crate::record::{Meter, Place, Record, WHOLE, signed};

/// Customers of the meters that are told record by record: as many lanes.
const CUSTOMERS_EACH: u64 = 400;
/// Customers of the meters that are told in sums: few, so that many records meet in a balance.
const CUSTOMERS_SUMMED: u64 = 40;
/// All usage is at least this old, in seconds, so that every hour it falls in has ended.
const AGE_MIN: i64 = 7_200;
/// Hours and days that summed usage falls in.
const HOURS: u64 = 12;
const DAYS: u64 = 3;
/// One record in so many of those that are told one by one is older than the provider takes.
const TOO_OLD_ONE_IN: u64 = 500;
/// How old those are, in seconds: forty days.
const TOO_OLD_AGE: i64 = 40 * DAY;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The record of a number.
pub(crate) fn draw(seed: u64, base: i64, number: u64) -> Record {
    let mut dice = Dice::of(seed, number);
    let meter = match dice.below(100) {
        0..6 => Meter::Traced,
        6..10 => Meter::Counted,
        10..70 => Meter::Calls,
        _ => Meter::Tokens,
    };
    let customers = if meter.is_told_one_by_one() { CUSTOMERS_EACH } else { CUSTOMERS_SUMMED };
    let place = Place { meter, customer: dice.below(customers) };
    let too_old = meter == Meter::Traced && dice.once_in(TOO_OLD_ONE_IN);
    let own = signed(number);
    let second = match meter {
        Meter::Traced if too_old => base - TOO_OLD_AGE - own,
        Meter::Traced | Meter::Counted => base - AGE_MIN - own,
        Meter::Calls | Meter::Bursts => {
            base - AGE_MIN - signed(dice.below(HOURS * HOUR.unsigned_abs()))
        }
        Meter::Tokens => {
            let today = base - base.rem_euclid(DAY);
            today - 1 - signed(dice.below(DAYS * DAY.unsigned_abs()))
        }
    };
    let sent = match meter {
        Meter::Traced => (own + 1) * WHOLE,
        Meter::Counted => signed(dice.between(1, 6)) * WHOLE,
        Meter::Calls | Meter::Bursts => signed(dice.below(5_000)),
        Meter::Tokens => signed(dice.below(2_000_000_000)),
    };
    let expected = match meter {
        Meter::Counted => WHOLE,
        Meter::Traced | Meter::Calls | Meter::Tokens | Meter::Bursts => sent,
    };
    Record { number, place, second, sent, expected, corrected: false, too_old }
}

/// The number of the record that an event of a meter told record by record is of, by the event's
/// second.
pub(crate) fn named_by(place: Place, second: i64, base: i64) -> Option<u64> {
    match place.meter {
        Meter::Traced | Meter::Counted => u64::try_from(base - AGE_MIN - second).ok(),
        Meter::Calls | Meter::Tokens | Meter::Bursts => None,
    }
}
