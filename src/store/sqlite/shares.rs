//! The lines of a balance, and what each record stands for by them. Here: reading them. Never here:
//! what records come to together (`domain::fold`), the lines that are added ([`super::running`]).
//! Read next: `crate::domain::fold`.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnection;

use super::sql;
use crate::domain::correction::Cause;
use crate::domain::fold::{Share, Touch};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::domain::unique::Member;
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::store::codec::{Columns, ledger_error};

/// A line of a balance, with the record behind it.
pub(super) struct StoredLine {
    pub(super) id: i64,
    pub(super) position: i64,
    pub(super) identity: Vec<u8>,
    pub(super) occurred_at: Timestamp,
    pub(super) route: RouteVersionId,
    pub(super) quantity: Quantity,
    pub(super) member: Option<Member>,
    pub(super) touch: Touch,
}

/// All lines of a balance, in their order.
pub(super) async fn lines_of(
    connection: &mut SqliteConnection,
    balance: i64,
) -> Result<Vec<StoredLine>, LedgerError> {
    let rows = sqlx::query(sql!("balance_lines"))
        .bind(balance)
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            let (id, cause) = (row.integer("id")?, row.member("cause", Cause::parse)?);
            // Of the two lines of a transfer the one that takes is made first, and names the other.
            let leaves = cause == Cause::RemapFrom
                || (cause == Cause::Transfer && row.integer("cause_id")? > id);
            Ok(StoredLine {
                id,
                position: row.integer("record_position")?,
                identity: row.blob("identity")?,
                occurred_at: row.time("occurred_at")?,
                route: RouteVersionId(row.integer("route_version_id")?),
                quantity: row.quantity("quantity")?,
                member: row.maybe_digest("member")?.map(Member),
                touch: Touch { cause, cancels: row.flag("cancels")?, leaves },
            })
        })
        .collect()
}

/// What each record stands for by `lines`, by its position.
pub(super) fn shares<'l>(lines: impl IntoIterator<Item = &'l StoredLine>) -> BTreeMap<i64, Share> {
    let mut shares: BTreeMap<i64, Share> = BTreeMap::new();
    for line in lines {
        let new = || Share::new(line.occurred_at, Position(line.position));
        let share = shares.entry(line.position).or_insert_with(new);
        share.add(&line.quantity, line.touch);
        share.member = line.member;
    }
    shares
}
