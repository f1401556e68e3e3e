//! What the client remembers. Here: every record it made, what is acknowledged and what is not, and
//! what an answer says against that. Never here: sending. Read next: [`super::client`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::chance::Dice;
use super::correction::{Correction, Fate};
use super::fixes::{Fixes, Verdict};
use super::kind::Kind;
use super::record::{Place, Record};

/// Acknowledged parcels that are kept, to be sent once more by a client that forgot.
const KEPT_MAX: usize = 64;
/// Of so many records, one comes from a file at most.
const FILES_ONE_IN: usize = 4;
/// Findings that are kept in words.
const FINDINGS_MAX: usize = 40;

/// The way in that a parcel takes; its records' source is named by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// `POST /v1/usage`.
    Http,
    /// `tallyd import` of a table.
    Table,
    /// `tallyd import` of JSON, a record a line.
    Lines,
    /// A file that the daemon reads as it grows.
    Spool,
}

impl Way {
    pub(crate) const fn source(self) -> &'static str {
        match self {
            Self::Http => "web",
            Self::Table => "table",
            Self::Lines => "lines",
            Self::Spool => "spool",
        }
    }
}

/// Records that are sent together, always the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) way: Way,
    pub(crate) records: Range<usize>,
    /// How often it was sent before.
    sent: u32,
    /// Whether it is acknowledged, and only sent again.
    acknowledged: bool,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Usage(Parcel),
    Correction(Correction),
}

/// How the records of a parcel were booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booked {
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
}

/// Counts of what clients met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) parcels: u64,
    pub(crate) unanswered: u64,
    pub(crate) repeated: u64,
    pub(crate) sent_after_acknowledgement: u64,
    pub(crate) duplicates: u64,
    pub(crate) cut: u64,
    pub(crate) imports: u64,
    pub(crate) imports_failed: u64,
    pub(crate) imports_killed: u64,
    pub(crate) rotations: u64,
    pub(crate) refused: BTreeMap<String, u64>,
}

/// What the client remembers.
pub(crate) struct Memory {
    kind: Kind,
    seed: u64,
    base: i64,
    target: usize,
    released: usize,
    /// How many records more would have been made by now, if there were any more to make.
    passed: usize,
    /// Records that were made for files.
    for_files: usize,
    /// Records that were made to be read as they are written.
    for_spool: usize,
    /// By number.
    records: Vec<Record>,
    acknowledged: Vec<bool>,
    unanswered: BTreeMap<Way, VecDeque<Parcel>>,
    kept: VecDeque<Parcel>,
    pub(crate) fixes: Fixes,
    /// How much corrections took away at each place, in thousandths.
    lowered: BTreeMap<Place, i128>,
    /// Records that were made and not acknowledged.
    open: usize,
    pub(crate) counts: Counts,
    findings: Vec<String>,
    findings_more: u64,
}

impl Memory {
    /// One that is to make `target` records in the end, of which none may be made yet.
    pub(crate) fn new(kind: Kind, seed: u64, base: i64, target: usize) -> Self {
        Self {
            kind,
            seed,
            base,
            target,
            released: 0,
            passed: 0,
            for_files: 0,
            for_spool: 0,
            records: Vec::new(),
            acknowledged: Vec::new(),
            unanswered: BTreeMap::new(),
            kept: VecDeque::new(),
            fixes: Fixes::new(kind, seed, target),
            lowered: BTreeMap::new(),
            open: 0,
            counts: Counts::default(),
            findings: Vec::new(),
            findings_more: 0,
        }
    }

    /// Allows `more` records to be made; once all may be, lets corrections come as if there were
    /// more.
    pub(crate) fn release(&mut self, more: usize) {
        let made = more.min(self.target - self.released);
        self.released += made;
        self.passed += more - made;
    }

