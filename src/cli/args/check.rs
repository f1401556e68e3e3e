//! What may be typed after `tallyd check`. Here: its flags, exactly as typed. Never here: what they
//! do. Read next: [`super::demo`].

use clap::Args;

use super::Configured;

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
    /// Ask the providers whether they agree with a config that is valid: account and mode of the
    /// key, what it may read, each meter that a route names. It reads only; exit 78 if they do not
    /// agree, 75 if one gives no answer.
    #[arg(long)]
    pub online: bool,
}
