//! Intake's verb: booking records. Here: the group commit and its statements. Never here: what a
//! record means. Read next: [`super::accrual`].
//!
//! Callers that wait for the writer at the same moment share one transaction, and so one flush of
//! the disk: each leaves its batch in a queue and asks for the writer; whoever gets it takes what
//! is queued, commits it, and hands out the answers. There is no timer: an idle ledger answers at
//! once, a busy one groups by itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex as Queue, MutexGuard as QueueGuard, PoisonError};

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use super::{SqliteLedger, begin, commit, spool, sql};
use crate::domain::digest::{Digest, Fields};
use crate::domain::names::SourceName;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::intake::{Admission, Admitted, IntakeLedger, Rejected};
use crate::ledger::spool::Stretch;
use crate::store::codec::{Columns, ledger_error, properties_to_text};

/// Most records in one transaction. Past some thousands the flush is paid off, and a longer
/// transaction only lets the others wait.
const GROUP_RECORDS_MAX: usize = 10_000;
/// Records in one statement: the largest of these that a batch still fills. Few sizes, so that the
/// engine's prepared statements are found again, and each twice the next, so that a group of some
/// hundred takes a handful of statements, each a trip to the engine's thread; 512 records bind
/// 5,120 values, under SQLite's 32,766.
const ROWS_PER_STATEMENT: [usize; 10] = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1];
/// Columns bound for each record.
const ROW: &str = "(?,?,?,?,?,?,?,?,?,?)";

/// The batches that wait for the writer.
#[derive(Debug, Default)]
pub(super) struct Group(Queue<Vec<Waiting>>);

#[derive(Debug)]
pub(super) struct Waiting {
    records: Vec<Admitted>,
    rejected: Vec<Rejected>,
    /// The stretch of a file that they were read of.
    stretch: Option<Stretch>,
    now: Timestamp,
    answer: oneshot::Sender<Result<Vec<Admission>, LedgerError>>,
}

impl Group {
    fn queue(&self) -> QueueGuard<'_, Vec<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest batches, together at most [`GROUP_RECORDS_MAX`] records, but at least one. A
    /// batch whose caller is gone is not booked: nobody was told that it would be.
    fn take(&self) -> Taken<'_> {
        let mut queue = self.queue();
        queue.retain(|waiting| !waiting.answer.is_closed());
        let mut records = 0;
        let count = queue
            .iter()
            .take_while(|waiting| {
                let first = records == 0;
                records += waiting.records.len().max(1);
                first || records <= GROUP_RECORDS_MAX
            })
            .count();
        let batches = queue.drain(..count).collect();
        Taken { group: self, batches }
    }
}

/// Batches that a leader took. Until they are answered they go back when the leader is cancelled,
/// so that one caller who leaves does not turn the others away. If its transaction was committed
/// all the same, they are found to be booked by the next leader.
struct Taken<'a> {
    group: &'a Group,
    batches: Vec<Waiting>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.batches.is_empty() {
            self.group.queue().splice(..0, self.batches.drain(..));
        }
    }
}

#[async_trait]
impl IntakeLedger for SqliteLedger {
    async fn accept(
        &self,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        self.in_group(records, rejected, None, now).await
    }

    fn free_bytes(&self) -> Result<u64, LedgerError> {
        self.free_bytes_on_disk()
    }
}

impl SqliteLedger {
    /// Books a batch together with those that wait at the same moment.
    pub(super) async fn in_group(
        &self,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        stretch: Option<Stretch>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        let (answer, mut mine) = oneshot::channel();
        self.group.queue().push(Waiting { records, rejected, stretch, now, answer });
        loop {
            // Whoever is answered leaves the line at once. If each had to be handed the writer
            // first, those who came since would wait for as many wake-ups as the last group had
            // callers.
            let mut writer = tokio::select! {
                biased;
                told = &mut mine => return told.unwrap_or_else(|_| Err(unanswered())),
                writer = self.writer() => writer?,
            };
            // The answer may have come while the writer did.
            if let Some(result) = answered(&mut mine) {
                return result;
            }
            let mut group = self.group.take();
            let result = book(&mut writer, &group.batches).await;
            hand_out(std::mem::take(&mut group.batches), result);
            if let Some(result) = answered(&mut mine) {
                return result;
            }
        }
    }
}

/// What whoever led the group of these records came to, once there is something.
fn answered(
    mine: &mut oneshot::Receiver<Result<Vec<Admission>, LedgerError>>,
) -> Option<Result<Vec<Admission>, LedgerError>> {
    match mine.try_recv() {
        Ok(result) => Some(result),
        Err(oneshot::error::TryRecvError::Empty) => None,
        Err(oneshot::error::TryRecvError::Closed) => Some(Err(unanswered())),
    }
}

