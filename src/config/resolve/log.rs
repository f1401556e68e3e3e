//! `[log]`. PURE. Here: how logs are written and what is in them. Never here: logging. Read next:
//! `inlet`.

use super::Given;
use crate::config::field::word;
use crate::config::finding::Findings;
use crate::config::misspelt::nearest;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::telemetry::{self, LogFormat};

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(super) fn telemetry(
    log: &raw::Log,
    given: &Given<'_>,
    found: &mut Findings,
) -> telemetry::Settings {
    let default = telemetry::Settings::default();
    let format = word("log.format", &log.format, &FORMATS, default.format, found);
    let (filter, span) = match (&given.overrides.log, &log.filter) {
        (Some(filter), _) => (filter.clone(), None),
        (None, Some(field)) => (field.get_ref().clone(), Some(field.span())),
        (None, None) => return telemetry::Settings { format, ..default },
    };
    for part in filter.split(',') {
        if let Some((title, help)) = wrong_part(part.trim()) {
            let problem = match &span {
                Some(span) => Problem::at(span.clone(), title),
                None => Problem::nowhere(title),
            };
            let label = "it would be taken for a module's name, and all else would fall silent";
            found.error(problem.label(label).help(help));
        }
    }
    telemetry::Settings { format, filter }
}

/// What is wrong with one part of a filter: a level, or `module=level`.
fn wrong_part(part: &str) -> Option<(String, String)> {
    let (module, level) = match part.split_once('=') {
        Some((module, level)) => (Some(module), level),
        None => (None, part),
    };
    let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    let module_plain = module.is_none_or(|module| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        !module.is_empty() && module.chars().all(plain)
    });
    if known && module_plain {
        return None;
    }
    if known {
        let title = format!("`log.filter` names no module in {part:?}");
        return Some((title, "write `module=level`, such as \"tallyd::delivery=debug\"".into()));
    }
    let title = format!("`log.filter` does not know the level {level:?}");
    let levels = LEVELS.join(", ");
    let help = match nearest(level, LEVELS) {
        Some(meant) => format!("did you mean \"{meant}\"? the levels are {levels}"),
        None => format!("the levels are {levels}; for one module, write `module=level`"),
    };
    Some((title, help))
}
