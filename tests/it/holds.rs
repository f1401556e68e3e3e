//! What is held, and decided by people. Here: each verdict over each kind of item, what it changes,
//! and what is refused. Never here: how it is typed (`crate::cli`). Read next: [`crate::journey`].

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor as _, Row as _};
use tallyd::domain::answer::Outcome;
use tallyd::domain::correction::Standing;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::resolution::{ItemName, Token, Verdict};
use tallyd::domain::state::{EventState, HoldReason};
use tallyd::domain::time::{MICROS_PER_DAY, Timestamp};
use tallyd::ledger::delivery::{DeliveryLedger, Leased, Settlement};
use tallyd::ledger::holds::{Decision, HoldsLedger, Item, Resolution, Resolved};
use tallyd::ledger::intake::{Admission, CorrectionLedger, IntakeLedger};
use tallyd::ledger::operator::{BookFilter, OperatorLedger, RecentEvents};
use tallyd::posting::poster::Poster;
use tallyd::service::Service;
use tallyd::store::sqlite::SqliteLedger;

use crate::support::journey::{provider_name, record};
use crate::support::stand_in::{agreeable, answer, events, ledger, terms};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

fn name(text: &str) -> ItemName {
    ItemName::parse(text).unwrap()
}

async fn lease(ledger: &SqliteLedger, now: Timestamp) -> Vec<Leased> {
    ledger.lease(&provider_name(), terms(now, 10)).await.unwrap().leased
}

/// Has the leased events held: as refused, or as those that may exist.
async fn hold(ledger: &SqliteLedger, leased: Vec<Leased>, may_exist: bool, now: Timestamp) {
    let reason = if may_exist { HoldReason::MayExist } else { HoldReason::Refused };
    let settlements = leased
        .into_iter()
        .map(|leased| Settlement {
            event: leased.event,
            attempt: leased.attempt,
            answer: answer(if may_exist { Outcome::Unknown } else { Outcome::Refused(reason) }),
            answered_at: now,
            to: EventState::Held,
            hold: Some((reason, "so it was answered".to_owned())),
            next_attempt_at: None,
            ambiguous: may_exist,
            new_key: false,
            failed: false,
        })
        .collect();
    ledger.settle(&provider_name(), settlements, None, now).await.unwrap();
}

/// A ledger with one held event of quantity 1.
async fn one_held(folder: &Path, may_exist: bool) -> Arc<SqliteLedger> {
    let ledger = ledger(folder, START).await;
    events(&ledger, 1, START).await;
    let leased = lease(&ledger, START).await;
    hold(&ledger, leased, may_exist, START).await;
    ledger
}

async fn token(ledger: &SqliteLedger, item: ItemName) -> Token {
    ledger.item(item).await.unwrap().expect("it is held").token().clone()
}

/// A verdict over an item as it is now.
async fn verdict(ledger: &SqliteLedger, item: &str, verdict: Verdict) -> Resolution {
    let item = name(item);
    let (why, who) = ("as the provider's page shows".to_owned(), "cli:ada".to_owned());
    let expect = token(ledger, item).await;
    Resolution { item, verdict, expect, why, who, dry_run: false }
}

async fn give(ledger: &SqliteLedger, resolution: &Resolution) -> Decision {
    ledger.resolve(resolution, START.plus_seconds(60)).await.unwrap()
}

async fn done(ledger: &SqliteLedger, resolution: &Resolution) -> Resolved {
    match give(ledger, resolution).await {
        Decision::Done(resolved) => *resolved,
        Decision::Refused(why) => panic!("{why}"),
    }
}

async fn refused(ledger: &SqliteLedger, resolution: &Resolution) -> String {
    match give(ledger, resolution).await {
        Decision::Done(resolved) => panic!("{resolved:?}"),
        Decision::Refused(why) => why,
    }
}