    /// Records that may not be made yet, or would not be.
    pub(crate) fn withheld(&self) -> usize {
        let all = self.target * self.kind.facts().stretch;
        all.saturating_sub(self.released + self.passed)
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Which provider is told.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The second in which the run began.
    pub(crate) const fn base(&self) -> i64 {
        self.base
    }

    pub(crate) fn of(&self, parcel: &Parcel) -> &[Record] {
        self.records.get(parcel.records.clone()).unwrap_or_default()
    }

    /// Whether all records are made and acknowledged.
    fn all_are_booked(&self) -> bool {
        self.records.len() >= self.target && self.open == 0
    }

    /// Whether all records and corrections are made and acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.all_are_booked() && self.fixes.is_done()
    }

    /// A correction to send next, if one is due.
    pub(crate) fn take_correction(&mut self, way: Way, dice: &mut Dice) -> Option<Correction> {
        // Nothing more is waited for in the end.
        let is_end = self.all_are_booked() && self.withheld() == 0;
        let passed = u64::try_from(self.passed).unwrap_or(u64::MAX);
        let acknowledged = match is_end {
            true => u64::MAX,
            false => self.counts.acknowledged.saturating_add(passed),
        };
        self.fixes.take(way, acknowledged, dice)
    }

    /// What to send next: a parcel that was not acknowledged, sometimes one that was, or a new one
    /// of about `size` records. Nothing while no more may be made.
    pub(crate) fn take(&mut self, way: Way, size: u64, dice: &mut Dice) -> Option<Parcel> {
        let is_due = match way {
            Way::Http => true,
            Way::Table | Way::Lines => self.for_files * FILES_ONE_IN <= self.records.len(),
            Way::Spool => self.for_spool * FILES_ONE_IN <= self.records.len(),
        };
        let may_make = is_due && self.records.len() < self.released;
        let waiting = self.unanswered.entry(way).or_default();
        let mut parcel = if !waiting.is_empty() && (!may_make || dice.once_in(2)) {
            waiting.pop_front()?
        } else if may_make
            && dice.once_in(16)
            && self.kept.front().map(|kept| kept.way) == Some(way)
        {
            self.kept.pop_front()?
        } else if may_make {
            self.make(way, size)?
        } else {
            return None;
        };
        if parcel.acknowledged {
            self.counts.sent_after_acknowledgement += 1;
        } else if parcel.sent > 0 {
            self.counts.repeated += 1;
        }
        parcel.sent += 1;
        Some(parcel)
    }

    /// Makes a parcel; nothing when corrections of its records are to be sent before it.
    fn make(&mut self, way: Way, size: u64) -> Option<Parcel> {
        let first = self.records.len();
        let until = first.saturating_add(usize::try_from(size.max(1)).unwrap_or(1));
        let until = until.min(self.target.max(first + 1));
        let mut waits = false;
        for number in numbers(&(first..until)) {
            let record = self.kind.draw(self.seed, self.base, number);
            // A correction of what nobody has read yet would wait for it.
            if way != Way::Spool {
                waits |= self.fixes.made(way, &record);
            }
            self.records.push(record);
            self.acknowledged.push(false);
        }
        self.open += until - first;
        match way {
            Way::Http => {}
            Way::Table | Way::Lines => self.for_files += until - first,
            Way::Spool => self.for_spool += until - first,
        }
        self.counts.parcels += 1;
        let parcel = Parcel { way, records: first..until, sent: 0, acknowledged: false };
        if waits {
            self.put_back(parcel);
            return None;
        }
        Some(parcel)
    }

