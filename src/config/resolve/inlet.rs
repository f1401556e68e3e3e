//! `[intake]` and `[source.NAME]`. PURE. Here: what intake takes. Never here: who may send it (see
//! `http`). Read next: `import`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::field::{Table, Whole, name};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::names::SourceName;
use crate::domain::time::MICROS_PER_SECOND;
use crate::intake::{Settings, SourceSettings};

/// Most of anything that is counted in bytes of memory: 16 GiB.
const MEMORY_BYTES_MAX: i64 = 16 * 1024 * 1024 * 1024;
/// Largest request body: it is held in memory whole.
const BODY_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// Least disk kept free, in bytes: room for the write-ahead log of the transactions that are open.
const FREE_BYTES_MIN: i64 = 1024 * 1024;
/// Most disk kept free, in bytes: more than a host has is a slip of the pen.
const FREE_BYTES_MAX: i64 = 1024 * 1024 * 1024 * 1024 * 1024;
/// Farthest that a record's time may lie ahead, in seconds: a year. Nothing that is billed lies
/// farther.
const AHEAD_SECONDS_MAX: i64 = 365 * 86_400;
/// Farthest that clocks anywhere are from UTC, in minutes: 14 hours.
const ZONE_MINUTES_MAX: i32 = 14 * 60;
/// Longest `source` of CloudEvents, in bytes: the longest address that programs agree to carry.
const EVENT_SOURCE_BYTES_MAX: usize = 2048;

pub(super) fn intake(
    intake: &raw::Intake,
    sources: &raw::Named<raw::Source>,
    found: &mut Findings,
) -> Settings {
    let default = Settings::default();
    let bound = |key: &str, least, most, otherwise| {
        Whole::new(format!("intake.{key}"), least, most, otherwise)
    };
    let ahead =
        bound("ahead_seconds_max", 0, AHEAD_SECONDS_MAX, "a broken clock would be believed");
    let ahead_default = default.ahead_micros_max / MICROS_PER_SECOND;
    let ahead = ahead.read(&intake.ahead_seconds_max, ahead_default, found);
    let whole =
        |bound: Whole, field, default, found: &mut Findings| bound.read(field, default, found);
    let settings = Settings {
        body_bytes_max: whole(
            bound(
                "body_bytes_max",
                1024,
                BODY_BYTES_MAX,
                "no request would fit, or none be bounded",
            ),
            &intake.body_bytes_max,
            default.body_bytes_max,
            found,
        ),
        batch_records_max: bound(
            "batch_records_max",
            1,
            1_000_000,
            "no record would fit, or one request hold up all others",
        )
        .read(&intake.batch_records_max, default.batch_records_max, found),
        record_bytes_max: whole(
            bound(
                "record_bytes_max",
                256,
                BODY_BYTES_MAX,
                "no record would fit, or none be bounded",
            ),
            &intake.record_bytes_max,
            default.record_bytes_max,
            found,
        ),
        properties_max: whole(
            bound("properties_max", 0, 1_000, "each record would carry a document of its own"),
            &intake.properties_max,
            default.properties_max,
            found,
        ),
        ahead_micros_max: ahead.saturating_mul(MICROS_PER_SECOND),
        free_bytes_min: bound(
            "free_bytes_min",
            FREE_BYTES_MIN,
            FREE_BYTES_MAX,
            "the disk would fill up in the middle of a commit, or never be free enough",
        )
        .read(&intake.free_bytes_min, default.free_bytes_min, found),
        inflight_bytes_max: whole(
            bound("inflight_bytes_max", 1024, MEMORY_BYTES_MAX, "no request would ever be let in"),
            &intake.inflight_bytes_max,
            default.inflight_bytes_max,
            found,
        ),
        sources: sources_of(sources, found),
    };
    fits(intake, &settings, found);
    settings
}

