//! `tallyd import`. Here: files in, counts out. Never here: what makes a record, where records go
//! in (see `door`). Read next: `door`.
//!
//! While a stretch of a file is booked the next one is read. An import that was cut short is simply
//! begun again: what is booked already is recognised.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use self::door::Door;
use self::progress::Progress;
use self::tally::Tally;
use super::args::Import;
use super::exit::Exit;
use super::table::{Side, Table};
use super::{page, reading, words};
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::Time;
use crate::domain::names::SourceName;
use crate::intake;
use crate::intake::admit::{Rules, Sources};
use crate::intake::import::{FileBatch, FileRecords, ImportError, Mapping};

mod corrections;
pub(crate) mod door;
mod progress;
mod tally;

/// Bytes read from a file at once: fewer calls than with the usual 8 KiB, and still in the cache.
const READ_BYTES: usize = 128 * 1024;

/// A file, or standard input.
type Input = Box<dyn BufRead + Send>;

/// Books the usage records of files.
///
/// # Errors
/// When the ledger cannot be opened or fails. What was booked before stays booked.
pub(crate) async fn import(asked: &Import) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let named = asked.source.as_deref();
    let source = named
        .map(|name| SourceName::new(name).with_context(|| format!("--source \"{name}\"")))
        .transpose()?;
    let source = match source {
        source if asked.corrections => return corrections::import(&config, asked, source).await,
        Some(source) => source,
        // The command line is refused before it comes here.
        None => bail!("--source is missing: it names where the records come from"),
    };
    let mapping = mapping(&config, asked, &source)?;
    let mut importing = Importing {
        settings: Arc::new(config.intake.clone()),
        sources: Arc::new(Sources::These(vec![source.clone()])),
        clock: Time::of(&config).await?.clock,
        door: None,
        progress: Progress::begin(total_bytes(&asked.files)),
        bytes: 0,
        files: Vec::new(),
        source,
        config,
    };
    let done = importing.run(&asked.files, mapping.as_ref()).await;
    importing.progress.end();
    if let Some(door) = importing.door.take() {
        door.close().await;
    }
    let summary = Summary::of(importing.files);
    if asked.listing.json {
        page::print_json(&summary.json())?;
    } else {
        page::print(|out| summary.write(out))?;
    }
    done.context("the import stopped; import again, as what is booked already is recognised")?;
    Ok(if summary.is_whole() { Exit::Ok } else { Exit::Failure })
}

/// The mapping that was asked for, or the one named like the source.
fn mapping(
    config: &Config,
    asked: &Import,
    source: &SourceName,
) -> anyhow::Result<Option<Mapping>> {
    let named = |name: &str| config.imports.iter().find(|each| each.name == name).cloned();
    let Some(name) = &asked.mapping else { return Ok(named(source.as_str())) };
    match named(name) {
        Some(mapping) => Ok(Some(mapping)),
        None if config.imports.is_empty() => {
            bail!("there is no mapping \"{name}\": the config has no table [import.{name}]")
        }
        None => {
            let known: Vec<&str> = config.imports.iter().map(|each| each.name.as_str()).collect();
            bail!("there is no mapping \"{name}\"; the config has {}", known.join(", "))
        }
    }
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What messages call a file.
fn called(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// How much there is to read; nothing when one of the files does not say.
fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    let size = |path: &PathBuf| {
        let found = if is_standard_input(path) { None } else { std::fs::metadata(path).ok() };
        found.filter(std::fs::Metadata::is_file).map(|found| found.len())
    };
    files.iter().map(size).sum()
}

/// What became of a file.
struct FileTally {
    file: String,
    tally: Tally,
    /// Why it was not read, or not to its end.
    error: Option<String>,
}

struct Importing {
    config: Config,
    settings: Arc<intake::Settings>,
    source: SourceName,
    sources: Arc<Sources>,
    clock: Arc<dyn Clock>,
    /// Opened when the first file has something to book, so that a misspelt name makes no ledger.
    door: Option<Door>,
    progress: Progress,
    bytes: u64,
    files: Vec<FileTally>,
}

impl Importing {
    async fn run(&mut self, files: &[PathBuf], mapping: Option<&Mapping>) -> anyhow::Result<()> {
        for path in files {
            let file = called(path);
            self.files.push(FileTally { file: file.clone(), tally: Tally::default(), error: None });
            let records = match open(path, &file, mapping, &self.settings, &self.source) {
                Ok(records) => records,
                Err(error) => {
                    self.fail(&error);
                    continue;
                }
            };
            self.book(&file, records).await?;
        }
        Ok(())
    }

    /// Books a file; one that cannot be read any further is told and left.
    async fn book(&mut self, file: &str, records: FileRecords<Input>) -> anyhow::Result<()> {
        let before = self.bytes;
        let (mut records, mut next) = self.read(records).await?;
        loop {
            let FileBatch { batch, next: read_to } = match next {
                Ok(Some(stretch)) => stretch,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.fail(&error.into());
                    return Ok(());
                }
            };
            let reading = self.read(records);
            let door = match &mut self.door {
                Some(door) => door,
                none @ None => none.insert(Door::open(&self.config, &self.source).await?),
            };
            let (booked, read) = tokio::join!(door.book(file, batch), reading);
            let booked = booked?;
            if let Some(last) = self.files.last_mut() {
                last.tally.add(booked);
            }
            self.bytes = before + read_to.offset;
            let items = self.files.iter().map(|each| each.tally.items()).sum();
            self.progress.show(file, self.bytes, items);
            (records, next) = read?;
        }
    }

    /// Reads the next stretch where it holds nobody up.
    fn read(
        &self,
        mut records: FileRecords<Input>,
    ) -> impl Future<Output = anyhow::Result<Stretch>> + use<> {
        let (settings, sources) = (self.settings.clone(), self.sources.clone());
        let clock = self.clock.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let rules = Rules { settings: &settings, sources: &sources, now: clock.now() };
            let next = records.next_batch(&rules);
            (records, next)
        });
        async { reading.await.context("the reader failed") }
    }

    /// Keeps why the present file was not read, and tells it at once.
    fn fail(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        self.progress.say(&format!("tallyd: {error}"));
        if let Some(last) = self.files.last_mut() {
            last.error = Some(error);
        }
    }
}

