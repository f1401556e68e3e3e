//! What was sent. Here: the statements that record its answers, and a pause. Never here: a lease, a
//! decision about either. Read next: [`super::reserve`].

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;

use super::delivery::{AskedFor, free_lanes, keep_clock};
use super::moves::ring_balances;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::names::ProviderName;
use crate::domain::provider_facts::ClockReading;
use crate::domain::state::EventState;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::delivery::Settlement;
use crate::store::codec::{Columns, ledger_error};

impl SqliteLedger {
    /// Records what became of leased events, whole or not at all.
    pub(super) async fn record(
        &self,
        provider: &ProviderName,
        settlements: &[Settlement],
        clock: Option<ClockReading>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        insert_receipts(&mut transaction, settlements).await?;
        let rows: Vec<Value> = settlements.iter().map(settlement_row).collect();
        let moved = sqlx::query(sql!("events_settle"))
            .bind(Value::from(rows).to_string())
            .bind(now.micros())
            .bind(self.epoch)
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        // An answer to a lease that is no longer this run's own must not move anything.
        if moved.len() != settlements.len() {
            let why = format!(
                "{} answers came for {} leases of this run",
                settlements.len(),
                moved.len()
            );
            return Err(LedgerError::Contradiction(why));
        }
        let lanes: Vec<i64> =
            moved.iter().map(|row| row.integer("lane_id")).collect::<Result<_, _>>()?;
        free_lanes(&mut transaction, &lanes).await?;
        let balances: Vec<i64> =
            moved.iter().map(|row| row.integer("balance_id")).collect::<Result<_, _>>()?;
        ring_balances(&mut transaction, &balances, now).await?;
        if let Some(reading) = clock {
            keep_clock(&mut transaction, provider, reading, AskedFor::No).await?;
        }
        commit(transaction).await
    }

    /// Records a pause, or its end.
    pub(super) async fn record_pause(
        &self,
        provider: &ProviderName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("provider_pause"))
            .bind(provider.as_str())
            .bind(reason)
            .bind(reason.map(|_| now.micros()))
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }
}

fn settlement_row(settlement: &Settlement) -> Value {
    let (reason, detail) = match &settlement.hold {
        Some((reason, detail)) => (Some(reason.as_str()), Some(detail.as_str())),
        None => (None, None),
    };
    let waits = match settlement.to {
        EventState::Pending | EventState::Unknown => {
            Some(settlement.next_attempt_at.unwrap_or(settlement.answered_at).micros())
        }
        EventState::InFlight
        | EventState::Accepted
        | EventState::Settled
        | EventState::Held
        | EventState::Void
        | EventState::Superseded
        | EventState::Dead => None,
    };
    json!([
        settlement.event.0,
        settlement.attempt.0,
        settlement.to.as_str(),
        settlement.answer.outcome.kind().as_str(),
        reason,
        detail,
        waits,
        i64::from(settlement.ambiguous),
        i64::from(settlement.new_key),
        i64::from(settlement.failed),
    ])
}

async fn insert_receipts(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
) -> Result<(), LedgerError> {
    let rows: Vec<Value> = settlements
        .iter()
        .map(|settlement| {
            let answer = &settlement.answer;
            json!([
                settlement.attempt.0,
                answer.outcome.kind().as_str(),
                answer.status,
                answer.request_id,
                answer.code,
                answer.message,
                answer.provider_at.map(Timestamp::micros),
                settlement.answered_at.micros(),
            ])
        })
        .collect();
    sqlx::query(sql!("receipts_insert"))
        .bind(Value::from(rows).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}
