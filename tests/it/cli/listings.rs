//! `status`, `books`, `trace`, `held`, `ledger verify`.

use std::io::pipe;

use sqlx::{ConnectOptions, Connection};
use tallyd::clock::Clock;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::operator::OperatorLedger;
use tallyd::sandbox::stripe::{Formula, NewMeter};

use super::{Place, shape};
use crate::support::journey::{Setting, World, provider_name, record, route};
use crate::support::stripe::{NOON, start_with};

/// A ledger in which usage was told, was held, and was parked.
async fn told(place: &Place) {
    let sandbox = start_with(|stripe| {
        stripe.meters = vec![NewMeter::new("requests", Formula::Sum)];
    })
    .await;
    let clock = sandbox.clock.clone();
    let mut imported = route("bytes");
    imported.account = tallyd::accrual::route::AccountRule::Imported;
    let routes = vec![route("requests"), route("lost"), imported];
    let world = World::open(place.0.path(), &sandbox, &clock, routes, Setting::default()).await;
    let at = Timestamp::from_seconds(NOON - 7_200);
    let usage = [
        ("a/1", "cus_1", "requests", "5"),
        ("b", "cus_1", "requests", "0.5"),
        ("c", "cus_2", "requests", "7"),
        ("d", "cus_2", "lost", "3"),
        ("e", "acme", "bytes", "12"),
        ("f", "acme", "unheard", "1"),
    ];
    let usage =
        usage.map(|(id, customer, meter, quantity)| record(id, customer, meter, quantity, at));
    world.accept(usage.to_vec()).await;
    let mut other = usage[0].clone();
    other.quantity = 6.into();
    world.accept(vec![other]).await;
    world.run_until(clock.now().plus_seconds(60)).await;
    assert_eq!(world.ledger.books(&Default::default()).await.unwrap().len(), 3);
    assert_eq!(provider_name().as_str(), "stripe.main");
    let World { ledger, accruer, poster, courier, .. } = world;
    drop((accruer, poster, courier));
    std::sync::Arc::into_inner(ledger).unwrap().close().await;
    std::fs::rename(place.path("ledger"), place.path("tallyd.ledger")).unwrap();
}

#[test]
fn a_ledger_that_is_not_there_is_said_to_be_missing_and_is_not_made() {
    let place = Place::new();
    for line in
        ["status", "books", "trace web/a", "held list", "held show event:1", "ledger verify"]
    {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}");
        assert_eq!(ran.err, "tallyd: there is no ledger at tallyd.ledger\n", "{line}");
    }
    assert!(!place.path("tallyd.ledger").exists());
}

#[test]
fn an_empty_ledger_says_so_in_sentences() {
    let place = Place::new();
    place.put("none.ndjson", "\n");
    place.put("one.ndjson", "{}\n");
    place.run("import one.ndjson --source web");
    let all: Vec<String> =
        ["status", "books", "books --meter x", "held list", "held show balance:1", "trace web/a"]
            .map(|line| format!("$ tallyd {line}\n{}", place.run(line).whole()))
            .into();
    insta::assert_snapshot!(all.join("\n"), @"?");
}

#[tokio::test]
async fn the_books_show_the_bracket_and_the_totals() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("books").whole(), @"?");
    insta::assert_snapshot!(place.run("books --by-window --account cus_1").whole(), @"?");
    let json = place.run("books --json").json();
    assert_eq!(json["totals"][1]["accrued"], "12.5");
    insta::assert_snapshot!(shape(&json), @"?");
}

#[tokio::test]
async fn a_trace_tells_the_whole_life_of_a_record() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("trace web/a/1").whole(), @"?");
    insta::assert_snapshot!(place.run("trace web/e").whole(), @"?");
    insta::assert_snapshot!(shape(&place.run("trace web/a/1 --json").json()), @"?");
    insta::assert_snapshot!(place.run("trace web").whole(), @"?");
}

#[tokio::test]
async fn what_is_held_or_parked_says_what_ends_it() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("held list").whole(), @"?");
    let json = place.run("held list --json").json();
    insta::assert_snapshot!(shape(&json), @"?");
    let name = json["held"][0]["name"].as_str().unwrap();
    insta::assert_snapshot!(place.run(&format!("held show {name}")).whole(), @"?");
    let shown = place.run(&format!("held show {name} --json")).json();
    assert_eq!(shown["held"], json["held"][0]);
    insta::assert_snapshot!(place.run("held show event:1").whole(), @"?");
    assert_eq!(place.run("held show event:x").code, 1);
}

#[tokio::test]
async fn the_status_counts_what_waits_and_says_who_holds_the_ledger() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("status").whole(), @"?");
    insta::assert_snapshot!(shape(&place.run("status --json").json()), @"?");
}

#[tokio::test]
async fn a_verification_that_finds_something_exits_2_and_names_the_row() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("ledger verify").whole(), @"?");
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let mut storage = options.filename(place.path("tallyd.ledger")).connect().await.unwrap();
    let broken = "UPDATE balance SET accrued = '99' WHERE id = 1";
    sqlx::query(broken).execute(&mut storage).await.unwrap();
    storage.close().await.unwrap();
    insta::assert_snapshot!(place.run("ledger verify").whole(), @"?");
    let ran = place.run("ledger verify --json");
    assert_eq!((ran.code, ran.json()["checked"]["records"].as_i64()), (2, Some(6)));
    insta::assert_snapshot!(shape(&ran.json()), @"?");
}

#[tokio::test]
async fn a_reader_who_leaves_early_ends_a_listing_quietly() {
    let place = Place::new();
    told(&place).await;
    for line in ["books", "books --json", "status", "trace web/a/1", "held list", "ledger verify"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = place.command(line).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{line}");
    }
}