/// A file that is read on, and what was read of it last.
type Stretch = (FileRecords<Input>, Result<Option<FileBatch>, ImportError>);

fn open(
    path: &Path,
    file: &str,
    mapping: Option<&Mapping>,
    settings: &intake::Settings,
    source: &SourceName,
) -> anyhow::Result<FileRecords<Input>> {
    if mapping.is_none() && is_csv(path) {
        bail!(
            "{file} is a table, and nothing says how its rows become records: add a table \
             [import.{source}] to the config, or name another with --mapping"
        );
    }
    Ok(FileRecords::open(input(path, file)?, file, mapping.cloned(), settings)?)
}

fn input(path: &Path, file: &str) -> anyhow::Result<Input> {
    Ok(match is_standard_input(path) {
        true => Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())),
        false => {
            let opened = File::open(path).with_context(|| format!("{file} cannot be opened"))?;
            Box::new(BufReader::with_capacity(READ_BYTES, opened))
        }
    })
}

/// What the import came to.
struct Summary {
    whole: Tally,
    files: Vec<FileTally>,
}

impl Summary {
    fn of(files: Vec<FileTally>) -> Self {
        let mut whole = Tally::default();
        files.iter().for_each(|file| whole.add(file.tally.clone()));
        Self { whole, files }
    }

    /// Whether every row of every file is booked.
    fn is_whole(&self) -> bool {
        self.whole.not_booked() == 0 && self.files.iter().all(|file| file.error.is_none())
    }

    fn json(&self) -> Value {
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|each| {
                let mut document = json!({ "file": each.file });
                document["error"] = Value::from(each.error.clone());
                merge(&mut document, each.tally.counts_json());
                document
            })
            .collect();
        let reasons: Vec<Value> = self
            .whole
            .reasons
            .iter()
            .map(|each| {
                json!({
                    "file": each.file,
                    "line": each.line,
                    "id": each.id,
                    "status": each.status,
                    "field": each.field,
                    "reason": each.reason,
                })
            })
            .collect();
        let mut document = self.whole.counts_json();
        merge(&mut document, json!({ "reasons": reasons, "files": files }));
        document
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::bare([Side::Left, Side::Right]);
        for (name, count) in [
            ("accepted", self.whole.accepted),
            ("duplicates", self.whole.duplicate),
            ("conflicts", self.whole.conflict),
            ("rejected", self.whole.rejected),
        ] {
            table.row([name.to_owned(), count.to_string()]);
        }
        table.write(out, "")?;
        let reasons = &self.whole.reasons;
        if !reasons.is_empty() {
            writeln!(out)?;
        }
        for each in reasons {
            writeln!(out, "{}:{} {} {}", each.file, each.line, each.field, each.reason)?;
        }
        let listed = u64::try_from(reasons.len()).unwrap_or(u64::MAX);
        let more = self.whole.not_booked().saturating_sub(listed);
        match i64::try_from(more).unwrap_or(i64::MAX) {
            0 => Ok(()),
            more => writeln!(out, "and {} more", words::counted(more, "row")),
        }
    }
}

fn merge(document: &mut Value, more: Value) {
    if let (Value::Object(document), Value::Object(more)) = (document, more) {
        document.extend(more);
    }
}
