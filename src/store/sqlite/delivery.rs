//! Delivery's verbs: leases, answers, what is pinned of a provider. Here: their statements. Never
//! here: what an answer means. Read next: [`super::operator`].

pub(super) mod facts;

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use facts::{meter_pin, provider_facts};

use super::moves::ring_balances;
use super::posting::{billing, refresh_lanes};
use super::{SqliteLedger, begin, commit, sql};
use crate::domain::event::{EventId, EventKind, Identifier, Says};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::period::{Billing, BillingStanding};
use crate::domain::provider_facts::{AccountPin, ClockReading, Lanes, MeterPin, Span};
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::delivery::{
    AttemptId, DeliveryLedger, LeaseTerms, Leased, Leases, MeterChange, PinCheck, ProviderFacts,
    Settlement,
};
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl DeliveryLedger for SqliteLedger {
    fn free_bytes(&self) -> Result<u64, LedgerError> {
        self.free_bytes_on_disk()
    }

    async fn recover_in_flight(&self, now: Timestamp) -> Result<u64, LedgerError> {
        self.recover(now).await
    }

    async fn lease(
        &self,
        provider: &ProviderName,
        terms: LeaseTerms,
    ) -> Result<Leases, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let rows = sqlx::query(sql!("lanes_ready"))
            .bind(provider.as_str())
            .bind(terms.now.micros())
            .bind(terms.limit)
            .bind(terms.lanes == Lanes::OfAccounts)
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let mut candidates: Vec<Candidate> =
            rows.iter().map(candidate).collect::<Result<_, LedgerError>>()?;
        if terms.lanes == Lanes::OfAccounts {
            let mut told = BTreeSet::new();
            candidates.retain(|candidate| told.insert(candidate.leased.account.clone()));
        }
        let estimate = terms.provider_clock.estimate(terms.now);
        let (expired, ready): (Vec<Candidate>, Vec<Candidate>) = candidates
            .into_iter()
            .partition(|candidate| candidate.expiry(terms.dedupe_floor, estimate).is_some());
        hold_expired(&mut transaction, &expired, &terms, estimate).await?;
        let sent_through = ready.iter().map(|candidate| candidate.occurred_at).max();
        let leased = lease_ready(&mut transaction, ready, &terms, estimate, self.epoch).await?;
        commit(transaction).await?;
        drop(writer);
        // Nothing is sent before the fence says so, on disk: a backup that is restored later does
        // not know of it.
        if let (Some(fence), Some(last), Some(sent_through)) =
            (&self.fence, leased.last(), sent_through)
        {
            fence.advance(last.attempt.0, sent_through).await.map_err(|why| {
                let path = fence.path().display();
                LedgerError::Broken(format!("the fence {path} cannot be written: {why}").into())
            })?;
        }
        Ok(Leases { leased, expired: u64::try_from(expired.len()).unwrap_or(u64::MAX) })
    }

    async fn settle(
        &self,
        provider: &ProviderName,
        settlements: Vec<Settlement>,
        clock: Option<ClockReading>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let recorded = self.record(provider, &settlements, clock, now).await;
        if self.makes_room_for(&recorded) {
            return self.record(provider, &settlements, clock, now).await;
        }
        recorded
    }

    async fn next_attempt_at(
        &self,
        provider: &ProviderName,
    ) -> Result<Option<Timestamp>, LedgerError> {
        sqlx::query(sql!("lane_next_attempt"))
            .bind(provider.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(ledger_error)?
            .maybe_time("next_attempt_at")
    }

    async fn provider_facts(&self, provider: &ProviderName) -> Result<ProviderFacts, LedgerError> {
        let mut reader = self.readers.begin().await.map_err(ledger_error)?;
        let row = sqlx::query(sql!("provider_read"))
            .bind(provider.as_str())
            .fetch_optional(&mut *reader)
            .await
            .map_err(ledger_error)?;
        let mut facts = match row {
            Some(row) => provider_facts(&row)?,
            None => ProviderFacts::default(),
        };
        let rows = sqlx::query(sql!("provider_meters"))
            .bind(provider.as_str())
            .fetch_all(&mut *reader)
            .await
            .map_err(ledger_error)?;
        facts.meters = rows.iter().map(|row| meter_pin(row, "id")).collect::<Result<_, _>>()?;
        Ok(facts)
    }

    async fn pin_account(
        &self,
        provider: &ProviderName,
        pin: &AccountPin,
        now: Timestamp,
    ) -> Result<PinCheck, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let row = sqlx::query(sql!("provider_read"))
            .bind(provider.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let pinned = row.as_ref().map(provider_facts).transpose()?.and_then(|facts| facts.pin);
        let check = match pinned {
            None => PinCheck::Pinned,
            Some(pinned) if pinned.livemode != pin.livemode => PinCheck::Other(pinned),
            Some(pinned) if pinned.account == pin.account || pin.account.is_none() => {
                PinCheck::Same
            }
            // An earlier key could not tell the account; this one can.
            Some(AccountPin { account: None, .. }) => PinCheck::Pinned,
            Some(pinned) => PinCheck::Other(pinned),
        };
        if check == PinCheck::Pinned {
            sqlx::query(sql!("provider_pin"))
                .bind(provider.as_str())
                .bind(pin.account.as_deref())
                .bind(pin.livemode)
                .bind(now.micros())
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
            commit(transaction).await?;
        }
        Ok(check)
    }

    async fn pin_meters(
        &self,
        provider: &ProviderName,
        meters: &[MeterPin],
        now: Timestamp,
    ) -> Result<Vec<MeterChange>, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let rows = sqlx::query(sql!("provider_meters"))
            .bind(provider.as_str())
            .fetch_all(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        let pinned: Vec<MeterPin> =
            rows.iter().map(|row| meter_pin(row, "id")).collect::<Result<_, _>>()?;
        let mut changes = Vec::new();
        let mut kept = Vec::new();
        for found in meters {
            match pinned.iter().find(|pinned| pinned.meter == found.meter) {
                Some(pinned) if !pinned.means_the_same(found) => {
                    changes.push(MeterChange { pinned: pinned.clone(), found: found.clone() })
                }
                Some(_) | None => kept.push(json!([
                    found.meter.as_str(),
                    found.id,
                    found.formula.as_str(),
                    found.customer_key,
                    found.value_key,
                    found.span.map(Span::as_str),
                    i64::from(found.active),
                    i64::from(found.learned),
                ])),
            }
        }
        sqlx::query(sql!("provider_meters_pin"))
            .bind(provider.as_str())
            .bind(Value::from(kept).to_string())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?;
        commit(transaction).await?;
        Ok(changes)
    }

    async fn read_clock(
        &self,
        provider: &ProviderName,
        reading: ClockReading,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        keep_clock(&mut transaction, provider, reading, AskedFor::Yes).await?;
        commit(transaction).await
    }

    async fn pause(
        &self,
        provider: &ProviderName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        // It goes before the answers that it came with, and must not stop them.
        let recorded = self.record_pause(provider, reason, now).await;
        if self.makes_room_for(&recorded) {
            return self.record_pause(provider, reason, now).await;
        }
        recorded
    }
}

