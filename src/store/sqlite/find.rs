//! Records found before they are corrected. Here: a page of those that a filter lets through, with
//! their corrections and how far each got. Never here: correcting them. Read next:
//! [`super::corrections`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::corrections::accepted_of;
use super::{SqliteLedger, sql};
use crate::domain::digest::Digest;
use crate::domain::names::{CustomerName, MeterName, RecordId, SourceName};
use crate::domain::record::Position;
use crate::domain::state::EventState;
use crate::ledger::LedgerError;
use crate::ledger::corrections::{FindRecords, FoundRecord, Reached, RecordFilter};
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl FindRecords for SqliteLedger {
    async fn find_records(
        &self,
        filter: &RecordFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<FoundRecord>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let rows = sqlx::query(sql!("find_records"))
            .bind(after.0)
            .bind(filter.source.as_ref().map(SourceName::as_str))
            .bind(filter.customer.as_ref().map(CustomerName::as_str))
            .bind(filter.meter.as_ref().map(MeterName::as_str))
            .bind(filter.from.map(|at| at.micros()))
            .bind(filter.until.map(|at| at.micros()))
            .bind(limit)
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut found = Vec::with_capacity(rows.len());
        let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
        for row in &rows {
            places.insert(row.digest("identity")?, found.len());
            found.push(FoundRecord {
                position: Position(row.integer("position")?),
                source: row.name("source", SourceName::new)?,
                id: row.name("id", RecordId::new)?,
                customer: row.name("customer", CustomerName::new)?,
                meter: row.name("meter", MeterName::new)?,
                quantity: row.quantity("quantity")?,
                occurred_at: row.time("occurred_at")?,
                corrections: Vec::new(),
                reached: Reached::Untold,
            });
        }
        for (identity, accepted) in accepted_of(&mut reader, places.keys()).await? {
            let place = places.get(&identity).copied();
            if let Some(record) = place.and_then(|place| found.get_mut(place)) {
                record.corrections.push((accepted.name, accepted.change));
            }
        }
        let positions = Value::from_iter(found.iter().map(|record| record.position.0));
        let rows = sqlx::query(sql!("find_reached"))
            .bind(positions.to_string())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        for row in &rows {
            let position = Position(row.integer("position")?);
            let reached = reached(row.member("state", EventState::parse)?);
            // The page is in the order of the journal.
            if let Ok(place) = found.binary_search_by_key(&position, |record| record.position) {
                found[place].reached = found[place].reached.max(reached);
            }
        }
        Ok(found)
    }
}

const fn reached(state: EventState) -> Reached {
    match state {
        EventState::Pending | EventState::Void | EventState::Superseded => Reached::Untold,
        EventState::InFlight
        | EventState::Unknown
        | EventState::Accepted
        | EventState::Held
        | EventState::Dead => Reached::Told,
        EventState::Settled => Reached::Settled,
    }
}
