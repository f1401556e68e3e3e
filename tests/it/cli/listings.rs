//! `status`, `books`, `trace`, `held`, `ledger verify`.

use std::io::pipe;

use serde_json::Value;
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
    let World { ledger, accruer, poster, courier, settler, listener, .. } = world;
    drop((accruer, poster, courier, settler, listener));
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
    insta::assert_snapshot!(all.join("\n"), @r#"
    $ tallyd status
    exit 0
    ledger                   tallyd.ledger (id [ledger])
    daemon                   none: nobody holds the ledger, and nothing is told
    records                  none yet
    corrections              none yet
    conflicts                0
    rejected                 1, of which 1 wait (tallyd rejected list)
    balances to tell         0
    oldest event that waits  -
    nearest deadline         -

    No record is parked.

    There is no meter event yet.

    Nothing is held.

    No provider was contacted yet.

    $ tallyd books
    exit 0
    The books are empty: no usage is accrued to any account yet.

    $ tallyd books --meter x
    exit 0
    The books have no such account or meter.

    $ tallyd held list
    exit 0
    Nothing is held.

    No record is parked.

    $ tallyd held show balance:1
    exit 1
    --- stderr
    tallyd: balance:1 is not held

    $ tallyd trace web/a
    exit 1
    --- stderr
    tallyd: the source "web" never sent a record with the id "a"
    "#);
}

#[tokio::test]
async fn the_books_show_the_bracket_and_the_totals() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("books").whole(), @r"
    exit 0
    provider     account  meter     accrued  told  settled  accepted  pending  uncertain  held  at risk  low..high
    stripe.main  cus_1    requests      5.5   5.5        0       5.5        0          0     0        0     0..5.5
    stripe.main  cus_2    lost            3     0        0         0        0          0     0        3       0..0
    stripe.main  cus_2    requests        7     7        0         7        0          0     0        0       0..7
    stripe.main  total    lost            3     0        0         0        0          0     0        3       0..0
    stripe.main  total    requests     12.5  12.5        0      12.5        0          0     0        0    0..12.5
    ");
    insta::assert_snapshot!(place.run("books --by-window --account cus_1").whole(), @r"
    exit 0
    provider     account  meter     window                                        accrued  told  settled  accepted  pending  uncertain  held  at risk  low..high
    stripe.main  cus_1    requests  [2026-09-21T10:00:00Z, 2026-09-21T11:00:00Z)      5.5   5.5        0       5.5        0          0     0        0     0..5.5
    stripe.main  total    requests                                                    5.5   5.5        0       5.5        0          0     0        0     0..5.5
    ");
    let json = place.run("books --json").json();
    assert_eq!(json["totals"][1]["accrued"], "12.5");
    insta::assert_snapshot!(shape(&json), @"{lines: [{provider: text, account: text, meter: text, start: text, end: text, told_before: text, accrued: text, told: text, settled: text, accepted: text, pending: text, uncertain: text, held: text, at_risk: text, low: text, high: text}], totals: [{provider: text, meter: text, accrued: text, told: text, settled: text, accepted: text, pending: text, uncertain: text, held: text, at_risk: text, low: text, high: text}], openings: [], shadow: []}");
}

