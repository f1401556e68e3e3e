//! Item prices of which a term's newest or largest usage is billed, at the stand-in for Chargebee.
//! Here: what is told of readings, what replaces it, and what is billed. Never here: usages that
//! add up ([`super::rooms`]), but for those that say how many distinct values a day has. Read next:
//! [`super::terms`].

use std::time::Duration;

use tallyd::accrual::route::Aggregate;
use tallyd::clock::Clock as _;
use tallyd::domain::names::InvoiceId;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::ledger::holds::{Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::ledger::report::ReportLedger as _;
use tallyd::sandbox::chargebee::{Aggregation, Fate, NewItemPrice};

use super::rooms::{QUICK, World, held};
use super::{HOUR, provider_name};
use crate::support::chargebee::{DAY, MONTH, START, start_with};

async fn world() -> World {
    let sandbox = start_with(|site| {
        site.pending = Duration::from_secs(48 * 3_600);
        site.item_prices = vec![
            NewItemPrice::plan("basic"),
            NewItemPrice::metered("calls").by(Aggregation::MostRecent),
            NewItemPrice::metered("bytes").by(Aggregation::Max),
        ];
    })
    .await;
    sandbox.subscribe("both", &["basic", "calls", "bytes"]);
    World::of_levels(sandbox).await
}

/// The usages that stand, as `item-price quantity`, in the order of their dates.
fn stand(world: &World) -> Vec<String> {
    let mut usages = world.sandbox.handle.usages();
    usages.retain(|usage| usage.fate != Fate::Deleted);
    usages.sort_by_key(|usage| usage.usage_date);
    let said = usages.iter().map(|usage| format!("{} {}", usage.item_price, usage.quantity));
    said.collect()
}

#[tokio::test]
async fn a_days_newest_and_largest_readings_are_told_and_a_term_bills_just_that() {
    let world = world().await;
    let day = |day: i64, hour: i64| START + day * DAY + hour * HOUR;
    for (at, calls, bytes) in [
        (day(0, 1), "10", "5"),
        (day(0, 2), "12", "9.5"),
        (day(0, 3), "11", "7"),
        (day(2, 1), "30", "4"),
        (day(4, 1), "8", "0"),
        (day(4, 2), "3", "0"),
    ] {
        world.run_until(at).await;
        world.accept(&format!("calls {at}"), "both", "calls", calls, at).await;
        world.accept(&format!("bytes {at}"), "both", "bytes", bytes, at).await;
    }
    world.run_until(day(6, 0)).await;
    let told = ["bytes 9.5", "calls 11", "bytes 4", "calls 30", "calls 3"];
    let mut found = stand(&world);
    found.sort();
    let mut told: Vec<String> = told.iter().map(|&line| line.to_owned()).collect();
    told.sort();
    assert_eq!(found, told);
    assert_eq!(world.sandbox.books(), ["both calls 3 3", "both bytes 9.5 2"]);
    // A level of nothing is one too: no older one is billed in its place.
    world.accept("none", "both", "calls", "0", day(8, 1)).await;
    world.run_until(START + MONTH + 60 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["both calls 0 4", "both bytes 9.5 2"]);
    let finals = world.ledger.final_periods(&provider_name(), 10).await.unwrap();
    let mut billed: Vec<String> = finals
        .iter()
        .map(|each| format!("{} {} {}", each.account, each.meter, each.billed))
        .collect();
    billed.sort();
    assert_eq!(billed, ["both bytes 9.5", "both calls 0"]);
    for period in &finals {
        assert_eq!(world.reporter().billed(period).await.unwrap(), None, "{period:?}");
    }
    let mut wrong = finals[0].clone();
    wrong.invoice = InvoiceId::new("another").unwrap();
    wrong.billed = 40.into();
    assert!(world.reporter().billed(&wrong).await.unwrap().is_some());
    assert_eq!(held(&world).await, [""; 0]);
}

#[tokio::test]
async fn what_changes_a_level_replaces_its_usage_and_what_ends_it_takes_it_away() {
    let world = world().await;
    let at = START + HOUR;
    world.accept("a", "both", "calls", "10", at).await;
    world.accept("b", "both", "calls", "12", at + HOUR).await;
    world.run_until(START + DAY).await;
    assert_eq!(stand(&world), ["calls 12"]);
    // One that is older changes nothing; one that is newer does, be it nothing.
    world.accept("older", "both", "calls", "99", at - 1).await;
    world.run_until(START + DAY + HOUR).await;
    assert_eq!(stand(&world), ["calls 12"]);
    assert_eq!(world.sandbox.handle.usages().len(), 1, "nothing was done about it");
    world.accept("newer", "both", "calls", "0", at + 2 * HOUR).await;
    world.run_until(START + DAY + 2 * HOUR).await;
    assert_eq!(stand(&world), ["calls 0"]);
    // Corrections are followed: of the newest, and then of the one that is the newest without it.
    world.adjust("newer", "k1", "0", "7").await;
    world.run_until(START + DAY + 3 * HOUR).await;
    assert_eq!(stand(&world), ["calls 7"]);
    world.cancel("newer").await;
    world.run_until(START + DAY + 4 * HOUR).await;
    assert_eq!(stand(&world), ["calls 12"]);
    for record in ["a", "b"] {
        world.cancel(record).await;
    }
    world.run_until(START + DAY + 5 * HOUR).await;
    assert_eq!(stand(&world), ["calls 99"]);
    world.adjust("older", "k1", "99", "0").await;
    world.run_until(START + DAY + 6 * HOUR).await;
    assert_eq!(stand(&world), ["calls 0"]);
    world.cancel("older").await;
    world.run_until(START + DAY + 7 * HOUR).await;
    assert_eq!(stand(&world), [""; 0], "no reading is left");
    assert_eq!(held(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_term_that_is_learned_late_parts_a_days_readings() {
    let world = world().await;
    // It pauses within the day, which is heard of after the day was told.
    world.accept("a", "both", "bytes", "9", START + HOUR).await;
    world.accept("b", "both", "calls", "9", START + HOUR).await;
    world.accept("c", "both", "calls", "0", START + 9 * HOUR).await;
    world.accept("d", "both", "bytes", "11", START + 9 * HOUR).await;
    world.set(tallyd::domain::time::Timestamp::from_seconds(START + 5 * HOUR));
    world.sandbox.handle.pause("both").unwrap();
    world.run_until(START + 2 * DAY).await;
    assert_eq!(stand(&world), ["bytes 9", "calls 9"], "what was read before the pause");
    assert_eq!(held(&world).await, ["both 11 no_period", "both 0 no_period"]);
    world.sandbox.handle.resume("both").unwrap();
    world.run_until(START + 3 * DAY).await;
    assert_eq!(stand(&world), ["bytes 9", "calls 9"]);
}

/// Says of everything that is held that it is written off.
async fn write_off(world: &World) {
    for item in world.ledger.held(10).await.unwrap() {
        let resolution = Resolution {
            item: ItemName::parse(&item.name).unwrap(),
            verdict: Verdict::WriteOff,
            expect: item.token.clone(),
            why: "it came too late".to_owned(),
            who: "cli:ada".to_owned(),
            dry_run: false,
        };
        let decision = world.ledger.resolve(&resolution, world.clock.now()).await.unwrap();
        assert!(matches!(decision, Decision::Done(_)), "{decision:?}");
    }
}

#[tokio::test]
async fn what_is_billed_for_good_stays_though_no_reading_says_it_any_longer() {
    let world = world().await;
    world.accept("ten", "both", "calls", "10", START + HOUR).await;
    world.accept("nothing", "both", "calls", "0", START + DAY + HOUR).await;
    world.run_until(START + MONTH + 60 * HOUR).await;
    world.cancel("ten").await;
    world.cancel("nothing").await;
    world.run_until(START + MONTH + 62 * HOUR).await;
    assert_eq!(held(&world).await, ["both 0 late_for_period", "both -10 late_for_period"]);
    write_off(&world).await;
    world.run_until(START + MONTH + 64 * HOUR).await;
    assert_eq!(held(&world).await, [""; 0], "it stays so");
    assert_eq!(stand(&world), ["calls 10", "calls 0"]);
}

#[tokio::test]
async fn a_level_that_came_too_late_is_written_off_down_to_what_was_told() {
    let world = world().await;
    world.accept("a", "both", "calls", "10", START + HOUR).await;
    world.accept("nothing", "both", "calls", "0", START + DAY + HOUR).await;
    world.run_until(START + MONTH + 60 * HOUR).await;
    assert_eq!(stand(&world), ["calls 10", "calls 0"]);
    // The invoice is closed: a higher level, a lower one, and one of a day without any.
    world.accept("b", "both", "calls", "12", START + 2 * HOUR).await;
    world.accept("c", "both", "calls", "5", START + DAY + 2 * HOUR).await;
    world.accept("d", "both", "calls", "0", START + 4 * DAY).await;
    world.run_until(START + MONTH + 62 * HOUR).await;
    let late = ["both 5 late_for_period", "both 2 late_for_period", "both 0 late_for_period"];
    assert_eq!(held(&world).await, late);
    write_off(&world).await;
    world.run_until(START + MONTH + 64 * HOUR).await;
    assert_eq!(held(&world).await, [""; 0], "it stays so");
    assert_eq!(stand(&world), ["calls 10", "calls 0"]);
    assert_eq!(world.accrued().await, ["both calls 10"]);
}

#[tokio::test]
async fn each_day_tells_how_many_users_it_had_and_a_user_goes_with_the_last_record() {
    let sandbox = start_with(|_| {}).await;
    sandbox.subscribe("both", &["basic", "calls"]);
    let mut world = World::open(sandbox, QUICK).await;
    world.tell([("calls", Aggregate::Unique("user".to_owned()))]).await;
    let day = |day: i64, hour: i64| START + day * DAY + hour * HOUR;
    for (id, at) in
        [("ada 1", day(0, 1)), ("ada 2", day(0, 2)), ("bob 1", day(0, 3)), ("ada 3", day(1, 1))]
    {
        world.run_until(at).await;
        world.accept(id, "both", "calls", "7.5", at).await;
    }
    world.run_until(day(2, 1)).await;
    assert_eq!(stand(&world), ["calls 2", "calls 1"]);
    world.cancel("ada 1").await;
    world.run_until(day(2, 2)).await;
    assert_eq!(stand(&world), ["calls 2", "calls 1"]);
    world.cancel("bob 1").await;
    world.run_until(day(2, 4)).await;
    assert_eq!(stand(&world), ["calls 1", "calls 1"]);
    // Who comes late is one entry more.
    world.accept("cyd 1", "both", "calls", "1", day(0, 5)).await;
    world.run_until(day(2, 6)).await;
    assert_eq!(stand(&world), ["calls 1", "calls 1", "calls 1"]);
    assert_eq!(held(&world).await, Vec::<String>::new());
}
