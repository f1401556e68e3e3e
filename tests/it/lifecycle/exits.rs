//! What it exits with, and why it says so.

use crate::support::daemon::{Billing, Home};

#[tokio::test]
async fn a_second_daemon_on_the_same_ledger_exits_75_and_says_who_holds_it() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    let second = home.run(&["run", "--config", "tallyd.toml"]).await;
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(75), "{said}");
    assert!(said.contains(&format!("is in use by tallyd run (pid {}", daemon.pid())), "{said}");
    daemon.stop().await;
    home.start().await.stop().await;
}

#[tokio::test]
async fn a_config_with_six_mistakes_exits_78_and_tells_all_six() {
    let home = Home::new("http://127.0.0.1:9");
    let config = "[http]\nlisten = \"nowhere\"\nlisen = 1\n[intake]\nfree_bytes_min = 0\n\
                  [stripe.main]\nkey = \"sk_test_written\"\n[route.a]\nmeter = \"a\"\n\
                  to = \"stripe.other\"\nwindow = \"2h\"\n";
    std::fs::write(home.path().join("bad.toml"), config).unwrap();
    let run = home.run(&["run", "--config", "bad.toml"]).await;
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(78), "{said}");
    let mistakes = ["nowhere", "lisen", "free_bytes_min", "stripe.main.key", "other", "2h"];
    for mistake in mistakes {
        assert!(said.contains(mistake), "{mistake}\n{said}");
    }
    assert_eq!(said.matches("error: ").count(), 6, "{said}");
    assert!(!said.contains("sk_test_written"), "{said}");
}

#[tokio::test]
async fn a_command_line_that_means_nothing_exits_64() {
    let home = Home::new("http://127.0.0.1:9");
    for arguments in [&["run", "--loudly"][..], &["fly"], &["trace"], &[]] {
        let run = home.run(arguments).await;
        assert_eq!(run.status.code(), Some(64), "{arguments:?}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(home.run(&["--help"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_listing_of_a_ledger_that_is_not_there_fails_and_makes_none() {
    let home = Home::new("http://127.0.0.1:9");
    for command in [&["status"][..], &["books"], &["held", "list"], &["ledger", "verify"]] {
        let run = home.run(command).await;
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{command:?} {said}");
        assert!(said.contains("there is no ledger at"), "{command:?} {said}");
    }
    assert!(!home.ledger.exists());
}

#[tokio::test]
async fn a_ledger_file_of_something_else_exits_74_and_is_left_as_it_is() {
    let home = Home::new("http://127.0.0.1:9");
    let garbage = "this is no ledger. ".repeat(1_000);
    std::fs::write(&home.ledger, &garbage).unwrap();
    let run = home.run(&["run", "--config", "tallyd.toml"]).await;
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(74), "{said}");
    assert!(said.contains("tallyd.ledger"), "{said}");
    assert_eq!(std::fs::read_to_string(&home.ledger).unwrap(), garbage);
}
