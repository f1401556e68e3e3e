//! What is held, as people see it. Here: the items with their tokens, conflicts, and corrections
//! without effect. Never here: deciding ([`super::resolve`]). Read next: [`super::resolve`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::archived::archived_of;
use super::corrections::accepted_of;
use super::{SqliteLedger, sql};
use crate::domain::correction::{Change, Effect, fold};
use crate::domain::digest::Digest;
use crate::domain::names::{RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::identity;
use crate::domain::resolution::{ItemKind, ItemName, Token, Verdict};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::holds::{
    CONFLICT, CaughtUp, Conflict, Copy, Decision, HoldsLedger, Item, Questions, Resolution,
    StaleCorrection,
};
use crate::ledger::operator::HeldItem;
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl HoldsLedger for SqliteLedger {
    async fn questions(&self, limit: u32) -> Result<Questions, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let rows = sqlx::query(sql!("conflicts_open"))
            .bind(limit)
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let conflicts = conflicts(&mut reader, &rows).await?;
        let corrections = stale(&mut reader, limit).await?;
        let corrections = corrections.into_iter().map(|(_, correction)| correction).collect();
        Ok(Questions { conflicts, corrections })
    }

    async fn item(&self, name: ItemName) -> Result<Option<Item>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        match name.kind {
            ItemKind::Event => match held_event(&mut reader, name.number).await? {
                Some(row) if row.maybe_text("reason")?.is_some() => {
                    Ok(Some(Item::Held(held_item(&row)?)))
                }
                Some(_) | None => Ok(None),
            },
            ItemKind::Balance => {
                let row = held_balance(&mut reader, name.number).await?;
                row.as_ref().map(held_item).transpose().map(|item| item.map(Item::Held))
            }
            ItemKind::Conflict => {
                let conflict = conflict(&mut reader, name.number).await?;
                Ok(conflict.map(|conflict| Item::Conflict(Box::new(conflict))))
            }
        }
    }

    async fn resolve(
        &self,
        resolution: &Resolution,
        now: Timestamp,
    ) -> Result<Decision, LedgerError> {
        self.decide(resolution, now).await
    }

    async fn caught_up(&self, by: &str, now: Timestamp) -> Result<CaughtUp, LedgerError> {
        self.note_caught_up(by, now).await
    }
}

/// A held event or balance, from a row that lists it.
pub(super) fn held_item(row: &SqliteRow) -> Result<HeldItem, LedgerError> {
    let quantity = match row.maybe_quantity("quantity")? {
        Some(quantity) => quantity,
        None => &row.quantity("accrued")? - &row.quantity("told")?,
    };
    let kind = row.member("kind", ItemKind::parse)?;
    let name = ItemName { kind, number: row.integer("number")? };
    let reason = row.text("reason")?;
    let token = Token::of(name, &reason, &quantity, row.integer("version")?);
    Ok(HeldItem {
        name: name.to_string(),
        provider: row.text("provider")?,
        account: row.text("account")?,
        meter: row.text("meter")?,
        quantity,
        reason,
        detail: row.text("detail")?,
        since: row.time("since")?,
        token,
    })
}

pub(super) async fn held_event(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<Option<SqliteRow>, LedgerError> {
    sqlx::query(sql!("held_event"))
        .bind(number)
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)
}

pub(super) async fn held_balance(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<Option<SqliteRow>, LedgerError> {
    sqlx::query(sql!("held_balance"))
        .bind(number)
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)
}

