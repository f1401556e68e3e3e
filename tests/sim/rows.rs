//! The ledger's rows, as the auditor reads them. Here: statements of its own, and rows without
//! meaning. Never here: a check. Read next: [`crate::auditor`].

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::amount::Amount;

/// A record of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) position: i64,
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) meter: String,
    pub(crate) quantity: Amount,
    pub(crate) at: i64,
    pub(crate) properties: String,
}

/// A line of a balance.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: i64,
    pub(crate) record: i64,
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) meter: String,
    pub(crate) account: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) quantity: Amount,
    pub(crate) cause: String,
    /// The correction that it is of, where it is of one.
    pub(crate) cause_id: i64,
    /// Whether a cutover wrote it off.
    pub(crate) by_bill_from: bool,
    /// The corrections that it has in it, where a remap made it.
    pub(crate) corrected_to: i64,
}

/// A correction.
#[derive(Clone, Debug)]
pub(crate) struct Corrected {
    pub(crate) id: i64,
    pub(crate) record: String,
    pub(crate) name: String,
    /// What it would have the record count with, and instead of what; nothing where it cancels.
    pub(crate) to: Option<(Amount, Amount)>,
    pub(crate) who: String,
}

/// A total that was read.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) id: i64,
    pub(crate) meter: String,
    pub(crate) account: String,
    pub(crate) finding: String,
    pub(crate) detail: String,
}

/// A balance.
#[derive(Clone, Debug)]
pub(crate) struct Balance {
    pub(crate) id: i64,
    pub(crate) accrued: Amount,
    pub(crate) told: Amount,
    pub(crate) newest_at: i64,
    /// When its window begins.
    pub(crate) start: i64,
    /// When it ends.
    pub(crate) end: i64,
    /// Whether posting will look at it.
    pub(crate) due: bool,
    pub(crate) hold: Option<String>,
    /// The event of another gauge that says what this one is told.
    pub(crate) said_by: Option<i64>,
}

/// A meter event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) balance: i64,
    pub(crate) meter: String,
    pub(crate) account: String,
    pub(crate) identifier: String,
    /// The event that it cancels, and what that is called.
    pub(crate) target: Option<(i64, String)>,
    pub(crate) quantity: Amount,
    /// What it says, where that is a total.
    pub(crate) total: Option<Amount>,
    pub(crate) state: String,
    pub(crate) hold: Option<String>,
    pub(crate) ambiguous: bool,
    pub(crate) occurred_at: i64,
    pub(crate) first_attempt_at: Option<i64>,
    pub(crate) last_attempt_at: Option<i64>,
    pub(crate) attempts: i64,
}

impl Event {
    /// Whether it is certainly at the provider.
    pub(crate) fn is_certain(&self) -> bool {
        self.state == "settled"
    }

    /// Whether it is certainly not at the provider.
    pub(crate) fn is_absent(&self) -> bool {
        match self.state.as_str() {
            "pending" | "void" | "superseded" => true,
            "held" | "dead" => !self.ambiguous,
            _ => false,
        }
    }
}

/// A period, as the ledger knows it.
#[derive(Clone, Debug)]
pub(crate) struct Period {
    pub(crate) meter: String,
    pub(crate) account: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) closes_at: Option<i64>,
    pub(crate) closed_at: Option<i64>,
    pub(crate) invoice: Option<String>,
    pub(crate) billed: Option<Amount>,
}

/// A time of an account in which usage is on no bill, as the ledger knows it.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    pub(crate) account: String,
    pub(crate) start: i64,
    pub(crate) end: Option<i64>,
}

/// A move of an event.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) id: i64,
    pub(crate) event: i64,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// What was read of a ledger at one moment: rows that never change as far as they are new, the
/// others whole.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) records: Vec<Record>,
    pub(crate) watermark: i64,
    pub(crate) versions: Vec<(i64, String, String)>,
    pub(crate) parked: Vec<(i64, String, String)>,
    pub(crate) lines: Vec<Line>,
    pub(crate) balances: Vec<Balance>,
    pub(crate) events: Vec<Event>,
    pub(crate) moves: Vec<Move>,
    pub(crate) corrections: Vec<Corrected>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) periods: Vec<Period>,
    pub(crate) idle: Vec<Idle>,
}

/// How far the rows that never change were read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) record: i64,
    pub(crate) line: i64,
    pub(crate) step: i64,
    pub(crate) correction: i64,
    pub(crate) finding: i64,
}

fn amount(row: &SqliteRow, column: &str) -> Amount {
    let text: String = row.get(column);
    Amount::parse(&text).unwrap_or_else(|| panic!("{column} holds \"{text}\""))
}

