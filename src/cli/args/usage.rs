//! What may be typed after `tallyd usage`. Here: its flags, exactly as typed. Never here: what they
//! do. Read next: [`super::check`].

use clap::Args;

use super::Listing;

/// Flags of `usage`.
#[derive(Args, Clone, Debug)]
pub struct Usage {
    /// The customer, as records name it.
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
    /// Only this lever.
    #[arg(value_name = "LEVER")]
    pub lever: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}
