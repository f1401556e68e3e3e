//! A person's verdict. Here: the one transaction that checks what was seen, makes the moves and the
//! lines, and keeps the decision; a dry run does the same and takes it back. Never here: what a
//! verdict makes of an event (`domain::resolution`). Read next: [`super::written_off`].

use serde_json::json;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::conflicts::decide_conflict;
use super::cutover::cutover_of;
use super::export::export_of;
use super::holds::{held_balance, held_event, held_item};
use super::moves::{Move, move_events, ring_balances};
use super::written_off::{Level, Meant, write_off};
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::cutover::{Side, side};
use crate::domain::event::{EventId, EventKind};
use crate::domain::export::ExportId;
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::provider_facts::ClockReading;
use crate::domain::quantity::Quantity;
use crate::domain::resolution::{HeldEvent, ItemKind, Token, Verdict, judge_event};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::holds::{BalanceChange, Changed, Decision, Moved, Resolution, Resolved};
use crate::ledger::operator::HeldItem;
use crate::store::codec::{Columns, ledger_error};

/// What a step comes to: a value, or a sentence that says why it is refused.
pub(super) type Judged<T> = Result<Result<T, String>, LedgerError>;

impl SqliteLedger {
    pub(super) async fn decide(
        &self,
        resolution: &Resolution,
        now: Timestamp,
    ) -> Result<Decision, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let judged = match resolution.item.kind {
            ItemKind::Event => decide_event(&mut transaction, resolution, now).await?,
            ItemKind::Balance => decide_balance(&mut transaction, resolution, now).await?,
            ItemKind::Conflict => decide_conflict(&mut transaction, resolution, now).await?,
        };
        let mut resolved = match judged {
            Ok(resolved) => resolved,
            Err(why) => return Ok(Decision::Refused(why)),
        };
        if resolution.dry_run {
            resolved.id = None;
            transaction.rollback().await.map_err(ledger_error)?;
        } else {
            commit(transaction).await?;
        }
        Ok(Decision::Done(Box::new(resolved)))
    }
}

/// Why a verdict over something that was not seen as it is cannot be taken.
pub(super) async fn unseen(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    present: Option<&Token>,
) -> Result<Option<String>, LedgerError> {
    let name = resolution.item;
    match present {
        Some(token) if *token == resolution.expect => Ok(None),
        Some(token) => Ok(Some(format!(
            "{name} changed since it was seen: its token is {token} now, not {}; look at it again \
             (tallyd held show {name})",
            resolution.expect
        ))),
        None => {
            let row = sqlx::query(sql!("resolution_newest"))
                .bind(name.kind.as_str())
                .bind(name.number)
                .fetch_optional(connection)
                .await
                .map_err(ledger_error)?;
            let Some(row) = row else { return Ok(Some(format!("{name} is not held"))) };
            let verdict = row.member("verdict", Verdict::parse)?;
            let (who, at) = (row.text("who")?, row.time("resolved_at")?);
            let said = verdict.typed();
            Ok(Some(format!("{name} is not held any longer: {who} said {said} at {at}")))
        }
    }
}

/// Keeps a verdict over `quantity`; answers its number.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    quantity: &Quantity,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    sqlx::query(sql!("resolution_insert"))
        .bind(resolution.item.kind.as_str())
        .bind(resolution.item.number)
        .bind(resolution.verdict.as_str())
        .bind(quantity.to_string())
        .bind(&resolution.why)
        .bind(&resolution.who)
        .bind(now.micros())
        .fetch_one(connection)
        .await
        .map_err(ledger_error)?
        .integer("id")
}

async fn decide_event(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    now: Timestamp,
) -> Judged<Resolved> {
    let number = resolution.item.number;
    let Some(row) = held_event(connection, number).await? else {
        return Ok(Err(format!("there is no {}", resolution.item)));
    };
    let is_held = row.member("state", EventState::parse)? == EventState::Held;
    let item = if is_held { Some(held_item(&row)?) } else { None };
    let token = item.as_ref().map(|item| &item.token);
    if let Some(why) = unseen(connection, resolution, token).await? {
        return Ok(Err(why));
    }
    let kin = kin(connection, number).await?;
    let seen = HeldEvent {
        may_exist: row.flag("ambiguous")?,
        cancelled: kin.iter().any(|each| each.is_cancel),
        told_before: was_told_before(connection, &row).await?,
        file: file_of(connection, &row).await?,
        deadline_at: row.time("deadline_at")?,
        provider_now: provider_now(&row, now)?,
    };
    let fate = match judge_event(resolution.verdict, seen) {
        Ok(fate) => fate,
        Err(why) => return Ok(Err(why)),
    };
    let quantity = row.quantity("quantity")?;
    let balance = row.integer("balance_id")?;
    let id = keep(connection, resolution, &quantity, now).await?;
    let before = Sums::read(connection, balance).await?;
    let mut records = 0;
    if fate.written_off {
        // What is told no longer is written off, so that nothing of it is outstanding. A cancel
        // goes with its target, and then there is nothing to be written off.
        let mut amount = -&quantity;
        for cancel in kin.iter().filter(|each| each.is_cancel) {
            amount = &amount - &cancel.quantity;
        }
        let meant = Meant {
            from: row.integer("says_from")?,
            to: row.integer("covers_to")?,
            resolution: id,
            told: true,
            level: level_without(&row, &quantity, seen)?,
        };
        records = write_off(connection, balance, &amount, meant, now).await?;
    }
    let said = resolution.verdict.typed();
    let moved = Move {
        new_key: fate.to == EventState::Pending,
        next_attempt_at: (fate.to == EventState::Pending).then_some(now),
        ..Move::to(
            EventId(number),
            fate.to,
            fate.may_exist,
            &format!("{} said {said}: {}", resolution.who, resolution.why),
        )
    };
    move_events(connection, &[moved], now).await?;
    let mut moves =
        vec![Moved { event: number, from: EventState::Held.to_string(), to: fate.to.to_string() }];
    moves.extend(moved_since(connection, &kin).await?);
    let after = Sums::read(connection, balance).await?;
    let change = BalanceChange::between(balance, &before, &after);
    let next = after_event(fate.to, &change);
    Ok(Ok(Resolved { id: Some(id), moves, balance: Some(change), records, next }))
}

