//! What is leased, and what goes together. Here: the limit that an event counts in, and which
//! events one request tells. Never here: when it is sent ([`super::courier`], [`super::pipeline`]).
//! Read next: [`super::contact`].

use crate::domain::time::Timestamp;
use crate::ledger::delivery::Leased;
use crate::provider::Request;

/// A lease and when it was taken.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) leased: Leased,
    pub(super) leased_at: Timestamp,
    /// Whether others may be told by its request, as far as its bytes decide that.
    pub(super) is_batched: bool,
}

/// The limits of a provider that events count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// That over everything that is told.
    Common,
    /// That over what goes with others by one request.
    Batches,
}

impl Lease {
    /// Whether other events may be told by the same request. One that failed before goes by itself:
    /// whether the fault was its own, or that of one beside it, only its own answer tells.
    pub(super) const fn goes_with_others(&self) -> bool {
        self.is_batched && self.leased.failures == 0
    }

    /// The limit that it counts in, also where it goes by itself.
    pub(super) const fn within(&self) -> Within {
        if self.is_batched { Within::Batches } else { Within::Common }
    }

    /// The attempt, as it is sent.
    pub(super) fn request(&self) -> Request<'_> {
        let leased = &self.leased;
        Request {
            says: &leased.says,
            meter: &leased.meter,
            account: &leased.account,
            body: &leased.body,
            idempotency_key: &leased.idempotency_key,
            identifier: leased.identifier.as_str(),
        }
    }
}

/// The leases, in their order, as requests tell them: `most` to one, and by itself what does not go
/// with others.
pub(super) fn batches(leases: Vec<Lease>, most: usize) -> Vec<Vec<Lease>> {
    let mut batches: Vec<Vec<Lease>> = Vec::new();
    for lease in leases {
        match batches.last_mut() {
            Some(batch) if batch.len() < most && takes(batch, &lease) => batch.push(lease),
            Some(_) | None => batches.push(vec![lease]),
        }
    }
    batches
}

/// Whether what is gathered for a request takes `lease` too.
pub(super) fn takes(batch: &[Lease], lease: &Lease) -> bool {
    lease.goes_with_others() && batch.iter().all(Lease::goes_with_others)
}
