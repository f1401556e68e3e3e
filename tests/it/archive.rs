//! Archives: what may go from a ledger, how it goes, and what stays known of it. Here: a year that
//! goes in steps, runs that are cut short after each step, and what does not go. Never here: the
//! command line. Read next: [`crate::fence`].

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
};
use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{Route, WindowRule};
use tallyd::delivery::settle::settle;
use tallyd::domain::answer::Outcome;
use tallyd::domain::correction::{Change, Correction, Standing};
use tallyd::domain::names::{CorrectionName, RecordId, RouteName, SourceName};
use tallyd::domain::provider_facts::ClockReading;
use tallyd::domain::record::{Position, UsageRecord};
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::{MICROS_PER_DAY, Timestamp};
use tallyd::ledger::delivery::DeliveryLedger;
use tallyd::ledger::holds::{Decision, HoldsLedger, Resolution};
use tallyd::ledger::intake::{Admission, CorrectionAdmission, CorrectionLedger, IntakeLedger};
use tallyd::ledger::operator::{BookFilter, BookLine, OperatorLedger};
use tallyd::posting::poster::Poster;
use tallyd::service::Service;
use tallyd::store::ARCHIVE_AGE_DAYS;
use tallyd::store::sqlite::SqliteLedger;
use tallyd::store::sqlite::archive::{Archiving, Checked, Step, Wanted};

use crate::support::journey::{provider_name, record, route};
use crate::support::stand_in::{agreeable, answer, ledger, settings, terms};
use crate::support::stripe::NOON;

/// What comes between two runs, or in place of a file or a ledger.
mod meanwhile;

const START: Timestamp = Timestamp::from_seconds(NOON);

pub(crate) fn day(number: i64) -> Timestamp {
    START.plus_micros(number * MICROS_PER_DAY)
}

fn daily() -> Route {
    Route { window: WindowRule::Day, ..route("calls") }
}

/// `count` records, spread over a day, of three customers.
fn usage_of(number: i64, count: i64) -> Vec<UsageRecord> {
    (0..count)
        .map(|each| {
            let customer = format!("cus_{}", each % 3);
            let at = day(number).plus_seconds(each);
            record(&format!("d{number} r{each}"), &customer, "calls", "1.5", at)
        })
        .collect()
}

async fn accept(ledger: &SqliteLedger, records: &[UsageRecord], now: Timestamp) -> Vec<Admission> {
    let records = records.iter().cloned().map(Into::into).collect();
    ledger.accept(records, Vec::new(), now).await.unwrap()
}

/// Books and tells everything that is due at `now`, which the provider takes.
async fn tell(ledger: &Arc<SqliteLedger>, routes: Vec<Route>, now: Timestamp) {
    let prefixes = HashMap::from([(provider_name(), "cus_")]);
    let accruer = Accruer::adopt(ledger.clone(), routes, prefixes, now).await.unwrap();
    while accruer.run_once(now).await.unwrap().more {}
    let reading = ClockReading { provider_at: now, local_at: now };
    ledger.read_clock(&provider_name(), reading).await.unwrap();
    let poster = Poster::new(provider_name(), ledger.clone(), agreeable(now));
    while poster.run_once(now).await.unwrap().more {}
    loop {
        let leased = ledger.lease(&provider_name(), terms(now, 100)).await.unwrap().leased;
        if leased.is_empty() {
            return;
        }
        let settle = |each| settle(each, answer(Outcome::Accepted), &settings(), now);
        let settlements = leased.iter().map(settle).collect();
        ledger.settle(&provider_name(), settlements, Some(reading), now).await.unwrap();
    }
}

/// What a provider's total does for all that was accepted.
async fn prove(folder: &Path) {
    execute(
        &folder.join("ledger"),
        "UPDATE meter_event SET state = 'settled', why = 'seen' \
        WHERE state = 'accepted'",
    )
    .await
    .unwrap();
}

async fn execute(path: &Path, sql: &str) -> Result<u64, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
    let mut connection = options.connect().await.unwrap();
    let done = connection.execute(AssertSqlSafe(sql.to_owned()).into_sql_str()).await;
    // Whoever closes a ledger last moves its log into it.
    connection.close().await.unwrap();
    Ok(done?.rows_affected())
}

async fn number(path: &Path, sql: &str) -> i64 {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    connection.fetch_one(sql).await.unwrap().get(0)
}

/// A ledger with the usage of `days`, each told on the next, and proven.
pub(crate) async fn lived(folder: &Path, days: Range<i64>, count: i64) -> Arc<SqliteLedger> {
    let ledger = ledger(folder, day(days.start)).await;
    live(&ledger, folder, days, count).await;
    ledger
}

