//! Posting's verbs: balances that are due, and the plans applied to them. Here: their statements,
//! and the one place that changes what a balance was told. Never here: the plan. Read next:
//! [`super::delivery`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::gauges::read_told;
use super::moves::{Move, move_events, ring_held};
use super::transfer::{carry, part, still_told};
use super::written_off::write_off_by_policy;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance::{Balance, BalanceId, BalanceKey};
use crate::domain::event::{EventId, EventKind, Identifier, LedgerId};
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::period::Billing;
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::posting::{
    DueBalance, Needed, Posted, PostedEvent, Posting, PostingLedger, Restored, Spanning, StillTold,
};
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl PostingLedger for SqliteLedger {
    fn ledger_id(&self) -> &LedgerId {
        &self.id
    }

    async fn restored(&self) -> Result<Option<Restored>, LedgerError> {
        self.restoration().await
    }

    async fn due_balances(
        &self,
        provider: &ProviderName,
        needed: Needed,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueBalance>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let rows = sqlx::query(sql!("balances_due"))
            .bind(provider.as_str())
            .bind(now.micros())
            .bind(limit)
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut due: Vec<DueBalance> = rows
            .iter()
            .map(|row| {
                Ok(DueBalance {
                    balance: balance(row)?,
                    due_at: row.time("due_at")?,
                    events: Vec::new(),
                    billing: Billing {
                        next: next_period(row)?,
                        starts_at: row.maybe_time("starts_at")?,
                        ..billing(row)?
                    },
                    spans_bound: row.flag("spans_bound")?,
                    seconds_taken: BTreeSet::new(),
                    still_told: StillTold::No,
                    told_at: None,
                    said: None,
                    confirmed: row.maybe_quantity("confirmed")?,
                })
            })
            .collect::<Result<_, LedgerError>>()?;
        let ids: Vec<i64> = due.iter().map(|each| each.balance.id.0).collect();
        let events = match needed {
            Needed::Living => sql!("events_told"),
            Needed::Open => sql!("events_open"),
        };
        let rows = sqlx::query(events)
            .bind(json!(ids).to_string())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut events: HashMap<i64, Vec<PostedEvent>> = HashMap::new();
        for row in rows {
            events.entry(row.integer("balance_id")?).or_default().push(posted_event(&row)?);
        }
        let rows = sqlx::query(sql!("seconds_taken"))
            .bind(json!(ids).to_string())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut taken: HashMap<i64, BTreeSet<i64>> = HashMap::new();
        for row in rows {
            taken.entry(row.integer("balance_id")?).or_default().insert(row.integer("second")?);
        }
        let still_told = still_told(&mut reader, &ids).await?;
        for each in &mut due {
            each.still_told = still_told.get(&each.balance.id.0).copied().unwrap_or_default();
            each.events = events.remove(&each.balance.id.0).unwrap_or_default();
            each.seconds_taken = taken.remove(&each.balance.id.0).unwrap_or_default();
        }
        read_told(&mut reader, &mut due).await?;
        Ok(due)
    }

    async fn entries_of(
        &self,
        provider: &ProviderName,
        accounts: &BTreeSet<AccountName>,
    ) -> Result<BTreeMap<AccountName, usize>, LedgerError> {
        let names: Vec<&str> = accounts.iter().map(AccountName::as_str).collect();
        let rows = sqlx::query(sql!("entries_of_accounts"))
            .bind(provider.as_str())
            .bind(json!(names).to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let entry = |row: &SqliteRow| {
            let entries = usize::try_from(row.integer("entries")?).unwrap_or(usize::MAX);
            Ok((row.name("account", AccountName::new)?, entries))
        };
        rows.iter().map(entry).collect()
    }

    async fn next_due_at(&self, provider: &ProviderName) -> Result<Option<Timestamp>, LedgerError> {
        sqlx::query(sql!("balance_next_due"))
            .bind(provider.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?
            .maybe_time("due_at")
    }

    async fn ring_held(&self, provider: &ProviderName, now: Timestamp) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        ring_held(&mut transaction, provider, now).await?;
        commit(transaction).await
    }

    async fn part_at_bounds(
        &self,
        balances: &[Spanning],
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let mut parted = 0;
        for spanning in balances {
            parted += u64::from(part(&mut transaction, *spanning, now).await?);
        }
        commit(transaction).await?;
        Ok(parted)
    }

    async fn post(&self, postings: Vec<Posting>, now: Timestamp) -> Result<Posted, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let mut present = present_balances(&mut transaction, &postings).await?;
        let voidable = voidable(&mut transaction, &postings).await?;
        // A plan is whole or not at all: one whose balance changed, or whose event was leased since
        // it was read, stays due and is made again.
        let (current, stale): (Vec<&Posting>, Vec<&Posting>) =
            postings.iter().partition(|posting| {
                let unchanged = |now: &Present| now.version == posting.version;
                present.get(&posting.balance.0).is_some_and(unchanged)
                    && posting.voided.iter().all(|id| voidable.contains(&id.0))
            });
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let mut posted = Posted { skipped: count(stale.len()), ..Posted::default() };
        let moves = withdrawals(&current);
        if !moves.is_empty() {
            move_events(&mut transaction, &moves, now).await?;
            present = present_balances(&mut transaction, &postings).await?;
        }
        posted.voided = count(moves.len());
        posted.events = insert_events(&mut transaction, &current, &present, now).await?;
        // What is carried below rings the balance that it comes to, which may be of this batch too.
        tell(&mut transaction, &current, &present).await?;
        let uncarried = leave_behind(&mut transaction, &current, &present, now).await?;
        posted.held = hold(&mut transaction, &current, &uncarried, now).await?;
        commit(transaction).await?;
        Ok(posted)
    }
}

