//! The ledger's schema: what the database itself refuses, whoever writes to it. Here: the tables as
//! they lie in the file, the closed sets written twice and kept equal, and each promise broken on
//! purpose. Never here: what the program's verbs do with it (the journey shows that). Read next:
//! [`crate::statements`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor as _, Row as _, SqlSafeStr as _};
use tallyd::domain::answer::OutcomeKind;
use tallyd::domain::drift::DriftKind;
use tallyd::domain::export::{ExportForm, ExportStep};
use tallyd::domain::fold::Fold;
use tallyd::domain::notice::{CameBy, NoticeState};
use tallyd::domain::provider_facts::{Formula, Span};
use tallyd::domain::rejected::{Ending, Form};
use tallyd::domain::silence::SpeakerKind;
use tallyd::domain::state::{EventState, HoldReason, ParkReason};
use tallyd::domain::time::Timestamp;
use tallyd::domain::usage::Grain;
use tallyd::ledger::spool::FileEnd;
use tallyd::store::sqlite::SqliteLedger;
use tallyd::store::{LockError, OpenError, Settings};

const NOW: Timestamp = Timestamp::from_seconds(1_770_000_000);

/// One row in each table that a promise is broken on: a record booked to a balance, of which an
/// event was told, tried and accepted.
const ROWS: &str = "
INSERT INTO usage_record VALUES (1, zeroblob(16), zeroblob(16), 'web', 'r1', 'acme', 'calls', '1',
  0, 0, '{}');
INSERT INTO route_version VALUES (1, 'calls', '', 1, 0, NULL);
INSERT INTO destination VALUES (1, 'stripe.main', 'calls');
INSERT INTO balance VALUES (1, 'stripe.main', 1, 'cus_1', '', 0, 1, 0, '1', '1', zeroblob(16), 0, 1,
  1, 1, 1, NULL, '0', 'sum', 0, NULL, NULL);
INSERT INTO booking VALUES (1, 1, 1, 1, 1, '1', 'record', 0, NULL, 0);
INSERT INTO lane (id, provider, destination_id, account) VALUES (1, 'stripe.main', 1, 'cus_1');
INSERT INTO meter_event (id, balance_id, lane_id, ordinal, kind, covers_from, covers_to, identifier,
  quantity, occurred_at, body, deadline_at, created_at, state, moved_at, why, ambiguous, generation,
  attempts, failures, next_attempt_at)
VALUES (1, 1, 1, 1, 'usage', 0, 1, 'event 1', '1', 0, x'00', 0, 0, 'pending', 0, 'posted', 0, 1, 0, 0, 0);
INSERT INTO attempt VALUES (1, 1, 1, 'event 1', 1, 0);
INSERT INTO receipt (attempt_id, outcome, answered_at) VALUES (1, 'accepted', 0);
INSERT INTO reconcile_run VALUES (1, 'stripe.main', NULL, NULL, 0, 1, 0, 0, 1, 1, 1, 0);
INSERT INTO drift VALUES (1, 1, 'cus_1', 'calls', 0, 1, 'missing', '1', '', '[]');
";

