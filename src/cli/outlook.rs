//! How long a provider's limits last. PURE. Here: whether what accounts are told in a day fits the
//! rate, and when an account has used up the entries of its life, in words. Never here: counting
//! them. Read next: [`super::check`].

use super::words;
use crate::domain::entries::EntriesTold;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

/// How far back is looked to tell what is usual, such as how many entries an account takes in a
/// day, in days: a month, which holds every weekday alike.
pub(crate) const RECENT_DAYS: i64 = 30;
/// Accounts of which it is said when they have none left: those that have in less than this, in
/// days. Two years are time enough to have the limit raised.
const SOON_DAYS: i64 = 730;
/// Most accounts that are named.
const NAMED_MAX: usize = 10;
/// Minutes in a day.
const MINUTES_PER_DAY: i64 = 24 * 60;

/// What is to last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries that an account takes in its life.
    pub(crate) entries_max: i64,
    /// Requests a minute.
    pub(crate) per_minute: i64,
}

/// In how many minutes so many requests are made, or that they are more than a day has.
pub(crate) fn minutes(requests: i64, limits: Limits) -> String {
    let minutes = requests.saturating_add(limits.per_minute - 1) / limits.per_minute;
    if minutes <= MINUTES_PER_DAY {
        return format!("is told in {minutes} min");
    }
    format!(
        "takes {minutes} min and cannot be told: {} a minute come to {} a day, and {requests} are \
         needed",
        limits.per_minute,
        limits.per_minute.saturating_mul(MINUTES_PER_DAY)
    )
}

/// What is to be said of a provider whose accounts were told these entries.
pub(crate) fn outlook(told: &[EntriesTold], limits: Limits, now: Timestamp) -> Vec<String> {
    let first = told.iter().map(|each| each.first_at).min();
    let Some(first) = first else { return Vec::new() };
    let days = days_of(first, now);
    let recent: i64 = told.iter().map(|each| each.recent).sum();
    let a_day = recent.saturating_add(days - 1) / days;
    let mut said = vec![format!(
        "{} told to {}; a day of them, {a_day} lately, {}",
        words::counted(told.iter().map(|each| each.entries).sum(), "usage"),
        words::counted(i64::try_from(told.len()).unwrap_or(i64::MAX), "subscription"),
        minutes(a_day, limits)
    )];
    let mut ending: Vec<(i64, &EntriesTold)> = told
        .iter()
        .filter_map(|each| Some((days_left(each, limits, now)?, each)))
        .filter(|(days, _)| *days < SOON_DAYS)
        .collect();
    ending.sort_by_key(|(days, each)| (*days, each.account.clone()));
    for (days, each) in ending.iter().take(NAMED_MAX) {
        let EntriesTold { account, entries, .. } = each;
        let most = limits.entries_max;
        said.push(if *days == 0 {
            format!("subscription {account}: {entries} of {most} usages: none is left")
        } else {
            let at = now.plus_micros(days.saturating_mul(MICROS_PER_DAY)).to_rfc3339();
            let date = at.split('T').next().unwrap_or_default();
            format!("subscription {account}: {entries} of {most} usages: none is left on {date}")
        });
    }
    if ending.len() > NAMED_MAX {
        let more = ending.len() - NAMED_MAX;
        said.push(format!("and {more} more have none left within two years"));
    }
    said
}

/// Over how many days what is recent was told.
fn days_of(first: Timestamp, now: Timestamp) -> i64 {
    (now.micros_since(first) / MICROS_PER_DAY + 1).clamp(1, RECENT_DAYS)
}

/// After how many days an account has no entries left, as it was told lately; nothing where it was
/// told none.
fn days_left(told: &EntriesTold, limits: Limits, now: Timestamp) -> Option<i64> {
    let left = limits.entries_max.saturating_sub(told.entries).max(0);
    if left == 0 {
        return Some(0);
    }
    let days = left.saturating_mul(days_of(told.first_at, now));
    (told.recent > 0).then(|| (days / told.recent).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::AccountName;

    const LIMITS: Limits = Limits { entries_max: 5_000, per_minute: 100 };

    fn day(number: i64) -> Timestamp {
        // The first is 2026-01-01.
        Timestamp::from_seconds(1_767_225_600).plus_micros(number * MICROS_PER_DAY)
    }

    fn told(account: &str, entries: i64, recent: i64, first_at: Timestamp) -> EntriesTold {
        EntriesTold { account: AccountName::new(account).unwrap(), entries, recent, first_at }
    }

    #[test]
    fn a_days_usages_are_told_in_minutes_or_do_not_fit() {
        assert_eq!(minutes(2_000, LIMITS), "is told in 20 min");
        assert_eq!(minutes(144_000, LIMITS), "is told in 1440 min");
        let said = "takes 1441 min and cannot be told: 100 a minute come to 144000 a day, and \
                    144001 are needed";
        assert_eq!(minutes(144_001, LIMITS), said);
    }

    #[test]
    fn it_is_said_when_a_subscription_has_no_usages_left_as_it_was_told_lately() {
        let told = [
            told("daily", 400, 30, day(-400)),
            told("hourly", 3_560, 720, day(-148)),
            told("new", 48, 48, day(-1)),
            told("over", 5_000, 0, day(-900)),
            told("quiet", 4_999, 0, day(-900)),
        ];
        assert_eq!(
            outlook(&told, LIMITS, day(0)),
            [
                "14007 usages told to 5 subscriptions; a day of them, 27 lately, is told in 1 min",
                "subscription over: 5000 of 5000 usages: none is left",
                "subscription hourly: 3560 of 5000 usages: none is left on 2026-03-02",
                "subscription new: 48 of 5000 usages: none is left on 2026-07-26",
            ]
        );
        assert_eq!(outlook(&[], LIMITS, day(0)), [""; 0]);
    }

    #[test]
    fn only_the_first_that_run_out_are_named() {
        let all: Vec<EntriesTold> =
            (0..12).map(|number| told(&format!("s{number:02}"), 5_000, 0, day(-9))).collect();
        let said = outlook(&all, LIMITS, day(0));
        assert_eq!(said.len(), 1 + NAMED_MAX + 1);
        assert_eq!(said[NAMED_MAX + 1], "and 2 more have none left within two years");
    }
}