/// How the usage of a row is billed, as far as its own period and those beside it say.
pub(super) fn billing(row: &SqliteRow) -> Result<Billing, LedgerError> {
    Ok(Billing {
        ends_at: row.maybe_time("ends_at")?,
        closes_at: row.maybe_time("closes_at")?,
        closed_at: row.maybe_time("closed_at")?,
        billed_from: row.maybe_time("billed_from")?,
        billed_until: row.maybe_time("billed_until")?,
        known_until: row.maybe_time("known_until")?,
        known_from: row.maybe_time("known_from")?,
        idle_since: row.maybe_time("idle_since")?,
        ..Billing::default()
    })
}

/// The period that late usage of a row can be carried into.
fn next_period(row: &SqliteRow) -> Result<Option<Window>, LedgerError> {
    let (start, end) = (row.maybe_time("next_start")?, row.maybe_time("next_end")?);
    Ok(start.zip(end).map(|(start, end)| Window { start, end }))
}

fn posted_event(row: &SqliteRow) -> Result<PostedEvent, LedgerError> {
    Ok(PostedEvent {
        id: EventId(row.integer("id")?),
        state: row.member("state", EventState::parse)?,
        kind: row.member("kind", EventKind::parse)?,
        identifier: Identifier::stored(&row.text("identifier")?),
        quantity: row.quantity("quantity")?,
        total: row.maybe_quantity("total")?,
        occurred_at: row.time("occurred_at")?,
        target: row.maybe_integer("target_id")?.map(EventId),
        leased: row.integer("attempts")? > 0,
        may_exist: row.flag("ambiguous")?,
        first_attempt_at: row.maybe_time("first_attempt_at")?,
        cancel_spent: row.flag("cancel_spent")?,
        covers_from: row.integer("covers_from")?,
    })
}

pub(super) fn balance_key(row: &SqliteRow) -> Result<BalanceKey, LedgerError> {
    let record = row.integer("record_position")?;
    Ok(BalanceKey {
        provider: row.name("provider", ProviderName::new)?,
        account: row.name("account", AccountName::new)?,
        meter: row.name("meter", ProviderMeter::new)?,
        dimensions: row.text("dimensions")?,
        window: Window { start: row.time("window_start")?, end: row.time("window_end")? },
        record: (record != 0).then_some(Position(record)),
    })
}

fn balance(row: &SqliteRow) -> Result<Balance, LedgerError> {
    Ok(Balance {
        id: BalanceId(row.integer("id")?),
        key: balance_key(row)?,
        accrued: row.quantity("accrued")?,
        told: row.quantity("told")?,
        digest: row.digest("digest")?,
        newest_at: row.time("newest_at")?,
        booked_to: row.integer("booked_to")?,
        told_to: row.integer("told_to")?,
        events: row.integer("events")?,
        fold: row.member("fold", Fold::parse)?,
        reads: row.flag("reads")?,
        stands_at: row.maybe_time("stands_at")?,
        version: row.integer("version")?,
    })
}

/// What a posting needs of its balance as it stands in this transaction.
struct Present {
    version: i64,
    told: Quantity,
    told_to: i64,
    booked_to: i64,
}

async fn present_balances(
    connection: &mut SqliteConnection,
    postings: &[Posting],
) -> Result<BTreeMap<i64, Present>, LedgerError> {
    let ids: Vec<i64> = postings.iter().map(|posting| posting.balance.0).collect();
    let rows = sqlx::query(sql!("balances_present"))
        .bind(json!(ids).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            let present = Present {
                version: row.integer("version")?,
                told: row.quantity("told")?,
                told_to: row.integer("told_to")?,
                booked_to: row.integer("booked_to")?,
            };
            Ok((row.integer("id")?, present))
        })
        .collect()
}

