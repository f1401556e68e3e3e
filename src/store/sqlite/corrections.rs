//! Corrections in the ledger. Here: the verb that accepts them, each judged by what its record
//! counts with at that moment, and what accrual reads of them. Never here: what they do to balances
//! (`accrual::follow`). Read next: [`super::accrual`].

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::json;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::accrual::journal_record;
use super::archived::archived_of;
use super::posting::balance_key;
use super::running::newest_line;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::correction::{
    Cause, Change, Correction, CorrectionId, CorrectionKind, Effect, Standing, apply, fold,
};
use crate::domain::digest::Digest;
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::accrual::{
    BookedLine, CorrectedRecord, Corrections, CorrectionsPage, JournalRecord, MappingVersion,
    RouteVersionId,
};
use crate::ledger::intake::{Archived, CorrectionAdmission, CorrectionLedger};
use crate::store::codec::{Columns, ledger_error};

/// The corrections of one record as they stand in a transaction.
struct Record {
    /// What it was booked with; nothing while it has not come, and once it is archived.
    quantity: Option<Quantity>,
    archived: Option<Archived>,
    /// In the order in which they were accepted, with their names.
    accepted: Vec<(String, Change)>,
}

impl Record {
    /// What the record counts with. Before it has come, what the first correction replaces is taken
    /// for true; whether it was is seen when the record comes.
    fn standing(&self) -> Option<Standing> {
        let claimed = || match self.accepted.first()? {
            (_, Change::Adjust { replaces, .. }) => Some(replaces.clone()),
            (_, Change::Cancel) => Some(Quantity::zero()),
        };
        let quantity = self.quantity.clone().or_else(claimed)?;
        Some(fold(&quantity, self.accepted.iter().map(|(_, change)| change)).1)
    }

    /// What the record counts with, if it has come. Of one that is archived that is said by what
    /// its first correction replaced.
    fn come(&self) -> Option<Standing> {
        let come = self.quantity.is_some() || self.archived.is_some();
        come.then(|| self.standing()).flatten()
    }

    fn judge(&self, correction: &Correction) -> Result<Option<Standing>, CorrectionAdmission> {
        let name = correction.name.as_str();
        if let Some((_, known)) = self.accepted.iter().find(|(known, _)| known == name) {
            let same = *known == correction.change;
            return Err(if same {
                CorrectionAdmission::Duplicate(self.come())
            } else {
                CorrectionAdmission::Conflict(self.come())
            });
        }
        if let Some(archived) = &self.archived {
            return Err(CorrectionAdmission::Archived(archived.clone()));
        }
        let Some(present) = self.standing() else { return Ok(None) };
        match apply(&present, &correction.change) {
            (Effect::Applied(..), next) => Ok(self.quantity.is_some().then_some(next)),
            (Effect::Idle, _) => Err(CorrectionAdmission::Duplicate(self.come())),
            (Effect::Stale(present), _) => Err(CorrectionAdmission::Stale(present)),
        }
    }
}

#[async_trait]
impl CorrectionLedger for SqliteLedger {
    async fn correct(
        &self,
        corrections: Vec<Correction>,
        now: Timestamp,
    ) -> Result<Vec<CorrectionAdmission>, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let admissions = accept(&mut transaction, &corrections, now).await?;
        commit(transaction).await?;
        Ok(admissions)
    }
}

/// Accepts corrections, each in its turn, in a transaction of the caller's.
pub(super) async fn accept(
    connection: &mut SqliteConnection,
    corrections: &[Correction],
    now: Timestamp,
) -> Result<Vec<CorrectionAdmission>, LedgerError> {
    let mut records = records(connection, corrections).await?;
    let mut next = sqlx::query(sql!("correction_end"))
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("id")?;
    let mut rows = Vec::new();
    let mut admissions = Vec::with_capacity(corrections.len());
    for correction in corrections {
        let identity = correction.identity();
        let missing = || LedgerError::Contradiction("a correction names no record".to_owned());
        let record = records.get_mut(&identity).ok_or_else(missing)?;
        match record.judge(correction) {
            Ok(standing) => {
                next += 1;
                let name = correction.name.as_str().to_owned();
                record.accepted.push((name, correction.change.clone()));
                rows.push(row(next, &identity, correction));
                admissions.push(CorrectionAdmission::Accepted { id: CorrectionId(next), standing });
            }
            Err(refused) => admissions.push(refused),
        }
    }
    if !rows.is_empty() {
        sqlx::query(sql!("corrections_insert"))
            .bind(serde_json::Value::from(rows).to_string())
            .bind(now.micros())
            .execute(connection)
            .await
            .map_err(ledger_error)?;
    }
    Ok(admissions)
}

