//! The one door for corrections. Here: whether there is room, the calls that accept a batch, and
//! what became of each correction. Never here: reading bytes (see [`super::correct`]), HTTP. Read
//! next: [`super::resubmit`].

use super::admit::quoted;
use super::batch::Place;
use super::correct::{CorrectionBatch, Unfit};
use super::gate::{Gate, GateError};
use crate::domain::correction::{Change, Correction, CorrectionKind, Standing};
use crate::ledger::LedgerError;
use crate::ledger::intake::{CorrectionAdmission, CorrectionLedger};

/// Most corrections in one transaction: each is judged by what its record counts with, and records
/// wait for the writer meanwhile.
pub const CORRECTIONS_PER_CALL_MAX: usize = 1_000;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrectionStatus {
    /// Accepted now.
    Accepted,
    /// Accepted before.
    Duplicate,
    /// Another correction has its name.
    Conflict,
    /// It was made from an outdated view of the record.
    Stale,
    /// No correction.
    Rejected,
}

impl CorrectionStatus {
    /// Its text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

/// What became of one item of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionVerdict {
    /// Where it stood.
    pub place: Place,
    /// What kind of correction it is, where that could be read.
    pub kind: Option<CorrectionKind>,
    /// Where the record comes from; empty where it could not be read.
    pub source: String,
    /// The record's name, where it could be read.
    pub record: Option<String>,
    /// The correction's own name, where it could be read.
    pub id: Option<String>,
    /// What became of it.
    pub status: CorrectionStatus,
    /// What the record counts with now; nothing while it has not come, or is not known.
    pub standing: Option<Standing>,
    /// Whether the correction is in the ledger, and waits there for its record.
    pub waiting: bool,
    /// The field at fault and why, where there is one.
    pub fault: Option<(String, String)>,
}

/// What became of a batch: all that was accepted is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorrectionVerdicts {
    /// Accepted now.
    pub accepted: u64,
    /// Of those and of the duplicates, how many wait for their record.
    pub waiting: u64,
    /// Accepted before.
    pub duplicate: u64,
    /// Under a name that another correction has.
    pub conflict: u64,
    /// Made from an outdated view, or of a record that is archived.
    pub stale: u64,
    /// No corrections.
    pub rejected: u64,
    /// Each item, in the order it came.
    pub items: Vec<CorrectionVerdict>,
}

impl CorrectionVerdicts {
    /// Whether every item is in the ledger.
    #[must_use]
    pub const fn all_accepted(&self) -> bool {
        self.conflict == 0 && self.stale == 0 && self.rejected == 0
    }

    fn add(&mut self, verdict: CorrectionVerdict) {
        match verdict.status {
            CorrectionStatus::Accepted => self.accepted += 1,
            CorrectionStatus::Duplicate => self.duplicate += 1,
            CorrectionStatus::Conflict => self.conflict += 1,
            CorrectionStatus::Stale => self.stale += 1,
            CorrectionStatus::Rejected => self.rejected += 1,
        }
        self.waiting += u64::from(verdict.waiting);
        self.items.push(verdict);
    }
}

impl Gate {
    /// Accepts a batch of corrections in `ledger`, and keeps what is none. When it returns, what
    /// was accepted is on disk.
    ///
    /// # Errors
    /// Then a part of a large batch may have been accepted; it is recognised when the batch is sent
    /// again.
    pub async fn correct(
        &self,
        ledger: &dyn CorrectionLedger,
        batch: CorrectionBatch,
    ) -> Result<CorrectionVerdicts, GateError> {
        if batch.is_empty() {
            return Ok(CorrectionVerdicts::default());
        }
        self.check_room()?;
        let now = self.clock().now();
        let mut items = Vec::with_capacity(batch.len());
        if !batch.unfit.is_empty() {
            let kept = batch.unfit.iter().map(|unfit| unfit.item.clone()).collect();
            let kept = self.ledger.accept(Vec::new(), kept, now).await;
            kept.map_err(|why| self.refuse(why))?;
            items.extend(batch.unfit.into_iter().map(rejected));
        }
        for chunk in batch.admitted.chunks(CORRECTIONS_PER_CALL_MAX) {
            let corrections = chunk.iter().map(|(_, correction)| correction.clone()).collect();
            let corrected = ledger.correct(corrections, now).await;
            let admissions = corrected.map_err(|why| self.refuse(why))?;
            if admissions.len() != chunk.len() {
                let (asked, answered) = (chunk.len(), admissions.len());
                let why = format!("{asked} corrections were made, and {answered} answers came");
                return Err(self.refuse(LedgerError::Contradiction(why)));
            }
            if admissions.iter().any(|each| matches!(each, CorrectionAdmission::Accepted { .. })) {
                self.accrual.ring();
            }
            let judged = chunk.iter().zip(admissions);
            items.extend(judged.map(|((place, each), admission)| verdict(*place, each, admission)));
        }
        items.sort_by_key(|item| item.place);
        let mut verdicts = CorrectionVerdicts::default();
        items.into_iter().for_each(|item| verdicts.add(item));
        Ok(verdicts)
    }
}

fn rejected(unfit: Unfit) -> CorrectionVerdict {
    let Unfit { place, kind, id, item } = unfit;
    CorrectionVerdict {
        place,
        kind,
        source: item.source,
        record: item.id,
        id,
        status: CorrectionStatus::Rejected,
        standing: None,
        waiting: false,
        fault: Some((item.field, item.reason)),
    }
}

fn verdict(
    place: Place,
    correction: &Correction,
    admission: CorrectionAdmission,
) -> CorrectionVerdict {
    let fault = |field: &str, reason: String| Some((field.to_owned(), reason));
    let (status, standing, fault) = match admission {
        CorrectionAdmission::Accepted { standing, .. } => {
            (CorrectionStatus::Accepted, standing, None)
        }
        CorrectionAdmission::Duplicate(standing) => (CorrectionStatus::Duplicate, standing, None),
        CorrectionAdmission::Conflict(standing) => {
            let reason = format!(
                "{} names another correction of this record, which stays; one that says something \
                 else needs an id of its own",
                quoted(correction.name.as_str())
            );
            (CorrectionStatus::Conflict, standing, fault("id", reason))
        }
        CorrectionAdmission::Stale(standing) => {
            let (field, reason) = stale(correction, &standing);
            (CorrectionStatus::Stale, Some(standing), fault(field, reason))
        }
        CorrectionAdmission::Archived(archived) => {
            let reason = format!(
                "is in archive {}, which is final: what was billed of it is corrected at the \
                 provider; nothing was changed",
                archived.archive
            );
            (CorrectionStatus::Stale, None, fault("record", reason))
        }
    };
    let in_ledger = matches!(status, CorrectionStatus::Accepted | CorrectionStatus::Duplicate);
    CorrectionVerdict {
        place,
        kind: Some(correction.change.kind()),
        source: correction.source.to_string(),
        record: Some(correction.record.to_string()),
        id: Some(correction.name.to_string()),
        status,
        waiting: in_ledger && standing.is_none(),
        standing,
        fault,
    }
}

fn stale(correction: &Correction, standing: &Standing) -> (&'static str, String) {
    match (standing, &correction.change) {
        (Standing::Counts(present), Change::Adjust { replaces, .. }) => (
            "replaces",
            format!(
                "{} is not what the record counts with, which is {present}; nothing was changed",
                quoted(&replaces.to_string())
            ),
        ),
        (Standing::Cancelled, Change::Adjust { .. } | Change::Cancel)
        | (Standing::Counts(_), Change::Cancel) => {
            ("record", "is cancelled, which is final; nothing was changed".to_owned())
        }
    }
}
