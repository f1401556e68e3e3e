//! What a report reads, and the runs that are kept. Here: the verbs behind `tallyd reconcile`.
//! Never here: whether anything differs. Read next: [`super::reconcile`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;

use super::operator::rows_of;
use super::reconcile::keep_comparison;
use super::shares::{lines_of, shares};
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::balance::BalanceId;
use crate::domain::drift::{DriftKind, Role};
use crate::domain::fold::{Fold, Share};
use crate::domain::names::{AccountName, InvoiceId, ProviderMeter, ProviderName};
use crate::domain::quantity::Quantity;
use crate::domain::resolution::{ItemKind, ItemName};
use crate::domain::state::{HoldReason, ParkReason};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::reconcile::{Comparison, Concluded, LaneId};
use crate::ledger::report::{
    BilledPeriod, Comparand, Drift, Evidence, FinalPeriod, Found, LaneLoad, LaneLoads, Outstanding,
    ParkedUsage, Question, RECORDS_NAMED_MAX, ReportLedger, Run, SpanBooks, Suspect,
};
use crate::store::codec::{Columns, ledger_error, unreadable};

/// Attempts among which answers are looked for that tell how long one takes: some minutes of a busy
/// day.
const ANSWERS_MAX: i64 = 10_000;

#[async_trait]
impl ReportLedger for SqliteLedger {
    async fn lane_loads(
        &self,
        provider: &ProviderName,
        since: Timestamp,
    ) -> Result<LaneLoads, LedgerError> {
        let rows = sqlx::query(sql!("lane_loads"))
            .bind(provider.as_str())
            .bind(since.micros())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let load = |row: &SqliteRow| {
            let (account, meter) = place(row)?;
            Ok(LaneLoad { account, meter, busiest_day: row.integer("busiest_day")? })
        };
        let loads = rows.iter().map(load).collect::<Result<_, LedgerError>>()?;
        let rows = sqlx::query(sql!("answers_took"))
            .bind(provider.as_str())
            .bind(ANSWERS_MAX)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let median = rows.get(rows.len() / 2);
        let answer_micros = median.map(|row| row.integer("micros")).transpose()?;
        Ok(LaneLoads { loads, answer_micros })
    }

