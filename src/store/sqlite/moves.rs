//! Moves of events that are not in flight. Here: the one place that withdraws, supersedes, settles,
//! releases or writes off an event, and keeps what its balance was told in step. Never here: why a
//! move is made; leases and answers ([`super::delivery`]). Read next: [`super::posting`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::posting::refresh_lanes;
use super::sql;
use crate::domain::event::EventId;
use crate::domain::names::ProviderName;
use crate::domain::quantity::Quantity;
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::store::codec::{Columns, ledger_error};

/// One move.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) event: EventId,
    pub(super) to: EventState,
    pub(super) why: String,
    /// Why it is held, when it is.
    pub(super) hold: Option<(HoldReason, String)>,
    /// Whether some attempt of it may have landed, as far as is known after the move.
    pub(super) may_exist: bool,
    /// Whether its next attempt needs a new idempotency key.
    pub(super) new_key: bool,
    /// When it may be tried, when it is pending after the move.
    pub(super) next_attempt_at: Option<Timestamp>,
}

impl Move {
    /// A move to a state in which nothing more is sent.
    pub(super) fn to(event: EventId, to: EventState, may_exist: bool, why: &str) -> Self {
        let why = why.to_owned();
        Self { event, to, why, hold: None, may_exist, new_key: false, next_attempt_at: None }
    }
}

/// An event as it stands.
struct Present {
    state: EventState,
    balance: i64,
    lane: i64,
    quantity: Quantity,
    covers_from: i64,
    target: Option<i64>,
    leased: bool,
    may_exist: bool,
    is_archived: bool,
}

/// What the moves change in a balance.
struct Retold {
    change: Quantity,
    /// What was covered by an event that is told no longer is to be covered again.
    uncovered: Option<i64>,
}

impl Retold {
    fn nothing() -> Self {
        Self { change: Quantity::zero(), uncovered: None }
    }
}