fn row(id: i64, identity: &Digest, correction: &Correction) -> serde_json::Value {
    let (quantity, replaces) = match &correction.change {
        Change::Cancel => (None, None),
        Change::Adjust { quantity, replaces } => {
            (Some(quantity.to_string()), Some(replaces.to_string()))
        }
    };
    json!([
        id,
        hex::encode(identity),
        correction.source.as_str(),
        correction.record.as_str(),
        correction.name.as_str(),
        correction.change.kind().as_str(),
        quantity,
        replaces,
        correction.reason,
        correction.who,
    ])
}

/// What is known of the records that `corrections` name.
async fn records(
    connection: &mut SqliteConnection,
    corrections: &[Correction],
) -> Result<BTreeMap<Digest, Record>, LedgerError> {
    let identities: BTreeSet<Digest> = corrections.iter().map(Correction::identity).collect();
    let named: Vec<String> = identities.iter().map(hex::encode).collect();
    let named = json!(named).to_string();
    let mut archived = archived_of(connection, &identities).await?;
    let mut records: BTreeMap<Digest, Record> = identities
        .into_iter()
        .map(|identity| {
            let archived = archived.remove(&identity);
            (identity, Record { quantity: None, archived, accepted: Vec::new() })
        })
        .collect();
    let rows = sqlx::query(sql!("quantities_by_identity"))
        .bind(&named)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    for row in rows {
        if let Some(record) = records.get_mut(&row.digest("identity")?) {
            record.quantity = Some(row.quantity("quantity")?);
        }
    }
    for (identity, accepted) in accepted_of(connection, records.keys()).await? {
        if let Some(record) = records.get_mut(&identity) {
            record.accepted.push((accepted.name, accepted.change));
        }
    }
    Ok(records)
}

/// A correction as it was accepted.
pub(super) struct Accepted {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) change: Change,
}

/// The corrections of some records, each record's in the order in which they were accepted.
pub(super) async fn accepted_of(
    connection: &mut SqliteConnection,
    identities: impl IntoIterator<Item = &Digest>,
) -> Result<Vec<(Digest, Accepted)>, LedgerError> {
    let named: Vec<String> = identities.into_iter().map(hex::encode).collect();
    let rows = sqlx::query(sql!("corrections_of"))
        .bind(json!(named).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            let (id, name) = (row.integer("id")?, row.text("name")?);
            Ok((row.digest("identity")?, Accepted { id, name, change: change(row)? }))
        })
        .collect()
}

/// What a row of the corrections says.
pub(super) fn change(row: &SqliteRow) -> Result<Change, LedgerError> {
    Ok(match row.member("kind", CorrectionKind::parse)? {
        CorrectionKind::Cancel => Change::Cancel,
        CorrectionKind::Adjust => Change::Adjust {
            quantity: row.quantity("quantity")?,
            replaces: row.quantity("replaces")?,
        },
    })
}

/// How far accrual is, and the mapping in force.
pub(super) struct Place {
    pub(super) watermark: Position,
    pub(super) mapping: MappingVersion,
    pub(super) corrections: CorrectionId,
    any_corrections: bool,
}

