//! What a person may type of `remap`. Here: its flags, exactly as typed. Never here: what they do,
//! I/O. Read next: [`crate::cli`].

use clap::Args;

use super::Listing;
use super::correct::Filter;

/// Flags of `remap`.
#[derive(Args, Clone, Debug)]
pub struct Remap {
    #[command(flatten)]
    /// Which records; all of them without any flag.
    pub filter: Filter,
    /// Why: kept with the remap, for whoever reads the books.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["preview", "list"])]
    pub why: Option<String>,
    /// Remap without asking.
    #[arg(long)]
    pub yes: bool,
    /// Show what would change, and change nothing.
    #[arg(long, conflicts_with = "yes")]
    pub preview: bool,
    /// One line per window, instead of one per account and meter.
    #[arg(long)]
    pub by_window: bool,
    /// List the newest remaps and how far each is, and change nothing.
    #[arg(
        long,
        conflicts_with_all = [
            "yes", "preview", "why", "by_window", "source", "customer", "meter", "from", "until",
        ]
    )]
    pub list: bool,
    /// Stop the remap of this number where it is. What it booked until then stays booked.
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(i64).range(1..),
        conflicts_with_all = [
            "yes", "preview", "list", "by_window", "source", "customer", "meter", "from", "until",
        ]
    )]
    pub stop: Option<i64>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}
