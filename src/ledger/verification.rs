//! What a check of the ledger, or of an archive of it, came to. Here: its findings, and how many
//! are kept. Never here: a check (see `store`). Read next: [`super::operator`].

/// Most findings a verification lists; past it the ledger needs a person, not a longer list.
pub const FINDINGS_MAX: usize = 100;

/// What `ledger verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// What was looked at: (what, how many).
    pub checked: Vec<(&'static str, i64)>,
    /// What does not hold, each a sentence that names the row; at most [`FINDINGS_MAX`].
    pub findings: Vec<String>,
}

impl Verification {
    /// Adds a finding, as long as there are not too many.
    pub fn note(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}