fn settings(folder: &Path) -> Settings {
    Settings { path: folder.join("ledger"), cache_kib: 2_048 }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// A connection to a freshly made ledger that nobody else has open.
async fn fresh(folder: &Path) -> SqliteConnection {
    let settings = settings(folder);
    SqliteLedger::open(&settings, "a test", NOW).await.unwrap().close().await;
    connect(&settings.path).await
}

/// Why the database refuses a statement; nothing when it takes it.
async fn refusal(connection: &mut SqliteConnection, sql: impl Into<String>) -> Option<String> {
    let sql = AssertSqlSafe(sql.into()).into_sql_str();
    let error = connection.execute(sql).await.err()?;
    Some(error.as_database_error().unwrap().message().to_owned())
}

async fn texts(connection: &mut SqliteConnection, sql: &'static str) -> Vec<String> {
    let rows = connection.fetch_all(sql).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The members that the constraint `name` lists.
async fn listed(connection: &mut SqliteConnection, name: &str) -> BTreeSet<String> {
    let tables = texts(connection, "SELECT sql FROM sqlite_schema WHERE type = 'table'").await;
    let start = format!("CONSTRAINT {name} CHECK (");
    let table = tables.iter().find(|table| table.contains(&start));
    let rest = table.unwrap_or_else(|| panic!("no {name}")).split_once(&start).unwrap().1;
    let list =
        rest.split_once("IN").unwrap().1.split_once('(').unwrap().1.split_once(')').unwrap().0;
    list.split(',').map(|member| member.trim().trim_matches('\'').to_owned()).collect()
}

fn members<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> BTreeSet<String> {
    all.iter().map(|member| text(*member).to_owned()).collect()
}

#[tokio::test]
async fn the_schema_is_the_one_that_was_reviewed() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let tables = "SELECT sql || ';' FROM sqlite_schema
        WHERE sql IS NOT NULL AND name <> '_sqlx_migrations'
        ORDER BY tbl_name, type <> 'table', name";
    let schema = texts(&mut connection, tables).await.join("\n\n");
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("schema", schema);
    });
}

#[tokio::test]
async fn a_migration_that_was_released_does_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let applied =
        "SELECT version || ' ' || description || ' ' || lower(substr(hex(checksum), 1, 32))
        FROM _sqlx_migrations ORDER BY version";
    // A ledger in the field refuses to open when the text it was made by differs, be it a comment.
    let applied = texts(&mut connection, applied).await.join("\n");
    insta::assert_snapshot!(applied, @"1 ledger 1f656dcb4763abf0a1014025d7fa9b5e");
}

#[tokio::test]
async fn the_closed_sets_of_the_schema_are_those_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let sets = [
        ("meter_event_states", members(EventState::ALL, EventState::as_str)),
        ("balance_folds", members(Fold::ALL, Fold::as_str)),
        ("meter_event_hold_reasons", members(HoldReason::ALL, HoldReason::as_str)),
        ("rejected_record_forms", members(Form::ALL, Form::as_str)),
        ("rejected_record_endings", members(Ending::ALL, Ending::as_str)),
        ("parked_record_reasons", members(ParkReason::ALL, ParkReason::as_str)),
        ("receipt_outcomes", members(OutcomeKind::ALL, OutcomeKind::as_str)),
        ("provider_meter_formulas", members(Formula::ALL, Formula::as_str)),
        ("provider_meter_spans", members(Span::ALL, Span::as_str)),
        ("drift_kinds", members(DriftKind::ALL, DriftKind::as_str)),
        ("notice_ways", members(CameBy::ALL, CameBy::as_str)),
        ("spool_file_ends", members(FileEnd::ALL, FileEnd::as_str)),
        ("cadence_kinds", members(SpeakerKind::ALL, SpeakerKind::as_str)),
        ("usage_sum_grains", members(Grain::ALL, Grain::as_str)),
        ("export_forms", members(ExportForm::ALL, ExportForm::as_str)),
        ("export_steps", members(ExportStep::ALL, ExportStep::as_str)),
        ("notice_states", members(NoticeState::ALL, NoticeState::as_str)),
    ];
    for (name, members) in sets {
        assert_eq!(listed(&mut connection, name).await, members, "{name}");
    }
    let holds = listed(&mut connection, "balance_hold_reasons").await;
    assert!(holds.iter().all(|reason| HoldReason::parse(reason).is_some()), "{holds:?}");
}

#[tokio::test]
async fn the_legal_moves_of_the_schema_are_those_of_the_state_machine() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let moves = "SELECT from_state || ' -> ' || to_state FROM legal_move";
    let stored: BTreeSet<String> = texts(&mut connection, moves).await.into_iter().collect();
    let mut drawn = BTreeSet::new();
    for from in EventState::ALL {
        let to = EventState::ALL.iter().filter(|to| from.may_become(**to));
        drawn.extend(to.map(|to| format!("{from} -> {to}")));
    }
    assert_eq!(stored, drawn);
}

