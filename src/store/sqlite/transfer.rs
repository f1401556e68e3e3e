//! Usage that goes to another balance. Here: a balance's usage is given to balances whose windows
//! end where periods do, or carried into a period that is open. Never here: who wants that
//! (`posting`), what is told of either balance. Read next: [`super::running`].
//!
//! A transfer is a line in each balance: one that takes what the record stands for in the old one,
//! one that brings it to the new. They name each other, and sum to nothing. Both balances come to
//! what they accrue in the same way.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::billing::bounds_of;
use super::posting::balance_key;
use super::running::{Line, Running, append_lines, newest_line, open_balances};
use super::shares::{StoredLine, lines_of, shares};
use super::sql;
use crate::domain::balance::{BalanceId, BalanceKey};
use crate::domain::correction::Cause;
use crate::domain::fold::{Fold, Share};
use crate::domain::period::home;
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::ledger::posting::{Carry, Spanning, StillTold};
use crate::store::codec::{Columns as _, ledger_error};

/// A record that can be given to another balance, with what it stands for.
struct Given {
    identity: Vec<u8>,
    route: RouteVersionId,
    share: Share,
}

/// Gives the usage of a balance to balances that end where periods do, and where another program's
/// telling does, or that are whole and of one side; whether there was any to give, and the balance
/// is still of this version.
pub(super) async fn part(
    connection: &mut SqliteConnection,
    spanning: Spanning,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let Spanning { balance, version, whole, bill_from } = spanning;
    let (key, present) = key_of(connection, balance).await?;
    if present != version {
        return Ok(false);
    }
    let bounds = bounds(connection, &key, bill_from).await?;
    give_parts(connection, (balance, &key), &key, (&bounds, whole), now).await
}

/// Where the windows of a balance's place end, in order.
pub(super) async fn bounds(
    connection: &mut SqliteConnection,
    key: &BalanceKey,
    bill_from: Option<Timestamp>,
) -> Result<Vec<Timestamp>, LedgerError> {
    let place = key.place();
    let mut bounds = bounds_of(connection, std::slice::from_ref(&place)).await?;
    let mut bounds = bounds.remove(&place).unwrap_or_default();
    bounds.extend(bill_from);
    bounds.sort();
    Ok(bounds)
}

/// The part of a balance that usage of `at` goes into. What was carried into its window lies before
/// it, and what came from the window beside it may lie behind.
pub(super) fn part_of(
    key: &BalanceKey,
    bounds: &[Timestamp],
    at: Timestamp,
    whole: bool,
) -> BalanceKey {
    let at = at.max(key.window.start).min(key.window.end.plus_micros(-1));
    BalanceKey { window: home(key.window, bounds, at, whole), ..key.clone() }
}

/// Gives what a balance has of other parts than `own` to those; whether there was any.
pub(super) async fn give_parts(
    connection: &mut SqliteConnection,
    (balance, key): (BalanceId, &BalanceKey),
    own: &BalanceKey,
    (bounds, whole): (&[Timestamp], bool),
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let given = given(connection, balance, 0).await?;
    let moved: Vec<Moved> = given
        .into_iter()
        .map(|(position, given)| {
            let home = part_of(key, bounds, given.share.occurred_at, whole);
            Moved { position, home, given }
        })
        .filter(|moved| moved.home != *own)
        .collect();
    transfer(connection, balance, moved, now).await
}

/// Carries what no event of a balance covers into a period that is open: its lines after `told_to`.
/// Whether those come to the amount: where an earlier event counts no longer, and a later one does,
/// they also hold what was told, and nothing is carried.
pub(super) async fn carry(
    connection: &mut SqliteConnection,
    balance: BalanceId,
    told_to: i64,
    carry: &Carry,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let (key, _) = key_of(connection, balance).await?;
    let home = BalanceKey { window: carry.into, ..key };
    let given = given(connection, balance, told_to).await?;
    let sum: Quantity = given.values().map(|given| &given.share.quantity).sum();
    if sum != carry.amount {
        return Ok(false);
    }
    let moved: Vec<Moved> = given
        .into_iter()
        .map(|(position, given)| Moved { position, given, home: home.clone() })
        .collect();
    transfer(connection, balance, moved, now).await?;
    Ok(true)
}

