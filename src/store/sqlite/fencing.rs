//! The ledger held against its fence. Here: what is found when a ledger is opened to be written,
//! and what becomes of one that was rolled back. Never here: the fence's file
//! ([`crate::store::fence`]). Read next: [`super::recovery`].
//!
//! What a rolled-back ledger has not finished may have been sent since the backup was made, and so
//! may all usage that its sources send again. Nothing of that is sent: it is held, each by name,
//! until a total proves it or a person decides. What the provider had accepted stays accepted: it
//! is open in the bracket already.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;

use super::moves::{Move, move_events};
use super::recovery::recover_in_flight;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::event::{EventId, LedgerId};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_HOUR, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::holds::CaughtUp;
use crate::ledger::posting::Restored;
use crate::store::OpenError;
use crate::store::codec::{Columns, ledger_error};
use crate::store::fence::{Fence, FenceError, Fencing, Finding, Marks, Opened, judge};

/// Where the fence is lost, usage of up to this long after now is taken to have been sent, in
/// microseconds: providers take usage a few minutes ahead, and this host's clock may be behind.
const AHEAD_MICROS: i64 = MICROS_PER_HOUR;
/// What is said of a ledger without its one row.
const GONE: &str = "the ledger just opened has no name";
/// Events that are held in one statement.
const PAGE: i64 = 1_000;

/// What the ledger was found to be when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    marks: Option<Marks>,
    finding: Finding,
}

/// Refuses to make a ledger where there was one.
pub(super) fn refuse_anew(ledger: &Path, fencing: &Fencing) -> Result<(), OpenError> {
    if fencing.may_begin_anew || Marks::read(&fencing.path)?.is_none() {
        return Ok(());
    }
    let (ledger, fence) = (ledger.to_owned(), fencing.path.clone());
    Err(FenceError::LedgerLost { ledger, fence }.into())
}

/// Holds a ledger, or the place where one is to be made, against the fence.
pub(super) async fn hold_against(
    writer: &mut SqliteConnection,
    ledger: &Path,
    fencing: &Fencing,
) -> Result<Judged, OpenError> {
    let marks = Marks::read(&fencing.path)?;
    let storage =
        |error: LedgerError| OpenError::Storage { path: ledger.to_owned(), source: error.into() };
    let opened = opened(writer).await.map_err(storage)?;
    let found = opened.as_ref().map(|opened| opened.id.to_string()).unwrap_or_default();
    let finding = match opened {
        Some(opened) => match judge(marks.as_ref(), &opened) {
            // One that was to begin anew, and whose first run did not get as far as its fence.
            Finding::Other(fenced) if fencing.may_begin_anew && opened.attempt == 0 => {
                anew(&fenced, marks.as_ref())
            }
            finding @ (Finding::Whole | Finding::RolledBack(..) | Finding::Other(_)) => finding,
        },
        // A new one in place of one that was lost, as it was asked for.
        None => match &marks {
            None => Finding::Whole,
            Some(lost) => anew(&lost.ledger, Some(lost)),
        },
    };
    if let Finding::Other(fenced) = &finding {
        let (ledger, fence) = (ledger.to_owned(), fencing.path.clone());
        let fenced = fenced.clone();
        return Err(FenceError::OtherLedger { ledger, fence, found, fenced }.into());
    }
    Ok(Judged { marks, finding })
}

/// What is said of a new ledger in place of one that was lost.
fn anew(lost: &str, marks: Option<&Marks>) -> Finding {
    let sent_through = marks.and_then(|marks| marks.sent_through_micros);
    let why = format!("it begins anew, in place of the ledger {lost}");
    Finding::RolledBack(sent_through.map(Timestamp::from_micros), why)
}

async fn opened(writer: &mut SqliteConnection) -> Result<Option<Opened>, LedgerError> {
    let row =
        sqlx::query(sql!("ledger_opened")).fetch_optional(writer).await.map_err(ledger_error)?;
    let Some(row) = row else { return Ok(None) };
    let id = row.text("id")?;
    let id = LedgerId::new(&id)
        .ok_or_else(|| LedgerError::Contradiction(format!("the ledger's id is \"{id}\"")))?;
    let restored_at = row.maybe_time("restored_at")?;
    let sent_through_at = row.maybe_time("sent_through_at")?;
    let (attempt, export_step) = (row.integer("attempt")?, row.integer("export_step")?);
    let (export, archive) = (row.integer("export")?, row.integer("archive")?);
    Ok(Some(Opened { id, attempt, export_step, export, archive, restored_at, sent_through_at }))
}