#[tokio::test]
async fn a_trace_tells_the_whole_life_of_a_record() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("trace web/a/1").whole(), @r"
    exit 0
    record 1, booked 2026-09-21T12:00:00Z ([age])
      source      web
      id          a/1
      customer    cus_1
      meter       requests
      quantity    5
      time        2026-09-21T10:00:00Z
      properties  {}

    conflict, kept 2026-09-21T12:00:00Z ([age])
      the copy says customer cus_1, meter requests, quantity 6, properties {}, time 2026-09-21T10:00:00Z

    booked by the route requests (version 1)
      to       stripe.main, account cus_1, meter requests
      window   [2026-09-21T10:00:00Z, 2026-09-21T11:00:00Z)
      adds     5
      balance  1: accrued 5.5, told 5.5

      event:1 accepted, says 5.5 at 2026-09-21T10:00:00Z
        identifier [identifier]
        attempt                   outcome   status  request                  message  key
        2026-09-21T12:00:00.001Z  accepted  200     req_sandbox............  -        [identifier]
        moved                     from       to         why
        2026-09-21T12:00:00Z      -          pending    posted
        2026-09-21T12:00:00.001Z  pending    in_flight  leased
        2026-09-21T12:00:00.001Z  in_flight  accepted   accepted
    ");
    insta::assert_snapshot!(place.run("trace web/e").whole(), @r#"
    exit 0
    record 5, booked 2026-09-21T12:00:00Z ([age])
      source      web
      id          e
      customer    acme
      meter       bytes
      quantity    12
      time        2026-09-21T10:00:00Z
      properties  {}

    parked in front of the route bytes since 2026-09-21T12:00:00Z ([age])
      no_account: no account of "acme" at stripe.main
      ended by: import the customer's account (tallyd customers import FILE --provider NAME)
    "#);
    insta::assert_snapshot!(shape(&place.run("trace web/a/1 --json").json()), @r"{source: text, id: text, position: number, record: {source: text, id: text, customer: text, meter: text, quantity: text, time: text, properties: {}}, recorded_at: text, archive: null, standing: text, corrections: [], conflicts: [{recorded_at: text, says: text, decided: null, resolutions: []}], parked: [], bookings: [{route: text, route_version: number, provider: text, account: text, meter: text, balance: number, start: text, end: text, quantity: text, lines: [{quantity: text, cause: text, cause_id: null, booked_at: text}], accrued: text, told: text, hold: null, invoices: [], resolutions: [], events: [{id: number, kind: text, cancels: null, identifier: text, state: text, hold: null, quantity: text, occurred_at: text, attempts: [{begun_at: text, idempotency_key: text, outcome: text, status: number, request_id: text, message: null}], moves: [{at: text, from: null, to: text, why: text}], resolutions: []}]}]}");
    insta::assert_snapshot!(place.run("trace web").whole(), @r#"
    exit 1
    --- stderr
    tallyd: a record is named SOURCE/ID, and "web" has no slash
    "#);
}

#[tokio::test]
async fn a_trace_says_why_what_was_booked_is_held() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("trace web/d").whole(), @r#"
    exit 0
    record 4, booked 2026-09-21T12:00:00Z ([age])
      source      web
      id          d
      customer    cus_2
      meter       lost
      quantity    3
      time        2026-09-21T10:00:00Z
      properties  {}

    booked by the route lost (version 2)
      to        stripe.main, account cus_2, meter lost
      window    [2026-09-21T10:00:00Z, 2026-09-21T11:00:00Z)
      adds      3
      balance   2: accrued 3, told 0
      held      no_meter: the meter "lost" is not known: it was neither found at the provider nor declared
      ended by  create, reactivate or declare the meter; balances are then told by themselves, events once you say so (tallyd held resolve NAME --as not-billed)
      No event covers it yet.
    "#);
    let held = &place.run("trace web/d --json").json()["bookings"][0]["hold"];
    insta::assert_snapshot!(shape(held), @"{reason: text, detail: text, ended_by: text}");
}

