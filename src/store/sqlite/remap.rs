//! Remaps: history that is booked as the routes lead by now. Here: what was asked for, how far it
//! is, and the records that come next. Never here: what becomes of them (`accrual::remap`), their
//! lines ([`super::accrual`]). Read next: [`super::corrections`].

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::accrual::journal_record;
use super::corrections::{Place, place, with_lines};
use super::running::newest_line;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance as domain;
use crate::domain::names::{CustomerName, MeterName, SourceName};
use crate::domain::record::Position;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::accrual::MappingVersion;
use crate::ledger::corrections::RecordFilter;
use crate::ledger::remap::{
    OpenRemap, RemapBegun, RemapEnd, RemapId, RemapLedger, RemapPage, RemapStatus, RemapStep,
    RemapStop, RemapWish, StopWish,
};
use crate::store::codec::{Columns, ledger_error};

/// Windows that are looked up by one statement.
const WINDOWS_READ: usize = 5_000;

#[async_trait]
impl RemapLedger for SqliteLedger {
    async fn remappable(
        &self,
        filter: &RecordFilter,
        after: Position,
        limit: u32,
    ) -> Result<RemapPage, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let place = place(&mut reader).await?;
        let end = place.watermark;
        page(&mut reader, &place, filter, (after, end), limit).await
    }

    async fn begin_remap(
        &self,
        wish: &RemapWish,
        now: Timestamp,
    ) -> Result<RemapBegun, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let restoration = sqlx::query(sql!("ledger_restoration"))
            .fetch_one(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let restored = restoration.maybe_time("restored_at")?;
        if restored.is_some() && restoration.maybe_time("caught_up_at")?.is_none() {
            return Ok(RemapBegun::Restored);
        }
        if place(&mut transaction).await?.mapping != wish.mapping {
            return Ok(RemapBegun::Outdated);
        }
        let RecordFilter { source, customer, meter, from, until } = &wish.filter;
        let row = sqlx::query(sql!("remap_begin"))
            .bind(source.as_ref().map(SourceName::as_str))
            .bind(customer.as_ref().map(CustomerName::as_str))
            .bind(meter.as_ref().map(MeterName::as_str))
            .bind(from.map(Timestamp::micros))
            .bind(until.map(Timestamp::micros))
            .bind(wish.mapping.0)
            .bind(wish.to.0)
            .bind(&wish.why)
            .bind(&wish.who)
            .bind(now.micros())
            .fetch_one(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let id = RemapId(row.integer("id")?);
        commit(transaction).await?;
        Ok(RemapBegun::Begun(id))
    }

    async fn remaps(
        &self,
        only: Option<RemapId>,
        limit: u32,
    ) -> Result<Vec<RemapStatus>, LedgerError> {
        let mut reader = self.readers.acquire().await.map_err(ledger_error)?;
        statuses(&mut reader, only, limit).await
    }

    async fn stop_remap(
        &self,
        remap: RemapId,
        said: &StopWish,
        now: Timestamp,
    ) -> Result<RemapStop, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let stopped = sqlx::query(sql!("remap_stop"))
            .bind(remap.0)
            .bind(&said.who)
            .bind(&said.why)
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let Some(status) = statuses(&mut transaction, Some(remap), 1).await?.pop() else {
            return Ok(RemapStop::Unknown);
        };
        commit(transaction).await?;
        Ok(match stopped.rows_affected() {
            0 => RemapStop::Over(status),
            _ => RemapStop::Stopped(status),
        })
    }

    async fn closed_windows(
        &self,
        windows: &[(domain::Place, Window)],
    ) -> Result<BTreeSet<usize>, LedgerError> {
        let mut closed = BTreeSet::new();
        for (page, windows) in windows.chunks(WINDOWS_READ).enumerate() {
            let rows: Vec<Value> = windows
                .iter()
                .map(|((provider, account, meter), window)| {
                    json!([
                        provider.as_str(),
                        account.as_str(),
                        meter.as_str(),
                        window.start.micros(),
                        window.end.micros(),
                    ])
                })
                .collect();
            let rows = sqlx::query(sql!("windows_closed"))
                .bind(Value::from(rows).to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(ledger_error)?;
            for row in &rows {
                let place = usize::try_from(row.integer("place")?).unwrap_or(usize::MAX);
                closed.insert((page * WINDOWS_READ).saturating_add(place));
            }
        }
        Ok(closed)
    }
}