async fn live(ledger: &Arc<SqliteLedger>, folder: &Path, days: Range<i64>, count: i64) {
    for number in days {
        let now = day(number + 1).plus_seconds(86_000);
        accept(ledger, &usage_of(number, count), now).await;
        tell(ledger, vec![daily()], now).await;
    }
    prove(folder).await;
}

async fn verify(ledger: &SqliteLedger) {
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

async fn verify_archive(ledger: &SqliteLedger, file: &Path) -> Vec<String> {
    match ledger.verify_archive(file).await.unwrap() {
        Checked::Archive(_, verification) => verification.findings,
        Checked::Refused(why) => panic!("{why}"),
    }
}

fn wanted(folder: &Path, name: &str, before: Timestamp) -> Wanted {
    Wanted { file: folder.join(name), before, age_days: ARCHIVE_AGE_DAYS }
}

async fn archive(ledger: &SqliteLedger, wanted: &Wanted, now: Timestamp) -> Archiving {
    ledger.archive(wanted, now, &mut |_| ControlFlow::Continue(())).await.unwrap()
}

async fn made(ledger: &SqliteLedger, wanted: &Wanted, now: Timestamp) -> (i64, bool) {
    let archived = archive(ledger, wanted, now).await;
    let Archiving::Made(archive) = archived else { panic!("{archived:?}") };
    (archive.records, archive.resumed)
}

async fn refused(ledger: &SqliteLedger, wanted: &Wanted, now: Timestamp) -> String {
    let archived = archive(ledger, wanted, now).await;
    let Archiving::Refused(why) = archived else { panic!("{archived:?}") };
    why
}

async fn books(ledger: &SqliteLedger) -> Vec<BookLine> {
    ledger.books(&BookFilter::default()).await.unwrap()
}

fn cancel(id: &str, name: &str) -> Correction {
    Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new(id).unwrap(),
        name: CorrectionName::new(name).unwrap(),
        change: Change::Cancel,
        reason: "never used".to_owned(),
        who: "cli:ada".to_owned(),
    }
}

#[tokio::test]
async fn a_year_that_is_archived_in_three_steps_verifies_and_knows_its_duplicates_and_conflicts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = lived(folder.path(), 0..360, 60).await;
    let now = day(365);
    let whole = books(&ledger).await;
    ledger.shrink().await.unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    for (name, until, days) in [("a", 90, 90), ("b", 180, 90), ("c", 268, 88)] {
        let wanted = wanted(folder.path(), name, day(until));
        assert_eq!(made(&ledger, &wanted, now).await, (days * 60, false));
        verify(&ledger).await;
        assert_eq!(books(&ledger).await, whole);
        assert_eq!(verify_archive(&ledger, &wanted.file).await, [""; 0]);
    }
    ledger.shrink().await.unwrap();
    let shrunk = std::fs::metadata(&path).unwrap().len();
    assert!(shrunk * 4 < bytes * 3, "{bytes} bytes, then {shrunk}");
    verify(&ledger).await;

    // What is sent again after a year is known, in whatever company it comes.
    let mut batch = usage_of(0, 60);
    batch.push(record("new", "cus_0", "calls", "1", day(364)));
    let admissions = accept(&ledger, &batch, now).await;
    let known = (1..=60).map(|position| Admission::Duplicate(Position(position)));
    let newest = 360 * 60 + 1;
    let expected: Vec<_> = known.chain([Admission::Accepted(Position(newest))]).collect();
    assert_eq!(admissions, expected);
    let other = record("d0 r0", "cus_0", "calls", "7", day(0));
    for _ in 0..2 {
        let admissions = accept(&ledger, std::slice::from_ref(&other), now).await;
        assert_eq!(admissions, [Admission::Conflict(Position(1))]);
    }
    tell(&ledger, vec![daily()], now).await;
    verify(&ledger).await;
    assert_eq!(number(&path, "SELECT count(*) FROM conflicting_record").await, 1);
}

