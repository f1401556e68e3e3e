//! Corrections change what their record counts with, and nothing else. Here: what a record counts
//! with by a model of its own, and the lines against it. Never here: the provider. Read next:
//! [`super::books`].

use super::{Auditor, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Corrected, Rows};

/// Who decides in a run what people decide.
pub(crate) const PERSON: &str = "cli:ada";

/// What a record counts with; nothing when it is cancelled.
pub(crate) type Counts = Option<Amount>;

/// What `correction` makes of a record that counts with `counts`: something else, or what it was.
fn corrected(counts: Counts, correction: &Corrected) -> Counts {
    match (counts, correction.to) {
        (None, _) | (_, None) => None,
        (Some(amount), Some((to, replaces))) if amount == replaces => Some(to),
        (Some(amount), Some(_)) => Some(amount),
    }
}

impl Auditor {
    /// What the record counts with after all its corrections, having come with `quantity`.
    pub(super) fn standing(&self, record: &str, quantity: Amount) -> Counts {
        let corrections = self.corrections.get(record).into_iter().flatten();
        corrections.fold(Some(quantity), corrected)
    }

    /// What the record counted with after its corrections up to this number.
    pub(super) fn standing_at(&self, record: &str, quantity: Amount, id: i64) -> Counts {
        let corrections = self.corrections.get(record).into_iter().flatten();
        corrections.filter(|each| each.id <= id).fold(Some(quantity), corrected)
    }

    /// What the record counted with before its correction number `id`, and after it.
    pub(super) fn step(&self, record: &str, quantity: Amount, id: i64) -> Option<(Counts, Counts)> {
        let mut counts = Some(quantity);
        for correction in self.corrections.get(record)? {
            let after = corrected(counts, correction);
            if correction.id == id {
                return Some((counts, after));
            }
            counts = after;
        }
        None
    }

    /// The most that a record may ever have counted with, in a ledger that is lost now.
    pub(super) fn most(&self, record: &str, quantity: Amount) -> Amount {
        let sent = self.sent.get(record).into_iter().flatten().map(|said| said.quantity);
        let adjusted = self.asked.iter().filter(|(of, ..)| of == record);
        let adjusted = adjusted.filter_map(|(.., to)| to.map(|(to, _)| to));
        sent.chain(adjusted).fold(quantity, Amount::max)
    }

    /// Each correction of the ledger is one that was sent or decided, and none that was accepted is
    /// gone.
    pub(super) fn corrections_are_what_was_asked(&mut self, read: &Rows) -> Result<(), Violation> {
        for correction in &read.corrections {
            self.seen.correction = correction.id;
            let key = (correction.record.clone(), correction.name.clone(), correction.to);
            let decided = correction.who == PERSON && correction.name.starts_with("conflict:");
            if !decided && !self.asked.contains(&key) {
                return violated("no-invention", format!("{correction:?} was never sent so"));
            }
            let of_record = self.corrections.entry(correction.record.clone()).or_default();
            if of_record.iter().any(|known| known.name == correction.name) {
                return violated("corrected-once", format!("{correction:?} stands there twice"));
            }
            of_record.push(correction.clone());
        }
        for (record, name) in &self.promised {
            let known = self.corrections.get(record);
            if !known.is_some_and(|known| known.iter().any(|each| each.name == *name)) {
                let what = format!("the correction {name} of {record} was accepted and is gone");
                return violated("no-loss", what);
            }
        }
        for record in &self.cancelled {
            let known = self.corrections.get(record);
            if !known.is_some_and(|known| known.iter().any(|each| each.to.is_none())) {
                return violated("no-loss", format!("the cancellation of {record} is gone"));
            }
        }
        Ok(())
    }

    /// At the end: what each record was booked with is what it counts with.
    pub(super) fn corrections_were_followed(&self) -> Result<(), Violation> {
        for ((position, _), line) in &self.booked {
            let (id, said) = &self.journal[position];
            let counts = self.standing(id, said.quantity);
            let due = self.contribution(line, counts);
            let balances = self.followed.range((*position, 0)..(*position + 1, 0));
            let of_meter =
                balances.filter(|((_, balance), _)| self.balances[balance].0 == line.meter);
            let booked: Amount = of_meter.map(|(_, amount)| *amount).sum();
            if booked != due {
                let what = format!("{id} is booked with {booked}, and counts with {due}");
                return violated("corrections-followed", what);
            }
        }
        Ok(())
    }
}
