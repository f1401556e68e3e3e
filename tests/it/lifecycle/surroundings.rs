//! What others see of it: probes, metrics, logs, files.

use std::fs;

use tallyd::sandbox::faults::{FaultKind, Faults};

use crate::support::daemon::{Billing, Home, KEY, Lines, TOKEN, now, usage};
use crate::support::webhooks::{OLD, OTHER, signed, snapshot};

#[tokio::test]
async fn probes_and_metrics_answer_and_no_secret_is_seen_anywhere() {
    nothing_secret_is_seen("text").await;
}

#[tokio::test]
async fn no_secret_is_seen_in_logs_of_json_either() {
    nothing_secret_is_seen("json").await;
}

/// Runs a daemon with its log at its loudest, and looks for its secrets in all that it says.
async fn nothing_secret_is_seen(format: &str) {
    let provider = Billing::start().await;
    let lost = Faults { next: [FaultKind::AnswerLost].into(), ..Faults::default() };
    provider.handle.set_faults(lost).unwrap();
    let more = format!("format = \"{format}\"");
    let stripe = "webhook_secrets = [{ env = \"TEST_WEBHOOK\" }]";
    let lines = Lines { filter: "trace", stripe, more: &more, ..Lines::default() };
    let home = Home::with(&provider.url, lines);
    let daemon = home.start_in(&[("TEST_WEBHOOK", OLD)]).await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    daemon.all_told(1).await;
    daemon.accept(&[usage("b", "cus_2", "calls", "1", 7_200)]).await;
    daemon.all_told(2).await;
    let wrong = daemon.post_as("another-token-altogether", "[]".to_owned()).await.unwrap();
    assert_eq!(wrong.status, 401);
    // A client that mistakes the one secret for the other must not put it into a log either.
    let mistaken = daemon.post_as(KEY, "[]".to_owned()).await.unwrap();
    assert_eq!(mistaken.status, 401);
    let unread = daemon.post("[{").await;
    assert_eq!(unread.status, 400);
    let notice = snapshot("evt_1", now().seconds()).to_string();
    let sign = |secret: &str| signed(&[secret], now().seconds(), notice.as_bytes());
    let forged = daemon.announce(sign(OTHER), notice.clone()).await;
    assert_eq!(forged.status, 400);
    assert_eq!(daemon.announce(sign(OLD), notice.clone()).await.status, 200);
    let answers = [wrong.text, mistaken.text, unread.text, forged.text];

    assert_eq!(daemon.get("/healthz").await.text, r#"{"status":"alive"}"#);
    assert_eq!(daemon.get("/readyz").await.text, r#"{"status":"ready"}"#);
    let metrics = daemon.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        r#"tallyd_delivery_answers_total{provider="stripe.main",outcome="unknown"} 1"#,
        r#"tallyd_delivery_answers_total{provider="stripe.main",outcome="accepted"} 2"#,
        r#"tallyd_intake_records_total{verdict="accepted"} 2"#,
        r#"tallyd_http_requests_total{status="4xx"} 4"#,
    ] {
        assert!(metrics.text.lines().any(|each| each == line), "{line}\n{}", metrics.text);
    }

    // While it runs, so that the write-ahead log is still there.
    let mut seen = vec![("metrics".to_owned(), metrics.text.into_bytes())];
    let status = daemon.status().await.to_string();
    seen.push(("status".to_owned(), status.into_bytes()));
    seen.extend(answers.map(|answer| ("an answer".to_owned(), answer.into_bytes())));
    seen.extend(files(&home));
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    for ending in ["ledger", "ledger-wal", "ledger.lock", "stderr"] {
        assert!(names.iter().any(|name| name.ends_with(ending)), "{ending} {names:?}");
    }
    let output = daemon.stop_and_read().await;
    seen.push(("standard output".to_owned(), output.into_bytes()));
    // Once more, with what was logged of the stop.
    seen.extend(files(&home));
    for (name, bytes) in &seen {
        let text = String::from_utf8_lossy(bytes);
        for secret in [KEY, TOKEN, OLD] {
            assert!(!text.contains(secret), "a secret is in {name}");
        }
    }
    let said = home.said();
    assert!(said.contains("TRACE"), "the log is at its loudest");
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(said.lines().all(|line| is_json(line) == (format == "json")), "{said}");
    home.verify().await;
}

/// The files of a daemon's folder, by their paths.
fn files(home: &Home) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}
