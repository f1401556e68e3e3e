//! Remaps over the operator's socket: a model of the ledger whose routes have one version.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};
use tallyd::domain::balance::Place;
use tallyd::domain::correction::CorrectionId;
use tallyd::domain::record::Position;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::ledger::LedgerError;
use tallyd::ledger::accrual::MappingVersion;
use tallyd::ledger::corrections::RecordFilter;
use tallyd::ledger::remap::{
    RemapBegun, RemapEnd, RemapId, RemapLedger, RemapPage, RemapStatus, RemapStop, RemapWish,
    StopWish,
};
use tokio::net::UnixStream;

use super::world::{Answer, Model, World, exchange, soon};

#[async_trait]
impl RemapLedger for Model {
    async fn remappable(
        &self,
        _: &RecordFilter,
        to: Position,
        _: u32,
    ) -> Result<RemapPage, LedgerError> {
        let (mapping, corrected_to) = (MappingVersion(1), CorrectionId(0));
        let records = Vec::new();
        Ok(RemapPage { mapping, corrected_to, lines_to: 0, to, is_last: true, records })
    }
    async fn begin_remap(&self, wish: &RemapWish, _: Timestamp) -> Result<RemapBegun, LedgerError> {
        self.meet_weather().await?;
        Ok(match wish.mapping {
            MappingVersion(1) => RemapBegun::Begun(RemapId(wish.to.0)),
            _ => RemapBegun::Outdated,
        })
    }
    async fn remaps(&self, _: Option<RemapId>, _: u32) -> Result<Vec<RemapStatus>, LedgerError> {
        Ok(Vec::new())
    }
    async fn stop_remap(
        &self,
        remap: RemapId,
        said: &StopWish,
        now: Timestamp,
    ) -> Result<RemapStop, LedgerError> {
        self.meet_weather().await?;
        let status = |ended| RemapStatus {
            id: remap,
            who: said.who.clone(),
            why: said.why.clone(),
            asked_at: now,
            at: Position(3),
            to: Position(7),
            changed: 2,
            left_alone: 1,
            ended: Some(ended),
            stopped: None,
        };
        Ok(match remap {
            RemapId(7) => RemapStop::Stopped(status(RemapEnd::Stopped)),
            RemapId(6) => RemapStop::Over(status(RemapEnd::Done)),
            _ => RemapStop::Unknown,
        })
    }
    async fn closed_windows(&self, _: &[(Place, Window)]) -> Result<BTreeSet<usize>, LedgerError> {
        Ok(BTreeSet::new())
    }
}

async fn ask(world: &World, query: &str, body: &Value) -> Answer {
    ask_at(world, &format!("/v1/remaps?{query}"), body).await
}

async fn ask_at(world: &World, place: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let mut socket = UnixStream::connect(&world.socket).await.unwrap();
    let request = format!(
        "POST {place} HTTP/1.1\r\nhost: tallyd\r\nconnection: close\r\ncontent-length: \
         {}\r\n\r\n{body}",
        body.len()
    );
    exchange(&mut socket, request.as_bytes()).await
}

fn wish() -> Value {
    json!({
        "source": null, "customer": "cus_1", "meter": null, "from_micros": 1, "until_micros": null,
        "to": 7, "why": "the route was wrong", "who": "cli:ada",
    })
}

#[tokio::test]
async fn a_remap_is_asked_for_under_the_routes_that_were_seen() {
    let world = World::new().await;
    let begun = ask(&world, "mapping=1", &wish()).await;
    assert_eq!((begun.status, begun.json()), (200, json!({ "remap": 7 })));
    soon(world.accrual.rung()).await;
    let outdated = ask(&world, "mapping=2", &wish()).await;
    assert_eq!(outdated.error(), (409, "not_remapped".to_owned()));
    assert!(outdated.body.contains("look at it again"), "{}", outdated.body);
    world.end().await;
}

#[tokio::test]
async fn a_remap_is_stopped_by_its_number_and_with_a_reason() {
    let world = World::new().await;
    let said = json!({ "why": "the wrong customer", "who": "cli:ada" });
    let stopped = ask_at(&world, "/v1/remaps/stop?remap=7", &said).await;
    let is = json!({ "remap": 7, "at": 3, "to": 7, "changed": 2, "left": 1 });
    assert_eq!((stopped.status, stopped.json()), (200, is));
    for (number, why) in [(6, "is done already"), (5, "there is no remap 5")] {
        let refused = ask_at(&world, &format!("/v1/remaps/stop?remap={number}"), &said).await;
        assert_eq!(refused.error(), (409, "not_stopped".to_owned()));
        assert!(refused.body.contains(why), "{}", refused.body);
    }
    let silent = json!({ "why": "", "who": "cli:ada" });
    let refused = ask_at(&world, "/v1/remaps/stop?remap=7", &silent).await;
    assert_eq!(refused.error(), (400, "malformed_body".to_owned()));
    let unnamed = ask_at(&world, "/v1/remaps/stop", &said).await;
    assert_eq!(unnamed.error(), (400, "bad_query".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn what_is_no_remap_is_refused() {
    let world = World::new().await;
    let with = |field: &str, value: Value| {
        let mut wish = wish();
        wish[field] = value;
        wish
    };
    for (query, body, code) in [
        ("mapping=one", wish(), "bad_query"),
        ("", wish(), "bad_query"),
        ("mapping=1", with("why", json!("")), "malformed_body"),
        ("mapping=1", with("customer", json!("a\nb")), "malformed_body"),
        ("mapping=1", with("window", json!("1h")), "malformed_body"),
        ("mapping=1", with("to", json!(-1)), "malformed_body"),
    ] {
        let answer = ask(&world, query, &body).await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{query} {body}");
    }
    world.end().await;
}
