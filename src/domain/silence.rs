//! Silence. PURE. Here: how often a source, a meter or a customer is heard of, as learned from when
//! its records arrived, and whether it has been quiet for longer than that. Never here: when usage
//! was (a backfill of last year's arrives today), a clock, who is told. Read next:
//! [`crate::ledger::silence`].
//!
//! A cadence is learned from the longest gap of each week. A job that runs at night has gaps of a
//! second within a run and of a day between two, and only the longest says when it is missed; a
//! week holds a weekend. A gap counts once it was seen in two of the weeks that are kept: so an
//! outage that was mended does not become the custom, and a pause that comes back each week does.
//! What has not been heard in three weeks has no cadence yet, and is never called silent: neither
//! is what is new, nor an import that was made once.
//!
//! Time in which this program did not listen is nobody's silence, and no gap.

use std::collections::{BTreeMap, BTreeSet};

use super::closed::closed;
use super::names::{CustomerName, MeterName, SourceName};
use super::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};

/// How closely arrivals are told apart, in microseconds: what is heard again within it changes
/// nothing, so that a source that never rests is written down once a minute. A gap is known to
/// this, upwards.
pub const GRAIN_MICROS: i64 = MICROS_PER_MINUTE;
/// Weeks whose longest gaps are kept, of those in which one ended: two months of what is heard
/// daily, and eight times of what is heard monthly.
pub const WEEKS_KEPT: usize = 8;
/// Weeks that make a cadence. Three always hold a whole one between them, with its weekend.
pub const WEEKS_LEARNED: usize = 3;
/// From as many weeks on a gap has to be seen twice. Of fewer, the one that holds the first weekend
/// would not count.
const WEEKS_DOUBTED: usize = 4;
/// Farthest that an arrival may lie before one that was heard, in microseconds, and be only out of
/// order. Past it, the clock was set back, and what was heard in its future would be for ever.
const DISORDER_MICROS_MAX: i64 = MICROS_PER_HOUR;
/// Longest time between two notes that this program listens which it still was listening through,
/// in microseconds: three notes, so that one or two that a busy disk delays are no absence.
pub const ATTENTION_MICROS_MAX: i64 = 3 * MICROS_PER_MINUTE;
/// How long somebody who is silent is remembered, in days: a quarter and some days. Then it is
/// forgotten, and would be learned anew.
pub const REMEMBERED_DAYS: i64 = 100;
/// A share of a gap, in percent, that is the gap itself.
const WHOLE_PERCENT: i64 = 100;
const WEEK_MICROS: i64 = 7 * MICROS_PER_DAY;

closed! {
    /// What may fall silent, in the order in which a silence is blamed on one.
    SpeakerKind {
        /// Where records come from.
        Source = "source",
        /// What was used, in the words of the source.
        Meter = "meter",
        /// Who used.
        Customer = "customer",
    }
}

impl SpeakerKind {
    /// Most of this kind that are listened for; of those that come after, nothing is learned until
    /// others are forgotten. Sources and meters are things that people set up. So many customers
    /// take a few megabytes, and a part of a second in each minute to judge.
    #[must_use]
    pub const fn most(self) -> usize {
        match self {
            Self::Source | Self::Meter => 1_000,
            Self::Customer => 50_000,
        }
    }
}

/// Who may fall silent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Speaker {
    /// What it is.
    pub kind: SpeakerKind,
    /// Its name.
    pub name: Box<str>,
}

impl Speaker {
    /// A source.
    #[must_use]
    pub fn source(name: &SourceName) -> Self {
        Self { kind: SpeakerKind::Source, name: name.as_str().into() }
    }

    /// A meter, in the words of the source.
    #[must_use]
    pub fn meter(name: &MeterName) -> Self {
        Self { kind: SpeakerKind::Meter, name: name.as_str().into() }
    }

    /// A customer.
    #[must_use]
    pub fn customer(name: &CustomerName) -> Self {
        Self { kind: SpeakerKind::Customer, name: name.as_str().into() }
    }
}

/// Records of one speaker that arrived: when, and where the newest came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// Whose.
    pub speaker: Speaker,
    /// The source of the newest.
    pub source: SourceName,
    /// When, in the order of the journal; at least one.
    pub arrivals: Vec<Timestamp>,
}