fn unanswered() -> LedgerError {
    LedgerError::Refused("the group commit was left without an answer".to_owned(), None)
}

fn hand_out(group: Vec<Waiting>, result: Result<Vec<Admission>, LedgerError>) {
    match result {
        Ok(admissions) => {
            let mut admissions = admissions.into_iter();
            for waiting in group {
                let own = admissions.by_ref().take(waiting.records.len()).collect();
                // A caller that is gone needs no answer; its records are booked.
                drop(waiting.answer.send(Ok(own)));
            }
        }
        Err(error) => {
            for waiting in group {
                drop(waiting.answer.send(Err(error.repeated())));
            }
        }
    }
}

async fn book(
    writer: &mut SqliteConnection,
    group: &[Waiting],
) -> Result<Vec<Admission>, LedgerError> {
    let rows: Vec<(&Admitted, Timestamp)> = group
        .iter()
        .flat_map(|waiting| waiting.records.iter().map(|record| (record, waiting.now)))
        .collect();
    let mut transaction = begin(writer).await?;
    let admissions = book_rows(&mut transaction, &rows).await?;
    keep_conflicts(&mut transaction, &rows, &admissions).await?;
    keep_rejected(&mut transaction, group).await?;
    for waiting in group {
        if let Some(stretch) = &waiting.stretch {
            spool::advance(&mut transaction, stretch, waiting.now).await?;
        }
    }
    commit(transaction).await?;
    Ok(admissions)
}

/// Books the rows that are new, within a transaction, and tells what each is. A conflicting copy is
/// not kept yet. A record that is archived is not new: the engine leaves it out, as it does one
/// that is booked.
pub(super) async fn book_rows(
    connection: &mut SqliteConnection,
    rows: &[(&Admitted, Timestamp)],
) -> Result<Vec<Admission>, LedgerError> {
    let before = sqlx::query(sql!("journal_end"))
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("position")?;
    let mut inserted = 0;
    let mut rest = rows;
    while let Some(size) = ROWS_PER_STATEMENT.iter().find(|size| **size <= rest.len()) {
        let (chunk, after) = rest.split_at(*size);
        inserted += insert_records(connection, chunk).await?;
        rest = after;
    }
    let all_new = usize::try_from(inserted).is_ok_and(|inserted| inserted == rows.len());
    if !all_new {
        return tell_apart(connection, rows, before).await;
    }
    // The engine numbers rows in the order they were given, and nobody else writes.
    let positions = (before + 1..).map(|position| Admission::Accepted(Position(position)));
    Ok(positions.take(rows.len()).collect())
}

async fn insert_records(
    connection: &mut SqliteConnection,
    rows: &[(&Admitted, Timestamp)],
) -> Result<u64, LedgerError> {
    let mut query = sqlx::query(statement_for(rows.len()));
    for (admitted, now) in rows {
        let record = &admitted.record;
        query = query
            .bind(admitted.identity.as_slice())
            .bind(admitted.content.as_slice())
            .bind(record.source.as_str())
            .bind(record.id.as_str())
            .bind(record.customer.as_str())
            .bind(record.meter.as_str())
            .bind(record.quantity.to_string())
            .bind(record.occurred_at.micros())
            .bind(now.micros())
            .bind(properties_to_text(&record.properties));
    }
    let done = query.execute(connection).await.map_err(ledger_error)?;
    Ok(done.rows_affected())
}

/// The insert with `rows` rows of placeholders. It is the statement in `queries/records_insert.sql`
/// with its one row repeated: a JSON array would keep one text, and costs a quarter of the rate.
fn statement_for(rows: usize) -> sqlx::AssertSqlSafe<String> {
    let repeated = vec![ROW; rows].join(",");
    sqlx::AssertSqlSafe(sql!("records_insert").replacen(ROW, &repeated, 1))
}