/// A balance's key, and the version that it is of.
pub(super) async fn key_of(
    connection: &mut SqliteConnection,
    balance: BalanceId,
) -> Result<(BalanceKey, i64), LedgerError> {
    let row = sqlx::query(sql!("balance_key"))
        .bind(balance.0)
        .fetch_one(connection)
        .await
        .map_err(ledger_error)?;
    Ok((balance_key(&row)?, row.integer("version")?))
}

/// What goes to another balance.
struct Moved {
    position: i64,
    given: Given,
    home: BalanceKey,
}

/// Gives what is moved to its new balances; whether there was any.
async fn transfer(
    connection: &mut SqliteConnection,
    balance: BalanceId,
    mut moved: Vec<Moved>,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let mut old = Running::read(connection, balance.0).await?;
    // A sum has nothing of a record that stands for nothing; a level may be just that.
    moved.retain(|moved| !old.fold.adds_up() || !moved.given.share.quantity.is_zero());
    if moved.is_empty() {
        return Ok(false);
    }
    let keys: BTreeMap<&BalanceKey, Fold> =
        moved.iter().map(|moved| (&moved.home, old.fold)).collect();
    let mut homes = open_balances(connection, &keys).await?;
    let mut number = newest_line(connection).await?;
    let mut rows = Vec::with_capacity(2 * moved.len());
    for Moved { position, given, home } in &moved {
        let missing = || LedgerError::Contradiction("a balance just made is not there".to_owned());
        let new = homes.get_mut(home).ok_or_else(missing)?;
        let Given { identity, route, share } = given;
        let line = |quantity, other| Line {
            position: Position(*position),
            identity,
            occurred_at: share.occurred_at,
            route: *route,
            quantity,
            member: share.member,
            cause: (Cause::Transfer, other),
        };
        let taken = -&share.quantity;
        let (out, into) = (number + 1, number + 2);
        number = into;
        rows.push(old.add(out, &line(&taken, into)));
        rows.push(new.add(into, &line(&share.quantity, out)));
        // A window that goes on is told when it ends; a whole period is not waited for.
        let waits = old.fold != Fold::Gauge && home.window.contains(share.occurred_at);
        let due_at = if waits { home.window.end.max(now) } else { now };
        new.due_at = Some(new.due_at.map_or(due_at, |at| at.min(due_at)));
    }
    old.due_at = Some(now);
    append_lines(connection, rows, homes.values_mut().chain([&mut old]), now).await?;
    Ok(true)
}

/// What each record that counts stands for in a balance by its lines after `from`, by its position.
/// Records that are archived are left out.
async fn given(
    connection: &mut SqliteConnection,
    balance: BalanceId,
    from: i64,
) -> Result<BTreeMap<i64, Given>, LedgerError> {
    let sealed_to = sqlx::query(sql!("seal_of_balance"))
        .bind(balance.0)
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("booked_to")?;
    let mut lines = lines_of(connection, balance.0).await?;
    // What is archived, though it is still here, stays what it is.
    lines.retain(|line| line.id > from.max(sealed_to));
    let mut shares = shares(&lines);
    // What was given away is not given a second time, though something of it was written off here.
    shares.retain(|_, share| share.counts() && !share.has_left);
    let mut given = BTreeMap::new();
    // By the route of its newest line: a remap may have brought it here by another.
    for line in lines.into_iter().rev() {
        if let Some(share) = shares.remove(&line.position) {
            let StoredLine { position, identity, route, .. } = line;
            given.insert(position, Given { identity, route, share });
        }
    }
    Ok(given)
}

/// Of which balances usage that they were given is still told by others.
pub(super) async fn still_told(
    reader: &mut SqliteConnection,
    balances: &[i64],
) -> Result<HashMap<i64, StillTold>, LedgerError> {
    let rows = sqlx::query(sql!("still_told"))
        .bind(json!(balances).to_string())
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    let mut told: HashMap<i64, StillTold> = HashMap::new();
    for row in rows {
        let too_much = row.quantity("accrued")? < row.quantity("told")? || row.flag("speaks")?;
        let held = row.flag("held")? || (too_much && row.flag("rest_held")?);
        let still = match (held, too_much || row.flag("going")?) {
            (true, _) => StillTold::Held,
            (false, true) => StillTold::Going,
            (false, false) => StillTold::No,
        };
        let of = told.entry(row.integer("balance_id")?).or_default();
        *of = still.max(*of);
    }
    Ok(told)
}
