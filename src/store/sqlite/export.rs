//! The verbs of exports. Here: what may go into one, the transaction that holds it, the steps, and
//! what files are made of. Never here: a file, or which event a form can say (`provider`). Read
//! next: [`super::resolve`].

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::cutover::tellings_of;
use super::delivery::facts::meter_pin;
use super::moves::{Move, move_events};
use super::posting::billing;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::cutover::{Mode, Telling};
use crate::domain::event::{EventId, EventKind};
use crate::domain::export::{Candidate, ExportForm, ExportId, ExportStep};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::period::Billing;
use crate::domain::provider_facts::AccountPin;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::export::{
    Export, ExportLedger, Exported, ExportedEvent, MARKED_MAX, NewExport, NewStep, NotedStep,
    Place, Released, RowPlace, Waiting,
};
use crate::store::codec::{Columns, ledger_error, unreadable};

/// Why nothing is exported, or told in an export's place, from a ledger that was rolled back.
const ROLLED_BACK: &str = "the ledger was rolled back, and has not caught up: what it holds as \
     waiting may have been told since. Have the inputs read again and say so (tallyd ledger \
     caught-up)";

#[async_trait]
impl ExportLedger for SqliteLedger {
    async fn why_not_exported(
        &self,
        provider: &ProviderName,
        telling: &Telling,
    ) -> Result<Option<String>, LedgerError> {
        if self.is_behind().await? {
            return Ok(Some(ROLLED_BACK.to_owned()));
        }
        let mut reader = self.readers.acquire().await.map_err(ledger_error)?;
        if let Some(why) = untellable(&mut reader, provider).await? {
            return Ok(Some(why));
        }
        let newest = tellings_of(&mut reader, provider).await?.pop();
        if newest.is_some_and(|newest| newest.telling != *telling) {
            return Ok(Some(format!(
                "the config has {provider} told otherwise than the ledger knows (bill_from, \
                 shadow): start the daemon with it, or have the running one read it (SIGHUP)"
            )));
        }
        Ok(None)
    }

