//! How far an import is. Here: a bar on a terminal, a line now and then off one. Never here: the
//! import. Read next: [`super::tally`].

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Records between two lines off a terminal: a few seconds of work, by count so that the same
/// import says the same.
const RECORDS_PER_LINE: u64 = 250_000;

/// The bar's form, where it is known how much there is to read.
const KNOWN: &str = "{bar:30} {bytes}/{total_bytes}, {msg}, {eta} left";
/// The same where it is not known.
const UNKNOWN: &str = "{spinner} {bytes}, {msg}";

/// Shows how far an import is, on standard error.
pub(crate) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// Elsewhere: the number of records after which the next line comes.
    Lines(u64),
}

impl Progress {
    /// Begins; `bytes` is how much there is to read, if that is known.
    pub(crate) fn begin(bytes: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(RECORDS_PER_LINE);
        }
        let (bar, form) = match bytes {
            Some(bytes) => (ProgressBar::new(bytes), KNOWN),
            None => (ProgressBar::new_spinner(), UNKNOWN),
        };
        // A form that cannot be read leaves the plain bar.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// Shows that so much was read, and so many records were dealt with.
    pub(crate) fn show(&mut self, file: &str, bytes: u64, records: u64) {
        match self {
            Self::Bar(bar) => {
                let millis = bar.elapsed().as_millis().max(1);
                let rate = u128::from(records) * 1_000 / millis;
                bar.set_position(bytes);
                bar.set_message(format!("{records} records, {rate} a second"));
            }
            Self::Lines(next) if records >= *next => {
                *next = (records / RECORDS_PER_LINE + 1) * RECORDS_PER_LINE;
                // Nobody is left to tell when standard error is gone.
                drop(writeln!(io::stderr(), "tallyd: {records} records so far, in {file}"));
            }
            Self::Lines(_) => {}
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        let print = || drop(writeln!(io::stderr(), "{line}"));
        match self {
            Self::Bar(bar) => bar.suspend(print),
            Self::Lines(_) => print(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines(_) => {}
        }
    }
}
