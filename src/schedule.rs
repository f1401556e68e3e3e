//! When something recurs. PURE. Here: cron text, the zone whose clocks it is read by, and the next
//! instant after a given one. Never here: a clock, what happens then. Read next:
//! [`crate::service`].
//!
//! The text means what it means to Unix cron, or it is refused. The `cron` crate differs from Unix
//! in two ways that nobody would notice before the first Sunday: it counts weekdays from 1 =
//! Sunday, and it asks for the day of the month *and* the weekday where Unix takes either. Both
//! forms are refused here with words, rather than read in one of the two ways.
//!
//! Where clocks are set forward, a time that they skip is the instant at which they are set: what
//! recurs then happens once that day, and not never. Where they are set back, an hour is shown
//! twice, and the first time counts: what recurs in it happens once, and not twice. So whatever
//! recurs each day happens once on every day of the zone. The zones are those of the IANA's
//! database, as chrono-tz has them: the project of chrono keeps it, it brings little but chrono,
//! which was there before, and the data are in this program, so that a host without them, or with
//! old ones, reads a config alike. The `cron` crate itself would skip a skipped time, and repeat a
//! repeated one.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc,
};
use chrono_tz::Tz;

use crate::domain::time::{TIMESTAMP_MIN, Timestamp};

/// Most times that clocks can show twice, and are passed over to find the next instant: each second
/// of a day, as one who crosses the date line has it.
const SHOWN_TWICE_MAX: usize = 86_400;
/// Longest that clocks were ever set forward by, in minutes: a day and a little, across the date
/// line.
const SKIPPED_MINUTES_MAX: i64 = 25 * 60;

/// Whose clocks a schedule is read by: a zone of the IANA's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// The zone without surprises.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of this name, such as `Europe/Berlin`; nothing where there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.name()
    }

    /// What its clocks show at `at`.
    fn shown(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.0).naive_local()
    }

    /// The first instant at which its clocks show `time`, or have skipped it.
    fn instant(self, time: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self.0.from_local_datetime(&time) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => {
                Some(at.with_timezone(&Utc))
            }
            MappedLocalTime::None => {
                // Clocks are set on a whole minute.
                let minute = time.with_second(0)?.with_nanosecond(0)?;
                let later = |minutes| {
                    let shown = minute.checked_add_signed(TimeDelta::minutes(minutes))?;
                    self.0.from_local_datetime(&shown).earliest()
                };
                (1..=SKIPPED_MINUTES_MAX).find_map(later).map(|at| at.with_timezone(&Utc))
            }
        }
    }
}

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

/// A recurring instant, by the clocks of a zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    text: Box<str>,
    cron: cron::Schedule,
    zone: Zone,
}

impl Schedule {
    /// Reads cron text: minute, hour, day of month, month and weekday; or the same with seconds in
    /// front. Weekdays are names (`mon`, `mon-fri`). It is of UTC.
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
        let schedule = Self { text: text.into(), cron, zone: Zone::UTC };
        if schedule.next_after(TIMESTAMP_MIN).is_none() {
            return Err(ScheduleError::Never);
        }
        Ok(schedule)
    }

    /// The same, by the clocks of `zone`.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// The first instant of this schedule that lies after `now`; nothing once it has none left.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let now = DateTime::<Utc>::from_timestamp_micros(now.micros())?;
        // The times are what clocks show, though the crate takes them for those of UTC: so it meets
        // none that is skipped or shown twice.
        let shown = self.zone.shown(now).and_utc();
        let times = self.cron.after(&shown).take(SHOWN_TWICE_MAX);
        let instants = times.filter_map(|time| self.zone.instant(time.naive_utc()));
        let next = instants.into_iter().find(|at| *at > now)?;
        Some(Timestamp::from_seconds(next.timestamp()))
    }

    /// The first instant of this schedule that lies at `from` or later.
    #[must_use]
    pub fn next_from(&self, from: Timestamp) -> Option<Timestamp> {
        self.next_after(from.plus_micros(-1))
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
        write!(f, "Schedule({:?}, {})", self.text, self.zone.as_str())
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

    /// All instants of a schedule from one to another.
    fn instants(text: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let time = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let schedule = Schedule::parse(text).unwrap().in_zone(Zone::parse(zone).unwrap());
        let (mut at, until) = (time(from).plus_micros(-1), time(until));
        let mut all = Vec::new();
        while let Some(next) = schedule.next_after(at).filter(|next| *next < until) {
            assert!(next > at);
            assert_eq!(schedule.next_from(next), Some(next));
            all.push(next.to_rfc3339());
            at = next;
        }
        all
    }

    #[test]
    fn what_recurs_each_day_happens_once_on_a_day_that_skips_or_repeats_its_hour() {
        for (zone, from, until, text, expected) in [
            // New York goes from 2:00 to 3:00, and in autumn from 2:00 back to 1:00.
            (
                "America/New_York",
                "2026-03-07",
                "2026-03-10",
                "30 2 * * *",
                "07T07:30 08T07:00 09T06:30",
            ),
            (
                "America/New_York",
                "2026-03-07",
                "2026-03-10",
                "0 3 * * *",
                "07T08:00 08T07:00 09T07:00",
            ),
            (
                "America/New_York",
                "2026-10-31",
                "2026-11-03",
                "30 1 * * *",
                "31T05:30 01T05:30 02T06:30",
            ),
            // Berlin's change is at another instant; Lord Howe's is of half an hour.
            (
                "Europe/Berlin",
                "2026-03-28",
                "2026-03-31",
                "0 2 * * *",
                "28T01:00 29T01:00 30T00:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-24",
                "2026-10-27",
                "59 2 * * *",
                "24T00:59 25T00:59 26T01:59",
            ),
            (
                "Australia/Lord_Howe",
                "2026-10-02",
                "2026-10-05",
                "15 2 * * *",
                "02T15:45 03T15:30 04T15:15",
            ),
            ("UTC", "2026-03-28", "2026-03-30", "30 2 * * *", "28T02:30 29T02:30"),
        ] {
            let (from, until) = (format!("{from}T00:00:00Z"), format!("{until}T00:00:00Z"));
            let found = instants(text, zone, &from, &until);
            let short: Vec<&str> = found.iter().map(|at| &at[8..16]).collect();
            assert_eq!(short.join(" "), expected, "{text} in {zone}");
        }
    }

    #[test]
    fn within_an_hour_that_is_shown_twice_a_schedule_rests_and_then_goes_on() {
        let found = instants(
            "*/20 * * * *",
            "America/New_York",
            "2026-11-01T05:00:00Z",
            "2026-11-01T07:30:00Z",
        );
        let short: Vec<&str> = found.iter().map(|at| &at[11..16]).collect();
        assert_eq!(short, ["05:00", "05:20", "05:40", "07:00", "07:20"]);
        // A day that was skipped whole, across the date line.
        let found =
            instants("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z");
        assert_eq!(
            found,
            [
                "2011-12-29T22:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T22:00:00Z",
                "2011-12-31T22:00:00Z"
            ]
        );
    }

    #[test]
    fn a_zone_has_a_name_of_the_database() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(Zone::parse(name).map(Zone::as_str), Some(name));
        }
        for name in ["", "Berlin", "+02:00", "europe/berlin", "CET/Berlin"] {
            assert_eq!(Zone::parse(name), None, "{name}");
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
