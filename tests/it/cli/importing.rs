//! `tallyd import`.

use std::io::Write;
use std::process::Stdio;

use super::{Place, Ran, shape};

const GOOD: &str = concat!(
    r#"{"id":"a","customer":"cus_1","meter":"requests","quantity":"2","#,
    r#""time":"2020-01-01T00:00:00Z"}"#,
    "\n",
    r#"{"id":"b","customer":"cus_1","meter":"requests","quantity":3,"time":1577836800}"#,
    "\n",
);

#[test]
fn a_bad_line_among_good_ones_is_told_by_its_place_and_the_others_are_booked() {
    let place = Place::new();
    place.put("a.ndjson", &format!("{GOOD}{{\"id\":\"c\",\"quantity\":-1}}\nnothing\n"));
    insta::assert_snapshot!(place.run("import a.ndjson --source web").whole(), @r"
    exit 1
    accepted    2
    duplicates  0
    conflicts   0
    rejected    2

    a.ndjson:3 customer is missing
    a.ndjson:4 record is not a JSON object
    ");
    assert_eq!(place.run("trace web/b").code, 0);
    assert_eq!(place.run("status --json").json()["rejected"], 2);
}

#[test]
fn importing_twice_books_once() {
    let place = Place::new();
    place.put("a.ndjson", GOOD);
    insta::assert_snapshot!(place.run("import a.ndjson --source web").whole(), @r"
    exit 0
    accepted    2
    duplicates  0
    conflicts   0
    rejected    0
    ");
    insta::assert_snapshot!(place.run("import a.ndjson --source web").whole(), @r"
    exit 0
    accepted    0
    duplicates  2
    conflicts   0
    rejected    0
    ");
    // The same ids of another source are other records.
    let other = place.run("import a.ndjson --source batch --json").json();
    assert_eq!((&other["accepted"], &other["duplicate"]), (&2.into(), &0.into()));
    assert_eq!(place.run("status --json").json()["records"], 4);
}

#[test]
fn a_copy_that_says_something_else_is_a_conflict_and_no_success() {
    let place = Place::new();
    place.put("a.ndjson", GOOD);
    place.put("b.ndjson", &GOOD.replace("\"quantity\":3", "\"quantity\":4"));
    place.run("import a.ndjson --source web");
    insta::assert_snapshot!(place.run("import b.ndjson --source web").whole(), @r"
    exit 1
    accepted    0
    duplicates  1
    conflicts   1
    rejected    0

    b.ndjson:2 id was booked before with other content, which stays booked; this copy is kept beside it for a person
    ");
}

#[test]
fn a_missing_column_stops_its_file_before_anything_is_booked_and_the_others_go_on() {
    let place = Place::new();
    place.put("short.csv", "id,time\n1,2020-01-01T00:00:00Z\n");
    place.put("whole.csv", "id,time,customer,more\n1,2020-01-01T00:00:00Z,cus_1,x\n");
    let line = "import short.csv nowhere.csv whole.csv --source access";
    insta::assert_snapshot!(place.run(line).whole(), @r#"
    exit 1
    accepted    1
    duplicates  0
    conflicts   0
    rejected    0
    --- stderr
    tallyd: short.csv has no column "customer", which the mapping "access" needs; its header is: "id", "time"
    tallyd: nowhere.csv cannot be opened: No such file or directory (os error 2)
    "#);
}

#[test]
fn a_table_needs_a_mapping_and_a_mapping_has_to_be_there() {
    let place = Place::new();
    place.put("whole.csv", "id,time,customer\n1,2020-01-01T00:00:00Z,cus_1\n");
    insta::assert_snapshot!(place.run("import whole.csv --source web").whole(), @r"
    exit 1
    accepted    0
    duplicates  0
    conflicts   0
    rejected    0
    --- stderr
    tallyd: whole.csv is a table, and nothing says how its rows become records: add a table [import.web] to the config, or name another with --mapping
    ");
    assert!(!place.path("tallyd.ledger").exists(), "nothing was to be booked");
    let ran = place.run("import whole.csv --source web --mapping acess");
    insta::assert_snapshot!(ran.whole(), @r#"
    exit 1
    --- stderr
    tallyd: there is no mapping "acess"; the config has access
    "#);
    assert_eq!(place.run("import whole.csv --source web --mapping access").code, 0);
}

#[test]
fn standard_input_is_a_file_too() {
    let place = Place::new();
    let mut command = place.command("import - --source web --json");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"no record\n").unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.json()["files"][0]["file"], "standard input");
    insta::assert_snapshot!(shape(&ran.json()), @r"{accepted: number, duplicate: number, conflict: number, rejected: number, reasons: [{file: text, line: number, id: null, status: text, field: text, reason: text}], files: [{file: text, error: null, accepted: number, duplicate: number, conflict: number, rejected: number}]}");
}

#[test]
fn only_the_first_reasons_are_listed_and_all_are_counted() {
    let place = Place::new();
    place.put("a.ndjson", &"{}\n".repeat(25));
    let ran = place.run("import a.ndjson --source web");
    assert!(ran.out.contains("rejected    25\n"), "{}", ran.out);
    assert!(ran.out.ends_with("a.ndjson:20 id is missing\nand 5 rows more\n"), "{}", ran.out);
}
