//! What the client remembers of its corrections. Here: which are due, which are on their way, and
//! whether an answer is what it has to be. Never here: what a correction says
//! ([`super::correction`]), sending. Read next: [`super::memory`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Range;

use super::chance::Dice;
use super::correction::{Correction, Fate, Habit, Moment, Step, script};
use super::kind::Kind;
use super::memory::Way;
use super::record::{Record, decimal};

/// Acknowledged corrections that are kept, to be sent once more by a client that forgot.
const KEPT_MAX: usize = 64;
/// One correction in so many is one that was acknowledged before.
const AGAIN_ONE_IN: u64 = 12;

/// What was said of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the ledger since now; perhaps it waits there for its record.
    Accepted {
        waiting: bool,
    },
    /// It was in the ledger before, or says what is so already.
    Duplicate,
    /// One of these two: a file's are only counted.
    InLedger,
    Stale,
    Conflict,
}

/// The corrections of one record that are still to be acknowledged.
#[derive(Debug)]
struct Fix {
    record: Record,
    way: Way,
    /// Those after the present one.
    later: VecDeque<Step>,
    present: Step,
    /// Whether the present one is due, at some time or other, or on its way.
    is_set: bool,
}

/// All corrections.
#[derive(Debug, Default)]
pub(crate) struct Fixes {
    seed: u64,
    habit: Habit,
    /// By the record's number.
    open: BTreeMap<u64, Fix>,
    /// Numbers of records, by how many records have to be acknowledged first.
    due: BTreeMap<Way, BinaryHeap<Reverse<(u64, u64)>>>,
    /// Sent, and not acknowledged.
    unanswered: BTreeMap<Way, VecDeque<Correction>>,
    kept: BTreeMap<Way, VecDeque<Correction>>,
    /// Corrections that the ledger has to hold: those that were accepted.
    pub(crate) accepted: u64,
    /// Of those, how many came to nothing with their record.
    pub(crate) without_effect: u64,
    /// How often what was met.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Fixes {
    pub(crate) fn new(kind: Kind, seed: u64, target: usize) -> Self {
        let facts = kind.facts();
        let span = u64::try_from(target / facts.late_part).unwrap_or(u64::MAX);
        let habit = Habit { one_in: facts.corrected_one_in, soon: facts.soon, span };
        Self { seed, habit, ..Self::default() }
    }

    /// A record was made. Answers whether it has to wait for a correction that goes before it.
    pub(crate) fn made(&mut self, way: Way, record: &Record) -> bool {
        let mut later: VecDeque<Step> = script(self.seed, record, self.habit).into();
        let Some(present) = later.pop_front() else { return false };
        let is_early = present.moment == Moment::Early;
        let fix = Fix { record: *record, way, later, present, is_set: is_early };
        self.open.insert(record.number, fix);
        if is_early {
            self.due.entry(way).or_default().push(Reverse((0, record.number)));
        }
        is_early
    }

    /// Whether records of these numbers are booked is not known.
    pub(crate) fn in_doubt(&mut self, numbers: Range<u64>, acknowledged: u64) {
        self.set(numbers, |moment| (moment == Moment::InDoubt).then_some(acknowledged));
    }

    /// Records of these numbers are booked.
    pub(crate) fn booked(&mut self, numbers: Range<u64>, acknowledged: u64) {
        self.set(numbers, |moment| match moment {
            Moment::Early => None,
            Moment::InDoubt => Some(acknowledged),
            Moment::After(more) => Some(acknowledged + more),
        });
    }

    fn set(&mut self, numbers: Range<u64>, at: impl Fn(Moment) -> Option<u64>) {
        for (number, fix) in self.open.range_mut(numbers) {
            if let (false, Some(at)) = (fix.is_set, at(fix.present.moment)) {
                fix.is_set = true;
                self.due.entry(fix.way).or_default().push(Reverse((at, *number)));
            }
        }
    }

    /// Whether all are acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// The correction to send next: one that was not acknowledged, sometimes one that was, or one
    /// that is due after so many records.
    pub(crate) fn take(
        &mut self,
        way: Way,
        acknowledged: u64,
        dice: &mut Dice,
    ) -> Option<Correction> {
        let kept = self.kept.entry(way).or_default();
        let unanswered = self.unanswered.entry(way).or_default();
        let due = self.due.entry(way).or_default();
        let is_due = due.peek().is_some_and(|Reverse((at, _))| *at <= acknowledged);
        let mut correction = if !unanswered.is_empty() && (!is_due || dice.once_in(2)) {
            unanswered.pop_front()?
        } else if is_due && dice.once_in(AGAIN_ONE_IN) && !kept.is_empty() {
            kept.pop_front()?
        } else if is_due {
            let Reverse((_, number)) = due.pop()?;
            let Fix { record, present, .. } = self.open.get(&number)?;
            let (step, meter) = (*present, record.place.meter);
            Correction { number, way, meter, step, sent: 0, acknowledged: false }
        } else {
            return None;
        };
        let kind = correction.step.change.kind();
        if correction.acknowledged {
            self.count(format!("{kind} sent again after its acknowledgement"));
        } else if correction.sent > 0 {
            self.count(format!("{kind} sent again after no answer, or one of 429 or 503"));
        }
        correction.sent += 1;
        Some(correction)
    }

