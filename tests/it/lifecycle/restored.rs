//! A backup, work, and the backup put back: what may be at the provider already is told by nobody.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::daemon::{Billing, Home, METERS, usage};

/// Runs `tallyd` and answers what it printed; it must end as `code` says.
async fn run(home: &Home, code: i32, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = home.run(arguments).await;
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
    String::from_utf8(stdout).unwrap() + &said
}

/// Three customers' usage of two hours ago, named after `batch`.
fn batch(name: &str) -> Vec<Value> {
    let record = |customer: usize| {
        let id = format!("{name}{customer}");
        usage(&id, &format!("cus_{customer}"), METERS[0], "1", 7_200)
    };
    (0..3).map(record).collect()
}

#[tokio::test]
async fn a_restored_ledger_tells_nothing_twice_and_holds_it_by_name() {
    let billing = Billing::start().await;
    let home = Home::new(&billing.url);
    let daemon = home.start().await;
    let (first, second) = (batch("a"), batch("b"));
    daemon.accept(&first).await;
    daemon.all_told(3).await;
    let said = run(&home, 0, &["ledger", "backup", "kept.ledger"]).await;
    assert!(said.contains("kept.ledger is"), "{said}");
    daemon.accept(&second).await;
    daemon.all_told(6).await;
    let before = billing.books();
    assert!(before.values().all(|sum| sum == "2"), "{before:?}");
    run(&home, 75, &["ledger", "restore", "kept.ledger"]).await;
    daemon.stop().await;

    let said = run(&home, 0, &["ledger", "restore", "kept.ledger"]).await;
    assert!(said.contains("It is older than what was sent"), "{said}");
    assert!(said.contains("tallyd ledger caught-up --why TEXT"), "{said}");
    let daemon = home.start().await;
    // The sources send again what the ledger lacks, and what it has.
    daemon.accept(&first).await;
    daemon.accept(&second).await;
    let status = daemon
        .level("holding what may be there", |status| {
            let held = status["held"].as_array().unwrap();
            status["records"] == 6
                && status["balances_open"] == 0
                && held.iter().any(|each| each["reason"] == "restored" && each["count"] == 3)
        })
        .await;
    assert_eq!(status["restored"]["caught_up_at"], json!(null));
    assert_eq!(billing.books(), before);
    let said = run(&home, 0, &["ledger", "caught-up", "--why", "all files were sent again"]).await;
    assert!(said.contains("It is noted"), "{said}");
    run(&home, 1, &["ledger", "caught-up", "--why", "all files were sent again"]).await;
    // A person looked at the provider's page: one of them is there.
    let resolve =
        |as_what| ["held", "resolve", "event:4", "--as", as_what, "--why", "the total has it"];
    let dry: Vec<&str> = resolve("billed").into_iter().chain(["--dry-run"]).collect();
    assert!(run(&home, 0, &dry).await.contains("nothing was changed"));
    assert!(run(&home, 0, &resolve("billed")).await.contains("event:4 is decided: billed"));
    let said = run(&home, 1, &resolve("billed")).await;
    assert!(said.contains("not held any longer"), "{said}");
    daemon.stop().await;
    let states = home.verify().await;
    assert_eq!((states["held"], states["settled"], states["accepted"]), (2, 1, 3), "{states:?}");
    assert_eq!(billing.books(), before);
}

#[tokio::test]
async fn a_lost_ledger_is_not_made_anew_without_a_word() {
    let billing = Billing::start().await;
    let home = Home::new(&billing.url);
    let daemon = home.start().await;
    daemon.accept(&batch("a")).await;
    daemon.all_told(3).await;
    daemon.stop().await;
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{suffix}", home.ledger.display())));
    }
    let said = run(&home, 78, &["run"]).await;
    assert!(said.contains("there is no ledger at") && said.contains("tallyd run --init"), "{said}");
    assert!(!home.ledger.exists());
}