#[tokio::test]
async fn facts_can_be_neither_changed_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    connection.execute(ROWS).await.unwrap();
    // What the table says, and a column of it, set to the value that it has.
    let facts = [
        ("usage_record", "usage records are append-only"),
        ("booking", "bookings are append-only"),
        ("attempt", "attempts are append-only"),
        ("receipt", "receipts are append-only"),
        ("event_move", "moves are append-only"),
        ("reconcile_run", "runs are append-only"),
        ("drift", "drifts are append-only"),
    ];
    for (table, says) in facts {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns = connection.fetch_all(AssertSqlSafe(columns).into_sql_str()).await.unwrap();
        assert!(columns.len() > 2, "{table}");
        for column in columns.iter().map(|row| row.get::<String, _>(0)) {
            let change = format!("UPDATE {table} SET {column} = {column}");
            assert_eq!(refusal(&mut connection, change).await.as_deref(), Some(says), "{column}");
        }
        let removal = refusal(&mut connection, format!("DELETE FROM {table}")).await;
        assert_eq!(removal.as_deref(), Some(says), "{table}");
    }
}

#[tokio::test]
async fn what_an_event_says_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    connection.execute(ROWS).await.unwrap();
    let sealed = [
        "balance_id",
        "ordinal",
        "covers_from",
        "covers_to",
        "identifier",
        "quantity",
        "occurred_at",
        "body",
        "created_at",
    ];
    for column in sealed {
        let change = format!("UPDATE meter_event SET {column} = {column}");
        let says = refusal(&mut connection, change).await;
        assert_eq!(says.as_deref(), Some("what a meter event says is sealed"), "{column}");
    }
    let says = refusal(&mut connection, "DELETE FROM meter_event").await;
    assert_eq!(says.as_deref(), Some("meter events are append-only"));
    assert_eq!(refusal(&mut connection, "UPDATE meter_event SET failures = 1").await, None);
}

#[tokio::test]
async fn a_notice_is_sealed_and_is_concluded_once_before_it_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let notice =
        "INSERT INTO notice VALUES (1, 'stripe.main', 'evt_1', 'evt_1', 'customer.deleted',
        0, 0, 'customer', 'cus_1', 'webhook', 0, 'waiting', NULL, '', 0, '{}')";
    connection.execute(notice).await.unwrap();
    let columns = texts(&mut connection, "SELECT name FROM pragma_table_info('notice')").await;
    let changing = ["state", "concluded_at", "why", "duplicates"];
    for column in columns.iter().filter(|column| !changing.contains(&column.as_str())) {
        let change = format!("UPDATE notice SET {column} = {column}");
        let says = refusal(&mut connection, change).await;
        assert_eq!(says.as_deref(), Some("what a notice says is sealed"), "{column}");
    }
    let says = refusal(&mut connection, "DELETE FROM notice").await;
    assert_eq!(says.as_deref(), Some("a notice that waits does not go"));
    let says = refusal(&mut connection, "UPDATE notice SET state = 'acted'").await;
    assert_eq!(says.as_deref(), Some("CHECK constraint failed: notice_conclusion_form"));
    let conclude = "UPDATE notice SET state = 'acted', concluded_at = 1, why = 'looked'";
    assert_eq!(refusal(&mut connection, conclude).await, None);
    for again in [conclude, "UPDATE notice SET state = 'waiting', concluded_at = NULL"] {
        let says = refusal(&mut connection, again).await;
        assert_eq!(says.as_deref(), Some("a notice is concluded once"));
    }
    assert_eq!(refusal(&mut connection, "UPDATE notice SET duplicates = 1").await, None);
    assert_eq!(refusal(&mut connection, "DELETE FROM notice").await, None);
}

