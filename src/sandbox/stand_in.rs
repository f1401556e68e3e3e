//! What every stand-in is to the server. Here: the steps that a request takes through a provider's
//! rules, and how fast. Never here: a rule. Read next: [`super::stripe`], [`super::chargebee`].

use std::sync::MutexGuard;
use std::time::Duration;

use super::faults::FaultKind;
use super::handle::Shared;
use super::wire::{Answer, Delivery, Request};
use crate::domain::time::Timestamp;

/// What becomes of a request at the door.
#[derive(Debug)]
pub(super) enum Admission<A> {
    /// It is over already.
    Refused(Delivery),
    /// It is to be executed and then finished.
    Admitted(Box<A>),
}

/// How fast a request is carried out and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    AtOnce,
    SlowBefore(Duration),
    SlowAfter(Duration),
}

impl Pace {
    /// The pace under a fault, where slow faults take `slow` and every write takes `latency`.
    pub(super) const fn of(
        fault: Option<FaultKind>,
        slow: Duration,
        is_write: bool,
        latency: Duration,
    ) -> Self {
        match fault {
            Some(FaultKind::SlowBefore) => Self::SlowBefore(slow),
            Some(FaultKind::SlowAfter) => Self::SlowAfter(slow),
            Some(_) | None if is_write && !latency.is_zero() => Self::SlowAfter(latency),
            Some(_) | None => Self::AtOnce,
        }
    }
}

/// The rules of one provider, behind their lock. A request is admitted, executed and finished; only
/// between these steps may it wait.
pub(super) trait StandIn: Sized + 'static {
    /// A request past the door.
    type Admitted: Send + 'static;

    /// The rules among what the server's tasks share.
    fn of(shared: &Shared) -> MutexGuard<'_, Self>;

    /// The answer to a body that was not read to its end.
    fn too_large(now: Timestamp) -> Answer;

    /// Takes a request through the door.
    fn admit(&mut self, request: &Request, now: Timestamp) -> Admission<Self::Admitted>;

    /// Whether it may change something.
    fn is_write(admitted: &Self::Admitted) -> bool;

    /// How fast an admitted request is to go.
    fn pace(&self, admitted: &Self::Admitted) -> Pace;

    /// Carries out an admitted request and says how its answer leaves.
    fn execute(&mut self, admitted: &mut Self::Admitted, now: Timestamp) -> Delivery;

    /// Frees what an admitted request occupies. Its key replays the answer from here on; until then
    /// the key is in use.
    fn finish(&mut self, admitted: &mut Self::Admitted);
}
