//! How things are said. PURE. Here: counts, spans and instants as a person reads them. Never here:
//! a clock. Read next: [`super::reading`].

use crate::domain::time::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Timestamp,
};

/// The units of a span, largest first.
const UNITS: [(i64, &str); 4] = [
    (MICROS_PER_DAY, "d"),
    (MICROS_PER_HOUR, "h"),
    (MICROS_PER_MINUTE, "m"),
    (MICROS_PER_SECOND, "s"),
];

/// A count with its noun: `1 record`, `2 records`.
pub(crate) fn counted(count: i64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A span exactly, in the largest unit that it is whole in: `90s`, `5m`, `1d`.
pub(crate) fn exactly(micros: i64) -> String {
    let unit = UNITS.into_iter().find(|(unit, _)| micros != 0 && micros % unit == 0);
    let (unit, name) = unit.unwrap_or((MICROS_PER_SECOND, "s"));
    format!("{}{name}", micros / unit)
}

/// A span in the largest unit that it fills, with what is less left out: `3h`.
pub(crate) fn roughly(micros: i64) -> String {
    let unit = UNITS.into_iter().find(|(unit, _)| micros >= *unit);
    let (unit, name) = unit.unwrap_or((MICROS_PER_SECOND, "s"));
    format!("{}{name}", micros / unit)
}

/// An instant, and how far it is from `now`: `2026-01-01T00:00:00Z (3h ago)`.
pub(crate) fn instant(at: Timestamp, now: Timestamp) -> String {
    let since = now.micros_since(at);
    if since >= 0 {
        format!("{at} ({} ago)", roughly(since))
    } else {
        format!("{at} (in {})", roughly(since.saturating_neg()))
    }
}

/// Where something stands, or a dash where there is nothing.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    match text {
        None | Some("") => "-".to_owned(),
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_the_unit_that_fits() {
        let said = [0, 90, 300, 5_400, 86_400].map(|s| exactly(s * MICROS_PER_SECOND));
        assert_eq!(said, ["0s", "90s", "5m", "90m", "1d"]);
        let now = Timestamp::from_seconds(1_770_000_000);
        let at = |seconds| instant(now.plus_seconds(seconds), now);
        assert_eq!(at(-7_300), "2026-02-02T00:38:20Z (2h ago)");
        assert_eq!(at(90), "2026-02-02T02:41:30Z (in 1m)");
    }
}
