//! What the provider holds, and what it says of that. Here: the truth, which of a window's totals
//! counts, and the totals that are read back, which lag. Never here: a request that changes
//! anything. Read next: [`crate::wire`].

use std::collections::BTreeMap;

use super::{Adds, Server, Taken, Understood};
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
        let counts = self.taken.values().flatten().filter(|each| each.counts(self.now));
        for taken in self.not_overwritten(counts) {
            let sum = truth.entry((taken.meter.clone(), taken.account.clone())).or_default();
            *sum = *sum + taken.value;
        }
        truth
    }

    /// The span of which a meter keeps one total.
    pub(crate) fn span(&self, meter: &str) -> Option<i64> {
        match self.meters.get(meter)? {
            Adds::Totals(span) => Some(*span),
            Adds::Values
            | Adds::Distinct
            | Adds::Events
            | Adds::Newest
            | Adds::Largest
            | Adds::Gauge => None,
        }
    }

    /// Whether a meter bills the newest of a period by its time.
    pub(crate) fn is_gauge(&self, meter: &str) -> bool {
        self.meters.get(meter) == Some(&Adds::Gauge)
    }

    /// Those of `taken` that stand where each total overwrites the one before of its window. Which
    /// of a window's is billed, and where, is decided by the one that came last. Of a gauge the
    /// newest of them all stands; of one time, the one that came last.
    fn not_overwritten<'t>(&self, taken: impl Iterator<Item = &'t Taken>) -> Vec<&'t Taken> {
        let mut standing = Vec::new();
        let mut last: BTreeMap<(&str, &str, i64), &Taken> = BTreeMap::new();
        for each in taken {
            let is_gauge = self.is_gauge(&each.meter);
            let window = match self.span(&each.meter) {
                Some(span) => each.at.div_euclid(span),
                None if is_gauge => 0,
                None => {
                    standing.push(each);
                    continue;
                }
            };
            let rank = |taken: &Taken| (if is_gauge { taken.at } else { 0 }, taken.order);
            let place = (each.meter.as_str(), each.account.as_str(), window);
            let newest = last.entry(place).or_insert(each);
            if rank(newest) < rank(each) {
                *newest = each;
            }
        }
        standing.extend(last.into_values());
        standing
    }

    /// What stands, as `shows` has it, of a meter and an account from `from` to `until`.
    fn standing_of(
        &self,
        (meter, account): (&str, &str),
        (from, until): (i64, i64),
        shows: impl Fn(&Taken) -> bool,
    ) -> impl Iterator<Item = &Taken> {
        let of = self.taken.values().flatten();
        let of = of.filter(|each| each.meter == meter && each.account == account && shows(each));
        // Of a gauge what is beside the span does not stand in the way.
        let is_gauge = self.is_gauge(meter);
        let of = of.filter(|each| !is_gauge || (from..until).contains(&each.at));
        let standing = self.not_overwritten(of).into_iter();
        standing.filter(move |each| (from..until).contains(&each.at))
    }

    /// What stands of the window that begins at `start`.
    pub(crate) fn window(&self, place: (&str, &str), (start, end): (i64, i64)) -> Amount {
        let standing = self.standing_of(place, (start, end), |each| each.counts(self.now));
        standing.map(|each| each.value).sum()
    }

    /// Whether something of a meter and an account that counts within a span came after `at`.
    pub(crate) fn received_after(&self, place: (&str, &str), span: (i64, i64), at: i64) -> bool {
        let mut of = self.taken.values().flatten().filter(|each| {
            each.meter == place.0 && each.account == place.1 && (span.0..span.1).contains(&each.at)
        });
        of.any(|each| each.received_at >= at || each.rejected_at.is_some())
    }

    /// That no total comes after one of its window that was told later: it would overwrite it.
    pub(super) fn watch_totals(&mut self, asked: &Understood) {
        let Some(span) = self.span(&asked.meter) else { return };
        let left = |name: &String| self.first_left.get(name).copied();
        let mine = left(&asked.identifier);
        let overwritten = self.taken.iter().find(|(name, taken)| {
            let here = |each: &Taken| {
                each.meter == asked.meter
                    && each.account == asked.account
                    && each.at.div_euclid(span) == asked.at.div_euclid(span)
                    && each.stands(self.now)
            };
            left(name) > mine && taken.iter().any(here)
        });
        let overwritten = overwritten.map(|(name, _)| name.clone());
        // What a lost ledger sent may still be on its way.
        if let Some(newer) = overwritten.filter(|_| !self.forgotten) {
            let what = format!("{} overwrites {newer}, which was told later", asked.identifier);
            self.wrongs.push(("newest-total-stays", what));
        }
    }

    /// What is billed of a meter and an account within a span.
    pub(crate) fn bills(&self, (meter, account): (&str, &str), span: (i64, i64)) -> Amount {
        let counts = self.standing_of((meter, account), span, |each| each.counts(self.now));
        let counts = counts.filter(|each| !self.billing.is_idle(account, each.at));
        match self.meters[meter] {
            Adds::Values | Adds::Distinct | Adds::Events | Adds::Totals(_) => {
                counts.map(|each| each.value).sum()
            }
            Adds::Newest | Adds::Gauge => {
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
        let own: Amount =
            self.standing_of(place, span, |each| each.shows(as_of)).map(|each| each.value).sum();
        own + self.foreign.total(place, span)
    }
}
