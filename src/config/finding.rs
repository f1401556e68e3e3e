//! What reading finds. PURE. Here: the lists that problems, and the places of secrets, are put on
//! while a config is read.
//! Never here: how they are drawn (see `problem`). Read next: `field`.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Problem;
use super::secret::SecretPlace;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What keeps the daemon from running.
    pub(super) errors: Vec<Problem>,
    /// What is allowed but may not be meant.
    pub(super) warnings: Vec<Problem>,
    /// Keys that stand in the file and could not be read, by path. They are not missing too.
    pub(super) unread: BTreeSet<String>,
    /// Where the secrets are said to be, by the paths of their keys.
    pub(super) secret_places: BTreeMap<String, SecretPlace>,
}

impl Findings {
    pub(super) fn error(&mut self, problem: Problem) {
        self.errors.push(problem);
    }

    pub(super) fn warning(&mut self, problem: Problem) {
        self.warnings.push(problem);
    }
}
