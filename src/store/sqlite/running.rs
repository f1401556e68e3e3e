//! What lines make of a balance. Here: balances while lines are added to them, and the one place
//! that changes what a balance accrued. Never here: why a line is made. Read next:
//! [`super::shares`].

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::shares::{lines_of, shares};
use super::sql;
use super::unique::{self, Touched};
use crate::domain::balance::BalanceKey;
use crate::domain::correction::Cause;
use crate::domain::digest::{Digest, Fields};
use crate::domain::fold::{Fold, Share};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::domain::time::Timestamp;
use crate::domain::unique::Member;
use crate::ledger::LedgerError;
use crate::ledger::accrual::RouteVersionId;
use crate::store::codec::{Columns, ledger_error};

/// The running digest of a balance after one more booking: who, how much, when.
pub(super) fn chain(
    digest: &Digest,
    identity: &[u8],
    quantity: &Quantity,
    at: Timestamp,
) -> Digest {
    Fields::of("balance digest 1")
        .bytes(digest)
        .bytes(identity)
        .text(&quantity.to_string())
        .number(at.micros())
        .finish()
}

/// A balance while lines are added to it.
pub(super) struct Running {
    pub(super) id: i64,
    pub(super) destination: i64,
    pub(super) fold: Fold,
    pub(super) accrued: Quantity,
    pub(super) told: Quantity,
    /// Whether any record counts in it; not kept of what adds up.
    pub(super) reads: bool,
    pub(super) digest: Digest,
    pub(super) newest_at: Timestamp,
    /// The time of the record that counts alone, where the newest does and any counts.
    pub(super) stands_at: Option<Timestamp>,
    pub(super) booked_to: i64,
    pub(super) due_at: Option<Timestamp>,
    /// Where it counts distinct values: those that lines were added of.
    pub(super) touched: BTreeMap<Member, Touched>,
    /// Whether what it accrued is to be derived from all its lines again.
    stale: bool,
}

/// A line of a balance: what a record, or what was later done about it, adds to it.
pub(super) struct Line<'a> {
    pub(super) position: Position,
    pub(super) identity: &'a [u8],
    pub(super) occurred_at: Timestamp,
    pub(super) route: RouteVersionId,
    pub(super) quantity: &'a Quantity,
    pub(super) member: Option<Member>,
    pub(super) cause: (Cause, i64),
}

impl Running {
    /// The balance that a row holds.
    fn of(row: &SqliteRow) -> Result<Self, LedgerError> {
        Ok(Self {
            id: row.integer("id")?,
            destination: row.integer("destination_id")?,
            fold: row.member("fold", Fold::parse)?,
            accrued: row.quantity("accrued")?,
            told: row.quantity("told")?,
            reads: row.flag("reads")?,
            digest: row.digest("digest")?,
            newest_at: row.time("newest_at")?,
            stands_at: row.maybe_time("stands_at")?,
            booked_to: row.integer("booked_to")?,
            due_at: row.maybe_time("due_at")?,
            touched: BTreeMap::new(),
            stale: false,
        })
    }

    /// The balance of this number.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        balance: i64,
    ) -> Result<Self, LedgerError> {
        let row = sqlx::query(sql!("balance_sums"))
            .bind(balance)
            .fetch_one(connection)
            .await
            .map_err(ledger_error)?;
        Self::of(&row)
    }

    /// Adds a line to the balance; answers the row it is kept as, under the number `id`.
    pub(super) fn add(&mut self, id: i64, line: &Line<'_>) -> Value {
        self.accrue(line);
        self.digest = chain(&self.digest, line.identity, line.quantity, line.occurred_at);
        self.newest_at = self.newest_at.max(line.occurred_at);
        self.booked_to = id;
        json!([
            id,
            line.position.0,
            self.destination,
            line.route.0,
            self.id,
            line.quantity.to_string(),
            line.cause.0.as_str(),
            line.cause.1,
            line.member.map(|member| hex::encode(member.0)),
        ])
    }

    /// A sum grows by every line. A level is known at once where its newest or its largest record
    /// comes, and stays where a newest one has an older record beside it; whatever else is done to
    /// it has it derived from all its lines. Of distinct values each is looked at by itself.
    fn accrue(&mut self, line: &Line<'_>) {
        let at = line.occurred_at;
        match (self.fold, line.cause.0) {
            (Fold::Sum, _) => self.accrued = &self.accrued + line.quantity,
            (Fold::Last | Fold::Gauge, Cause::Record) => {
                match self.stands_at.map(|own| at.cmp(&own)) {
                    None | Some(Ordering::Greater) => {
                        (self.accrued, self.reads) = (line.quantity.clone(), true);
                        self.stands_at = Some(at);
                    }
                    Some(Ordering::Less) => {}
                    // Which of the two came last is where they stand in the journal.
                    Some(Ordering::Equal) => self.stale = true,
                }
            }
            (Fold::Max, Cause::Record) => {
                if *line.quantity > self.accrued {
                    (self.accrued, self.reads) = (line.quantity.clone(), true);
                }
            }
            (Fold::Unique, cause) => self.touch(line, cause),
            (
                Fold::Last | Fold::Gauge | Fold::Max,
                Cause::Correction
                | Cause::WriteOff
                | Cause::Reversal
                | Cause::Presence
                | Cause::Transfer
                | Cause::RemapFrom
                | Cause::RemapTo,
            ) => self.stale = true,
        }
    }

    /// Notes of which value a line is. A record's own line is its first here, so that the value
    /// stands for that much at the least; any other may take from it.
    fn touch(&mut self, line: &Line<'_>, cause: Cause) {
        let Some(member) = line.member else {
            self.stale = true;
            return;
        };
        let touched =
            self.touched.entry(member).or_insert_with(|| Touched::AtLeast(Quantity::zero()));
        match (touched, cause) {
            (Touched::AtLeast(least), Cause::Record) => {
                if line.quantity > least {
                    *least = line.quantity.clone();
                }
            }
            (Touched::Stale, Cause::Record) => {}
            (
                touched,
                Cause::Correction
                | Cause::WriteOff
                | Cause::Reversal
                | Cause::Presence
                | Cause::Transfer
                | Cause::RemapFrom
                | Cause::RemapTo,
            ) => *touched = Touched::Stale,
        }
    }

    /// Derives what it accrued from all its lines, where that is needed.
    async fn derive(&mut self, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
        if !self.stale {
            return Ok(());
        }
        let lines = lines_of(connection, self.id).await?;
        let shares: Vec<Share> = shares(&lines).into_values().collect();
        let level = self.fold.of(&shares);
        self.reads = level.is_some() && !self.fold.adds_up();
        self.stands_at = self.fold.stands_at(&shares);
        self.accrued = level.unwrap_or_default();
        self.stale = false;
        Ok(())
    }
}

