//! The verbs of reconciliation. Here: which lanes are to be compared, what their events have been
//! through, and the transaction that keeps a reading with its moves. Never here: what a total
//! proves. Read next: [`super::presence`].

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::late::hold_unbilled;
use super::moves::{Move, move_events};
use super::presence::reverse_write_off;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance::BalanceId;
use crate::domain::digest::Digest;
use crate::domain::event::EventId;
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::reading::{FindingKind, Grouping};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::reconcile::{
    Comparison, Concluded, Fate, Judged, LaneEvent, LaneId, LaneQuestion, ReadCalls,
    ReconcileLedger, Standing, UnprovenLane, Untold, fingerprint,
};
use crate::store::codec::{Columns, ledger_error};

/// Days over which requests for totals are summed up: providers ration them by the month.
const MONTH_DAYS: i64 = 30;

#[async_trait]
impl ReconcileLedger for SqliteLedger {
    async fn unproven_lanes(
        &self,
        provider: &ProviderName,
        question: &LaneQuestion,
    ) -> Result<Vec<UnprovenLane>, LedgerError> {
        let meters: Vec<Value> = question
            .meters
            .iter()
            .map(|(meter, ripe_before)| json!([meter.as_str(), ripe_before.micros()]))
            .collect();
        let waiting: Vec<&str> = HoldReason::ALL
            .iter()
            .filter(|reason| reason.waits_for_proof())
            .map(|reason| reason.as_str())
            .collect();
        let rows = sqlx::query(sql!("lanes_unproven"))
            .bind(provider.as_str())
            .bind(Value::from(meters).to_string())
            .bind(question.recheck_before.micros())
            .bind(question.look_again_before.micros())
            .bind(question.limit)
            .bind(json!(waiting).to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter().map(unproven_lane).collect()
    }

    async fn lane_events(
        &self,
        lane: LaneId,
        span: Window,
        limit: u32,
    ) -> Result<Vec<LaneEvent>, LedgerError> {
        let mut reader = self.readers.acquire().await.map_err(ledger_error)?;
        events_of(&mut reader, lane, span, limit).await
    }

    async fn untold(&self, lane: LaneId, span: Window) -> Result<Vec<Untold>, LedgerError> {
        let Some(restored) = self.restoration().await? else { return Ok(Vec::new()) };
        let rows = sqlx::query(sql!("lane_untold"))
            .bind(lane.0)
            .bind(span.start.micros())
            .bind(span.end.micros())
            .bind(restored.sent_through_at.micros())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter()
            .map(|row| {
                let quantity = &row.quantity("accrued")? - &row.quantity("told")?;
                let (start, end) = (row.time("window_start")?, row.time("window_end")?);
                let balance = BalanceId(row.integer("id")?);
                Ok(Untold { balance, window: Window { start, end }, quantity })
            })
            .collect()
    }

    async fn seen_since(
        &self,
        lane: LaneId,
        span: Window,
        fingerprint: Digest,
        total: &Quantity,
    ) -> Result<Option<Timestamp>, LedgerError> {
        sqlx::query(sql!("reading_seen"))
            .bind(lane.0)
            .bind(span.start.micros())
            .bind(span.end.micros())
            .bind(fingerprint.as_slice())
            .bind(total.to_string())
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?
            .maybe_time("since")
    }

    async fn caught_up(&self) -> Result<bool, LedgerError> {
        let restored = self.restoration().await?;
        Ok(restored.is_none_or(|restored| restored.caught_up_at.is_some()))
    }

    async fn conclude(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let concluded = keep_comparison(&mut transaction, comparison, Some(now), now).await?;
        commit(transaction).await?;
        Ok(concluded)
    }

    async fn read_calls(
        &self,
        provider: &ProviderName,
        now: Timestamp,
    ) -> Result<ReadCalls, LedgerError> {
        let row = sqlx::query(sql!("read_calls"))
            .bind(provider.as_str())
            .bind(day(now))
            .bind(day(now) - MONTH_DAYS)
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?;
        let calls = |column: &str| {
            let calls = row.integer(column)?;
            Ok::<u32, LedgerError>(u32::try_from(calls).unwrap_or(u32::MAX))
        };
        Ok(ReadCalls { day: calls("today")?, month: calls("month")? })
    }

    async fn count_reads(
        &self,
        provider: &ProviderName,
        calls: u32,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("read_calls_add"))
            .bind(provider.as_str())
            .bind(day(now))
            .bind(calls)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }
}

/// The UTC day's number.
fn day(now: Timestamp) -> i64 {
    now.micros().div_euclid(MICROS_PER_DAY)
}

fn unproven_lane(row: &SqliteRow) -> Result<UnprovenLane, LedgerError> {
    let first_seen = match (row.maybe_time("seen_from")?, row.maybe_time("seen_to")?) {
        (Some(start), Some(end)) => Some(Window { start, end }),
        (None, _) | (_, None) => None,
    };
    Ok(UnprovenLane {
        lane: LaneId(row.integer("id")?),
        meter: row.name("meter", ProviderMeter::new)?,
        account: row.name("account", AccountName::new)?,
        grouping: row.member("check_grouping", Grouping::parse)?,
        waits: row.flag("waits")?,
        oldest: row.time("oldest")?,
        newest: row.time("newest")?,
        accepted_from: row.maybe_time("accepted_from")?,
        last_from: row.maybe_time("last_from")?,
        first_seen,
    })
}