    async fn begin_export(
        &self,
        asked: &NewExport,
        now: Timestamp,
    ) -> Result<Exported<ExportId>, LedgerError> {
        if self.is_behind().await? {
            return Ok(Exported::Refused(ROLLED_BACK.to_owned()));
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        if let Some(why) = untellable(&mut transaction, &asked.provider).await? {
            return Ok(Exported::Refused(why));
        }
        let id = sqlx::query(sql!("export_insert"))
            .bind(asked.provider.as_str())
            .bind(asked.form.as_str())
            .bind(asked_json(asked).to_string())
            .bind(&asked.who)
            .bind(now.micros())
            .bind(self.fence.as_ref().map_or(0, |fence| fence.numbers().0))
            .fetch_one(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .integer("id")?;
        commit(transaction).await?;
        Ok(Exported::Done(ExportId(id)))
    }

    async fn waiting_for(
        &self,
        asked: &NewExport,
        from: Place,
        limit: u32,
    ) -> Result<Waiting, LedgerError> {
        let rows = sqlx::query(sql!("export_candidates"))
            .bind(asked.provider.as_str())
            .bind(from.lane)
            .bind(from.deadline_micros)
            .bind(from.event)
            .bind(meters_json(asked).to_string())
            .bind(asked.before.map(Timestamp::micros))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let next = match rows.last() {
            Some(last) if rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX) => {
                Some(Place {
                    lane: last.integer("lane_id")?,
                    deadline_micros: last.time("deadline_at")?.micros(),
                    event: last.integer("id")?,
                })
            }
            Some(_) | None => None,
        };
        let candidates = rows
            .iter()
            .map(|row| Ok(Candidate { billing: billing(row)?, ..candidate(row)? }))
            .collect::<Result<_, LedgerError>>()?;
        Ok(Waiting { candidates, next })
    }

    async fn mark_exported(
        &self,
        export: ExportId,
        events: &[EventId],
        now: Timestamp,
    ) -> Result<Exported<i64>, LedgerError> {
        if events.len() > usize::try_from(MARKED_MAX).unwrap_or(usize::MAX) {
            let why = format!("at most {MARKED_MAX} events are marked at once");
            return Ok(Exported::Refused(why));
        }
        if self.is_behind().await? {
            return Ok(Exported::Refused(ROLLED_BACK.to_owned()));
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let Some(known) = heads(&mut transaction, Some(export), 1).await?.pop() else {
            return Ok(Exported::Refused(unknown(export)));
        };
        if known.rolled_back {
            let why = format!("the ledger was rolled back after export {export} was begun");
            return Ok(Exported::Refused(why));
        }
        if !known.standing().is_open() {
            let why = format!("export {export} is {}, and takes no more", known.standing().word());
            return Ok(Exported::Refused(why));
        }
        if let Some(why) = untellable(&mut transaction, &known.asked.provider).await? {
            return Ok(Exported::Refused(why));
        }
        let ids: Vec<i64> = events.iter().map(|event| event.0).collect();
        let rows = sqlx::query(sql!("export_markable"))
            .bind(known.asked.provider.as_str())
            .bind(json!(ids).to_string())
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let (mut moves, mut kept) =
            (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        let detail = format!("export {export} as {} by {}", known.asked.form, known.asked.who);
        for row in &rows {
            let event = row.integer("id")?;
            kept.push(json!([row.integer("destination_id")?, event]));
            moves.push(Move {
                hold: Some((HoldReason::Exported, detail.clone())),
                ..Move::to(EventId(event), EventState::Held, true, "a file tells it")
            });
        }
        move_events(&mut transaction, &moves, now).await?;
        sqlx::query(sql!("export_events_insert"))
            .bind(export.0)
            .bind(Value::from(kept).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await?;
        Ok(Exported::Done(i64::try_from(moves.len()).unwrap_or(i64::MAX)))
    }

    async fn note_export(
        &self,
        export: ExportId,
        step: &NewStep,
        now: Timestamp,
    ) -> Result<Exported<()>, LedgerError> {
        if self.is_behind().await? {
            return Ok(Exported::Refused(ROLLED_BACK.to_owned()));
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let Some(known) = listed(&mut transaction, Some(export), 1).await?.pop() else {
            return Ok(Exported::Refused(unknown(export)));
        };
        let seen = (known.present, known.rolled_back);
        if let Some(why) = known.standing().refuses(export, step.step, seen) {
            return Ok(Exported::Refused(why));
        }
        if known.steps.iter().any(|noted| noted.said.step == step.step) {
            if step.step == ExportStep::Sealed {
                self.fence_export(&mut transaction, export).await?;
            }
            return Ok(Exported::Done(()));
        }
        let (files, digest) = step.files.clone().unzip();
        sqlx::query(sql!("export_step_insert"))
            .bind(export.0)
            .bind(step.step.as_str())
            .bind(files)
            .bind(digest)
            .bind(&step.why)
            .bind(&step.who)
            .bind(now.micros())
            .fetch_one(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await?;
        if step.step == ExportStep::Sealed {
            self.fence_export(&mut writer, export).await?;
        }
        Ok(Exported::Done(()))
    }

    async fn release_exported(
        &self,
        export: ExportId,
        after: RowPlace,
        now: Timestamp,
    ) -> Result<Exported<Released>, LedgerError> {
        if self.is_behind().await? {
            return Ok(Exported::Refused(ROLLED_BACK.to_owned()));
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let Some(known) = heads(&mut transaction, Some(export), 1).await?.pop() else {
            return Ok(Exported::Refused(unknown(export)));
        };
        let abandoned = |noted: &&NotedStep| noted.said.step == ExportStep::Abandoned;
        let Some(word) = known.steps.iter().find(abandoned) else {
            return Ok(Exported::Refused(format!("export {export} was not abandoned")));
        };
        let why = format!("{} abandoned export {export}: {}", word.said.who, word.said.why);
        let rows = sqlx::query(sql!("export_held"))
            .bind(export.0)
            .bind(after.destination)
            .bind(after.event)
            .bind(MARKED_MAX)
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let mut released = Released::default();
        let mut moves = Vec::with_capacity(rows.len());
        for row in &rows {
            let (destination, event) = (row.integer("destination_id")?, row.integer("id")?);
            released.events += 1;
            released.next = Some(RowPlace { destination, event });
            // Its bytes are spent: posting tells what is outstanding then by what holds by now,
            // such as a cutover, or a backup that was restored since.
            let may_exist = known.rolled_back;
            moves.push(Move::to(EventId(event), EventState::Superseded, may_exist, &why));
        }
        move_events(&mut transaction, &moves, now).await?;
        commit(transaction).await?;
        Ok(Exported::Done(released))
    }

    async fn exports(
        &self,
        only: Option<ExportId>,
        limit: u32,
    ) -> Result<Vec<Export>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        listed(&mut reader, only, limit).await
    }

    async fn exported_events(
        &self,
        export: ExportId,
        after: RowPlace,
        limit: u32,
    ) -> Result<Vec<ExportedEvent>, LedgerError> {
        let rows = sqlx::query(sql!("export_rows"))
            .bind(export.0)
            .bind(after.destination)
            .bind(after.event)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter()
            .map(|row| {
                let (destination, event) = (row.integer("destination_id")?, row.integer("id")?);
                let place = RowPlace { destination, event };
                Ok(ExportedEvent { place, event: candidate(row)? })
            })
            .collect()
    }
}

impl SqliteLedger {
    /// Has the fence know a sealed export, and its newest usage. Also of one that was sealed
    /// before: whoever sealed it may not have come so far.
    async fn fence_export(
        &self,
        connection: &mut SqliteConnection,
        export: ExportId,
    ) -> Result<(), LedgerError> {
        let Some(fence) = &self.fence else { return Ok(()) };
        let row = sqlx::query(sql!("export_newest_usage"))
            .bind(export.0)
            .fetch_one(connection)
            .await
            .map_err(ledger_error)?;
        let (step, newest) = (row.integer("step")?, row.maybe_time("at")?);
        fence.advance_exports((export.0, step), newest).await.map_err(|why| {
            let path = fence.path().display();
            LedgerError::Broken(format!("the fence {path} cannot be written: {why}").into())
        })
    }

    /// Whether it was rolled back, and nobody said yet that it has caught up.
    async fn is_behind(&self) -> Result<bool, LedgerError> {
        let restored = self.restoration().await?;
        Ok(restored.is_some_and(|restored| restored.caught_up_at.is_none()))
    }
}

/// What is said of a number that no export has.
fn unknown(export: ExportId) -> String {
    format!("there is no export {export} (tallyd export list)")
}

/// Why nothing of a provider may be told by a file now, if so.
async fn untellable(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
) -> Result<Option<String>, LedgerError> {
    let newest = tellings_of(connection, provider).await?.pop();
    if newest.is_some_and(|newest| newest.telling.mode == Mode::Shadow) {
        return Ok(Some(format!("{provider} is in shadow: it is told nothing, by a file neither")));
    }
    let row = sqlx::query(sql!("provider_read"))
        .bind(provider.as_str())
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)?;
    let Some(row) = row else { return Ok(Some(uncontacted(provider))) };
    if let Some(reason) = row.maybe_text("pause_reason")? {
        return Ok(Some(format!("{provider} is paused, as {reason}")));
    }
    let is_pinned = row.maybe_integer("livemode")?.is_some();
    Ok((!is_pinned).then(|| uncontacted(provider)))
}

fn uncontacted(provider: &ProviderName) -> String {
    format!(
        "{provider} was never in contact, so that it is not known which account a file is for: \
         start the daemon once"
    )
}

fn meters_json(asked: &NewExport) -> Value {
    asked.meters.iter().map(ProviderMeter::as_str).collect()
}

fn asked_json(asked: &NewExport) -> Value {
    json!({ "meters": meters_json(asked), "before": asked.before.map(Timestamp::micros) })
}

/// Exports with their steps, and what became of their events.
async fn listed(
    connection: &mut SqliteConnection,
    only: Option<ExportId>,
    limit: u32,
) -> Result<Vec<Export>, LedgerError> {
    let mut exports = heads(connection, only, limit).await?;
    for export in &mut exports {
        let row = sqlx::query(sql!("export_counts"))
            .bind(export.id.0)
            .fetch_one(&mut *connection)
            .await
            .map_err(ledger_error)?;
        export.events = row.integer("events")?;
        export.held = row.integer("held")?;
        export.present = row.integer("present")?;
    }
    Ok(exports)
}

/// Exports with their steps, and nothing of their events, of which there may be a million.
async fn heads(
    connection: &mut SqliteConnection,
    only: Option<ExportId>,
    limit: u32,
) -> Result<Vec<Export>, LedgerError> {
    let rows = sqlx::query(sql!("exports"))
        .bind(only.map(|only| only.0))
        .bind(limit)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut exports: Vec<Export> = rows.iter().map(export).collect::<Result<_, LedgerError>>()?;
    let ids: Vec<i64> = exports.iter().map(|export| export.id.0).collect();
    let rows = sqlx::query(sql!("export_steps"))
        .bind(json!(ids).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    for row in &rows {
        let id = ExportId(row.integer("export_id")?);
        let noted = step(row)?;
        if let Some(export) = exports.iter_mut().find(|export| export.id == id) {
            export.steps.push(noted);
        }
    }
    Ok(exports)
}

fn step(row: &SqliteRow) -> Result<NotedStep, LedgerError> {
    let files = row.maybe_integer("files")?.zip(row.maybe_text("digest")?);
    let step = row.member("step", ExportStep::parse)?;
    let said = NewStep { step, files, why: row.text("why")?, who: row.text("who")? };
    Ok(NotedStep { said, at: row.time("noted_at")? })
}

fn export(row: &SqliteRow) -> Result<Export, LedgerError> {
    let text = row.text("asked")?;
    let asked: Value = serde_json::from_str(&text).map_err(|_| unreadable("asked", &text))?;
    let meters = asked["meters"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let meters: Result<_, LedgerError> = meters
        .map(|meter| ProviderMeter::new(meter).map_err(|_| unreadable("asked", &text)))
        .collect();
    let asked = NewExport {
        provider: row.name("provider", ProviderName::new)?,
        form: row.member("form", ExportForm::parse)?,
        meters: meters?,
        before: asked["before"].as_i64().map(Timestamp::from_micros),
        who: row.text("who")?,
    };
    let account =
        AccountPin { account: row.maybe_text("account")?, livemode: row.flag("livemode")? };
    Ok(Export {
        id: ExportId(row.integer("id")?),
        asked,
        account,
        made_at: row.time("made_at")?,
        steps: Vec::new(),
        events: 0,
        held: 0,
        present: 0,
        rolled_back: row.flag("rolled_back")?,
    })
}

fn candidate(row: &SqliteRow) -> Result<Candidate, LedgerError> {
    Ok(Candidate {
        event: EventId(row.integer("id")?),
        kind: row.member("kind", EventKind::parse)?,
        identifier: row.text("identifier")?,
        account: row.name("account", AccountName::new)?,
        meter: row.name("meter", ProviderMeter::new)?,
        pin: row.maybe_text("formula")?.map(|_| meter_pin(row, "pin_id")).transpose()?,
        quantity: row.quantity("quantity")?,
        occurred_at: row.time("occurred_at")?,
        deadline_at: row.time("deadline_at")?,
        billing: Billing::default(),
        tried: row.flag("tried")?,
        body: row.blob("body")?,
    })
}

/// Of an event that a file tells: the export, and whether a person said that it was uploaded.
pub(super) async fn export_of(
    connection: &mut SqliteConnection,
    event: i64,
) -> Result<Option<(ExportId, bool)>, LedgerError> {
    let row = sqlx::query(sql!("export_of_event"))
        .bind(event)
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)?;
    row.map(|row| Ok((ExportId(row.integer("export_id")?), row.flag("confirmed")?))).transpose()
}