/// Of the events that plans withdraw, those that were still never leased.
async fn voidable(
    connection: &mut SqliteConnection,
    postings: &[Posting],
) -> Result<BTreeSet<i64>, LedgerError> {
    let ids: Vec<i64> =
        postings.iter().flat_map(|posting| posting.voided.iter().map(|id| id.0)).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = sqlx::query(sql!("events_voidable"))
        .bind(json!(ids).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter().map(|row| row.integer("id")).collect()
}

/// The moves of the events that plans take back without telling the provider anything.
fn withdrawals(postings: &[&Posting]) -> Vec<Move> {
    let moved = |id: &EventId, to, why| Move::to(*id, to, false, why);
    postings
        .iter()
        .flat_map(|posting| {
            let voided = posting
                .voided
                .iter()
                .map(move |id| moved(id, EventState::Void, "withdrawn before it was sent"));
            let superseded = posting.superseded.iter().map(move |id| {
                moved(id, EventState::Superseded, "refused, and its quantity is told otherwise")
            });
            voided.chain(superseded)
        })
        .collect()
}

async fn insert_events(
    connection: &mut SqliteConnection,
    postings: &[&Posting],
    present: &BTreeMap<i64, Present>,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let rows: Vec<Value> = postings
        .iter()
        .flat_map(|posting| posting.events.iter().map(move |event| (posting, event)))
        .map(|(posting, event)| {
            let balance = &present[&posting.balance.0];
            json!([
                event.intent.balance.0,
                event.intent.ordinal,
                event.covers_from.unwrap_or(balance.told_to),
                balance.booked_to,
                event.intent.identifier.as_str(),
                event.intent.quantity.to_string(),
                event.intent.occurred_at.micros(),
                hex::encode(&event.body),
                event.deadline_at.micros(),
                event.not_before.micros(),
                event.intent.says.kind().as_str(),
                event.target.map(|target| target.0),
                event.born_held.as_ref().map(|(reason, _)| reason.as_str()),
                event.born_held.as_ref().map(|(_, detail)| detail.as_str()),
                event.second,
                event.intent.total.as_ref().map(Quantity::to_string),
            ])
        })
        .collect();
    if rows.is_empty() {
        return Ok(0);
    }
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let rows = Value::from(rows).to_string();
    sqlx::query(sql!("lanes_make"))
        .bind(&rows)
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let inserted = sqlx::query(sql!("events_insert"))
        .bind(&rows)
        .bind(now.micros())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let lanes: Vec<i64> =
        inserted.iter().map(|row| row.integer("lane_id")).collect::<Result<_, _>>()?;
    refresh_lanes(connection, &lanes).await?;
    Ok(count)
}

/// Keeps of each balance what it was told now, and when posting looks at it next.
async fn tell(
    connection: &mut SqliteConnection,
    postings: &[&Posting],
    present: &BTreeMap<i64, Present>,
) -> Result<(), LedgerError> {
    let told: Vec<Value> = postings
        .iter()
        .map(|posting| {
            let before = &present[&posting.balance.0];
            let said: Quantity = posting.events.iter().map(|event| &event.intent.quantity).sum();
            let told = &before.told + &said;
            let told_to = if posting.events.is_empty() { before.told_to } else { before.booked_to };
            let uncovered = posting.events.iter().filter_map(|event| event.uncovers).min();
            let told_to = uncovered.map_or(told_to, |from| told_to.min(from));
            json!([
                posting.balance.0,
                told.to_string(),
                told_to,
                posting.events.len(),
                posting.due_at.map(Timestamp::micros),
                posting.finer.to_string(),
            ])
        })
        .collect();
    sqlx::query(sql!("balances_tell"))
        .bind(Value::from(told).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// Carries into an open period, or writes off, what no event covers. Answers for which balances
/// that cannot be told from what events do cover.
async fn leave_behind(
    connection: &mut SqliteConnection,
    postings: &[&Posting],
    present: &BTreeMap<i64, Present>,
    now: Timestamp,
) -> Result<BTreeSet<i64>, LedgerError> {
    let mut uncarried = BTreeSet::new();
    for posting in postings {
        let before = &present[&posting.balance.0];
        if let Some(late) = &posting.carry
            && !carry(connection, posting.balance, before.told_to, late, now).await?
        {
            uncarried.insert(posting.balance.0);
        }
        if let Some(off) = &posting.write_off {
            let lines = (before.told_to, before.booked_to);
            write_off_by_policy(connection, posting.balance, off, lines, now).await?;
        }
    }
    Ok(uncarried)
}

async fn hold(
    connection: &mut SqliteConnection,
    postings: &[&Posting],
    uncarried: &BTreeSet<i64>,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let late = (
        HoldReason::LateForPeriod,
        "what is outstanding cannot be told from what events cover, and is not carried".to_owned(),
    );
    let all: Vec<i64> = postings.iter().map(|posting| posting.balance.0).collect();
    let held: Vec<Value> = postings
        .iter()
        .filter_map(|posting| {
            let is_late = uncarried.contains(&posting.balance.0);
            let (reason, detail) = posting.hold.as_ref().or(is_late.then_some(&late))?;
            Some(json!([posting.balance.0, reason.as_str(), detail]))
        })
        .collect();
    let count = u64::try_from(held.len()).unwrap_or(u64::MAX);
    let held = Value::from(held).to_string();
    sqlx::query(sql!("balance_holds_end"))
        .bind(json!(all).to_string())
        .bind(&held)
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    sqlx::query(sql!("balance_holds_make"))
        .bind(&held)
        .bind(now.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(count)
}

/// Derives again, for each of `lanes`, what waits in it.
pub(super) async fn refresh_lanes(
    connection: &mut SqliteConnection,
    lanes: &[i64],
) -> Result<(), LedgerError> {
    if lanes.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("lanes_refresh"))
        .bind(json!(lanes).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}
