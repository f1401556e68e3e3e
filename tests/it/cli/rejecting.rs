//! `tallyd rejected`.

use std::io::Write;
use std::process::Stdio;

use super::daemon::Daemon;
use super::{CONFIG, Place, Ran, shape};

/// Three lines, of which the first says too little, the second is of nowhere, and the third is cut.
fn lines() -> String {
    let good = r#""customer":"cus_1","meter":"requests","quantity":"2""#;
    let long = "x".repeat(5_000);
    format!(
        "{{\"id\":\"a\",{good}}}\n{{\"id\":\"b\",{good},\"time\":\"2020-01-01T00:00:00\"}}\n\
         {{\"id\":\"c\",{good},\"colour\":\"{long}\",\"time\":1577836800}}\n"
    )
}

const CORRECTED: &str = r#"{"id": "a", "customer": "cus_1", "meter": "requests",
    "quantity": 2, "time": "2020-01-01T00:00:00Z"}"#;

fn place() -> Place {
    let place = Place::new();
    place.put("a.ndjson", &lines());
    assert_eq!(place.run("import a.ndjson --source web").code, 1);
    place
}

/// What is listed, without when it came, which differs.
fn listed(place: &Place, flags: &str) -> Vec<(i64, String, String)> {
    let document = place.run(&format!("rejected list --json {flags}")).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let items = document["rejected"].as_array().unwrap().iter();
    items
        .map(|item| (item["number"].as_i64().unwrap(), text(&item["id"]), text(&item["field"])))
        .collect()
}

fn item(number: i64, id: &str, field: &str) -> (i64, String, String) {
    (number, id.to_owned(), field.to_owned())
}

#[test]
fn what_was_rejected_is_listed_until_it_ends_oldest_first() {
    let place = place();
    let all = [item(1, "a", "time"), item(2, "b", "time"), item(3, "c", "colour")];
    assert_eq!(listed(&place, ""), all);
    assert_eq!(listed(&place, "--source web --after 1 --limit 1"), all[1..2]);
    assert_eq!(listed(&place, "--source other"), []);
    let cut = place.run("rejected list --limit 2").out;
    assert!(cut.ends_with("These are the oldest; there are more (--after 2).\n"), "{cut}");
    let whole = place.run("rejected list --after 2").out;
    assert!(whole.contains("web") && whole.contains("line 3"), "{whole}");
    assert!(whole.contains("colour is not a field of a record"), "{whole}");
    insta::assert_snapshot!(
        shape(&place.run("rejected list --json").json()),
        @"{rejected: [{number: number, since: text, source: text, id: text, place: text, field: text, reason: text, form: text, raw: text, whole: bool, end: null}], more: bool}"
    );

    let dismissed = place.run("rejected dismiss 1 3 --reason tests --who ada");
    assert_eq!((dismissed.code, dismissed.out.as_str()), (0, "1: dismissed\n3: dismissed\n"));
    assert_eq!(listed(&place, ""), all[1..2]);
    assert_eq!(listed(&place, "--all"), all);
    let ended = place.run("rejected list --all").out;
    assert!(ended.contains("dismissed by ada at ") && ended.contains(": tests"), "{ended}");
    let again = place.run("rejected dismiss 1 9 --reason tests");
    assert_eq!(again.code, 1);
    assert!(again.out.starts_with("1: nothing was changed: it was dismissed by ada"), "{again:?}");
    assert!(again.out.ends_with("9: nothing was changed: nothing rejected has this number\n"));
    let status = place.run("status --json").json();
    assert_eq!((&status["rejected"], &status["rejected_open"]), (&3.into(), &1.into()));
    // The same lines again are known, and what was dismissed stays so.
    place.run("import a.ndjson --source web");
    assert_eq!(listed(&place, ""), all[1..2]);
    assert_eq!(place.run("ledger verify").code, 0);
    assert_eq!(place.run("rejected dismiss 2").code, 64);
}

#[test]
fn an_item_is_booked_as_it_came_once_its_cause_is_mended() {
    let place = place();
    let early = place.run("rejected resubmit 2");
    assert_eq!(early.code, 1);
    assert!(early.out.starts_with("2: nothing was changed: time \"2020-01-01T00:00:00\" has no"));
    place.put("tallyd.toml", &format!("{CONFIG}\n[source.web]\nzone = \"UTC\"\n"));
    let ran = place.run("rejected resubmit 2 1 3");
    assert_eq!(ran.code, 1);
    let told: Vec<&str> = ran.out.lines().collect();
    assert_eq!(told[0], "2: booked as record 1");
    assert_eq!(told[1], "1: nothing was changed: time is missing");
    assert!(told[2].contains("only 4096 bytes of it can be told from what is kept"), "{told:?}");
    assert_eq!(place.run("trace web/b").code, 0);
    assert_eq!(listed(&place, ""), [item(1, "a", "time"), item(3, "c", "colour")]);
    assert_eq!(place.run("ledger verify").code, 0);
}

