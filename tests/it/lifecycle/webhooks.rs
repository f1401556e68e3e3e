//! Webhooks and the real binary: what was answered with a yes is there after a crash.

use serde_json::json;

use crate::support::daemon::{Billing, Home, Lines, now};
use crate::support::webhooks::{OLD, OTHER, signed, snapshot};

#[tokio::test]
async fn a_webhook_that_was_answered_waits_after_a_crash_and_is_counted_when_it_comes_again() {
    let provider = Billing::start().await;
    let stripe = "webhook_secrets = [{ file = \"webhook.secret\" }]";
    let home = Home::with(&provider.url, Lines { stripe, ..Lines::default() });
    std::fs::write(home.path().join("webhook.secret"), format!("{OLD}\n")).unwrap();
    let body = snapshot("evt_1", now().seconds()).to_string();
    let sign = |secret: &str| signed(&[secret], now().seconds(), body.as_bytes());

    let daemon = home.start().await;
    assert_eq!(daemon.status().await["notices"], json!([]));
    let forged = daemon.announce(sign(OTHER), body.clone()).await;
    assert_eq!(
        (forged.status, &forged.json()["error"]["code"]),
        (400, &json!("signature_mismatch"))
    );
    let taken = daemon.announce(sign(OLD), body.clone()).await;
    assert_eq!((taken.status, taken.json()), (200, json!({})));
    daemon.kill().await;

    let daemon = home.start().await;
    assert_eq!(daemon.announce(sign(OLD), body.clone()).await.status, 200);
    let notices = daemon.status().await["notices"].clone();
    assert_eq!(
        (&notices[0]["provider"], &notices[0]["waiting"]),
        (&json!("stripe.main"), &json!(1))
    );
    assert_eq!(notices.as_array().unwrap().len(), 1);
    let shown = home.run(&["status", "--config", "tallyd.toml"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("notices of"), "{shown}");
    let checked = home.run(&["check", "--config", "tallyd.toml"]).await;
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("webhooks are taken at /webhooks/stripe.main"), "{checked}");
    daemon.stop().await;
    home.verify().await;
    let said = home.said();
    assert!(said.contains("a webhook was refused"), "{said}");
    assert!(!said.contains("canary") && !said.contains("sub_evt_1"), "{said}");
}
