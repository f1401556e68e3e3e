//! When something recurs. PURE. Here: cron text, and the next instant after a given one, in UTC.
//! Never here: a clock, what happens then. Read next: [`crate::service`].
//!
//! The text means what it means to Unix cron, or it is refused. The `cron` crate differs from Unix
//! in two ways that nobody would notice before the first Sunday: it counts weekdays from 1 =
//! Sunday, and it asks for the day of the month *and* the weekday where Unix takes either. Both
//! forms are refused here with words, rather than read in one of the two ways.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::domain::time::{TIMESTAMP_MIN, Timestamp};

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither five fields nor six.
    #[error("has {0} fields, and needs five: minute, hour, day of month, month, weekday")]
    Fields(usize),
    /// A weekday written as a number.
    #[error("has a weekday as a number, which programs count differently")]
    NumberedWeekday,
    /// Both a day of the month and a weekday.
    #[error("has both a day of the month and a weekday, which programs combine differently")]
    BothDays,
    /// A field that cannot be read.
    #[error("is not cron text")]
    Unreadable,
    /// No day of any year fits.
    #[error("never comes due")]
    Never,
}

/// A recurring instant, in UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    text: Box<str>,
    cron: cron::Schedule,
}

impl Schedule {
    /// Reads cron text: minute, hour, day of month, month and weekday; or the same with seconds in
    /// front. Weekdays are names (`mon`, `mon-fri`).
    ///
    /// # Errors
    /// When the text is no cron text, could mean two things, or never comes due.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let with_seconds = match fields.len() {
            5 => format!("0 {}", fields.join(" ")),
            6 => fields.join(" "),
            count => return Err(ScheduleError::Fields(count)),
        };
        let [.., month_day, _month, weekday] = fields.as_slice() else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        let numbered = |part: &str| {
            let days = part.split_once('/').map_or(part, |(days, _step)| days);
            days.bytes().any(|byte| byte.is_ascii_digit())
        };
        if weekday.split(',').any(numbered) {
            return Err(ScheduleError::NumberedWeekday);
        }
        let cron =
            cron::Schedule::from_str(&with_seconds).map_err(|_| ScheduleError::Unreadable)?;
        let any = |field: &str| matches!(field, "*" | "?");
        if !any(month_day) && !any(weekday) {
            return Err(ScheduleError::BothDays);
        }
        let schedule = Self { text: text.into(), cron };
        if schedule.next_after(TIMESTAMP_MIN).is_none() {
            return Err(ScheduleError::Never);
        }
        Ok(schedule)
    }

    /// The first instant of this schedule that lies after `now`; nothing once it has none left.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let now = DateTime::<Utc>::from_timestamp_micros(now.micros())?;
        let next = self.cron.after(&now).next()?;
        Some(Timestamp::from_seconds(next.timestamp()))
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, after: &str) -> Option<String> {
        let after = Timestamp::parse_rfc3339(after).unwrap();
        Schedule::parse(text).unwrap().next_after(after).map(Timestamp::to_rfc3339)
    }

    #[test]
    fn the_next_instant_lies_strictly_after_the_given_one() {
        for (text, after, expected) in [
            ("0 3 * * *", "2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z"),
            ("0 3 * * *", "2026-01-01T02:59:59.999999Z", "2026-01-01T03:00:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00.000001Z", "2026-01-02T03:00:00Z"),
            ("*/15 * * * *", "2026-12-31T23:50:00Z", "2027-01-01T00:00:00Z"),
            ("0 3 * * mon", "2026-01-01T00:00:00Z", "2026-01-05T03:00:00Z"),
            ("0 3 1 * *", "2026-01-01T04:00:00Z", "2026-02-01T03:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("30 0 3 * * *", "2026-01-01T00:00:00Z", "2026-01-01T03:00:30Z"),
        ] {
            assert_eq!(next(text, after).as_deref(), Some(expected), "{text} after {after}");
        }
    }

    #[test]
    fn text_that_is_wrong_or_means_two_things_is_refused() {
        for (text, why) in [
            ("", ScheduleError::Fields(0)),
            ("@daily", ScheduleError::Fields(1)),
            ("0 3 * *", ScheduleError::Fields(4)),
            ("0 0 3 * * * 2026", ScheduleError::Fields(7)),
            ("0 25 * * *", ScheduleError::Unreadable),
            ("soon at the latest now", ScheduleError::Unreadable),
            ("0 3 * * 0", ScheduleError::NumberedWeekday),
            ("0 3 * * mon,3", ScheduleError::NumberedWeekday),
            ("0 3 1 * mon", ScheduleError::BothDays),
            ("0 3 31 2 *", ScheduleError::Never),
        ] {
            assert_eq!(Schedule::parse(text), Err(why), "{text}");
        }
    }
}