#[tokio::test]
async fn an_archived_record_is_traced_to_its_archive_and_is_corrected_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), day(0)).await;
    ledger.correct(vec![cancel("d0 r1", "told in time")], day(0)).await.unwrap();
    live(&ledger, folder.path(), 0..3, 6).await;
    let now = day(200);
    let wanted = wanted(folder.path(), "old", day(2));
    assert_eq!(made(&ledger, &wanted, now).await.0, 12);
    let (source, id) = (SourceName::new("web").unwrap(), RecordId::new("d0 r0").unwrap());
    let trace = ledger.trace(&source, &id).await.unwrap().unwrap();
    assert_eq!((trace.record, trace.bookings.len()), (None, 0));
    let archived = trace.archived.unwrap();
    assert_eq!((archived.position, archived.archive), (Position(1), 1));
    assert_eq!(Path::new(&archived.path), wanted.file);
    // A correction that was accepted before is known as well; a new one is refused.
    let asked = vec![cancel("d0 r1", "told in time"), cancel("d0 r0", "too late")];
    let admissions = ledger.correct(asked, now).await.unwrap();
    assert_eq!(admissions[0], CorrectionAdmission::Duplicate(Some(Standing::Cancelled)));
    assert_eq!(admissions[1], CorrectionAdmission::Archived(archived.clone()));
    // A copy that says something else waits for a person, who may say that the first counts.
    let other = record("d0 r0", "cus_0", "calls", "7", day(0));
    accept(&ledger, &[other], now).await;
    let conflict = ledger.questions(10).await.unwrap().conflicts.remove(0);
    assert_eq!((&conflict.first, &conflict.standing), (&None, &None));
    assert_eq!(conflict.archived, Some(archived));
    for (verdict, taken) in [(Verdict::Second, false), (Verdict::First, true)] {
        let resolution = Resolution {
            item: ItemName::parse("conflict:1").unwrap(),
            verdict,
            expect: conflict.token.clone(),
            why: "the bill is paid".to_owned(),
            who: "cli:ada".to_owned(),
            dry_run: false,
        };
        match ledger.resolve(&resolution, now).await.unwrap() {
            Decision::Done(_) => assert!(taken),
            Decision::Refused(why) => assert!(!taken && why.contains("archived"), "{why}"),
        }
    }
    verify(&ledger).await;
}

#[tokio::test]
async fn late_usage_of_an_archived_window_is_added_to_what_it_came_to_and_may_be_archived_too() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = lived(folder.path(), 0..3, 6).await;
    assert_eq!(made(&ledger, &wanted(folder.path(), "old", day(2)), day(200)).await.0, 12);
    let late = record("late", "cus_0", "calls", "2", day(0).plus_seconds(5));
    accept(&ledger, &[late], day(20)).await;
    tell(&ledger, vec![daily()], day(20)).await;
    verify(&ledger).await;
    assert_eq!(
        archive(&ledger, &wanted(folder.path(), "more", day(2)), day(200)).await,
        Archiving::Nothing
    );
    prove(folder.path()).await;
    // Something newer, as the newest record stays.
    accept(&ledger, &usage_of(190, 3), day(192)).await;
    tell(&ledger, vec![daily()], day(192)).await;
    let again = wanted(folder.path(), "again", day(2));
    assert_eq!(made(&ledger, &again, day(200)).await.0, 1);
    verify(&ledger).await;
    for name in ["old", "again"] {
        assert_eq!(verify_archive(&ledger, &folder.path().join(name)).await, [""; 0]);
    }
}

/// Archives, and is cut short after `cut`.
async fn cut_after(folder: &Path, ledger: Arc<SqliteLedger>, wanted: &Wanted, cut: Step) {
    let mut watch = |step| match step == cut {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let stopped = ledger.archive(wanted, day(200), &mut watch).await.unwrap();
    assert_eq!(stopped, Archiving::Stopped, "{cut:?}");
    drop(ledger);
    assert_eq!(wanted.file.exists(), matches!(cut, Step::Named | Step::Emptied(..)), "{cut:?}");
    assert!(folder.join("ledger").exists());
}

#[tokio::test]
async fn a_run_that_is_cut_short_after_any_step_loses_nothing_and_the_next_finishes() {
    // More than goes in one transaction, so that one cut comes between two of them.
    let template = tempfile::tempdir().unwrap();
    let whole = lived(template.path(), 0..2, 5_400).await;
    let sums = books(&whole).await;
    Arc::into_inner(whole).unwrap().close().await;
    let all = 2 * 5_400 - 5_400;
    for cut in [
        Step::Copied,
        Step::Compared,
        Step::Sealed,
        Step::Named,
        Step::Emptied(5_000, all),
        Step::Emptied(all, all),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ledger", "ledger.fence"] {
            let from = template.path().join(name);
            if from.exists() {
                std::fs::copy(from, folder.path().join(name)).unwrap();
            }
        }
        let opened = ledger(folder.path(), day(3)).await;
        let wanted = wanted(folder.path(), "old", day(1));
        cut_after(folder.path(), opened, &wanted, cut).await;

        let ledger = ledger(folder.path(), day(200)).await;
        verify(&ledger).await;
        assert_eq!(books(&ledger).await, sums);
        let known = accept(&ledger, &usage_of(0, 5), day(200)).await;
        let expected: Vec<_> = (1..=5).map(|at| Admission::Duplicate(Position(at))).collect();
        assert_eq!(known, expected, "{cut:?}");
        let sealed = !matches!(cut, Step::Copied | Step::Compared);
        assert_eq!(made(&ledger, &wanted, day(200)).await, (all, sealed), "{cut:?}");
        verify(&ledger).await;
        assert_eq!(verify_archive(&ledger, &wanted.file).await, [""; 0]);
        assert_eq!(books(&ledger).await, sums);
    }
}

