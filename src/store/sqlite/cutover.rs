//! The cutover's verbs. Here: how each provider instance is told, as it was adopted, and what it
//! held of what another program told. Never here:
//! whether it may be (`domain::cutover`). Read next: [`super::posting`].

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::moves::{Move, move_events};
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::cutover::{Cutover, Earlier, ForeignKind, Mode, Side, Telling, lacking, side};
use crate::domain::event::EventId;
use crate::domain::names::{AccountName, NameError, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::cutover::{
    Adoption, BegunPeriod, CutoverLedger, ForeignBooks, ForeignTotal, Opening, OpeningLine,
    ShadowLine, ShadowQuestion, ShadowedPlace,
};
use crate::ledger::operator::BookFilter;
use crate::store::codec::{Columns, ledger_error, unreadable};

/// Why an event that was tried is held when `bill_from` comes.
const STOPPED: &str = "it was tried before bill_from was set, which its usage is of before: it is \
     not tried again, as another program told that";

/// What is done about an event that a file tells when `bill_from` comes.
const IN_A_FILE: &str = "if it was not uploaded, do not upload it; if it was, the provider has it \
     twice";

#[async_trait]
impl CutoverLedger for SqliteLedger {
    async fn adopt_telling(
        &self,
        provider: &ProviderName,
        telling: &Telling,
        meters: &BTreeSet<ProviderMeter>,
        now: Timestamp,
    ) -> Result<Adoption, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let earlier = tellings_of(&mut transaction, provider).await?;
        let places = match earlier.as_slice() {
            [] => Vec::new(),
            _ => places(&mut transaction, provider).await?,
        };
        if let Some(lacking) = lacking(&earlier, telling, &places, meters) {
            return Ok(Adoption::Refused(lacking));
        }
        let since_ever = || Earlier { telling: Telling::default(), since: Timestamp::default() };
        let before = earlier.last().cloned().unwrap_or_else(since_ever);
        if before.telling == *telling {
            return Ok(Adoption::Adopted { before: None, withdrawn: 0 });
        }
        sqlx::query(sql!("telling_adopt"))
            .bind(provider.as_str())
            .bind(telling.mode.as_str())
            .bind(definition(&telling.cutover))
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let mut moves = withdrawals(&mut transaction, provider, &telling.cutover).await?;
        let mut withdrawn = moves.len();
        let exported = of_files(&mut transaction, provider, &telling.cutover).await?;
        withdrawn += exported.len();
        for (event, held) in exported {
            // The state machine goes through pending: there a person could have done the same.
            let why = "another program told it before, and a file tells it";
            let pending = Move::to(event, EventState::Pending, false, why);
            moves.push(Move { next_attempt_at: Some(now), ..pending });
            moves.push(held);
        }
        move_events(&mut transaction, &moves, now).await?;
        commit(transaction).await?;
        let withdrawn = u64::try_from(withdrawn).unwrap_or(u64::MAX);
        Ok(Adoption::Adopted { before: Some(before), withdrawn })
    }

    async fn opening(
        &self,
        provider: &ProviderName,
        account: &AccountName,
        meter: &ProviderMeter,
        span: Window,
    ) -> Result<Option<Opening>, LedgerError> {
        let row = sqlx::query(sql!("foreign_opening"))
            .bind(provider.as_str())
            .bind(account.as_str())
            .bind(meter.as_str())
            .bind(span.start.micros())
            .bind(span.end.micros())
            .fetch_optional(&self.readers)
            .await
            .map_err(ledger_error)?;
        let opening =
            |row: SqliteRow| Ok(Opening { low: row.quantity("low")?, high: row.quantity("high")? });
        row.map(opening).transpose()
    }

    async fn begun_periods(
        &self,
        provider: &ProviderName,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<BegunPeriod>, LedgerError> {
        let rows = sqlx::query(sql!("foreign_begun"))
            .bind(provider.as_str())
            .bind(from.micros())
            .bind(to.micros())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let begun = |row: &SqliteRow| {
            let text = row.text("known_until")?;
            let known: Vec<i64> =
                serde_json::from_str(&text).map_err(|_| unreadable("known_until", &text))?;
            Ok(BegunPeriod {
                account: row.name("account", AccountName::new)?,
                meter: row.name("meter", ProviderMeter::new)?,
                span: Window { start: row.time("start_at")?, end: row.time("end_at")? },
                known_until: known.into_iter().map(Timestamp::from_micros).collect(),
            })
        };
        rows.iter().map(begun).collect()
    }

    async fn shadowed_places(
        &self,
        provider: &ProviderName,
        question: ShadowQuestion,
    ) -> Result<Vec<ShadowedPlace>, LedgerError> {
        let rows = sqlx::query(sql!("foreign_shadowed"))
            .bind(provider.as_str())
            .bind(question.booked_before.micros())
            .bind(question.not_read_since.micros())
            .bind(question.limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let place = |row: &SqliteRow| {
            Ok(ShadowedPlace {
                account: row.name("account", AccountName::new)?,
                meter: row.name("meter", ProviderMeter::new)?,
                first: row.time("first")?,
            })
        };
        rows.iter().map(place).collect()
    }

    async fn foreign_books(&self, filter: &BookFilter) -> Result<ForeignBooks, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let mut books = ForeignBooks::default();
        let mut shadowed: BTreeMap<ShadowKey, ShadowLine> = BTreeMap::new();
        let in_shadow = in_shadow(&mut reader).await?;
        if !in_shadow.is_empty() {
            for row in of_filter(&mut reader, sql!("books_balances"), filter).await? {
                if in_shadow.contains(&row.text("provider")?) {
                    let line = shadow_line(&mut shadowed, &row, row.time("window_start")?)?;
                    line.would_be_told = &line.would_be_told + &row.quantity("accrued")?;
                }
            }
        }
        for row in of_filter(&mut reader, sql!("foreign_totals"), filter).await? {
            match row.member("kind", ForeignKind::parse)? {
                ForeignKind::Opening => books.openings.push(opening_line(&row)?),
                ForeignKind::Shadow if in_shadow.contains(&row.text("provider")?) => {
                    let line = shadow_line(&mut shadowed, &row, row.time("start_at")?)?;
                    line.held = Some((row.quantity("high")?, row.time("read_at")?));
                }
                // Of a time in shadow that is over.
                ForeignKind::Shadow => {}
            }
        }
        books.shadowed = shadowed.into_values().collect();
        Ok(books)
    }

    async fn keep_foreign(
        &self,
        provider: &ProviderName,
        totals: &[ForeignTotal],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let last = totals.iter().map(|total| total.span.start).max();
        let row = |total: &ForeignTotal| {
            json!([
                total.account.as_str(),
                total.meter.as_str(),
                total.kind.as_str(),
                total.span.start.micros(),
                total.span.end.micros(),
                total.low.to_string(),
                total.high.to_string(),
                total.provider_at.micros(),
                i64::from(Some(total.span.start) == last),
            ])
        };
        let rows: Vec<Value> = totals.iter().map(row).collect();
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("foreign_keep"))
            .bind(provider.as_str())
            .bind(Value::from(rows).to_string())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }
}