    /// A parcel was answered: all of it is booked.
    pub(crate) fn acknowledge(&mut self, mut parcel: Parcel, booked: Booked) {
        let (records, sent) = (parcel.records.clone(), parcel.sent);
        let numbers = numbers(&records);
        let count = numbers.end - numbers.start;
        let Booked { accepted, duplicate } = booked;
        if accepted + duplicate != count {
            self.find(format!("{numbers:?}: {accepted} new and {duplicate} known, of {count}"));
        }
        if parcel.acknowledged && accepted > 0 {
            self.find(format!("{numbers:?}: acknowledged before, and {accepted} taken as new"));
        }
        if sent == 1 && !parcel.acknowledged && duplicate > 0 {
            self.find(format!("{numbers:?}: never sent before, and {duplicate} taken as known"));
        }
        self.counts.duplicates += duplicate;
        if !parcel.acknowledged {
            for known in self.acknowledged.get_mut(records.clone()).unwrap_or_default() {
                *known = true;
            }
            self.open -= records.len();
            self.counts.acknowledged += count;
            self.fixes.booked(numbers, self.counts.acknowledged);
        }
        parcel.acknowledged = true;
        self.kept.push_back(parcel);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// A parcel was written to a file that is read: that counts as a yes.
    pub(crate) fn written(&mut self, parcel: Parcel) {
        let count = u64::try_from(parcel.records.len()).unwrap_or(u64::MAX);
        let booked = match parcel.acknowledged {
            true => Booked { accepted: 0, duplicate: count },
            false => Booked { accepted: count, duplicate: 0 },
        };
        self.acknowledge(parcel, booked);
    }

    /// A correction was answered for good.
    pub(crate) fn corrected(
        &mut self,
        correction: Correction,
        verdict: Verdict,
        standing: Option<&str>,
    ) {
        let number = correction.number;
        let acknowledged = self.counts.acknowledged;
        let (done, wrong) = self.fixes.answered(correction, verdict, standing, acknowledged);
        if let Some(wrong) = wrong {
            self.find(wrong);
        }
        let Some(step) = done.filter(|step| step.fate == Fate::Applies) else { return };
        let record = usize::try_from(number).ok().and_then(|at| self.records.get_mut(at));
        if let Some(record) = record {
            let before = record.expected;
            record.correct(step.change.leaves());
            let less = i128::from(before) - i128::from(record.expected);
            *self.lowered.entry(record.place).or_default() += less.max(0);
        }
    }

    /// How much corrections took away at each place, in thousandths.
    pub(crate) const fn lowered(&self) -> &BTreeMap<Place, i128> {
        &self.lowered
    }

    /// It was not answered: perhaps booked, perhaps not.
    pub(crate) fn unanswered(&mut self, load: Load) {
        self.counts.unanswered += 1;
        self.wait(load);
    }

    /// It was refused for now.
    pub(crate) fn refused(&mut self, load: Load, code: &str) {
        *self.counts.refused.entry(code.to_owned()).or_default() += 1;
        self.wait(load);
    }

    fn wait(&mut self, load: Load) {
        match load {
            Load::Usage(parcel) => {
                self.fixes.in_doubt(numbers(&parcel.records), self.counts.acknowledged);
                self.put_back(parcel);
            }
            Load::Correction(correction) => self.fixes.put_back(correction),
        }
    }

    fn put_back(&mut self, parcel: Parcel) {
        if !parcel.acknowledged {
            self.unanswered.entry(parcel.way).or_default().push_back(parcel);
        }
    }

    /// What all records come to at each place, in thousandths.
    pub(crate) fn sums(&self) -> BTreeMap<Place, i128> {
        let mut sums: BTreeMap<Place, i128> = BTreeMap::new();
        for record in &self.records {
            let sum = sums.entry(record.place).or_default();
            *sum += i128::from(record.expected);
        }
        sums
    }

    /// How many records are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.acknowledged.iter().filter(|known| !**known).count()
    }

    /// Keeps something that must not be.
    pub(crate) fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_more += 1;
        }
    }

    /// What was found, and how much more than is listed.
    pub(crate) fn findings(&self) -> (&[String], u64) {
        (&self.findings, self.findings_more)
    }
}

/// Places of records as their numbers.
fn numbers(records: &Range<usize>) -> Range<u64> {
    let number = |at| u64::try_from(at).unwrap_or(u64::MAX);
    number(records.start)..number(records.end)
}
