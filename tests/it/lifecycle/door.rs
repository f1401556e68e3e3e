//! Bad input at the real door: each kind is named, and nothing that came with it is lost.

use std::fmt::Write;

use serde_json::{Value, json};
use tallyd::domain::time::MICROS_PER_SECOND;

use crate::support::daemon::{Billing, Home, Lines, TOKEN, now, usage};

/// A good record of 1, to come beside a bad one.
fn good(id: &str) -> Value {
    usage(id, "cus_good", "calls", "1", 7_200)
}

/// An array of a good record and one whose quantity is written so, as it stands.
fn with_quantity(id: &str, quantity: &str) -> String {
    let bad = usage(id, "cus_bad", "calls", "QUANTITY", 7_200).to_string();
    let bad = bad.replace("\"QUANTITY\"", quantity);
    format!("[{},{bad}]", good(&format!("beside-{id}")))
}

/// A record at the same instant, its time written in another form.
fn at_time(id: &str, time: Value) -> Value {
    let mut record = usage(id, "cus_timed", "bytes", "1", 0);
    record["time"] = time;
    record
}

#[tokio::test]
async fn every_kind_of_bad_input_is_named_and_what_came_with_it_reaches_the_provider() {
    let provider = Billing::start().await;
    let lines = Lines { intake: "body_bytes_max = 262144", ..Lines::default() };
    let home = Home::with(&provider.url, lines);
    let daemon = home.start().await;

    let mut thousand: Vec<Value> = (0..1_000).map(|number| good(&format!("r{number}"))).collect();
    thousand[617]["quantity"] = json!("many");
    let forty = "1234567890".repeat(4);
    let at = now().floor_to(MICROS_PER_SECOND).plus_seconds(-7_200);
    let zulu = at.to_rfc3339();
    let east = at.plus_seconds(7_200).to_rfc3339().replace('Z', "+02:00");
    let times = json!([
        at_time("t1", json!(zulu)),
        at_time("t2", json!(east)),
        at_time("t3", json!(east.replace('T', " "))),
        at_time("t4", json!(at.seconds())),
        at_time("t5", json!(format!("{}.25", at.seconds()))),
        at_time("t6", json!("yesterday")),
    ]);
    let without_zone = json!([at_time("t7", json!("2026-01-31T23:59:59")), good("beside-t7")]);
    let other = usage("r0", "cus_good", "calls", "2", 7_200);
    let requests = [
        ("malformed", format!("[{},{{\"id\": ]", good("never"))),
        ("one in 1000", Value::from(thousand).to_string()),
        ("other content", json!([other, good("beside-other")]).to_string()),
        ("NaN", with_quantity("q1", "NaN")),
        ("NaN as text", with_quantity("q2", "\"NaN\"")),
        ("1e400", with_quantity("q3", "1e400")),
        ("40 digits", with_quantity("q4", &forty)),
        ("empty", with_quantity("q5", "\"\"")),
        ("negative", with_quantity("q6", "-1")),
        ("times", times.to_string()),
        ("without zone", without_zone.to_string()),
        ("too long", " ".repeat(262_145)),
        ("nothing", String::new()),
    ];
    let mut told = String::new();
    for (name, body) in requests {
        let reply = daemon.post_as(TOKEN, body).await.unwrap();
        writeln!(told, "{name}: {} {}", reply.status, reply.text).unwrap();
    }
    let reply = daemon.post_as("not-this-token-at-all", good("never").to_string()).await.unwrap();
    writeln!(told, "wrong token: {} {}", reply.status, reply.text).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("door", told));

    // 999 of the thousand, five times, and seven that came beside bad ones. NaN as a number is no
    // JSON, and breaks its whole body.
    daemon.all_told(999 + 5 + 7).await;
    let status = daemon.status().await;
    daemon.stop().await;
    home.verify().await;
    let books = provider.books();
    let place = |meter: &str, customer: &str| (meter.to_owned(), customer.to_owned());
    assert_eq!(books.get(&place("calls", "cus_good")).map(String::as_str), Some("1006"));
    assert_eq!(books.get(&place("bytes", "cus_timed")).map(String::as_str), Some("5"));
    assert_eq!(books.len(), 2, "{books:?}");
    assert_eq!((&status["conflicts"], &status["rejected"]), (&json!(1), &json!(8)));
}

#[tokio::test]
async fn a_file_imported_beside_the_daemon_is_booked_and_its_bad_rows_are_kept() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    let line = |id: &str, quantity: &str| {
        let time = usage(id, "cus_1", "calls", "1", 7_200)["time"].clone();
        format!(
            "{{\"id\":\"{id}\",\"customer\":\"cus_1\",\"meter\":\"calls\",\"quantity\":{quantity},\
             \"time\":{time}}}\n"
        )
    };
    let file = format!("{}{}{}", line("a", "2"), line("b", "-5"), line("c", "3"));
    std::fs::write(home.path().join("usage.ndjson"), file).unwrap();
    for _ in 0..2 {
        let run = home.run(&["import", "usage.ndjson", "--source", "web"]).await;
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains("quantity"), "{said}");
        daemon.all_told(2).await;
        // Kept once, however often the file comes.
        assert_eq!(daemon.status().await["rejected"], 1);
    }
    daemon.stop().await;
    home.verify().await;
    let place = ("calls".to_owned(), "cus_1".to_owned());
    assert_eq!(provider.books(), [(place, "5".to_owned())].into());
}