#[tokio::test]
async fn what_was_rejected_is_sealed_and_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let item =
        "INSERT INTO rejected_record (id, digest, source, place, field, reason, raw, form, whole,
        recorded_at) VALUES (1, x'00', 'web', 'line 1', 'id', 'is missing', '{}', 'record', 1, 0)";
    connection.execute(item).await.unwrap();
    let columns = texts(&mut connection, "SELECT name FROM pragma_table_info('rejected_record')");
    let ending = ["ended", "position", "why", "who", "ended_at"];
    for column in columns.await.iter().filter(|column| !ending.contains(&column.as_str())) {
        let change = format!("UPDATE rejected_record SET {column} = {column}");
        let says = refusal(&mut connection, change).await;
        assert_eq!(says.as_deref(), Some("what was rejected is sealed"), "{column}");
    }
    for set in [
        "ended = 'dismissed', who = 'ada', ended_at = 1",
        "ended = 'resubmitted', who = 'ada', ended_at = 1",
        "ended = 'dismissed', why = 'gone', who = 'ada'",
        "ended = 'dismissed', why = 'gone', ended_at = 1",
        "who = 'ada'",
    ] {
        let says = refusal(&mut connection, format!("UPDATE rejected_record SET {set}")).await;
        let form = "CHECK constraint failed: rejected_record_end_form";
        assert_eq!(says.as_deref(), Some(form), "{set}");
    }
    let dismiss =
        "UPDATE rejected_record SET ended = 'dismissed', why = 'a', who = 'b', ended_at = 1";
    assert_eq!(refusal(&mut connection, dismiss).await, None);
    let says = refusal(&mut connection, dismiss).await;
    assert_eq!(says.as_deref(), Some("what was rejected ends once"));
    let says = refusal(&mut connection, "DELETE FROM rejected_record").await;
    assert_eq!(says.as_deref(), Some("what was rejected is kept"));
}

#[tokio::test]
async fn a_move_that_the_state_machine_has_not_is_refused_and_one_that_it_has_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    connection.execute(ROWS).await.unwrap();
    for to in EventState::ALL {
        if EventState::Pending.may_become(*to) || *to == EventState::Pending {
            continue;
        }
        let says = refusal(&mut connection, format!("UPDATE meter_event SET state = '{to}'")).await;
        assert_eq!(says.as_deref(), Some("the state machine has no such move"), "{to}");
    }
    let lease = "UPDATE meter_event SET state = 'in_flight', why = 'leased', epoch = 1,
        attempt_id = 1, attempts = 1, first_attempt_at = 0, last_attempt_at = 0,
        next_attempt_at = NULL";
    assert_eq!(refusal(&mut connection, lease).await, None);
    let moves =
        "SELECT from_state || ' -> ' || to_state || ': ' || why FROM event_move ORDER BY id";
    let moves = texts(&mut connection, moves).await;
    assert_eq!(moves, [" -> pending: posted", "pending -> in_flight: leased"]);
}

#[tokio::test]
async fn an_event_is_in_no_state_that_its_columns_deny() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    connection.execute(ROWS).await.unwrap();
    let denied = [
        ("state = 'lost'", "the state machine has no such move"),
        ("state = 'held'", "CHECK constraint failed: meter_event_held_says_why"),
        ("hold_reason = 'refused'", "CHECK constraint failed: meter_event_held_says_why"),
        ("epoch = 1", "CHECK constraint failed: meter_event_lease_form"),
        ("next_attempt_at = NULL", "CHECK constraint failed: meter_event_wait_form"),
        ("ambiguous = 1", "CHECK constraint failed: meter_event_pending_never_landed"),
        ("ambiguous = 2", "CHECK constraint failed: meter_event_ambiguous_form"),
        ("attempts = 1", "CHECK constraint failed: meter_event_clocks_form"),
        ("lane_id = 7", "FOREIGN KEY constraint failed"),
    ];
    for (set, says) in denied {
        let refused = refusal(&mut connection, format!("UPDATE meter_event SET {set}")).await;
        assert_eq!(refused.as_deref(), Some(says), "{set}");
    }
}