/// An event that may be leased.
struct Candidate {
    leased: Leased,
    lane: i64,
    first_attempt_at: Option<Timestamp>,
    deadline_at: Timestamp,
    /// What is known of how it is billed.
    billing: Billing,
    /// Whether its meter is known to take events no longer.
    refuses: bool,
    occurred_at: Timestamp,
}

impl Candidate {
    /// Why its period takes it no longer, or may not, if so.
    fn late_for(&self, provider_now: Timestamp) -> Option<(HoldReason, String)> {
        match self.billing.standing(self.occurred_at, provider_now) {
            // Of what no subscription bills, posting decides.
            BillingStanding::Open | BillingStanding::NotYet(_) | BillingStanding::NoLonger(_) => {
                None
            }
            BillingStanding::Closed(at) => {
                Some((HoldReason::LateForPeriod, format!("the period was closed at {at}")))
            }
            BillingStanding::Unseen(at) => {
                let why = format!(
                    "the period ended at {at}, and no draft of it was seen that still takes usage"
                );
                Some((HoldReason::LateForPeriod, why))
            }
            // What may be there already is asked for again while its name is recognised: that ends
            // sooner than its period is learned.
            BillingStanding::Unlearned(_) | BillingStanding::Idle(_) if self.leased.ambiguous => {
                None
            }
            // What is taken away there is on no bill.
            BillingStanding::Idle(_) if self.leased.says.kind() == EventKind::Cancel => None,
            BillingStanding::Idle(at) => {
                let why = format!("nothing of what was used since {at} is billed");
                Some((HoldReason::NoPeriod, why))
            }
            BillingStanding::Unlearned(at) => {
                let why = format!(
                    "no period that holds it is known, and the one beside it has its bound at {at}"
                );
                Some((HoldReason::NoPeriod, why))
            }
        }
    }

    /// Why it must not be sent any more, and the particulars, if so.
    fn expiry(
        &self,
        dedupe_floor: Option<Timestamp>,
        provider_now: Timestamp,
    ) -> Option<(HoldReason, String)> {
        let tried = self.first_attempt_at.filter(|_| self.leased.ambiguous);
        let window_passed = |first: Timestamp| {
            let forgotten = match dedupe_floor {
                Some(_) => "may have forgotten the identifier",
                None => "recognises nothing that it was told before",
            };
            let why = format!("first tried at {first}; the provider {forgotten}");
            (HoldReason::WindowPassed, why)
        };
        if let Some(first) = tried.filter(|first| dedupe_floor.is_none_or(|floor| *first < floor)) {
            return Some(window_passed(first));
        }
        // Whether it may be there already or not: only the closed bill itself can tell.
        if let Some(late) = self.late_for(provider_now) {
            return Some(late);
        }
        if self.deadline_at < provider_now {
            // What may be there already is a question for the provider's totals, not for its age.
            let why = || format!("the provider took it until {}", self.deadline_at);
            return Some(tried.map_or_else(|| (HoldReason::DeadlinePassed, why()), window_passed));
        }
        // Some of what a deactivated meter is sent is taken, and rejected only later.
        let why = || "the meter was deactivated before it was sent".to_owned();
        (self.refuses && !self.leased.ambiguous).then(|| (HoldReason::NoMeter, why()))
    }
}

