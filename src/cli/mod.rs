//! The command line. Here: which command does what, and what it exits with. Never here: what a
//! record or an event means. Read next: [`args`], then a file for each command.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use self::args::generate::Generate;
use self::args::{Arguments, Command, Configured, Customers, Held, Ledger};
use self::exit::Exit;
use crate::config::{Config, Outside, Overrides, SecretPolicy};

pub mod args;
pub mod exit;
mod run;
mod sandbox;
mod demo;
mod progress;
mod page;
mod table;
mod words;
mod reading;
mod check;
mod lane_outlook;
mod outlook;
mod status;
mod silences;
mod books;
mod foreign_books;
mod reconcile;
mod invoice_usages;
mod usage;
mod trace;
mod held;
mod questions;
mod resolve;
mod rejected;
mod export;
mod verify;
mod archive;
mod backup;
mod import;
mod socket;
mod customers;
mod agree;
mod correct;
mod filter;
mod remap;
mod remap_outlook;
mod generate;

/// Parses the arguments, does what they ask, and answers what the process exits with.
#[must_use]
pub fn main() -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => match dispatch(arguments.command) {
            Ok(exit) => exit,
            Err(error) => {
                // Nobody is left to tell when standard error is gone.
                drop(writeln!(io::stderr(), "tallyd: {error:#}"));
                exit::of(&error)
            }
        },
        // Help and version are no errors; clap knows which stream each belongs to.
        Err(error) => match (error.print(), error.use_stderr()) {
            (Ok(()), false) => Exit::Ok,
            (Ok(()), true) => Exit::Usage,
            (Err(_), _) => Exit::Failure,
        },
    };
    exit.into()
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(asked) => demo::run(asked),
        Command::Run(asked) => run::run(asked),
        Command::Sandbox(asked) => sandbox::run(asked),
        Command::Check(asked) => block_on(check::check(&asked)),
        Command::Status(listing) => block_on(status::status(&listing)),
        Command::Books(asked) => block_on(books::books(&asked)),
        Command::Reconcile(asked) => block_on(reconcile::reconcile(&asked)),
        Command::InvoiceUsages(asked) => block_on(invoice_usages::invoice_usages(&asked)),
        Command::Usage(asked) => block_on(usage::usage(&asked)),
        Command::Trace(asked) => block_on(trace::trace(&asked)),
        Command::Held(Held::List(asked)) => block_on(held::list(&asked)),
        Command::Held(Held::Show(asked)) => block_on(held::show(&asked)),
        Command::Held(Held::Resolve(asked)) => block_on(resolve::resolve(&asked)),
        Command::Rejected(asked) => block_on(rejected::rejected(&asked)),
        Command::Export(asked) => block_on(export::export(&asked)),
        Command::Import(asked) => block_on(import::import(&asked)),
        Command::Cancel(asked) => block_on(correct::cancel(&asked)),
        Command::Adjust(asked) => block_on(correct::adjust(&asked)),
        Command::Remap(asked) => block_on(remap::remap(&asked)),
        Command::Customers(Customers::Import(asked)) => block_on(customers::import(&asked)),
        Command::Generate(Generate::Unit(asked)) => generate::unit(&asked),
        Command::Generate(Generate::Completions(asked)) => generate::completions(&asked),
        Command::Generate(Generate::Man(asked)) => generate::man(&asked),
        Command::Ledger(Ledger::Verify(asked)) => block_on(verify::verify(&asked)),
        Command::Ledger(Ledger::Archive(asked)) => block_on(archive::archive(&asked)),
        Command::Ledger(Ledger::Backup(asked)) => block_on(backup::backup(&asked)),
        Command::Ledger(Ledger::Restore(asked)) => block_on(backup::restore(&asked)),
        Command::Ledger(Ledger::CaughtUp(asked)) => block_on(backup::caught_up(&asked)),
    }
}

/// Reads the config, and prints what may not be meant.
///
/// # Errors
/// With every problem of the file.
pub(crate) fn configure(
    configured: &Configured,
    listen: Option<String>,
    log: Option<String>,
    secrets: SecretPolicy,
) -> anyhow::Result<Config> {
    let overrides = Overrides { ledger: configured.ledger.clone(), listen, log };
    let environment = |name: &str| std::env::var(name).ok();
    let outside = Outside { overrides, environment: &environment };
    let config = crate::config::load(&configured.config, &outside, secrets)?;
    if !config.warnings.is_empty() {
        let drawn = config.warnings.render(io::stderr().is_terminal());
        writeln!(io::stderr(), "{drawn}")?;
    }
    Ok(config)
}

/// An HTTP client for this machine's own listeners.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    // The client wants a cryptography provider even where nothing is encrypted. When one is
    // installed already, it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy()
}

/// Runs a command's async part.
///
/// # Errors
/// When the runtime cannot be made, or the command failed.
pub(crate) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