/// Where a day in shadow stands: provider, account, meter, and when it begins.
type ShadowKey = (String, String, String, Timestamp);

/// The line of the day that holds `at`.
fn shadow_line<'l>(
    lines: &'l mut BTreeMap<ShadowKey, ShadowLine>,
    row: &SqliteRow,
    at: Timestamp,
) -> Result<&'l mut ShadowLine, LedgerError> {
    let start = at.floor_to(MICROS_PER_DAY);
    let (provider, account) = (row.text("provider")?, row.text("account")?);
    let key = (provider, account, row.text("meter")?, start);
    let (provider, account, meter, _) = key.clone();
    Ok(lines.entry(key).or_insert_with(|| ShadowLine {
        provider,
        account,
        meter,
        day: Window { start, end: start.plus_micros(MICROS_PER_DAY) },
        would_be_told: Quantity::zero(),
        held: None,
    }))
}

fn opening_line(row: &SqliteRow) -> Result<OpeningLine, LedgerError> {
    Ok(OpeningLine {
        provider: row.text("provider")?,
        account: row.text("account")?,
        meter: row.text("meter")?,
        span: Window { start: row.time("start_at")?, end: row.time("end_at")? },
        low: row.quantity("low")?,
        high: row.quantity("high")?,
        read_at: row.time("read_at")?,
    })
}

async fn of_filter(
    connection: &mut SqliteConnection,
    statement: &'static str,
    filter: &BookFilter,
) -> Result<Vec<SqliteRow>, LedgerError> {
    sqlx::query(statement)
        .bind(filter.account.as_deref())
        .bind(filter.meter.as_deref())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)
}

/// The providers that are in shadow.
async fn in_shadow(connection: &mut SqliteConnection) -> Result<BTreeSet<String>, LedgerError> {
    let rows =
        sqlx::query(sql!("tellings_in_force")).fetch_all(connection).await.map_err(ledger_error)?;
    let mut names = BTreeSet::new();
    for row in &rows {
        if row.member("mode", Mode::parse)? == Mode::Shadow {
            names.insert(row.text("provider")?);
        }
    }
    Ok(names)
}

/// How a provider was told, the oldest first.
pub(super) async fn tellings_of(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
) -> Result<Vec<Earlier>, LedgerError> {
    let rows = sqlx::query(sql!("tellings_of"))
        .bind(provider.as_str())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let earlier = |row: &SqliteRow| {
        let text = row.text("bill_from")?;
        let cutover = of_definition(&text).ok_or_else(|| unreadable("bill_from", &text))?;
        let telling = Telling { mode: row.member("mode", Mode::parse)?, cutover };
        Ok(Earlier { telling, since: row.time("adopted_at")? })
    };
    rows.iter().map(earlier).collect()
}