fn candidate(row: &SqliteRow) -> Result<Candidate, LedgerError> {
    let identifier = Identifier::stored(&row.text("identifier")?);
    let idempotency_key = identifier.idempotency_key(row.integer("generation")?);
    let occurred_at = row.time("occurred_at")?;
    let says = match row.maybe_text("target")? {
        Some(target) => Says::Cancel(Identifier::stored(&target)),
        None => Says::Usage,
    };
    Ok(Candidate {
        leased: Leased {
            event: EventId(row.integer("id")?),
            // Numbered when it is leased.
            attempt: AttemptId(0),
            attempt_number: row.integer("attempts")? + 1,
            failures: row.integer("failures")?,
            identifier,
            says,
            idempotency_key,
            meter: row.name("meter", ProviderMeter::new)?,
            account: row.name("account", AccountName::new)?,
            body: row.blob("body")?,
            ambiguous: row.flag("ambiguous")?,
        },
        lane: row.integer("lane_id")?,
        first_attempt_at: row.maybe_time("first_attempt_at")?,
        deadline_at: row.time("deadline_at")?,
        billing: billing(row)?,
        refuses: row.maybe_integer("active")? == Some(0),
        occurred_at,
    })
}

async fn hold_expired(
    connection: &mut SqliteConnection,
    expired: &[Candidate],
    terms: &LeaseTerms,
    provider_now: Timestamp,
) -> Result<(), LedgerError> {
    if expired.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = expired
        .iter()
        .filter_map(|candidate| {
            let (reason, detail) = candidate.expiry(terms.dedupe_floor, provider_now)?;
            Some(json!([candidate.leased.event.0, reason.as_str(), detail]))
        })
        .collect();
    let held = sqlx::query(sql!("events_expire"))
        .bind(Value::from(rows).to_string())
        .bind(terms.now.micros())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    // A correction may have waited for what became of them.
    let balances: Vec<i64> =
        held.iter().map(|row| row.integer("balance_id")).collect::<Result<_, _>>()?;
    ring_balances(connection, &balances, terms.now).await?;
    let lanes: Vec<i64> = expired.iter().map(|candidate| candidate.lane).collect();
    refresh_lanes(connection, &lanes).await
}

/// Commits the intent to send: the attempts, the leases, the lanes.
async fn lease_ready(
    connection: &mut SqliteConnection,
    ready: Vec<Candidate>,
    terms: &LeaseTerms,
    provider_now: Timestamp,
    epoch: i64,
) -> Result<Vec<Leased>, LedgerError> {
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    let mut attempt = sqlx::query(sql!("attempt_end"))
        .fetch_one(&mut *connection)
        .await
        .map_err(ledger_error)?
        .integer("id")?;
    let mut leased = Vec::with_capacity(ready.len());
    let mut rows = Vec::with_capacity(ready.len());
    for mut candidate in ready {
        attempt += 1;
        candidate.leased.attempt = AttemptId(attempt);
        rows.push(json!([
            attempt,
            candidate.leased.event.0,
            candidate.leased.attempt_number,
            candidate.leased.idempotency_key,
            candidate.lane,
        ]));
        leased.push(candidate.leased);
    }
    let rows = Value::from(rows).to_string();
    sqlx::query(sql!("attempts_insert"))
        .bind(&rows)
        .bind(epoch)
        .bind(terms.now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let last_attempt_at = provider_now.plus_micros(terms.attempt_span_micros);
    let done = sqlx::query(sql!("events_lease"))
        .bind(&rows)
        .bind(epoch)
        .bind(terms.now.micros())
        .bind(terms.provider_clock.provider_at.micros())
        .bind(last_attempt_at.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    if usize::try_from(done.rows_affected()).ok() != Some(leased.len()) {
        let why = "an event that waited could not be leased".to_owned();
        return Err(LedgerError::Contradiction(why));
    }
    sqlx::query(sql!("lanes_lease"))
        .bind(&rows)
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    Ok(leased)
}

pub(super) async fn free_lanes(
    connection: &mut SqliteConnection,
    lanes: &[i64],
) -> Result<(), LedgerError> {
    sqlx::query(sql!("lanes_free"))
        .bind(json!(lanes).to_string())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    refresh_lanes(connection, lanes).await
}

/// Whether the provider was asked for its time, or an answer brought it along.
#[derive(Clone, Copy)]
pub(super) enum AskedFor {
    Yes,
    No,
}

pub(super) async fn keep_clock(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    reading: ClockReading,
    asked_for: AskedFor,
) -> Result<(), LedgerError> {
    sqlx::query(sql!("provider_clock"))
        .bind(provider.as_str())
        .bind(reading.provider_at.micros())
        .bind(reading.local_at.micros())
        .bind(matches!(asked_for, AskedFor::Yes))
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}
