//! Reports of what was rejected after a yes. Here: the events that one names are held, and lanes in
//! which it leaves something unnamed are compared next. Never here: how a report is read. Read
//! next: [`super::moves`].

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::billing::count;
use super::moves::{Move, move_events};
use super::sql;
use crate::domain::billing::RejectionReport;
use crate::domain::event::EventId;
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp};
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};

/// How long before a provider looked at events, in microseconds, they may have been sent: an hour.
/// Stripe looks within seconds; its two published examples of a report span ten of them.
const BEFORE_VALIDATION_MICROS: i64 = MICROS_PER_HOUR;
/// How far the two clocks that such a span is compared by may differ, in microseconds.
const AFTER_VALIDATION_MICROS: i64 = MICROS_PER_MINUTE;

/// Holds the accepted events that a report names, and has lanes compared where it does not name
/// all. Answers how many are held.
pub(super) async fn reject(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    report: &RejectionReport,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    // A later attempt's key is the identifier and a number.
    let identifier = |name: &str| match name.rsplit_once('-') {
        Some((identifier, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            identifier.to_owned()
        }
        Some(_) | None => name.to_owned(),
    };
    let names: Vec<&str> = report.samples.iter().map(|each| each.name.as_str()).collect();
    let mut moves: BTreeMap<i64, Move> = BTreeMap::new();
    for wanted in [
        names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        names.iter().map(|name| identifier(name)).collect(),
    ] {
        let rows = sqlx::query(sql!("events_rejected"))
            .bind(provider.as_str())
            .bind(json!(wanted).to_string())
            .fetch_all(&mut *connection)
            .await
            .map_err(ledger_error)?;
        for row in &rows {
            let place = usize::try_from(row.integer("place")?).unwrap_or(usize::MAX);
            let Some(sample) = report.samples.get(place) else { continue };
            // Of one that was never said yes to, its own answer decides; and what a total was seen
            // to contain is there, whatever a report says.
            if row.member("state", EventState::parse)? == EventState::Accepted {
                let event = EventId(row.integer("id")?);
                let why = format!("the provider reports {}", sample.code);
                let detail = format!("{}: {}", sample.code, sample.message);
                let hold = Some((HoldReason::Disproved, detail));
                let held = Move::to(event, EventState::Held, false, &why);
                moves.insert(event.0, Move { hold, ..held });
            }
        }
    }
    if report.count > count(report.samples.len()) {
        let from = report.validated.start.plus_micros(-BEFORE_VALIDATION_MICROS);
        let to = report.validated.end.plus_micros(AFTER_VALIDATION_MICROS);
        sqlx::query(sql!("lanes_doubt"))
            .bind(provider.as_str())
            .bind(report.meter.as_ref().map(ProviderMeter::as_str))
            .bind(from.micros())
            .bind(to.micros())
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
    }
    let moves: Vec<Move> = moves.into_values().collect();
    move_events(connection, &moves, now).await?;
    Ok(count(moves.len()))
}
