//! Of the ledger's verbs.

use futures_util::FutureExt;
use tallyd::delivery::settle::settle;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::time::{MICROS_PER_HOUR, Timestamp};
use tallyd::ledger::delivery::{DeliveryLedger, Leased};
use tallyd::ledger::intake::{Admission, IntakeLedger};
use tallyd::ledger::operator::OperatorLedger;

use crate::support::journey::{provider_name, record};
use crate::support::stand_in::{answer, events, ledger, settings, terms};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_of_a_group_commit_turns_no_other_caller_away() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let book = |id: &str| {
        let record = record(id, "cus_1", "calls", "1", START);
        ledger.accept(vec![record.into()], Vec::new(), START)
    };
    let mut first = book("first");
    assert!(first.as_mut().now_or_never().is_none(), "it holds the writer");
    let mut leaves = book("leaves");
    let mut stays = book("stays");
    assert!(leaves.as_mut().now_or_never().is_none());
    assert!(stays.as_mut().now_or_never().is_none());
    first.await.unwrap();
    // The writer is its now; it takes both batches, and its transaction begins.
    assert!(leaves.as_mut().now_or_never().is_none());
    drop(leaves);
    let stayed = stays.await.unwrap();
    // On a busy machine that one poll may get as far as the commit: then both batches are booked,
    // and the one that stays is told so.
    let committed = matches!(stayed[0], Admission::Duplicate(_));
    assert!(committed || matches!(stayed[0], Admission::Accepted(_)), "{stayed:?}");
    let status = ledger.status().await.unwrap();
    let booked = if committed { 3 } else { 2 };
    assert_eq!(status.records, booked, "nobody waits for what the one that left brought");
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

#[tokio::test]
async fn attempts_that_certainly_never_landed_do_not_use_up_the_dedupe_window() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 1, START).await;
    let provider = provider_name();
    let lease = async |now| ledger.lease(&provider, terms(now, 10)).await.unwrap();
    let end = async |leased: &Leased, outcome, now| {
        let settlement = settle(leased, answer(outcome), &settings(), now);
        ledger.settle(&provider, vec![settlement], None, now).await.unwrap();
    };
    // A day without a route to the provider, and then an answer that is lost.
    let leased = lease(START).await.leased;
    end(&leased[0], Outcome::NotSent, START).await;
    let later = START.plus_micros(24 * MICROS_PER_HOUR);
    let leased = lease(later).await.leased;
    end(&leased[0], Outcome::Unknown, later).await;
    // The provider can only have seen it for an hour: it goes again.
    let again = later.plus_micros(MICROS_PER_HOUR);
    let leases = lease(again).await;
    assert_eq!((leases.leased.len(), leases.expired), (1, 0));
    end(&leases.leased[0], Outcome::RateLimited, again).await;
    // And what is unknown keeps its first attempt, whatever comes after it.
    let too_late = later.plus_micros(23 * MICROS_PER_HOUR + 1);
    let leases = lease(too_late).await;
    assert_eq!((leases.leased.len(), leases.expired), (0, 1));
}

#[tokio::test]
async fn the_ledger_verifies_while_events_are_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 3, START).await;
    events(&ledger, 2, START.plus_seconds(1)).await;
    let now = START.plus_seconds(2);
    let leases = ledger.lease(&provider_name(), terms(now, 10)).await.unwrap();
    assert_eq!(leases.leased.len(), 3);
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

#[test]
fn a_wait_of_years_that_an_answer_asks_for_is_not_waited() {
    for outcome in [Outcome::RateLimited, Outcome::Failed, Outcome::Busy] {
        let mut leased = crate::support::stand_in::leased();
        leased.ambiguous = true;
        let answer = Answer { retry_after_seconds: Some(u32::MAX), ..answer(outcome) };
        let wait = settle(&leased, answer, &settings(), START).next_attempt_at.unwrap();
        assert!(wait <= START.plus_micros(MICROS_PER_HOUR), "{outcome:?} waits until {wait}");
    }
}
