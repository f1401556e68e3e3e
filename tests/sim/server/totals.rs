//! What the provider holds, and what it says of that. Here: the truth, and the totals that are read
//! back, which lag. Never here: a request that changes anything. Read next: [`crate::wire`].

use std::collections::BTreeMap;

use super::{Adds, Server, Taken};
use crate::amount::Amount;

impl Taken {
    /// Whether the totals of the instant `as_of` contain it.
    fn shows(&self, as_of: i64) -> bool {
        let known = as_of - self.lag;
        self.received_at <= known && self.counts(known)
    }
}

impl Server {
    /// Whether it took an event of this identifier and did not reject it.
    pub(crate) fn stands(&self, identifier: &str) -> bool {
        let taken = self.taken.get(identifier);
        taken.is_some_and(|taken| taken.iter().any(|each| each.stands(self.now)))
    }

    /// Whether it ever said yes to this identifier, whatever came of it.
    pub(crate) fn took(&self, identifier: &str) -> bool {
        self.taken.contains_key(identifier)
    }

    /// Whether it ever said that it cancelled this identifier, whatever came of it.
    pub(crate) fn said_cancelled(&self, identifier: &str) -> bool {
        self.cancels.contains(identifier)
    }

    /// Whether it cancelled an event of this identifier.
    pub(crate) fn is_cancelled(&self, identifier: &str) -> bool {
        let taken = self.taken.get(identifier);
        taken.is_some_and(|taken| taken.iter().any(|each| each.cancelled_at.is_some()))
    }

    /// Whether something of this lane was rejected.
    pub(crate) fn rejected_in(&self, meter: &str, account: &str) -> bool {
        let of_the_lane = |each: &&Taken| each.meter == meter && each.account == account;
        self.taken.values().flatten().filter(of_the_lane).any(|each| !each.stands(self.now))
    }

    /// What counts under this identifier.
    pub(crate) fn counted(&self, identifier: &str) -> Amount {
        let taken = self.taken.get(identifier).into_iter().flatten();
        taken.filter(|each| each.counts(self.now)).map(|each| each.value).sum()
    }

    /// What counts, by meter and account.
    pub(crate) fn truth(&self) -> BTreeMap<(String, String), Amount> {
        let mut truth: BTreeMap<(String, String), Amount> = BTreeMap::new();
        for taken in self.taken.values().flatten().filter(|each| each.counts(self.now)) {
            let sum = truth.entry((taken.meter.clone(), taken.account.clone())).or_default();
            *sum = *sum + taken.value;
        }
        truth
    }

    /// What it took of a meter and an account from `from` to `until`.
    fn taken_of(
        &self,
        (meter, account): (&str, &str),
        (from, until): (i64, i64),
    ) -> impl Iterator<Item = &Taken> {
        self.taken.values().flatten().filter(move |each| {
            each.meter == meter && each.account == account && (from..until).contains(&each.at)
        })
    }

    /// What is billed of a meter and an account within a span.
    pub(crate) fn bills(&self, (meter, account): (&str, &str), span: (i64, i64)) -> Amount {
        let counts = self.taken_of((meter, account), span).filter(|each| each.counts(self.now));
        let counts = counts.filter(|each| !self.billing.is_idle(account, each.at));
        match self.meters[meter] {
            Adds::Values | Adds::Events => counts.map(|each| each.value).sum(),
            Adds::Newest => {
                counts.max_by_key(|each| each.at).map(|each| each.value).unwrap_or_default()
            }
            Adds::Largest => counts.map(|each| each.value).max().unwrap_or_default(),
        }
    }

    /// Whether an entry of this identifier is there.
    pub(crate) fn shows(&self, identifier: &str) -> bool {
        let taken = self.taken.get(identifier);
        taken.is_some_and(|taken| taken.iter().any(|each| each.counts(self.now)))
    }

    /// What the totals of the instant `as_of` say of a meter and an account within a span.
    pub(crate) fn total(&self, place: (&str, &str), span: (i64, i64), as_of: i64) -> Amount {
        self.taken_of(place, span).filter(|each| each.shows(as_of)).map(|each| each.value).sum()
    }
}