async fn verify(ledger: &SqliteLedger) {
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

/// (accrued, told, at risk) over all balances.
async fn books(ledger: &SqliteLedger) -> [String; 3] {
    let lines = ledger.books(&BookFilter::default()).await.unwrap();
    let sum = |of: fn(&tallyd::ledger::operator::BookLine) -> &Quantity| {
        lines.iter().map(of).sum::<Quantity>().to_string()
    };
    [sum(|line| &line.accrued), sum(|line| &line.told), sum(|line| &line.at_risk)]
}

async fn state(ledger: &SqliteLedger, event: i64) -> String {
    ledger.event(event).await.unwrap().unwrap().state
}

/// What a statement finds in the ledger file, a text a row.
async fn rows(folder: &Path, sql: &'static str) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(folder.join("ledger")).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let found = connection.fetch_all(sql).await.unwrap();
    found.iter().map(|row| row.get::<String, _>(0)).collect()
}

const LINES: &str = "SELECT record_position || ' ' || quantity || ' ' || cause || ' ' || cause_id
    FROM booking ORDER BY id";
const RESOLUTIONS: &str =
    "SELECT item || ':' || item_id || ' ' || verdict || ' ' || quantity || ' '
    || who || ' ' || why FROM resolution ORDER BY id";

async fn poster(ledger: &Arc<SqliteLedger>, now: Timestamp) {
    let poster = Poster::new(provider_name(), ledger.clone(), agreeable(START));
    poster.run_once(now).await.unwrap();
}

#[tokio::test]
async fn what_a_person_says_is_billed_is_settled_and_kept_with_name_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = one_held(folder.path(), true).await;
    assert_eq!(books(&ledger).await, ["1", "1", "1"]);
    let status = ledger.status().await.unwrap();
    assert_eq!(status.held, [("stripe.main".to_owned(), "may_exist".to_owned(), 1)]);
    assert_eq!((status.at_risk.len(), status.at_risk[0].items), (1, 1));
    assert_eq!(status.recent, RecentEvents { events: 1, held: 1 });
    let resolved = done(&ledger, &verdict(&ledger, "event:1", Verdict::Billed).await).await;
    assert_eq!((resolved.id, resolved.records), (Some(1), 0));
    assert_eq!(state(&ledger, 1).await, "settled");
    assert_eq!(books(&ledger).await, ["1", "1", "0"]);
    let kept = rows(folder.path(), RESOLUTIONS).await;
    assert_eq!(kept, ["event:1 billed 1 cli:ada as the provider's page shows"]);
    verify(&ledger).await;
}

#[tokio::test]
async fn what_was_refused_and_is_not_billed_is_told_under_a_new_identifier() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = one_held(folder.path(), false).await;
    let resolved = done(&ledger, &verdict(&ledger, "event:1", Verdict::NotBilled).await).await;
    let change = resolved.balance.unwrap();
    assert_eq!(
        (change.told.to.to_string(), change.outstanding.to.to_string()),
        ("0".into(), "1".into())
    );
    assert_eq!(state(&ledger, 1).await, "superseded");
    verify(&ledger).await;
    poster(&ledger, START.plus_seconds(60)).await;
    let identifiers = rows(folder.path(), "SELECT identifier FROM meter_event").await;
    assert_eq!(identifiers.len(), 2);
    assert_ne!(identifiers[0], identifiers[1]);
    assert_eq!(
        (state(&ledger, 2).await, books(&ledger).await),
        ("pending".into(), ["1", "1", "0"].map(str::to_owned))
    );
    verify(&ledger).await;
}

#[tokio::test]
async fn what_may_exist_and_is_not_billed_goes_again_with_the_same_bytes_and_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = one_held(folder.path(), true).await;
    let first = rows(folder.path(), "SELECT idempotency_key FROM attempt").await;
    done(&ledger, &verdict(&ledger, "event:1", Verdict::NotBilled).await).await;
    let leased = lease(&ledger, START.plus_seconds(61)).await;
    assert_eq!(leased.len(), 1);
    assert!(!leased[0].ambiguous);
    assert_eq!(leased[0].identifier.as_str(), first[0]);
    assert_eq!(leased[0].idempotency_key, format!("{}-2", first[0]));
    verify(&ledger).await;
}

#[tokio::test]
async fn what_may_exist_is_not_sent_again_once_the_provider_takes_it_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = one_held(folder.path(), true).await;
    let late = START.plus_micros(36 * MICROS_PER_DAY);
    let resolution = verdict(&ledger, "event:1", Verdict::NotBilled).await;
    let why = match ledger.resolve(&resolution, late).await.unwrap() {
        Decision::Done(resolved) => panic!("{resolved:?}"),
        Decision::Refused(why) => why,
    };
    assert!(why.contains("cannot be sent again") && why.contains("say billed"), "{why}");
    assert_eq!(state(&ledger, 1).await, "held");
    assert_eq!(rows(folder.path(), RESOLUTIONS).await, [""; 0]);
}

