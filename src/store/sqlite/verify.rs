//! Checking the whole ledger. Here: the storage's own check, and every promise that rows make about
//! each other, with sums in exact decimals. Never here: a repair. Read next:
//! `crate::ledger::operator`.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::running::chain;
use super::shares::{lines_of, shares};
use super::unique::levels;
use super::usage::check::check_usage;
use super::{SqliteLedger, sql};
use crate::domain::digest::Digest;
use crate::domain::fold::{self, Share};
use crate::domain::quantity::Quantity;
use crate::domain::state::EventState;
use crate::domain::time::Timestamp;
use crate::domain::unique::Member;
use crate::ledger::LedgerError;
use crate::ledger::verification::Verification;
use crate::store::codec::{Columns, ledger_error, properties_from_text, usage_record};

/// A balance as its bookings and events make it.
#[derive(Default)]
struct Fold {
    accrued: Quantity,
    digest: Digest,
    booked_to: i64,
    is_level: bool,
    is_gauge: bool,
    reads: bool,
    stands_at: Option<Timestamp>,
    told: Quantity,
    /// How many live events say usage, less those that take one away.
    says: i64,
    events: i64,
    /// Whether something was sent whose answer has posting look at it again.
    awaits_answer: bool,
    /// Whether something is on its way to be taken away, after which posting looks at it again.
    takes_away: bool,
    /// Whether a total of it may still land: the next one waits for what becomes of that.
    may_overwrite: bool,
}

impl SqliteLedger {
    pub(super) async fn verify_all(&self) -> Result<Verification, LedgerError> {
        // One snapshot for all of it: a daemon may be writing beside.
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let mut found = Verification::default();
        check_storage(&mut reader, &mut found).await?;
        check_records(&mut reader, &mut found).await?;
        let folds = check_bookings(&mut reader, &mut found).await?;
        let folds = fold_events(&mut reader, folds, &mut found).await?;
        let folds = fold_levels(&mut reader, folds, &mut found).await?;
        check_members(&mut reader, &mut found).await?;
        check_balances(&mut reader, folds, &mut found).await?;
        check_rows(&mut reader, &mut found).await?;
        check_usage(&mut reader, &mut found).await?;
        Ok(found)
    }
}

/// The storage engine's own checks: pages, indexes, constraints, references.
async fn check_storage(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let rows =
        sqlx::query(sql!("verify_storage")).fetch_all(&mut *reader).await.map_err(ledger_error)?;
    for row in &rows {
        let text: String = row.try_get(0).map_err(ledger_error)?;
        if text != "ok" {
            found.note(format!("storage: {text}"));
        }
    }
    let rows = sqlx::query(sql!("verify_references"))
        .fetch_all(&mut *reader)
        .await
        .map_err(ledger_error)?;
    for row in &rows {
        let table: String = row.try_get("table").map_err(ledger_error)?;
        found.note(format!("storage: a row of {table} names another that is not there"));
    }
    Ok(())
}

/// Where archived records stood, in their order.
async fn archived(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<Vec<i64>, LedgerError> {
    let mut rows = sqlx::query(sql!("verify_archived")).fetch(reader);
    let mut positions = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        positions.push(row.integer("position")?);
    }
    if !positions.is_empty() {
        let count = i64::try_from(positions.len()).unwrap_or(i64::MAX);
        found.checked.push(("archived records", count));
    }
    Ok(positions)
}

/// Every record is what its digests say, and stands in the journal without a gap but for those that
/// are archived.
async fn check_records(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let mut archived = archived(reader, found).await?.into_iter().peekable();
    let mut rows = sqlx::query(sql!("verify_records")).fetch(&mut *reader);
    let (mut count, mut next) = (0, 1);
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let position = row.integer("position")?;
        // What is archived is gone, or about to go.
        while let Some(gone) = archived.next_if(|gone| *gone <= position) {
            if gone < next || (gone > next && gone != position) {
                found.note(format!("journal: {gone} is archived where {next} should stand"));
            }
            next = if gone == position { gone } else { gone + 1 };
        }
        if position != next {
            found.note(format!("journal: {position} stands where {next} should"));
        }
        next = position + 1;
        let record = usage_record(&row)?;
        if record.identity() != row.digest("identity")? {
            found.note(format!("record {position}: its identity is not that of source and id"));
        }
        if record.content() != row.digest("content")? {
            found.note(format!("record {position}: its content is not what was booked"));
        }
    }
    if let Some(gone) = archived.next() {
        found.note(format!("journal: {gone} is archived, and past the newest record"));
    }
    found.checked.push(("records", count));
    Ok(())
}

