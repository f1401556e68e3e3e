//! What others see of it: probes, metrics, logs, files.

use std::fs;

use tallyd::sandbox::faults::{FaultKind, Faults};

use crate::support::daemon::{Billing, Home, KEY, Lines, TOKEN, usage};

#[tokio::test]
async fn probes_and_metrics_answer_and_no_secret_is_seen_anywhere() {
    let provider = Billing::start().await;
    let lost = Faults { next: [FaultKind::AnswerLost].into(), ..Faults::default() };
    provider.handle.set_faults(lost).unwrap();
    let home = Home::with(&provider.url, Lines { filter: "trace", ..Lines::default() });
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    daemon.all_told(1).await;
    daemon.accept(&[usage("b", "cus_2", "calls", "1", 7_200)]).await;
    daemon.all_told(2).await;
    let wrong = daemon.post_as("another-token-altogether", "[]".to_owned()).await.unwrap();
    assert_eq!(wrong.status, 401);
    // A client that mistakes the one secret for the other must not put it into a log either.
    assert_eq!(daemon.post_as(KEY, "[]".to_owned()).await.unwrap().status, 401);

    assert_eq!(daemon.get("/healthz").await.text, r#"{"status":"alive"}"#);
    assert_eq!(daemon.get("/readyz").await.text, r#"{"status":"ready"}"#);
    let metrics = daemon.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        r#"tallyd_delivery_answers_total{provider="stripe.main",outcome="unknown"} 1"#,
        r#"tallyd_delivery_answers_total{provider="stripe.main",outcome="accepted"} 2"#,
        r#"tallyd_intake_records_total{verdict="accepted"} 2"#,
        r#"tallyd_http_requests_total{status="4xx"} 2"#,
    ] {
        assert!(metrics.text.lines().any(|each| each == line), "{line}\n{}", metrics.text);
    }

    // While it runs, so that the write-ahead log is still there.
    let mut seen = vec![("metrics".to_owned(), metrics.text.into_bytes())];
    let status = daemon.status().await.to_string();
    seen.push(("status".to_owned(), status.into_bytes()));
    for entry in fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            seen.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    for ending in ["ledger", "ledger-wal", "ledger.lock", "stderr"] {
        assert!(names.iter().any(|name| name.ends_with(ending)), "{ending} {names:?}");
    }
    for (name, bytes) in &seen {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(KEY) && !text.contains(TOKEN), "a secret is in {name}");
    }
    assert!(home.said().contains("TRACE"), "the log is at its loudest");
    daemon.stop().await;
    home.verify().await;
}
