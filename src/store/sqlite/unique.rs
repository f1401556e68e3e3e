//! Balances of distinct values, while lines are added to them. Here: what each value comes to, kept
//! beside the lines that make it so, so that a record costs a look at its value and not at its
//! window. Never here: what counts (`domain::unique`). Read next: [`super::running`].

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::running::Running;
use super::shares::{StoredLine, shares};
use super::sql;
use crate::domain::quantity::Quantity;
use crate::domain::unique::{Member, level};
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};

/// What lines that were added made of a value.
pub(super) enum Touched {
    /// It stands for this much at the least: records came that were not there before.
    AtLeast(Quantity),
    /// Another thing was done to its records: it is derived from all its lines.
    Stale,
}

/// A value of a balance.
type Place = (i64, Member);

/// Has `balances` accrue what lines that are kept already made of the values they are of.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    balances: &mut [&mut Running],
) -> Result<(), LedgerError> {
    let touched: Vec<(Place, &Touched)> = balances
        .iter()
        .flat_map(|running| {
            running.touched.iter().map(|(member, touched)| ((running.id, *member), touched))
        })
        .collect();
    if touched.is_empty() {
        return Ok(());
    }
    let known = kept(connection, touched.iter().map(|(place, _)| *place)).await?;
    let stale = touched.iter().filter(|(_, touched)| matches!(touched, Touched::Stale));
    let anew = derived(connection, stale.map(|(place, _)| *place)).await?;
    let mut changes: HashMap<i64, Quantity> = HashMap::new();
    let mut rows: Vec<Value> = Vec::new();
    for (place, touched) in touched {
        let before = known.get(&place).cloned().unwrap_or_default();
        let after = match touched {
            Touched::AtLeast(least) => before.clone().max(least.clone()),
            Touched::Stale => anew.get(&place).cloned().unwrap_or_default(),
        };
        if after != before {
            let (balance, member) = place;
            rows.push(json!([balance, hex::encode(member.0), after.to_string()]));
            let change = changes.entry(balance).or_default();
            *change = &(&*change + &after) - &before;
        }
    }
    for running in balances {
        running.touched.clear();
        if let Some(change) = changes.get(&running.id) {
            running.accrued = &running.accrued + change;
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("members_keep"))
        .bind(Value::from(rows).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

fn asked(places: impl Iterator<Item = Place>) -> String {
    let asked: Vec<Value> =
        places.map(|(balance, member)| json!([balance, hex::encode(member.0)])).collect();
    Value::from(asked).to_string()
}

fn place(row: &SqliteRow) -> Result<Place, LedgerError> {
    Ok((row.integer("balance_id")?, Member(row.digest("member")?)))
}

/// What values came to before.
async fn kept(
    connection: &mut SqliteConnection,
    places: impl Iterator<Item = Place>,
) -> Result<HashMap<Place, Quantity>, LedgerError> {
    let rows = sqlx::query(sql!("members_read"))
        .bind(asked(places))
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter().map(|row| Ok((place(row)?, row.quantity("level")?))).collect()
}

/// What values come to by all their lines.
async fn derived(
    connection: &mut SqliteConnection,
    places: impl Iterator<Item = Place>,
) -> Result<HashMap<Place, Quantity>, LedgerError> {
    let rows = sqlx::query(sql!("members_lines"))
        .bind(asked(places))
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut records: HashMap<Place, BTreeMap<i64, Quantity>> = HashMap::new();
    for row in &rows {
        let its = records.entry(place(row)?).or_default();
        let record = its.entry(row.integer("record_position")?).or_default();
        *record = &*record + &row.quantity("quantity")?;
    }
    Ok(records.into_iter().map(|(place, its)| (place, level(its.values()))).collect())
}

/// What each value of a balance comes to by these lines, where that is more than nothing.
pub(super) fn levels(lines: &[StoredLine]) -> BTreeMap<Member, Quantity> {
    let mut levels: BTreeMap<Member, Quantity> = BTreeMap::new();
    for share in shares(lines).into_values() {
        if let Some(member) = share.member {
            let present = levels.entry(member).or_default();
            *present = level([&*present, &share.quantity]);
        }
    }
    levels.retain(|_, level| !level.is_zero());
    levels
}
