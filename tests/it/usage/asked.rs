//! The daemon and the command line, asked for usage.

use serde_json::{Value, json};

use tallyd::domain::time::Timestamp;

use crate::support::daemon::{Billing, Home, Lines, TOKEN, TestDaemon, now, usage};

const LEVERS: &str = r#"
[lever.api-calls]
metering_id = "calls"
period = "all_time"

[lever.projects]
metering_id = "calls"
formula = "per_bucket"
bucket_property = "project"
period = "30d"

[lever.seats]
metering_id = "bytes"
formula = "unique_buckets"
period = "1h"

[lever.billed]
metering_id = "calls"
period = "subscription"
"#;

fn used(id: &str, quantity: &str, project: &str) -> Value {
    let mut record = usage(id, "stripe:cus_1", "calls", quantity, 7_200);
    record["properties"] = json!({ "project": project, "subscription_id": "sub_1" });
    record
}

async fn told(daemon: &TestDaemon, lever: &str) -> Value {
    let path = format!("/v1/customers/stripe%3Acus_1/usage/{lever}");
    let reply = daemon.get_as(TOKEN, &path).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_next_answer_and_stays_through_a_restart() {
    let provider = Billing::start().await;
    let home = Home::with(&provider.url, Lines { more: LEVERS, ..Lines::default() });
    let daemon = home.start().await;
    for number in 1..=30 {
        let project = if number % 3 == 0 { "blue" } else { "red" };
        daemon.accept(&[used(&format!("r{number}"), "0.5", project)]).await;
        let half = if number % 2 == 0 { "" } else { ".5" };
        assert_eq!(told(&daemon, "api-calls").await["total"], format!("{}{half}", number / 2));
    }
    let whole = told(&daemon, "projects").await;
    assert_eq!(
        whole["by_bucket"],
        json!([{"bucket": "blue", "usage": "5"}, {"bucket": "red", "usage": "10"}])
    );
    assert_eq!(whole["by_subscription"], json!({"sub_1": whole["by_bucket"]}));
    let cancel =
        daemon.correct("web", "r1", "cancel", &json!({"id": "c1", "reason": "a test"})).await;
    assert_eq!(cancel.status, 200, "{}", cancel.text);
    assert_eq!(told(&daemon, "api-calls").await["total"], "14.5");
    let all = daemon.get_as(TOKEN, "/v1/customers/stripe%3Acus_1/usage").await.json();
    assert_eq!(all["levers"]["seats"]["total"], "0");
    assert_eq!(all["levers"]["billed"]["error"]["code"], "no_period");
    for (token, path, status) in [
        ("nobody's", "/v1/customers/cus_1/usage", 401),
        (TOKEN, "/v1/customers/cus_1/usage/none", 404),
        (TOKEN, "/v1/customers/cus_1/usage/billed", 409),
        (TOKEN, "/v1/customers/%20/usage", 400),
    ] {
        assert_eq!(daemon.get_as(token, path).await.status, status, "{path}");
    }
    daemon.stop().await;
    let asked = home.run(&["usage", "stripe:cus_1", "projects", "--json"]).await;
    let document: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(document["levers"]["projects"]["total"], "14.5", "{document}");
    let asked = home.run(&["usage", "stripe:cus_1"]).await;
    let text = String::from_utf8(asked.stdout).unwrap();
    for line in ["api-calls", "14.5", "blue", "no billing period"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let more = LEVERS.replace("project\"", "other\"");
    home.configure(&provider.url, Lines { more: &more, ..Lines::default() });
    let daemon = home.start().await;
    crate::support::daemon::until("counting anew", async || {
        let path = "/v1/customers/stripe%3Acus_1/usage/projects";
        let reply = daemon.get_as(TOKEN, path).await;
        let told = reply.json();
        let bare = json!([{"bucket": null, "usage": "14.5"}]);
        if told["by_bucket"] == bare { Ok(()) } else { Err(reply.text) }
    })
    .await;
    daemon.stop().await;
    home.verify().await;
}

#[tokio::test]
async fn a_rolling_figure_says_until_now_and_counts_what_hosts_ahead_have_used() {
    let provider = Billing::start().await;
    let home = Home::with(&provider.url, Lines { more: LEVERS, ..Lines::default() });
    let daemon = home.start().await;
    daemon.accept(&[usage("ahead", "stripe:cus_1", "calls", "2.5", -3_600)]).await;
    let before = now();
    let whole = told(&daemon, "projects").await;
    assert_eq!(whole["total"], "2.5", "{whole}");
    let until = Timestamp::parse_rfc3339(whole["until"].as_str().unwrap()).unwrap();
    assert!(before < until && until <= now().plus_micros(1), "until {until}");
    daemon.stop().await;
}
