//! The verbs of the alarm of silence. Here: cadences, and when nobody listened. Never here: what a
//! cadence is made of ([`crate::domain::silence`]). Read next: [`super::accrual`], which learns.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteLedger, begin, commit, sql};
use crate::domain::names::SourceName;
use crate::domain::silence::{
    Absences, Cadence, Heard, Hearing, REMEMBERED_DAYS, Speaker, SpeakerKind, Voice, absence,
};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::silence::{SilenceLedger, Told};
use crate::store::codec::{Columns, ledger_error, unreadable};

#[async_trait]
impl SilenceLedger for SqliteLedger {
    async fn listen(&self, now: Timestamp) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let noted_at = noted_at(&mut transaction).await?;
        if let Some(away) = noted_at.and_then(|before| absence(before, now)) {
            sqlx::query(sql!("absence_keep"))
                .bind(away.start.micros())
                .bind(away.end.micros())
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
            // Whoever was heard before is forgotten too: no gap that is kept reaches back there.
            let kept = REMEMBERED_DAYS.saturating_mul(MICROS_PER_DAY);
            sqlx::query(sql!("absences_forget"))
                .bind(now.plus_micros(-kept).micros())
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
        }
        sqlx::query(sql!("attention_note"))
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }

    async fn heard(&self) -> Result<Heard, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let voices = rows(&mut reader, sql!("cadences_all")).await?;
        let unread = rows(&mut reader, sql!("unread_from")).await?;
        Ok(Heard {
            listened_at: noted_at(&mut reader).await?,
            unread_from: unread.first().map(|row| row.time("recorded_at")).transpose()?,
            absences: absences(&mut reader).await?,
            voices: voices.iter().map(voice).collect::<Result<_, _>>()?,
        })
    }

    async fn keep_told(&self, told: &Told, now: Timestamp) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let begun = told.begun.iter().map(|each| json!([each.kind.as_str(), each.name, 1]));
        let ended = told.ended.iter().map(|each| json!([each.kind.as_str(), each.name, 0]));
        sqlx::query(sql!("cadences_told"))
            .bind(begun.chain(ended).collect::<Value>().to_string())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        sqlx::query(sql!("cadences_forget"))
            .bind(told.forgotten.iter().map(place).collect::<Value>().to_string())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }
}

/// Learns what `hearings` tell of cadences, within a transaction. Of a kind of which enough are
/// known, nobody is added.
pub(super) async fn learn(
    connection: &mut SqliteConnection,
    hearings: &[Hearing],
) -> Result<(), LedgerError> {
    if hearings.is_empty() {
        return Ok(());
    }
    let places: Value = hearings.iter().map(|each| place(&each.speaker)).collect();
    let known = sqlx::query(sql!("cadences_of"))
        .bind(places.to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let known: Vec<Voice> = known.iter().map(voice).collect::<Result<_, _>>()?;
    let mut known: HashMap<Speaker, Cadence> =
        known.into_iter().map(|each| (each.speaker, each.cadence)).collect();
    let mut room = match known.len() == hearings.len() {
        true => HashMap::new(),
        false => room(connection).await?,
    };
    let absences = absences(connection).await?;
    let mut kept: Vec<Value> = Vec::new();
    for Hearing { speaker, source, arrivals } in hearings {
        let Some((first, later)) = arrivals.split_first() else { continue };
        let begun = Cadence::begun(source.clone(), *first);
        let (mut cadence, mut changed) = match known.remove(speaker) {
            Some(mut cadence) => {
                let changed = cadence.hear(*first, source, &absences);
                (cadence, changed)
            }
            None if take_place(&mut room, speaker.kind) => (begun, true),
            None => continue,
        };
        for at in later {
            changed |= cadence.hear(*at, source, &absences);
        }
        if changed {
            kept.push(row_of(speaker, &cadence));
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("cadences_keep"))
        .bind(Value::from(kept).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// How many more of each kind are listened for.
async fn room(
    connection: &mut SqliteConnection,
) -> Result<HashMap<SpeakerKind, usize>, LedgerError> {
    let mut room: HashMap<SpeakerKind, usize> =
        SpeakerKind::ALL.iter().map(|kind| (*kind, kind.most())).collect();
    for row in rows(connection, sql!("cadences_counted")).await? {
        let taken = usize::try_from(row.integer("count")?).unwrap_or(usize::MAX);
        if let Some(left) = room.get_mut(&row.member("kind", SpeakerKind::parse)?) {
            *left = left.saturating_sub(taken);
        }
    }
    Ok(room)
}

fn take_place(room: &mut HashMap<SpeakerKind, usize>, kind: SpeakerKind) -> bool {
    match room.get_mut(&kind) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        Some(_) | None => false,
    }
}

fn place(speaker: &Speaker) -> Value {
    json!([speaker.kind.as_str(), speaker.name])
}

fn row_of(speaker: &Speaker, cadence: &Cadence) -> Value {
    json!([
        speaker.kind.as_str(),
        speaker.name,
        cadence.source.as_str(),
        cadence.heard_at.micros(),
        json!(cadence.gaps).to_string(),
    ])
}

fn voice(row: &SqliteRow) -> Result<Voice, LedgerError> {
    let (gaps, name) = (row.text("gaps")?, row.text("name")?);
    let kind = row.member("kind", SpeakerKind::parse)?;
    Ok(Voice {
        speaker: Speaker { kind, name: name.into() },
        cadence: Cadence {
            source: row.name("source", SourceName::new)?,
            heard_at: row.time("heard_at")?,
            gaps: serde_json::from_str(&gaps).map_err(|_| unreadable("gaps", &gaps))?,
        },
        told_at: row.maybe_time("told_at")?,
    })
}

async fn noted_at(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, LedgerError> {
    let noted = rows(connection, sql!("attention_noted")).await?;
    noted.first().map(|row| row.time("noted_at")).transpose()
}

async fn absences(connection: &mut SqliteConnection) -> Result<Absences, LedgerError> {
    let spans = rows(connection, sql!("absences")).await?;
    let span =
        |row: &SqliteRow| Ok(Window { start: row.time("start_at")?, end: row.time("end_at")? });
    Ok(Absences(spans.iter().map(span).collect::<Result<_, LedgerError>>()?))
}

async fn rows(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<Vec<SqliteRow>, LedgerError> {
    sqlx::query(statement).fetch_all(connection).await.map_err(ledger_error)
}
