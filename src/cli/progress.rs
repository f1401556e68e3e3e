//! Progress of long work. Here: a bar on a terminal, a line now and then off one. Never here: what
//! the work is. Read next: [`super`].

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// Parts of the whole after which a line is written where there is no terminal.
const LINES: u64 = 4;

/// How far something is.
pub(super) struct Progress {
    what: &'static str,
    whole: u64,
    bar: Option<ProgressBar>,
    done: AtomicU64,
}

impl Progress {
    /// Nothing done of `whole`.
    pub(super) fn new(what: &'static str, whole: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {per_sec}");
            let bar = ProgressBar::new(whole).with_message(what);
            match style {
                Ok(style) => bar.with_style(style.progress_chars("=> ")),
                Err(_) => bar,
            }
        });
        Self { what, whole, bar, done: AtomicU64::new(0) }
    }

    /// More is done.
    pub(super) fn add(&self, more: u64) {
        self.set(self.done.load(Ordering::Relaxed).saturating_add(more));
    }

    /// So much is done.
    pub(super) fn set(&self, done: u64) {
        let before = self.done.swap(done, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let part = |count: u64| count.saturating_mul(LINES) / self.whole.max(1);
        if part(done) > part(before) {
            // Progress that nobody can read is no reason to stop the work.
            drop(writeln!(io::stderr(), "{}: {done} of {}", self.what, self.whole));
        }
    }

    /// Says something without spoiling the bar.
    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(|| writeln!(io::stdout(), "{text}")),
            None => writeln!(io::stdout(), "{text}"),
        }
    }

    /// The work is over.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