/// When this program did not listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absences(pub Vec<Window>);

impl Absences {
    /// How much of the time from `from` to `to` was listened through, in microseconds.
    #[must_use]
    pub fn listened(&self, from: Timestamp, to: Timestamp) -> i64 {
        let absent = |span: &Window| span.end.min(to).micros_since(span.start.max(from)).max(0);
        let away = self.0.iter().map(absent).fold(0_i64, i64::saturating_add);
        to.micros_since(from).saturating_sub(away).max(0)
    }
}

/// How often somebody is heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// The source of the newest record.
    pub source: SourceName,
    /// When it arrived, to [`GRAIN_MICROS`] downwards.
    pub heard_at: Timestamp,
    /// The longest gap that ended in a week, as (the week's number, microseconds), the newest
    /// [`WEEKS_KEPT`], oldest first.
    pub gaps: Vec<(i64, i64)>,
}

impl Cadence {
    /// Of somebody who was heard for the first time.
    #[must_use]
    pub const fn begun(source: SourceName, at: Timestamp) -> Self {
        Self { source, heard_at: at, gaps: Vec::new() }
    }

    /// Takes an arrival in; whether that changed anything.
    pub fn hear(&mut self, at: Timestamp, source: &SourceName, absences: &Absences) -> bool {
        if is_same(self.heard_at, at) {
            return false;
        }
        let gap = absences.listened(self.heard_at, at);
        self.heard_at = at;
        self.source = source.clone();
        if gap > 0 {
            let week = at.micros().div_euclid(WEEK_MICROS);
            match self.gaps.iter_mut().find(|(each, _)| *each == week) {
                Some((_, longest)) => *longest = gap.max(*longest),
                None => self.gaps.push((week, gap)),
            }
            let past = self.gaps.len().saturating_sub(WEEKS_KEPT);
            self.gaps.drain(..past);
        }
        true
    }

    /// The gap that is usual, in microseconds; nothing while too little was heard.
    #[must_use]
    pub fn learned(&self) -> Option<i64> {
        let mut longest: Vec<i64> = self.gaps.iter().map(|(_, gap)| *gap).collect();
        longest.sort_unstable_by(|a, b| b.cmp(a));
        if longest.len() < WEEKS_LEARNED {
            return None;
        }
        let place = usize::from(longest.len() >= WEEKS_DOUBTED);
        longest.get(place).copied()
    }
}

/// Whether an arrival at `at` tells nothing beside one at `heard_at`.
#[must_use]
pub const fn is_same(heard_at: Timestamp, at: Timestamp) -> bool {
    let since = at.micros_since(heard_at);
    since < GRAIN_MICROS && since > -DISORDER_MICROS_MAX
}

/// Until when it is known who was quiet: until now, unless nobody listens any more, or what arrived
/// since `unread_from` has not been read yet. Nothing where nobody ever listened.
#[must_use]
pub fn heard_until(
    now: Timestamp,
    listened_at: Option<Timestamp>,
    unread_from: Option<Timestamp>,
) -> Option<Timestamp> {
    let listened_at = listened_at?;
    let listens = now.micros_since(listened_at) <= ATTENTION_MICROS_MAX;
    let until = if listens { now } else { listened_at };
    Some(unread_from.map_or(until, |at| at.min(until)))
}

/// The time that was not listened through, where it was noted at `before` and again at `now`.
#[must_use]
pub fn absence(before: Timestamp, now: Timestamp) -> Option<Window> {
    let is_absence = now.micros_since(before) > ATTENTION_MICROS_MAX;
    is_absence.then_some(Window { start: before, end: now })
}

/// When somebody is called silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The kinds that are.
    pub kinds: BTreeSet<SpeakerKind>,
    /// For how long somebody is quiet first, as a share of the gap that is usual, in percent.
    pub gap_percent: u32,
    /// But no shorter than this, in microseconds.
    pub floor_micros: i64,
    /// How long these sources may be quiet, in microseconds, whatever is usual.
    pub said: BTreeMap<SourceName, i64>,
    /// Those whose silence is accepted.
    pub accepted: BTreeSet<Speaker>,
}

