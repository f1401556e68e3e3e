//! Reading the file. Here: the file's text, its syntax, what was given outside it. Never here: what
//! a value means (see `resolve`). Read next: `raw`.
//!
//! serde stops at the first value it cannot read. So that one run tells everything, the key it
//! stopped at is put on the list, taken out of the parsed table, and reading begins again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::Findings;
use super::misspelt::nearest;
use super::places::Places;
use super::problem::Problem;
use super::resolve::{self, Given};
use super::{Config, Problems, SecretPolicy, raw};

/// Largest config file, in bytes: thousands of routes. It bounds what a wrong path can cost.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most keys that are put on the list one by one because they could not be read. A file with more
/// is probably not a config of this program at all.
const UNREAD_MAX: usize = 50;

/// The ledger's path, given by the environment.
pub const ENV_LEDGER: &str = "TALLYD_LEDGER";
/// The address of HTTP, given by the environment.
pub const ENV_LISTEN: &str = "TALLYD_LISTEN";
/// What is logged, given by the environment.
pub const ENV_LOG: &str = "TALLYD_LOG";

/// What was given by flags. A flag wins over the environment, which wins over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `ledger.path`; relative to the working directory.
    pub ledger: Option<PathBuf>,
    /// In place of `http.listen`.
    pub listen: Option<String>,
    /// In place of `log.filter`.
    pub log: Option<String>,
}

/// What counts besides the file.
pub struct Outside<'a> {
    /// What was given by flags.
    pub overrides: Overrides,
    /// The value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Outside<'_> {
    /// Flags, and where there are none, the environment.
    fn given(&self) -> Overrides {
        let Overrides { ledger, listen, log } = self.overrides.clone();
        let environment = |name| (self.environment)(name).filter(|value| !value.is_empty());
        Overrides {
            ledger: ledger.or_else(|| environment(ENV_LEDGER).map(PathBuf::from)),
            listen: listen.or_else(|| environment(ENV_LISTEN)),
            log: log.or_else(|| environment(ENV_LOG)),
        }
    }
}

/// Reads the config file at `path`.
///
/// # Errors
/// With every problem found, when at least one of them is an error.
pub fn load(path: &Path, outside: &Outside<'_>, secrets: SecretPolicy) -> Result<Config, Problems> {
    match read(path) {
        Ok(text) => load_text(&text, path, outside, secrets),
        Err(problem) => {
            Err(Problems::new(path.display().to_string(), "", vec![*problem], Vec::new()))
        }
    }
}

/// Reads `text` as the content of the config file at `path`, which need not exist.
///
/// # Errors
/// With every problem found, when at least one of them is an error.
pub fn load_text(
    text: &str,
    path: &Path,
    outside: &Outside<'_>,
    secrets: SecretPolicy,
) -> Result<Config, Problems> {
    let mut found = Findings::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    let file = path.display().to_string();
    if !errors.is_empty() {
        // What was recovered of a broken file may be far from what was meant: nothing in it is
        // judged.
        return Err(Problems::new(file, text, broken(text, &errors), Vec::new()));
    }
    let Some(raw) = read_tables(table, &mut found) else {
        return Err(Problems::new(file, text, found.errors, found.warnings));
    };
    let given = Given {
        folder: path.parent().unwrap_or(Path::new("")),
        overrides: outside.given(),
        environment: outside.environment,
        secrets,
    };
    let settings = resolve::resolve(&raw, &given, &mut found);
    let broken = !found.errors.is_empty();
    let secret_places = found.secret_places;
    let problems = Problems::new(file, text, found.errors, found.warnings);
    if broken {
        return Err(problems);
    }
    Ok(Config {
        file: path.to_owned(),
        store: settings.store,
        ballast_bytes: settings.ballast_bytes,
        fencing: settings.fencing,
        archive_after_days: settings.archive_after_days,
        maintenance: settings.maintenance,
        held_alarm_basis_points: settings.held_alarm_basis_points,
        web: settings.web,
        intake: settings.intake,
        stripe: settings.stripe,
        chargebee: settings.chargebee,
        usage_events: settings.usage_events,
        cryptolens: settings.cryptolens,
        planship: settings.planship,
        routes: settings.routes,
        tellings: settings.tellings,
        imports: settings.imports,
        spools: settings.spools,
        levers: settings.levers,
        planship_api: settings.planship_api,
        silence: settings.silence,
        telemetry: settings.telemetry,
        follow: settings.follow,
        secrets,
        secret_places,
        warnings: problems,
        places: Places::of(&raw),
    })
}

fn read(path: &Path) -> Result<String, Box<Problem>> {
    let help = "name another file with --config, or start from `config.example.toml`";
    let label = "nothing is known of the ledger, the routes and the providers";
    let problem = |title: String| Box::new(Problem::nowhere(title).label(label).help(help));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(format!("the config file cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(problem(format!("the config file is larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        problem(format!("the config file is not UTF-8 text, at byte {at}"))
    })
}

