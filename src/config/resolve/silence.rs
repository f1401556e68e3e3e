//! `[silence]`, and how long a source may be quiet. PURE. Here: when somebody is called silent.
//! Never here: what is learned of them. Read next: `import`.

use toml::Spanned;

use crate::config::field::{Table, Whole, name, seconds};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::names::{CustomerName, MeterName, NameError, SourceName};
use crate::domain::silence::{Speaker, SpeakerKind, Terms};
use crate::domain::time::MICROS_PER_SECOND;

/// Least share of a gap: the gap itself. Less would call somebody silent in each.
const GAP_PERCENT_MIN: i64 = 100;
/// Most: ten gaps.
const GAP_PERCENT_MAX: i64 = 1_000;
/// Shortest quiet that is told, in seconds: arrivals are told apart by the minute.
const QUIET_SECONDS_MIN: i64 = 120;
/// Longest, in seconds: a month. Later, the invoice is final.
const QUIET_SECONDS_MAX: i64 = 31 * 86_400;

/// When somebody is called silent.
pub(super) fn terms(
    silence: &raw::Silence,
    sources: &raw::Named<raw::Source>,
    found: &mut Findings,
) -> Terms {
    let default = Terms::default();
    let kinds = [
        (SpeakerKind::Source, &silence.sources),
        (SpeakerKind::Meter, &silence.meters),
        (SpeakerKind::Customer, &silence.customers),
    ];
    let is_told = |kind: SpeakerKind, key: &raw::Key<bool>| {
        key.as_ref().map_or(default.kinds.contains(&kind), |said| *said.get_ref())
    };
    let otherwise = "each gap would be a silence, or none ever";
    let percent = Whole::new("silence.gap_percent", GAP_PERCENT_MIN, GAP_PERCENT_MAX, otherwise);
    let otherwise = "a hiccup would be a silence, or the invoice final before one is told";
    let floor =
        Whole::new("silence.quiet_seconds_min", QUIET_SECONDS_MIN, QUIET_SECONDS_MAX, otherwise);
    let floor_seconds = default.floor_micros / MICROS_PER_SECOND;
    let floor_seconds = floor.read(&silence.quiet_seconds_min, floor_seconds, found);
    let mut terms = Terms {
        kinds: kinds
            .iter()
            .filter(|(kind, key)| is_told(*kind, key))
            .map(|(kind, _)| *kind)
            .collect(),
        gap_percent: percent.read(&silence.gap_percent, default.gap_percent, found),
        floor_micros: floor_seconds.saturating_mul(MICROS_PER_SECOND),
        ..default
    };
    let mut accept =
        |key: &str, names: &Names, make: &dyn Fn(&str) -> Result<Speaker, NameError>| {
            for each in names.iter().flat_map(|names| names.get_ref()) {
                let what = format!("`silence.{key}` names one that");
                terms.accepted.extend(name(&what, each.get_ref(), each.span(), make, found));
            }
        };
    accept("accepted_sources", &silence.accepted_sources, &|text| {
        SourceName::new(text).map(|name| Speaker::source(&name))
    });
    accept("accepted_meters", &silence.accepted_meters, &|text| {
        MeterName::new(text).map(|name| Speaker::meter(&name))
    });
    accept("accepted_customers", &silence.accepted_customers, &|text| {
        CustomerName::new(text).map(|name| Speaker::customer(&name))
    });
    for (key, source) in sources {
        let table = Table { path: format!("source.{}", key.get_ref()), span: key.span() };
        let said = source.silent_after.as_ref().and_then(|field| quiet(&table, field, found));
        // A name that is none is told of where the source is read.
        if let (Some(seconds), Ok(name)) = (said, SourceName::new(key.get_ref())) {
            terms.said.insert(name, seconds.saturating_mul(MICROS_PER_SECOND));
        }
    }
    terms
}

/// Names in a list.
type Names = raw::Key<Vec<Spanned<String>>>;

/// How long a source may be quiet, in seconds.
fn quiet(table: &Table, field: &Spanned<String>, found: &mut Findings) -> Option<i64> {
    let (key, text) = (table.key("silent_after"), field.get_ref());
    let read = seconds(text);
    if let Some(read) = read.filter(|read| (QUIET_SECONDS_MIN..=QUIET_SECONDS_MAX).contains(read)) {
        return Some(read);
    }
    let title = match read {
        Some(_) => format!("`{key}` is {text:?}, outside \"2m\" to \"31d\""),
        None => format!("`{key}` is {text:?}, which is no span of time"),
    };
    let label = "its silence would be told at another time than meant, or never";
    let help = "write a number and s, m, h or d, such as \"6h\"";
    found.error(Problem::at(field.span(), title).label(label).help(help));
    None
}