/// From which instants on a provider is told.
pub(super) async fn cutover_of(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
) -> Result<Cutover, LedgerError> {
    let mut earlier = tellings_of(connection, provider).await?;
    Ok(earlier.pop().map(|newest| newest.telling.cutover).unwrap_or_default())
}

/// The accounts and meters with something booked.
async fn places(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
) -> Result<Vec<(AccountName, ProviderMeter)>, LedgerError> {
    let rows = sqlx::query(sql!("places_of_provider"))
        .bind(provider.as_str())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter()
        .map(|row| {
            Ok((row.name("account", AccountName::new)?, row.name("meter", ProviderMeter::new)?))
        })
        .collect()
}

/// The moves of the events that would tell what another program told. Those that no byte of left
/// are withdrawn. Those that were tried are not tried again: posting supersedes what was refused,
/// and what may have landed is left to a person, as another attempt might be the first that lands.
async fn withdrawals(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    cutover: &Cutover,
) -> Result<Vec<Move>, LedgerError> {
    if cutover.is_none() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql!("events_to_be_sent"))
        .bind(provider.as_str())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut moves = Vec::new();
    for row in &rows {
        if !is_of_another(row, cutover)? {
            continue;
        }
        let (id, why) = (EventId(row.integer("id")?), "another program told it before");
        if row.integer("attempts")? == 0 {
            moves.push(Move::to(id, EventState::Void, false, why));
            continue;
        }
        let may_exist = row.flag("ambiguous")?;
        let hold = Some((HoldReason::BillFrom, STOPPED.to_owned()));
        moves.push(Move { hold, ..Move::to(id, EventState::Held, may_exist, why) });
    }
    Ok(moves)
}

/// The events that files tell and another program told, with the move that holds each for that: no
/// total is read of before `bill_from`, so that none would ever settle them.
async fn of_files(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    cutover: &Cutover,
) -> Result<Vec<(EventId, Move)>, LedgerError> {
    if cutover.is_none() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql!("events_in_files"))
        .bind(provider.as_str())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut held = Vec::new();
    for row in &rows {
        if is_of_another(row, cutover)? {
            let (event, export) = (EventId(row.integer("id")?), row.integer("export_id")?);
            let why = format!(
                "a file of export {export} tells it, and bill_from was set since, which its usage \
                 is of before: another program told that. {IN_A_FILE}"
            );
            let hold = Some((HoldReason::BillFrom, why.clone()));
            held.push((event, Move { hold, ..Move::to(event, EventState::Held, true, &why) }));
        }
    }
    Ok(held)
}

/// Whether an event tells usage that another program told.
fn is_of_another(row: &SqliteRow, cutover: &Cutover) -> Result<bool, LedgerError> {
    let account = row.name("account", AccountName::new)?;
    let meter = row.name("meter", ProviderMeter::new)?;
    let window = Window { start: row.time("window_start")?, end: row.time("window_end")? };
    let is_ours = side(window, cutover.bill_from(&account, &meter)) == Side::From;
    Ok(!is_ours && !row.quantity("quantity")?.is_negative())
}

/// The instants as they are kept: a text that changes exactly when one of them does.
fn definition(cutover: &Cutover) -> String {
    let Cutover { all, meters, accounts } = cutover;
    let meters: BTreeMap<&str, i64> =
        meters.iter().map(|(meter, at)| (meter.as_str(), at.micros())).collect();
    let accounts: BTreeMap<&str, i64> =
        accounts.iter().map(|(account, at)| (account.as_str(), at.micros())).collect();
    let all = all.map(Timestamp::micros);
    json!({ "all": all, "meters": meters, "accounts": accounts }).to_string()
}

/// The instants of a [`definition`]; nothing where it is none.
fn of_definition(text: &str) -> Option<Cutover> {
    let kept: Value = serde_json::from_str(text).ok()?;
    let all = kept.get("all")?;
    let all = match all.is_null() {
        true => None,
        false => Some(Timestamp::from_micros(all.as_i64()?)),
    };
    let meters = named(kept.get("meters")?, ProviderMeter::new)?;
    let accounts = named(kept.get("accounts")?, AccountName::new)?;
    Some(Cutover { all, meters, accounts })
}

fn named<T: Ord>(
    kept: &Value,
    make: impl Fn(&str) -> Result<T, NameError>,
) -> Option<BTreeMap<T, Timestamp>> {
    let each = |(name, at): (&String, &Value)| {
        Some((make(name).ok()?, Timestamp::from_micros(at.as_i64()?)))
    };
    kept.as_object()?.iter().map(each).collect()
}
