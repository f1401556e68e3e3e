//! Which spans a report compares. PURE. Here: UTC calendar months, what billing periods leave of
//! them, and the span that a total can be asked for. Never here: what is booked in a span. Read
//! next: [`super::reporter`].

use crate::domain::time::{Timestamp, Window};

/// The start of the UTC month that holds `at`.
#[must_use]
pub fn month_start(at: Timestamp) -> Timestamp {
    Window::month_of(at).start
}

/// The start of the month after the one that holds `at`.
#[must_use]
pub fn next_month(at: Timestamp) -> Timestamp {
    Window::month_of(at).end
}

/// The start of the month before the one that holds `at`.
#[must_use]
pub fn previous_month(at: Timestamp) -> Timestamp {
    month_start(month_start(at).plus_micros(-1))
}

/// The parts of the UTC months that overlap `range` which no one of `periods` covers: the months
/// whole, where there is none. Periods are in the order of their starts.
#[must_use]
pub fn uncovered(range: Window, periods: &[Window]) -> Vec<Window> {
    let mut parts = Vec::new();
    let mut start = month_start(range.start);
    while start < range.end {
        let end = next_month(start);
        if end <= start {
            break;
        }
        let mut from = start;
        for period in periods.iter().filter(|each| each.start < end && start < each.end) {
            if from < period.start {
                parts.push(Window { start: from, end: period.start });
            }
            from = from.max(period.end);
        }
        if from < end {
            parts.push(Window { start: from, end });
        }
        start = end;
    }
    parts
}

/// The first multiple of `grain_micros` that is not before `at`.
#[must_use]
pub fn ceiling(at: Timestamp, grain_micros: i64) -> Timestamp {
    at.plus_micros(grain_micros - 1).floor_to(grain_micros)
}

/// The span that a total of `span` can be asked for: its bounds rounded outwards to `grain`, and no
/// later than `until`, as whether a provider tells of a span that is not over is not known.
#[must_use]
pub fn hull(span: Window, grain_micros: i64, until: Timestamp) -> Option<Window> {
    let start = span.start.floor_to(grain_micros);
    let end = ceiling(span.end, grain_micros);
    let end = end.min(until.floor_to(grain_micros));
    (start < end).then_some(Window { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::MICROS_PER_MINUTE;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(&format!("{text}Z")).unwrap()
    }

    fn window(start: &str, end: &str) -> Window {
        Window { start: at(start), end: at(end) }
    }

    fn said(windows: &[Window]) -> Vec<String> {
        let day = |at: Timestamp| at.to_rfc3339().chars().skip(5).take(5).collect::<String>();
        windows.iter().map(|each| format!("{} {}", day(each.start), day(each.end))).collect()
    }

    #[test]
    fn without_periods_months_are_compared_whole() {
        let range = window("2025-12-31T23:59:59", "2026-02-01T00:00:00");
        assert_eq!(said(&uncovered(range, &[])), ["12-01 01-01", "01-01 02-01"]);
        assert_eq!(previous_month(at("2026-01-15T00:00:00")), at("2025-12-01T00:00:00"));
    }

    #[test]
    fn periods_leave_the_rest_of_their_months() {
        let range = window("2026-01-01T00:00:00", "2026-02-20T00:00:00");
        let periods = [
            window("2026-01-10T10:11:12", "2026-01-20T00:00:00"),
            window("2026-01-20T00:00:00", "2026-02-10T00:00:00"),
        ];
        assert_eq!(said(&uncovered(range, &periods)), ["01-01 01-10", "02-10 03-01"]);
    }

    #[test]
    fn a_span_is_asked_for_by_the_minute_and_up_to_now() {
        let period = window("2026-01-10T10:11:12", "2026-02-10T10:11:12");
        let until = at("2026-03-01T00:00:00");
        let asked = hull(period, MICROS_PER_MINUTE, until).unwrap();
        assert_eq!(asked, window("2026-01-10T10:11:00", "2026-02-10T10:12:00"));
        let until = at("2026-01-11T00:00:59");
        let asked = hull(period, MICROS_PER_MINUTE, until).unwrap();
        assert_eq!(asked, window("2026-01-10T10:11:00", "2026-01-11T00:00:00"));
        assert_eq!(hull(period, MICROS_PER_MINUTE, period.start), None);
    }
}
