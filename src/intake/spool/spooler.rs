//! The service that reads a spool. Here: look, read, book, note what ended. Never here: what is to
//! be done with a file (see [`super::look`]), a byte of one ([`super::disk`]). Read next:
//! [`crate::ledger::spool`].

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Settings;
use super::disk::{self, Asked, Found, Listed};
use super::kept::{Gone, Kept};
use super::look::{self, Task};
use crate::domain::time::Timestamp;
use crate::intake::batch::Batch;
use crate::intake::gate::{Gate, Verdicts};
use crate::ledger::spool::{Cursor, FileEnd, FileKey, SpoolFile, SpoolLedger, Stretch};
use crate::service::{Service, Step, StepError};

/// Most stretches that a step books: each is up to a request's worth of records, and others wait
/// for the writer too.
const STRETCHES_MAX: u64 = 16;

/// Told what became of each stretch.
pub type Observer = Arc<dyn Fn(&Verdicts) + Send + Sync>;

/// Reads one directory.
pub struct Spooler {
    name: String,
    settings: Arc<Settings>,
    gate: Arc<Gate>,
    ledger: Arc<dyn SpoolLedger>,
    observer: Observer,
    kept: Mutex<Kept>,
}

impl Spooler {
    /// Reads the directory of `settings` into `gate`, and notes in `ledger` how far.
    #[must_use]
    pub fn new(
        settings: Settings,
        gate: Arc<Gate>,
        ledger: Arc<dyn SpoolLedger>,
        observer: Observer,
    ) -> Self {
        let name = format!("spool {}", settings.name);
        let kept = Mutex::default();
        Self { name, settings: Arc::new(settings), gate, ledger, observer, kept }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies in the directory; nothing, and it is said once, while it cannot be read.
    async fn list(&self) -> Option<Listed> {
        let directory = self.settings.directory.clone();
        let listed = aside(move || disk::list(&directory)).await;
        let trouble = listed.as_ref().err().map(ToString::to_string);
        let mut kept = self.kept();
        let directory = self.settings.directory.display();
        if trouble != kept.trouble {
            match &trouble {
                Some(why) => tracing::warn!(%directory, "a spool cannot be read: {why}"),
                None => tracing::info!(%directory, "a spool can be read again"),
            }
            kept.trouble = trouble;
        }
        let listed = listed.ok()?;
        for (file, why) in kept.newly_left_out(&listed.left_out) {
            tracing::warn!(%directory, file, "a file of a spool is not read: {why}");
        }
        Some(listed)
    }

    /// The file, held open from now on; nothing where there is nothing more in it.
    async fn open(
        &self,
        key: FileKey,
        name: &str,
        is_there: bool,
    ) -> io::Result<Option<Arc<File>>> {
        {
            let kept = self.kept();
            if is_there && kept.nothing_is_expected_of(key) {
                return Ok(None);
            }
            if let Some(file) = kept.held(key) {
                return Ok(Some(file));
            }
        }
        let (directory, called) = (self.settings.directory.clone(), name.to_owned());
        let Some(file) = aside(move || disk::open(&directory, &called, key)).await? else {
            return Ok(None);
        };
        let file = Arc::new(file);
        self.kept().hold(key, &file);
        Ok(Some(file))
    }

    /// Reads the next stretch of a file and books it; answers whether there may be more.
    async fn read(
        &self,
        key: FileKey,
        name: String,
        known: Option<SpoolFile>,
        is_there: bool,
        now: Timestamp,
    ) -> Result<Option<Verdicts>, StepError> {
        let file = match self.open(key, &name, is_there).await {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(why) => {
                self.tell_unread(key, &name, &why.to_string());
                return Ok(None);
            }
        };
        if !is_there && let Ok(metadata) = file.metadata() {
            // Nobody lists it any more: what it is like is seen through what holds it open.
            self.kept().notice(key, disk::state(&metadata), now);
        }
        let silent = self.kept().silent(key, now, self.settings.silence_micros);
        let asked = Asked {
            file,
            name: name.clone(),
            known: known.clone(),
            is_there,
            silent,
            now,
            spool: Arc::clone(&self.settings),
            intake: self.gate.settings(),
        };
        match aside(move || disk::read(&asked)).await {
            Ok(Found::Stretch { batch, to, size }) => {
                let from = known.map_or(0, |known| known.cursor.offset);
                let spool = self.settings.name.clone();
                let stretch = Stretch { spool, key, name, from, to, size };
                let booked = self.book(batch, stretch).await?;
                self.kept().went_on(key);
                return Ok(Some(booked));
            }
            Ok(Found::Replaced) => {
                if let Some(known) = known {
                    self.end(&known, look::replaced(&known, &name), now).await?;
                }
                self.kept().forget(key);
                return Ok(Some(Verdicts::default()));
            }
            Ok(Found::Nothing { unread: 0, .. }) => self.kept().went_on(key),
            Ok(Found::Nothing { unread, line }) => {
                if self.is_stuck(key, silent.is_some(), now) {
                    self.tell_unread(key, &name, &unended(line, unread));
                }
            }
            Ok(Found::Unusable(why)) => {
                // Its header may not be whole yet.
                if self.is_stuck(key, silent.is_some(), now) {
                    self.tell_unread(key, &name, &why);
                }
            }
            Err(why) => {
                self.tell_unread(key, &name, &why.to_string());
                if is_there {
                    // What holds it open may be what is broken.
                    self.kept().let_go(key);
                    return Ok(None);
                }
            }
        }
        self.rest(key, known, is_there, silent, now).await
    }

    /// Whether nothing of what lies in a file could be booked for as long as a silence, or in one.
    fn is_stuck(&self, key: FileKey, is_silent: bool, now: Timestamp) -> bool {
        self.kept().stuck_micros(key, now) >= self.settings.silence_micros || is_silent
    }

    /// Books a stretch, then notes beside its file what was rejected of it.
    async fn book(&self, batch: Batch, stretch: Stretch) -> Result<Verdicts, StepError> {
        let rejected: Vec<_> = batch.rejected.iter().map(|(_, item)| item.clone()).collect();
        let name = stretch.name.clone();
        // An error that ends the process is told to the supervisor by the gate.
        let verdicts = self.gate.admit_stretch(&*self.ledger, batch, stretch).await;
        let verdicts = verdicts.map_err(|why| StepError::Later(why.into()))?;
        (self.observer)(&verdicts);
        if !rejected.is_empty() {
            let count = rejected.len();
            tracing::warn!(file = name, count, "lines of a spool were rejected");
            let directory = self.settings.directory.clone();
            let noted = aside(move || disk::note_rejected(&directory, &name, &rejected)).await;
            if let Err(why) = noted {
                tracing::warn!("rejected lines are kept in the ledger alone: {why}");
            }
        }
        Ok(verdicts)
    }

    /// Nothing more is in a file for now. One that is gone and silent has ended.
    async fn rest(
        &self,
        key: FileKey,
        known: Option<SpoolFile>,
        is_there: bool,
        silent: Option<(u64, Timestamp)>,
        now: Timestamp,
    ) -> Result<Option<Verdicts>, StepError> {
        let Some((size, _)) = silent else { return Ok(None) };
        if is_there {
            self.kept().is_done(key);
            return Ok(None);
        }
        if let Some(known) = known {
            // What was written to it since it was read last is unread too.
            let known = SpoolFile { size: known.size.max(size), ..known };
            self.end(&known, look::gone(&known), now).await?;
        }
        self.kept().forget(key);
        Ok(None)
    }

    /// Notes that a file is read no further, and says so where something may be lost.
    async fn end(&self, known: &SpoolFile, why: FileEnd, now: Timestamp) -> Result<(), StepError> {
        self.ledger.end_file(known.id, why, now).await?;
        let SpoolFile { name, cursor: Cursor { offset, line, .. }, size, .. } = known;
        let spool = self.settings.name.as_str();
        match why {
            FileEnd::Read => {
                tracing::info!(spool, file = name, offset, "a file is gone, and was read so far");
            }
            FileEnd::Lost => tracing::error!(
                spool,
                file = name,
                unread = size.saturating_sub(*offset),
                "a file is gone, and its end was not read"
            ),
            FileEnd::Replaced => tracing::error!(
                spool,
                file = name,
                line,
                "a file was cut and written anew: what was written to it behind this line and \
                 before the cut is lost, unless a copy of it comes into the spool"
            ),
        }
        Ok(())
    }

    /// Says, once until something of it is read, that a file cannot be read.
    fn tell_unread(&self, key: FileKey, name: &str, why: &str) {
        if self.kept().is_told_first(key) {
            tracing::error!(file = name, "a file of a spool cannot be read: {why}");
        }
    }

    /// Says which files are gone of which nothing was ever read.
    fn tell_gone(&self, gone: &[Gone], known: &[SpoolFile]) {
        for Gone { key, name, size } in gone {
            if known.iter().all(|file| file.key != *key) {
                let (spool, file) = (self.settings.name.as_str(), name);
                tracing::error!(spool, file, size, "a file is gone, and none of it was read");
            }
        }
    }

    /// Does one thing that is to be done; answers with what was booked, if there may be more.
    async fn go_about(&self, task: Task, now: Timestamp) -> Result<Option<Verdicts>, StepError> {
        match task {
            Task::Read { key, name, known, is_there } => {
                self.read(key, name, known, is_there, now).await
            }
            Task::End { known, why } => {
                if why == FileEnd::Read {
                    let (spool, file) = (self.settings.name.as_str(), &known.name);
                    tracing::warn!(
                        spool,
                        file,
                        "a file is gone that nobody here held open: all that was seen of it was \
                         read; what was written to it since is lost, if anything was"
                    );
                }
                self.end(&known, why, now).await?;
                Ok(None)
            }
        }
    }
}

#[async_trait]
impl Service for Spooler {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let wake_at = Some(now.plus_micros(self.settings.look_micros));
        let Some(Listed { seen, .. }) = self.list().await else {
            return Ok(Step { wake_at, ..Step::default() });
        };
        let known = self.ledger.spooled(&self.settings.name).await?;
        let (open, gone) = self.kept().look_at(&seen, now);
        self.tell_gone(&gone, &known);
        let (mut stretches, mut booked) = (0, 0);
        for task in look::tasks(seen, known, &open) {
            if stretches == STRETCHES_MAX {
                break;
            }
            if let Some(verdicts) = self.go_about(task, now).await? {
                stretches += 1;
                booked += verdicts.accepted;
            }
        }
        let counts = vec![("stretches", stretches), ("accepted", booked)];
        Ok(Step { counts, more: stretches > 0, wake_at })
    }
}

/// Why a line is not read that has no end.
fn unended(line: u64, unread: u64) -> String {
    format!(
        "nothing has ended its line {line} yet, in {unread} bytes: it is read once its end is \
         written, or the file leaves"
    )
}

/// Runs what waits for a disk where it holds nobody up.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(why) => std::panic::resume_unwind(why.into_panic()),
    }
}
