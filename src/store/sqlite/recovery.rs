//! Recovery at start. Here: what an earlier run, or a wrong clock, left behind. Never here: what is
//! sent. Read next: [`super::delivery`].

use sqlx::sqlite::SqliteConnection;

use super::delivery::free_lanes;
use super::posting::refresh_lanes;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};

/// No event waits longer than this for its next try, in microseconds: the longest backoff that the
/// config allows, and the longest wait that is granted to a provider.
const ATTEMPT_WAIT_MICROS_MAX: i64 = MICROS_PER_HOUR;
/// No balance settles longer than this, in microseconds: the longest that the config allows, a
/// week.
const SETTLE_MICROS_MAX: i64 = 7 * MICROS_PER_DAY;

impl SqliteLedger {
    pub(super) async fn recover(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let recovered = recover_in_flight(&mut transaction, self.epoch, now).await?;
        recover_waits(&mut transaction, now).await?;
        commit(transaction).await?;
        Ok(recovered)
    }
}

/// Whatever runs before `epoch` left in flight was perhaps sent, and becomes unknown. Answers how
/// many that were.
pub(super) async fn recover_in_flight(
    connection: &mut SqliteConnection,
    epoch: i64,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let recovered = sqlx::query(sql!("in_flight_recover"))
        .bind(now.micros())
        .bind(epoch)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let lanes: Vec<i64> =
        recovered.iter().map(|row| row.integer("lane_id")).collect::<Result<_, _>>()?;
    free_lanes(connection, &lanes).await?;
    Ok(u64::try_from(lanes.len()).unwrap_or(u64::MAX))
}

/// Brings back what a clock that was ahead put off for longer than anything waits: it would lie
/// there without a cause that anybody could see, and an unknown would drift past its window.
async fn recover_waits(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let put_off = sqlx::query(sql!("attempts_recover"))
        .bind(now.micros())
        .bind(now.plus_micros(ATTEMPT_WAIT_MICROS_MAX).micros())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let lanes: Vec<i64> =
        put_off.iter().map(|row| row.integer("lane_id")).collect::<Result<_, _>>()?;
    refresh_lanes(connection, &lanes).await?;
    sqlx::query(sql!("balances_recover"))
        .bind(now.micros())
        .bind(SETTLE_MICROS_MAX)
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}
