//! Write-offs as lines of a balance. Here: the lines that a resolution adds for the records it is
//! about. Never here: how a quantity is shared out over them (`domain::write_off`). Read next:
//! [`super::running`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::running::{Line, Running, append_lines, newest_line};
use super::shares::lines_of;
use super::sql;
use crate::domain::balance::BalanceId;
use crate::domain::correction::Cause;
use crate::domain::event::EventKind;
use crate::domain::fold::{Fold, Share};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::resolution::ItemKind;
use crate::domain::state::EventState;
use crate::domain::time::Timestamp;
use crate::domain::unique::{Said, without};
use crate::domain::write_off::{PolicyWriteOff, Written, share, share_told};
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::store::codec::{Columns, ledger_error};

/// Which lines of a balance are meant, and the resolution that writes them off.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// They come after this one.
    pub(super) from: i64,
    /// The last of them.
    pub(super) to: i64,
    /// The resolution's number.
    pub(super) resolution: i64,
    /// Whether they are what an event told that still counts as told; else nothing told them.
    pub(super) told: bool,
    /// What becomes of a level, which is no sum of lines.
    pub(super) level: Level,
}

/// What a write-off makes of a balance whose newest or largest record counts, or which counts
/// distinct values.
#[derive(Clone, Debug)]
pub(super) enum Level {
    /// The records that are meant count no longer: nobody is told of them.
    Without,
    /// It is what the provider was told, with this much more or less, whatever it was.
    AsTold(Quantity),
    /// It stays.
    Stays,
}

/// A record of a balance.
struct Booked {
    identity: Vec<u8>,
    route: RouteVersionId,
    written: Written,
    /// What it stands for; and what it stood for before the lines that are meant, and with them.
    said: Said,
}

impl Booked {
    /// One of which nothing is said yet.
    fn new(identity: Vec<u8>, route: RouteVersionId, share: Share) -> Self {
        let (before, after) = (Quantity::zero(), Quantity::zero());
        Self { identity, route, written: Written::default(), said: Said { share, before, after } }
    }
}