/// One conflict, decided or not.
pub(super) async fn conflict(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<Option<Conflict>, LedgerError> {
    let rows = sqlx::query(sql!("conflict"))
        .bind(number)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    Ok(conflicts(connection, &rows).await?.pop())
}

async fn conflicts(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
) -> Result<Vec<Conflict>, LedgerError> {
    let identities: Vec<Digest> = rows
        .iter()
        .map(|row| {
            let source = row.name("source", SourceName::new)?;
            Ok(identity(&source, &row.name("record_id", RecordId::new)?))
        })
        .collect::<Result<_, LedgerError>>()?;
    let changes = changes_of(connection, &identities).await?;
    let mut archived = archived_of(connection, &identities).await?;
    let mut conflicts = Vec::with_capacity(rows.len());
    for (row, identity) in rows.iter().zip(&identities) {
        let name = ItemName { kind: ItemKind::Conflict, number: row.integer("id")? };
        let first = match row.maybe_text("first_customer")? {
            Some(customer) => Some(Copy {
                customer,
                meter: row.text("first_meter")?,
                quantity: row.quantity("first_quantity")?,
                occurred_at: row.time("first_occurred_at")?,
                properties: row.text("first_properties")?,
            }),
            None => None,
        };
        let second = Copy {
            customer: row.text("customer")?,
            meter: row.text("meter")?,
            quantity: row.quantity("quantity")?,
            occurred_at: row.time("occurred_at")?,
            properties: row.text("properties")?,
        };
        let accepted = changes.get(identity).map(Vec::as_slice).unwrap_or_default();
        let changes = accepted.iter().map(|(_, change)| change);
        let standing = first.as_ref().map(|first| fold(&first.quantity, changes).1);
        let decided = row.maybe_member("decided", Verdict::parse)?;
        let since = row.time("recorded_at")?;
        // What is decided over: the two copies never change, what the record counts with may.
        let counts = standing.as_ref().map_or_else(|| "archived".to_owned(), ToString::to_string);
        let seen = format!("{CONFLICT} {counts} {}", decided.map_or("", Verdict::as_str));
        let token = Token::of(name, &seen, &second.quantity, since.micros());
        let (source, record) = (row.text("source")?, row.text("record_id")?);
        conflicts.push(Conflict {
            name,
            source,
            record,
            first,
            archived: archived.remove(identity),
            second,
            standing,
            since,
            decided,
            token,
        });
    }
    Ok(conflicts)
}

/// The corrections of some records with their numbers, in the order in which they were accepted.
async fn changes_of(
    connection: &mut SqliteConnection,
    identities: &[Digest],
) -> Result<BTreeMap<Digest, Vec<(i64, Change)>>, LedgerError> {
    let mut changes: BTreeMap<Digest, Vec<(i64, Change)>> =
        identities.iter().map(|identity| (*identity, Vec::new())).collect();
    for (identity, accepted) in accepted_of(connection, identities).await? {
        changes.entry(identity).or_default().push((accepted.id, accepted.change));
    }
    Ok(changes)
}

/// The records of corrections that changed nothing, and that no later correction changed either.
pub(super) async fn unanswered(
    connection: &mut SqliteConnection,
) -> Result<Vec<Digest>, LedgerError> {
    let found = stale(connection, u32::MAX).await?;
    Ok(found.into_iter().map(|(identity, _)| identity).collect())
}

/// Corrections that changed nothing, of records that no later correction changed either.
async fn stale(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<(Digest, StaleCorrection)>, LedgerError> {
    let rows = sqlx::query(sql!("corrections_stale"))
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let identities: Vec<Digest> =
        rows.iter().map(|row| row.digest("identity")).collect::<Result<_, _>>()?;
    let changes = changes_of(connection, &identities).await?;
    let mut found = Vec::new();
    for (row, identity) in rows.iter().zip(&identities) {
        let accepted = changes.get(identity).map(Vec::as_slice).unwrap_or_default();
        let booked: Quantity = row.quantity("booked")?;
        let (effects, standing) = fold(&booked, accepted.iter().map(|(_, change)| change));
        let made_up_for = effects.iter().any(|effect| matches!(effect, Effect::Applied(..)));
        if made_up_for || found.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            continue;
        }
        let correction = StaleCorrection {
            id: row.integer("id")?,
            source: row.text("source")?,
            record: row.text("record_id")?,
            name: row.text("name")?,
            quantity: row.quantity("quantity")?,
            replaces: row.quantity("replaces")?,
            standing,
            since: row.time("recorded_at")?,
        };
        found.push((*identity, correction));
    }
    Ok(found)
}