/// What the TOML reader did not understand: one problem a line, as the rest of a broken line is
/// rarely understood either.
fn broken(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut lines = BTreeSet::new();
    let mut problems = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let before = text.as_bytes().iter().take(span.start);
        if !lines.insert(before.filter(|byte| **byte == b'\n').count()) {
            continue;
        }
        let problem = if error.message().contains("duplicate key") {
            let name = text.get(span.clone()).unwrap_or_default();
            Problem::at(span, format!("`{name}` is there twice"))
                .label("it is not clear which of the two counts")
                .help("rename or remove one of them")
        } else {
            Problem::at(span, format!("this is not TOML: {}", error.message()))
                .label("nothing else in the file was judged")
                .help("see https://toml.io for the syntax")
        };
        problems.push(problem);
    }
    problems
}

/// Reads the parsed file, leaving out what cannot be read; nothing when that is too much.
fn read_tables(mut table: Spanned<DeTable<'_>>, found: &mut Findings) -> Option<raw::File> {
    for _ in 0..UNREAD_MAX {
        let error = match raw::File::deserialize(toml::Deserializer::from(table.clone())) {
            Ok(file) => return Some(file),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let removed = remove(table.get_mut(), &span, "");
        let path = removed.as_deref().unwrap_or_default();
        found.error(unread(error.message(), span, path, known_keys(error.message())));
        let path = removed?;
        if let Some((_, meant)) = misspelt_key(error.message()) {
            let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            found.unread.insert(format!("{parent}.{meant}"));
        }
        found.unread.insert(path);
    }
    let problem = Problem::nowhere(format!("more than {UNREAD_MAX} keys cannot be read"))
        .label("the rest of the file was not judged")
        .help("see `config.example.toml` for the keys there are");
    found.error(problem);
    None
}

/// Takes the key out whose name stands at `span`, or else the innermost whose name or value covers
/// it, and gives its path.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>, path: &str) -> Option<String> {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut direct = None;
    for (key, value) in table.iter_mut() {
        let path = match path {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        if key.span() == *span {
            direct = Some((key.get_ref().to_string(), path));
            break;
        }
        let whole = covers(key.span()) || covers(value.span());
        if let Some(removed) = remove_inside(value.get_mut(), span, &path) {
            return Some(removed);
        }
        if whole {
            direct = Some((key.get_ref().to_string(), path));
        }
    }
    let (key, path) = direct?;
    table.remove(key.as_str());
    Some(path)
}

fn remove_inside(value: &mut DeValue<'_>, span: &Range<usize>, path: &str) -> Option<String> {
    match value {
        DeValue::Table(table) => remove(table, span, path),
        DeValue::Array(array) => array.iter_mut().enumerate().find_map(|(index, each)| {
            remove_inside(each.get_mut(), span, &format!("{path}.{}", index + 1))
        }),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

/// The words between backticks in a message of serde's.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// The keys that a message about an unknown one says would be known.
fn known_keys(message: &str) -> Vec<&str> {
    if message.starts_with("unknown field ") {
        quoted(message).into_iter().skip(1).collect()
    } else {
        Vec::new()
    }
}

/// The unknown key of a message, and the one that was probably meant.
fn misspelt_key(message: &str) -> Option<(&str, &str)> {
    let unknown = *quoted(message).first()?;
    nearest(unknown, known_keys(message)).map(|meant| (unknown, meant))
}

/// What serde did not understand, in the words of this program. Its own message may hold the value,
/// which may be a secret in the wrong place: only the kinds of the values are taken from it.
fn unread(message: &str, span: Range<usize>, path: &str, known: Vec<&str>) -> Problem {
    if message.starts_with("unknown field ") {
        let title = format!("there is no key `{path}`");
        let list: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
        let help = match misspelt_key(message) {
            Some((_, meant)) => format!("did you mean `{meant}`?"),
            None => format!("known here: {}", list.join(", ")),
        };
        let label = "it would be ignored, and what it is to set would stay as it is";
        return Problem::at(span, title).label(label).help(help);
    }
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
    let found = found.split(['`', '"']).next().unwrap_or_default().trim();
    let expected = match expected {
        "" => "something else",
        "i64" => "an integer",
        "a map" => "a table",
        "a sequence" => "an array",
        kind if kind.starts_with("struct ") => "a table",
        kind => kind,
    };
    let found = match found {
        "map" => "a table",
        "sequence" => "an array",
        "string" => "a text",
        "integer" => "an integer",
        "floating point" => "a floating-point number",
        "boolean" => "a truth value",
        _ => "this",
    };
    let expected = if expected == "a string" { "a text in quotes" } else { expected };
    Problem::at(span, format!("`{path}` has to be {expected}, and {found} is not"))
        .label("nothing can be set from it")
        .help(format!("write {expected}"))
}
