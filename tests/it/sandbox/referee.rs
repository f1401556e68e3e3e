//! The official SDK as the referee: what it understands is Stripe's protocol.

use crate::support::referee::judge;
use crate::support::stripe::{NOON, start_with};

#[tokio::test]
async fn the_official_sdk_finds_stripe_in_the_sandbox() {
    let sandbox = start_with(|settings| settings.meters.clear()).await;
    let said = judge("stripe_referee.py", &sandbox.url, NOON).await;
    assert!(said.contains("the sandbox holds"), "{said}");
}
