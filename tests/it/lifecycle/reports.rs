//! Reports by the clock: the daemon makes one, keeps it, and says what differs.

use crate::support::daemon::{Billing, Home, Lines, usage};

#[tokio::test]
async fn a_report_is_made_by_the_clock_kept_and_every_difference_said() {
    let provider = Billing::start().await;
    let stripe = "reconcile = \"* * * * * *\"";
    let home = Home::with(&provider.url, Lines { stripe, ..Lines::default() });
    let daemon = home.start().await;
    let told = usage("r1", "cus_1", "calls", "2.5", 7_200);
    daemon.accept(&[told, usage("r2", "cus_1", "unheard", "4", 7_200)]).await;
    home.says("compared=1 agreed=1").await;
    home.says("ledger, provider and invoices differ").await;
    assert!(home.said().contains("web/r2"), "{}", home.said());

    // By hand, beside the daemon that keeps it.
    let made = home.run(&["reconcile", "--config", "tallyd.toml"]).await;
    let shown = String::from_utf8_lossy(&made.stdout).into_owned();
    assert_eq!(made.status.code(), Some(2), "{made:?}");
    assert!(shown.contains("unmapped 4") && shown.contains("1 compared, 1 agree"), "{shown}");
    let last = home.run(&["reconcile", "--last", "--config", "tallyd.toml"]).await;
    assert_eq!(last.status.code(), Some(2), "{last:?}");
    daemon.stop().await;
    home.verify().await;
}
