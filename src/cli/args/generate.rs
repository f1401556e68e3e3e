//! What a person may type after `tallyd generate`. Here: its commands and their flags, exactly as
//! typed. Never here: what they print, I/O. Read next: [`crate::cli`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::Configured;

/// Commands of `generate`.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Print a systemd unit that runs the daemon with this config: locked down, watched, started
    /// again after a failure, and given the config's secrets. What has to be done before it starts
    /// stands in it, and is said on standard error.
    Unit(GenerateUnit),
    /// Print what completes tallyd's command line in a shell.
    Completions(GenerateCompletions),
    /// Print tallyd's manual page; with --out write the pages of all commands into a folder.
    Man(GenerateMan),
}

/// Flags of `generate unit`.
#[derive(Args, Clone, Debug)]
pub struct GenerateUnit {
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
    /// The user that the daemon runs as. Where the host has none of this name, systemd makes one
    /// up while the daemon runs.
    #[arg(long, value_name = "NAME", default_value = "tallyd", value_parser = user_name)]
    pub user: String,
    /// The program that the unit starts; by default this one, where it lies now.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}

/// Flags of `generate completions`.
#[derive(Args, Clone, Debug)]
pub struct GenerateCompletions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `generate man`.
#[derive(Args, Clone, Debug)]
pub struct GenerateMan {
    /// Write the pages here, one a command: tallyd.1, tallyd-run.1 and so on. Pages that are there
    /// are replaced.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Longest name of a user, in bytes, as systemd has it.
const USER_NAME_BYTES_MAX: usize = 31;

/// A user's name as systemd takes it in every mode.
fn user_name(text: &str) -> Result<String, String> {
    let starts = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    if starts && text.len() <= USER_NAME_BYTES_MAX && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a user's name has at most {USER_NAME_BYTES_MAX} lower-case letters, digits, `_` and `-`, \
         and begins with a letter or `_`"
    ))
}