#[tokio::test]
async fn what_is_not_final_stays_with_all_that_shares_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = lived(folder.path(), 0..6, 3).await;
    let (now, end) = (day(200), day(90));
    let goes = |name: &'static str| wanted(folder.path(), name, end);
    let blocks = [
        // Told, and proven by no total.
        "UPDATE meter_event SET state = 'held', hold_reason = 'disproved', hold_detail = '' \
         WHERE balance_id IN (SELECT balance_id FROM booking WHERE record_position <= 3)",
        // In front of another route.
        "INSERT INTO parked_record VALUES (4, 'other', 'no_account', '', 0, 1), \
         (5, 'other', 'no_account', '', 0, 1), (6, 'other', 'no_account', '', 0, 1)",
        // Contradicted, and undecided.
        "INSERT INTO conflicting_record (position, source, record_id, content, customer, meter, \
         quantity, occurred_at, properties, recorded_at) SELECT position, source, id, \
         zeroblob(16), customer, meter, '9', 0, '{}', 0 FROM usage_record \
         WHERE position BETWEEN 7 AND 9",
        // Of a period that is not billed yet.
        "INSERT INTO subscription (id, provider, name, account, status, started_at, learned_at) \
         SELECT DISTINCT substr(customer, 5) + 1, 'stripe.main', customer, customer, 'billing', \
         0, 0 FROM usage_record",
        "INSERT INTO billing_period (subscription_id, provider, account, meter, start_at, \
         end_at, learned_at) SELECT substr(b.account, 5) + 1, b.provider, b.account, 'calls', \
         b.window_start, b.window_end, 0 FROM booking AS k JOIN balance AS b \
         ON b.id = k.balance_id WHERE k.record_position BETWEEN 10 AND 12",
    ];
    for block in blocks {
        execute(&path, block).await.unwrap();
    }
    // One day is free to go; the newest record's stays.
    assert_eq!(made(&ledger, &goes("first"), now).await.0, 5);
    let left = "SELECT count(*) FROM usage_record WHERE position <= 12 OR position = 18";
    assert_eq!(number(&path, left).await, 13);
    assert_eq!(archive(&ledger, &goes("second"), now).await, Archiving::Nothing);
    assert!(!folder.path().join("second").exists());
    assert!(!folder.path().join("second.partial").exists());
}

#[tokio::test]
async fn a_record_goes_only_with_every_window_that_it_is_booked_to() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), day(0)).await;
    let double = Route {
        name: RouteName::new("twice").unwrap(),
        provider_meter: tallyd::domain::names::ProviderMeter::new("bytes").unwrap(),
        ..daily()
    };
    for number in 0..3 {
        let now = day(number + 1).plus_seconds(86_000);
        accept(&ledger, &usage_of(number, 3), now).await;
        tell(&ledger, vec![daily(), double.clone()], now).await;
    }
    let path = folder.path().join("ledger");
    let calls = "SELECT b.id FROM balance AS b JOIN destination AS d ON d.id = b.destination_id \
        WHERE d.meter = 'calls'";
    let settle = |which: &str| {
        format!(
            "UPDATE meter_event SET state = 'settled', why = 'seen' \
        WHERE state = 'accepted' AND balance_id {which} ({calls})"
        )
    };
    execute(&path, &settle("IN")).await.unwrap();
    let wanted = wanted(folder.path(), "old", day(2));
    assert_eq!(archive(&ledger, &wanted, day(200)).await, Archiving::Nothing);
    execute(&path, &settle("NOT IN")).await.unwrap();
    assert_eq!(made(&ledger, &wanted, day(200)).await.0, 6);
    assert_eq!(verify_archive(&ledger, &wanted.file).await, [""; 0]);
    verify(&ledger).await;
}

