//! Instants and windows. Here: UTC microseconds, half-open windows, their text forms. Never here: a
//! clock (see [`crate::clock`]). Read next: [`crate::domain::record`].

use std::fmt;

use chrono::{DateTime, Datelike as _, Months, NaiveDate, NaiveTime, SecondsFormat, Utc};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// Microseconds in an hour.
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
/// Microseconds in a day. UTC has no leap seconds here, as in Unix time.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// The earliest instant a record may carry: 2000-01-01T00:00:00Z. Before it there was nothing that
/// any of our providers could bill, and a clock that booted in 1970 is caught here.
pub const TIMESTAMP_MIN: Timestamp = Timestamp(946_684_800 * MICROS_PER_SECOND);
/// The latest instant a record may carry: 2200-01-01T00:00:00Z. It leaves room for every addition
/// this program makes to an instant, so that arithmetic on admitted instants cannot overflow.
pub const TIMESTAMP_MAX: Timestamp = Timestamp(7_258_118_400 * MICROS_PER_SECOND);

/// An instant: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// An instant from microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// An instant from whole seconds since the epoch; saturates at the ends of the range.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded towards the past: an instant inside a window stays
    /// inside it.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// This instant moved by `micros`, which may be negative; saturates.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// This instant moved by whole seconds, which may be negative; saturates.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }

    /// Microseconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The start of the aligned span of `micros` that holds this instant (UTC hours, days, …).
    #[must_use]
    pub const fn floor_to(self, micros: i64) -> Self {
        Self(self.0.div_euclid(micros).saturating_mul(micros))
    }

    /// RFC 3339 in UTC with `Z`, with a fraction only when there is one.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            None => format!("{}us", self.0),
        }
    }

    /// Reads RFC 3339 with a zone. Finer digits than microseconds are cut off, towards the past.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(at.timestamp_micros()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A half-open span `[start, end)` of instants at which usage occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first instant inside.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Window {
    /// All instants that a record may carry: the window of what has no bounds of its own.
    pub const ALWAYS: Self = Self { start: TIMESTAMP_MIN, end: TIMESTAMP_MAX };

    /// The calendar month, in UTC, that holds `at`.
    #[must_use]
    pub fn month_of(at: Timestamp) -> Self {
        let midnight = |date: NaiveDate| {
            Timestamp::from_micros(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
        };
        let first = DateTime::<Utc>::from_timestamp_micros(at.micros())
            .and_then(|at| at.date_naive().with_day(1));
        let next = first.and_then(|first| first.checked_add_months(Months::new(1)));
        // Only what lies far beyond the instants that are admitted has no month.
        let nothing = Self { start: at, end: at.plus_micros(1) };
        first
            .zip(next)
            .map_or(nothing, |(first, next)| Self { start: midnight(first), end: midnight(next) })
    }

    /// Whether all of `other` lies inside.
    #[must_use]
    pub fn covers(&self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether `at` lies inside.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}