/// What balances came to when bookings of theirs were archived last.
async fn sealed(reader: &mut SqliteConnection) -> Result<HashMap<i64, Fold>, LedgerError> {
    let rows = sqlx::query(sql!("verify_seals")).fetch_all(reader).await.map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            let fold = Fold {
                accrued: row.quantity("accrued")?,
                digest: row.digest("digest")?,
                booked_to: row.integer("booked_to")?,
                ..Fold::default()
            };
            Ok((row.integer("balance_id")?, fold))
        })
        .collect()
}

/// Folds the bookings of each balance, in their order, onto what it was sealed with.
async fn check_bookings(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<HashMap<i64, Fold>, LedgerError> {
    let mut folds = sealed(reader).await?;
    let mut rows = sqlx::query(sql!("verify_bookings")).fetch(&mut *reader);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let fold = folds.entry(row.integer("balance_id")?).or_default();
        if row.integer("id")? <= fold.booked_to {
            // It is archived, and about to go.
            continue;
        }
        let quantity = row.quantity("quantity")?;
        fold.accrued = &fold.accrued + &quantity;
        fold.digest =
            chain(&fold.digest, &row.blob("identity")?, &quantity, row.time("occurred_at")?);
        fold.booked_to = row.integer("id")?;
    }
    found.checked.push(("bookings", count));
    Ok(folds)
}

/// Folds the records of each balance that is no sum of its bookings.
async fn fold_levels(
    reader: &mut SqliteConnection,
    mut folds: HashMap<i64, Fold>,
    found: &mut Verification,
) -> Result<HashMap<i64, Fold>, LedgerError> {
    let rows =
        sqlx::query(sql!("verify_levels")).fetch_all(&mut *reader).await.map_err(ledger_error)?;
    for row in &rows {
        let balance = row.integer("id")?;
        let lines = lines_of(reader, balance).await?;
        let shares: Vec<Share> = shares(&lines).into_values().collect();
        let how = row.member("fold", fold::Fold::parse)?;
        let level = how.of(&shares);
        let fold = folds.entry(balance).or_default();
        fold.is_level = !how.adds_up();
        fold.reads = fold.is_level && level.is_some();
        (fold.is_gauge, fold.stands_at) = (how == fold::Fold::Gauge, how.stands_at(&shares));
        fold.accrued = level.unwrap_or_default();
        let kept = members_of(reader, balance).await?;
        if how == fold::Fold::Unique && kept != levels(&lines) {
            found.note(format!("balance {balance}: it does not know what its values come to"));
        }
    }
    Ok(folds)
}

/// What each value of a balance is kept to come to.
async fn members_of(
    reader: &mut SqliteConnection,
    balance: i64,
) -> Result<BTreeMap<Member, Quantity>, LedgerError> {
    let rows = sqlx::query(sql!("members_of"))
        .bind(balance)
        .fetch_all(reader)
        .await
        .map_err(ledger_error)?;
    rows.iter().map(|row| Ok((Member(row.digest("member")?), row.quantity("level")?))).collect()
}

/// Every line that is of a value is of the one that its record has in the property by which its
/// route counts.
async fn check_members(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let mut rows = sqlx::query(sql!("verify_members")).fetch(&mut *reader);
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        let property = row.maybe_text("property")?.unwrap_or_default();
        let properties = properties_from_text(&row.text("properties")?)?;
        if Member::of(&properties, &property) != Ok(Member(row.digest("member")?)) {
            let id = row.integer("id")?;
            found.note(format!("booking {id}: it is of another value than its record has"));
        }
    }
    Ok(())
}

/// Folds the events of each balance.
async fn fold_events(
    reader: &mut SqliteConnection,
    mut folds: HashMap<i64, Fold>,
    found: &mut Verification,
) -> Result<HashMap<i64, Fold>, LedgerError> {
    let mut rows = sqlx::query(sql!("verify_events")).fetch(&mut *reader);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let fold = folds.entry(row.integer("balance_id")?).or_default();
        fold.events += 1;
        let state = row.member("state", EventState::parse)?;
        if state.counts_as_told() {
            fold.told = &fold.told + &row.quantity("quantity")?;
            fold.says += if row.flag("cancels")? { -1 } else { 1 };
        }
        let leased = state.awaits_delivery() && row.integer("attempts")? > 0;
        fold.awaits_answer |= leased;
        let undecided = state.awaits_delivery() || state == EventState::Held;
        fold.takes_away |= undecided && row.flag("cancels")?;
        let may_land = leased || (state == EventState::Held && row.flag("ambiguous")?);
        fold.may_overwrite |= may_land && row.flag("is_total")?;
    }
    found.checked.push(("meter events", count));
    Ok(folds)
}