#[tokio::test]
async fn what_is_written_off_names_its_records_and_leaves_nothing_outstanding() {
    for may_exist in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = one_held(folder.path(), may_exist).await;
        let resolved = done(&ledger, &verdict(&ledger, "event:1", Verdict::WriteOff).await).await;
        assert_eq!((resolved.records, state(&ledger, 1).await.as_str()), (1, "dead"));
        assert_eq!(books(&ledger).await, ["0", "0", "0"]);
        assert_eq!(rows(folder.path(), LINES).await, ["1 1 record 0", "1 -1 write_off 1"]);
        let exists = "SELECT CAST(ambiguous AS TEXT) FROM meter_event";
        assert_eq!(rows(folder.path(), exists).await, [i64::from(may_exist).to_string()]);
        verify(&ledger).await;
        // Nothing of it is told again.
        poster(&ledger, START.plus_seconds(60)).await;
        assert!(lease(&ledger, START.plus_seconds(61)).await.is_empty());
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = one_held(folder.path(), true).await;
    let before = rows(folder.path(), LINES).await;
    let mut asked = verdict(&ledger, "event:1", Verdict::WriteOff).await;
    asked.dry_run = true;
    let would = done(&ledger, &asked).await;
    assert_eq!((would.id, would.records, would.moves[0].to.as_str()), (None, 1, "dead"));
    assert_eq!(would.balance.clone().unwrap().accrued.to.to_string(), "0");
    assert_eq!(
        (state(&ledger, 1).await.as_str(), token(&ledger, asked.item).await),
        ("held", asked.expect.clone())
    );
    assert_eq!(rows(folder.path(), LINES).await, before);
    assert_eq!(rows(folder.path(), RESOLUTIONS).await, [""; 0]);
    verify(&ledger).await;
    // What it said is what is done.
    asked.dry_run = false;
    let mut did = done(&ledger, &asked).await;
    assert_eq!(did.id.take(), Some(1));
    assert_eq!(did, would);
}

#[tokio::test]
async fn a_verdict_over_what_changed_since_it_was_seen_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = one_held(folder.path(), true).await;
    let resolution = verdict(&ledger, "event:1", Verdict::NotBilled).await;
    let wrong = Resolution { expect: Token::typed("00000000"), ..resolution.clone() };
    let why = refused(&ledger, &wrong).await;
    assert!(why.contains("changed since it was seen") && why.contains(resolution.expect.as_str()));
    done(&ledger, &resolution).await;
    // Given again, as after a lost answer.
    let why = refused(&ledger, &resolution).await;
    assert!(why.contains("not held any longer: cli:ada said not-billed"), "{why}");
    // Held again, it is another hold than the one that was seen.
    let later = START.plus_seconds(61);
    let leased = lease(&ledger, later).await;
    hold(&ledger, leased, true, later).await;
    let why = refused(&ledger, &resolution).await;
    assert!(why.contains("changed since it was seen"), "{why}");
    assert_eq!(rows(folder.path(), RESOLUTIONS).await.len(), 1);
}

#[tokio::test]
async fn an_event_in_flight_or_one_that_is_not_there_is_not_decided() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 1, START).await;
    lease(&ledger, START).await;
    let asked = |item| Resolution {
        item: name(item),
        verdict: Verdict::Billed,
        expect: Token::typed("-"),
        why: "so it is".to_owned(),
        who: "cli:ada".to_owned(),
        dry_run: false,
    };
    assert_eq!(refused(&ledger, &asked("event:1")).await, "event:1 is not held");
    assert_eq!(refused(&ledger, &asked("event:9")).await, "there is no event:9");
    assert_eq!(refused(&ledger, &asked("balance:1")).await, "balance:1 is not held");
    assert_eq!(refused(&ledger, &asked("conflict:1")).await, "there is no conflict:1");
}

/// A ledger whose one balance is held: its usage is older than the provider takes.
async fn held_balance(folder: &Path) -> Arc<SqliteLedger> {
    let ledger = ledger(folder, START).await;
    let old = START.plus_micros(-40 * MICROS_PER_DAY);
    crate::support::stand_in::usage(&ledger, 1, old).await;
    let reading =
        tallyd::domain::provider_facts::ClockReading { provider_at: START, local_at: START };
    ledger.read_clock(&provider_name(), reading).await.unwrap();
    poster(&ledger, START).await;
    ledger
}

#[tokio::test]
async fn a_held_balance_is_written_off_or_said_to_be_billed_and_is_never_told_again() {
    for said in [Verdict::WriteOff, Verdict::ToldBefore, Verdict::Billed] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = held_balance(folder.path()).await;
        assert_eq!(books(&ledger).await, ["1", "0", "1"]);
        let why = refused(&ledger, &verdict(&ledger, "balance:1", Verdict::NotBilled).await).await;
        assert!(why.contains("never told"), "{why}");
        let why = refused(&ledger, &verdict(&ledger, "balance:1", Verdict::First).await).await;
        assert!(why.contains("say billed, write-off or told-before"), "{why}");
        let resolution = verdict(&ledger, "balance:1", said).await;
        assert_eq!(done(&ledger, &resolution).await.records, 1);
        assert_eq!(books(&ledger).await, ["0", "0", "0"]);
        assert_eq!(rows(folder.path(), LINES).await, ["1 1 record 0", "1 -1 write_off 1"]);
        assert_eq!(ledger.held(10).await.unwrap(), []);
        let why = refused(&ledger, &resolution).await;
        assert!(why.contains("not held any longer"), "{why}");
        poster(&ledger, START.plus_seconds(60)).await;
        assert_eq!(ledger.held(10).await.unwrap(), []);
        verify(&ledger).await;
    }
}

