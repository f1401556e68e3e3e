//! Accrual's verbs: routes, the journal past the watermark, bookings. Here: their statements, and
//! the one place that changes what a balance accrued. Never here: which route takes a record. Read
//! next: [`super::posting`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::corrections::{corrections_page, place};
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance::BalanceKey;
use crate::domain::digest::{Digest, Fields};
use crate::domain::names::{AccountName, CustomerName, ProviderName, RouteName};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::accrual::{
    Accrual, AccrualLedger, Accrued, Booking, CorrectionsPage, JournalPage, JournalRecord,
    ParkedPage, ParkedRecord, RouteDefinition, RouteVersionId,
};
use crate::store::codec::{Columns, ledger_error, usage_record};

/// The running digest of a balance after one more booking: who, how much, when.
pub(super) fn chain(
    digest: &Digest,
    identity: &[u8],
    quantity: &Quantity,
    at: Timestamp,
) -> Digest {
    Fields::of("balance digest 1")
        .bytes(digest)
        .bytes(identity)
        .text(&quantity.to_string())
        .number(at.micros())
        .finish()
}

#[async_trait]
impl AccrualLedger for SqliteLedger {
    async fn adopt_routes(
        &self,
        routes: &[RouteDefinition],
        now: Timestamp,
    ) -> Result<Vec<RouteVersionId>, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let wanted: Vec<Value> =
            routes.iter().map(|route| json!([route.name.as_str(), route.definition])).collect();
        let wanted = Value::from(wanted).to_string();
        let retired = sqlx::query(sql!("routes_retire"))
            .bind(&wanted)
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .rows_affected();
        let adopted = sqlx::query(sql!("routes_adopt"))
            .bind(&wanted)
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .rows_affected();
        if retired + adopted > 0 {
            sqlx::query(sql!("mapping_changed"))
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
        }
        let rows = sqlx::query(sql!("routes_in_force"))
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let mut versions = HashMap::new();
        for row in rows {
            versions.insert(row.text("name")?, RouteVersionId(row.integer("id")?));
        }
        commit(transaction).await?;
        routes
            .iter()
            .map(|route| {
                versions.get(route.name.as_str()).copied().ok_or_else(|| {
                    LedgerError::Contradiction(format!("route \"{}\" was not adopted", route.name))
                })
            })
            .collect()
    }

    async fn unaccrued(&self, limit: u32) -> Result<JournalPage, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let place = place(&mut reader).await?;
        let (watermark, mapping) = (place.watermark, place.mapping);
        let rows = sqlx::query(sql!("journal_page"))
            .bind(watermark.0)
            .bind(limit)
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let entries: Vec<_> = rows.iter().map(journal_record).collect::<Result<_, _>>()?;
        let positions: Vec<i64> = entries.iter().map(|entry| entry.position.0).collect();
        let corrections = place.corrections_of(&mut reader, &positions).await?;
        Ok(JournalPage { watermark, mapping, entries, corrections })
    }

    async fn parked_to_review(&self, limit: u32) -> Result<ParkedPage, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let place = place(&mut reader).await?;
        let mapping = place.mapping;
        let rows = sqlx::query(sql!("parked_page"))
            .bind(mapping.0)
            .bind(limit)
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let parked: Vec<ParkedRecord> = rows
            .iter()
            .map(|row| {
                let route = row.text("route")?;
                let route =
                    if route.is_empty() { None } else { Some(row.name("route", RouteName::new)?) };
                let booked = row.text("booked")?;
                let booked = serde_json::from_str(&booked).map_err(|_| {
                    LedgerError::Contradiction(format!("unreadable destinations: {booked}"))
                })?;
                Ok(ParkedRecord { entry: journal_record(row)?, route, booked })
            })
            .collect::<Result<_, LedgerError>>()?;
        let positions: Vec<i64> = parked.iter().map(|each| each.entry.position.0).collect();
        let corrections = place.corrections_of(&mut reader, &positions).await?;
        Ok(ParkedPage { mapping, parked, corrections })
    }

    async fn uncorrected(&self, limit: u32) -> Result<CorrectionsPage, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let place = place(&mut reader).await?;
        corrections_page(&mut reader, &place, limit).await
    }

    async fn imported_accounts(
        &self,
        provider: &ProviderName,
        customers: &[CustomerName],
    ) -> Result<HashMap<CustomerName, AccountName>, LedgerError> {
        if customers.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<&str> = customers.iter().map(CustomerName::as_str).collect();
        let rows = sqlx::query(sql!("accounts_of"))
            .bind(provider.as_str())
            .bind(json!(names).to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter()
            .map(|row| {
                let customer = row.name("customer", CustomerName::new)?;
                Ok((customer, row.name("account", AccountName::new)?))
            })
            .collect()
    }

    async fn accrue(&self, accrual: Accrual, now: Timestamp) -> Result<Accrued, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        if let Some((from, to)) = accrual.watermark {
            move_watermark(&mut transaction, "accrual", from.0, to.0).await?;
        }
        if let Some((from, to)) = accrual.corrections {
            move_watermark(&mut transaction, "corrections", from.0, to.0).await?;
        }
        end_parkings(&mut transaction, &accrual).await?;
        park(&mut transaction, &accrual, now).await?;
        book(&mut transaction, &accrual.bookings, now).await?;
        commit(transaction).await?;
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        Ok(Accrued { booked: count(accrual.bookings.len()), parked: count(accrual.parkings.len()) })
    }
}

