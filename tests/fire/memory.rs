//! What the client remembers. Here: every record it made, what is acknowledged and what is not, and
//! what an answer says against that. Never here: sending. Read next: [`super::client`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::chance::Dice;
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
}

impl Way {
    pub(crate) const fn source(self) -> &'static str {
        match self {
            Self::Http => "web",
            Self::Table => "table",
            Self::Lines => "lines",
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
    pub(crate) refused: BTreeMap<String, u64>,
}

/// What the client remembers.
pub(crate) struct Memory {
    seed: u64,
    base: i64,
    target: usize,
    released: usize,
    /// Records that were made for files.
    for_files: usize,
    /// By number.
    records: Vec<Record>,
    acknowledged: Vec<bool>,
    unanswered: BTreeMap<Way, VecDeque<Parcel>>,
    kept: VecDeque<Parcel>,
    /// Records that were made and not acknowledged.
    open: usize,
    pub(crate) counts: Counts,
    findings: Vec<String>,
    findings_more: u64,
}

impl Memory {
    /// One that is to make `target` records in the end, of which none may be made yet.
    pub(crate) fn new(seed: u64, base: i64, target: usize) -> Self {
        Self {
            seed,
            base,
            target,
            released: 0,
            for_files: 0,
            records: Vec::new(),
            acknowledged: Vec::new(),
            unanswered: BTreeMap::new(),
            kept: VecDeque::new(),
            open: 0,
            counts: Counts::default(),
            findings: Vec::new(),
            findings_more: 0,
        }
    }

    /// Allows `more` records to be made.
    pub(crate) fn release(&mut self, more: usize) {
        self.released = self.released.saturating_add(more).min(self.target);
    }

    /// Records that may not be made yet.
    pub(crate) const fn withheld(&self) -> usize {
        self.target.saturating_sub(self.released)
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The second in which the run began.
    pub(crate) const fn base(&self) -> i64 {
        self.base
    }

    pub(crate) fn of(&self, parcel: &Parcel) -> &[Record] {
        self.records.get(parcel.records.clone()).unwrap_or_default()
    }

    /// Whether all records are made and acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.records.len() >= self.target && self.open == 0
    }

    /// What to send next: a parcel that was not acknowledged, sometimes one that was, or a new one
    /// of about `size` records. Nothing while no more may be made.
    pub(crate) fn take(&mut self, way: Way, size: u64, dice: &mut Dice) -> Option<Parcel> {
        let is_due = match way {
            Way::Http => true,
            Way::Table | Way::Lines => self.for_files * FILES_ONE_IN <= self.records.len(),
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
            self.make(way, size)
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

    fn make(&mut self, way: Way, size: u64) -> Parcel {
        let first = self.records.len();
        let until = first.saturating_add(usize::try_from(size.max(1)).unwrap_or(1));
        let until = until.min(self.target.max(first + 1));
        for number in first..until {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            self.records.push(Record::draw(self.seed, self.base, number));
            self.acknowledged.push(false);
        }
        self.open += until - first;
        match way {
            Way::Http => {}
            Way::Table | Way::Lines => self.for_files += until - first,
        }
        self.counts.parcels += 1;
        Parcel { way, records: first..until, sent: 0, acknowledged: false }
    }

    /// A parcel was answered: all of it is booked.
    pub(crate) fn acknowledge(&mut self, mut parcel: Parcel, booked: Booked) {
        let (numbers, sent) = (parcel.records.clone(), parcel.sent);
        let count = u64::try_from(numbers.len()).unwrap_or(u64::MAX);
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
            for known in self.acknowledged.get_mut(numbers.clone()).unwrap_or_default() {
                *known = true;
            }
            self.open -= numbers.len();
            self.counts.acknowledged += count;
        }
        parcel.acknowledged = true;
        self.kept.push_back(parcel);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// A parcel was not answered: perhaps booked, perhaps not.
    pub(crate) fn unanswered(&mut self, parcel: Parcel) {
        self.counts.unanswered += 1;
        self.put_back(parcel);
    }

    /// A parcel was refused for now.
    pub(crate) fn refused(&mut self, parcel: Parcel, code: &str) {
        *self.counts.refused.entry(code.to_owned()).or_default() += 1;
        self.put_back(parcel);
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