/// Adds lines to a balance that sum to `amount`, which is below zero when usage is written off; of
/// what was told, to as much of it as is still there. Answers over how many records.
pub(super) async fn write_off(
    connection: &mut SqliteConnection,
    balance: i64,
    amount: &Quantity,
    meant: Meant,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let mut running = Running::read(connection, balance).await?;
    if running.fold == Fold::Sum && amount.is_zero() {
        return Ok(0);
    }
    let written_off = (Cause::WriteOff, meant.resolution);
    let mut records = records(connection, balance, &meant).await?;
    if records.is_empty() && running.fold == Fold::Gauge {
        records.extend(said_record(connection, balance).await?);
    }
    let lines = match running.fold {
        Fold::Sum => {
            let written: Vec<Written> =
                records.values().map(|record| record.written.clone()).collect();
            let outstanding = &running.accrued - &running.told;
            let lines = match meant.told {
                true => share_told(amount, &outstanding, &written),
                false => share(amount, &written),
            };
            let says_something = |line: Quantity| (!line.is_zero()).then_some((line, written_off));
            lines.into_iter().map(says_something).collect()
        }
        Fold::Last | Fold::Gauge | Fold::Max | Fold::Unique => {
            let lines =
                level_lines(connection, &running, &records, (&meant.level, amount), written_off)
                    .await?;
            // What it is now may be another thing to tell, or nothing any more.
            if lines.iter().any(Option::is_some) {
                running.due_at = Some(now);
            }
            lines
        }
    };
    let mut number = newest_line(connection).await?;
    let mut rows = Vec::new();
    for ((position, record), line) in records.iter().zip(lines) {
        let Some((quantity, cause)) = line else { continue };
        number += 1;
        let line = Line {
            position: Position(*position),
            identity: &record.identity,
            occurred_at: record.said.share.occurred_at,
            route: record.route,
            quantity: &quantity,
            member: record.said.share.member,
            cause,
        };
        rows.push(running.add(number, &line));
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if rows.is_empty() && running.fold == Fold::Sum {
        if meant.told {
            return Ok(0);
        }
        let why = format!("balance {balance} has nothing to be written off from");
        return Err(LedgerError::Contradiction(why));
    }
    append_lines(connection, rows, std::iter::once(&mut running), now).await?;
    Ok(count)
}

/// Writes off what no event of a balance covers, as a policy wants it: a resolution as a person's
/// would be, in the policy's name. `lines` are the last that an event
/// covers, and the last of all.
pub(super) async fn write_off_by_policy(
    connection: &mut SqliteConnection,
    balance: BalanceId,
    off: &PolicyWriteOff,
    lines: (i64, i64),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let resolution = sqlx::query(sql!("resolution_insert"))
        .bind(ItemKind::Balance.as_str())
        .bind(balance.0)
        .bind(off.ground.verdict().as_str())
        .bind(off.amount.to_string())
        .bind(off.ground.why())
        .bind(off.ground.who())
        .bind(now.micros())
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("id")?;
    let level = Level::AsTold(Quantity::zero());
    let meant = Meant { from: lines.0, to: lines.1, resolution, told: false, level };
    write_off(connection, balance.0, &-&off.amount, meant, now).await?;
    Ok(())
}

/// What is added to a record, and why.
type Added = (Quantity, (Cause, i64));

/// The lines that write a level off, one for each record; nothing where it needs none.
async fn level_lines(
    connection: &mut SqliteConnection,
    running: &Running,
    records: &BTreeMap<i64, Booked>,
    (level, amount): (&Level, &Quantity),
    written_off: (Cause, i64),
) -> Result<Vec<Option<Added>>, LedgerError> {
    let shares: Vec<Share> = records.values().map(|record| record.said.share.clone()).collect();
    if running.fold == Fold::Unique {
        let lines = match level {
            Level::Stays => Vec::new(),
            Level::Without => {
                let said: Vec<Said> = records.values().map(|record| record.said.clone()).collect();
                without(&said, amount, &(&running.accrued - &running.told))
            }
            Level::AsTold(more) => running.fold.bring(&shares, &(&running.told + more)),
        };
        let says_something = |line: Quantity| (!line.is_zero()).then_some((line, written_off));
        return Ok(lines.into_iter().map(says_something).collect());
    }
    match level {
        Level::Stays => Ok(shares.iter().map(|_| None).collect()),
        Level::Without => Ok(records
            .values()
            .map(|record| {
                let share = &record.said.share;
                let goes = record.written.covered && share.counts();
                goes.then(|| (-&share.quantity, written_off))
            })
            .collect()),
        Level::AsTold(more) => {
            let told = &running.told + more;
            // A reading of nothing stays where that is what the provider was told.
            let standing = match told.is_zero() {
                true => standing_usage(connection, running.id).await?,
                false => None,
            };
            let none = told.is_zero() && standing.is_none();
            let mut lines: Vec<Option<Added>> = running
                .fold
                .bring(&shares, &told)
                .into_iter()
                .zip(&shares)
                .map(|(line, share)| {
                    let says_something = !line.is_zero() || (none && share.counts());
                    says_something.then_some((line, written_off))
                })
                .collect();
            let reads = |(share, line): (&Share, &Option<Added>)| line.is_none() && share.counts();
            let any = !told.is_zero() || shares.iter().zip(&lines).any(reads);
            if let (false, Some(event), Some(last)) = (any, standing, lines.last_mut()) {
                // No record says it any longer, and the provider has it for good.
                let quantity = last.take().map(|(quantity, _)| quantity).unwrap_or_default();
                *last = Some((quantity, (Cause::Presence, event)));
            }
            Ok(lines)
        }
    }
}

/// The newest event of usage of a balance that lives and is not on its way out.
async fn standing_usage(
    connection: &mut SqliteConnection,
    balance: i64,
) -> Result<Option<i64>, LedgerError> {
    let rows = sqlx::query(sql!("events_told"))
        .bind(json!([balance]).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let (mut says, mut taken_away) = (BTreeSet::new(), BTreeSet::new());
    for row in &rows {
        // What is to take one away and is held has not done so.
        let is_held = row.member("state", EventState::parse)? == EventState::Held;
        match row.member("kind", EventKind::parse)? {
            EventKind::Usage => drop(says.insert(row.integer("id")?)),
            EventKind::Cancel if is_held => {}
            EventKind::Cancel => taken_away.extend(row.maybe_integer("target_id")?),
        }
    }
    Ok(says.difference(&taken_away).max().copied())
}

/// The record of a gauge that has none, whose event says it: what was told of it is said of that.
async fn said_record(
    connection: &mut SqliteConnection,
    balance: i64,
) -> Result<Option<(i64, Booked)>, LedgerError> {
    let row = sqlx::query(sql!("gauge_said_record"))
        .bind(balance)
        .fetch_optional(connection)
        .await
        .map_err(ledger_error)?;
    row.map(|row| {
        let position = row.integer("record_position")?;
        let route = RouteVersionId(row.integer("route_version_id")?);
        let share = Share::new(row.time("occurred_at")?, Position(position));
        Ok((position, Booked::new(row.blob("identity")?, route, share)))
    })
    .transpose()
}

/// The records of a balance by their positions, with what each stands for in it.
async fn records(
    connection: &mut SqliteConnection,
    balance: i64,
    meant: &Meant,
) -> Result<BTreeMap<i64, Booked>, LedgerError> {
    let lines = lines_of(connection, balance).await?;
    let mut records: BTreeMap<i64, Booked> = BTreeMap::new();
    for line in lines {
        let share = || Share::new(line.occurred_at, Position(line.position));
        let record = records
            .entry(line.position)
            .or_insert_with(|| Booked::new(line.identity, line.route, share()));
        let said = &mut record.said;
        said.share.add(&line.quantity, line.touch);
        (said.share.member, record.route) = (line.member, line.route);
        if line.id <= meant.from {
            said.before = said.share.quantity.clone();
        }
        if line.id <= meant.to {
            said.after = said.share.quantity.clone();
        }
        record.written.whole = said.share.quantity.clone();
        let is_meant = meant.from < line.id && line.id <= meant.to;
        // What was written off before, or came back, was not told by what is decided now.
        if !line.touch.cause.is_usage() {
            continue;
        }
        let Written { before, meant: of_meant, usage, covered, .. } = &mut record.written;
        *usage = &*usage + &line.quantity;
        if line.id <= meant.from {
            *before = &*before + &line.quantity;
        }
        if is_meant {
            *of_meant = &*of_meant + &line.quantity;
            *covered = true;
        }
    }
    Ok(records)
}