async fn accept(ledger: &SqliteLedger, quantity: &str, customer: &str) -> Admission {
    let copy = record("r", customer, "calls", quantity, START);
    ledger.accept(vec![copy.into()], Vec::new(), START).await.unwrap().remove(0)
}

async fn conflict(ledger: &SqliteLedger, number: i64) -> tallyd::ledger::holds::Conflict {
    match ledger.item(name(&format!("conflict:{number}"))).await.unwrap() {
        Some(Item::Conflict(conflict)) => *conflict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_conflict_decided_for_the_second_copy_corrects_the_record_and_makes_the_copy_a_duplicate()
{
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    for quantity in ["5", "7", "9"] {
        accept(&ledger, quantity, "acme").await;
    }
    assert_eq!(ledger.questions(10).await.unwrap().conflicts.len(), 2);
    assert!(matches!(accept(&ledger, "7", "acme").await, Admission::Conflict(_)));
    let both = verdict(&ledger, "conflict:2", Verdict::Second).await;
    done(&ledger, &verdict(&ledger, "conflict:1", Verdict::Second).await).await;
    assert_eq!(conflict(&ledger, 1).await.standing, Some(Standing::Counts(7.into())));
    assert_eq!(conflict(&ledger, 1).await.decided, Some(Verdict::Second));
    assert!(matches!(accept(&ledger, "7", "acme").await, Admission::Duplicate(_)));
    assert!(matches!(accept(&ledger, "5", "acme").await, Admission::Duplicate(_)));
    assert!(matches!(accept(&ledger, "9", "acme").await, Admission::Conflict(_)));
    // The other conflict was seen while the record counted with something else.
    assert!(refused(&ledger, &both).await.contains("changed since it was seen"));
    done(&ledger, &verdict(&ledger, "conflict:2", Verdict::First).await).await;
    assert!(matches!(accept(&ledger, "9", "acme").await, Admission::Conflict(_)));
    assert_eq!(ledger.questions(10).await.unwrap().conflicts, []);
    assert_eq!(ledger.status().await.unwrap().conflicts, 0);
    let said = "SELECT name || ' ' || replaces || ' ' || quantity || ' ' || who FROM correction";
    assert_eq!(rows(folder.path(), said).await, ["conflict:1 5 7 cli:ada"]);
    verify(&ledger).await;
}

#[tokio::test]
async fn a_second_copy_that_differs_in_more_than_its_quantity_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    accept(&ledger, "5", "acme").await;
    accept(&ledger, "7", "bolt").await;
    let why = refused(&ledger, &verdict(&ledger, "conflict:1", Verdict::Second).await).await;
    assert!(why.contains("cancel the record"), "{why}");
    let why = refused(&ledger, &verdict(&ledger, "conflict:1", Verdict::Billed).await).await;
    assert!(why.contains("of a conflict say first or second"), "{why}");
    assert_eq!(ledger.questions(10).await.unwrap().conflicts.len(), 1);
    assert_eq!(rows(folder.path(), RESOLUTIONS).await, [""; 0]);
}

#[tokio::test]
async fn a_correction_without_effect_is_listed_until_another_one_has_one() {
    use tallyd::domain::correction::{Change, Correction};
    use tallyd::domain::names::{CorrectionName, RecordId, SourceName};
    let adjust = |name: &str, replaces: i64, quantity: i64| Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new("r").unwrap(),
        name: CorrectionName::new(name).unwrap(),
        change: Change::Adjust { quantity: quantity.into(), replaces: replaces.into() },
        reason: "miscounted".to_owned(),
        who: "cli:ada".to_owned(),
    };
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    ledger.correct(vec![adjust("a", 4, 7)], START).await.unwrap();
    assert_eq!(ledger.questions(10).await.unwrap().corrections, []);
    accept(&ledger, "5", "acme").await;
    let listed = ledger.questions(10).await.unwrap().corrections;
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "a"));
    assert_eq!(listed[0].standing, Standing::Counts(5.into()));
    ledger.correct(vec![adjust("b", 5, 7)], START).await.unwrap();
    assert_eq!(ledger.questions(10).await.unwrap().corrections, []);
}
