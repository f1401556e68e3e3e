//! The ledger's statements, each in its own file. Here: none dead, none missing, each prepared on a
//! fresh ledger, each with the plan that the engine makes of it. Never here: what a statement means
//! (the journey shows that). Read next: [`crate::schema`].
//!
//! The plans are a snapshot, so that a new scan of a whole table is a visible difference. They are
//! made twice: on a ledger that is empty, and on one that is filled and analyzed; a plan that only
//! holds for one of them would change under a running daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor as _, Row as _, SqlSafeStr as _};
use tallyd::domain::time::Timestamp;
use tallyd::store::Settings;
use tallyd::store::sqlite::SqliteLedger;

const QUERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sqlite/queries");
const STORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");

/// The statements that run for every batch of records or events: none of them may read a whole
/// table, however many rows the ledger holds.
const HOT: &[&str] = &[
    "accounts_of",
    "attempt_end",
    "attempts_insert",
    "balance_holds_end",
    "balance_holds_make",
    "balance_next_due",
    "balances_accrue",
    "balances_due",
    "balances_make",
    "balances_present",
    "balances_read",
    "balances_tell",
    "booking_end",
    "bookings_insert",
    "cadences_keep",
    "cadences_of",
    "conflicts_insert",
    "destinations_make",
    "events_expire",
    "events_insert",
    "events_lease",
    "events_settle",
    "events_told",
    "events_move",
    "events_voidable",
    "identities_of",
    "journal_end",
    "journal_page",
    "lane_next_attempt",
    "lanes_free",
    "lanes_lease",
    "lanes_make",
    "lanes_ready",
    "lanes_refresh",
    "members_keep",
    "members_read",
    "notice_conclude",
    "notice_end",
    "notices_insert",
    "notices_known",
    "notices_repeat",
    "notices_waiting",
    "parked_end",
    "parked_page",
    "parked_upsert",
    "provider_clock",
    "provider_read",
    "receipts_insert",
    "records_by_identity",
    "records_insert",
    "rejected_insert",
    "usage_corrected",
    "usage_journal",
    "usage_sums_drop",
    "usage_sums_keep",
    "usage_sums_present",
    "usage_tail",
    "watermark_move",
];

/// Rows for a ledger that has lived a while: mostly settled, a little of everything that waits.
const FILL: &str = "
INSERT INTO destination (id, provider, meter) VALUES (1, 'stripe.main', 'calls'),
  (2, 'stripe.main', 'bytes'), (3, 'stripe.eu', 'calls');
INSERT INTO route_version (id, name, definition, applies_from, adopted_at)
VALUES (1, 'calls', '', 1, 0);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
INSERT INTO usage_record (position, identity, content, source, id, customer, meter, quantity,
  occurred_at, recorded_at, properties)
SELECT i, randomblob(16), randomblob(16), 'web', 'r' || i, 'cus_' || (i % 400), 'calls', '1', i, i,
  '{}' FROM n;
INSERT INTO account (provider, customer, account, imported_at)
SELECT DISTINCT 'stripe.main', customer, customer, 0 FROM usage_record;
INSERT INTO lane (id, provider, destination_id, account)
SELECT d.id * 1000 + substr(a.account, 5), d.provider, d.id, a.account
FROM destination AS d, account AS a;
INSERT INTO balance (id, provider, destination_id, account, dimensions, window_start, window_end,
  record_position, accrued, told, digest, newest_at, booked_to, told_to, events, version, due_at, finer,
  fold, reads)
SELECT position, 'stripe.main', 1 + position % 2, customer, '', position, position + 1, 0, '1', '1',
  zeroblob(16), position, position, position, 1, 1, iif(position % 100 = 0, position, NULL), '0',
  'sum', 0
FROM usage_record;
INSERT INTO booking (id, record_position, destination_id, route_version_id, balance_id, quantity,
  cause, cause_id, booked_at)
SELECT id, id, destination_id, 1, id, '1', 'record', 0, 0 FROM balance;
INSERT INTO parked_record (record_position, route, reason, detail, parked_at, mapping_version)
SELECT position, 'other', 'no_account', '', 0, 1 + position % 2 FROM usage_record
WHERE position % 50 = 0;
INSERT INTO meter_event (id, balance_id, lane_id, ordinal, kind, covers_from, covers_to, identifier,
  quantity, occurred_at, body, deadline_at, created_at, state, moved_at, why, ambiguous, generation,
  attempts, failures, next_attempt_at)
