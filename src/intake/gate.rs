//! The one door into the journal. Here: whether there is room, the one call that books a batch, and
//! what became of each record. Never here: reading bytes (see [`super::json`]), HTTP. Read next:
//! [`crate::ledger::intake`].
//!
//! Dropping the future of [`Gate::admit`] drops the call to the ledger: whoever serves callers that
//! may go away has to run it in a task of their own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Settings;
use super::batch::{Batch, Place};
use crate::clock::Clock;
use crate::domain::record::Position;
use crate::ledger::LedgerError;
use crate::ledger::intake::{Admission, Admitted, IntakeLedger, Rejected};
use crate::ledger::spool::{SpoolLedger, Stretch};
use crate::service::changing::Changing;
use crate::service::{Bell, FatalBell};

/// Why nothing was booked. Nobody was told otherwise, so the same batch may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Too many bytes are in work already.
    #[error("too much usage is in work at once")]
    Overloaded,
    /// Less is free on the ledger's disk than shall stay free.
    #[error("the ledger's disk has {free_bytes} bytes left, and {free_bytes_min} shall stay free")]
    LowDisk {
        /// What is free.
        free_bytes: u64,
        /// What shall stay free.
        free_bytes_min: u64,
    },
    /// The ledger has no room left.
    #[error("the ledger is full")]
    LedgerFull(#[source] LedgerError),
    /// The ledger is busy.
    #[error("the ledger is busy")]
    LedgerBusy(#[source] LedgerError),
    /// The ledger refused the batch.
    #[error("the ledger refused the batch")]
    Refused(#[source] LedgerError),
    /// The ledger cannot be trusted any longer; the process was told to stop, and why. Whether the
    /// batch is booked is not known.
    #[error("the ledger failed")]
    Fatal,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Booked now.
    Accepted(Position),
    /// Booked before, with the same content.
    Duplicate(Position),
    /// Booked before, with other content.
    Conflict(Position),
    /// No record.
    Rejected,
}

impl Status {
    /// Its text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Duplicate(_) => "duplicate",
            Self::Conflict(_) => "conflict",
            Self::Rejected => "rejected",
        }
    }
}

/// What became of one item of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Where it stood.
    pub place: Place,
    /// Its id, where one could be read.
    pub id: Option<String>,
    /// What became of it.
    pub status: Status,
    /// The field at fault and why, where there is one.
    pub fault: Option<(String, String)>,
}

/// What became of a batch: all of it is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Records booked now.
    pub accepted: u64,
    /// Records booked before.
    pub duplicate: u64,
    /// Records that contradict one booked before.
    pub conflict: u64,
    /// Items that are no records.
    pub rejected: u64,
    /// Each item, in the order it came.
    pub items: Vec<Verdict>,
}

impl Verdicts {
    /// Whether every item is booked.
    #[must_use]
    pub const fn all_booked(&self) -> bool {
        self.conflict == 0 && self.rejected == 0
    }

    fn add(&mut self, verdict: Verdict) {
        match verdict.status {
            Status::Accepted(_) => self.accepted += 1,
            Status::Duplicate(_) => self.duplicate += 1,
            Status::Conflict(_) => self.conflict += 1,
            Status::Rejected => self.rejected += 1,
        }
        self.items.push(verdict);
    }
}

/// A share of the bytes that may be in work at once, given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    permits: Option<OwnedSemaphorePermit>,
}

/// The door.
pub struct Gate {
    pub(super) ledger: Arc<dyn IntakeLedger>,
    settings: Changing<Settings>,
    clock: Arc<dyn Clock>,
    pub(super) accrual: Bell,
    fatal: FatalBell,
    inflight: Arc<Semaphore>,
}

impl Gate {
    /// A door to `ledger` that rings `accrual` when it booked something, and `fatal` when the
    /// ledger cannot be trusted any longer.
    pub fn new(
        ledger: Arc<dyn IntakeLedger>,
        settings: Arc<Settings>,
        clock: Arc<dyn Clock>,
        accrual: Bell,
        fatal: FatalBell,
    ) -> Self {
        let inflight = settings.inflight_bytes_max.min(Semaphore::MAX_PERMITS);
        let inflight = Arc::new(Semaphore::new(inflight));
        let settings = Changing::of(settings);
        Self { ledger, settings, clock, accrual, fatal, inflight }
    }

