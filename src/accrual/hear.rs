//! Who is heard in a page of the journal. PURE. Here: a page's arrivals, by source, meter and
//! customer, without what tells nothing new. Never here: what is learned of them
//! ([`crate::domain::silence`]). Read next: [`super::accruer`].

use std::collections::HashMap;

use crate::domain::names::SourceName;
use crate::domain::record::UsageRecord;
use crate::domain::silence::{Hearing, Speaker, SpeakerKind, is_same};
use crate::domain::time::Timestamp;
use crate::ledger::accrual::JournalPage;

/// Most speakers of a kind that are kept in mind. Past it all are let go, and each costs one look
/// into the ledger more.
const KEPT_IN_MIND_MAX: usize = 100_000;

/// Remembers when everybody was heard last, so that a ledger that is busy is asked of each of them
/// once a minute. What it forgets costs time, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Ear {
    last: HashMap<SpeakerKind, HashMap<Box<str>, Timestamp>>,
}

/// One speaker's arrivals in a page.
#[derive(Default)]
struct Arrivals<'a> {
    at: Vec<Timestamp>,
    source: Option<&'a SourceName>,
}

impl Ear {
    /// Who is heard in `page` and was not within the last minute, in the order of their names.
    pub(super) fn hear(&self, page: &JournalPage) -> Vec<Hearing> {
        let mut heard: HashMap<(SpeakerKind, &str), Arrivals<'_>> = HashMap::new();
        for (entry, at) in page.entries.iter().zip(&page.arrivals) {
            for speaker in speakers(&entry.record) {
                let arrivals = heard.entry(speaker).or_default();
                let last = arrivals.at.last().copied().or_else(|| self.last_of(speaker));
                if !last.is_some_and(|last| is_same(last, *at)) {
                    arrivals.at.push(*at);
                    arrivals.source = Some(&entry.record.source);
                }
            }
        }
        let hearing = |((kind, name), Arrivals { at, source }): ((_, &str), Arrivals<'_>)| {
            let speaker = Speaker { kind, name: name.into() };
            Some(Hearing { speaker, source: source?.clone(), arrivals: at })
        };
        let mut hearings: Vec<Hearing> = heard.into_iter().filter_map(hearing).collect();
        hearings.sort_by(|a, b| a.speaker.cmp(&b.speaker));
        hearings
    }

    /// Keeps in mind what the ledger has learned.
    pub(super) fn keep_in_mind(&mut self, hearings: Vec<Hearing>) {
        for Hearing { speaker, arrivals, .. } in hearings {
            let Some(last) = arrivals.last() else { continue };
            let of_kind = self.last.entry(speaker.kind).or_default();
            if of_kind.len() >= KEPT_IN_MIND_MAX {
                of_kind.clear();
            }
            of_kind.insert(speaker.name, *last);
        }
    }

    fn last_of(&self, (kind, name): (SpeakerKind, &str)) -> Option<Timestamp> {
        self.last.get(&kind)?.get(name).copied()
    }
}

fn speakers(record: &UsageRecord) -> [(SpeakerKind, &str); 3] {
    [
        (SpeakerKind::Source, record.source.as_str()),
        (SpeakerKind::Meter, record.meter.as_str()),
        (SpeakerKind::Customer, record.customer.as_str()),
    ]
}
