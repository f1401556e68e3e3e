//! What a person may type after `tallyd export`. Here: its commands and their flags, exactly as
//! typed. Never here: what they do, I/O. Read next: [`crate::cli`].

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Listing;
use crate::domain::export::ExportId;

/// Commands of `export`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Write what waits to be told as tables for Stripe's dashboard, at most 5 MB each. What they
    /// hold is held, and is told by no request.
    StripeCsv(ExportMake),
    /// Write it as JSON lines for Stripe's S3 connector, at most 1 GB each.
    StripeS3Jsonl(ExportMake),
    /// List the exports, and what became of each; newest first.
    List(ExportList),
    /// Write the files of an export again, as long as nobody said that they were uploaded.
    Again(ExportAgain),
    /// Say that the files of an export were uploaded. The provider's totals settle what they tell.
    Confirm(ExportConfirm),
    /// Say that the files of an export were never uploaded, and never will be. Requests then tell
    /// what they hold.
    Abandon(ExportAbandon),
}

/// Flags of the exports that are made.
#[derive(Args, Clone, Debug)]
pub struct ExportMake {
    /// The provider instance whose events are exported, such as stripe.main.
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    /// Only events of this meter of the provider; may be given several times.
    #[arg(long = "meter", value_name = "METER")]
    pub meters: Vec<String>,
    /// Only usage of before this instant.
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// The directory for the files; it is made where there is none.
    #[arg(long, value_name = "DIRECTORY")]
    pub out: PathBuf,
    /// Who exports; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `export list`.
#[derive(Args, Clone, Debug)]
pub struct ExportList {
    /// List at most so many.
    // More than a person works through before asking again.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub limit: u32,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `export again`.
#[derive(Args, Clone, Debug)]
pub struct ExportAgain {
    /// The export's number.
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub export: ExportId,
    /// The directory for the files; it is made where there is none.
    #[arg(long, value_name = "DIRECTORY")]
    pub out: PathBuf,
    /// Who writes them; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `export confirm`.
#[derive(Args, Clone, Debug)]
pub struct ExportConfirm {
    /// The export's number.
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub export: ExportId,
    /// Who says so; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `export abandon`.
#[derive(Args, Clone, Debug)]
pub struct ExportAbandon {
    /// The export's number.
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub export: ExportId,
    /// How it is known that no file of it was uploaded, in a sentence.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Who says so; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

fn number(text: &str) -> Result<ExportId, String> {
    let number = text.parse::<i64>().ok().filter(|number| *number > 0);
    number.map(ExportId).ok_or_else(|| "exports have numbers: 1, 2, 3".to_owned())
}