    /// The bounds it works by at present: whoever judges a batch takes them once for all of it.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.present()
    }

    /// Works by other bounds from here on. How many bytes may be in work at once stays as it is:
    /// the share of a request that is being read cannot be taken back.
    pub fn follow(&self, settings: Settings) {
        self.settings.replace(Arc::new(settings));
    }

    /// The clock it works by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// An empty share of the bytes that may be in work.
    #[must_use]
    pub const fn reservation(&self) -> Reservation {
        Reservation { permits: None }
    }

    /// Adds `bytes` to a share. Bytes are counted as they arrive, not as they are announced, so
    /// that nobody can fill the budget with promises.
    ///
    /// # Errors
    /// [`GateError::Overloaded`] when the budget is spent.
    pub fn grow(&self, share: &mut Reservation, bytes: usize) -> Result<(), GateError> {
        let bytes = u32::try_from(bytes).map_err(|_| GateError::Overloaded)?;
        let more = Arc::clone(&self.inflight).try_acquire_many_owned(bytes);
        let more = more.map_err(|_| GateError::Overloaded)?;
        match &mut share.permits {
            Some(permits) => permits.merge(more),
            none @ None => *none = Some(more),
        }
        Ok(())
    }

    /// Whether the ledger's disk has room for more.
    ///
    /// # Errors
    /// [`GateError::LowDisk`], or what the ledger says.
    pub fn check_room(&self) -> Result<(), GateError> {
        let free_bytes = self.ledger.free_bytes().map_err(|why| self.refuse(why))?;
        let free_bytes_min = self.settings().free_bytes_min;
        if free_bytes < free_bytes_min {
            return Err(GateError::LowDisk { free_bytes, free_bytes_min });
        }
        Ok(())
    }

    /// Books a batch, in one call to the ledger. When it returns, everything is on disk.
    ///
    /// # Errors
    /// Then nothing was booked, except perhaps after [`GateError::Fatal`].
    pub async fn admit(&self, batch: Batch) -> Result<Verdicts, GateError> {
        if batch.is_empty() {
            return Ok(Verdicts::default());
        }
        self.check_room()?;
        let Asked { told, items, admitted, rejected } = Asked::of(batch);
        let accepted = self.ledger.accept(admitted, rejected, self.clock.now()).await;
        self.judge(told, items, accepted)
    }

    /// Books what was read of a file, with how far it is read, in one call to the ledger. When it
    /// returns, everything is on disk.
    ///
    /// # Errors
    /// As [`Self::admit`]'s.
    pub async fn admit_stretch(
        &self,
        ledger: &dyn SpoolLedger,
        batch: Batch,
        stretch: Stretch,
    ) -> Result<Verdicts, GateError> {
        self.check_room()?;
        let Asked { told, items, admitted, rejected } = Asked::of(batch);
        let now = self.clock.now();
        let accepted = ledger.accept_stretch(stretch, admitted, rejected, now).await;
        self.judge(told, items, accepted)
    }

    /// What became of each item, in the order they came.
    fn judge(
        &self,
        told: Vec<(Place, String)>,
        mut items: Vec<Verdict>,
        accepted: Result<Vec<Admission>, LedgerError>,
    ) -> Result<Verdicts, GateError> {
        let admissions = accepted.map_err(|why| self.refuse(why))?;
        if admissions.len() != told.len() {
            let (asked, answered) = (told.len(), admissions.len());
            let why = format!("{asked} records were booked, and {answered} answers came back");
            return Err(self.refuse(LedgerError::Contradiction(why)));
        }
        for ((place, id), admission) in told.into_iter().zip(admissions) {
            items.push(verdict(place, id, &admission));
        }
        items.sort_by_key(|item| item.place);
        let mut verdicts = Verdicts::default();
        items.into_iter().for_each(|item| verdicts.add(item));
        if verdicts.accepted > 0 {
            self.accrual.ring();
        }
        Ok(verdicts)
    }

    /// What a ledger's error means to a caller. One that ends the process is told to the
    /// supervisor.
    pub fn refuse(&self, why: LedgerError) -> GateError {
        match why {
            LedgerError::Full(_) => GateError::LedgerFull(why),
            LedgerError::Busy(_) => GateError::LedgerBusy(why),
            LedgerError::Refused(..) => GateError::Refused(why),
            LedgerError::Broken(_) | LedgerError::Contradiction(_) => {
                self.fatal.ring(why);
                GateError::Fatal
            }
        }
    }
}

/// A batch, on its way to the ledger.
struct Asked {
    /// Where each record stands, and its id.
    told: Vec<(Place, String)>,
    /// What became of the rejected items.
    items: Vec<Verdict>,
    admitted: Vec<Admitted>,
    rejected: Vec<Rejected>,
}

impl Asked {
    fn of(batch: Batch) -> Self {
        let id = |admitted: &Admitted| admitted.record.id.to_string();
        let told = batch.admitted.iter().map(|(place, each)| (*place, id(each))).collect();
        let mut items: Vec<Verdict> = Vec::with_capacity(batch.len());
        let mut rejected = Vec::with_capacity(batch.rejected.len());
        for (place, item) in batch.rejected {
            let fault = Some((item.field.clone(), item.reason.clone()));
            items.push(Verdict { place, id: item.id.clone(), status: Status::Rejected, fault });
            rejected.push(item);
        }
        let admitted = batch.admitted.into_iter().map(|(_, admitted)| admitted).collect();
        Self { told, items, admitted, rejected }
    }
}

fn verdict(place: Place, id: String, admission: &Admission) -> Verdict {
    let (status, fault) = match admission {
        Admission::Accepted(position) => (Status::Accepted(*position), None),
        Admission::Duplicate(position) => (Status::Duplicate(*position), None),
        Admission::Conflict(position) => {
            let reason = "was booked before with other content, which stays booked; this copy is \
                kept beside it for a person";
            (Status::Conflict(*position), Some(("id".to_owned(), reason.to_owned())))
        }
    };
    Verdict { place, id: Some(id), status, fault }
}
