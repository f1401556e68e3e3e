//! `tallyd cancel`, `tallyd adjust`, `tallyd import --corrections`, and what `trace` shows of them.

use super::{Place, Ran, shape};

/// A place whose ledger holds four records of two customers.
fn booked() -> Place {
    let place = Place::new();
    let line = |id: &str, customer: &str, quantity: &str, day: u32| {
        format!(
            "{{\"id\":\"{id}\",\"customer\":\"{customer}\",\"meter\":\"requests\",\
             \"quantity\":\"{quantity}\",\"time\":\"2020-01-0{day}T00:00:00Z\"}}\n"
        )
    };
    let lines = [
        line("a", "cus_1", "5", 1),
        line("b", "cus_1", "2.5", 2),
        line("c", "cus_2", "3", 3),
        line("d/1", "cus_2", "1", 4),
    ];
    place.put("a.ndjson", &lines.concat());
    assert_eq!(place.run("import a.ndjson --source web").code, 0);
    place
}

/// Runs a command line whose reason is `counted twice`.
fn run(place: &Place, line: &str) -> Ran {
    let mut command = place.command(line);
    command.args(["--reason", "counted twice"]).env("USER", "ada");
    Ran::of(command.output().unwrap())
}

#[test]
fn one_record_is_adjusted_and_cancelled_by_its_name_and_running_again_changes_nothing() {
    let place = booked();
    let ran = run(&place, "adjust web/a --to 7 --id fix-1");
    assert_eq!(ran.whole(), "exit 0\nweb/a counts with 7 now (correction fix-1).\n");
    let again = run(&place, "adjust web/a --to 7 --id fix-1");
    assert_eq!(again.whole(), "exit 0\nweb/a counts with 7 already.\n");
    // Back, and there again: without a name of its own each is another correction.
    for to in ["5", "7", "5", "7"] {
        let ran = run(&place, &format!("adjust web/a --to {to} --json")).json();
        assert_eq!((&ran["status"], &ran["standing"]), (&"accepted".into(), &to.into()), "{ran}");
        assert_eq!(place.run("trace web/a --json").json()["standing"], to);
    }
    let stale = run(&place, "adjust web/a --to 9 --replaces 5");
    assert_eq!(stale.code, 1);
    let said = "tallyd: web/a: replaces \"5\" is not what the record counts with, which is 7; \
                nothing was changed (the record stands at: 7)\n";
    assert_eq!(stale.err, said);
    let taken = run(&place, "adjust web/a --to 9 --id fix-1");
    assert_eq!(taken.code, 1);
    assert!(taken.err.contains("id \"fix-1\" names another correction"), "{}", taken.err);
    let gone = run(&place, "cancel web/a --id gone");
    assert_eq!(gone.whole(), "exit 0\nweb/a is cancelled (correction gone).\n");
    assert_eq!(run(&place, "cancel web/a").whole(), "exit 0\nweb/a is cancelled already.\n");
    let late = run(&place, "adjust web/a --to 1");
    assert_eq!((late.code, late.err.contains("is cancelled, which is final")), (1, true));
}

