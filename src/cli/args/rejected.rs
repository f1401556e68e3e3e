//! What a person may type after `tallyd rejected`. Here: its commands and their flags, exactly as
//! typed. Never here: what they do, I/O. Read next: [`crate::cli`].

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Listing;

/// Commands of `rejected`.
#[derive(Debug, Subcommand)]
pub enum Rejected {
    /// List what came in as a record and is none, and waits for a person; oldest first.
    List(RejectedList),
    /// Send items again as they came, once their cause is mended; or with --file a record in the
    /// place of one. An item whose record is booked has ended.
    Resubmit(RejectedResubmit),
    /// Say of items that there is no record in their place, and why. The word is kept for ever.
    Dismiss(RejectedDismiss),
}

/// Flags of `rejected list`.
#[derive(Args, Clone, Debug)]
pub struct RejectedList {
    /// Only from this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only after this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: i64,
    /// List at most so many.
    // More than a person works through before asking again.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub limit: u32,
    /// List also what has ended, and how.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Which items are ended, and by whom.
#[derive(Args, Clone, Debug)]
pub struct RejectedItems {
    /// The item's number in the list.
    #[arg(value_name = "NUMBER")]
    pub number: i64,
    /// More of them.
    #[arg(value_name = "NUMBER")]
    pub more: Vec<i64>,
    /// Who does it; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
}

/// Flags of `rejected resubmit`.
#[derive(Args, Clone, Debug)]
pub struct RejectedResubmit {
    #[command(flatten)]
    /// The items.
    pub items: RejectedItems,
    /// What is sent in the place of the item, a JSON object: a CloudEvent if it came as one, else a
    /// record. `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "more")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `rejected dismiss`.
#[derive(Args, Clone, Debug)]
pub struct RejectedDismiss {
    #[command(flatten)]
    /// The items.
    pub items: RejectedItems,
    /// Why, in a sentence.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

impl RejectedItems {
    /// The numbers, in the order they were typed.
    pub fn numbers(&self) -> impl Iterator<Item = i64> {
        [self.number].into_iter().chain(self.more.iter().copied())
    }
}
