//! What windows come to at the stand-in for Chargebee. Here: windows that overlap, bounds that are
//! learned late, and what is finer than a site takes. Never here: terms ([`super::terms`]). Read
//! next: [`super::rooms`].

use std::time::Duration;

use tallyd::accrual::route::WindowRule;
use tallyd::domain::names::AccountName;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::ledger::report::{Comparand, ReportLedger as _};
use tallyd::reconcile::parts::parts;
use tallyd::sandbox::chargebee::Fate;

use super::rooms::{QUICK, World, held};
use super::{HOUR, meter, provider_name};
use crate::support::chargebee::{DAY, MONTH, START, start, start_with};

#[tokio::test]
async fn usage_of_one_second_in_windows_that_overlap_has_a_second_for_each() {
    let mut world = World::open(start().await, QUICK).await;
    let at = START + 5 * HOUR;
    world.accept("a", "sub", "calls", "1", at).await;
    world.change_windows(WindowRule::Hour).await;
    world.accept("b", "sub", "calls", "2", at).await;
    world.change_windows(WindowRule::Minute).await;
    world.accept("c", "sub", "calls", "4", at).await;
    world.book().await;
    // All three are due at once by then.
    world.set(Timestamp::from_seconds(START + 2 * DAY));
    world.run_until(START + 2 * DAY + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 7 3"]);
    // What comes later finds the seconds of the others taken.
    world.change_windows(WindowRule::Hour).await;
    world.accept("d", "sub", "calls", "8", at).await;
    world.run_until(START + 3 * DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 15 4"]);
    assert_eq!(world.billed(), world.accrued().await);
}

#[tokio::test]
async fn a_subscription_with_few_usages_left_has_one_for_each_month_and_term_from_there_on() {
    let sandbox = start_with(|site| site.pending = Duration::from_secs(48 * 3_600)).await;
    sandbox.subscribe("other", &["basic", "calls"]);
    let mut world = World::following(sandbox).await;
    world.widen_from(2).await;
    let use_one = async |world: &World, customer: &str, at: i64| {
        world.run_until(at).await;
        world.accept(&format!("{customer} {at}"), customer, "calls", "1", at).await;
    };
    for day in [1, 2, 5, 6, 20] {
        use_one(&world, "sub", START + day * DAY).await;
    }
    // Another one of the same site has many left.
    use_one(&world, "other", START + 21 * DAY).await;
    world.run_until(START + 25 * DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 2 2", "other calls 1 1"]);
    // October ends twelve hours before the term does.
    use_one(&world, "sub", START + MONTH - 2 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 5 3", "other calls 1 1"]);
    use_one(&world, "sub", START + MONTH + 2 * HOUR).await;
    world.run_until(START + MONTH + 20 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 6 4", "other calls 1 1"]);
    // What is late has a usage of its own, also then.
    world.accept("late", "sub", "calls", "7", START + 5 * DAY).await;
    world.run_until(START + MONTH + 21 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 13 5", "other calls 1 1"]);
    assert_eq!(held(&world).await, [""; 0]);
}

/// A run in which usage of an hour was told, and of a pause later that day is not heard yet.
async fn told_before_a_pause() -> World {
    let world = World::open(start().await, QUICK).await;
    world.accept("a", "sub", "calls", "3", START + HOUR).await;
    world.set(Timestamp::from_seconds(START + 5 * HOUR));
    world.sandbox.handle.pause("sub").unwrap();
    world.run_until(START + DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 3 1"]);
    world
}

#[tokio::test]
async fn what_was_told_is_billed_once_when_a_bound_behind_its_usage_is_learned_later() {
    let mut world = told_before_a_pause().await;
    world.follow();
    world.accept("b", "sub", "calls", "4", START + 2 * HOUR).await;
    world.run_until(START + 2 * DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 7 1"]);
}

#[tokio::test]
async fn what_was_told_across_a_bound_that_is_learned_later_is_taken_away_and_told_apart() {
    let mut world = told_before_a_pause().await;
    // Both are one entry, at the time of the later one.
    world.accept("b", "sub", "calls", "4", START + 2 * HOUR).await;
    world.accept("paused", "sub", "calls", "5", START + 6 * HOUR).await;
    world.run_until(START + DAY + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 3 1"]);
    world.follow();
    world.run_until(START + 2 * DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 7 1"]);
    // Nothing bills what is dated into the pause, and it is gone all the same.
    let there = world.sandbox.handle.usages();
    let left = there.iter().filter(|usage| usage.fate != Fate::Deleted);
    let dated: Vec<i64> = left.map(|usage| usage.usage_date - START).collect();
    assert_eq!(dated, [2 * HOUR]);
    assert_eq!(held(&world).await, ["sub 5 no_period"]);
}

#[tokio::test]
async fn a_ledger_verifies_while_an_entry_is_on_its_way_out() {
    let world = World::open(start().await, QUICK).await;
    world.accept("a", "sub", "calls", "10", START).await;
    world.run_until(START + DAY).await;
    world.adjust("a", "k1", "10", "7").await;
    world.book().await;
    world.post().await;
    assert_eq!(world.ledger.verify().await.unwrap().findings, [""; 0]);
    world.run_until(START + DAY + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 7 1"]);
}

#[tokio::test]
async fn what_is_finer_than_the_site_takes_is_left_by_that_name_and_goes_with_what_comes() {
    let world = World::open(start().await, QUICK).await;
    world.accept("a", "sub", "calls", "1.337", START).await;
    // The ledger verifies, with what is left.
    world.run_until(START + DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 1.33 1"]);
    assert_eq!(left(&world).await, ["finer than the provider takes 0.007"]);
    world.accept("b", "sub", "calls", "0.004", START + 1).await;
    world.run_until(START + DAY + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 1.34 2"]);
    assert_eq!(left(&world).await, ["finer than the provider takes 0.001"]);
}

/// What a report says of what was not told.
async fn left(world: &World) -> Vec<String> {
    let account = AccountName::new("sub").unwrap();
    let comparand = Comparand { account, meter: meter("calls"), lane: None, periods: Vec::new() };
    let day = |at: i64| Timestamp::from_seconds(START + at * DAY);
    let span = Window { start: day(-1), end: day(2) };
    let books = world.ledger.span_books(&provider_name(), &comparand, span).await.unwrap();
    let said = parts(&books, &[]).into_iter().filter(|(name, _)| !name.starts_with("told"));
    said.map(|(name, quantity)| format!("{name} {quantity}")).collect()
}