#[tokio::test]
async fn the_same_thing_is_booked_told_and_tried_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    connection.execute(ROWS).await.unwrap();
    let twice = [
        ("usage_record", "position = 2", "usage_record.identity"),
        (
            "booking",
            "id = 2",
            "booking.record_position, booking.destination_id, booking.cause, booking.cause_id",
        ),
        ("meter_event", "id = 2, ordinal = 2", "meter_event.identifier"),
        ("meter_event", "id = 2, identifier = 'x'", "meter_event.balance_id, meter_event.ordinal"),
        ("lane", "id = 2", "lane.destination_id, lane.account"),
        ("attempt", "id = 2", "attempt.event_id, attempt.number"),
    ];
    for (table, but, says) in twice {
        // A copy of the row in a table without rules, changed there, and put back beside it.
        let copy = format!(
            "DROP TABLE IF EXISTS copy; CREATE TEMP TABLE copy AS SELECT * FROM {table};
            UPDATE copy SET {but}; INSERT INTO {table} SELECT * FROM copy"
        );
        let refused = refusal(&mut connection, copy).await;
        assert_eq!(refused, Some(format!("UNIQUE constraint failed: {says}")), "{table}");
    }
}

#[tokio::test]
async fn a_second_writer_is_told_who_the_first_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let first = SqliteLedger::open(&settings, "the first, process 7", NOW).await.unwrap();
    let error = SqliteLedger::open(&settings, "the second", NOW).await.unwrap_err();
    let OpenError::Locked(LockError::Held { path, who }) = error else { panic!("{error:?}") };
    assert_eq!((path, who.as_str()), (settings.path.clone(), "the first, process 7"));
    SqliteLedger::open_to_read(&settings.path).await.unwrap().close().await;
    first.close().await;
    SqliteLedger::open(&settings, "the second", NOW).await.unwrap().close().await;
}

/// What lies beneath an error.
fn cause(error: &OpenError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

/// The chain of errors with which a file at `path` is refused, for writing as for reading.
async fn refused(path: PathBuf) -> String {
    let settings = Settings { path, cache_kib: 2_048 };
    let chain = |error: OpenError| {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(inner) = next {
            text = format!("{text}: {inner}");
            next = inner.source();
        }
        let head = format!("cannot open the ledger {}: ", settings.path.display());
        text.strip_prefix(&head).unwrap().to_owned()
    };
    let writing = SqliteLedger::open(&settings, "a test", NOW).await.map(drop).unwrap_err();
    let reading = SqliteLedger::open_to_read(&settings.path).await.map(drop).unwrap_err();
    let (writing, reading) = (chain(writing), chain(reading));
    assert_eq!(writing, reading);
    writing
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let text = "customer,quantity\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert_eq!(refused(path.clone()).await, "it is not a ledger, nor any database");
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut other = options.connect().await.unwrap();
    other.execute("CREATE TABLE balance (id INTEGER, owner TEXT)").await.unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(refused(path.clone()).await, "it is a database of something else, not a ledger");
    assert!(std::fs::read(&path).unwrap() == before, "the other program's file was written to");
}

#[tokio::test]
async fn a_ledger_of_a_newer_program_or_of_an_edited_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let newer = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (9, 'newer', 1, x'00', 0)";
    connection.execute(newer).await.unwrap();
    let path = folder.path().join("ledger");
    let settings = Settings { path, cache_kib: 2_048 };
    let error = SqliteLedger::open(&settings, "a test", NOW).await.unwrap_err();
    assert_eq!(
        cause(&error),
        "migration 9 was previously applied but is missing in the resolved migrations"
    );
    let edited = "DELETE FROM _sqlx_migrations WHERE version = 9;
        UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1";
    connection.execute(edited).await.unwrap();
    let error = SqliteLedger::open(&settings, "a test", NOW).await.unwrap_err();
    assert_eq!(cause(&error), "migration 1 was previously applied but has been modified");
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    std::fs::write(&settings.path, "").unwrap();
    let error = SqliteLedger::open_to_read(&settings.path).await.unwrap_err();
    assert!(matches!(error, OpenError::Missing(_)), "{error:?}");
    let mut connection = connect(&settings.path).await;
    let table =
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
    connection.execute(table).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    SqliteLedger::open(&settings, "a test", NOW).await.unwrap().close().await;
    SqliteLedger::open_to_read(&settings.path).await.unwrap().close().await;
}

#[tokio::test]
async fn a_missing_ledger_is_not_made_by_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let error = SqliteLedger::open_to_read(&path).await.unwrap_err();
    assert!(matches!(&error, OpenError::Missing(missing) if *missing == path), "{error:?}");
    assert!(!path.exists());
}