#[test]
fn a_corrected_record_ends_the_item_in_whose_place_it_is_sent() {
    let place = place();
    place.put("other.json", &CORRECTED.replace("\"a\"", "\"a2\"").replace("2,", "7,"));
    place.put("a.json", CORRECTED);
    let first = place.run("rejected resubmit 1 --file a.json");
    assert_eq!((first.code, first.out.as_str()), (0, "1: booked as record 1\n"));
    // The record of another item does not end this one: its own would be lost.
    let mistaken = place.run("rejected resubmit 2 --file a.json");
    assert_eq!(mistaken.code, 1, "{mistaken:?}");
    let said = "2: nothing was changed: the id of this is \"b\", and what was sent is record 1";
    assert!(mistaken.out.starts_with(said), "{mistaken:?}");
    // Its own ends it, too, when it is booked already; one that contradicts that does not.
    place.put("b.ndjson", &CORRECTED.replace("\"a\"", "\"b\"").replace('\n', " "));
    assert_eq!(place.run("import b.ndjson --source web").code, 0);
    let known = place.run("rejected resubmit 2 --file b.ndjson --json").json();
    assert_eq!(
        (&known["items"][0]["status"], &known["items"][0]["position"]),
        (&"duplicate".into(), &2.into())
    );
    place.put("a.json", &CORRECTED.replace("2,", "3,"));
    let contradicts = place.run("rejected resubmit 3 --file a.json");
    assert_eq!(contradicts.code, 1);
    assert!(contradicts.out.contains("was booked before with other content"), "{contradicts:?}");
    let status = place.run("status --json").json();
    assert_eq!((&status["conflicts"], &status["rejected_open"]), (&0.into(), &1.into()));
    assert_eq!((&status["records"], &status["rejected"]), (&2.into(), &3.into()));

    let mut command = place.command("rejected resubmit 3 --file -");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = CORRECTED.replace('{', "{\"source\": \"other\",");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (0, "3: booked as record 3\n"));
    assert_eq!(place.run("trace other/a").code, 0);
    assert_eq!(place.run("rejected resubmit 1 2 --file a.json").code, 64);
    assert_eq!(place.run("rejected list").out, "Nothing that was rejected waits.\n");
    assert_eq!(place.run("ledger verify").code, 0);
}

#[test]
fn who_asks_the_same_again_for_want_of_an_answer_is_told_what_it_came_to() {
    let place = place();
    place.put("a.json", CORRECTED);
    place.run("rejected resubmit 1 --file a.json");
    let again = place.run("rejected resubmit 1 --file a.json --json");
    assert_eq!(again.code, 0, "{again:?}");
    let told = &again.json()["items"][0];
    assert_eq!((&told["status"], &told["position"]), (&"duplicate".into(), &1.into()));
    // Another record, or what is none, is not what it ended with.
    place.put("other.json", &CORRECTED.replace("\"a\"", "\"a2\""));
    place.put("differs.json", &CORRECTED.replace("2,", "3,"));
    for line in ["1 --file other.json", "1 --file differs.json", "1"] {
        let refused = place.run(&format!("rejected resubmit {line}"));
        assert_eq!(refused.code, 1, "{line}");
        let over = "1: nothing was changed: it was resubmitted as record 1 by cli:";
        assert!(refused.out.starts_with(over), "{line}: {refused:?}");
    }
    let dismiss = "rejected dismiss 2 --reason tests --who ada";
    assert_eq!(place.run(dismiss).code, 0);
    let again = place.run(dismiss);
    assert_eq!((again.code, again.out.as_str()), (0, "2: dismissed\n"));
    assert_eq!(place.run("rejected dismiss 2 --reason others --who ada").code, 1);
    assert_eq!(place.run("rejected dismiss 2 --reason tests --who eve").code, 1);
    assert_eq!(place.run("rejected resubmit 2 --file a.json").code, 1);
    let status = place.run("status --json").json();
    assert_eq!((&status["records"], &status["conflicts"]), (&1.into(), &0.into()));
    assert_eq!(place.run("ledger verify").code, 0);
}

#[test]
fn as_it_came_an_item_is_of_a_source_that_its_sender_may_speak_for() {
    let place = Place::new();
    let foreign = CORRECTED.replace('{', "{\"source\": \"other\",").replace('\n', " ");
    place.put("a.ndjson", &foreign);
    assert_eq!(place.run("import a.ndjson --source web").code, 1);
    let as_it_came = place.run("rejected resubmit 1");
    assert_eq!(as_it_came.code, 1, "{as_it_came:?}");
    assert!(as_it_came.out.contains("is not one this sender may speak for"), "{as_it_came:?}");
    // Whoever types a record may name any source.
    let typed = place.run("rejected resubmit 1 --file a.ndjson");
    assert_eq!((typed.code, typed.out.as_str()), (0, "1: booked as record 1\n"));
    assert_eq!(place.run("trace other/a").code, 0);
}

