//! The operator's socket: a model of the ledger in which nothing is held.

use std::os::unix::fs::PermissionsExt;

use async_trait::async_trait;
use serde_json::json;
use tallyd::domain::resolution::ItemName;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::LedgerError;
use tallyd::ledger::holds::{CaughtUp, Decision, HoldsLedger, Item, Questions, Resolution};
use tokio::net::UnixStream;

use super::world::{Answer, Model, World, exchange, record, soon};

#[async_trait]
impl HoldsLedger for Model {
    async fn questions(&self, _: u32) -> Result<Questions, LedgerError> {
        Ok(Questions::default())
    }
    async fn item(&self, _: ItemName) -> Result<Option<Item>, LedgerError> {
        Ok(None)
    }
    async fn resolve(&self, asked: &Resolution, _: Timestamp) -> Result<Decision, LedgerError> {
        Ok(Decision::Refused(format!("{asked:?}")))
    }
    async fn caught_up(&self, by: &str, _: Timestamp) -> Result<CaughtUp, LedgerError> {
        Ok(CaughtUp::Refused(by.to_owned()))
    }
}

async fn ask(world: &World, line: &str, body: &str) -> Answer {
    let mut socket = UnixStream::connect(&world.socket).await.unwrap();
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{body}");
    exchange(&mut socket, request.as_bytes()).await
}

#[tokio::test]
async fn the_operator_needs_no_token_and_nobody_else_may_connect() {
    let world = World::new().await;
    let mode = std::fs::metadata(&world.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer = ask(&world, "POST /v1/usage?source=files", &record("a", "1")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let unnamed = ask(&world, "POST /v1/usage", &record("b", "1")).await;
    assert_eq!(unnamed.json()["records"][0]["field"], "source");
    let wrong = ask(&world, "POST /v1/usage?sauce=files", &record("b", "1")).await;
    assert_eq!(wrong.error(), (400, "bad_query".to_owned()));
    let status = ask(&world, "GET /v1/status", "").await;
    assert_eq!(
        (&status.json()["records"], &status.json()["ledger_id"]),
        (&json!(1), &json!("model"))
    );
    let socket = world.socket.clone();
    world.end().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn accounts_are_imported_all_or_none() {
    let world = World::new().await;
    let path = "POST /v1/customers?provider=stripe.main";
    let rows =
        json!([{"customer": "acme", "account": "cus_1"}, {"customer": "bolt", "account": ""}]);
    let refused = ask(&world, path, &rows.to_string()).await;
    assert_eq!(refused.error(), (400, "malformed_body".to_owned()));
    assert!(refused.body.contains("[1].account is empty"), "{}", refused.body);
    assert!(world.ledger.accounts.lock().unwrap().is_empty());

    let unknown = ask(&world, "POST /v1/customers?provider=strip", "[]").await;
    assert!(unknown.body.contains("there is stripe.main"), "{}", unknown.body);

    let rows = json!([{"customer": "acme", "account": "cus_1"}]);
    let answer = ask(&world, path, &rows.to_string()).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"changed": 1})));
    soon(world.accrual.rung()).await;
    world.end().await;
}

#[tokio::test]
async fn a_verdict_arrives_as_it_was_given_and_one_that_is_none_is_refused() {
    let world = World::new().await;
    let body = json!({"verdict": "not-billed", "expect": "0a1b2c3d", "why": " the total lacks it ",
                      "who": "cli:ada", "dry_run": true});
    let answer = ask(&world, "POST /v1/held?item=event:7", &body.to_string()).await;
    assert_eq!(answer.error(), (409, "not_decided".to_owned()));
    for said in ["kind: Event, number: 7", "NotBilled", "0a1b2c3d", "why: ", "true"] {
        assert!(answer.body.contains(said), "{said}\n{}", answer.body);
    }
    for (field, value) in [("verdict", "first!"), ("why", " "), ("why", "a\nb"), ("who", "")] {
        let mut wrong = body.clone();
        wrong[field] = json!(value);
        let answer = ask(&world, "POST /v1/held?item=event:7", &wrong.to_string()).await;
        assert_eq!(answer.error(), (400, "malformed_body".to_owned()), "{field}");
    }
    let answer = ask(&world, "POST /v1/held?item=lane:7", &body.to_string()).await;
    assert_eq!(answer.error(), (400, "bad_query".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn too_much_held_is_noted_beside_ready() {
    let world = World::new().await;
    assert_eq!(world.get("/readyz").await.json(), json!({"status": "ready"}));
    world.notice.send_replace(Some("3 of 200 are held".to_owned()));
    let answer = world.get("/readyz").await;
    let ready = json!({"status": "ready", "notice": "3 of 200 are held"});
    assert_eq!((answer.status, answer.json()), (200, ready));
    world.end().await;
}