/// Does what the finding asks for, and writes the fence as it is from here on.
pub(super) async fn settle_finding(
    writer: &mut SqliteConnection,
    judged: Judged,
    (id, epoch): (&LedgerId, i64),
    fencing: &Fencing,
    now: Timestamp,
) -> Result<Fence, OpenError> {
    let path = fencing.path.clone();
    let storage =
        |error: LedgerError| OpenError::Storage { path: path.clone(), source: error.into() };
    let earlier = judged.marks.unwrap_or_default();
    if let Finding::RolledBack(sent_through, why) = &judged.finding {
        // Nobody knows, or nothing was sent that anybody noted: everything until now may be there.
        let sent_through = sent_through.unwrap_or(now.plus_micros(AHEAD_MICROS));
        let held = taint(writer, sent_through, earlier.restored_micros, epoch, now)
            .await
            .map_err(storage)?;
        tracing::error!(
            why,
            %sent_through,
            held,
            "the ledger is older than what was sent from it: what it has not finished is held, and \
             so will be all usage of until then; have the sources send again what it lacks, then \
             say so (tallyd ledger caught-up)"
        );
    }
    let opened = opened(writer).await.map_err(storage)?;
    let opened = opened.ok_or_else(|| storage(LedgerError::Contradiction(GONE.to_owned())))?;
    let marks = Marks {
        ledger: id.to_string(),
        epoch,
        attempt: opened.attempt,
        export_step: opened.export_step,
        export: earlier.export.max(opened.export),
        archive: earlier.archive.max(opened.archive),
        sent_through_micros: earlier
            .sent_through_micros
            .max(opened.sent_through_at.map(Timestamp::micros)),
        restored_micros: opened.restored_at.map(Timestamp::micros),
    };
    let io = |source| FenceError::Io { path: fencing.path.clone(), source };
    marks.write(&fencing.path).map_err(io)?;
    Ok(Fence::new(fencing.path.clone(), marks))
}

/// Notes that the ledger was rolled back, and holds what it has not finished. Answers how many
/// events are held by it.
async fn taint(
    writer: &mut SqliteConnection,
    sent_through: Timestamp,
    earlier_micros: Option<i64>,
    epoch: i64,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let mut transaction = begin(writer).await?;
    // Each restoration is told from the one before by its time, whatever the clock does.
    let at = earlier_micros.map_or(now.micros(), |earlier| now.micros().max(earlier + 1));
    sqlx::query(sql!("ledger_restored"))
        .bind(at)
        .bind(sent_through.micros())
        .execute(&mut *transaction)
        .await
        .map_err(ledger_error)?;
    recover_in_flight(&mut transaction, epoch, now).await?;
    let mut held = 0;
    loop {
        let rows = sqlx::query(sql!("events_unfinished"))
            .bind(PAGE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        if rows.is_empty() {
            break;
        }
        let mut moves = Vec::with_capacity(rows.len());
        for row in &rows {
            let detail = format!(
                "the ledger was rolled back; usage of until {sent_through} may have been told since"
            );
            moves.push(Move {
                hold: Some((HoldReason::Restored, detail)),
                ..Move::to(
                    EventId(row.integer("id")?),
                    EventState::Held,
                    true,
                    "the ledger is older than what was sent from it",
                )
            });
        }
        move_events(&mut transaction, &moves, now).await?;
        held += u64::try_from(rows.len()).unwrap_or(u64::MAX);
    }
    commit(transaction).await?;
    Ok(held)
}

impl SqliteLedger {
    /// What is known of a restoration.
    pub(super) async fn restoration(&self) -> Result<Option<Restored>, LedgerError> {
        let row = sqlx::query(sql!("ledger_restoration"))
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?;
        match (row.maybe_time("restored_at")?, row.maybe_time("sent_through_at")?) {
            (Some(restored_at), Some(sent_through_at)) => Ok(Some(Restored {
                restored_at,
                sent_through_at,
                caught_up_at: row.maybe_time("caught_up_at")?,
            })),
            (None, _) | (_, None) => Ok(None),
        }
    }

    /// Notes that the sources sent again what the ledger lacked.
    pub(super) async fn note_caught_up(
        &self,
        by: &str,
        now: Timestamp,
    ) -> Result<CaughtUp, LedgerError> {
        let Some(restored) = self.restoration().await? else {
            let why = "the ledger was never found to be rolled back: there is nothing to catch up";
            return Ok(CaughtUp::Refused(why.to_owned()));
        };
        if let Some(at) = restored.caught_up_at {
            return Ok(CaughtUp::Refused(format!("the ledger has caught up already, at {at}")));
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("ledger_caught_up"))
            .bind(now.micros())
            .bind(by)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await?;
        Ok(CaughtUp::Noted)
    }
}
