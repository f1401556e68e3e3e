//! What people ask. Here: the readings behind the listings, and the import of accounts. Never here:
//! how they are printed. Read next: [`super::trace`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::holds::held_item;
use super::notices::notices_by_provider;
use super::spool::spool_status;
use super::{SqliteLedger, begin, commit, sql, trace};
use crate::domain::entries::EntriesTold;
use crate::domain::names::{AccountName, CustomerName, ProviderName, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::state::EventState;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::operator::{
    AtRisk, BookFilter, BookLine, Count, HeldItem, OperatorLedger, ParkedGroup, ProviderStatus,
    RECENT_EVENTS, RecentEvents, Status, Trace, TraceEvent,
};
use crate::ledger::verification::Verification;
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl OperatorLedger for SqliteLedger {
    async fn status(&self) -> Result<Status, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let row =
            sqlx::query(sql!("status")).fetch_one(&mut *reader).await.map_err(ledger_error)?;
        let mut status = Status {
            ledger_id: row.text("ledger_id")?,
            records: row.integer("records")?,
            accrued_to: row.integer("accrued_to")?,
            corrections: row.integer("corrections")?,
            corrected_to: row.integer("corrected_to")?,
            conflicts: row.integer("conflicts")?,
            rejected: row.integer("rejected")?,
            rejected_open: row.integer("rejected_open")?,
            balances_open: row.integer("balances_open")?,
            oldest_open_at: row.maybe_time("oldest_open_at")?,
            nearest_deadline_at: row.maybe_time("nearest_deadline_at")?,
            ..Status::default()
        };
        for row in rows(&mut reader, sql!("status_parked")).await? {
            let (name, count) = (row.text("reason")?, row.integer("count")?);
            status.parked.push(Count { name, count });
        }
        for row in rows(&mut reader, sql!("status_events")).await? {
            let place = (row.text("provider")?, row.text("state")?);
            status.events.push((place.0, place.1, row.integer("count")?));
        }
        for row in rows(&mut reader, sql!("status_providers")).await? {
            let pause = match (row.maybe_text("pause_reason")?, row.maybe_time("paused_at")?) {
                (Some(reason), Some(at)) => Some((reason, at)),
                (None, _) | (_, None) => None,
            };
            status.providers.push(ProviderStatus {
                provider: row.text("name")?,
                account: row.maybe_text("account")?,
                livemode: row.maybe_integer("livemode")?.map(|mode| mode != 0),
                pause,
                in_shadow: row.flag("in_shadow")?,
                told_before: row.integer("told_before")?,
            });
        }
        let recent = sqlx::query(sql!("status_recent"))
            .bind(RECENT_EVENTS)
            .fetch_one(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let (events, held) = (recent.integer("events")?, recent.integer("held")?);
        status.recent = RecentEvents { events, held };
        status.restored = self.restoration().await?;
        status.notices = notices_by_provider(&rows(&mut reader, sql!("status_notices")).await?)?;
        let spools = rows(&mut reader, sql!("status_spools")).await?;
        status.spools = spools.iter().map(spool_status).collect::<Result<_, _>>()?;
        (status.held, status.at_risk) =
            held_by_place(&rows(&mut reader, sql!("status_held")).await?)?;
        status.open = open_by_meter(&rows(&mut reader, sql!("status_open")).await?)?;
        Ok(status)
    }

    async fn entries_told(
        &self,
        provider: &ProviderName,
        recent_from: Timestamp,
    ) -> Result<Vec<EntriesTold>, LedgerError> {
        let rows = sqlx::query(sql!("entries_outlook"))
            .bind(provider.as_str())
            .bind(recent_from.micros())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let told = |row: &SqliteRow| {
            Ok(EntriesTold {
                account: row.name("account", AccountName::new)?,
                entries: row.integer("entries")?,
                recent: row.integer("recent")?,
                first_at: row.time("first_at")?,
            })
        };
        rows.iter().map(told).collect()
    }

    async fn books(&self, filter: &BookFilter) -> Result<Vec<BookLine>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let balances = sqlx::query(sql!("books_balances"))
            .bind(filter.account.as_deref())
            .bind(filter.meter.as_deref())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut lines: BTreeMap<BookKey, BookLine> = BTreeMap::new();
        let open_until = self
            .restoration()
            .await?
            .filter(|restored| restored.caught_up_at.is_none())
            .map(|restored| restored.sent_through_at);
        for row in &balances {
            let start = row.time("window_start")?;
            let line = line_of(&mut lines, row, filter.by_window)?;
            line.unbounded |= open_until.is_some_and(|until| start <= until);
            line.accrued = &line.accrued + &row.quantity("accrued")?;
            line.told = &line.told + &row.quantity("told")?;
        }
        let events = sqlx::query(sql!("books_events"))
            .bind(filter.account.as_deref())
            .bind(filter.meter.as_deref())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        for row in &events {
            let quantity = row.quantity("quantity")?;
            let state = row.member("state", EventState::parse)?;
            let standing = (state, row.flag("ambiguous")?);
            let cancel = match row.maybe_member("cancel_state", EventState::parse)? {
                Some(state) => Some((state, row.flag("cancel_ambiguous")?)),
                None => None,
            };
            let is_cancel = row.flag("is_cancel")?;
            let line = line_of(&mut lines, row, filter.by_window)?;
            add_event(line, standing, cancel, is_cancel, &quantity);
        }
        let holds = sqlx::query(sql!("books_holds"))
            .bind(filter.account.as_deref())
            .bind(filter.meter.as_deref())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        for row in &holds {
            let outstanding = &row.quantity("accrued")? - &row.quantity("told")?;
            let line = line_of(&mut lines, row, filter.by_window)?;
            line.at_risk = &line.at_risk + &outstanding.magnitude();
        }
        let told_before = sqlx::query(sql!("books_told_before"))
            .bind(filter.account.as_deref())
            .bind(filter.meter.as_deref())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        for row in &told_before {
            let line = line_of(&mut lines, row, filter.by_window)?;
            line.told_before = &line.told_before - &row.quantity("quantity")?;
        }
        Ok(lines.into_values().collect())
    }

    async fn trace(
        &self,
        source: &SourceName,
        id: &RecordId,
    ) -> Result<Option<Trace>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        trace::life(&mut reader, source, id).await
    }

    async fn held(&self, limit: u32) -> Result<Vec<HeldItem>, LedgerError> {
        let found = sqlx::query(sql!("held"))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        found.iter().map(held_item).collect()
    }

    async fn event(&self, id: i64) -> Result<Option<TraceEvent>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        match rows_of(&mut reader, sql!("trace_event"), id).await?.first() {
            Some(row) => Ok(Some(trace::event(&mut reader, row).await?)),
            None => Ok(None),
        }
    }

    async fn parked(&self) -> Result<Vec<ParkedGroup>, LedgerError> {
        let found =
            sqlx::query(sql!("parked")).fetch_all(&self.readers).await.map_err(ledger_error)?;
        let mut groups: BTreeMap<(String, String, String), ParkedGroup> = BTreeMap::new();
        for row in &found {
            let (route, reason) = (row.text("route")?, row.text("reason")?);
            let meter = row.text("meter")?;
            let key = (route.clone(), reason.clone(), meter.clone());
            let (customer, detail) = (row.text("customer")?, row.text("detail")?);
            let group = groups.entry(key).or_insert_with(|| ParkedGroup {
                route,
                reason,
                meter,
                customer,
                detail,
                count: 0,
                quantity: Quantity::zero(),
            });
            group.count += 1;
            group.quantity = &group.quantity + &row.quantity("quantity")?;
        }
        Ok(groups.into_values().collect())
    }

    async fn import_accounts(
        &self,
        provider: &ProviderName,
        accounts: &[(CustomerName, AccountName)],
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let wanted: Vec<Value> = accounts
            .iter()
            .map(|(customer, account)| json!([customer.as_str(), account.as_str()]))
            .collect();
        let changed = sqlx::query(sql!("accounts_import"))
            .bind(provider.as_str())
            .bind(Value::from(wanted).to_string())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .rows_affected();
        if changed > 0 {
            sqlx::query(sql!("mapping_changed"))
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
        }
        commit(transaction).await?;
        Ok(changed)
    }

    async fn verify(&self) -> Result<Verification, LedgerError> {
        self.verify_all().await
    }

    async fn keep_ballast(&self, bytes: u64) {
        self.lay_ballast(bytes).await;
    }

    async fn maintain(&self) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        for statement in [sql!("checkpoint"), sql!("optimize")] {
            sqlx::query(statement).fetch_all(&mut *writer).await.map_err(ledger_error)?;
        }
        Ok(())
    }
}

