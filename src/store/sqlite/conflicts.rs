//! A person's verdict over two copies of a record. Here: the second one taken for the first, or
//! not. Never here: how copies come to differ (see `intake`). Read next: [`super::resolve`].

use sqlx::sqlite::SqliteConnection;

use super::corrections::accept;
use super::holds::conflict;
use super::resolve::{Judged, keep, unseen};
use super::sql;
use crate::domain::correction::{Change, Correction, Standing};
use crate::domain::names::{CorrectionName, RecordId, SourceName};
use crate::domain::resolution::Verdict;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::holds::{Conflict, Resolution, Resolved};
use crate::ledger::intake::CorrectionAdmission;
use crate::store::codec::ledger_error;

pub(super) async fn decide_conflict(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    now: Timestamp,
) -> Judged<Resolved> {
    let Some(conflict) = conflict(connection, resolution.item.number).await? else {
        return Ok(Err(format!("there is no {}", resolution.item)));
    };
    let token = conflict.decided.is_none().then_some(&conflict.token);
    if let Some(why) = unseen(connection, resolution, token).await? {
        return Ok(Err(why));
    }
    let next = match resolution.verdict {
        Verdict::First => "the booked copy stays as it is, and the other one counts for nothing; \
             whoever sends the other one again is told of the conflict as before"
            .to_owned(),
        Verdict::Second => match take_second(connection, resolution, &conflict, now).await? {
            Ok(next) => next,
            Err(why) => return Ok(Err(why)),
        },
        Verdict::Billed
        | Verdict::NotBilled
        | Verdict::WriteOff
        | Verdict::ToldBefore
        | Verdict::Confirmed => {
            return Ok(Err(format!(
                "\"{}\" is said of an event or a balance; of a conflict say first or second",
                resolution.verdict.typed()
            )));
        }
    };
    let id = keep(connection, resolution, &conflict.second.quantity, now).await?;
    sqlx::query(sql!("conflict_decide"))
        .bind(resolution.item.number)
        .bind(resolution.verdict.as_str())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(Ok(Resolved { id: Some(id), moves: Vec::new(), balance: None, records: 0, next }))
}

/// Why the second copy of an archived record is not taken.
const ARCHIVED: &str = "the booked copy is archived, and can be corrected no longer: what was \
    billed of it is corrected at the provider; then say first";

/// Has the record count with the second copy's quantity.
async fn take_second(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    conflict: &Conflict,
    now: Timestamp,
) -> Judged<String> {
    let second = &conflict.second;
    let (Some(first), Some(standing)) = (&conflict.first, &conflict.standing) else {
        return Ok(Err(ARCHIVED.to_owned()));
    };
    let same = first.customer == second.customer
        && first.meter == second.meter
        && first.occurred_at == second.occurred_at
        && first.properties == second.properties;
    if !same {
        return Ok(Err("the copies differ in more than the quantity, and no correction changes \
             that: cancel the record, and have the source send the right one under a new id"
            .to_owned()));
    }
    let present = match standing {
        Standing::Counts(present) => present.clone(),
        Standing::Cancelled => {
            return Ok(Err("the record is cancelled, which is final: have the source send the \
                 right one under a new id"
                .to_owned()));
        }
    };
    if present == second.quantity {
        return Ok(Ok(format!("the record counts with {present} already; nothing changes")));
    }
    let contradiction = |why| LedgerError::Contradiction(format!("a stored name {why}"));
    let correction = Correction {
        source: SourceName::new(&conflict.source).map_err(contradiction)?,
        record: RecordId::new(&conflict.record).map_err(contradiction)?,
        name: CorrectionName::new(&resolution.item.to_string()).map_err(contradiction)?,
        change: Change::Adjust { quantity: second.quantity.clone(), replaces: present.clone() },
        reason: resolution.why.clone(),
        who: resolution.who.clone(),
    };
    match accept(connection, &[correction], now).await?.pop() {
        Some(CorrectionAdmission::Accepted { .. }) => Ok(Ok(format!(
            "the record counts with {} instead of {present}: accrual books the difference, and \
             posting tells it",
            second.quantity
        ))),
        Some(CorrectionAdmission::Archived(_)) => Ok(Err(ARCHIVED.to_owned())),
        Some(
            CorrectionAdmission::Duplicate(_)
            | CorrectionAdmission::Conflict(_)
            | CorrectionAdmission::Stale(_),
        )
        | None => Ok(Err(format!(
            "a correction of the record is called {} already, by its source: adjust the record \
             from {present} to {} under another name, and then say first",
            resolution.item, second.quantity
        ))),
    }
}