    async fn comparands(&self, question: &Question) -> Result<Vec<Comparand>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let mut found: Vec<Vec<SqliteRow>> = Vec::new();
        for statement in [sql!("report_periods"), sql!("report_comparands")] {
            let rows = sqlx::query(statement)
                .bind(question.provider.as_str())
                .bind(question.account.as_ref().map(AccountName::as_str))
                .bind(question.meter.as_ref().map(ProviderMeter::as_str))
                .bind(question.range.start.micros())
                .bind(question.range.end.micros())
                .fetch_all(&mut *reader)
                .await
                .map_err(ledger_error)?;
            found.push(rows);
        }
        let mut periods: BTreeMap<(AccountName, ProviderMeter), Vec<BilledPeriod>> =
            BTreeMap::new();
        for row in &found[0] {
            periods.entry(place(row)?).or_default().push(period(row)?);
        }
        let comparand = |row: &SqliteRow| {
            let place = place(row)?;
            let periods = periods.remove(&place).unwrap_or_default();
            let lane = row.maybe_integer("lane_id")?.map(LaneId);
            Ok(Comparand { account: place.0, meter: place.1, lane, periods })
        };
        found[1].iter().map(comparand).collect()
    }

    async fn is_booked(
        &self,
        provider: &ProviderName,
        comparand: &Comparand,
        span: Window,
    ) -> Result<bool, LedgerError> {
        let rows = self.of_place(sql!("report_booked"), provider, comparand, span).await?;
        rows.first().map_or(Ok(false), |row| row.flag("booked"))
    }

    async fn span_books(
        &self,
        provider: &ProviderName,
        comparand: &Comparand,
        span: Window,
    ) -> Result<SpanBooks, LedgerError> {
        let zero = Quantity::zero;
        let mut books = SpanBooks {
            accrued: zero(),
            told: zero(),
            written_off: zero(),
            carried: zero(),
            outstanding: Vec::new(),
        };
        for row in self.of_place(sql!("report_balances"), provider, comparand, span).await? {
            let (accrued, told) = (row.quantity("accrued")?, row.quantity("told")?);
            let hold = match row.maybe_member("reason", HoldReason::parse)? {
                Some(reason) => Some((reason, row.text("detail")?)),
                None => None,
            };
            let quantity = &accrued - &told;
            if !quantity.is_zero() {
                let balance = BalanceId(row.integer("id")?);
                let idle = hold.is_none() && row.maybe_integer("due_at")?.is_none();
                let too_fine = idle && quantity == row.quantity("finer")?;
                books.outstanding.push(Outstanding { balance, quantity, too_fine, hold });
            }
            let fold = row.member("fold", Fold::parse)?;
            let off = &self.level_written_off(fold, row.integer("id")?, &accrued).await?;
            books.written_off = &books.written_off + off;
            books.accrued = &books.accrued + &accrued;
            books.told = &books.told + &told;
        }
        for row in self.of_place(sql!("report_lines"), provider, comparand, span).await? {
            let transfer = row.text("cause")? == "transfer";
            let sum = if transfer { &mut books.carried } else { &mut books.written_off };
            *sum = &*sum - &row.quantity("quantity")?;
        }
        Ok(books)
    }

    async fn parked_usage(&self, range: Window) -> Result<Vec<ParkedUsage>, LedgerError> {
        let rows = sqlx::query(sql!("report_parked"))
            .bind(range.start.micros())
            .bind(range.end.micros())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let mut groups: BTreeMap<(String, String, String, ParkReason), ParkedUsage> =
            BTreeMap::new();
        for row in &rows {
            let (customer, meter) = (row.text("customer")?, row.text("meter")?);
            let (route, reason) = (row.text("route")?, row.member("reason", ParkReason::parse)?);
            let key = (customer.clone(), meter.clone(), route.clone(), reason);
            let group = groups.entry(key).or_insert_with(|| ParkedUsage {
                customer,
                meter,
                route,
                reason,
                quantity: Quantity::zero(),
                records: Vec::new(),
                more_records: 0,
            });
            group.quantity = &group.quantity + &row.quantity("quantity")?;
            if group.records.len() < RECORDS_NAMED_MAX {
                group.records.push(format!("{}/{}", row.text("source")?, row.text("id")?));
            } else {
                group.more_records += 1;
            }
        }
        Ok(groups.into_values().collect())
    }

    async fn evidence(&self, item: ItemName) -> Result<Evidence, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let statement = match item.kind {
            ItemKind::Event => sql!("report_event_records"),
            ItemKind::Balance => sql!("report_balance_records"),
            ItemKind::Conflict => return Ok(Evidence::default()),
        };
        let rows = sqlx::query(statement)
            .bind(item.number)
            .bind(i64::try_from(RECORDS_NAMED_MAX).unwrap_or(i64::MAX))
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut evidence = Evidence::default();
        for row in &rows {
            evidence.records.push(format!("{}/{}", row.text("source")?, row.text("id")?));
            let records = usize::try_from(row.integer("records")?).unwrap_or(usize::MAX);
            evidence.more_records = super::billing::count(records - rows.len().min(records));
        }
        if item.kind == ItemKind::Event {
            for row in rows_of(&mut reader, sql!("trace_attempts"), item.number).await? {
                evidence.attempts.push(attempt(&row)?);
            }
        }
        Ok(evidence)
    }

    async fn keep_run(&self, run: &Run) -> Result<i64, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let Question { provider, account, meter, range } = &run.question;
        let number = sqlx::query(sql!("reconcile_run_insert"))
            .bind(provider.as_str())
            .bind(account.as_ref().map(AccountName::as_str))
            .bind(meter.as_ref().map(ProviderMeter::as_str))
            .bind(range.start.micros())
            .bind(range.end.micros())
            .bind(run.begun_at.micros())
            .bind(run.ended_at.micros())
            .bind(run.calls)
            .bind(run.calls_min)
            .bind(i64::try_from(run.compared).unwrap_or(i64::MAX))
            .bind(i64::try_from(run.agreed).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .last_insert_rowid();
        let drifts: Vec<Value> = run.drifts.iter().map(drift_row).collect();
        sqlx::query(sql!("drifts_insert"))
            .bind(number)
            .bind(Value::from(drifts).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await?;
        Ok(number)
    }

    async fn runs(
        &self,
        provider: Option<&ProviderName>,
        limit: u32,
    ) -> Result<Vec<(i64, u64)>, LedgerError> {
        let rows = sqlx::query(sql!("reconcile_runs"))
            .bind(provider.map(ProviderName::as_str))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        let run = |row: &SqliteRow| {
            let drifts = row.integer("drifts")?;
            Ok((row.integer("id")?, u64::try_from(drifts).unwrap_or(u64::MAX)))
        };
        rows.iter().map(run).collect()
    }

    async fn run(&self, number: i64) -> Result<Option<Run>, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let rows = rows_of(&mut reader, sql!("reconcile_run_read"), number).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut run = run(row)?;
        for row in rows_of(&mut reader, sql!("drifts_of"), number).await? {
            run.drifts.push(drift(&row)?);
        }
        Ok(Some(run))
    }

    async fn final_periods(
        &self,
        provider: &ProviderName,
        limit: u32,
    ) -> Result<Vec<FinalPeriod>, LedgerError> {
        let rows = sqlx::query(sql!("periods_final"))
            .bind(provider.as_str())
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter().map(final_period).collect()
    }

    async fn note_compared(
        &self,
        periods: &[FinalPeriod],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let seen: Vec<Value> =
            periods.iter().map(|each| json!([each.number, each.learned_at.micros()])).collect();
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(sql!("periods_compared"))
            .bind(Value::from(seen).to_string())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await
    }

    async fn conclude_and_compare_next(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let concluded = keep_comparison(&mut transaction, comparison, None, now).await?;
        commit(transaction).await?;
        Ok(concluded)
    }
}