#[test]
fn one_record_does_not_end_what_stands_for_several_of_a_row() {
    let place = Place::new();
    let second = "[[import.access.record]]\nmeter = \"bytes\"\ncolumn = \"bytes\"\n\
                  id_suffix = \"-bytes\"\n";
    place.put("tallyd.toml", &format!("{CONFIG}\n{second}"));
    let rows = "r1,yesterday,cus_1,5\nr2,cus_1\n,2020-01-01T00:00:00Z,cus_1,7\n";
    place.put("a.csv", &format!("id,time,customer,bytes\n{rows}"));
    assert_eq!(place.run("import a.csv --source access").code, 1);
    let document = place.run("rejected list --json").json();
    let items = document["rejected"].as_array().unwrap().iter();
    let items: Vec<String> =
        items.map(|item| format!("{}: {}", item["place"], item["id"])).collect();
    let of_two = ["\"line 2\": \"r1\"", "\"line 2\": \"r1-bytes\""];
    assert_eq!(items, [of_two[0], of_two[1], "\"line 3\": null", "\"line 4\": null"]);
    place.put("r1.json", &CORRECTED.replace("\"a\"", "\"r1\""));
    assert_eq!(place.run("rejected resubmit 1 --file r1.json").code, 0);
    for number in [3, 4] {
        let ran = place.run(&format!("rejected resubmit {number} --file r1.json"));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("may be several records: import the row again"), "{ran:?}");
    }
    assert_eq!(place.run("status --json").json()["rejected_open"], 3);
}

#[test]
fn what_was_sent_as_a_name_is_shown_on_one_line() {
    let place = Place::new();
    place.put("a.ndjson", "{\"id\":\"a\\n1  fine\\u001b[2J\"}\n");
    assert_eq!(place.run("import a.ndjson --source web").code, 1);
    let listed = place.run("rejected list").out;
    assert!(listed.contains(r"a\n1  fine\u{1b}[2J"), "{listed}");
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn what_is_no_record_by_itself_says_what_to_do() {
    let place = Place::new();
    place.put("a.csv", "id,time,customer\nr1,yesterday,cus_1\n");
    place.run("import a.csv --source access");
    place.put("fixes.ndjson", "{\"record\":\"r1\",\"id\":\"f\",\"kind\":\"undo\"}\n");
    place.run("import --corrections fixes.ndjson --source access");
    let ran = place.run("rejected resubmit 1 2");
    assert_eq!(ran.code, 1);
    let told: Vec<&str> = ran.out.lines().collect();
    assert!(told[0].contains("it is a row of a file, and no record by itself"), "{told:?}");
    assert!(told[1].contains("it came as a correction: make that again"), "{told:?}");
    place.put("r1.json", CORRECTED);
    assert_eq!(place.run("rejected resubmit 1 --file r1.json").out, "1: booked as record 1\n");
    assert_eq!(place.run("trace access/a").code, 0);
    let corrected = place.run("rejected resubmit 2 --file r1.json");
    assert!(corrected.out.contains("it came as a correction"), "{corrected:?}");
}

#[tokio::test]
async fn beside_a_daemon_what_was_rejected_ends_through_it() {
    let place = place();
    let daemon = Daemon::start(&place, tallyd::intake::Settings::default()).await;
    let run = async |line: &str| {
        Ran::of(tokio::process::Command::from(place.command(line)).output().await.unwrap())
    };
    place.put("a.json", CORRECTED);
    let booked = run("rejected resubmit 1 --file a.json").await;
    assert_eq!((booked.code, booked.out.as_str()), (0, "1: booked as record 1\n"), "{booked:?}");
    let refused = run("rejected resubmit 1 2").await;
    assert_eq!(refused.code, 1);
    assert!(refused.out.starts_with("1: nothing was changed: it was resubmitted as record 1 by"));
    assert!(refused.out.contains("2: nothing was changed: time \"2020-01-01T00:00:00\" has no"));
    let dismissed = run("rejected dismiss 2 3 --reason gone").await;
    assert_eq!((dismissed.code, dismissed.out.as_str()), (0, "2: dismissed\n3: dismissed\n"));
    // What an import rejects beside a daemon is kept as it is without one.
    place.put("b.csv", "id,time,customer\nr1,yesterday,cus_1\n");
    run("import b.csv --source access").await;
    let row = run("rejected resubmit 4").await;
    assert!(row.out.contains("it is a row of a file"), "{row:?}");
    daemon.end().await;
    assert_eq!(place.run("ledger verify").code, 0);
}