pub(super) async fn place(reader: &mut SqliteConnection) -> Result<Place, LedgerError> {
    let row = sqlx::query(sql!("accrual_place")).fetch_one(reader).await.map_err(ledger_error)?;
    Ok(Place {
        watermark: Position(row.integer("position")?),
        mapping: MappingVersion(row.integer("mapping_version")?),
        corrections: CorrectionId(row.integer("corrections")?),
        any_corrections: row.integer("corrections_end")? > 0,
    })
}

impl Place {
    /// The corrections of the records at `positions`.
    pub(super) async fn corrections_of(
        &self,
        reader: &mut SqliteConnection,
        positions: &[i64],
    ) -> Result<Corrections, LedgerError> {
        corrections_at(reader, positions, self.any_corrections).await
    }
}

/// The corrections of the records at `positions`, of a ledger that may have `any`.
pub(super) async fn corrections_at(
    reader: &mut SqliteConnection,
    positions: &[i64],
    any: bool,
) -> Result<Corrections, LedgerError> {
    let mut corrections = Corrections::new();
    // Most ledgers have none for a long time, and need not look them up for every record.
    if !any || positions.is_empty() {
        return Ok(corrections);
    }
    let rows = sqlx::query(sql!("corrections_at"))
        .bind(json!(positions).to_string())
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    for row in rows {
        let id = CorrectionId(row.integer("id")?);
        let position = Position(row.integer("position")?);
        corrections.entry(position).or_default().push((id, change(&row)?));
    }
    Ok(corrections)
}

/// The corrections past `place`, with the records that were accrued before them.
pub(super) async fn corrections_page(
    reader: &mut SqliteConnection,
    place: &Place,
    limit: u32,
) -> Result<CorrectionsPage, LedgerError> {
    let rows = sqlx::query(sql!("corrections_page"))
        .bind(place.corrections.0)
        .bind(limit)
        .fetch_all(&mut *reader)
        .await
        .map_err(ledger_error)?;
    let lines_to = newest_line(reader).await?;
    let mut page = CorrectionsPage {
        watermark: place.corrections,
        to: place.corrections,
        lines_to,
        records: vec![],
    };
    let mut named = BTreeSet::new();
    for row in rows {
        page.to = CorrectionId(row.integer("id")?);
        named.insert(row.text("identity")?);
    }
    let rows = sqlx::query(sql!("records_named"))
        .bind(json!(named).to_string())
        .bind(place.watermark.0)
        .fetch_all(&mut *reader)
        .await
        .map_err(ledger_error)?;
    let entries: Vec<_> = rows.iter().map(journal_record).collect::<Result<_, _>>()?;
    page.records = with_lines(reader, place, entries).await?;
    Ok(page)
}

/// Records with their corrections, and the lines that balances have of them.
pub(super) async fn with_lines(
    reader: &mut SqliteConnection,
    place: &Place,
    entries: Vec<JournalRecord>,
) -> Result<Vec<CorrectedRecord>, LedgerError> {
    let positions: Vec<i64> = entries.iter().map(|entry| entry.position.0).collect();
    let mut corrections = place.corrections_of(reader, &positions).await?;
    let rows = sqlx::query(sql!("booked_lines"))
        .bind(json!(positions).to_string())
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    let mut lines: BTreeMap<Position, Vec<BookedLine>> = BTreeMap::new();
    for row in &rows {
        lines.entry(Position(row.integer("position")?)).or_default().push(booked_line(row)?);
    }
    let with_lines = entries
        .into_iter()
        .map(|entry| CorrectedRecord {
            corrections: corrections.remove(&entry.position).unwrap_or_default(),
            lines: lines.remove(&entry.position).unwrap_or_default(),
            entry,
        })
        .collect();
    Ok(with_lines)
}

fn booked_line(row: &SqliteRow) -> Result<BookedLine, LedgerError> {
    Ok(BookedLine {
        balance: balance_key(row)?,
        route: RouteVersionId(row.integer("route_version_id")?),
        definition: row.text("definition")?,
        quantity: row.quantity("quantity")?,
        cause: (row.member("cause", Cause::parse)?, row.integer("cause_id")?),
        corrected_to: CorrectionId(row.integer("corrected_to")?),
    })
}