/// The export whose file tells an event, while nobody said that the file was uploaded.
async fn file_of(
    connection: &mut SqliteConnection,
    row: &SqliteRow,
) -> Result<Option<ExportId>, LedgerError> {
    // Whatever else it is held for meanwhile: the file is there all the same.
    let export = export_of(connection, row.integer("number")?).await?;
    Ok(export.filter(|(_, confirmed)| !confirmed).map(|(id, _)| id))
}

/// Whether an event tells usage, or some, that another program told.
async fn was_told_before(
    connection: &mut SqliteConnection,
    row: &SqliteRow,
) -> Result<bool, LedgerError> {
    let is_usage = row.member("event_kind", EventKind::parse)? == EventKind::Usage;
    let adds = is_usage && !row.quantity("quantity")?.is_negative();
    let provider = row.name("provider", ProviderName::new)?;
    let account = row.name("account", AccountName::new)?;
    let meter = row.name("meter", ProviderMeter::new)?;
    let window = Window { start: row.time("window_start")?, end: row.time("window_end")? };
    let cutover = cutover_of(connection, &provider).await?;
    Ok(adds && side(window, cutover.bill_from(&account, &meter)) != Side::From)
}

/// What becomes of a level whose event is written off.
fn level_without(
    row: &SqliteRow,
    quantity: &Quantity,
    seen: HeldEvent,
) -> Result<Level, LedgerError> {
    Ok(match row.member("event_kind", EventKind::parse)? {
        // A cancel goes with its target.
        EventKind::Usage if seen.cancelled => Level::Stays,
        EventKind::Usage => Level::Without,
        // What it was to take away stays, and is told.
        EventKind::Cancel => Level::AsTold(-quantity),
    })
}

/// The provider's clock, or this host's while that is not known.
fn provider_now(row: &SqliteRow, now: Timestamp) -> Result<Timestamp, LedgerError> {
    Ok(match (row.maybe_time("clock_provider_at")?, row.maybe_time("clock_local_at")?) {
        (Some(provider_at), Some(local_at)) => ClockReading { provider_at, local_at }.estimate(now),
        (None, _) | (_, None) => now,
    })
}

/// What is done after an event moved, as a sentence.
fn after_event(to: EventState, change: &BalanceChange) -> String {
    let outstanding = &change.outstanding.to;
    match to {
        EventState::Settled => "nothing more is told: it counts as held by the provider".to_owned(),
        EventState::Pending => "the same bytes are sent again under a new idempotency key; if the \
             provider then says that it knows the identifier, the event is held again"
            .to_owned(),
        EventState::Superseded if outstanding.is_zero() => {
            "nothing of the balance is outstanding, so nothing is told in its place".to_owned()
        }
        EventState::Superseded => format!(
            "{outstanding} of the balance is outstanding: posting tells it under a new \
             identifier, writes it off where another program told it, or holds the balance and \
             says why it cannot"
        ),
        EventState::Dead if change.accrued.from == change.accrued.to => format!(
            "nothing more is told of it, and nothing is written off, as its usage has left the \
             balance since; {outstanding} of the balance is outstanding"
        ),
        EventState::Dead => "nothing more is told: it stands in the books as written off, and a \
             later proof of it at the provider settles it and takes the write-off back"
            .to_owned(),
        EventState::InFlight
        | EventState::Unknown
        | EventState::Accepted
        | EventState::Held
        | EventState::Void => format!("it is {to}"),
    }
}

/// A cancel of an event that goes with it, or what the event cancels.
struct Kin {
    event: i64,
    state: EventState,
    quantity: Quantity,
    is_cancel: bool,
}

async fn kin(connection: &mut SqliteConnection, event: i64) -> Result<Vec<Kin>, LedgerError> {
    let rows = sqlx::query(sql!("event_kin"))
        .bind(event)
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            Ok(Kin {
                event: row.integer("id")?,
                state: row.member("state", EventState::parse)?,
                quantity: row.quantity("quantity")?,
                is_cancel: row.flag("is_cancel")?,
            })
        })
        .collect()
}

