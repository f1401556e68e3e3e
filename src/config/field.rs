//! Single values. PURE. Here: one key's value read, judged by itself, or replaced by its default.
//! Never here: two keys that contradict each other (see `resolve`). Read next: `resolve`.
//!
//! A bad value is put on the list and its default is used, so that everything after it is still
//! read. No default ever runs in place of a bad value: a config with errors is not returned.

use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;

use super::finding::Findings;
use super::misspelt::nearest;
use super::problem::Problem;
use super::raw::{Decimal, Key};
use crate::domain::names::NameError;
use crate::domain::quantity::Quantity;
use crate::schedule::{Schedule, ScheduleError, Zone};

/// A table of the file: what its keys are called, and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Its path, such as `route.requests`.
    pub(super) path: String,
    /// Where its name stands.
    pub(super) span: Range<usize>,
}

impl Table {
    /// The path of a key in it.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

/// What a whole number may be, and why.
pub(super) struct Whole {
    /// The key's path.
    pub(super) key: String,
    /// The least it may be.
    pub(super) least: i64,
    /// The most it may be.
    pub(super) most: i64,
    /// What would happen otherwise.
    pub(super) otherwise: &'static str,
}

impl Whole {
    pub(super) fn new(
        key: impl Into<String>,
        least: i64,
        most: i64,
        otherwise: &'static str,
    ) -> Self {
        Self { key: key.into(), least, most, otherwise }
    }

    /// The number in `field`, or `default`.
    pub(super) fn read<T: TryFrom<i64> + Display>(
        &self,
        field: &Key<i64>,
        default: T,
        found: &mut Findings,
    ) -> T {
        let Some(field) = field else { return default };
        let (least, most, value) = (self.least, self.most, *field.get_ref());
        match T::try_from(value) {
            Ok(number) if (least..=most).contains(&value) => number,
            Ok(_) | Err(_) => {
                let title = format!("`{}` is {value}, outside {least} to {most}", self.key);
                let help =
                    format!("set it from {least} to {most}; without this line it is {default}");
                found.error(Problem::at(field.span(), title).label(self.otherwise).help(help));
                default
            }
        }
    }
}

/// The value of a key that has to be there.
pub(super) fn required<'a, T>(
    table: &Table,
    key: &str,
    field: &'a Key<T>,
    otherwise: &str,
    example: &str,
    found: &mut Findings,
) -> Option<&'a Spanned<T>> {
    let path = table.key(key);
    if field.is_none() && !found.unread.contains(&path) {
        let title = format!("`{path}` is missing");
        let help = format!("add a line such as `{key} = {example}`");
        found.error(Problem::at(table.span.clone(), title).label(otherwise).help(help));
    }
    field.as_ref()
}

/// The member that `field` names among `words`, or `default`.
pub(super) fn word<T: Copy>(
    key: &str,
    field: &Key<String>,
    words: &[(&str, T)],
    default: T,
    found: &mut Findings,
) -> T {
    let Some(field) = field else { return default };
    let text = field.get_ref().as_str();
    if let Some((_, member)) = words.iter().find(|(word, _)| *word == text) {
        return *member;
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let meant = nearest(text, words.iter().map(|(word, _)| *word));
    let help = match meant {
        Some(meant) => format!("did you mean \"{meant}\"? it may be {}", known.join(", ")),
        None => format!("it may be {}", known.join(", ")),
    };
    let title = format!("`{key}` does not know the word {text:?}");
    let label = "tallyd would have to guess what is meant";
    found.error(Problem::at(field.span(), title).label(label).help(help));
    default
}

/// `text` as a kind of name.
pub(super) fn name<T>(
    what: &str,
    text: &str,
    span: Range<usize>,
    make: impl Fn(&str) -> Result<T, NameError>,
    found: &mut Findings,
) -> Option<T> {
    make(text)
        .map_err(|error| {
            let title = format!("{what} {error}");
            let label = "it could not be told apart in a log or a listing";
            let help = "use a short name of visible characters, such as \"api-requests\"";
            found.error(Problem::at(span, title).label(label).help(help));
        })
        .ok()
}

/// The exact decimal in `field`.
pub(super) fn decimal(
    key: &str,
    field: &Spanned<Decimal>,
    found: &mut Findings,
) -> Option<Quantity> {
    let text = match field.get_ref() {
        Decimal::Integer(integer) => return Some(Quantity::from(*integer)),
        Decimal::Text(text) => text,
        Decimal::Float => {
            let title = format!("`{key}` is a floating-point number");
            let label = "it is no exact decimal, and every bill would carry its error";
            let help = "put the number in quotes, such as \"0.001\"";
            found.error(Problem::at(field.span(), title).label(label).help(help));
            return None;
        }
    };
    Quantity::parse(text)
        .map_err(|error| {
            let title = format!("`{key}` {error}");
            let label = "no exact amount can be computed with it";
            let help = "write a decimal number in quotes, such as \"0.001\"";
            found.error(Problem::at(field.span(), title).label(label).help(help));
        })
        .ok()
}

/// Seconds in a span of time as people write it: `90s`, `10m`, `1h`, `2d`.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// The zone whose clocks schedules are read by, at the key of this path.
pub(super) fn zone(path: &str, field: &Key<String>, found: &mut Findings) -> Zone {
    let Some(field) = field else { return Zone::UTC };
    let text = field.get_ref();
    Zone::parse(text).unwrap_or_else(|| {
        let title = format!("`{path}` is {text:?}, which is no zone of the IANA's database");
        let label = "what recurs would do so at other times than meant";
        let help = "write its whole name, such as \"Europe/Berlin\", or \"UTC\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        Zone::UTC
    })
}

/// A recurring instant by the clocks of a zone, or a problem; `instead` begins the cron text that
/// is proposed.
pub(super) fn schedule(
    path: &str,
    (field, zone): (&Spanned<String>, Zone),
    meant: &str,
    instead: &str,
    found: &mut Findings,
) -> Option<Schedule> {
    let error = match Schedule::parse(field.get_ref()) {
        Ok(schedule) => return Some(schedule.in_zone(zone)),
        Err(error) => error,
    };
    let title = format!("`{path}` {error}");
    let help = match error {
        ScheduleError::NumberedWeekday => format!("write the weekday's name: \"{instead} sun\""),
        ScheduleError::BothDays => {
            format!("give one of them, and `*` for the other: \"{instead} sun\"")
        }
        ScheduleError::Fields(_) | ScheduleError::Unreadable | ScheduleError::Never => {
            format!("write minute, hour, day of month, month, weekday: \"{instead} *\"")
        }
    };
    found.error(Problem::at(field.span(), title).label(meant).help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_is_read_as_people_write_it() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("1h", Some(3_600)),
            ("2d", Some(172_800)),
            ("", None),
            ("10", None),
            ("m", None),
            ("-1s", None),
            ("1.5h", None),
            ("1 h", None),
            ("5ä", None),
            ("99999999999999999999d", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