/// Finds out which of `rows` were booked before this transaction, and whether they say the same.
async fn tell_apart(
    connection: &mut SqliteConnection,
    rows: &[(&Admitted, Timestamp)],
    before: i64,
) -> Result<Vec<Admission>, LedgerError> {
    let identities: Vec<String> =
        rows.iter().map(|(admitted, _)| hex::encode(admitted.identity)).collect();
    let found = sqlx::query(sql!("records_by_identity"))
        .bind(serde_json::Value::from(identities).to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut booked: HashMap<Digest, (i64, Digest)> = HashMap::with_capacity(found.len());
    for row in found {
        booked.insert(row.digest("identity")?, (row.integer("position")?, row.digest("content")?));
    }
    let mut first_seen: HashMap<Digest, ()> = HashMap::new();
    let mut admissions: Vec<Admission> = rows
        .iter()
        .map(|(admitted, _)| {
            let (position, content) = booked.get(&admitted.identity).copied().ok_or_else(|| {
                LedgerError::Contradiction("a record just booked is not there".to_owned())
            })?;
            // The first of several copies in this transaction is the one that was booked.
            let is_first = first_seen.insert(admitted.identity, ()).is_none();
            let position_now = Position(position);
            Ok(if position > before && is_first {
                Admission::Accepted(position_now)
            } else if content == admitted.content {
                Admission::Duplicate(position_now)
            } else {
                Admission::Conflict(position_now)
            })
        })
        .collect::<Result<_, LedgerError>>()?;
    let conflicts = admissions.iter().any(|each| matches!(each, Admission::Conflict(_)));
    if conflicts {
        settle_decided(connection, rows, &mut admissions).await?;
    }
    Ok(admissions)
}

/// Copies that a person decided for are duplicates: the record was corrected to what they say.
async fn settle_decided(
    connection: &mut SqliteConnection,
    rows: &[(&Admitted, Timestamp)],
    admissions: &mut [Admission],
) -> Result<(), LedgerError> {
    let copies: Vec<serde_json::Value> = rows
        .iter()
        .zip(&*admissions)
        .filter_map(|((admitted, _), admission)| match admission {
            Admission::Conflict(position) => {
                Some(serde_json::json!([position.0, hex::encode(admitted.content)]))
            }
            Admission::Accepted(_) | Admission::Duplicate(_) => None,
        })
        .collect();
    let found = sqlx::query(sql!("conflicts_decided"))
        .bind(serde_json::Value::from(copies).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut decided: HashSet<(i64, Digest)> = HashSet::with_capacity(found.len());
    for row in found {
        decided.insert((row.integer("position")?, row.digest("content")?));
    }
    for ((admitted, _), admission) in rows.iter().zip(admissions) {
        if let Admission::Conflict(position) = admission
            && decided.contains(&(position.0, admitted.content))
        {
            *admission = Admission::Duplicate(*position);
        }
    }
    Ok(())
}

async fn keep_conflicts(
    connection: &mut SqliteConnection,
    rows: &[(&Admitted, Timestamp)],
    admissions: &[Admission],
) -> Result<(), LedgerError> {
    let conflicts: Vec<serde_json::Value> = rows
        .iter()
        .zip(admissions)
        .filter_map(|((admitted, now), admission)| match admission {
            Admission::Conflict(position) => Some(serde_json::json!([
                position.0,
                hex::encode(admitted.content),
                admitted.record.customer.as_str(),
                admitted.record.meter.as_str(),
                admitted.record.quantity.to_string(),
                admitted.record.occurred_at.micros(),
                properties_to_text(&admitted.record.properties),
                now.micros(),
                admitted.record.source.as_str(),
                admitted.record.id.as_str(),
            ])),
            Admission::Accepted(_) | Admission::Duplicate(_) => None,
        })
        .collect();
    if conflicts.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("conflicts_insert"))
        .bind(serde_json::Value::from(conflicts).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

async fn keep_rejected(
    connection: &mut SqliteConnection,
    group: &[Waiting],
) -> Result<(), LedgerError> {
    let rejected: Vec<serde_json::Value> = group
        .iter()
        .flat_map(|waiting| waiting.rejected.iter().map(|item| (item, waiting.now)))
        .map(|(item, now)| {
            let digest = Fields::of("rejected record 1")
                .text(&item.source)
                .text(item.id.as_deref().unwrap_or_default())
                .text(&item.field)
                .text(&item.reason)
                .text(item.form.as_str())
                .text(&item.raw)
                .finish();
            serde_json::json!([
                hex::encode(digest),
                item.source,
                item.spoke_for.as_deref().map(names_to_text),
                item.id,
                item.place,
                item.field,
                item.reason,
                item.raw,
                item.form.as_str(),
                i64::from(item.whole),
                now.micros(),
            ])
        })
        .collect();
    if rejected.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("rejected_insert"))
        .bind(serde_json::Value::from(rejected).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// A JSON array.
fn names_to_text(names: &[SourceName]) -> String {
    names.iter().map(SourceName::as_str).collect::<serde_json::Value>().to_string()
}