async fn rows(
    reader: &mut SqliteConnection,
    statement: &'static str,
) -> Result<Vec<SqliteRow>, LedgerError> {
    sqlx::query(statement).fetch_all(reader).await.map_err(ledger_error)
}

pub(super) async fn rows_of(
    reader: &mut SqliteConnection,
    statement: &'static str,
    id: i64,
) -> Result<Vec<SqliteRow>, LedgerError> {
    sqlx::query(statement).bind(id).fetch_all(reader).await.map_err(ledger_error)
}

/// What is held by provider and reason, and what is at risk by provider, account and meter.
type Held = (Vec<(String, String, i64)>, Vec<AtRisk>);

fn held_by_place(rows: &[SqliteRow]) -> Result<Held, LedgerError> {
    let mut reasons: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut places: BTreeMap<(String, String, String), (i64, Quantity)> = BTreeMap::new();
    for row in rows {
        let quantity = match row.maybe_quantity("quantity")? {
            Some(quantity) => quantity,
            None => &row.quantity("accrued")? - &row.quantity("told")?,
        };
        let provider = row.text("provider")?;
        *reasons.entry((provider.clone(), row.text("reason")?)).or_default() += 1;
        let (items, sum) = places
            .entry((provider, row.text("account")?, row.text("meter")?))
            .or_insert_with(|| (0, Quantity::zero()));
        *items += 1;
        *sum = &*sum + &quantity.magnitude();
    }
    let reasons = reasons.into_iter().map(|((provider, reason), count)| (provider, reason, count));
    let mut at_risk: Vec<AtRisk> = places
        .into_iter()
        .map(|((provider, account, meter), (items, quantity))| AtRisk {
            provider,
            account,
            meter,
            items,
            quantity,
        })
        .collect();
    at_risk.sort_by(|one, other| other.quantity.cmp(&one.quantity));
    Ok((reasons.collect(), at_risk))
}

