//! Where corrections go in. Here: the ledger itself when nobody runs it, or else the daemon that
//! does, and what either answers. Never here: which corrections. Read next: [`super::plan`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cli::import::door::{Here, keep_rejected, ledger_or_socket, line, rejected_json};
use crate::cli::socket::Socket;
use crate::config::Config;
use crate::daemon::Time;
use crate::domain::names::SourceName;
use crate::intake::correct::{CorrectionBatch, Unfit, write_correction};
use crate::intake::desk::CORRECTIONS_PER_CALL_MAX;
use crate::web::corrections::verdicts_json;

/// What became of one correction, as the daemon says it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Answer {
    /// Where it stood.
    pub(crate) line: Option<u64>,
    /// Where the record comes from.
    pub(crate) source: String,
    /// The record.
    pub(crate) record: Option<String>,
    /// The correction's own name.
    pub(crate) id: Option<String>,
    /// `cancel` or `adjust`.
    pub(crate) kind: Option<String>,
    /// `accepted`, `duplicate`, `conflict`, `stale`, `rejected`.
    pub(crate) status: String,
    /// What the record counts with now.
    pub(crate) standing: Option<String>,
    /// Whether it waits for its record.
    pub(crate) waiting: bool,
    /// The field at fault.
    pub(crate) field: Option<String>,
    /// What is wrong with it.
    pub(crate) reason: Option<String>,
}

impl Answer {
    /// Whether the correction is not in the ledger.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.status.as_str(), "conflict" | "stale" | "rejected")
    }
}

/// What became of corrections.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Answers {
    /// Accepted now.
    pub(crate) accepted: u64,
    /// Of those and the duplicates, how many wait for their record.
    pub(crate) waiting: u64,
    /// Accepted before.
    pub(crate) duplicate: u64,
    /// Under a name that another correction has.
    pub(crate) conflict: u64,
    /// Made from an outdated view.
    pub(crate) stale: u64,
    /// No corrections.
    pub(crate) rejected: u64,
    /// Each; of many, those that were not plainly accepted.
    pub(crate) corrections: Vec<Answer>,
}

impl Answers {
    /// Adds what another part came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.waiting += other.waiting;
        self.duplicate += other.duplicate;
        self.conflict += other.conflict;
        self.stale += other.stale;
        self.rejected += other.rejected;
        self.corrections.extend(other.corrections);
    }

    /// How many items it covers.
    pub(crate) const fn items(&self) -> u64 {
        self.accepted + self.duplicate + self.refused()
    }

    /// How many are not in the ledger.
    pub(crate) const fn refused(&self) -> u64 {
        self.conflict + self.stale + self.rejected
    }

    /// The counts, by their names.
    pub(crate) const fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("accepted", self.accepted),
            ("waiting", self.waiting),
            ("duplicate", self.duplicate),
            ("conflict", self.conflict),
            ("stale", self.stale),
            ("rejected", self.rejected),
        ]
    }
}

/// The way in.
pub(crate) enum Door {
    /// Nobody runs the ledger: it is open here.
    Ledger(Box<Here>),
    /// A daemon runs it.
    Daemon(There),
}

/// A daemon.
pub(crate) struct There {
    socket: Socket,
    body_bytes_max: usize,
    records_max: usize,
}

impl Door {
    /// Opens the way in for `command`.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub(crate) async fn open(config: &Config, command: &str) -> anyhow::Result<Self> {
        Ok(match ledger_or_socket(config, command).await? {
            Ok(ledger) => {
                let clock = Time::of(config).await?.clock;
                Self::Ledger(Box::new(Here::new(config, ledger, clock)))
            }
            Err(socket) => Self::Daemon(There {
                socket,
                body_bytes_max: config.intake.body_bytes_max,
                records_max: config.intake.batch_records_max.min(CORRECTIONS_PER_CALL_MAX),
            }),
        })
    }

    /// Hands corrections in, which `who` makes.
    ///
    /// # Errors
    /// When they cannot be accepted now, or the ledger failed. A part may have been accepted, and
    /// is recognised when it comes again.
    pub(crate) async fn correct(
        &mut self,
        who: &str,
        batch: CorrectionBatch,
    ) -> anyhow::Result<Answers> {
        match self {
            // One form, whoever answers.
            Self::Ledger(here) => {
                let verdicts = here.correct(batch).await?;
                Ok(serde_json::from_value(verdicts_json(&verdicts))?)
            }
            Self::Daemon(there) => there.correct(who, batch).await,
        }
    }

    /// Closes the ledger, if it is open here.
    pub(crate) async fn close(self) {
        match self {
            Self::Ledger(here) => here.close().await,
            Self::Daemon(_) => {}
        }
    }
}

impl There {
    async fn correct(&self, who: &str, batch: CorrectionBatch) -> anyhow::Result<Answers> {
        let mut whole = Answers::default();
        self.keep(&batch.unfit).await?;
        for unfit in batch.unfit {
            whole.rejected += 1;
            whole.corrections.push(rejected(unfit));
        }
        let (mut body, mut lines) = (String::new(), Vec::new());
        for (place, correction) in &batch.admitted {
            let text = write_correction(correction);
            let full = lines.len() == self.records_max
                || body.len() + text.len() + 1 > self.body_bytes_max;
            if full && !lines.is_empty() {
                let (body, lines) = (std::mem::take(&mut body), std::mem::take(&mut lines));
                whole.add(self.send(who, body, &lines).await?);
            }
            body.push_str(&text);
            body.push('\n');
            lines.push(line(*place));
        }
        if !lines.is_empty() {
            whole.add(self.send(who, body, &lines).await?);
        }
        whole.corrections.sort_by_key(|answer| answer.line);
        Ok(whole)
    }

    /// Hands over what is no correction, by source, to be kept for a person.
    async fn keep(&self, unfit: &[Unfit]) -> anyhow::Result<()> {
        let mut sources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for each in unfit {
            // The daemon keeps what names no proper source under none.
            let source = each.item.source.as_str();
            let source = if SourceName::new(source).is_ok() { source } else { "" };
            sources.entry(source).or_default().push(rejected_json(each.place, &each.item));
        }
        for (source, items) in sources {
            let bounds = (self.records_max, self.body_bytes_max);
            keep_rejected(&self.socket, source, &items, bounds).await?;
        }
        Ok(())
    }

    async fn send(&self, who: &str, body: String, lines: &[u64]) -> anyhow::Result<Answers> {
        let who = ("who", who);
        let kind = "application/x-ndjson";
        let mut answers: Answers = self.socket.post("/v1/corrections", who, kind, body).await?;
        for answer in &mut answers.corrections {
            let index = answer.line.and_then(|line| usize::try_from(line.checked_sub(1)?).ok());
            answer.line = index.and_then(|index| lines.get(index)).copied();
        }
        Ok(answers)
    }
}

fn rejected(unfit: Unfit) -> Answer {
    let Unfit { place, kind, id, item } = unfit;
    Answer {
        line: Some(line(place)),
        source: item.source,
        record: item.id,
        id,
        kind: kind.map(|kind| kind.to_string()),
        status: "rejected".to_owned(),
        standing: None,
        waiting: false,
        field: Some(item.field),
        reason: Some(item.reason),
    }
}