#[tokio::test]
async fn what_is_held_or_parked_says_what_ends_it() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("held list").whole(), @r#"
    exit 0
    held       provider     account  meter  quantity  reason    since                 token     detail
    balance:2  stripe.main  cus_2    lost          3  no_meter  2026-09-21T12:00:00Z  1f2e830f  the meter "lost" is not known: it was neither found at the provider nor declared

    reason    ended by
    no_meter  create, reactivate or declare the meter; balances are then told by themselves, events once you say so (tallyd held resolve NAME --as not-billed)

    conflict    record   first or second  since                 token
    conflict:1  web/a/1  quantity 5 or 6  2026-09-21T12:00:00Z  01ad1278
    ended by: say which copy is right (tallyd held resolve NAME --as first|second --why TEXT)

    parked before  meter    records  quantity  reason      for example
    any route      unheard        1         1  no_route    customer acme: no route takes the meter "unheard"
    route bytes    bytes          1        12  no_account  customer acme: no account of "acme" at stripe.main

    reason      ended by
    no_account  import the customer's account (tallyd customers import FILE --provider NAME)
    no_route    add a route that matches the record's meter and properties
    "#);
    let json = place.run("held list --json").json();
    insta::assert_snapshot!(shape(&json), @"{held: [{name: text, provider: text, account: text, meter: text, quantity: text, reason: text, detail: text, since: text, token: text, ended_by: text}], conflicts: [{name: text, source: text, record: text, first: {customer: text, meter: text, quantity: text, time: text, properties: text}, archive: null, second: {customer: text, meter: text, quantity: text, time: text, properties: text}, counts_with: text, since: text, decided: null, token: text, ended_by: text}], corrections: [], parked: [{route: null, reason: text, meter: text, customer: text, detail: text, count: number, quantity: text, ended_by: text}], more: bool}");
    assert_eq!(json["more"], false);
    let name = json["held"][0]["name"].as_str().unwrap();
    insta::assert_snapshot!(place.run(&format!("held show {name}")).whole(), @r#"
    exit 0
    balance:2 is held since 2026-09-21T12:00:00Z ([age])
      provider  stripe.main
      account   cus_2
      meter     lost
      quantity  3
      reason    no_meter
      detail    the meter "lost" is not known: it was neither found at the provider nor declared
      token     1f2e830f
      ended by  create, reactivate or declare the meter; balances are then told by themselves, events once you say so (tallyd held resolve NAME --as not-billed)
    "#);
    let shown = place.run(&format!("held show {name} --json")).json();
    assert_eq!(shown["held"], json["held"][0]);
    insta::assert_snapshot!(place.run("held show event:1").whole(), @r"
    exit 0
    event:1 is not held.

    event:1 accepted, says 5.5 at 2026-09-21T10:00:00Z
      identifier [identifier]
      attempt                   outcome   status  request                  message  key
      2026-09-21T12:00:00.001Z  accepted  200     req_sandbox............  -        [identifier]
      moved                     from       to         why
      2026-09-21T12:00:00Z      -          pending    posted
      2026-09-21T12:00:00.001Z  pending    in_flight  leased
      2026-09-21T12:00:00.001Z  in_flight  accepted   accepted
    ");
    assert_eq!(place.run("held show event:x").code, 64);
}

#[test]
fn a_listing_that_is_cut_off_says_so() {
    let place = Place::new();
    let record = |id: &str, quantity: u8| {
        format!(
            r#"{{"id":"{id}","customer":"c","meter":"m","quantity":{quantity},"time":1577836800}}"#
        )
    };
    let lines = [record("a", 1), record("b", 1), record("a", 2), record("b", 2)];
    place.put("a.ndjson", &lines.join("\n"));
    assert_eq!(place.run("import a.ndjson --source web").code, 1);
    let listed = |flags: &str| {
        let json = place.run(&format!("held list {flags} --json")).json();
        (json["conflicts"].as_array().unwrap().len(), json["more"] == true)
    };
    assert_eq!(
        [listed(""), listed("--limit 2"), listed("--limit 1")],
        [(2, false), (2, false), (1, true)]
    );
    let said = "The oldest 1 of each are listed; there are more (--limit).";
    assert!(place.run("held list --limit 1").out.contains(said));
    assert!(!place.run("held list --limit 2").out.contains("there are more"));
    assert_eq!(place.run("held list --limit 0").code, 64);
}

#[tokio::test]
async fn a_verdict_without_a_daemon_is_asked_about_given_and_given_once() {
    let place = Place::new();
    told(&place).await;
    let name = "balance:2";
    let line = format!("held resolve {name} --as write-off --why gone --who ada --json");
    let dry = place.run(&format!("{line} --dry-run")).json();
    assert_eq!(
        (&dry["resolution"], &dry["balance"]["outstanding"]["to"]),
        (&Value::Null, &"0".into())
    );
    let wrong = place.run(&format!("{line} --expect 00000000"));
    assert!(wrong.code == 1 && wrong.err.contains("changed since it was seen"), "{wrong:?}");
    assert_eq!(place.run(&line).json()["records_written_off"], 1);
    let again = place.run(&line);
    assert!(again.code == 1 && again.err.contains("ada said write-off at"), "{again:?}");
    let decided = place.run("held resolve conflict:1 --as second --why recounted");
    assert!(decided.out.contains("the record counts with 6 instead of 5"), "{decided:?}");
    assert_eq!(place.run("ledger verify").code, 0);
}

#[tokio::test]
async fn the_status_counts_what_waits_and_says_who_holds_the_ledger() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("status").whole(), @r"
    exit 0
    ledger                   tallyd.ledger (id [ledger])
    daemon                   none: nobody holds the ledger, and nothing is told
    records                  6, and accrual has taken all of them
    corrections              none yet
    conflicts                1
    rejected                 0
    balances to tell         1
    oldest event that waits  -
    nearest deadline         -

    parked      records  ended by
    no_account        1  import the customer's account (tallyd customers import FILE --provider NAME)
    no_route          1  add a route that matches the record's meter and properties

    provider     state     events
    stripe.main  accepted       2

    held at      reason    items  ended by
    stripe.main  no_meter      1  create, reactivate or declare the meter; balances are then told by themselves, events once you say so (tallyd held resolve NAME --as not-billed)

    at risk at   account  meter  items  quantity
    stripe.main  cus_2    lost       1         3
    Of the newest 2 events 0 are held.

    provider     account              mode  sending
    stripe.main  acct_1TallydSandbox  test  yes
    ");
    insta::assert_snapshot!(shape(&place.run("status --json").json()), @"{ledger: text, held_by: null, silent: {until: null, counts: {source: number, meter: number, customer: number}, silences: []}, ledger_id: text, records: number, accrued_to: number, corrections: number, corrected_to: number, conflicts: number, rejected: number, rejected_open: number, parked: [{reason: text, count: number, ended_by: text}], events: [{provider: text, state: text, count: number}], held: [{provider: text, reason: text, count: number, ended_by: text}], held_share: {events: number, held: number, basis_points: number}, at_risk: [{provider: text, account: text, meter: text, items: number, quantity: text}], at_risk_places: number, restored: null, balances_open: number, oldest_open_at: null, nearest_deadline_at: null, providers: [{provider: text, account: text, livemode: bool, pause: null, in_shadow: bool, balances_told_before: number}], notices: [], spools: []}");
}