/// Reads the ledger past what is known of it.
pub(crate) async fn read(ledger: &mut SqliteConnection, seen: Seen) -> Result<Rows, sqlx::Error> {
    sqlx::raw_sql("BEGIN").execute(&mut *ledger).await?;
    let rows = read_all(ledger, seen).await;
    sqlx::raw_sql("COMMIT").execute(&mut *ledger).await?;
    rows
}

async fn read_all(ledger: &mut SqliteConnection, seen: Seen) -> Result<Rows, sqlx::Error> {
    let watermark = sqlx::query("SELECT position FROM watermark WHERE room = 'accrual'")
        .fetch_one(&mut *ledger)
        .await?
        .get("position");
    let versions = sqlx::query("SELECT id, name, definition FROM route_version")
        .fetch_all(&mut *ledger)
        .await?
        .iter()
        .map(|row| (row.get("id"), row.get("name"), row.get("definition")))
        .collect();
    let parked = sqlx::query("SELECT record_position, route, reason FROM parked_record")
        .fetch_all(&mut *ledger)
        .await?
        .iter()
        .map(|row| (row.get("record_position"), row.get("route"), row.get("reason")))
        .collect();
    Ok(Rows {
        records: records(ledger, seen.record).await?,
        watermark,
        versions,
        parked,
        lines: lines(ledger, seen.line).await?,
        balances: balances(ledger).await?,
        events: events(ledger).await?,
        moves: moves(ledger, seen.step).await?,
        corrections: corrections(ledger, seen.correction).await?,
        findings: findings(ledger, seen.finding).await?,
        periods: periods(ledger).await?,
        idle: idle_times(ledger).await?,
    })
}

async fn corrections(
    ledger: &mut SqliteConnection,
    after: i64,
) -> Result<Vec<Corrected>, sqlx::Error> {
    let query = "SELECT id, record_id, name, kind, quantity, replaces, who FROM correction \
        WHERE id > ?1 ORDER BY id";
    let found = sqlx::query(query).bind(after).fetch_all(ledger).await?;
    let correction = |row: &SqliteRow| Corrected {
        id: row.get("id"),
        record: row.get("record_id"),
        name: row.get("name"),
        to: (row.get::<String, _>("kind") == "adjust")
            .then(|| (amount(row, "quantity"), amount(row, "replaces"))),
        who: row.get("who"),
    };
    Ok(found.iter().map(correction).collect())
}

async fn findings(ledger: &mut SqliteConnection, after: i64) -> Result<Vec<Finding>, sqlx::Error> {
    let query = "SELECT r.id, d.meter, l.account, r.finding, r.detail FROM reading AS r \
        JOIN lane AS l ON l.id = r.lane_id JOIN destination AS d ON d.id = l.destination_id \
        WHERE r.id > ?1 ORDER BY r.id";
    let found = sqlx::query(query).bind(after).fetch_all(ledger).await?;
    let finding = |row: &SqliteRow| Finding {
        id: row.get("id"),
        meter: row.get("meter"),
        account: row.get("account"),
        finding: row.get("finding"),
        detail: row.get("detail"),
    };
    Ok(found.iter().map(finding).collect())
}

async fn records(ledger: &mut SqliteConnection, after: i64) -> Result<Vec<Record>, sqlx::Error> {
    let query = "SELECT position, id, customer, meter, quantity, occurred_at, properties \
        FROM usage_record WHERE position > ?1 ORDER BY position";
    let found = sqlx::query(query).bind(after).fetch_all(ledger).await?;
    let record = |row: &SqliteRow| Record {
        position: row.get("position"),
        id: row.get("id"),
        customer: row.get("customer"),
        meter: row.get("meter"),
        quantity: amount(row, "quantity"),
        at: row.get("occurred_at"),
        properties: row.get("properties"),
    };
    Ok(found.iter().map(record).collect())
}

async fn lines(ledger: &mut SqliteConnection, after: i64) -> Result<Vec<Line>, sqlx::Error> {
    let query = "SELECT k.id, k.record_position, k.route_version_id, k.balance_id, d.meter, \
        b.account, b.window_start, b.window_end, k.quantity, k.cause, k.cause_id, \
        k.cause = 'write_off' AND EXISTS (SELECT 1 FROM resolution AS r WHERE r.id = k.cause_id \
        AND r.who LIKE 'policy:bill_from=%') AS by_bill_from, \
        coalesce(s.corrected_to, 0) AS corrected_to FROM booking AS k \
        LEFT JOIN remap_step AS s ON k.cause = 'remap_to' AND s.id = k.cause_id \
        JOIN balance AS b ON b.id = k.balance_id JOIN destination AS d ON d.id = k.destination_id \
        WHERE k.id > ?1 ORDER BY k.id";
    let found = sqlx::query(query).bind(after).fetch_all(ledger).await?;
    let line = |row: &SqliteRow| Line {
        id: row.get("id"),
        record: row.get("record_position"),
        version: row.get("route_version_id"),
        balance: row.get("balance_id"),
        meter: row.get("meter"),
        account: row.get("account"),
        start: row.get("window_start"),
        end: row.get("window_end"),
        quantity: amount(row, "quantity"),
        cause: row.get("cause"),
        cause_id: row.get("cause_id"),
        by_bill_from: row.get::<i64, _>("by_bill_from") == 1,
        corrected_to: row.get("corrected_to"),
    };
    Ok(found.iter().map(line).collect())
}

