//! What a person may type of `cancel` and `adjust`. Here: which records are meant, and the flags of
//! both, exactly as typed. Never here: what they do, I/O. Read next: [`crate::cli`].

use clap::Args;

use super::Listing;

/// Flags that find records.
#[derive(Args, Clone, Debug)]
pub struct Filter {
    /// Only records from this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only usage of this customer, as the records name it.
    #[arg(long, value_name = "NAME")]
    pub customer: Option<String>,
    /// Only usage of this meter, as the records name it.
    #[arg(long, value_name = "NAME")]
    pub meter: Option<String>,
    /// Only usage of this instant or later.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only usage before this instant.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Which records are corrected, and how that is asked for.
#[derive(Args, Clone, Debug)]
pub struct Chosen {
    /// The record, as SOURCE/ID; without it the flags find the records.
    #[arg(
        value_name = "SOURCE/ID",
        required_unless_present_any = ["source", "customer", "meter", "from", "until"],
        conflicts_with_all = ["source", "customer", "meter", "from", "until"]
    )]
    pub record: Option<String>,
    /// Why: kept with each correction, for whoever reads the books.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The correction's own name, by which it is known when the command is run again; of a command
    /// for many records, its name. By default it is made of what the command says.
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    #[command(flatten)]
    /// What finds them.
    pub filter: Filter,
    /// Correct what the flags find without asking.
    #[arg(long)]
    pub yes: bool,
    /// Show what would be corrected, and correct nothing.
    #[arg(long, conflicts_with_all = ["yes", "record"])]
    pub preview: bool,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `cancel`.
#[derive(Args, Clone, Debug)]
pub struct Cancel {
    #[command(flatten)]
    /// The records.
    pub chosen: Chosen,
}

/// Flags of `adjust`.
#[derive(Args, Clone, Debug)]
pub struct Adjust {
    #[command(flatten)]
    /// The records.
    pub chosen: Chosen,
    /// The quantity each record shall count with.
    #[arg(long, value_name = "QUANTITY", required_unless_present = "factor")]
    pub to: Option<String>,
    /// What the quantity of each record is multiplied by, exactly.
    #[arg(long, value_name = "FACTOR", conflicts_with_all = ["to", "record"])]
    pub factor: Option<String>,
    /// The quantity it replaces; needed while the record itself has not come.
    #[arg(long, value_name = "QUANTITY", requires = "record")]
    pub replaces: Option<String>,
}