SELECT b.id, b.id, l.id, 1, 'usage', 0, b.id, 'event ' || b.id, '1', 0, x'00', b.id, 0, 'pending', 0, '', 0,
  1, 0, 0, b.id
FROM balance AS b JOIN lane AS l ON l.destination_id = b.destination_id AND l.account = b.account;
UPDATE meter_event SET state = 'in_flight', epoch = 1, attempt_id = id, attempts = 1,
  first_attempt_at = 1, last_attempt_at = 1, next_attempt_at = NULL WHERE id % 40 > 0;
INSERT INTO attempt (id, event_id, number, idempotency_key, epoch, begun_at)
SELECT id, id, 1, identifier, 1, 1 FROM meter_event WHERE attempts = 1;
UPDATE meter_event SET state = 'accepted', epoch = NULL, attempt_id = NULL
WHERE state = 'in_flight' AND id % 40 > 3;
UPDATE meter_event SET state = 'unknown', ambiguous = 1, epoch = NULL, attempt_id = NULL,
  next_attempt_at = 1 WHERE state = 'in_flight' AND id % 40 = 3;
UPDATE meter_event SET state = 'held', hold_reason = 'refused', hold_detail = '', epoch = NULL,
  attempt_id = NULL WHERE state = 'in_flight' AND id % 40 = 2;
INSERT INTO receipt (attempt_id, outcome, answered_at)
SELECT id, 'accepted', 1 FROM meter_event WHERE state = 'accepted';
UPDATE lane SET next_attempt_at = 1, urgency = 1, deadline_at = id
WHERE id IN (SELECT lane_id FROM meter_event WHERE state = 'pending');
INSERT INTO balance_hold (balance_id, reason, detail, since)
SELECT id, 'cannot_lower', '', 0 FROM balance WHERE id % 10 = 0;
INSERT INTO provider (name, livemode, pinned_at) VALUES ('stripe.main', 0, 0), ('stripe.eu', 0, 0);
INSERT INTO provider_meter (provider, meter, formula, customer_key, value_key, active, learned,
  pinned_at) SELECT provider, meter, 'sum', 'customer', 'value', 1, 1, 0 FROM destination;
INSERT INTO notice (id, provider, event, announcement, kind, created_at, livemode, came_by, received_at,
  state, concluded_at, why, duplicates, body)
SELECT position, iif(position % 3 = 0, 'stripe.eu', 'stripe.main'), 'evt_' || position,
  'evt_' || position, 'invoice.paid', position, 0, 'webhook', position,
  iif(position % 50 = 0, 'waiting', 'acted'), iif(position % 50 = 0, NULL, position), '', 0, '{}'
FROM usage_record;
INSERT INTO cadence (kind, name, source, heard_at, gaps)
SELECT DISTINCT 'customer', customer, 'web', 0, '[]' FROM usage_record;
INSERT INTO usage_view (id, meter, bucket, subscription, is_timed, position, corrected_to, is_retired)
VALUES (1, 'calls', '', 's', 0, 4000, 0, 0), (2, 'calls', '', 's', 1, 4000, 0, 0);
INSERT INTO usage_sum (view_id, customer, grain, start_at, bucket, subscription, quantity, records)
SELECT DISTINCT 1, customer, 'all', 0, '', '', '10', 10 FROM usage_record
UNION ALL SELECT 2, customer, 'instant', position, '', '', '1', 1 FROM usage_record;
ANALYZE;
";

/// The statements by name, without their comments.
fn statements() -> BTreeMap<String, String> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("--"));
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(path.extension().unwrap(), "sql", "{}", path.display());
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    let statements: BTreeMap<_, _> = std::fs::read_dir(QUERIES).unwrap().map(read).collect();
    assert!(statements.len() > 50, "only {} statements were found", statements.len());
    statements
}

/// The names that the store's code uses.
fn used() -> BTreeSet<String> {
    let mut folders = vec![Path::new(STORE).to_owned()];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let uses = text.split("sql!(\"").skip(1);
                names.extend(uses.filter_map(|rest| rest.split('"').next().map(str::to_owned)));
            }
        }
    }
    names
}

/// A connection to a freshly made ledger that nobody else has open.
async fn fresh(folder: &Path) -> SqliteConnection {
    let settings = Settings { path: folder.join("ledger"), cache_kib: 2_048 };
    let now = Timestamp::from_seconds(1_770_000_000);
    SqliteLedger::open(&settings, "a test", now).await.unwrap().close().await;
    // Plans would show the scans by which an insert could mend a broken reference; the engine jumps
    // over them as long as no reference is broken.
    let options = SqliteConnectOptions::new().filename(&settings.path).foreign_keys(false);
    options.connect().await.unwrap()
}