/// A record has to fit into a body, and a body into what may be in work.
fn fits(intake: &raw::Intake, settings: &Settings, found: &mut Findings) {
    let (record, body) = (settings.record_bytes_max, settings.body_bytes_max);
    let inflight = settings.inflight_bytes_max;
    let place = |first: &raw::Key<i64>, second: &raw::Key<i64>| {
        first.as_ref().or(second.as_ref()).map(toml::Spanned::span)
    };
    if record > body
        && let Some(span) = place(&intake.record_bytes_max, &intake.body_bytes_max)
    {
        let title = format!(
            "`intake.record_bytes_max` is {record}, more than `intake.body_bytes_max`, {body}"
        );
        let label = "the largest records could be imported and not be sent";
        let help = format!("set `record_bytes_max` to at most {body}, or raise `body_bytes_max`");
        found.error(Problem::at(span, title).label(label).help(help));
    }
    if body > inflight
        && let Some(span) = place(&intake.inflight_bytes_max, &intake.body_bytes_max)
    {
        let title = format!(
            "`intake.body_bytes_max` is {body}, more than `intake.inflight_bytes_max`, {inflight}"
        );
        let label = "the largest requests would be answered 429 for ever";
        let help = format!("set `inflight_bytes_max` to at least {body}");
        found.error(Problem::at(span, title).label(label).help(help));
    }
}

fn sources_of(sources: &raw::Named<raw::Source>, found: &mut Findings) -> Vec<SourceSettings> {
    let mut all = Vec::new();
    let mut named = BTreeMap::new();
    for (key, source) in sources {
        let table = Table { path: format!("source.{}", key.get_ref()), span: key.span() };
        let zone_offset_seconds = source.zone.as_ref().and_then(|field| {
            let offset = zone(field.get_ref());
            if offset.is_none() {
                let title = format!("`{}` is {:?}", table.key("zone"), field.get_ref());
                let label = "places change their clocks: an hour in autumn would mean two times";
                let help = "write \"UTC\" or a fixed offset such as \"+02:00\"";
                found.error(Problem::at(field.span(), title).label(label).help(help));
            }
            offset
        });
        let cloudevents = event_source(&table, &source.cloudevents, &mut named, found);
        if let Some(name) =
            name("the source's name", key.get_ref(), key.span(), SourceName::new, found)
        {
            all.push(SourceSettings { name, zone_offset_seconds, cloudevents });
        }
    }
    all
}

/// What a source's CloudEvents have as their `source`; `named` is what those of the others have.
fn event_source<'a>(
    table: &Table,
    field: &'a raw::Key<String>,
    named: &mut BTreeMap<&'a str, (String, Range<usize>)>,
    found: &mut Findings,
) -> Option<String> {
    let field = field.as_ref()?;
    let (key, text) = (table.key("cloudevents"), field.get_ref().as_str());
    let is_address = !text.is_empty()
        && text.len() <= EVENT_SOURCE_BYTES_MAX
        && !text.chars().any(|each| each.is_control() || each.is_whitespace());
    if !is_address {
        let title = format!("`{key}` is {text:?}, which no CloudEvent has as its source");
        let help = "write it as the events do, such as \"/gateway/eu\" or \"urn:x:y\"";
        let problem = Problem::at(field.span(), title).label("no event would be of this source");
        found.error(problem.help(help));
        return None;
    }
    if let Some((first, span)) = named.get(text) {
        let title = format!("`{first}` and `{key}` are the same");
        let label = "an event would have to be of both";
        let help = "keep one of them: whose events are these?";
        let problem = Problem::at(field.span(), title).label(label).help(help);
        found.error(problem.context(span.clone(), "the first"));
        return None;
    }
    named.insert(text, (key, field.span()));
    Some(text.to_owned())
}

/// Seconds from UTC: `UTC`, `+02:00`, `-03:30`.
fn zone(text: &str) -> Option<i32> {
    if matches!(text, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        (_, _) => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |digits: &str| {
        let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| digits.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= ZONE_MINUTES_MAX).then_some(sign * total * 60)
}

#[cfg(test)]
mod tests {
    use super::zone;

    #[test]
    fn a_zone_is_a_fixed_offset() {
        for (text, expected) in [
            ("UTC", Some(0)),
            ("+02:00", Some(7_200)),
            ("-03:30", Some(-12_600)),
            ("+14:00", Some(50_400)),
            ("+14:01", None),
            ("+02:60", None),
            ("+2:00", None),
            ("0200", None),
            ("Europe/Berlin", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(zone(text), expected, "{text}");
        }
    }
}
