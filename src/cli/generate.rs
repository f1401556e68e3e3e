//! `tallyd generate`. Here: what is printed for the host that tallyd is to run on: its unit, its
//! completions, its manual pages. Never here: what a unit says. Read next: [`mod@unit`].
//!
//! The completions and the pages are made of the command line itself, by the two crates of clap's
//! own authors, so they cannot say anything else than `--help` does.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use self::unit::Host;
use super::args::Arguments;
use super::args::generate::{GenerateCompletions, GenerateMan, GenerateUnit};
use super::exit::Exit;
use super::page;
use crate::config::{Outside, Overrides, SecretPolicy, load};

mod unit;

/// The program's name, as it is typed.
const NAME: &str = "tallyd";

/// Prints a systemd unit for the config.
///
/// # Errors
/// When the config is not valid, or a path cannot stand in a unit.
pub(crate) fn unit(asked: &GenerateUnit) -> anyhow::Result<Exit> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map(|path| unit::without_dots(&path))
            .with_context(|| format!("cannot tell where {} lies", path.display()))
    };
    let config_file = absolute(&asked.configured.config)?;
    let ledger = asked.configured.ledger.as_deref().map(absolute).transpose()?;
    // This shell's environment is not the service's.
    let overrides = Overrides { ledger: ledger.clone(), ..Overrides::default() };
    let outside = Outside { overrides, environment: &|_| None };
    let config = load(&config_file, &outside, SecretPolicy::Unneeded)?;
    let program = match &asked.program {
        Some(program) => absolute(program)?,
        None => std::env::current_exe().context("cannot tell where this program lies")?,
    };
    let host = Host { program, config_file, ledger, user: asked.user.clone() };
    let written = unit::unit(&host, &config)?;
    page::print(|out| out.write_all(written.text.as_bytes()))?;
    for step in &written.steps {
        writeln!(io::stderr(), "tallyd: before it starts: {step}")?;
    }
    Ok(Exit::Ok)
}

/// Prints what completes the command line in a shell.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn completions(asked: &GenerateCompletions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Arguments::command(), NAME, &mut script);
    page::print(|out| out.write_all(&script))?;
    Ok(Exit::Ok)
}

/// Prints the manual page, or writes the pages of all commands into a folder.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn man(asked: &GenerateMan) -> anyhow::Result<Exit> {
    // `tallyd help` has no page, so none is named.
    let command = Arguments::command().disable_help_subcommand(true);
    let Some(folder) = &asked.out else {
        let mut roff = Vec::new();
        clap_mangen::Man::new(command).render(&mut roff)?;
        page::print(|out| out.write_all(&roff))?;
        return Ok(Exit::Ok);
    };
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.with_context(|| format!("cannot write pages into {}", folder.display()))?;
    page::print(|out| writeln!(out, "The pages are in {}.", folder.display()))?;
    Ok(Exit::Ok)
}