/// Conservation: what a balance says is the fold of what made it.
async fn check_balances(
    reader: &mut SqliteConnection,
    mut folds: HashMap<i64, Fold>,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let mut rows = sqlx::query(sql!("verify_balances")).fetch(&mut *reader);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(ledger_error)? {
        count += 1;
        let id = row.integer("id")?;
        let mut fold = folds.remove(&id).unwrap_or_default();
        let (accrued, told) = (row.quantity("accrued")?, row.quantity("told")?);
        if let Some(said) = row.maybe_quantity("said")? {
            (fold.told, fold.says) = (&fold.told + &said, fold.says + 1);
        }
        if accrued != fold.accrued {
            let made = &fold.accrued;
            found.note(format!("balance {id}: accrued {accrued}, but its bookings make {made}"));
        }
        if told != fold.told {
            let made = &fold.told;
            found.note(format!("balance {id}: told {told}, but its live events make {made}"));
        }
        if row.flag("reads")? != fold.reads {
            found.note(format!("balance {id}: it does not know whether a record counts in it"));
        }
        if row.maybe_time("stands_at")? != fold.stands_at {
            found.note(format!("balance {id}: it does not know which record counts in it"));
        }
        if row.digest("digest")? != fold.digest || row.integer("booked_to")? != fold.booked_to {
            found.note(format!("balance {id}: its digest is not that of its bookings"));
        }
        if row.integer("events")? != fold.events {
            found.note(format!("balance {id}: it does not count {} events", fold.events));
        }
        let idle = row.maybe_integer("due_at")?.is_none() && row.integer("held")? == 0;
        let rest = &accrued - &told;
        // What is to be taken back waits for the answer to what was sent, which has it looked at.
        let waits = fold.awaits_answer && (rest.is_negative() || fold.is_level);
        let idle = idle && !waits;
        // What should stay of an entry is told anew once that is gone.
        let idle = idle && !fold.takes_away && !fold.may_overwrite;
        // A gauge without a reading is told nothing, which its meter keeps.
        let unsaid = fold.reads && fold.says == 0;
        let unread = !fold.reads && fold.says > 0 && !fold.is_gauge;
        if idle && fold.is_level && (unsaid || unread) {
            found.note(format!("balance {id}: {accrued} is not said once, and nothing is due"));
        }
        // What is finer than its provider takes stays outstanding without being due: that much, as
        // posting had it, and no more.
        if idle && !rest.is_zero() && rest != row.quantity("finer")? {
            found.note(format!("balance {id}: {rest} is outstanding, and nothing is due or held"));
        }
    }
    drop(rows);
    for id in folds.keys() {
        found.note(format!("balance {id}: it has bookings or events, and is not there"));
    }
    found.checked.push(("balances", count));
    Ok(())
}

/// Promises of single rows, each a statement that finds what breaks it.
async fn check_rows(
    reader: &mut SqliteConnection,
    found: &mut Verification,
) -> Result<(), LedgerError> {
    let checks = [
        ("a record that accrual passed is neither booked nor parked", sql!("verify_passed")),
        ("a lane and the event in flight in it do not name each other", sql!("verify_lanes")),
        ("a lane does not know what waits in it", sql!("verify_waiting")),
        ("an event's last move is not its state", sql!("verify_moves")),
        ("an event does not count its attempts", sql!("verify_attempts")),
        ("an accepted event has no receipt that says so", sql!("verify_receipts")),
        ("a record that is archived is still there", sql!("verify_emptied")),
        ("a record that is named is neither there nor archived", sql!("verify_named")),
        ("an event made a move that the state machine does not have", sql!("verify_legal")),
    ];
    for (what, statement) in checks {
        let rows = sqlx::query(statement).fetch_all(&mut *reader).await.map_err(ledger_error)?;
        for row in rows {
            found.note(format!("{what}: {}", row.text("row")?));
        }
    }
    Ok(())
}