impl SqliteLedger {
    /// What of a level, which no lines sum up to, is written off: what it would be more without
    /// that. Of a sum nothing, which its lines say.
    async fn level_written_off(
        &self,
        fold: Fold,
        balance: i64,
        accrued: &Quantity,
    ) -> Result<Quantity, LedgerError> {
        match fold {
            Fold::Sum => return Ok(Quantity::zero()),
            Fold::Last | Fold::Gauge | Fold::Max | Fold::Unique => {}
        }
        let mut reader = self.readers.acquire().await.map_err(ledger_error)?;
        let lines = lines_of(&mut reader, balance).await?;
        let used = lines.iter().filter(|line| line.touch.cause.is_usage());
        let used: Vec<Share> = shares(used).into_values().collect();
        Ok(&fold.of(&used).unwrap_or_default() - accrued)
    }

    /// The rows of a statement over an account's meter and a span.
    async fn of_place(
        &self,
        statement: &'static str,
        provider: &ProviderName,
        comparand: &Comparand,
        span: Window,
    ) -> Result<Vec<SqliteRow>, LedgerError> {
        sqlx::query(statement)
            .bind(provider.as_str())
            .bind(comparand.meter.as_str())
            .bind(comparand.account.as_str())
            .bind(span.start.micros())
            .bind(span.end.micros())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)
    }
}

fn place(row: &SqliteRow) -> Result<(AccountName, ProviderMeter), LedgerError> {
    Ok((row.name("account", AccountName::new)?, row.name("meter", ProviderMeter::new)?))
}

fn period(row: &SqliteRow) -> Result<BilledPeriod, LedgerError> {
    Ok(BilledPeriod {
        span: Window { start: row.time("start_at")?, end: row.time("end_at")? },
        invoice: row.maybe_name("invoice", InvoiceId::new)?,
        billed: row.maybe_quantity("billed")?,
    })
}