    /// It was not answered, or refused for now.
    pub(crate) fn put_back(&mut self, correction: Correction) {
        if !correction.acknowledged {
            self.unanswered.entry(correction.way).or_default().push_back(correction);
        }
    }

    /// It was answered for good. Answers with the step that is done with it, if one is, and with
    /// what must not be.
    pub(crate) fn answered(
        &mut self,
        mut correction: Correction,
        verdict: Verdict,
        standing: Option<&str>,
        acknowledged: u64,
    ) -> (Option<Step>, Option<String>) {
        let wrong = wrong(&correction, verdict, standing);
        let wrong = wrong.map(|why| format!("{why}: {verdict:?} {standing:?} of {correction:?}"));
        let Correction { number, way, step, .. } = correction;
        self.count_answer(&correction, verdict);
        let was_acknowledged = std::mem::replace(&mut correction.acknowledged, true);
        let kept = self.kept.entry(way).or_default();
        kept.push_back(correction);
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
        if was_acknowledged {
            return (None, wrong);
        }
        match verdict {
            Verdict::Stale | Verdict::Conflict => {}
            Verdict::Accepted { .. } | Verdict::Duplicate | Verdict::InLedger => {
                self.accepted += u64::from(step.fate != Fate::Idle);
                self.without_effect += u64::from(step.fate == Fate::Mistaken);
            }
        }
        if let Some(fix) = self.open.get_mut(&number) {
            match fix.later.pop_front() {
                Some(next) => {
                    (fix.present, fix.is_set) = (next, false);
                    self.booked(number..number + 1, acknowledged);
                }
                None => drop(self.open.remove(&number)),
            }
        }
        (Some(step), wrong)
    }

    fn count_answer(&mut self, correction: &Correction, verdict: Verdict) {
        let Correction { step, acknowledged, .. } = correction;
        let what = match (verdict, step.fate) {
            (Verdict::Accepted { waiting: true }, Fate::Mistaken) => {
                "accepted before its record, of a quantity that it never has"
            }
            (Verdict::Accepted { waiting: true }, _) => "accepted before its record",
            (Verdict::Accepted { waiting: false }, _) => "accepted",
            (Verdict::InLedger, _) => "accepted or known, from a file",
            (Verdict::Duplicate, Fate::Idle) => "of what is cancelled already",
            (Verdict::Duplicate, _) if *acknowledged => "known, after its acknowledgement",
            (Verdict::Duplicate, _) => "known, after an answer that did not come",
            (Verdict::Stale, _) => "refused, as it replaces what is not so",
            (Verdict::Conflict, _) => "refused, as its name is another's",
        };
        self.count(format!("{} {what}", step.change.kind()));
    }

    fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }
}

/// What is wrong with an answer, if anything is.
fn wrong(
    correction: &Correction,
    verdict: Verdict,
    standing: Option<&str>,
) -> Option<&'static str> {
    let Correction { step, sent, acknowledged, .. } = correction;
    let is_fit = match (step.fate, verdict) {
        (Fate::Applies, Verdict::Accepted { .. } | Verdict::Duplicate | Verdict::InLedger)
        | (Fate::Idle, Verdict::Duplicate | Verdict::InLedger)
        | (Fate::Stale, Verdict::Stale)
        | (Fate::Conflict, Verdict::Conflict)
        | (
            Fate::Mistaken,
            Verdict::Accepted { waiting: true }
            | Verdict::Duplicate
            | Verdict::InLedger
            | Verdict::Stale,
        ) => true,
        (Fate::Idle | Fate::Stale | Fate::Conflict | Fate::Mistaken, Verdict::Accepted { .. })
        | (Fate::Stale | Fate::Conflict, Verdict::Duplicate | Verdict::InLedger)
        | (Fate::Applies | Fate::Idle | Fate::Conflict, Verdict::Stale)
        | (Fate::Applies | Fate::Idle | Fate::Stale | Fate::Mistaken, Verdict::Conflict) => false,
    };
    if !is_fit {
        return Some("a correction that should have fared otherwise");
    }
    match verdict {
        Verdict::Accepted { .. } if *acknowledged => {
            Some("a correction that was acknowledged before, and is taken as new")
        }
        Verdict::Duplicate if *sent == 1 && step.fate != Fate::Idle => {
            Some("a correction that was never sent before, and is taken as known")
        }
        Verdict::Accepted { waiting: false } | Verdict::Duplicate
            if !acknowledged && step.fate == Fate::Applies =>
        {
            let left = match step.change.leaves() {
                Some(quantity) => decimal(quantity.into()),
                None => "cancelled".to_owned(),
            };
            // A record that has not come counts with nothing yet.
            let differs = standing.is_some_and(|standing| standing != left);
            differs.then_some("a correction after which the record counts with something else")
        }
        Verdict::Accepted { .. }
        | Verdict::Duplicate
        | Verdict::InLedger
        | Verdict::Stale
        | Verdict::Conflict => None,
    }
}
