//! What was rejected, and how it ends. Here: the listing, and the verbs that end an item together
//! with what ends it. Never here: keeping one ([`super::intake`]). Read next: [`super::trace`].

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::intake::book_rows;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::names::{RecordId, SourceName};
use crate::domain::record::Position;
use crate::domain::rejected::{Ending, Form};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::intake::{Admission, Admitted, Rejected};
use crate::ledger::rejected::{
    Ended, RejectedEnd, RejectedFilter, RejectedItem, RejectedLedger, UNKNOWN,
};
use crate::store::codec::{Columns, ledger_error, unreadable};

#[async_trait]
impl RejectedLedger for SqliteLedger {
    async fn rejected(&self, filter: &RejectedFilter) -> Result<Vec<RejectedItem>, LedgerError> {
        // Those that are open have an index of their own, however many ended.
        let query = if filter.ended { sql!("rejected_all") } else { sql!("rejected_open") };
        let rows = sqlx::query(query)
            .bind(filter.after)
            .bind(filter.source.as_deref())
            .bind(filter.limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter().map(item).collect()
    }

    async fn rejected_item(&self, number: i64) -> Result<Option<RejectedItem>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        one(&mut reader, number).await
    }

    async fn resubmit(
        &self,
        number: i64,
        record: Admitted,
        who: &str,
        now: Timestamp,
    ) -> Result<Ended, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let Some(item) = one(&mut transaction, number).await? else {
            return Ok(Ended::Refused(UNKNOWN.to_owned()));
        };
        let admissions = book_rows(&mut transaction, &[(&record, now)]).await?;
        let id = &record.record.id;
        let (position, ended) = match admissions.first() {
            Some(Admission::Accepted(position)) => (*position, Ended::Booked(*position)),
            Some(Admission::Duplicate(position)) => (*position, Ended::Duplicate(*position)),
            Some(Admission::Conflict(position)) => {
                transaction.rollback().await.map_err(ledger_error)?;
                let over = item.ended_before();
                let why = over.unwrap_or_else(|| contradicts(id, *position));
                return Ok(Ended::Refused(why));
            }
            None => {
                let why = "a record was booked, and no answer came back".to_owned();
                return Err(LedgerError::Contradiction(why));
            }
        };
        if let Some(over) = item.ended_before() {
            transaction.rollback().await.map_err(ledger_error)?;
            let same = item.end.is_some_and(|end| end.position == Some(position));
            return Ok(if same { Ended::Duplicate(position) } else { Ended::Refused(over) });
        }
        if let (Ended::Duplicate(_), Some(own)) = (&ended, &item.kept.id)
            && own != id.as_str()
        {
            transaction.rollback().await.map_err(ledger_error)?;
            return Ok(Ended::Refused(mistaken(own, position)));
        }
        let end = RejectedEnd {
            ending: Ending::Resubmitted,
            position: Some(position),
            why: None,
            who: who.to_owned(),
            at: now,
        };
        end_item(&mut transaction, number, &end).await?;
        commit(transaction).await?;
        Ok(ended)
    }

    async fn dismiss(
        &self,
        number: i64,
        why: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<Ended, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let Some(item) = one(&mut transaction, number).await? else {
            return Ok(Ended::Refused(UNKNOWN.to_owned()));
        };
        if let Some(over) = item.ended_before() {
            let same =
                item.end.is_some_and(|end| end.why.as_deref() == Some(why) && end.who == who);
            return Ok(if same { Ended::Done } else { Ended::Refused(over) });
        }
        let end = RejectedEnd {
            ending: Ending::Dismissed,
            position: None,
            why: Some(why.to_owned()),
            who: who.to_owned(),
            at: now,
        };
        end_item(&mut transaction, number, &end).await?;
        commit(transaction).await?;
        Ok(Ended::Done)
    }
}

/// Why a record whose id has another content, booked at `position`, does not end an item.
fn contradicts(id: &RecordId, position: Position) -> String {
    format!(
        "the id \"{id}\" was booked before with other content, as record {position}, which stays \
         booked: if that is the usage meant here, dismiss this, and correct that record if it is \
         wrong; if this is other usage, send it under another id"
    )
}

/// Why a record that was booked before at `position` does not end the item with the id `own`.
fn mistaken(own: &str, position: Position) -> String {
    format!(
        "the id of this is \"{}\", and what was sent is record {position}, booked before: \
         send what this should be, or dismiss this if that record stands in its place",
        own.escape_debug()
    )
}

async fn one(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<Option<RejectedItem>, LedgerError> {
    let row = sqlx::query(sql!("rejected_item"))
        .bind(number)
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)?;
    row.as_ref().map(item).transpose()
}

async fn end_item(
    connection: &mut SqliteConnection,
    number: i64,
    end: &RejectedEnd,
) -> Result<(), LedgerError> {
    sqlx::query(sql!("rejected_end"))
        .bind(number)
        .bind(end.ending.as_str())
        .bind(end.position.map(|position| position.0))
        .bind(end.why.as_deref())
        .bind(end.who.as_str())
        .bind(end.at.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

fn item(row: &SqliteRow) -> Result<RejectedItem, LedgerError> {
    let end = match row.maybe_member("ended", Ending::parse)? {
        None => None,
        Some(ending) => Some(RejectedEnd {
            ending,
            position: row.maybe_integer("position")?.map(Position),
            why: row.maybe_text("why")?,
            who: row.maybe_text("who")?.ok_or_else(|| unreadable("who", ""))?,
            at: row.maybe_time("ended_at")?.ok_or_else(|| unreadable("ended_at", ""))?,
        }),
    };
    let kept = Rejected {
        source: row.text("source")?,
        spoke_for: row.maybe_text("spoke_for")?.map(|names| sources(&names)).transpose()?,
        id: row.maybe_text("record_id")?,
        place: row.text("place")?,
        field: row.text("field")?,
        reason: row.text("reason")?,
        raw: row.text("raw")?,
        form: row.member("form", Form::parse)?,
        whole: row.flag("whole")?,
    };
    Ok(RejectedItem { number: row.integer("id")?, kept, since: row.time("recorded_at")?, end })
}

/// The names in a JSON array.
fn sources(text: &str) -> Result<Vec<SourceName>, LedgerError> {
    let names: Option<Vec<String>> = serde_json::from_str(text).ok();
    let names = names.and_then(|names| {
        names.iter().map(|name| SourceName::new(name).ok()).collect::<Option<Vec<SourceName>>>()
    });
    names.ok_or_else(|| unreadable("spoke_for", text))
}
