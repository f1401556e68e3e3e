//! The official SDK as the referee: what it understands is Chargebee's protocol.

use crate::support::chargebee::{START, start};
use crate::support::referee::judge;

#[tokio::test]
async fn the_official_sdk_finds_chargebee_in_the_sandbox() {
    let site = start().await;
    let said = judge("chargebee_referee.py", &site.url, START).await;
    assert!(said.contains("the sandbox holds"), "{said}");
}