/// Which of them moved.
async fn moved_since(
    connection: &mut SqliteConnection,
    kin: &[Kin],
) -> Result<Vec<Moved>, LedgerError> {
    let ids: Vec<i64> = kin.iter().map(|each| each.event).collect();
    let rows = sqlx::query(sql!("events_states"))
        .bind(json!(ids).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut moved = Vec::new();
    for row in rows {
        let (event, to) = (row.integer("id")?, row.member("state", EventState::parse)?);
        let from = kin.iter().find(|each| each.event == event).map(|each| each.state);
        if let Some(from) = from.filter(|from| *from != to) {
            moved.push(Moved { event, from: from.to_string(), to: to.to_string() });
        }
    }
    Ok(moved)
}

async fn decide_balance(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    now: Timestamp,
) -> Judged<Resolved> {
    let number = resolution.item.number;
    let row = held_balance(connection, number).await?;
    let item = row.as_ref().map(held_item).transpose()?;
    let token = item.as_ref().map(|item| &item.token);
    if let Some(why) = unseen(connection, resolution, token).await? {
        return Ok(Err(why));
    }
    let Some((row, item)) = row.zip(item) else {
        return Ok(Err(format!("{} is not held", resolution.item)));
    };
    match resolution.verdict {
        Verdict::Billed | Verdict::WriteOff | Verdict::ToldBefore => {}
        Verdict::Confirmed => return confirm(connection, resolution, (&row, &item), now).await,
        Verdict::NotBilled => {
            return Ok(Err(
                "what a balance holds back was never told, so that there is nothing to \
                 tell again: it is told once the cause of the hold is gone; or say billed, or \
                 write-off"
                    .to_owned(),
            ));
        }
        Verdict::First | Verdict::Second => {
            return Ok(Err(format!(
                "\"{}\" is said of a conflict; of a balance say billed, write-off or told-before",
                resolution.verdict.typed()
            )));
        }
    }
    let id = keep(connection, resolution, &item.quantity, now).await?;
    let before = Sums::read(connection, number).await?;
    let meant = Meant {
        from: row.integer("told_to")?,
        to: row.integer("booked_to")?,
        resolution: id,
        told: false,
        level: Level::AsTold(Quantity::zero()),
    };
    let records = write_off(connection, number, &-&item.quantity, meant, now).await?;
    end_hold(connection, number).await?;
    let after = Sums::read(connection, number).await?;
    let balance = BalanceChange::between(number, &before, &after);
    let next = "nothing of the balance is outstanding, so nothing more is told of it until more \
         usage or another correction comes"
        .to_owned();
    Ok(Ok(Resolved { id: Some(id), moves: Vec::new(), balance: Some(balance), records, next }))
}

/// Has what a balance comes to told, though it is more than anybody expected.
async fn confirm(
    connection: &mut SqliteConnection,
    resolution: &Resolution,
    (row, item): (&SqliteRow, &HeldItem),
    now: Timestamp,
) -> Judged<Resolved> {
    if item.reason != HoldReason::Spike.as_str() {
        return Ok(Err(format!(
            "only what is held as a spike is confirmed, and {} is held as {}: say billed, \
             write-off or told-before",
            resolution.item, item.reason
        )));
    }
    let accrued = row.quantity("accrued")?;
    let id = keep(connection, resolution, &accrued, now).await?;
    let number = resolution.item.number;
    ring_balances(connection, &[number], now).await?;
    end_hold(connection, number).await?;
    let sums = Sums::read(connection, number).await?;
    let balance = Some(BalanceChange::between(number, &sums, &sums));
    let next = format!(
        "{} is told, with any other hold that it meets; more than {accrued} in this window waits \
         to be confirmed again",
        item.quantity
    );
    Ok(Ok(Resolved { id: Some(id), moves: Vec::new(), balance, records: 0, next }))
}

async fn end_hold(connection: &mut SqliteConnection, balance: i64) -> Result<(), LedgerError> {
    sqlx::query(sql!("balance_holds_end"))
        .bind(json!([balance]).to_string())
        .bind("[]")
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// A balance's sums.
struct Sums {
    accrued: Quantity,
    told: Quantity,
}

impl Sums {
    async fn read(connection: &mut SqliteConnection, id: i64) -> Result<Self, LedgerError> {
        let row = sqlx::query(sql!("balance_sums"))
            .bind(id)
            .fetch_one(connection)
            .await
            .map_err(ledger_error)?;
        Ok(Self { accrued: row.quantity("accrued")?, told: row.quantity("told")? })
    }

    fn outstanding(&self) -> Quantity {
        &self.accrued - &self.told
    }
}

impl BalanceChange {
    fn between(balance: i64, before: &Sums, after: &Sums) -> Self {
        let changed =
            |from: &Quantity, to: &Quantity| Changed { from: from.clone(), to: to.clone() };
        Self {
            balance,
            accrued: changed(&before.accrued, &after.accrued),
            told: changed(&before.told, &after.told),
            outstanding: Changed { from: before.outstanding(), to: after.outstanding() },
        }
    }
}
