//! The service that reads a spool. Here: look, read, book, note what ended. Never here: what is to
//! be done with a file (see [`super::look`]), a byte of one ([`super::disk`]). Read next:
//! [`crate::ledger::spool`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Settings;
use super::disk::{self, Asked, Found};
use super::look::{self, Seen, Task};
use crate::domain::time::Timestamp;
use crate::intake::batch::Batch;
use crate::intake::gate::{Gate, Verdicts};
use crate::intake::import::LastRow;
use crate::ledger::spool::{Cursor, FileEnd, FileKey, SpoolFile, SpoolLedger, Stretch};
use crate::service::{Service, Step, StepError};

/// Most stretches that a step books: each is up to a request's worth of records, and others wait
/// for the writer too.
const STRETCHES_MAX: u64 = 16;
/// Most files that are held open: a quarter of a service's usual limit. What is not held open is
/// opened when it is read.
const OPEN_FILES_MAX: usize = 256;

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

/// What is remembered from look to look. All of it can be forgotten.
#[derive(Default)]
struct Kept {
    files: BTreeMap<FileKey, Remembered>,
    /// What is wrong with the directory.
    trouble: Option<String>,
}

/// A file, as it was at the last look.
struct Remembered {
    /// It is held open, so that it can be read to its end when it leaves the directory.
    file: Option<Arc<File>>,
    name: String,
    /// Its length, and when it was written.
    seen: (u64, Timestamp),
    /// Since when these are the same.
    still_since: Timestamp,
    /// Whether nothing more is found in it until it changes.
    is_done: bool,
    /// Whether it was said that it cannot be read.
    was_told: bool,
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
    async fn list(&self) -> Option<Vec<Seen>> {
        let directory = self.settings.directory.clone();
        let listed = aside(move || disk::list(&directory)).await;
        let trouble = listed.as_ref().err().map(ToString::to_string);
        let mut kept = self.kept();
        if trouble != kept.trouble {
            let directory = self.settings.directory.display();
            match &trouble {
                Some(why) => tracing::warn!(%directory, "a spool cannot be read: {why}"),
                None => tracing::info!(%directory, "a spool can be read again"),
            }
            kept.trouble = trouble;
        }
        listed.ok()
    }

    /// Remembers what is seen, at `now`; answers with the files that are held open.
    fn look_at(&self, seen: &[Seen], now: Timestamp) -> BTreeMap<FileKey, String> {
        let mut kept = self.kept();
        let mut there = BTreeSet::new();
        for Seen { key, name, size, modified_at } in seen {
            let seen = (*size, *modified_at);
            let file = kept.files.entry(*key).or_insert_with(|| Remembered::new(seen, now));
            file.name.clone_from(name);
            file.notice(seen, now);
            there.insert(*key);
        }
        kept.files.retain(|key, file| file.file.is_some() || there.contains(key));
        let open = kept.files.iter().filter(|(_, file)| file.file.is_some());
        open.map(|(key, file)| (*key, file.name.clone())).collect()
    }

