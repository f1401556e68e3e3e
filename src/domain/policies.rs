//! What routes leave to policy. Here: the policies of a meter, and how those of several routes that
//! feed it come to one. Never here: what follows from one (`posting::plan`). Read next:
//! [`crate::domain::cutover`].

use super::correction::CorrectionPolicy;
use super::period::LatePolicy;
use super::quantity::Quantity;

/// What the routes that feed a meter ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// How what was told is taken back.
    pub corrections: CorrectionPolicy,
    /// What becomes of usage of a closed period.
    pub late: LatePolicy,
    /// A window that comes to more than this waits for a person.
    pub hold_above: Option<Quantity>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            corrections: CorrectionPolicy::CancelThenNegative,
            late: LatePolicy::Hold,
            hold_above: None,
        }
    }
}

impl Policies {
    /// Of these and `other` the more careful ones.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            corrections: self.corrections.max(other.corrections),
            late: self.late.max(other.late),
            hold_above: match (self.hold_above, other.hold_above) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
        }
    }
}
