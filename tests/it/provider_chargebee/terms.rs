//! The rooms, and what the stand-in for Chargebee bills as time goes on. Here: terms, trials,
//! pauses, ends, pending and closed invoices. Never here: what is told where nothing is known of
//! them ([`super::rooms`]). Read next: [`super::billing`].

use std::time::Duration;

use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::ledger::report::ReportLedger as _;
use tallyd::sandbox::chargebee::{CancelAt, Change, NewSubscription};

use super::rooms::{World, held};
use super::{HOUR, provider_name};
use crate::support::chargebee::{DAY, MINUTE, MONTH, START, start, start_with};

#[tokio::test]
async fn late_usage_joins_a_pending_invoice_and_is_held_once_that_is_closed() {
    let sandbox = start_with(|site| {
        site.pending = Duration::from_secs(48 * 3_600);
        site.renames_invoices = true;
    })
    .await;
    let world = World::following(sandbox).await;
    let term_end = START + MONTH;
    world.accept("a", "sub", "calls", "10", START + DAY).await;
    // Its last window ends with the term, at noon.
    world.accept("b", "sub", "calls", "2", term_end - HOUR).await;
    world.run_until(term_end + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 12 2"]);
    world.accept("late", "sub", "calls", "3", START + 2 * DAY).await;
    world.accept("next", "sub", "calls", "1", term_end + HOUR).await;
    world.run_until(term_end + 30 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 16 4"]);
    // The invoice is closed after 48 hours, under another id.
    world.run_until(term_end + 49 * HOUR).await;
    world.accept("too late", "sub", "calls", "5", START + 3 * DAY).await;
    world.run_until(term_end + 50 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 16 4"]);
    let held = world.ledger.held(10).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0].reason, "late_for_period");
    let finals = world.ledger.final_periods(&provider_name(), 10).await.unwrap();
    let said: Vec<String> =
        finals.iter().map(|each| format!("{} {}", each.account, each.billed)).collect();
    assert_eq!(said, ["sub 15"]);
}

#[tokio::test]
async fn a_term_without_any_usage_still_takes_it_while_its_invoice_is_pending() {
    let sandbox = start_with(|site| site.pending = Duration::from_secs(48 * 3_600)).await;
    let world = World::following(sandbox).await;
    world.run_until(START + MONTH + 10 * HOUR).await;
    world.accept("late", "sub", "calls", "3", START + DAY).await;
    world.run_until(START + MONTH + 11 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 3 1"]);
    assert_eq!(world.ledger.held(10).await.unwrap(), []);
}

#[tokio::test]
async fn usage_of_a_trial_and_after_the_end_is_held_as_nothing_bills_it() {
    let sandbox = start().await;
    let trial = NewSubscription {
        trial_end: Some(START + 10 * DAY),
        ..NewSubscription::new("sub_trial", "customer", &["basic", "calls"])
    };
    sandbox.handle.create_subscription(&trial).unwrap();
    let world = World::following(sandbox).await;
    world.accept("on trial", "sub_trial", "calls", "3", START + DAY).await;
    world.accept("before", "sub", "calls", "1", START + DAY).await;
    world.run_until(START + 3 * DAY).await;
    world.sandbox.handle.cancel("sub", CancelAt::Now).unwrap();
    world.run_until(START + 3 * DAY + HOUR).await;
    world.accept("after", "sub", "calls", "5", START + 4 * DAY).await;
    world.run_until(START + 6 * DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 1 1"]);
    let held = world.ledger.held(10).await.unwrap();
    let said: Vec<(&str, &str)> =
        held.iter().map(|each| (each.account.as_str(), each.reason.as_str())).collect();
    assert_eq!(said, [("sub_trial", "no_period"), ("sub", "no_period")]);
    // The trial's end makes its own usage no more billable, and later usage goes.
    world.accept("paid", "sub_trial", "calls", "7", START + 11 * DAY).await;
    world.run_until(START + 13 * DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 1 1", "sub_trial calls 7 1"]);
}

#[tokio::test]
async fn an_invoice_that_somebody_deletes_is_found_to_bill_nothing() {
    let world = World::following(start().await).await;
    world.accept("a", "sub", "calls", "10", START + DAY).await;
    world.run_until(START + MONTH + 3 * DAY).await;
    let billed = async || {
        let finals = world.ledger.final_periods(&provider_name(), 10).await.unwrap();
        finals.iter().map(|each| each.billed.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(billed().await, ["10"]);
    let invoices = world.sandbox.ids("/invoices", "invoice", &[]).await;
    let deleted =
        world.sandbox.post(&format!("/invoices/{}/delete", invoices[0]), &Vec::new()).await;
    assert_eq!(deleted.status, 200);
    world.run_until(START + MONTH + 4 * DAY).await;
    assert_eq!(billed().await, ["0"], "its usages are gone with it");
}

#[tokio::test]
async fn usage_of_a_pause_is_held_and_what_came_before_and_after_it_on_the_same_day_is_told() {
    let world = World::following(start().await).await;
    // The pause lasts from three to nine in the afternoon.
    let (paused, resumed) = (START + 3 * HOUR, START + 9 * HOUR);
    world.accept("before", "sub", "calls", "1", START + HOUR).await;
    world.run_until(paused).await;
    world.sandbox.handle.pause("sub").unwrap();
    world.accept("within", "sub", "calls", "10", paused + HOUR).await;
    world.run_until(resumed).await;
    world.sandbox.handle.resume("sub").unwrap();
    world.accept("after", "sub", "calls", "100", resumed + HOUR).await;
    world.run_until(START + 3 * DAY).await;
    assert_eq!(held(&world).await, ["sub 10 no_period"]);
    assert_eq!(world.sandbox.books(), ["sub calls 101 2"]);
    // The term's invoice changes nothing of that, and bills what was told.
    world.accept("late", "sub", "calls", "1000", paused + 2 * HOUR).await;
    world.run_until(START + MONTH + 3 * DAY).await;
    assert_eq!(held(&world).await, ["sub 1010 no_period"]);
    let finals = world.ledger.final_periods(&provider_name(), 10).await.unwrap();
    assert_eq!(finals.len(), 1);
    assert_eq!(finals[0].billed.to_string(), "101");
}

#[tokio::test]
async fn usage_between_a_cancellation_and_a_new_beginning_is_held() {
    let world = World::following(start().await).await;
    world.run_until(START + DAY).await;
    world.sandbox.handle.cancel("sub", CancelAt::Now).unwrap();
    world.run_until(START + 5 * DAY).await;
    world.sandbox.handle.change("sub", &Change::Reactivate).unwrap();
    world.run_until(START + 6 * DAY).await;
    world.accept("between", "sub", "calls", "10", START + 3 * DAY).await;
    world.accept("again", "sub", "calls", "100", START + 6 * DAY).await;
    world.run_until(START + 9 * DAY).await;
    assert_eq!(held(&world).await, ["sub 10 no_period"]);
    assert_eq!(world.sandbox.books(), ["sub calls 100 1"]);
}

#[tokio::test]
async fn a_correction_of_a_terms_last_hour_waits_for_the_pending_invoice() {
    let sandbox = start_with(|site| site.pending = Duration::from_secs(48 * 3_600)).await;
    let world = World::following(sandbox).await;
    world.accept("a", "sub", "calls", "10", START + DAY).await;
    let term_end = START + MONTH;
    world.run_until(term_end - HOUR / 3).await;
    world.adjust("a", "k", "10", "7").await;
    world.run_until(term_end - MINUTE).await;
    assert_eq!(world.sandbox.books(), ["sub calls 10 1"], "nothing is missing as the term ends");
    world.run_until(term_end + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 7 1"]);
}