    /// The file, held open from now on; nothing where there is nothing more in it.
    async fn open(
        &self,
        key: FileKey,
        name: &str,
        is_there: bool,
    ) -> io::Result<Option<Arc<File>>> {
        if let Some(known) = self.kept().files.get(&key) {
            if known.is_done && is_there {
                return Ok(None);
            }
            if let Some(file) = &known.file {
                return Ok(Some(Arc::clone(file)));
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

    /// Whether a file was as it is for so long that nobody writes to it, most likely.
    fn is_silent(&self, key: FileKey, now: Timestamp) -> bool {
        let silence = self.settings.silence_micros;
        let kept = self.kept();
        kept.files.get(&key).is_some_and(|file| now.micros_since(file.still_since) >= silence)
    }

    /// Reads the next stretch of a file and books it; answers whether there may be more.
    async fn read(
        &self,
        key: FileKey,
        name: String,
        known: Option<SpoolFile>,
        is_there: bool,
        now: Timestamp,
    ) -> anyhow::Result<Option<Verdicts>> {
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
            if let Some(known) = self.kept().files.get_mut(&key) {
                known.notice((metadata.len(), known.seen.1), now);
            }
        }
        let silent = self.is_silent(key, now);
        let from = known.as_ref().map(|known| known.cursor);
        let asked = Asked {
            file,
            name: name.clone(),
            from,
            last: if silent { LastRow::Doubted } else { LastRow::Left },
            now,
            spool: Arc::clone(&self.settings),
            intake: Arc::clone(self.gate.settings()),
        };
        let found = aside(move || disk::read(&asked)).await;
        match found.unwrap_or_else(|why| Found::Unusable(why.to_string())) {
            Found::Stretch { batch, to, size } => {
                let from = from.map_or(0, |from| from.offset);
                let spool = self.settings.name.clone();
                let stretch = Stretch { spool, key, name, from, to, size };
                self.book(batch, stretch).await.map(Some)
            }
            Found::Replaced => {
                if let Some(known) = known {
                    self.end(&known, look::replaced(&known, &name), now).await?;
                }
                self.kept().files.remove(&key);
                Ok(Some(Verdicts::default()))
            }
            Found::Nothing => {
                self.rest(key, known, is_there, silent, now).await?;
                Ok(None)
            }
            Found::Unusable(why) => {
                // Its header may not be whole yet.
                if silent {
                    self.tell_unread(key, &name, &why);
                }
                self.rest(key, known, is_there, silent, now).await?;
                Ok(None)
            }
        }
    }

    /// Books a stretch, then notes beside its file what was rejected of it.
    async fn book(&self, batch: Batch, stretch: Stretch) -> anyhow::Result<Verdicts> {
        let rejected: Vec<_> = batch.rejected.iter().map(|(_, item)| item.clone()).collect();
        let name = stretch.name.clone();
        let verdicts = self.gate.admit_stretch(&*self.ledger, batch, stretch).await?;
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
        silent: bool,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        if !silent {
            return Ok(());
        }
        if is_there {
            if let Some(file) = self.kept().files.get_mut(&key) {
                file.is_done = true;
            }
            return Ok(());
        }
        if let Some(known) = known {
            self.end(&known, look::gone(&known), now).await?;
        }
        self.kept().files.remove(&key);
        Ok(())
    }

    /// Notes that a file is read no further, and says so where something may be lost.
    async fn end(&self, known: &SpoolFile, why: FileEnd, now: Timestamp) -> anyhow::Result<()> {
        self.ledger.end_file(known.id, why, now).await?;
        let SpoolFile { name, cursor: Cursor { offset, line, .. }, size, .. } = known;
        let spool = self.settings.name.as_str();
        match why {
            FileEnd::Read => tracing::info!(spool, file = name, "a file was read to its end"),
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

    /// Says, once until it changes, that a file cannot be read.
    fn tell_unread(&self, key: FileKey, name: &str, why: &str) {
        let mut kept = self.kept();
        if let Some(file) = kept.files.get_mut(&key)
            && !std::mem::replace(&mut file.was_told, true)
        {
            tracing::error!(file = name, "a file of a spool cannot be read: {why}");
        }
    }

    /// Does one thing that is to be done; answers with what was booked, if there may be more.
    async fn go_about(&self, task: Task, now: Timestamp) -> anyhow::Result<Option<Verdicts>> {
        match task {
            Task::Read { key, name, known, is_there } => {
                self.read(key, name, known, is_there, now).await
            }
            Task::End { known, why } => {
                self.end(&known, why, now).await?;
                Ok(None)
            }
        }
    }
}

impl Kept {
    /// Holds a file open, in the place of one that nothing more is expected of if need be.
    fn hold(&mut self, key: FileKey, file: &Arc<File>) {
        let held = self.files.values().filter(|each| each.file.is_some()).count();
        if held >= OPEN_FILES_MAX {
            let done = |each: &&mut Remembered| each.is_done && each.file.is_some();
            match self.files.values_mut().find(done) {
                Some(done) => done.file = None,
                None => return,
            }
        }
        if let Some(known) = self.files.get_mut(&key) {
            known.file = Some(Arc::clone(file));
        }
    }
}

impl Remembered {
    fn new(seen: (u64, Timestamp), now: Timestamp) -> Self {
        let (file, name) = (None, String::new());
        Self { file, name, seen, still_since: now, is_done: false, was_told: false }
    }

    /// Notes what a look shows of it.
    fn notice(&mut self, seen: (u64, Timestamp), now: Timestamp) {
        // A clock that was set back begins the wait anew.
        if self.seen != seen || now < self.still_since {
            self.seen = seen;
            self.still_since = now;
            self.is_done = false;
            self.was_told = false;
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
        let Some(seen) = self.list().await else {
            return Ok(Step { wake_at, ..Step::default() });
        };
        let open = self.look_at(&seen, now);
        let known = self.ledger.spooled(&self.settings.name).await?;
        let (mut stretches, mut booked) = (0, 0);
        for task in look::tasks(seen, known, &open) {
            if stretches == STRETCHES_MAX {
                break;
            }
            let done = self.go_about(task, now).await;
            if let Some(verdicts) = done.map_err(StepError::Later)? {
                stretches += 1;
                booked += verdicts.accepted;
            }
        }
        let counts = vec![("stretches", stretches), ("accepted", booked)];
        Ok(Step { counts, more: stretches > 0, wake_at })
    }
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