/// Makes the moves, in their order. A cancel goes with its target: it counts for nothing without.
/// And a cancel that is settled settles its target: both are there, or neither, and no total can
/// tell which. An event whose records are archived stays what it is: that was final before they
/// went, and nothing is left here to tell anew. Answers how many moves were made.
///
/// # Errors
/// [`LedgerError::Busy`] when an event, or the cancel of one, is in flight: its answer decides
/// first. [`LedgerError::Contradiction`] when the state machine has no such move.
pub(super) async fn move_events(
    connection: &mut SqliteConnection,
    moves: &[Move],
    now: Timestamp,
) -> Result<u64, LedgerError> {
    if moves.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = moves.iter().map(|each| each.event.0).collect();
    let rows = sqlx::query(sql!("events_with_kin"))
        .bind(json!(ids).to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut events: BTreeMap<i64, Present> = BTreeMap::new();
    for row in &rows {
        events.insert(row.integer("id")?, present(row)?);
    }
    let mut changes = Changes::default();
    let mut made = 0;
    for each in moves {
        if events.get(&each.event.0).is_some_and(|event| event.is_archived) {
            continue;
        }
        changes.make(&mut events, each)?;
        made += 1;
        if !each.to.counts_as_told() {
            changes.supersede_cancels(&mut events, each.event)?;
        }
        if each.to == EventState::Settled {
            changes.settle_target(&mut events, each.event)?;
        }
    }
    for step in &changes.steps {
        sqlx::query(sql!("events_move"))
            .bind(Value::from(step.clone()).to_string())
            .bind(now.micros())
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
    }
    changes.retell_parts(connection).await?;
    retell(connection, &changes.balances).await?;
    let settled = moves.iter().filter(|each| each.to == EventState::Settled);
    compare_invoices_again(connection, settled.map(|each| each.event.0).collect()).await?;
    let lanes: Vec<i64> = changes.lanes.into_iter().collect();
    refresh_lanes(connection, &lanes).await?;
    let balances: Vec<i64> = changes.balances.into_keys().collect();
    ring_balances(connection, &balances, now).await?;
    Ok(made)
}

fn present(row: &SqliteRow) -> Result<Present, LedgerError> {
    Ok(Present {
        state: row.member("state", EventState::parse)?,
        balance: row.integer("balance_id")?,
        lane: row.integer("lane_id")?,
        quantity: row.quantity("quantity")?,
        covers_from: row.integer("covers_from")?,
        target: row.maybe_integer("target_id")?,
        leased: row.integer("attempts")? > 0,
        may_exist: row.flag("ambiguous")?,
        is_archived: row.flag("archived")?,
    })
}

/// The rows of the moves, and what they change around the events.
#[derive(Default)]
struct Changes {
    /// Moves that may be written together: an event is at most once in each.
    steps: Vec<Vec<Value>>,
    seen: BTreeMap<i64, usize>,
    balances: BTreeMap<i64, Retold>,
    lanes: BTreeSet<i64>,
    /// Whether events count as told, of those of which that changed.
    turned: BTreeMap<i64, bool>,
}

impl Changes {
    /// What an event says counts in a gauge that was part of its own as well, and no longer once it
    /// does not.
    async fn retell_parts(&mut self, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
        if self.turned.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.turned.keys().copied().collect();
        let rows = sqlx::query(sql!("gauges_said"))
            .bind(json!(ids).to_string())
            .fetch_all(connection)
            .await
            .map_err(ledger_error)?;
        for row in rows {
            let total = row.quantity("total")?;
            let counts = self.turned.get(&row.integer("event_id")?).copied().unwrap_or_default();
            let retold = self.balances.entry(row.integer("id")?).or_insert_with(Retold::nothing);
            retold.change = &retold.change + &if counts { total } else { -&total };
        }
        Ok(())
    }

    fn make(
        &mut self,
        events: &mut BTreeMap<i64, Present>,
        each: &Move,
    ) -> Result<(), LedgerError> {
        let id = each.event.0;
        let event = events
            .get_mut(&id)
            .ok_or_else(|| LedgerError::Contradiction(format!("there is no event {id}")))?;
        let (from, to) = (event.state, each.to);
        if from == EventState::InFlight {
            return Err(LedgerError::Busy(format!("event {id} is in flight").into()));
        }
        if !from.may_become(to) {
            let why = format!("event {id} is {from} and cannot become {to}");
            return Err(LedgerError::Contradiction(why));
        }
        let place = self.seen.entry(id).or_default();
        while self.steps.len() <= *place {
            self.steps.push(Vec::new());
        }
        self.steps[*place].push(json!([
            id,
            to.as_str(),
            each.why,
            each.hold.as_ref().map(|(reason, _)| reason.as_str()),
            each.hold.as_ref().map(|(_, detail)| detail),
            each.next_attempt_at.map(Timestamp::micros),
            i64::from(each.may_exist),
            i64::from(each.new_key),
        ]));
        *place += 1;
        self.lanes.insert(event.lane);
        let retold = self.balances.entry(event.balance).or_insert_with(Retold::nothing);
        if from.counts_as_told() && !to.counts_as_told() {
            retold.change = &retold.change - &event.quantity;
        } else if !from.counts_as_told() && to.counts_as_told() {
            retold.change = &retold.change + &event.quantity;
        }
        if from.counts_as_told() != to.counts_as_told() {
            // Twice is as it was.
            if self.turned.remove(&id).is_none() {
                self.turned.insert(id, to.counts_as_told());
            }
        }
        if matches!(to, EventState::Void | EventState::Superseded) {
            let earliest =
                retold.uncovered.map_or(event.covers_from, |at| at.min(event.covers_from));
            retold.uncovered = Some(earliest);
        }
        event.state = to;
        event.may_exist = each.may_exist;
        Ok(())
    }

    fn settle_target(
        &mut self,
        events: &mut BTreeMap<i64, Present>,
        cancel: EventId,
    ) -> Result<(), LedgerError> {
        let Some(target) = events.get(&cancel.0).and_then(|event| event.target) else {
            return Ok(());
        };
        match events.get(&target).map(|event| event.state) {
            Some(EventState::Accepted | EventState::Held) => {
                let why = "what cancels it is settled";
                self.make(events, &Move::to(EventId(target), EventState::Settled, true, why))
            }
            Some(
                EventState::Pending
                | EventState::InFlight
                | EventState::Unknown
                | EventState::Settled
                | EventState::Void
                | EventState::Superseded
                | EventState::Dead,
            )
            | None => Ok(()),
        }
    }

    fn supersede_cancels(
        &mut self,
        events: &mut BTreeMap<i64, Present>,
        target: EventId,
    ) -> Result<(), LedgerError> {
        let cancels: Vec<i64> = events
            .iter()
            .filter(|(_, event)| event.target == Some(target.0) && event.state.counts_as_told())
            .map(|(id, _)| *id)
            .collect();
        for id in cancels {
            let (state, leased, may_exist) = {
                let event = &events[&id];
                (event.state, event.leased, event.may_exist)
            };
            let why = "what it cancels does not count";
            let cancel = EventId(id);
            if state == EventState::Pending && !leased {
                self.make(events, &Move::to(cancel, EventState::Void, false, why))?;
                continue;
            }
            // The state machine goes through held: there a person could have done the same.
            if state != EventState::Held {
                let hold = Some((HoldReason::Refused, why.to_owned()));
                let held = Move { hold, ..Move::to(cancel, EventState::Held, may_exist, why) };
                self.make(events, &held)?;
            }
            self.make(events, &Move::to(cancel, EventState::Superseded, may_exist, why))?;
        }
        Ok(())
    }
}

/// Has final invoices over the usage of events that are settled by now compared with what was told
/// once more: what may have been there is there for certain, and an invoice that was final before
/// may not bill it.
async fn compare_invoices_again(
    connection: &mut SqliteConnection,
    settled: Vec<i64>,
) -> Result<(), LedgerError> {
    if settled.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("periods_uncompared"))
        .bind(json!(settled).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

async fn retell(
    connection: &mut SqliteConnection,
    balances: &BTreeMap<i64, Retold>,
) -> Result<(), LedgerError> {
    let ids: Vec<i64> = balances.keys().copied().collect();
    let rows = sqlx::query(sql!("balances_present"))
        .bind(json!(ids).to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut changed = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.integer("id")?;
        let Some(retold) = balances.get(&id) else { continue };
        let told = &row.quantity("told")? + &retold.change;
        let told_to = row.integer("told_to")?;
        let told_to = retold.uncovered.map_or(told_to, |from| told_to.min(from));
        changed.push(json!([id, told.to_string(), told_to]));
    }
    sqlx::query(sql!("balances_retell"))
        .bind(Value::from(changed).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// Has posting look again at all that is held of a provider.
pub(super) async fn ring_held(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    now: Timestamp,
) -> Result<(), LedgerError> {
    sqlx::query(sql!("balances_ring_held"))
        .bind(provider.as_str())
        .bind(now.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// Has posting look again at those of `balances` in which something is outstanding, or a cancel was
/// refused. A plan that was made meanwhile is out of date. What waits for its window goes on
/// waiting.
pub(super) async fn ring_balances(
    connection: &mut SqliteConnection,
    balances: &[i64],
    now: Timestamp,
) -> Result<(), LedgerError> {
    if balances.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("balances_ring"))
        .bind(json!(balances).to_string())
        .bind(now.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}