pub(super) async fn events_of(
    connection: &mut SqliteConnection,
    lane: LaneId,
    span: Window,
    limit: u32,
) -> Result<Vec<LaneEvent>, LedgerError> {
    let rows = sqlx::query(sql!("lane_events"))
        .bind(lane.0)
        .bind(span.start.micros())
        .bind(span.end.micros())
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter().map(lane_event).collect()
}

fn lane_event(row: &SqliteRow) -> Result<LaneEvent, LedgerError> {
    let hold = |column: &str| {
        let reason = row.maybe_text(column)?.and_then(|text| HoldReason::parse(&text));
        Ok::<Option<HoldReason>, LedgerError>(reason)
    };
    let cancel = match row.maybe_integer("cancel_id")? {
        Some(id) => Some(Standing {
            event: EventId(id),
            state: row.member("cancel_state", EventState::parse)?,
            may_exist: row.flag("cancel_ambiguous")?,
            hold: hold("cancel_hold_reason")?,
            attempts: row.integer("cancel_attempts")?,
            last_at: row.time("cancel_last_at")?,
        }),
        None => None,
    };
    Ok(LaneEvent {
        usage: Standing {
            event: EventId(row.integer("id")?),
            state: row.member("state", EventState::parse)?,
            may_exist: row.flag("ambiguous")?,
            hold: hold("hold_reason")?,
            attempts: row.integer("attempts")?,
            last_at: row.time("last_at")?,
        },
        cancel,
        balance: BalanceId(row.integer("balance_id")?),
        window: Window { start: row.time("window_start")?, end: row.time("window_end")? },
        quantity: row.quantity("quantity")?,
        level: row.maybe_quantity("level")?,
        occurred_at: row.time("occurred_at")?,
    })
}

/// Keeps a comparison with all that it proves. Its lane counts as compared at `checked_at`; by
/// nothing it is compared next.
pub(super) async fn keep_comparison(
    connection: &mut SqliteConnection,
    comparison: Comparison,
    checked_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Concluded, LedgerError> {
    let (mut concluded, mut exported) = (Concluded::default(), Vec::new());
    let mut rows = Vec::with_capacity(comparison.parts.len());
    for mut part in comparison.parts {
        let events = events_of(connection, comparison.lane, part.span, u32::MAX).await?;
        if fingerprint(&events) == part.fingerprint {
            concluded.moved += apply(connection, &part.fates, &events, now).await?;
            let was_exported = |event: &&LaneEvent| event.usage.hold == Some(HoldReason::Exported);
            exported.extend(events.iter().filter(was_exported).map(|event| event.usage.event));
        } else {
            concluded.outdated += 1;
            part.finding = FindingKind::Early;
            part.detail = format!("{}; but its events moved meanwhile", part.detail);
        }
        rows.push(reading_row(&part));
    }
    // Beside all that is settled by now: what is of another part may be what the invoice bills.
    hold_unbilled(connection, exported, now).await?;
    sqlx::query(sql!("readings_insert"))
        .bind(comparison.lane.0)
        .bind(Value::from(rows).to_string())
        .bind(comparison.provider_at.micros())
        .bind(now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    sqlx::query(sql!("lane_checked"))
        .bind(comparison.lane.0)
        .bind(checked_at.map(Timestamp::micros))
        .bind(comparison.grouping.as_str())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(concluded)
}

/// Makes the moves, and answers how many were made; what was written off and is there is no longer
/// written off.
async fn apply(
    connection: &mut SqliteConnection,
    fates: &[Fate],
    events: &[LaneEvent],
    now: Timestamp,
) -> Result<u64, LedgerError> {
    for event in events.iter().filter(|event| event.usage.state == EventState::Dead) {
        if fates.iter().any(|fate| fate.event == event.usage.event) {
            reverse_write_off(connection, event.usage.event, now).await?;
        }
    }
    let moves: Vec<Move> = fates.iter().map(|fate| as_move(fate, now)).collect();
    move_events(connection, &moves, now).await
}

fn as_move(fate: &Fate, now: Timestamp) -> Move {
    let again = fate.to == EventState::Pending;
    let disproved = fate.hold.as_ref().is_some_and(|(reason, _)| *reason == HoldReason::Disproved);
    Move {
        hold: fate.hold.clone(),
        // The provider may keep the last answer under the old key for as long as it likes.
        new_key: again,
        next_attempt_at: again.then_some(now),
        ..Move::to(fate.event, fate.to, !again && !disproved, &fate.why)
    }
}

fn reading_row(part: &Judged) -> Value {
    json!([
        part.span.start.micros(),
        part.span.end.micros(),
        part.total.to_string(),
        hex::encode(part.fingerprint),
        part.finding.as_str(),
        part.detail,
    ])
}
