//! What was rejected, over the operator's socket: a model of the ledger whose items are open until
//! they end.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::LedgerError;
use tallyd::ledger::intake::{Admission, Admitted};
use tallyd::ledger::rejected::{Ended, RejectedFilter, RejectedItem, RejectedLedger};
use tokio::net::UnixStream;

use super::world::{Answer, Model, NOW, World, exchange, post_head, record, soon};

#[async_trait]
impl RejectedLedger for Model {
    async fn rejected(&self, _: &RejectedFilter) -> Result<Vec<RejectedItem>, LedgerError> {
        Ok(Vec::new())
    }
    async fn rejected_item(&self, number: i64) -> Result<Option<RejectedItem>, LedgerError> {
        let index = usize::try_from(number).unwrap().checked_sub(1);
        let kept = index.and_then(|index| self.rejected.lock().unwrap().get(index).cloned());
        Ok(kept.map(|kept| RejectedItem { number, kept, since: NOW, end: None }))
    }
    async fn resubmit(
        &self,
        _: i64,
        record: Admitted,
        who: &str,
        _: Timestamp,
    ) -> Result<Ended, LedgerError> {
        self.meet_weather().await?;
        Ok(match self.book(&record) {
            Admission::Accepted(position) => Ended::Booked(position),
            Admission::Duplicate(position) => Ended::Duplicate(position),
            Admission::Conflict(position) => Ended::Refused(format!("{who}: {position}")),
        })
    }
    async fn dismiss(
        &self,
        number: i64,
        why: &str,
        who: &str,
        _: Timestamp,
    ) -> Result<Ended, LedgerError> {
        static DISMISSED: AtomicI64 = AtomicI64::new(0);
        match DISMISSED.swap(number, Ordering::SeqCst) == number {
            true => Ok(Ended::Refused(format!("{who}: {why}"))),
            false => Ok(Ended::Done),
        }
    }
}

async fn ask(world: &World, path: &str, body: &Value) -> Answer {
    let mut socket = UnixStream::connect(&world.socket).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "POST /v1/rejected/{path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(&mut socket, request.as_bytes()).await
}

#[tokio::test]
async fn a_corrected_record_takes_the_place_of_what_was_rejected() {
    let world = World::new().await;
    world.post(&record("r1", "-1")).await;
    let asked = |instead: Value| json!({ "instead": instead, "who": "cli:ada" });
    let again = ask(&world, "resubmit?number=1", &asked(Value::Null)).await;
    assert_eq!(again.error(), (409, "not_ended".to_owned()));
    assert!(again.body.contains("is below zero"), "{}", again.body);
    // What is still no record is not kept a second time.
    assert_eq!(world.ledger.rejected.lock().unwrap().len(), 1);
    let corrected = ask(&world, "resubmit?number=1", &asked(json!(record("r1", "1")))).await;
    let told = (corrected.status, corrected.json());
    assert_eq!(told, (200, json!({"status": "accepted", "position": 1})));
    soon(world.accrual.rung()).await;
    // The record is of the item's source, as it names none.
    let known = world.post(&record("r1", "1")).await;
    assert_eq!(known.json()["duplicate"], 1);
    world.end().await;
}

#[tokio::test]
async fn what_is_no_word_on_a_rejected_item_is_refused() {
    let world = World::new().await;
    let dismissal = json!({ "why": " a test ", "who": "cli:ada" });
    let done = ask(&world, "dismiss?number=7", &dismissal).await;
    assert_eq!((done.status, done.json()["status"].as_str()), (200, Some("dismissed")));
    let again = ask(&world, "dismiss?number=7", &dismissal).await;
    assert_eq!(again.error(), (409, "not_ended".to_owned()));
    assert!(again.body.contains("cli:ada: a test"), "{}", again.body);
    for (path, body, code) in [
        ("dismiss?number=one", dismissal.clone(), "bad_query"),
        ("dismiss", dismissal.clone(), "bad_query"),
        ("dismiss?number=1", json!({ "why": "", "who": "cli:ada" }), "malformed_body"),
        ("resubmit?number=1", dismissal, "malformed_body"),
        ("resubmit?number=1", json!({ "instead": null, "who": "a\nb" }), "malformed_body"),
    ] {
        let answer = ask(&world, path, &body).await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{path} {body}");
    }
    let nothing = ask(&world, "resubmit?number=9", &json!({ "instead": null, "who": "a" })).await;
    assert!(nothing.body.contains("nothing rejected has this number"), "{}", nothing.body);
    world.end().await;
}

#[tokio::test]
async fn a_sender_of_several_sources_is_not_given_another_when_its_record_is_sent_again() {
    let world = World::new().await;
    let foreign = record("r1", "1").replacen('{', "{\"source\":\"other\",", 1);
    let request = post_head("two", foreign.len()) + &foreign;
    let answer = exchange(&mut world.connect().await, request.as_bytes()).await;
    assert_eq!(answer.json()["rejected"], 1, "{}", answer.body);
    let again = json!({ "instead": null, "who": "cli:ada" });
    let again = ask(&world, "resubmit?number=1", &again).await;
    assert_eq!(again.error(), (409, "not_ended".to_owned()), "{}", again.body);
    assert!(again.body.contains("is not one this sender may speak for"), "{}", again.body);
    let typed = json!({ "instead": foreign, "who": "cli:ada" });
    assert_eq!(ask(&world, "resubmit?number=1", &typed).await.status, 200);
    assert_eq!(world.ledger.len(), 1);
    world.end().await;
}
