//! The alarm of silence. Here: noting that this daemon listens, telling the log once when somebody
//! falls silent and once when that is over, and showing it in the metrics. Never here: who is
//! silent ([`crate::domain::silence`]), usage. Read next: [`super::assemble`].
//!
//! It stands beside the journey: nothing waits for it, and nothing is held for a silence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::silence::{
    Heard, REMEMBERED_DAYS, Silence, Speaker, SpeakerKind, Terms, heard_until, quiet, silences,
};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_MINUTE, MICROS_PER_SECOND, Timestamp};
use crate::ledger::Ledger;
use crate::ledger::silence::Told;
use crate::service::pace::Pace;
use crate::service::{Service, Step, StepError};
use crate::telemetry::metrics::{Metrics, Silences};

/// Time between two looks, in microseconds: as closely as arrivals are told apart.
const LOOK_MICROS: i64 = MICROS_PER_MINUTE;
/// Most silences that begin, or end, with a line of the log each, in one look. Where more do, the
/// rest is a number.
const LINES_MAX: usize = 20;
/// Most sources whose quiet is shown in the metrics: each is a series.
const SOURCES_SHOWN_MAX: usize = 100;

/// The service that tells of silences.
pub struct SilenceAlarm {
    ledger: Arc<dyn Ledger>,
    metrics: Metrics,
    terms: Terms,
    pace: Pace,
}

impl SilenceAlarm {
    /// Tells of silences by `terms`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, metrics: Metrics, terms: Terms) -> Self {
        Self { ledger, metrics, terms, pace: Pace::every(LOOK_MICROS) }
    }

    fn show(&self, heard: &Heard, silences: &[Silence], now: Timestamp) {
        let count = |kind: &SpeakerKind| {
            let of_kind = silences.iter().filter(|each| each.speaker.kind == *kind).count();
            (kind.to_string(), i64::try_from(of_kind).unwrap_or(i64::MAX))
        };
        let until = heard_until(now, heard.listened_at, heard.unread_from).unwrap_or(now);
        let sources = heard.voices.iter().filter(|each| each.speaker.kind == SpeakerKind::Source);
        let mut quiet_sources: Vec<(String, i64)> = sources
            .filter(|voice| !self.terms.accepted.contains(&voice.speaker))
            .map(|voice| (voice.speaker.name.to_string(), seconds(quiet(heard, voice, until))))
            .collect();
        // Where there are too many, those that were heard longest ago are those to look at.
        quiet_sources.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        quiet_sources.truncate(SOURCES_SHOWN_MAX);
        self.metrics.show_silences(&Silences {
            silent: self.terms.kinds.iter().map(count).collect(),
            quiet_sources,
        });
    }
}

const fn seconds(micros: i64) -> i64 {
    micros.div_euclid(MICROS_PER_SECOND)
}

/// What is to be told: whose silence begins, and whose is over. What went silent with its source is
/// not told beside it; where it stays silent when the source speaks again, it is told then.
fn judge(heard: &Heard, silences: &[Silence], now: Timestamp) -> Told {
    let silent: BTreeSet<&Speaker> = silences.iter().map(|each| &each.speaker).collect();
    let kept = REMEMBERED_DAYS.saturating_mul(MICROS_PER_DAY);
    let is_past = |at: Timestamp| heard.listened_at.is_some() && now.micros_since(at) > kept;
    let mut told = Told::default();
    for voice in &heard.voices {
        if is_past(voice.cadence.heard_at) {
            told.forgotten.push(voice.speaker.clone());
        } else if voice.told_at.is_some() && !silent.contains(&voice.speaker) {
            told.ended.push(voice.speaker.clone());
        }
    }
    let begins = |each: &&Silence| {
        each.told_at.is_none() && !each.source_is_silent && !is_past(each.heard_at)
    };
    told.begun = silences.iter().filter(begins).map(|each| each.speaker.clone()).collect();
    told
}

/// Tells the log.
fn tell(heard: &Heard, silences: &[Silence], told: &Told) {
    let by_name: BTreeMap<&Speaker, &Silence> =
        silences.iter().map(|each| (&each.speaker, each)).collect();
    for speaker in told.begun.iter().take(LINES_MAX) {
        let Some(silence) = by_name.get(speaker) else { continue };
        let goes_with =
            |each: &&Silence| each.source_is_silent && Speaker::source(&each.source) == *speaker;
        tracing::warn!(
            kind = speaker.kind.as_str(),
            name = &*speaker.name,
            heard_at = %silence.heard_at,
            quiet_seconds = seconds(silence.quiet_micros),
            allowed_seconds = seconds(silence.allowed_micros),
            newest_from = silence.source.as_str(),
            silent_with_it = silences.iter().filter(goes_with).count(),
            "{}",
            in_words(speaker.kind),
        );
    }
    more(told.begun.len(), "more fell silent (tallyd status)");
    let told_at: BTreeMap<&Speaker, Option<Timestamp>> =
        heard.voices.iter().map(|voice| (&voice.speaker, voice.told_at)).collect();
    for speaker in told.ended.iter().take(LINES_MAX) {
        let since = told_at.get(speaker).copied().flatten().map(|at| at.to_rfc3339());
        let (kind, name) = (speaker.kind.as_str(), &*speaker.name);
        tracing::info!(kind, name, since, "a silence is over");
    }
    more(told.ended.len(), "more silences are over");
}

/// What a silence that begins is called.
const fn in_words(kind: SpeakerKind) -> &'static str {
    match kind {
        SpeakerKind::Source => "a source has fallen silent: nothing new arrives from it",
        SpeakerKind::Meter => "a meter has fallen silent, though its source speaks",
        SpeakerKind::Customer => "a customer has fallen silent, though its source speaks",
    }
}

fn more(count: usize, what: &'static str) {
    let count = count.saturating_sub(LINES_MAX);
    if count > 0 {
        tracing::warn!(count, "{what}");
    }
}

#[async_trait]
impl Service for SilenceAlarm {
    fn name(&self) -> &str {
        "silence"
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        if let Err(at) = self.pace.begin(now) {
            return Ok(Step { wake_at: Some(at), ..Step::default() });
        }
        let step = Step { wake_at: Some(now.plus_micros(LOOK_MICROS)), ..Step::default() };
        self.ledger.listen(now).await?;
        let heard = self.ledger.heard().await?;
        let silences = silences(&heard, &self.terms, now);
        self.show(&heard, &silences, now);
        let told = judge(&heard, &silences, now);
        if told.is_empty() {
            return Ok(step);
        }
        // Told first: what ends this process in between has it told twice, and never not at all.
        tell(&heard, &silences, &told);
        self.ledger.keep_told(&told, now).await?;
        let count = |of: &[Speaker]| u64::try_from(of.len()).unwrap_or(u64::MAX);
        let counts = vec![("silent", count(&told.begun)), ("heard_again", count(&told.ended))];
        Ok(Step { counts, ..step })
    }
}