fn final_period(row: &SqliteRow) -> Result<FinalPeriod, LedgerError> {
    let (account, meter) = place(row)?;
    Ok(FinalPeriod {
        number: row.integer("id")?,
        learned_at: row.time("learned_at")?,
        account,
        meter,
        lane: row.maybe_integer("lane_id")?.map(LaneId),
        span: Window { start: row.time("start_at")?, end: row.time("end_at")? },
        invoice: row.name("invoice", InvoiceId::new)?,
        billed: row.quantity("billed")?,
    })
}

/// `2026-01-01T00:00:00Z accepted 200 req_1 (key …)`.
fn attempt(row: &SqliteRow) -> Result<String, LedgerError> {
    let mut words = vec![row.time("begun_at")?.to_string()];
    words.push(row.maybe_text("outcome")?.unwrap_or_else(|| "no answer".to_owned()));
    words.extend(row.maybe_integer("status")?.map(|status| status.to_string()));
    words.extend(row.maybe_text("request_id")?);
    words.push(format!("(key {})", row.text("idempotency_key")?));
    Ok(words.join(" "))
}

fn drift_row(drift: &Drift) -> Value {
    let Drift { account, meter, span, found } = drift;
    let suspect = |each: &Suspect| {
        json!([
            each.item.to_string(),
            each.role.as_str(),
            each.set,
            each.quantity.to_string(),
            each.state,
            each.records,
            each.more_records,
            each.attempts,
        ])
    };
    let suspects: Vec<Value> = found.suspects.iter().map(suspect).collect();
    json!([
        account,
        meter,
        span.start.micros(),
        span.end.micros(),
        found.kind.as_str(),
        found.quantity.to_string(),
        found.detail,
        Value::from(suspects).to_string(),
    ])
}

fn run(row: &SqliteRow) -> Result<Run, LedgerError> {
    let range = Window { start: row.time("range_start")?, end: row.time("range_end")? };
    let small = |column| Ok(u32::try_from(row.integer(column)?).unwrap_or(u32::MAX));
    let large = |column| Ok(u64::try_from(row.integer(column)?).unwrap_or(u64::MAX));
    Ok(Run {
        question: Question {
            provider: row.name("provider", ProviderName::new)?,
            account: row.maybe_name("account", AccountName::new)?,
            meter: row.maybe_name("meter", ProviderMeter::new)?,
            range,
        },
        begun_at: row.time("begun_at")?,
        ended_at: row.time("ended_at")?,
        calls: small("calls")?,
        calls_min: small("calls_min")?,
        compared: large("compared")?,
        agreed: large("agreed")?,
        drifts: Vec::new(),
    })
}

fn drift(row: &SqliteRow) -> Result<Drift, LedgerError> {
    let text = row.text("suspects")?;
    let broken = || unreadable("suspects", &text);
    let all: Vec<Value> = serde_json::from_str(&text).map_err(|_| broken())?;
    let suspects = all.iter().map(|each| suspect(each).ok_or_else(broken));
    Ok(Drift {
        account: row.maybe_text("account")?,
        meter: row.text("meter")?,
        span: Window { start: row.time("start_at")?, end: row.time("end_at")? },
        found: Found {
            kind: row.member("kind", DriftKind::parse)?,
            quantity: row.quantity("quantity")?,
            detail: row.text("detail")?,
            suspects: suspects.collect::<Result<_, _>>()?,
        },
    })
}

fn suspect(value: &Value) -> Option<Suspect> {
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    Some(Suspect {
        item: ItemName::parse(value[0].as_str()?)?,
        role: Role::parse(value[1].as_str()?)?,
        set: u32::try_from(value[2].as_u64()?).ok()?,
        quantity: Quantity::parse_unbounded(value[3].as_str()?).ok()?,
        state: value[4].as_str()?.to_owned(),
        records: texts(&value[5])?,
        more_records: value[6].as_u64()?,
        attempts: texts(&value[7])?,
    })
}