async fn fill(connection: &mut SqliteConnection) {
    connection.execute(FILL).await.unwrap();
}

/// The plan of a statement: a line a step, indented beneath the step it belongs to.
async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = connection.fetch_all(explain.into_sql_str()).await.unwrap();
    let mut depths: BTreeMap<i64, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for row in rows {
        let depth = depths.get(&row.get::<i64, _>("parent")).map_or(0, |depth| depth + 1);
        depths.insert(row.get("id"), depth);
        lines.push(format!("{}{}", "  ".repeat(depth), row.get::<String, _>("detail")));
    }
    lines
}

/// The plans of all statements but the engine's own commands.
async fn plans(connection: &mut SqliteConnection) -> BTreeMap<String, Vec<String>> {
    let mut plans = BTreeMap::new();
    for (name, sql) in statements() {
        if !sql.starts_with("PRAGMA") {
            plans.insert(name, plan(connection, &sql).await);
        }
    }
    plans
}

/// The steps of a plan that read a whole table or a whole index of one, and those that read the
/// array that came with the call once for each row of something else.
fn slow_steps(plan: &[String]) -> Vec<&str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let is_loop = |line: &str| ["SCAN ", "SEARCH "].iter().any(|word| line.starts_with(word));
    let mut slow = Vec::new();
    for (at, line) in plan.iter().enumerate() {
        let step = line.trim_start();
        let is_array = step.contains("VIRTUAL TABLE") || step == "SCAN CONSTANT ROW";
        let before = plan[..at].iter().rev().take_while(|other| depth(other) >= depth(line));
        let inner = before
            .filter(|other| depth(other) == depth(line))
            .any(|other| is_loop(other.trim_start()));
        if step.starts_with("SCAN ") && (!is_array || inner) {
            slow.push(step);
        }
    }
    slow
}

#[test]
fn every_statement_is_used_and_none_is_missing() {
    assert_eq!(statements().into_keys().collect::<BTreeSet<_>>(), used());
}

#[tokio::test]
async fn every_statement_prepares_on_a_fresh_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    for (name, sql) in statements() {
        let prepared = connection.prepare(AssertSqlSafe(sql).into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {}", prepared.unwrap_err());
    }
    let wrong = connection.prepare("SELECT nothing FROM usage_record".into_sql_str()).await;
    assert!(wrong.is_err(), "a statement that cannot be prepared must be noticed");
}

#[tokio::test]
async fn every_statement_keeps_its_plan_however_much_the_ledger_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let empty = plans(&mut connection).await;
    fill(&mut connection).await;
    let filled = plans(&mut connection).await;
    let mut text = String::new();
    for (name, plan) in &filled {
        writeln!(text, "{name}\n    {}", plan.join("\n    ")).unwrap();
        if empty[name] != *plan {
            writeln!(text, "  on an empty ledger\n    {}", empty[name].join("\n    ")).unwrap();
        }
    }
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("plans", text);
    });
}

#[tokio::test]
async fn no_statement_that_runs_for_every_batch_reads_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    for filled in [false, true] {
        if filled {
            fill(&mut connection).await;
        }
        let plans = plans(&mut connection).await;
        let found: Vec<_> = HOT.iter().map(|name| (name, slow_steps(&plans[*name]))).collect();
        let found: Vec<_> = found.into_iter().filter(|(_, slow)| !slow.is_empty()).collect();
        assert!(found.is_empty(), "filled: {filled}, {found:#?}");
    }
}

#[tokio::test]
async fn a_scan_of_a_whole_table_and_an_array_read_for_each_row_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let by_name = plan(&mut connection, "SELECT position FROM usage_record WHERE id = ?1").await;
    assert_eq!(slow_steps(&by_name), ["SCAN usage_record"]);
    let by_key = plan(&mut connection, "SELECT id FROM usage_record WHERE position = ?1").await;
    assert!(slow_steps(&by_key).is_empty(), "{by_key:?}");
    let inner = "SELECT a.account FROM account AS a CROSS JOIN json_each(?1) AS wanted
        WHERE a.provider = 'stripe.main' AND a.customer = wanted.value";
    let inner = plan(&mut connection, inner).await;
    assert_eq!(slow_steps(&inner), ["SCAN wanted VIRTUAL TABLE INDEX 1:"]);
}