#[test]
fn a_correction_of_a_record_that_has_not_come_waits_for_it_and_is_shown() {
    let place = booked();
    let ran = run(&place, "cancel web/z --id early");
    let said = "exit 0\nweb/z has not come; the correction early waits for it.\n";
    assert_eq!(ran.whole(), said);
    let blind = run(&place, "adjust web/y --to 3");
    assert!(blind.err.contains("say with --replaces which quantity it will have"), "{blind:?}");
    let seen = run(&place, "adjust web/y --to 3 --replaces 4");
    assert_eq!((seen.code, seen.out.contains("web/y has not come")), (0, true), "{seen:?}");
    let again = run(&place, "adjust web/y --to 3 --replaces 4");
    assert!(again.out.contains("the same correction waits for it"), "{again:?}");
    let text = place.run("trace web/z").out;
    assert!(text.starts_with("web/z has not come yet; what corrects it waits for it\n"), "{text}");
    assert!(text.contains("\ncorrection 1 \"early\", made by cli:ada 20"), "{text}");
    let says = "  says    cancel\n  effect  waiting\n  reason  counted twice\n";
    assert!(text.ends_with(says), "{text}");
    place.put(
        "z.ndjson",
        "{\"id\":\"z\",\"customer\":\"cus_1\",\"meter\":\"requests\",\"quantity\":8,\
         \"time\":\"2020-01-01T00:00:00Z\"}\n",
    );
    place.run("import z.ndjson --source web");
    let life = place.run("trace web/z --json").json();
    assert_eq!(life["standing"], "cancelled");
    let correction = &life["corrections"][0];
    assert_eq!((&correction["effect"], &correction["from"]), (&"applied".into(), &"8".into()));
    let text = place.run("trace web/z").out;
    assert!(text.contains("  counts      cancelled\n"), "{text}");
    assert!(text.contains("  effect  applied, from 8 to cancelled\n"), "{text}");
    insta::assert_snapshot!(shape(&life), @r"{source: text, id: text, position: number, record: {source: text, id: text, customer: text, meter: text, quantity: text, time: text, properties: {}}, recorded_at: text, archive: null, standing: text, corrections: [{number: number, id: text, kind: text, quantity: null, replaces: null, effect: text, from: text, to: text, reason: text, who: text, recorded_at: text}], conflicts: [], parked: [], bookings: []}");
}

