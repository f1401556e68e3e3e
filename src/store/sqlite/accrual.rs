//! Accrual's verbs: routes, the journal past the watermark, bookings. Here: their statements.
//! Never here: which route takes a record, what lines make of a balance. Read next:
//! [`super::running`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::billing::bounds_of;
use super::corrections::{corrections_page, place};
use super::remap::{go_on, open_remap};
use super::running::{Line, append_lines, folds, newest_line, open_balances};
use super::silence::learn;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance::{BalanceKey, Place};
use crate::domain::correction::Cause;
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, CustomerName, ProviderName, RouteName};
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::accrual::{
    Accrual, AccrualLedger, Accrued, Booking, CorrectionsPage, JournalPage, JournalRecord,
    ParkedPage, ParkedRecord, RouteDefinition, RouteVersionId,
};
use crate::ledger::posting::PostingLedger as _;
use crate::ledger::remap::OpenRemap;
use crate::store::codec::{Columns, ledger_error, usage_record};

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

    async fn routes_in_force(&self) -> Result<Vec<(RouteDefinition, RouteVersionId)>, LedgerError> {
        let rows = sqlx::query(sql!("routes_in_force"))
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter()
            .map(|row| {
                let name = row.name("name", RouteName::new)?;
                let definition = RouteDefinition { name, definition: row.text("definition")? };
                Ok((definition, RouteVersionId(row.integer("id")?)))
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
        let arrivals: Vec<_> =
            rows.iter().map(|row| row.time("recorded_at")).collect::<Result<_, _>>()?;
        let positions: Vec<i64> = entries.iter().map(|entry| entry.position.0).collect();
        let corrections = place.corrections_of(&mut reader, &positions).await?;
        Ok(JournalPage { watermark, mapping, entries, arrivals, corrections })
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
                let (booked, left) = destinations(row)?;
                Ok(ParkedRecord { entry: journal_record(row)?, route, booked, left })
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

    async fn open_remap(&self, limit: u32) -> Result<Option<OpenRemap>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        open_remap(&mut reader, limit).await
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

    async fn accounts_with_entries(
        &self,
        provider: &ProviderName,
        accounts: &BTreeSet<AccountName>,
        least: u32,
    ) -> Result<BTreeSet<AccountName>, LedgerError> {
        let least = usize::try_from(least).unwrap_or(usize::MAX);
        let told = self.entries_of(provider, accounts).await?;
        Ok(told.into_iter().filter(|(_, told)| *told >= least).map(|(name, _)| name).collect())
    }

    async fn period_bounds(
        &self,
        places: &[Place],
    ) -> Result<BTreeMap<Place, Vec<Timestamp>>, LedgerError> {
        let mut reader = self.readers.acquire().await.map_err(ledger_error)?;
        bounds_of(&mut reader, places).await
    }

    async fn folds(
        &self,
        balances: &BTreeSet<BalanceKey>,
    ) -> Result<BTreeMap<BalanceKey, Fold>, LedgerError> {
        let mut reader = self.readers.acquire().await.map_err(ledger_error)?;
        folds(&mut reader, balances).await
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
        if is_outdated(&mut transaction, &accrual).await? {
            return Ok(Accrued { outdated: true, ..Accrued::default() });
        }
        end_parkings(&mut transaction, &accrual).await?;
        park(&mut transaction, &accrual, now).await?;
        if let Some(step) = &accrual.remap
            && !go_on(&mut transaction, step, now).await?
        {
            return Ok(Accrued { outdated: true, ..Accrued::default() });
        }
        match book(&mut transaction, &accrual, now).await? {
            Booked::All => {}
            Booked::Outdated => return Ok(Accrued { outdated: true, ..Accrued::default() }),
            Booked::Unfit(unfit) => {
                return Ok(Accrued { outdated: true, unfit, ..Accrued::default() });
            }
        }
        learn(&mut transaction, &accrual.hearings).await?;
        commit(transaction).await?;
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let (booked, parked) = (count(accrual.bookings.len()), count(accrual.parkings.len()));
        Ok(Accrued { booked, parked, ..Accrued::default() })
    }
}

/// Destinations, as (provider, provider meter).
type Destinations = Vec<(String, String)>;

/// Where a record is booked, and what of it a remap took it away from since.
fn destinations(row: &SqliteRow) -> Result<(Destinations, Destinations), LedgerError> {
    let text = row.text("booked")?;
    let lines: Vec<(String, String, i64)> = serde_json::from_str(&text)
        .map_err(|_| LedgerError::Contradiction(format!("unreadable destinations: {text}")))?;
    let (mut booked, mut left) = (Vec::new(), Vec::new());
    for (provider, meter, is_gone) in lines {
        let of = if is_gone == 0 { &mut booked } else { &mut left };
        of.push((provider, meter));
    }
    Ok((booked, left))
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

/// Whether what a step was derived from is no longer so: a record got another line since, as when
/// it was carried to another window, or the routes or accounts of a remap changed.
async fn is_outdated(
    connection: &mut SqliteConnection,
    accrual: &Accrual,
) -> Result<bool, LedgerError> {
    let Some(lines_to) = accrual.lines_to else { return Ok(false) };
    let remaps = accrual.remap.is_some() && !accrual.bookings.is_empty();
    if remaps && place(&mut *connection).await?.mapping != accrual.mapping {
        return Ok(true);
    }
    let positions: BTreeSet<i64> =
        accrual.bookings.iter().map(|booking| booking.position.0).collect();
    let found = sqlx::query(sql!("lines_since"))
        .bind(json!(positions).to_string())
        .bind(lines_to)
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)?;
    Ok(found.is_some())
}

/// Whether a line is of a record that is in its balance already.
const fn needs_home(cause: Cause) -> bool {
    match cause {
        Cause::Correction | Cause::Reversal | Cause::RemapFrom => true,
        Cause::Record | Cause::RemapTo | Cause::Transfer | Cause::WriteOff | Cause::Presence => {
            false
        }
    }
}

/// What came of booking.
enum Booked {
    /// All of it is booked.
    All,
    /// Nothing is: a balance that is to have a record is not there, as its bounds are others by
    /// now.
    Outdated,
    /// Nothing is: these fold otherwise.
    Unfit(BTreeMap<BalanceKey, Fold>),
}

/// Books what a step books.
async fn book(
    connection: &mut SqliteConnection,
    accrual: &Accrual,
    now: Timestamp,
) -> Result<Booked, LedgerError> {
    let bookings = &accrual.bookings;
    if bookings.is_empty() {
        return Ok(Booked::All);
    }
    let keys: BTreeMap<&BalanceKey, Fold> =
        bookings.iter().rev().map(|booking| (&booking.balance, booking.fold)).collect();
    let mut balances = open_balances(connection, &keys).await?;
    // A balance stays as it was made: what a level is would be added to a sum, or lost in it.
    let comes_anew = |booking: &&Booking| booking.cause.0 == Cause::Record;
    let unfit: BTreeMap<BalanceKey, Fold> = bookings
        .iter()
        .filter(comes_anew)
        .filter_map(|booking| Some((booking, balances.get(&booking.balance)?.fold)))
        .filter(|(booking, fold)| booking.fold != *fold)
        .map(|(booking, fold)| (booking.balance.clone(), fold))
        .collect();
    if !unfit.is_empty() {
        return Ok(Booked::Unfit(unfit));
    }
    let identities = identities_of(connection, bookings).await?;
    let mut next = newest_line(connection).await?;
    let mut rows = Vec::with_capacity(bookings.len());
    for booking in bookings {
        let missing = || LedgerError::Contradiction("a balance just made is not there".to_owned());
        let running = balances.get_mut(&booking.balance).ok_or_else(missing)?;
        if running.booked_to == 0 && needs_home(booking.cause.0) {
            return Ok(Booked::Outdated);
        }
        let identity = identities.get(&booking.position.0).ok_or_else(|| {
            LedgerError::Contradiction(format!("no record stands at {}", booking.position))
        })?;
        next += 1;
        let line = Line {
            position: booking.position,
            identity,
            occurred_at: booking.occurred_at,
            route: booking.route,
            quantity: &booking.quantity,
            member: booking.member,
            cause: booking.cause,
        };
        rows.push(running.add(next, &line));
        let due_at = running.due_at.map_or(booking.due_at, |at| at.min(booking.due_at));
        running.due_at = Some(due_at);
    }
    append_lines(connection, rows, balances.values_mut(), now).await?;
    Ok(Booked::All)
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
