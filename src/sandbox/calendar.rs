//! Billing months. PURE. Here: where one period ends and the next begins. Never here: a clock, a
//! subscription. Read next: [`super::stripe`].

use chrono::{DateTime, Months};

/// No month is longer, in seconds.
const LONGEST_MONTH_SECONDS: i64 = 31 * 24 * 60 * 60;

/// The first instant after `after` at which a period begins whose months are counted from `anchor`.
///
/// Every month is counted from the anchor and never from the month before it: a day that a short
/// month lacks becomes that month's last day, and comes back in the next month that has it.
pub(super) fn next_bound(anchor: i64, after: i64) -> i64 {
    next_bound_of(1, anchor, after)
}

/// The same for periods of `months` each, one at least.
pub(super) fn next_bound_of(months: u32, anchor: i64, after: i64) -> i64 {
    if after < anchor {
        return anchor;
    }
    let step = i64::from(months.max(1));
    // Months are counted whole, so that the first guess is never past the bound.
    let mut count = (after - anchor).div_euclid(LONGEST_MONTH_SECONDS).div_euclid(step) * step;
    loop {
        match months_after(anchor, count) {
            None => return i64::MAX,
            Some(bound) if bound > after => return bound,
            Some(_) => count += step,
        }
    }
}

/// The same day and time `months` later, or that month's last day; `None` past the calendar.
fn months_after(anchor: i64, months: i64) -> Option<i64> {
    let months = Months::new(u32::try_from(months).ok()?);
    let bound = DateTime::from_timestamp(anchor, 0)?.checked_add_months(months)?;
    Some(bound.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn seconds(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text).expect("a time").seconds()
    }

    /// The days on which the thirteen periods after `anchor` begin.
    fn days(anchor: &str) -> Vec<String> {
        let anchor = seconds(anchor);
        let mut at = anchor;
        let mut days = Vec::new();
        for _ in 0..13 {
            at = next_bound(anchor, at);
            let text = Timestamp::from_seconds(at).to_rfc3339();
            assert_eq!(text.get(10..), Some("T13:14:15Z"), "the time of day stays");
            days.push(text.get(5..10).unwrap_or_default().to_owned());
        }
        days
    }

    #[test]
    fn a_day_that_a_month_lacks_becomes_its_last_and_comes_back() {
        let table = [
            (
                "2027-12-29T13:14:15Z",
                "01-29 02-29 03-29 04-29 05-29 06-29 07-29 08-29 09-29 10-29 11-29 12-29 01-29",
            ),
            (
                "2027-12-30T13:14:15Z",
                "01-30 02-29 03-30 04-30 05-30 06-30 07-30 08-30 09-30 10-30 11-30 12-30 01-30",
            ),
            (
                "2027-12-31T13:14:15Z",
                "01-31 02-29 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31 01-31",
            ),
            (
                "2026-12-29T13:14:15Z",
                "01-29 02-28 03-29 04-29 05-29 06-29 07-29 08-29 09-29 10-29 11-29 12-29 01-29",
            ),
            (
                "2028-02-29T13:14:15Z",
                "03-29 04-29 05-29 06-29 07-29 08-29 09-29 10-29 11-29 12-29 01-29 02-28 03-29",
            ),
        ];
        for (anchor, expected) in table {
            assert_eq!(days(anchor).join(" "), expected, "{anchor}");
        }
    }

    #[test]
    fn a_bound_is_always_after_the_instant_it_is_asked_for() {
        let anchor = seconds("2024-01-31T00:00:00Z");
        for day in 0..2_000 {
            for at in [anchor + day * 86_400 - 1, anchor + day * 86_400] {
                let bound = next_bound(anchor, at);
                assert!(bound > at && bound - at <= LONGEST_MONTH_SECONDS, "{at} {bound}");
                assert_eq!(next_bound(anchor, bound - 1), bound);
            }
        }
    }

    #[test]
    fn a_quarter_ends_where_every_third_month_does() {
        let anchor = seconds("2026-11-30T00:00:00Z");
        let mut at = anchor;
        for expected in ["2027-02-28", "2027-05-30", "2027-08-30", "2027-11-30", "2028-02-29"] {
            at = next_bound_of(3, anchor, at);
            assert_eq!(Timestamp::from_seconds(at).to_rfc3339().get(..10), Some(expected));
        }
    }

    #[test]
    fn before_its_anchor_a_period_ends_there() {
        let anchor = seconds("2026-03-31T00:00:00Z");
        assert_eq!(next_bound(anchor, anchor - 1), anchor);
        assert_eq!(next_bound(anchor, 0), anchor);
    }
}
