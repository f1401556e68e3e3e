//! Usage that goes to another balance. Here: a balance's usage is given to balances whose windows
//! end where periods do. Never here: who finds that a window spans a bound (`posting`), what is
//! told of either balance. Read next: [`super::accrual`].
//!
//! A transfer is a line in each balance: one that takes what the record stands for in the old one,
//! one that brings it to the new. They name each other, and sum to nothing.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteConnection;

use super::accrual::{Line, Running, append_lines, newest_line, open_balances};
use super::billing::bounds_of;
use super::posting::balance_key;
use super::sql;
use crate::domain::balance::{BalanceId, BalanceKey};
use crate::domain::correction::Cause;
use crate::domain::period::cut;
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::store::codec::{Columns, ledger_error};

/// What a record stands for in a balance.
struct Share {
    identity: Vec<u8>,
    occurred_at: Timestamp,
    route: RouteVersionId,
    quantity: Quantity,
}

/// Gives the usage of a balance to balances that end where periods do; whether there was any to
/// give, and the balance is still of this version.
pub(super) async fn part(
    connection: &mut SqliteConnection,
    balance: BalanceId,
    version: i64,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let row = sqlx::query(sql!("balance_to_part"))
        .bind(balance.0)
        .bind(version)
        .fetch_optional(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let Some(row) = row else { return Ok(false) };
    let key = balance_key(&row)?;
    let place = (key.provider.clone(), key.account.clone(), key.meter.clone());
    let bounds = bounds_of(connection, std::slice::from_ref(&place)).await?;
    let Some(bounds) = bounds.get(&place) else { return Ok(false) };
    let shares = shares(connection, balance).await?;
    let home = |share: &Share| BalanceKey {
        window: cut(key.window, bounds, share.occurred_at),
        ..key.clone()
    };
    let moved: Vec<(i64, Share, BalanceKey)> = shares
        .into_iter()
        .filter(|(_, share)| !share.quantity.is_zero())
        .map(|(position, share)| {
            let home = home(&share);
            (position, share, home)
        })
        .filter(|(_, _, home)| *home != key)
        .collect();
    if moved.is_empty() {
        return Ok(false);
    }
    let keys: BTreeSet<&BalanceKey> = moved.iter().map(|(_, _, home)| home).collect();
    let mut homes = open_balances(connection, &keys).await?;
    let mut old = Running::read(connection, balance.0).await?;
    let mut number = newest_line(connection).await?;
    let mut rows = Vec::with_capacity(2 * moved.len());
    for (position, share, home) in &moved {
        let missing = || LedgerError::Contradiction("a balance just made is not there".to_owned());
        let new = homes.get_mut(home).ok_or_else(missing)?;
        let line = |quantity, other| Line {
            position: Position(*position),
            identity: &share.identity,
            occurred_at: share.occurred_at,
            route: share.route,
            quantity,
            cause: (Cause::Transfer, other),
        };
        let taken = -&share.quantity;
        let (out, into) = (number + 1, number + 2);
        number = into;
        rows.push(old.add(out, &line(&taken, into)));
        rows.push(new.add(into, &line(&share.quantity, out)));
        let due_at = home.window.end.max(now);
        new.due_at = Some(new.due_at.map_or(due_at, |at| at.min(due_at)));
    }
    old.due_at = Some(now);
    append_lines(connection, rows, homes.values().chain([&old]), now).await?;
    Ok(true)
}

/// What each record stands for in a balance, by its position.
async fn shares(
    connection: &mut SqliteConnection,
    balance: BalanceId,
) -> Result<BTreeMap<i64, Share>, LedgerError> {
    let rows = sqlx::query(sql!("balance_lines"))
        .bind(balance.0)
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut shares: BTreeMap<i64, Share> = BTreeMap::new();
    for row in &rows {
        let quantity = row.quantity("quantity")?;
        match shares.get_mut(&row.integer("record_position")?) {
            Some(share) => share.quantity = &share.quantity + &quantity,
            None => {
                let share = Share {
                    identity: row.blob("identity")?,
                    occurred_at: row.time("occurred_at")?,
                    route: RouteVersionId(row.integer("route_version_id")?),
                    quantity,
                };
                shares.insert(row.integer("record_position")?, share);
            }
        }
    }
    Ok(shares)
}
