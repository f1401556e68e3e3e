//! Standard output. Here: writing to it in one go, as text or JSON, and a reader who leaves early.
//! Never here: what is said. Read next: [`super::table`].

use std::io::{self, BufWriter, ErrorKind, Write};

use anyhow::Context;
use serde_json::Value;

/// Prints what `write` writes. A reader who has seen enough (`| head`) closes the pipe, which ends
/// the printing and is no failure.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}

/// Prints one JSON document.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print_json(document: &Value) -> anyhow::Result<()> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, document)?;
        writeln!(out)
    })
}
