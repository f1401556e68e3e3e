//! What is known of billing, in the ledger. Here: the verbs that keep subscriptions and periods,
//! and have what they change looked at. Never here: what an answer makes of what is known
//! (`domain::period`). Read next: [`super::transfer`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::gauges::narrow_gauges;
use super::idle::keep_idle_times;
use super::moves::{Move, move_events};
use super::notices::conclude;
use super::posting::refresh_lanes;
use super::rejections::reject;
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance::Place;
use crate::domain::billing::Subscription;
use crate::domain::event::EventId;
use crate::domain::names::{AccountName, InvoiceId, ProviderMeter, ProviderName, SubscriptionId};
use crate::domain::period::{
    Billing, BillingStanding, CLOSING_MARGIN_MICROS, Period, learn_invoice, learn_subscription,
    learn_unused, lose_invoice,
};
use crate::domain::state::EventState;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::billing::{BillingLedger, Cursor, Learned, Learnt, Overdue};
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl BillingLedger for SqliteLedger {
    async fn learn(
        &self,
        provider: &ProviderName,
        learned: &Learned,
        now: Timestamp,
    ) -> Result<Learnt, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let mut known = Known::read(&mut transaction, provider, learned, now).await?;
        known.learn(learned);
        let idle = keep_idle_times(&mut transaction, provider, learned, &known).await?;
        let mut changed = known.keep(&mut transaction, provider, now).await?;
        let mut learnt = Learnt { periods: count(changed.len()), ..Learnt::default() };
        changed.extend(idle);
        follow_periods(&mut transaction, provider, &changed, learned.seen_at, now).await?;
        for report in &learned.rejections {
            learnt.rejected += reject(&mut transaction, provider, report, now).await?;
        }
        for (number, conclusion) in &learned.concluded {
            learnt.concluded += conclude(&mut transaction, *number, conclusion, now).await?;
        }
        commit(transaction).await?;
        Ok(learnt)
    }

    async fn overdue(
        &self,
        provider: &ProviderName,
        provider_now: Timestamp,
        asked_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<Overdue, LedgerError> {
        let mut found: Vec<Vec<SqliteRow>> = Vec::new();
        for statement in [sql!("subscriptions_overdue"), sql!("invoices_overdue")] {
            let rows = sqlx::query(statement)
                .bind(provider.as_str())
                .bind(provider_now.micros())
                .bind(asked_before.micros())
                .bind(limit)
                .fetch_all(&self.readers)
                .await
                .map_err(ledger_error)?;
            found.push(rows);
        }
        let asked: BTreeSet<i64> =
            found.iter().flatten().map(|row| row.integer("id")).collect::<Result<_, _>>()?;
        if asked.is_empty() {
            return Ok(Overdue::default());
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("subscriptions_asked"))
            .bind(json!(asked).to_string())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await?;
        let subscriptions = found[0].iter().map(|row| row.name("name", SubscriptionId::new));
        let invoices = found[1].iter().map(|row| row.name("invoice", InvoiceId::new));
        Ok(Overdue {
            subscriptions: subscriptions.collect::<Result<_, _>>()?,
            invoices: invoices.collect::<Result<_, _>>()?,
        })
    }

    async fn heard_at(&self, provider: &ProviderName) -> Result<Option<Timestamp>, LedgerError> {
        sqlx::query(sql!("notice_heard"))
            .bind(provider.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?
            .maybe_time("heard_at")
    }

    async fn cursor(
        &self,
        provider: &ProviderName,
        feed: &str,
    ) -> Result<Option<Cursor>, LedgerError> {
        let row = sqlx::query(sql!("feed_read"))
            .bind(provider.as_str())
            .bind(feed)
            .fetch_optional(&self.readers)
            .await
            .map_err(ledger_error)?;
        row.map(|row| Ok(Cursor { read_to: row.time("read_to")?, read_at: row.time("read_at")? }))
            .transpose()
    }

    async fn move_cursor(
        &self,
        provider: &ProviderName,
        feed: &str,
        cursor: Cursor,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("feed_move"))
            .bind(provider.as_str())
            .bind(feed)
            .bind(cursor.read_to.micros())
            .bind(cursor.read_at.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }
}

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Places, as statements take them.
pub(super) fn places_json(places: &[Place]) -> Value {
    let place = |(provider, account, meter): &Place| {
        json!([provider.as_str(), account.as_str(), meter.as_str()])
    };
    places.iter().map(place).collect()
}

/// The bounds of the periods of some places, in order.
pub(super) async fn bounds_of(
    connection: &mut SqliteConnection,
    places: &[Place],
) -> Result<BTreeMap<Place, Vec<Timestamp>>, LedgerError> {
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(sql!("period_bounds"))
        .bind(places_json(places).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let mut bounds: BTreeMap<Place, BTreeSet<Timestamp>> = BTreeMap::new();
    for row in &rows {
        let place = usize::try_from(row.integer("place")?).unwrap_or(usize::MAX);
        if let Some(place) = places.get(place) {
            let bounds = bounds.entry(place.clone()).or_default();
            bounds.extend([row.time("start_at")?, row.time("end_at")?]);
        }
    }
    Ok(bounds.into_iter().map(|(place, bounds)| (place, bounds.into_iter().collect())).collect())
}

/// A subscription's periods, as they were and as they are to be.
pub(super) struct Kept {
    account: AccountName,
    stored: Vec<(i64, Period)>,
    learned: Vec<Period>,
}

impl Kept {
    /// The meters of its periods, each once.
    pub(super) fn meters(&self) -> BTreeSet<&ProviderMeter> {
        self.learned.iter().map(|period| &period.meter).collect()
    }
}

/// A period that is new, or not what it was.
pub(super) struct Changed {
    pub(super) account: AccountName,
    pub(super) period: Period,
}

/// What the ledger knows of the subscriptions at hand, by their numbers.
pub(super) struct Known {
    pub(super) numbers: HashMap<SubscriptionId, i64>,
    pub(super) kept: BTreeMap<i64, Kept>,
}

impl Known {
    /// Reads what is known, once the subscriptions themselves are kept.
    async fn read(
        connection: &mut SqliteConnection,
        provider: &ProviderName,
        learned: &Learned,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let told: Vec<Value> = learned.subscriptions.iter().map(subscription_row).collect();
        let billed: Vec<Value> = learned
            .invoices
            .iter()
            .flat_map(|invoice| &invoice.lines)
            .map(|line| {
                let start = line.period.start.micros();
                json!([line.subscription.as_str(), line.account.as_str(), start])
            })
            .collect();
        let lost = subscriptions_of_invoices(connection, provider, &learned.missing).await?;
        let terms = learned.invoices.iter().filter_map(|invoice| invoice.term.as_ref());
        let names: BTreeSet<&str> = told
            .iter()
            .chain(&billed)
            .filter_map(first_text)
            .chain(lost.iter().map(SubscriptionId::as_str))
            .chain(terms.map(|term| term.subscription.as_str()))
            .collect();
        let names = json!(names).to_string();
        let keep = [(sql!("subscriptions_keep"), told), (sql!("subscriptions_expect"), billed)];
        for (statement, rows) in keep {
            sqlx::query(statement)
                .bind(provider.as_str())
                .bind(Value::from(rows).to_string())
                .bind(now.micros())
                .execute(&mut *connection)
                .await
                .map_err(ledger_error)?;
        }
        let rows = sqlx::query(sql!("subscriptions_of"))
            .bind(provider.as_str())
            .bind(names)
            .fetch_all(&mut *connection)
            .await
            .map_err(ledger_error)?;
        let mut known = Self { numbers: HashMap::new(), kept: BTreeMap::new() };
        for row in &rows {
            let (number, account) = (row.integer("id")?, row.name("account", AccountName::new)?);
            known.numbers.insert(row.name("name", SubscriptionId::new)?, number);
            let kept = Kept { account, stored: Vec::new(), learned: Vec::new() };
            known.kept.insert(number, kept);
        }
        let numbers: Vec<i64> = known.kept.keys().copied().collect();
        let rows = sqlx::query(sql!("periods_of"))
            .bind(json!(numbers).to_string())
            .fetch_all(connection)
            .await
            .map_err(ledger_error)?;
        for row in &rows {
            if let Some(kept) = known.kept.get_mut(&row.integer("subscription_id")?) {
                kept.stored.push((row.integer("id")?, period(row)?));
            }
        }
        for kept in known.kept.values_mut() {
            kept.learned = kept.stored.iter().map(|(_, period)| period.clone()).collect();
        }
        Ok(known)
    }

    /// Invoices first: they outrank what a subscription lets expect.
    fn learn(&mut self, learned: &Learned) {
        for missing in &learned.missing {
            for kept in self.kept.values_mut() {
                kept.learned = lose_invoice(std::mem::take(&mut kept.learned), missing);
            }
        }
        for invoice in &learned.invoices {
            let billed = invoice.lines.iter().map(|line| &line.subscription);
            for name in billed.collect::<BTreeSet<&SubscriptionId>>() {
                self.change(name, |known| learn_invoice(known, name, invoice));
            }
        }
        for told in &learned.subscriptions {
            self.change(&told.id, |known| learn_subscription(known, told, learned.seen_at));
        }
        for invoice in &learned.invoices {
            if let Some(term) = &invoice.term {
                self.change(&term.subscription, |known| learn_unused(known, term, invoice));
            }
        }
    }

    fn change(&mut self, name: &SubscriptionId, change: impl FnOnce(Vec<Period>) -> Vec<Period>) {
        let number = self.numbers.get(name);
        if let Some(kept) = number.and_then(|number| self.kept.get_mut(number)) {
            kept.learned = change(std::mem::take(&mut kept.learned));
        }
    }

    /// Writes what changed; answers it.
    async fn keep(
        self,
        connection: &mut SqliteConnection,
        provider: &ProviderName,
        now: Timestamp,
    ) -> Result<Vec<Changed>, LedgerError> {
        let (mut gone, mut rows, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (number, kept) in self.kept {
            let same =
                |a: &Period, b: &Period| (&a.meter, a.span.start) == (&b.meter, b.span.start);
            gone.extend(
                kept.stored
                    .iter()
                    .filter(|(_, old)| !kept.learned.iter().any(|new| same(old, new)))
                    .map(|(id, _)| *id),
            );
            for period in kept.learned {
                if kept.stored.iter().any(|(_, old)| *old == period) {
                    continue;
                }
                rows.push(period_row(number, &kept.account, &period));
                changed.push(Changed { account: kept.account.clone(), period });
            }
        }
        sqlx::query(sql!("periods_forget"))
            .bind(json!(gone).to_string())
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
        sqlx::query(sql!("periods_keep"))
            .bind(provider.as_str())
            .bind(Value::from(rows).to_string())
            .bind(now.micros())
            .execute(connection)
            .await
            .map_err(ledger_error)?;
        Ok(changed)
    }
}

/// The subscriptions with a period that one of these bills, or was the draft of.
async fn subscriptions_of_invoices(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    invoices: &[InvoiceId],
) -> Result<Vec<SubscriptionId>, LedgerError> {
    if invoices.is_empty() {
        return Ok(Vec::new());
    }
    let invoices: Vec<&str> = invoices.iter().map(InvoiceId::as_str).collect();
    let rows = sqlx::query(sql!("subscriptions_of_invoices"))
        .bind(provider.as_str())
        .bind(json!(invoices).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    rows.iter().map(|row| row.name("name", SubscriptionId::new)).collect()
}

fn first_text(row: &Value) -> Option<&str> {
    row.get(0).and_then(Value::as_str)
}

fn subscription_row(told: &Subscription) -> Value {
    json!([
        told.id.as_str(),
        told.account.as_str(),
        told.status.as_str(),
        told.started_at.micros(),
        told.ended_at.map(Timestamp::micros),
        told.ends_at.map(Timestamp::micros),
    ])
}

fn period_row(number: i64, account: &AccountName, period: &Period) -> Value {
    json!([
        number,
        account.as_str(),
        period.meter.as_str(),
        period.span.start.micros(),
        period.span.end.micros(),
        period.closes_at.map(Timestamp::micros),
        period.closed_at.map(Timestamp::micros),
        period.invoice.as_ref().map(InvoiceId::as_str),
        period.billed.as_ref().map(ToString::to_string),
    ])
}

fn period(row: &SqliteRow) -> Result<Period, LedgerError> {
    Ok(Period {
        meter: row.name("meter", ProviderMeter::new)?,
        span: Window { start: row.time("start_at")?, end: row.time("end_at")? },
        closes_at: row.maybe_time("closes_at")?,
        closed_at: row.maybe_time("closed_at")?,
        invoice: row.maybe_name("invoice", InvoiceId::new)?,
        billed: row.maybe_quantity("billed")?,
    })
}

/// Has what changed periods concern looked at.
async fn follow_periods(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    changed: &[Changed],
    seen_at: Timestamp,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if changed.is_empty() {
        return Ok(());
    }
    let row = |Changed { account, period }: &Changed| {
        let draft = period.closes_at.filter(|_| period.closed_at.is_none());
        let last = draft.map(|at| at.plus_micros(-CLOSING_MARGIN_MICROS).micros());
        json!([
            provider.as_str(),
            account.as_str(),
            period.meter.as_str(),
            period.span.start.micros(),
            period.span.end.micros(),
            i64::from(draft.is_some()),
            last,
        ])
    };
    let rows = Value::from(changed.iter().map(row).collect::<Vec<_>>()).to_string();
    narrow_gauges(connection, &rows, now).await?;
    sqlx::query(sql!("balances_of_periods"))
        .bind(&rows)
        .bind(now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    hurry(connection, &rows).await?;
    let open = changed.iter().filter(|each| takes_usage(&each.period, seen_at));
    let open = Value::from(open.map(row).collect::<Vec<_>>()).to_string();
    let reopened = sqlx::query(sql!("events_reopened"))
        .bind(open)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let why = "its period takes usage after all";
    let again = |row: &SqliteRow| {
        let event = EventId(row.integer("id")?);
        let pending = Move::to(event, EventState::Pending, false, why);
        Ok(Move { next_attempt_at: Some(now), ..pending })
    };
    let moves: Vec<Move> = reopened.iter().map(again).collect::<Result<_, LedgerError>>()?;
    move_events(connection, &moves, now).await?;
    Ok(())
}

/// Has what waits for a draft go before everything else, and no later than the draft takes it.
async fn hurry(connection: &mut SqliteConnection, periods: &str) -> Result<(), LedgerError> {
    let waiting = sqlx::query(sql!("events_of_drafts"))
        .bind(periods)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    if waiting.is_empty() {
        return Ok(());
    }
    let (mut rows, mut lanes) = (Vec::new(), BTreeSet::new());
    for row in &waiting {
        rows.push(json!([row.integer("id")?, row.integer("last")?]));
        lanes.insert(row.integer("lane_id")?);
    }
    sqlx::query(sql!("events_hurry"))
        .bind(Value::from(rows).to_string())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    refresh_lanes(connection, &lanes.into_iter().collect::<Vec<_>>()).await
}

fn takes_usage(period: &Period, at: Timestamp) -> bool {
    let billing = Billing {
        ends_at: Some(period.span.end),
        closes_at: period.closes_at,
        closed_at: period.closed_at,
        ..Billing::default()
    };
    billing.standing(period.span.start, at) == BillingStanding::Open
}
