//! What a person agrees to after a preview. Here: the flags and the question that decide whether a
//! command is carried out. Never here: a preview. Read next: [`super::correct`].

use std::io::{self, IsTerminal, Write};

use anyhow::Context;

use super::exit::Exit;

/// What decides whether a command is carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether there is anything to do.
    pub(crate) changes: bool,
    /// Whether only a preview was asked for.
    pub(crate) preview: bool,
    /// Whether it was agreed to before.
    pub(crate) yes: bool,
    /// Whether a program reads what is printed.
    pub(crate) json: bool,
}

/// What was decided.
pub(crate) enum Decision {
    /// The command is carried out.
    Go,
    /// It is not; what the process exits with.
    Stop(Exit),
}

/// Whether the command is carried out: with `--yes`, or when whoever sits at the terminal says so
/// to `question`. `nothing` says that nothing was done.
///
/// # Errors
/// When the terminal cannot be read or written.
pub(crate) fn agree(asked: Asked, question: &str, nothing: &str) -> anyhow::Result<Decision> {
    let Asked { changes, preview, yes, json } = asked;
    if !changes || preview {
        return Ok(Decision::Stop(Exit::Ok));
    }
    if yes {
        return Ok(Decision::Go);
    }
    let mut err = io::stderr();
    if json || !io::stdin().is_terminal() {
        writeln!(err, "tallyd: {nothing}: say --yes to do it, --preview to only look")?;
        return Ok(Decision::Stop(Exit::Usage));
    }
    write!(err, "\n{question} [y/N] ")?;
    err.flush()?;
    let mut said = String::new();
    io::stdin().read_line(&mut said).context("standard input cannot be read")?;
    if matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(Decision::Go);
    }
    writeln!(err, "tallyd: {nothing}")?;
    Ok(Decision::Stop(Exit::Failure))
}