impl Default for Terms {
    /// Sources and meters, after twice the gap that is usual and an hour at least. Customers stop
    /// for reasons of their own, and of thousands some always do.
    fn default() -> Self {
        Self {
            kinds: BTreeSet::from([SpeakerKind::Source, SpeakerKind::Meter]),
            gap_percent: 200,
            floor_micros: MICROS_PER_HOUR,
            said: BTreeMap::new(),
            accepted: BTreeSet::new(),
        }
    }
}

/// Somebody who was heard, and since when its silence has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Who.
    pub speaker: Speaker,
    /// How often.
    pub cadence: Cadence,
    /// Since when the log says that it is silent.
    pub told_at: Option<Timestamp>,
}

/// Everybody who was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// When it was last noted that this program listens.
    pub listened_at: Option<Timestamp>,
    /// When the oldest record arrived that accrual has not read.
    pub unread_from: Option<Timestamp>,
    /// When nobody listened.
    pub absences: Absences,
    /// Who, by kind and name.
    pub voices: Vec<Voice>,
}

/// Somebody who has been quiet for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Who.
    pub speaker: Speaker,
    /// When it was heard last.
    pub heard_at: Timestamp,
    /// For how long it has been quiet while it was listened for, in microseconds.
    pub quiet_micros: i64,
    /// How long it might have been.
    pub allowed_micros: i64,
    /// The source that its newest record came from.
    pub source: SourceName,
    /// Whether that source is silent too, which says why.
    pub source_is_silent: bool,
    /// Since when the log says so.
    pub told_at: Option<Timestamp>,
}

/// For how long `voice` has been quiet, in microseconds.
#[must_use]
pub fn quiet(heard: &Heard, voice: &Voice, until: Timestamp) -> i64 {
    heard.absences.listened(voice.cadence.heard_at, until)
}

/// Who is silent at `now`: sources first, then meters, then customers. A meter or a customer whose
/// source's silence is accepted is not named: it went with it.
#[must_use]
pub fn silences(heard: &Heard, terms: &Terms, now: Timestamp) -> Vec<Silence> {
    let Some(until) = heard_until(now, heard.listened_at, heard.unread_from) else {
        return Vec::new();
    };
    let found = |voice: &Voice| {
        let (quiet_micros, allowed_micros) = (quiet(heard, voice, until), allowed(voice, terms)?);
        (quiet_micros > allowed_micros).then(|| Silence {
            speaker: voice.speaker.clone(),
            heard_at: voice.cadence.heard_at,
            quiet_micros,
            allowed_micros,
            source: voice.cadence.source.clone(),
            source_is_silent: false,
            told_at: voice.told_at,
        })
    };
    let mut all: Vec<Silence> = heard.voices.iter().filter_map(found).collect();
    all.sort_by(|a, b| a.speaker.cmp(&b.speaker));
    let is_source = |each: &&Silence| each.speaker.kind == SpeakerKind::Source;
    let sources: BTreeSet<Speaker> =
        all.iter().filter(is_source).map(|each| each.speaker.clone()).collect();
    let tells = terms.kinds.contains(&SpeakerKind::Source);
    all.retain_mut(|each| {
        let source = Speaker::source(&each.source);
        let goes_with_it = each.speaker.kind != SpeakerKind::Source && sources.contains(&source);
        each.source_is_silent = goes_with_it && tells;
        terms.kinds.contains(&each.speaker.kind)
            && !terms.accepted.contains(&each.speaker)
            && !(goes_with_it && terms.accepted.contains(&source))
    });
    all
}

/// How long `voice` may be quiet, in microseconds; nothing where that is not known.
fn allowed(voice: &Voice, terms: &Terms) -> Option<i64> {
    let Speaker { kind, name } = &voice.speaker;
    let said = match kind {
        SpeakerKind::Source => terms.said.iter().find(|(source, _)| source.as_str() == &**name),
        SpeakerKind::Meter | SpeakerKind::Customer => None,
    };
    if let Some((_, micros)) = said {
        return Some(*micros);
    }
    let learned = voice.cadence.learned()?;
    // The division comes first, and what it leaves is less than a gap's hundred microseconds.
    let share = (learned / WHOLE_PERCENT).saturating_mul(i64::from(terms.gap_percent));
    Some(share.max(terms.floor_micros))
}

#[cfg(test)]
mod tests;