pub(super) fn journal_record(row: &SqliteRow) -> Result<JournalRecord, LedgerError> {
    let position = Position(row.integer("position")?);
    Ok(JournalRecord { position, record: usage_record(row)? })
}

async fn move_watermark(
    connection: &mut SqliteConnection,
    room: &'static str,
    from: i64,
    to: i64,
) -> Result<(), LedgerError> {
    let moved = sqlx::query(sql!("watermark_move"))
        .bind(from)
        .bind(to)
        .bind(room)
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    if moved.rows_affected() == 1 {
        Ok(())
    } else {
        Err(LedgerError::Contradiction(format!("the watermark of {room} is no longer at {from}")))
    }
}

fn route_text(route: &Option<RouteName>) -> &str {
    route.as_ref().map_or("", RouteName::as_str)
}

/// Ends the parkings that were reviewed, except those that are parked again in the same place:
/// those keep the time since which they wait.
async fn end_parkings(
    connection: &mut SqliteConnection,
    accrual: &Accrual,
) -> Result<(), LedgerError> {
    let again: BTreeSet<(i64, &str)> = accrual
        .parkings
        .iter()
        .map(|parking| (parking.position.0, route_text(&parking.route)))
        .collect();
    let ended: Vec<Value> = accrual
        .unparked
        .iter()
        .map(|(position, route)| (position.0, route_text(route)))
        .filter(|place| !again.contains(place))
        .map(|(position, route)| json!([position, route]))
        .collect();
    if ended.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("parked_end"))
        .bind(Value::from(ended).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

async fn park(
    connection: &mut SqliteConnection,
    accrual: &Accrual,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let rows: Vec<Value> = accrual
        .parkings
        .iter()
        .map(|parking| {
            json!([
                parking.position.0,
                route_text(&parking.route),
                parking.reason.as_str(),
                parking.detail,
            ])
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("parked_upsert"))
        .bind(Value::from(rows).to_string())
        .bind(now.micros())
        .bind(accrual.mapping.0)
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// A balance while a batch of bookings is added to it.
struct Running {
    id: i64,
    destination: i64,
    accrued: Quantity,
    digest: Digest,
    newest_at: Timestamp,
    booked_to: i64,
    due_at: Timestamp,
}

async fn book(
    connection: &mut SqliteConnection,
    bookings: &[Booking],
    now: Timestamp,
) -> Result<(), LedgerError> {
    if bookings.is_empty() {
        return Ok(());
    }
    let keys: BTreeSet<&BalanceKey> = bookings.iter().map(|booking| &booking.balance).collect();
    let mut balances = open_balances(connection, &keys).await?;
    let identities = identities_of(connection, bookings).await?;
    let mut next = sqlx::query(sql!("booking_end"))
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("id")?;
    let mut rows = Vec::with_capacity(bookings.len());
    for booking in bookings {
        let missing = || LedgerError::Contradiction("a balance just made is not there".to_owned());
        let running = balances.get_mut(&booking.balance).ok_or_else(missing)?;
        let identity = identities.get(&booking.position.0).ok_or_else(|| {
            LedgerError::Contradiction(format!("no record stands at {}", booking.position))
        })?;
        next += 1;
        running.accrued = &running.accrued + &booking.quantity;
        running.digest = chain(&running.digest, identity, &booking.quantity, booking.occurred_at);
        running.newest_at = running.newest_at.max(booking.occurred_at);
        running.booked_to = next;
        running.due_at = running.due_at.min(booking.due_at);
        rows.push(json!([
            next,
            booking.position.0,
            running.destination,
            booking.route.0,
            running.id,
            booking.quantity.to_string(),
            booking.cause.0.as_str(),
            booking.cause.1,
        ]));
    }
    sqlx::query(sql!("bookings_insert"))
        .bind(Value::from(rows).to_string())
        .bind(now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let changed: Vec<Value> = balances
        .values()
        .map(|running| {
            json!([
                running.id,
                running.accrued.to_string(),
                hex::encode(running.digest),
                running.newest_at.micros(),
                running.booked_to,
                running.due_at.micros(),
            ])
        })
        .collect();
    sqlx::query(sql!("balances_accrue"))
        .bind(Value::from(changed).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// Makes the balances that are not there yet, and reads all of `keys`.
async fn open_balances(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<&BalanceKey>,
) -> Result<BTreeMap<BalanceKey, Running>, LedgerError> {
    let wanted: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!([
                key.provider.as_str(),
                key.meter.as_str(),
                key.account.as_str(),
                key.dimensions,
                key.window.start.micros(),
                key.window.end.micros(),
                key.record.map_or(0, |position| position.0),
            ])
        })
        .collect();
    let wanted = Value::from(wanted).to_string();
    for statement in [sql!("destinations_make"), sql!("balances_make")] {
        sqlx::query(statement)
            .bind(&wanted)
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
    }
    let rows = sqlx::query(sql!("balances_read"))
        .bind(&wanted)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let keys: Vec<&BalanceKey> = keys.iter().copied().collect();
    let mut balances = BTreeMap::new();
    for row in rows {
        let index = usize::try_from(row.integer("place")?).unwrap_or(usize::MAX);
        let key = keys
            .get(index)
            .ok_or_else(|| LedgerError::Contradiction("a balance answers to no key".to_owned()))?;
        let running = Running {
            id: row.integer("id")?,
            destination: row.integer("destination_id")?,
            accrued: row.quantity("accrued")?,
            digest: row.digest("digest")?,
            newest_at: row.time("newest_at")?,
            booked_to: row.integer("booked_to")?,
            due_at: row.maybe_time("due_at")?.unwrap_or(Timestamp::from_micros(i64::MAX)),
        };
        balances.insert((*key).clone(), running);
    }
    Ok(balances)
}

async fn identities_of(
    connection: &mut SqliteConnection,
    bookings: &[Booking],
) -> Result<HashMap<i64, Vec<u8>>, LedgerError> {
    let positions: BTreeSet<i64> = bookings.iter().map(|booking| booking.position.0).collect();
    let rows = sqlx::query(sql!("identities_of"))
        .bind(json!(positions).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            let position: i64 = row.try_get("position").map_err(ledger_error)?;
            Ok((position, row.blob("identity")?))
        })
        .collect()
}
