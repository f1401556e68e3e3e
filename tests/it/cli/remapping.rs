//! `tallyd remap`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;
use tallyd::accrual::accruer::Accruer;
use tallyd::clock::{Clock as _, SystemClock};
use tallyd::config::{Outside, Overrides, SecretPolicy};
use tallyd::domain::names::ProviderName;
use tallyd::service::Service as _;
use tallyd::store::sqlite::SqliteLedger;

use super::{CONFIG, Place, Ran, shape};

/// A place whose ledger holds three records of two customers.
fn booked() -> Place {
    let place = Place::new();
    let line = |(id, customer, quantity): (&str, &str, &str)| {
        format!(
            "{{\"id\":\"{id}\",\"customer\":\"{customer}\",\"meter\":\"requests\",\
             \"quantity\":\"{quantity}\",\"time\":\"2020-01-01T00:30:00Z\"}}\n"
        )
    };
    let lines = [("a", "cus_1", "5"), ("b", "cus_1", "2.5"), ("c", "cus_2", "3")].map(line);
    place.put("a.ndjson", &lines.concat());
    assert_eq!(place.run("import a.ndjson --source web").code, 0);
    place
}

/// Books by the routes of the place's config, as its daemon would.
fn accrue(place: &Place) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let overrides =
            Overrides { ledger: Some(place.path("tallyd.ledger")), ..Overrides::default() };
        let outside = Outside { overrides, environment: &|_| None };
        let config = place.path("tallyd.toml");
        let config = tallyd::config::load(&config, &outside, SecretPolicy::Unneeded).unwrap();
        let now = SystemClock.now();
        let ledger = SqliteLedger::open(&config.store, "a test", now).await.unwrap();
        let ledger = Arc::new(ledger);
        let routes = config.routes;
        let prefixes = HashMap::from([(ProviderName::new("stripe.main").unwrap(), "cus_")]);
        let accruer = Accruer::adopt(ledger.clone(), routes, prefixes, now).await.unwrap();
        while accruer.run_once(now).await.unwrap().more {}
        drop(accruer);
        Arc::into_inner(ledger).unwrap().close().await;
    });
}

/// Runs a command line whose reason is `wrong scale`.
fn run(place: &Place, line: &str) -> Ran {
    let mut command = place.command(line);
    command.args(["--why", "wrong scale"]).env("USER", "ada");
    Ran::of(command.output().unwrap())
}

fn scaled() -> String {
    CONFIG.replacen("to = \"stripe.main\"\n", "to = \"stripe.main\"\nscale = \"0.5\"\n", 1)
}

#[test]
fn what_a_remap_changes_is_shown_before_it_is_asked_for() {
    let place = booked();
    accrue(&place);
    let same = place.run("remap --preview");
    assert_eq!(
        same.whole(),
        "exit 0\nOf 3 records, none would be booked otherwise by the routes in force.\n"
    );
    place.put("tallyd.toml", &scaled());
    let early = place.run("remap --preview");
    assert_eq!(early.code, 1);
    assert!(early.err.contains("the ledger books by other routes than this config"), "{early:?}");
    accrue(&place);
    let shown = run(&place, "remap");
    insta::assert_snapshot!(shown.whole(), @r"
    exit 64
    Of 3 records, 3 would be booked otherwise by the routes in force:

      provider     account  meter     taken back  told instead  change
      stripe.main  cus_1    requests        -7.5          3.75   -3.75
      stripe.main  cus_2    requests          -3           1.5    -1.5

    What was told of closed periods follows the routes' `late` and `corrections`.
    --- stderr
    tallyd: nothing was remapped: say --yes to do it, --preview to only look
    ");
    let asked = run(&place, "remap --customer cus_1 --yes");
    assert!(asked.out.contains("\nRemap 1 is asked for"), "{asked:?}");
    let begun = run(&place, "remap --customer cus_1 --yes --json").json();
    let change = json!({
        "provider": "stripe.main", "account": "cus_1", "meter": "requests",
        "start": "2020-01-01T00:00:00Z", "end": "2020-01-01T01:00:00Z",
        "from": "-7.5", "to": "3.75", "outlook": "told",
    });
    let said = json!({ "records": 2, "changed": 2, "changes": [change], "left": [], "remap": 2 });
    assert_eq!(begun, said);
    accrue(&place);
    let listed = place.run("remap --list --json").json();
    assert_eq!(
        shape(&listed[0]),
        "{remap: number, asked_at: text, who: text, why: text, at: number, to: number, changed: \
         number, left: number, ended: text, stopped_by: null, stopped_why: null}"
    );
    assert_eq!((&listed[1]["changed"], &listed[0]["changed"]), (&json!(2), &json!(0)));
    let listed = place.run("remap --list").out;
    assert!(listed.contains("cli:ada"), "{listed}");
    let trace = place.run("trace web/a").out;
    for line in ["record", "remap_from", "remap_to"] {
        assert!(trace.contains(line), "{trace}");
    }
    assert_eq!(place.run("ledger verify").code, 0);
}

#[test]
fn a_remap_needs_a_reason_and_names_that_can_be_read() {
    let place = booked();
    accrue(&place);
    assert_eq!(place.run("remap --yes").code, 64);
    let ran = run(&place, "remap --from yesterday");
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("tallyd: --from "), "{ran:?}");
}

#[test]
fn a_preview_says_of_what_nothing_is_told() {
    let place = booked();
    accrue(&place);
    let config = scaled();
    let with = |line: &str| config.replace("[stripe.main]", &format!("[stripe.main]\n{line}"));
    for (line, word, said) in [
        ("shadow = true", "shadow", "shadow: the provider is told nothing"),
        ("bill_from = \"2021-01-01T00:00:00Z\"", "bill_from", "bill_from: of before it"),
    ] {
        place.put("tallyd.toml", &with(line));
        accrue(&place);
        let shown = place.run("remap --preview").out;
        assert!(shown.contains("what is told") && shown.contains(said), "{shown}");
        let json = place.run("remap --preview --json").json();
        assert_eq!(json["changes"][0]["outlook"], word, "{json}");
    }
}

#[test]
fn a_remap_that_is_asked_for_is_stopped_with_a_reason() {
    let place = booked();
    accrue(&place);
    place.put("tallyd.toml", &scaled());
    accrue(&place);
    assert_eq!(run(&place, "remap --yes").code, 0);
    assert_eq!(place.run("remap --stop 1").code, 64);
    let stopped = run(&place, "remap --stop 1");
    assert_eq!(
        stopped.whole(),
        "exit 0\nRemap 1 is stopped at 0 of 3 in the journal. 0 records that it\nbooked anew until \
         then stay so, and the rest as it was.\n"
    );
    for (number, why) in [(1, "remap 1 is stopped already"), (2, "there is no remap 2")] {
        let refused = run(&place, &format!("remap --stop {number}"));
        assert!(refused.code == 1 && refused.err.contains(why), "{refused:?}");
    }
    accrue(&place);
    let listed = place.run("remap --list --json").json();
    assert_eq!((&listed[0]["changed"], &listed[0]["ended"]), (&json!(0), &json!("stopped")));
    assert_eq!(listed[0]["stopped_by"], "cli:ada");
    assert!(place.run("remap --list").out.contains("stopped at 0 of 3"));
}
