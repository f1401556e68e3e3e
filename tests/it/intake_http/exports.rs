//! Exports, over the operator's socket: a model of the ledger that repeats what it is asked.

use async_trait::async_trait;
use serde_json::{Value, json};
use tallyd::domain::cutover::Telling;
use tallyd::domain::event::EventId;
use tallyd::domain::export::ExportId;
use tallyd::domain::names::ProviderName;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::LedgerError;
use tallyd::ledger::export::{
    Export, ExportLedger, Exported, ExportedEvent, NewExport, NewStep, Place, Released, RowPlace,
    Waiting,
};
use tokio::net::UnixStream;

use super::world::{Answer, Model, World, exchange};

#[async_trait]
impl ExportLedger for Model {
    async fn why_not_exported(
        &self,
        _: &ProviderName,
        _: &Telling,
    ) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }
    async fn begin_export(
        &self,
        asked: &NewExport,
        _: Timestamp,
    ) -> Result<Exported<ExportId>, LedgerError> {
        match asked.who.as_str() {
            "cli:ada" => Ok(Exported::Done(ExportId(7))),
            _ => Ok(Exported::Refused(format!("{asked:?}"))),
        }
    }
    async fn waiting_for(&self, _: &NewExport, _: Place, _: u32) -> Result<Waiting, LedgerError> {
        Ok(Waiting::default())
    }
    async fn mark_exported(
        &self,
        _: ExportId,
        events: &[EventId],
        _: Timestamp,
    ) -> Result<Exported<i64>, LedgerError> {
        Ok(Exported::Done(i64::try_from(events.len()).unwrap()))
    }
    async fn note_export(
        &self,
        export: ExportId,
        step: &NewStep,
        _: Timestamp,
    ) -> Result<Exported<()>, LedgerError> {
        Ok(Exported::Refused(format!("{export} {:?} {:?} {}", step.step, step.files, step.why)))
    }
    async fn release_exported(
        &self,
        export: ExportId,
        after: RowPlace,
        _: Timestamp,
    ) -> Result<Exported<Released>, LedgerError> {
        Ok(Exported::Done(Released { events: export.0, next: Some(after) }))
    }
    async fn exports(&self, _: Option<ExportId>, _: u32) -> Result<Vec<Export>, LedgerError> {
        Ok(Vec::new())
    }
    async fn exported_events(
        &self,
        _: ExportId,
        _: RowPlace,
        _: u32,
    ) -> Result<Vec<ExportedEvent>, LedgerError> {
        Ok(Vec::new())
    }
}

async fn ask(world: &World, path: &str, body: &Value) -> Answer {
    let mut socket = UnixStream::connect(&world.socket).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "POST /v1/export/{path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(&mut socket, request.as_bytes()).await
}

fn beginning(who: &str) -> Value {
    json!({ "form": "stripe-csv", "meters": ["calls"], "before_micros": 5, "who": who })
}

#[tokio::test]
async fn an_export_is_asked_for_step_by_step() {
    let world = World::new().await;
    let begun = ask(&world, "begin?provider=stripe.main", &beginning("cli:ada")).await;
    assert_eq!((begun.status, begun.json()), (200, json!({ "export": 7 })));
    let marked = ask(&world, "mark?export=7", &json!({ "events": [1, 2, 3] })).await;
    assert_eq!((marked.status, marked.json()), (200, json!({ "events": 3 })));
    let place = json!({ "destination": 1, "event": 2 });
    let released = ask(&world, "release?export=7", &place).await;
    assert_eq!((released.status, released.json()), (200, json!({ "events": 7, "next": place })));
    // What the ledger refuses is said as it said it.
    let refused = ask(&world, "begin?provider=stripe.main", &beginning("cli:bob")).await;
    assert_eq!(refused.error(), (409, "not_exported".to_owned()));
    let step = json!({ "step": "written", "files": 2, "digest": "ff", "why": "", "who": "a" });
    let noted = ask(&world, "step?export=7", &step).await;
    assert!(noted.body.contains("7 Written Some((2, "), "{}", noted.body);
    world.end().await;
}

#[tokio::test]
async fn what_is_no_word_of_an_export_is_refused() {
    let world = World::new().await;
    let step = |step: &str, files: Value, why: &str| {
        let digest = files.as_i64().map(|_| "ff");
        json!({ "step": step, "files": files, "digest": digest, "why": why, "who": "cli:ada" })
    };
    let (mut form, mut meter) = (beginning("cli:ada"), beginning("cli:ada"));
    form["form"] = json!("chargebee-csv");
    meter["meters"] = json!([""]);
    for (path, body, code) in [
        ("begin", beginning("cli:ada"), "bad_query"),
        ("begin?provider=stripe.main", form, "malformed_body"),
        ("begin?provider=stripe.main", meter, "malformed_body"),
        ("begin?provider=stripe.main", beginning("a\nb"), "malformed_body"),
        ("mark?export=one", json!({ "events": [] }), "bad_query"),
        ("mark?export=1", json!({ "events": "all" }), "malformed_body"),
        ("step?export=1", step("lost", Value::Null, ""), "malformed_body"),
        ("step?export=1", step("written", Value::Null, ""), "malformed_body"),
        ("step?export=1", step("sealed", json!(1), ""), "malformed_body"),
        ("step?export=1", step("abandoned", Value::Null, " "), "malformed_body"),
        ("release?export=1", json!({ "events": 1 }), "malformed_body"),
    ] {
        let answer = ask(&world, path, &body).await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{path} {body}");
    }
    world.end().await;
}
