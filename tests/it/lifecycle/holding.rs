//! What a running daemon holds, as its commands tell and end it. Never here: an expectation. Read
//! next: [`super::records`].

use serde_json::Value;

use crate::support::daemon::{Home, until};

/// The events and balances that are held: what each is called, why, and how much it is.
async fn held(home: &Home) -> Vec<(String, String, String)> {
    let listed = home.run(&["held", "list", "--config", "tallyd.toml", "--json"]).await;
    let document: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    let items = document["held"].as_array().unwrap_or_else(|| panic!("{document}")).iter();
    items.map(|item| (text(item, "name"), text(item, "reason"), text(item, "quantity"))).collect()
}

/// Waits until exactly this is held, each by why and how much; answers what they are called.
pub(super) async fn holds(home: &Home, expected: &[(&str, &str)]) -> Vec<String> {
    until("holding", async || {
        let held = held(home).await;
        let found: Vec<(&str, &str)> =
            held.iter().map(|(_, why, much)| (why.as_str(), much.as_str())).collect();
        let names = || held.iter().map(|(name, ..)| name.clone()).collect();
        if found == expected { Ok(names()) } else { Err(format!("{held:?}")) }
    })
    .await
}

/// Has a person say what became of it.
pub(super) async fn resolve(home: &Home, name: &str, verdict: &str) {
    let said = ["held", "resolve", name, "--as", verdict, "--why", "it was looked at"];
    let said = [said.as_slice(), &["--config", "tallyd.toml"]].concat();
    let resolved = home.run(&said).await;
    assert!(resolved.status.success(), "{resolved:?}");
}
