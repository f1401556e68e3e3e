//! `tallyd import --corrections`. Here: files of corrections in, counts out. Never here: what makes
//! a correction. Read next: [`super::door`].

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::progress::Progress;
use super::{Input, called, input, is_csv, is_standard_input, total_bytes};
use crate::cli::args::Import;
use crate::cli::correct::door::{Answer, Answers, Door};
use crate::cli::exit::Exit;
use crate::cli::table::{Side, Table};
use crate::cli::{page, words};
use crate::config::Config;
use crate::domain::names::SourceName;
use crate::intake::admit::{Sources, escaped};
use crate::intake::correct::CorrectionRules;
use crate::intake::correction_files::{CorrectionFormat, CorrectionStretch, FileCorrections};
use crate::intake::desk::CORRECTIONS_PER_CALL_MAX;

/// Most refused lines that are listed, and held: the ledger keeps each that is no correction.
const REFUSED_MAX: usize = 1_000;
/// Most of them that a person is shown.
const REFUSED_SHOWN_MAX: usize = 20;

/// What became of a file.
#[derive(Default)]
struct FileAnswers {
    file: String,
    answers: Answers,
    /// Why it was not read, or not to its end.
    error: Option<String>,
}

/// Accepts the corrections of files.
///
/// # Errors
/// When the ledger cannot be opened or fails. What was accepted before stays accepted.
pub(super) async fn import(
    config: &Config,
    asked: &Import,
    source: Option<SourceName>,
) -> anyhow::Result<Exit> {
    let sources = source.map_or(Sources::Any, |source| Sources::These(vec![source]));
    let mut progress = Progress::begin(total_bytes(&asked.files));
    let (mut door, mut files, mut bytes) = (None, Vec::new(), 0);
    let mut failed = None;
    for path in &asked.files {
        let mut done = FileAnswers { file: called(path), ..FileAnswers::default() };
        let into = (&mut done, &mut door, &mut bytes);
        let ended = one(config, &sources, path, into, &mut progress).await;
        if let Some(error) = &done.error {
            progress.say(&format!("tallyd: {error}"));
        }
        files.push(done);
        if let Err(why) = ended {
            failed = Some(why);
            break;
        }
    }
    progress.end();
    if let Some(door) = door {
        door.close().await;
    }
    let mut whole = Answers::default();
    files.iter().for_each(|file| whole.add(file.answers.clone()));
    if asked.listing.json {
        page::print_json(&summary_json(&whole, &files))?;
    } else {
        page::print(|out| write(out, &whole, &files))?;
    }
    if let Some(why) = failed {
        let said = "the import stopped; import again, as what is accepted already is recognised";
        return Err(why.context(said));
    }
    let good = whole.refused() == 0 && files.iter().all(|file| file.error.is_none());
    Ok(if good { Exit::Ok } else { Exit::Failure })
}

async fn one(
    config: &Config,
    sources: &Sources,
    path: &Path,
    (done, door, bytes): (&mut FileAnswers, &mut Option<Door>, &mut u64),
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let who = match path.file_name() {
        Some(name) if !is_standard_input(path) => name.to_string_lossy().trim().to_owned(),
        Some(_) | None => "-".to_owned(),
    };
    let who = format!("file:{}", escaped(&who));
    let rules = CorrectionRules { settings: &config.intake, sources, who: &who };
    let before = *bytes;
    let mut corrections = match open(config, path, &done.file) {
        Ok(corrections) => corrections,
        Err(error) => {
            done.error = Some(format!("{error:#}"));
            return Ok(());
        }
    };
    loop {
        let stretch = match corrections.next_stretch(CORRECTIONS_PER_CALL_MAX, &rules) {
            Ok(None) => return Ok(()),
            Ok(Some(stretch)) => stretch,
            Err(error) => {
                done.error = Some(format!("{:#}", anyhow::Error::new(error)));
                return Ok(());
            }
        };
        let CorrectionStretch { batch, bytes_read } = stretch;
        if !batch.is_empty() {
            // Opened when there is something to accept, so that a misspelt name makes no ledger.
            let door = match &mut *door {
                Some(door) => door,
                none @ None => none.insert(Door::open(config, "import").await?),
            };
            let mut answers = door.correct(&who, batch).await?;
            answers.corrections.retain(Answer::is_refused);
            done.answers.add(answers);
            done.answers.corrections.truncate(REFUSED_MAX);
        }
        *bytes = before + bytes_read;
        progress.show(&done.file, *bytes, done.answers.items());
    }
}

fn open(config: &Config, path: &Path, file: &str) -> anyhow::Result<FileCorrections<Input>> {
    let format = if is_csv(path) { CorrectionFormat::Csv } else { CorrectionFormat::Ndjson };
    Ok(FileCorrections::open(input(path, file)?, file, format, &config.intake)?)
}

fn counts_json(answers: &Answers) -> Value {
    let mut document = json!({});
    for (name, count) in answers.counts() {
        document[name] = count.into();
    }
    document
}

fn refused(files: &[FileAnswers]) -> impl Iterator<Item = (&str, &Answer)> {
    files.iter().flat_map(|file| {
        file.answers.corrections.iter().map(move |answer| (file.file.as_str(), answer))
    })
}

fn summary_json(whole: &Answers, files: &[FileAnswers]) -> Value {
    let reasons: Vec<Value> = refused(files)
        .map(|(file, answer)| {
            let mut document = json!(answer);
            document["file"] = file.into();
            document
        })
        .collect();
    let mut document = counts_json(whole);
    let files: Vec<Value> = files
        .iter()
        .map(|each| {
            let mut document = counts_json(&each.answers);
            document["file"] = each.file.as_str().into();
            document["error"] = each.error.clone().into();
            document
        })
        .collect();
    document["reasons"] = reasons.into();
    document["files"] = files.into();
    document
}

fn write(out: &mut dyn Write, whole: &Answers, files: &[FileAnswers]) -> io::Result<()> {
    let mut table = Table::bare([Side::Left, Side::Right]);
    for (name, count) in whole.counts() {
        table.row([name.to_owned(), count.to_string()]);
    }
    table.write(out, "")?;
    if whole.refused() > 0 {
        writeln!(out)?;
    }
    for (file, answer) in refused(files).take(REFUSED_SHOWN_MAX) {
        let (field, reason) = (answer.field.as_deref(), answer.reason.as_deref());
        let (field, reason) = (field.unwrap_or_default(), reason.unwrap_or_default());
        writeln!(out, "{file}:{} {field} {reason}", answer.line.unwrap_or_default())?;
    }
    let shown = u64::try_from(refused(files).take(REFUSED_SHOWN_MAX).count()).unwrap_or(u64::MAX);
    match i64::try_from(whole.refused().saturating_sub(shown)).unwrap_or(i64::MAX) {
        0 => Ok(()),
        more => writeln!(out, "and {} more", words::counted(more, "line")),
    }
}
