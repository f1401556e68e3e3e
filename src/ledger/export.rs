//! What exports ask of the ledger. Here: beginning one, which events may go into it, holding them
//! for it, its steps, and what its files are made of. Never here: a file. Read next:
//! [`super::rejected`].
//!
//! Events are held first and the files are written then, from what is stored. A crash between the
//! two loses nothing, and the files of an export come out the same however often they are written.

use async_trait::async_trait;

use super::LedgerError;
use crate::domain::cutover::Telling;
use crate::domain::event::EventId;
use crate::domain::export::{Candidate, ExportForm, ExportId, ExportStep, Steps, UPLOAD_MICROS};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::provider_facts::AccountPin;
use crate::domain::time::Timestamp;

/// Most events that one call marks, or releases: a transaction of them takes tenths of a second,
/// and usage that comes meanwhile waits for it.
pub const MARKED_MAX: u32 = 2_000;

/// What is to be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewExport {
    /// From which provider instance's events.
    pub provider: ProviderName,
    /// The form of the files.
    pub form: ExportForm,
    /// Only of these meters; of all, where there are none.
    pub meters: Vec<ProviderMeter>,
    /// Only usage of before this instant.
    pub before: Option<Timestamp>,
    /// Who asks.
    pub who: String,
}

/// What became of a word about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported<T> {
    /// It is done.
    Done(T),
    /// It cannot be, and nothing was changed. A sentence says why.
    Refused(String),
}

/// Where a walk through what waits has come to: the lane, and the event in it. Events of a lane
/// are walked by their deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The lane.
    pub lane: i64,
    /// The event's deadline, in microseconds since the Unix epoch.
    pub deadline_micros: i64,
    /// The event.
    pub event: i64,
}

/// Some of what waits, and where the walk goes on; nothing where it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The events.
    pub candidates: Vec<Candidate>,
    /// Where the walk goes on.
    pub next: Option<Place>,
}

/// A step of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
    /// Which.
    pub step: ExportStep,
    /// How many files were written, and the SHA-256 of all their bytes as hex digits; only of
    /// [`ExportStep::Written`].
    pub files: Option<(i64, String)>,
    /// Why; empty where nobody has to say.
    pub why: String,
    /// Who says so.
    pub who: String,
}

/// A step as it was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedStep {
    /// What was said.
    pub said: NewStep,
    /// When.
    pub at: Timestamp,
}

/// An export as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its number.
    pub id: ExportId,
    /// What was asked for.
    pub asked: NewExport,
    /// The account that its files are for.
    pub account: AccountPin,
    /// When it was begun.
    pub made_at: Timestamp,
    /// Its steps, in their order.
    pub steps: Vec<NotedStep>,
    /// How many events are in it.
    pub events: i64,
    /// How many of them are held for it.
    pub held: i64,
    /// How many were found at the provider, though no request told them.
    pub present: i64,
    /// Whether the ledger was rolled back since it was begun: what its files hold, and what became
    /// of them, may have been noted in the ledger that was lost.
    pub rolled_back: bool,
}

impl Export {
    /// Which steps were noted.
    #[must_use]
    pub fn standing(&self) -> Steps {
        self.steps.iter().fold(Steps::default(), |steps, noted| steps.with(noted.said.step))
    }

    /// Until when its files are to be uploaded: what is in them was looked at for that long.
    #[must_use]
    pub const fn upload_by(&self) -> Timestamp {
        self.made_at.plus_micros(UPLOAD_MICROS)
    }

    /// That instant, where it has passed.
    #[must_use]
    pub fn late_since(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.upload_by()).filter(|by| *by < now)
    }

    /// What it came to, in words.
    #[must_use]
    pub fn word(&self) -> String {
        let word = self.standing().word();
        if self.rolled_back { format!("{word}, rolled back") } else { word.to_owned() }
    }

    /// What was noted of its files.
    #[must_use]
    pub fn files(&self) -> Option<&(i64, String)> {
        self.steps.iter().find_map(|noted| noted.said.files.as_ref())
    }
}

/// Where the reading of an export's events has come to: the meter's number, and the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowPlace {
    /// The meter, by the ledger's number for it.
    pub destination: i64,
    /// The event.
    pub event: i64,
}

/// What a call released, and behind which place the next goes on; nothing where all are released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// How many events.
    pub events: i64,
    /// Where the next goes on.
    pub next: Option<RowPlace>,
}

/// An event of an export, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedEvent {
    /// Its place.
    pub place: RowPlace,
    /// What is stored of it.
    pub event: Candidate,
}

/// The port of exports.
#[async_trait]
pub trait ExportLedger: Send + Sync {
    /// Why nothing of a provider may be exported now, if so: it was never in contact, is paused, in
    /// shadow, or told otherwise than as `telling` says, or the ledger was rolled back and has not
    /// caught up.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn why_not_exported(
        &self,
        provider: &ProviderName,
        telling: &Telling,
    ) -> Result<Option<String>, LedgerError>;

    /// Begins an export. Refused where [`Self::why_not_exported`] has a reason.
    ///
    /// # Errors
    /// Then nothing was begun, except after [`LedgerError::Broken`].
    async fn begin_export(
        &self,
        asked: &NewExport,
        now: Timestamp,
    ) -> Result<Exported<ExportId>, LedgerError>;

    /// Some of the events that wait to be told to the export's provider, from `from` on: those of
    /// its meters, and of before its instant.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn waiting_for(
        &self,
        asked: &NewExport,
        from: Place,
        limit: u32,
    ) -> Result<Waiting, LedgerError>;

    /// Holds events for the export and puts them into it: those that still wait, and for which no
    /// request was ever made. Answers how many. At most [`MARKED_MAX`] are given. Refused where the
    /// ledger was rolled back since the export was begun.
    ///
    /// # Errors
    /// Then none was held, except after [`LedgerError::Broken`].
    async fn mark_exported(
        &self,
        export: ExportId,
        events: &[EventId],
        now: Timestamp,
    ) -> Result<Exported<i64>, LedgerError>;

    /// Notes a step of an export. A seal is on disk outside the ledger as well before this
    /// returns: a backup of before it is then known to be older than the files. Sealing twice, and
    /// abandoning twice, is done already.
    ///
    /// # Errors
    /// Then nothing was noted, except after [`LedgerError::Broken`].
    async fn note_export(
        &self,
        export: ExportId,
        step: &NewStep,
        now: Timestamp,
    ) -> Result<Exported<()>, LedgerError>;

    /// Has what some of the events of an abandoned export said be outstanding again: of those
    /// behind `after`. Where the ledger was rolled back since it was begun they may be at the
    /// provider all the same, and a total settles those that are.
    ///
    /// # Errors
    /// Then none was moved, except after [`LedgerError::Broken`].
    async fn release_exported(
        &self,
        export: ExportId,
        after: RowPlace,
        now: Timestamp,
    ) -> Result<Exported<Released>, LedgerError>;

    /// The exports, newest first; only one, if it is named.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn exports(&self, only: Option<ExportId>, limit: u32)
    -> Result<Vec<Export>, LedgerError>;

    /// Some of the events of an export, in the order of its files, behind `after`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn exported_events(
        &self,
        export: ExportId,
        after: RowPlace,
        limit: u32,
    ) -> Result<Vec<ExportedEvent>, LedgerError>;
}