#[tokio::test]
async fn a_verification_that_finds_something_exits_2_and_names_the_row() {
    let place = Place::new();
    told(&place).await;
    insta::assert_snapshot!(place.run("ledger verify").whole(), @r"
    exit 0
    Checked tallyd.ledger: its storage, 6 records, 4 bookings, 2 meter events, 3 balances.
    Every promise holds.
    ");
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let mut storage = options.filename(place.path("tallyd.ledger")).connect().await.unwrap();
    let broken = "UPDATE balance SET accrued = '99' WHERE id = 1";
    sqlx::query(broken).execute(&mut storage).await.unwrap();
    storage.close().await.unwrap();
    insta::assert_snapshot!(place.run("ledger verify").whole(), @r"
    exit 2
    Checked tallyd.ledger: its storage, 6 records, 4 bookings, 2 meter events, 3 balances.
    balance 1: accrued 99, but its bookings make 5.5
    balance 1: 93.5 is outstanding, and nothing is due or held
    2 findings.
    ");
    let ran = place.run("ledger verify --json");
    assert_eq!((ran.code, ran.json()["checked"]["records"].as_i64()), (2, Some(6)));
    insta::assert_snapshot!(shape(&ran.json()), @r"{ledger: text, checked: {records: number, bookings: number, meter_events: number, balances: number}, findings: [text]}");
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