async fn statuses(
    connection: &mut SqliteConnection,
    only: Option<RemapId>,
    limit: u32,
) -> Result<Vec<RemapStatus>, LedgerError> {
    let rows = sqlx::query(sql!("remaps"))
        .bind(only.map(|only| only.0))
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter().map(status).collect()
}

fn status(row: &SqliteRow) -> Result<RemapStatus, LedgerError> {
    Ok(RemapStatus {
        id: RemapId(row.integer("id")?),
        who: row.text("who")?,
        why: row.text("why")?,
        asked_at: row.time("asked_at")?,
        at: Position(row.integer("at")?),
        to: Position(row.integer("to_position")?),
        changed: row.integer("changed")?,
        left_alone: row.integer("left_alone")?,
        ended: row.maybe_member("ended", RemapEnd::parse)?,
        stopped: row.maybe_text("stopped_by")?.zip(row.maybe_text("stopped_why")?),
    })
}

/// The oldest remap that is not done, with its next records.
pub(super) async fn open_remap(
    reader: &mut SqliteConnection,
    limit: u32,
) -> Result<Option<OpenRemap>, LedgerError> {
    let row =
        sqlx::query(sql!("remap_open")).fetch_optional(&mut *reader).await.map_err(ledger_error)?;
    let Some(row) = row else { return Ok(None) };
    let filter = RecordFilter {
        source: row.maybe_name("source", SourceName::new)?,
        customer: row.maybe_name("customer", CustomerName::new)?,
        meter: row.maybe_name("meter", MeterName::new)?,
        from: row.maybe_time("from_at")?,
        until: row.maybe_time("until_at")?,
    };
    let from = Position(row.integer("at")?);
    let end = Position(row.integer("to_position")?);
    let place = place(&mut *reader).await?;
    Ok(Some(OpenRemap {
        id: RemapId(row.integer("id")?),
        mapping: MappingVersion(row.integer("mapping_version")?),
        is_restored: row.flag("is_restored")?,
        step: row.integer("step")?,
        from,
        page: page(reader, &place, &filter, (from, end), limit).await?,
    }))
}

async fn page(
    reader: &mut SqliteConnection,
    place: &Place,
    filter: &RecordFilter,
    (after, end): (Position, Position),
    limit: u32,
) -> Result<RemapPage, LedgerError> {
    let rows = sqlx::query(sql!("remap_records"))
        .bind(after.0)
        .bind(end.0)
        .bind(filter.source.as_ref().map(SourceName::as_str))
        .bind(filter.customer.as_ref().map(CustomerName::as_str))
        .bind(filter.meter.as_ref().map(MeterName::as_str))
        .bind(filter.from.map(Timestamp::micros))
        .bind(filter.until.map(Timestamp::micros))
        .bind(limit)
        .fetch_all(&mut *reader)
        .await
        .map_err(ledger_error)?;
    let entries: Vec<_> = rows.iter().map(journal_record).collect::<Result<_, _>>()?;
    let lines_to = newest_line(reader).await?;
    let is_last = u32::try_from(entries.len()).is_ok_and(|read| read < limit);
    let last = entries.last().map_or(end, |entry| entry.position);
    let mut records = with_lines(reader, place, entries).await?;
    for record in &mut records {
        // Those that accrual has not reached follow once it has.
        record.corrections.retain(|(id, _)| *id <= place.corrections);
    }
    Ok(RemapPage {
        mapping: place.mapping,
        corrected_to: place.corrections,
        lines_to,
        to: if is_last { end } else { last },
        is_last,
        records,
    })
}

/// Moves a remap on by a step; whether it still was where the step began: somebody may have stopped
/// it since.
pub(super) async fn go_on(
    connection: &mut SqliteConnection,
    step: &RemapStep,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let count = |records: u64| i64::try_from(records).unwrap_or(i64::MAX);
    let moved = sqlx::query(sql!("remap_go_on"))
        .bind(step.number)
        .bind(step.remap.0)
        .bind(step.from.0)
        .bind(step.to.0)
        .bind(step.corrected_to.0)
        .bind(count(step.changed))
        .bind(count(step.left_alone))
        .bind(step.ended.map(RemapEnd::as_str))
        .bind(now.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(moved.rows_affected() == 1)
}