/// The number of the newest line.
pub(super) async fn newest_line(connection: &mut SqliteConnection) -> Result<i64, LedgerError> {
    sqlx::query(sql!("booking_end"))
        .fetch_one(connection)
        .await
        .map_err(ledger_error)?
        .integer("id")
}

/// Keeps the rows that [`Running::add`] made, and the balances as they are with them.
pub(super) async fn append_lines(
    connection: &mut SqliteConnection,
    rows: Vec<Value>,
    balances: impl Iterator<Item = &mut Running>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    sqlx::query(sql!("bookings_insert"))
        .bind(Value::from(rows).to_string())
        .bind(now.micros())
        .execute(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut changed: Vec<Value> = Vec::new();
    let mut balances: Vec<&mut Running> = balances.collect();
    unique::count(&mut *connection, &mut balances).await?;
    for running in balances {
        running.derive(&mut *connection).await?;
        changed.push(json!([
            running.id,
            running.accrued.to_string(),
            hex::encode(running.digest),
            running.newest_at.micros(),
            running.booked_to,
            running.due_at.map(Timestamp::micros),
            i64::from(running.reads),
            running.stands_at.map(Timestamp::micros),
        ]));
    }
    sqlx::query(sql!("balances_accrue"))
        .bind(Value::from(changed).to_string())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(())
}

/// Makes the balances that are not there yet, each with its fold, and reads all of `keys`.
pub(super) async fn open_balances(
    connection: &mut SqliteConnection,
    keys: &BTreeMap<&BalanceKey, Fold>,
) -> Result<BTreeMap<BalanceKey, Running>, LedgerError> {
    let wanted: Vec<Value> = keys.iter().map(|(key, fold)| asked(key, *fold)).collect();
    let wanted = Value::from(wanted).to_string();
    for statement in [sql!("destinations_make"), sql!("balances_make")] {
        sqlx::query(statement)
            .bind(&wanted)
            .execute(&mut *connection)
            .await
            .map_err(ledger_error)?;
    }
    let rows = sqlx::query(sql!("balances_read"))
        .bind(&wanted)
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let keys: Vec<&BalanceKey> = keys.keys().copied().collect();
    let mut balances = BTreeMap::new();
    for row in rows {
        let index = usize::try_from(row.integer("place")?).unwrap_or(usize::MAX);
        let key = keys
            .get(index)
            .ok_or_else(|| LedgerError::Contradiction("a balance answers to no key".to_owned()))?;
        balances.insert((*key).clone(), Running::of(&row)?);
    }
    Ok(balances)
}

/// A balance as statements are asked for it.
fn asked(key: &BalanceKey, fold: Fold) -> Value {
    json!([
        key.provider.as_str(),
        key.meter.as_str(),
        key.account.as_str(),
        key.dimensions,
        key.window.start.micros(),
        key.window.end.micros(),
        key.record.map_or(0, |position| position.0),
        fold.as_str(),
    ])
}

/// How those of `keys` fold that are there.
pub(super) async fn folds(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<BalanceKey>,
) -> Result<BTreeMap<BalanceKey, Fold>, LedgerError> {
    // Which fold is asked for makes no difference to what is there.
    let wanted: Vec<Value> = keys.iter().map(|key| asked(key, Fold::Sum)).collect();
    let rows = sqlx::query(sql!("balances_read"))
        .bind(Value::from(wanted).to_string())
        .fetch_all(connection)
        .await
        .map_err(ledger_error)?;
    let keys: Vec<&BalanceKey> = keys.iter().collect();
    let mut folds = BTreeMap::new();
    for row in rows {
        let index = usize::try_from(row.integer("place")?).unwrap_or(usize::MAX);
        if let Some(key) = keys.get(index) {
            folds.insert((*key).clone(), row.member("fold", Fold::parse)?);
        }
    }
    Ok(folds)
}