#[test]
fn many_records_are_shown_first_and_corrected_only_when_that_is_said() {
    let place = booked();
    run(&place, "cancel web/b");
    let line = "adjust --source web --from 2020-01-01T00:00:00Z --until 2020-01-04T00:00:00Z \
                --factor 0.5 --id half";
    let unsaid = run(&place, line);
    insta::assert_snapshot!(unsaid.whole(), @r"
    exit 64
    2 records to correct; the command's id is half

    customer  meter     records  before  after  told  settled  cancelled already  corrected already  unchanged
    cus_1     requests        1       5    2.5     0        0                  1                  0          0
    cus_2     requests        1       3    1.5     0        0                  0                  0          0
    total                     2       8      4     0        0                  1                  0          0

    record  customer  meter     time                  before  after  reached
    web/a   cus_1     requests  2020-01-01T00:00:00Z  5       2.5    not told
    web/c   cus_2     requests  2020-01-03T00:00:00Z  3       1.5    not told
    --- stderr
    tallyd: nothing was corrected: say --yes to do it, --preview to only look
    ");
    assert_eq!(run(&place, &format!("{line} --preview")).code, 0);
    assert_eq!(place.run("trace web/a --json").json()["standing"], "5");
    let done = run(&place, &format!("{line} --yes"));
    assert_eq!((done.code, done.out.ends_with("\naccepted  2\n")), (0, true), "{done:?}");
    assert_eq!(place.run("trace web/a --json").json()["standing"], "2.5");
    // The same command finds its own corrections, also where other records are found beside them.
    let again = run(&place, "adjust --source web --factor 0.5 --id half --yes --json").json();
    let total = &again["total"];
    assert_eq!((&total["records"], &total["corrected_already"]), (&1.into(), &2.into()), "{again}");
    assert_eq!(again["applied"]["accepted"], 1);
    assert_eq!(place.run("trace web/a --json").json()["standing"], "2.5");
    assert_eq!(place.run("trace web/d/1 --json").json()["standing"], "0.5");
    let nothing = run(&place, "adjust --source web --factor 0.5 --id half --yes --json").json();
    assert_eq!((&nothing["total"]["records"], nothing["applied"].is_null()), (&0.into(), true));
    let to = run(&place, "adjust --customer cus_2 --to 0.5 --yes --json").json();
    assert_eq!((&to["total"]["records"], &to["total"]["unchanged"]), (&1.into(), &1.into()));
    let gone = run(&place, "cancel --meter requests --yes --json").json();
    assert_eq!((&gone["applied"]["accepted"], &gone["total"]["after"]), (&3.into(), &"0".into()));
}

#[test]
fn a_command_that_cannot_be_meant_corrects_nothing() {
    let place = booked();
    for (line, code, said) in [
        ("cancel", 64, "required arguments were not provided"),
        ("cancel web/a --customer cus_1", 64, "cannot be used with"),
        ("adjust web/a", 64, "--to <QUANTITY>"),
        ("adjust --customer cus_1 --to 1 --factor 2", 64, "cannot be used with"),
        ("adjust web/a --to -1", 64, "error:"),
        ("adjust web/a --to=-1", 1, "--to \"-1\" is below zero"),
        ("adjust --customer cus_1 --factor x", 1, "--factor \"x\": is not a decimal number"),
        ("cancel web", 1, "\"web\" has no slash"),
        ("cancel --source web --from 2020-01-01T00:00:00", 1, "--from"),
        (
            "adjust --customer cus_1 --factor 0.0000000000000000001 --yes",
            1,
            "has more than 18 digits after the point",
        ),
    ] {
        let ran = run(&place, line);
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        assert!(ran.err.contains(said), "{line}: {ran:?}");
    }
    let missing = place.run("cancel web/a");
    assert_eq!(missing.code, 64, "{missing:?}");
    let life = place.run("trace web/a --json").json();
    assert_eq!((&life["standing"], &life["corrections"]), (&"5".into(), &serde_json::json!([])));
}

#[test]
fn a_table_of_corrections_is_accepted_line_by_line() {
    let place = booked();
    let table = "source,record,id,kind,quantity,replaces,reason\n\
                 web,a,f1,adjust,7,5,counted twice\n\
                 web,b,f1,cancel,,,\"a test,\nin two lines\"\n\
                 web,c,f1,cancel,,,a test run\n\
                 web,d/1,f1,adjust,2,9,a guess\n\
                 web,d/1,f1,remove,2,1,a slip\n\
                 web,a,f1,adjust,7,5,counted twice\n\
                 web,a,f1,adjust,8,5,counted twice\n\
                 other,x,f1,cancel,,,early\n\
                 web,a,f1\n";
    place.put("fixes.csv", table);
    insta::assert_snapshot!(place.run("import --corrections fixes.csv").whole(), @r#"
    exit 1
    accepted   3
    waiting    1
    duplicate  1
    conflict   1
    stale      1
    rejected   3

    fixes.csv:3 reason "a test,\nin two lines" holds a control character
    fixes.csv:6 replaces "9" is not what the record counts with, which is 1; nothing was changed
    fixes.csv:7 kind "remove" is neither cancel nor adjust
    fixes.csv:9 id "f1" names another correction of this record, which stays; one that says something else needs an id of its own
    fixes.csv:11 correction has 3 cells, and the header has 7
    "#);
    assert_eq!(place.run("status --json").json()["rejected"], 3);
    let life = place.run("trace web/c --json").json();
    assert_eq!(life["corrections"][0]["who"], "file:fixes.csv");
    let again = place.run("import --corrections fixes.csv --json").json();
    assert_eq!((&again["accepted"], &again["duplicate"]), (&0.into(), &4.into()), "{again}");
    assert_eq!((&again["reasons"][1]["line"], &again["files"][0]["stale"]), (&6.into(), &1.into()));
}

#[test]
fn a_table_without_a_column_is_not_begun_and_lines_of_json_may_leave_the_source_to_the_flag() {
    let place = booked();
    place.put("short.csv", "record,id,kind\na,f,cancel\n");
    place.put("wrong.csv", "record,id,kind,reason,why\na,f,cancel,x,y\n");
    place.put(
        "good.ndjson",
        "{\"record\":\"a\",\"id\":\"f\",\"kind\":\"cancel\",\"reason\":\"x\"}\n",
    );
    let ran = place.run("import --corrections --source web short.csv wrong.csv good.ndjson");
    insta::assert_snapshot!(ran.whole(), @r#"
    exit 1
    accepted   1
    waiting    0
    duplicate  0
    conflict   0
    stale      0
    rejected   0
    --- stderr
    tallyd: the header of short.csv: reason is missing: a table of corrections has source, record, id, kind, quantity, replaces, reason
    tallyd: the header of wrong.csv: "why" is no column of corrections, which have source, record, id, kind, quantity, replaces, reason
    "#);
    assert_eq!(place.run("trace web/a --json").json()["standing"], "cancelled");
    assert_eq!(place.run("import good.ndjson").code, 64);
}
