//! Who is silent, in `tallyd status`. Here: the table and its JSON. Never here: who is
//! ([`crate::domain::silence`]). Read next: [`super::status`].

use std::io::{self, Write};

use serde_json::{Value, json};

use super::table::{Side, Table};
use super::words;
use crate::domain::silence::{Heard, Silence, SpeakerKind, Terms, heard_until, silences};
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// Most silences that are listed of a kind: those that are told of by a name are few.
const LISTED_MAX: usize = 20;

/// Who is silent, as far as the ledger knows.
pub(super) struct Silent {
    silences: Vec<Silence>,
    /// Until when it was listened; nothing where nobody ever did.
    until: Option<Timestamp>,
}

impl Silent {
    pub(super) fn of(heard: &Heard, terms: &Terms, now: Timestamp) -> Self {
        Self {
            silences: silences(heard, terms, now),
            until: heard_until(now, heard.listened_at, heard.unread_from),
        }
    }

    pub(super) fn json(&self) -> Value {
        let counted: serde_json::Map<String, Value> = SpeakerKind::ALL
            .iter()
            .map(|kind| (kind.to_string(), json!(self.of_kind(*kind).count())))
            .collect();
        let listed = SpeakerKind::ALL.iter().flat_map(|kind| self.of_kind(*kind).take(LISTED_MAX));
        json!({
            "until": self.until.map(Timestamp::to_rfc3339),
            "counts": counted,
            "silences": listed.map(silence_json).collect::<Vec<_>>(),
        })
    }

    /// Most ledgers have none, and nothing is said of them.
    pub(super) fn write(&self, out: &mut dyn Write, now: Timestamp) -> io::Result<()> {
        if self.silences.is_empty() {
            return Ok(());
        }
        let mut table = Table::new([
            ("silent", Side::Left),
            ("name", Side::Left),
            ("heard last", Side::Left),
            ("may be quiet for", Side::Right),
            ("newest came from", Side::Left),
        ]);
        for kind in SpeakerKind::ALL {
            for each in self.of_kind(*kind).take(LISTED_MAX) {
                let source = match (kind, each.source_is_silent) {
                    (SpeakerKind::Source, _) => "-".to_owned(),
                    (SpeakerKind::Meter | SpeakerKind::Customer, true) => {
                        format!("{}, which is silent too", each.source)
                    }
                    (SpeakerKind::Meter | SpeakerKind::Customer, false) => {
                        format!("{}, which speaks", each.source)
                    }
                };
                table.row([
                    kind.to_string(),
                    each.speaker.name.to_string(),
                    words::instant(each.heard_at, now),
                    words::roughly(each.allowed_micros),
                    source,
                ]);
            }
        }
        writeln!(out)?;
        table.write(out, "")?;
        for kind in SpeakerKind::ALL {
            let more = self.of_kind(*kind).count().saturating_sub(LISTED_MAX);
            if more > 0 {
                let more = i64::try_from(more).unwrap_or(i64::MAX);
                writeln!(out, "and {}", words::counted(more, &format!("more silent {kind}")))?;
            }
        }
        match self.until.filter(|until| *until < now) {
            Some(until) => writeln!(out, "It was listened until {}.", words::instant(until, now)),
            None => Ok(()),
        }
    }

    fn of_kind(&self, kind: SpeakerKind) -> impl Iterator<Item = &Silence> {
        self.silences.iter().filter(move |each| each.speaker.kind == kind)
    }
}

fn silence_json(silence: &Silence) -> Value {
    json!({
        "kind": silence.speaker.kind.as_str(),
        "name": silence.speaker.name,
        "heard_at": silence.heard_at.to_rfc3339(),
        "quiet_seconds": silence.quiet_micros.div_euclid(MICROS_PER_SECOND),
        "allowed_seconds": silence.allowed_micros.div_euclid(MICROS_PER_SECOND),
        "source": silence.source.as_str(),
        "source_is_silent": silence.source_is_silent,
        "told_at": silence.told_at.map(Timestamp::to_rfc3339),
    })
}