/// What is open by provider and meter.
fn open_by_meter(rows: &[SqliteRow]) -> Result<Vec<(String, String, Quantity)>, LedgerError> {
    let mut sums: BTreeMap<(String, String), Quantity> = BTreeMap::new();
    for row in rows {
        let place = (row.text("provider")?, row.text("meter")?);
        let sum = sums.entry(place).or_insert_with(Quantity::zero);
        *sum = &*sum + &row.quantity("quantity")?.magnitude();
    }
    Ok(sums.into_iter().map(|((provider, meter), sum)| (provider, meter, sum)).collect())
}

/// Where a line of the books stands: provider, account, meter, and the window when lines have one.
type BookKey = (String, String, String, Option<(Timestamp, Timestamp)>);

fn line_of<'l>(
    lines: &'l mut BTreeMap<BookKey, BookLine>,
    row: &SqliteRow,
    by_window: bool,
) -> Result<&'l mut BookLine, LedgerError> {
    let (provider, account) = (row.text("provider")?, row.text("account")?);
    let meter = row.text("meter")?;
    let (start, end) = (row.time("window_start")?, row.time("window_end")?);
    let key = (provider.clone(), account.clone(), meter.clone(), by_window.then_some((start, end)));
    let line = lines.entry(key).or_insert_with(|| BookLine {
        provider,
        account,
        meter,
        start,
        end,
        accrued: Quantity::zero(),
        told: Quantity::zero(),
        settled: Quantity::zero(),
        accepted: Quantity::zero(),
        pending: Quantity::zero(),
        uncertain: Quantity::zero(),
        held: Quantity::zero(),
        at_risk: Quantity::zero(),
        low: Quantity::zero(),
        high: Quantity::zero(),
        told_before: Quantity::zero(),
        unbounded: false,
    });
    line.start = line.start.min(start);
    line.end = line.end.max(end);
    Ok(line)
}

/// Adds an event to a line: to its state's sum, and to the bracket that the provider's holding lies
/// in. A cancel has no place of its own in the bracket: it and its target, of which it may take
/// everything, are one there.
fn add_event(
    line: &mut BookLine,
    (state, ambiguous): (EventState, bool),
    cancel: Option<(EventState, bool)>,
    is_cancel: bool,
    quantity: &Quantity,
) {
    let sum = match state {
        EventState::Settled => Some(&mut line.settled),
        EventState::Accepted => Some(&mut line.accepted),
        EventState::Pending => Some(&mut line.pending),
        EventState::InFlight | EventState::Unknown => Some(&mut line.uncertain),
        EventState::Held => Some(&mut line.held),
        EventState::Void | EventState::Superseded | EventState::Dead => None,
    };
    if let Some(sum) = sum {
        *sum = &*sum + quantity;
    }
    if state == EventState::Held {
        line.at_risk = &line.at_risk + &quantity.magnitude();
    }
    if is_cancel {
        return;
    }
    let usage = arrived(state, ambiguous);
    let taken_back = cancel.map_or(Arrived::No, |(state, ambiguous)| arrived(state, ambiguous));
    match (usage, taken_back) {
        (Arrived::No, _) | (_, Arrived::Certainly) => {}
        (Arrived::Certainly, Arrived::No) => {
            line.low = &line.low + quantity;
            line.high = &line.high + quantity;
        }
        (Arrived::Perhaps, _) | (_, Arrived::Perhaps) => {
            let end = if quantity.is_negative() { &mut line.low } else { &mut line.high };
            *end = &*end + quantity;
        }
    }
}

/// Whether the provider has an event.
enum Arrived {
    No,
    Perhaps,
    Certainly,
}

fn arrived(state: EventState, ambiguous: bool) -> Arrived {
    match state {
        EventState::Settled => Arrived::Certainly,
        EventState::Accepted | EventState::InFlight | EventState::Unknown => Arrived::Perhaps,
        EventState::Held | EventState::Superseded | EventState::Dead if ambiguous => {
            Arrived::Perhaps
        }
        EventState::Held
        | EventState::Pending
        | EventState::Void
        | EventState::Superseded
        | EventState::Dead => Arrived::No,
    }
}