#[tokio::test]
async fn nothing_is_written_over_and_nothing_young_goes() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = lived(folder.path(), 0..3, 3).await;
    let old = wanted(folder.path(), "old", day(2));
    let now = day(200);
    let why = refused(&ledger, &old, day(2 + i64::from(ARCHIVE_AGE_DAYS)).plus_seconds(-1)).await;
    assert!(why.contains("less than 92 days ago"), "{why}");
    // A backup that has all of it, put back after the archive was made.
    tallyd::store::sqlite::backup::copy(&folder.path().join("ledger"), &folder.path().join("b"))
        .await
        .unwrap();
    assert_eq!(made(&ledger, &old, now).await.0, 6);
    drop(ledger);
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("b"), restored.path().join("ledger")).unwrap();
    let ledger = crate::support::stand_in::ledger(restored.path(), now).await;
    let why = refused(&ledger, &old, now).await;
    assert!(why.contains("it is archive 1 of the ledger") && why.contains("6 records"), "{why}");
    match ledger.verify_archive(&old.file).await.unwrap() {
        Checked::Refused(why) => assert!(why.contains("which knows of none"), "{why}"),
        other @ Checked::Archive(..) => panic!("{other:?}"),
    }
    let other = wanted(restored.path(), "text", day(2));
    std::fs::write(&other.file, "mine").unwrap();
    assert!(refused(&ledger, &other, now).await.contains("nothing is written over"));
    assert_eq!(std::fs::read(&other.file).unwrap(), b"mine");
}

#[tokio::test]
async fn an_archive_that_was_changed_or_lost_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = lived(folder.path(), 0..3, 3).await;
    let old = wanted(folder.path(), "old", day(2));
    cut_after(folder.path(), ledger, &old, Step::Emptied(6, 6)).await;
    let ledger = crate::support::stand_in::ledger(folder.path(), day(200)).await;
    let aside = folder.path().join("aside");
    std::fs::rename(&old.file, &aside).unwrap();
    assert!(refused(&ledger, &old, day(200)).await.contains("is not there: put it back"));
    std::fs::copy(&aside, &old.file).unwrap();
    execute(&old.file, "UPDATE booking SET quantity = '2' WHERE id = 1").await.unwrap();
    assert!(refused(&ledger, &old, day(200)).await.contains("when it was sealed"));
    let findings = verify_archive(&ledger, &old.file).await;
    assert_eq!(findings.len(), 2, "{findings:?}");
    std::fs::rename(&aside, &old.file).unwrap();
    assert_eq!(made(&ledger, &old, day(200)).await, (6, true));
    execute(&old.file, "UPDATE usage_record SET quantity = '2' WHERE position = 1").await.unwrap();
    let findings = verify_archive(&ledger, &old.file).await;
    assert!(findings.iter().any(|each| each.starts_with("record 1:")), "{findings:?}");
}

#[tokio::test]
async fn the_database_lets_go_of_nothing_but_what_an_archive_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = lived(folder.path(), 0..3, 3).await;
    let wanted = wanted(folder.path(), "old", day(2));
    cut_after(folder.path(), ledger, &wanted, Step::Sealed).await;
    let refuses = async |sql: &str| execute(&path, sql).await.unwrap_err().to_string();
    for sql in [
        "DELETE FROM booking WHERE id > 3",
        "DELETE FROM usage_record WHERE position > 3",
        "DELETE FROM usage_record WHERE position = 9",
        "DELETE FROM archive",
        "DELETE FROM archived_record",
        "DELETE FROM balance_seal",
        "UPDATE archived_record SET position = 9",
        "UPDATE balance_seal SET accrued = '9'",
        "UPDATE archive SET digest = zeroblob(16)",
    ] {
        assert!(refuses(sql).await.contains("append-only"), "{sql}");
    }
    let moved = "UPDATE meter_event SET state = 'held', hold_reason = 'disproved', \
        hold_detail = '' WHERE id = 1";
    assert!(refuses(moved).await.contains("what an archived event said stands"));
    execute(&path, "DELETE FROM booking WHERE id = 1").await.unwrap();
    execute(&path, "DELETE FROM usage_record WHERE position = 1").await.unwrap();
    // What went is not booked again by any statement. Were it, that would be found.
    let again = "INSERT INTO usage_record SELECT 99, identity, content, 'web', 'd0 r0', 'cus_0', \
        'calls', '1', 0, 0, '{}' FROM archived_record WHERE position = 1";
    assert_eq!(execute(&path, again).await.unwrap(), 0);
    execute(&path, "DROP TRIGGER usage_record_is_not_archived").await.unwrap();
    assert_eq!(execute(&path, again).await.unwrap(), 1);
    execute(&path, "UPDATE archive SET done_at = 1").await.unwrap();
    let ledger = crate::support::stand_in::ledger(folder.path(), day(200)).await;
    let findings = ledger.verify().await.unwrap().findings.join("; ");
    assert!(findings.contains("a record that is archived is still there"), "{findings}");
}
