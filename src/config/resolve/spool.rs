//! `[spool.NAME]`. PURE. Here: which directories are read, and as what. Never here: a directory.
//! Read next: `route`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;

use crate::config::field::{Table, Whole, name, required};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::names::{SourceName, SpoolName};
use crate::domain::time::MICROS_PER_SECOND;
use crate::intake::import::Mapping;
use crate::intake::spool::{LOOK_SECONDS, SILENCE_SECONDS, Settings};

/// Longest time between two looks, in seconds: an hour. What is used has to be told while its
/// period is open.
const LOOK_SECONDS_MAX: i64 = 3_600;
/// Longest silence that is waited for, in seconds: a day.
const SILENCE_SECONDS_MAX: i64 = 86_400;

pub(super) fn spools(
    spools: &raw::Named<raw::Spool>,
    imports: &[Mapping],
    folder: &Path,
    found: &mut Findings,
) -> Vec<Settings> {
    let mut all: Vec<Settings> = Vec::new();
    let mut taken: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (key, spool) in spools {
        let table = Table { path: format!("spool.{}", key.get_ref()), span: key.span() };
        let named = name("the spool's name", key.get_ref(), key.span(), SpoolName::new, found);
        let otherwise = "there would be nothing to read";
        let example = "\"/var/spool/tallyd\"";
        let directory = required(&table, "directory", &spool.directory, otherwise, example, found);
        let source = match &spool.source {
            Some(field) => name(
                &format!("`{}`", table.key("source")),
                field.get_ref(),
                field.span(),
                SourceName::new,
                found,
            ),
            None => SourceName::new(key.get_ref()).ok(),
        };
        let bound = |key: &str, most, otherwise| Whole::new(table.key(key), 1, most, otherwise);
        let look = bound("look_seconds", LOOK_SECONDS_MAX, "usage would wait, or never be read");
        let look = look.read(&spool.look_seconds, LOOK_SECONDS, found);
        let silence = bound(
            "silence_seconds",
            SILENCE_SECONDS_MAX,
            "lines that are being written would be judged, or cut ones never",
        );
        let silence = silence.read(&spool.silence_seconds, SILENCE_SECONDS, found);
        let mapping = mapping(&table, spool, source.as_ref(), imports, found);
        let (Some(named), Some(directory), Some(source)) = (named, directory, source) else {
            continue;
        };
        let path = folder.join(directory.get_ref());
        if let Some(other) = taken.insert(path.clone(), table.path.clone()) {
            read_twice(&table, &other, directory, found);
        }
        all.push(Settings {
            name: named,
            directory: path,
            source,
            mapping,
            look_micros: look.saturating_mul(MICROS_PER_SECOND),
            silence_micros: silence.saturating_mul(MICROS_PER_SECOND),
        });
    }
    all
}

/// The mapping that is named, or the one called like the source, as for an import by hand.
fn mapping(
    table: &Table,
    spool: &raw::Spool,
    source: Option<&SourceName>,
    imports: &[Mapping],
    found: &mut Findings,
) -> Option<Mapping> {
    let called = |name: &str| imports.iter().find(|each| each.name == name).cloned();
    let Some(field) = &spool.mapping else { return called(source?.as_str()) };
    let mapping = called(field.get_ref());
    if mapping.is_none() {
        let name = field.get_ref();
        let title =
            format!("`{}` names the import {name:?}, which is not there", table.key("mapping"));
        let label = "nobody could say which column is what";
        let help = format!("add a table [import.{name}], or name one that is there");
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    mapping
}

fn read_twice(table: &Table, other: &str, directory: &Spanned<String>, found: &mut Findings) {
    let title = format!("`{}` and `{other}` read the same directory", table.path);
    let label = "each line would be booked twice, once for each source";
    let help = "keep one of them, or give each source a directory of its own";
    found.error(Problem::at(directory.span(), title).label(label).help(help));
}