async fn balances(ledger: &mut SqliteConnection) -> Result<Vec<Balance>, sqlx::Error> {
    let query = "SELECT b.id, b.accrued, b.told, b.newest_at, b.window_start, b.window_end, b.due_at, b.said_by, h.reason \
        FROM balance AS b LEFT JOIN balance_hold AS h ON h.balance_id = b.id ORDER BY b.id";
    let found = sqlx::query(query).fetch_all(ledger).await?;
    let balance = |row: &SqliteRow| Balance {
        id: row.get("id"),
        accrued: amount(row, "accrued"),
        told: amount(row, "told"),
        newest_at: row.get("newest_at"),
        start: row.get("window_start"),
        end: row.get("window_end"),
        due: row.get::<Option<i64>, _>("due_at").is_some(),
        hold: row.get("reason"),
        said_by: row.get("said_by"),
    };
    Ok(found.iter().map(balance).collect())
}

async fn events(ledger: &mut SqliteConnection) -> Result<Vec<Event>, sqlx::Error> {
    let query = "SELECT e.id, e.balance_id, d.meter, b.account, e.identifier, e.quantity, \
        e.total, e.state, e.hold_reason, e.ambiguous, e.occurred_at, e.first_attempt_at, \
        e.last_attempt_at, e.attempts, t.id AS target, t.identifier AS target_identifier FROM meter_event AS e \
        JOIN balance AS b ON b.id = e.balance_id JOIN destination AS d ON d.id = b.destination_id \
        LEFT JOIN meter_event AS t ON t.id = e.target_id ORDER BY e.id";
    let found = sqlx::query(query).fetch_all(ledger).await?;
    let event = |row: &SqliteRow| Event {
        id: row.get("id"),
        balance: row.get("balance_id"),
        meter: row.get("meter"),
        account: row.get("account"),
        identifier: row.get("identifier"),
        target: row
            .get::<Option<i64>, _>("target")
            .map(|target| (target, row.get("target_identifier"))),
        quantity: amount(row, "quantity"),
        total: row.get::<Option<String>, _>("total").map(|_| amount(row, "total")),
        state: row.get("state"),
        hold: row.get("hold_reason"),
        ambiguous: row.get::<i64, _>("ambiguous") == 1,
        occurred_at: row.get("occurred_at"),
        first_attempt_at: row.get("first_attempt_at"),
        last_attempt_at: row.get("last_attempt_at"),
        attempts: row.get("attempts"),
    };
    Ok(found.iter().map(event).collect())
}

async fn periods(ledger: &mut SqliteConnection) -> Result<Vec<Period>, sqlx::Error> {
    let query = "SELECT meter, account, start_at, end_at, closes_at, closed_at, invoice, billed \
        FROM billing_period ORDER BY id";
    let found = sqlx::query(query).fetch_all(ledger).await?;
    let period = |row: &SqliteRow| Period {
        meter: row.get("meter"),
        account: row.get("account"),
        start: row.get("start_at"),
        end: row.get("end_at"),
        closes_at: row.get("closes_at"),
        closed_at: row.get("closed_at"),
        invoice: row.get("invoice"),
        billed: row.get::<Option<String>, _>("billed").map(|_| amount(row, "billed")),
    };
    Ok(found.iter().map(period).collect())
}

async fn idle_times(ledger: &mut SqliteConnection) -> Result<Vec<Idle>, sqlx::Error> {
    let query = "SELECT account, start_at, end_at FROM idle_time";
    let found = sqlx::query(query).fetch_all(ledger).await?;
    let idle = |row: &SqliteRow| Idle {
        account: row.get("account"),
        start: row.get("start_at"),
        end: row.get("end_at"),
    };
    Ok(found.iter().map(idle).collect())
}

async fn moves(ledger: &mut SqliteConnection, after: i64) -> Result<Vec<Move>, sqlx::Error> {
    let query = "SELECT id, event_id, from_state, to_state FROM event_move WHERE id > ?1 \
        ORDER BY id";
    let found = sqlx::query(query).bind(after).fetch_all(ledger).await?;
    let step = |row: &SqliteRow| Move {
        id: row.get("id"),
        event: row.get("event_id"),
        from: row.get("from_state"),
        to: row.get("to_state"),
    };
    Ok(found.iter().map(step).collect())
}
