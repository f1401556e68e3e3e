//! Levers over HTTP: a model of the ledger that knows nothing, and says why.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use tallyd::domain::balance::Place;
use tallyd::domain::names::{AccountName, CustomerName, LeverName, MeterName, ProviderName};
use tallyd::domain::time::{MICROS_PER_HOUR, Timestamp, Window};
use tallyd::domain::usage::{Span, View};
use tallyd::ledger::LedgerError;
use tallyd::ledger::usage::{Counted, Uncounted, UsageLedger, UsageQuestion, UsageTold};
use tallyd::usage::desk::Desk;
use tallyd::usage::lever::{Formula, Lever, Period};

use super::world::{Model, Weather, World, exchange};

#[async_trait]
impl UsageLedger for Model {
    async fn adopt_views(&self, _: &[View]) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn uncounted(&self, _: u32) -> Result<Vec<Uncounted>, LedgerError> {
        Ok(Vec::new())
    }
    async fn count(&self, _: &Counted) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn forget_views(&self, _: u32) -> Result<u64, LedgerError> {
        Ok(0)
    }
    async fn usage_of(&self, question: &UsageQuestion) -> Result<UsageTold, LedgerError> {
        self.meet_weather().await?;
        Ok(match (question.customer.as_str(), question.span) {
            ("cus_many", _) => UsageTold::TooMany,
            ("cus_old", _) => UsageTold::ArchivedBefore(Timestamp::from_seconds(0)),
            (_, Span::AllTime) => UsageTold::Behind(30_000),
            (_, Span::Within(_)) => UsageTold::NoView,
        })
    }
    async fn imported_account(
        &self,
        _: &ProviderName,
        _: &CustomerName,
    ) -> Result<Option<AccountName>, LedgerError> {
        Ok(None)
    }
    async fn periods_at(&self, _: &[Place], _: Timestamp) -> Result<Vec<Window>, LedgerError> {
        Ok(Vec::new())
    }
}

/// Two levers over the model.
pub(super) fn desk(ledger: &Arc<Model>) -> Arc<Desk> {
    let lever = |name: &str, period| Lever {
        name: LeverName::new(name).unwrap(),
        meter: MeterName::new("calls").unwrap(),
        formula: Formula::Total,
        period,
        bucket_property: "bucket".to_owned(),
        subscription_property: "subscription_id".to_owned(),
        products: BTreeSet::new(),
    };
    let levers =
        vec![lever("all", Period::AllTime), lever("hour", Period::Rolling(MICROS_PER_HOUR))];
    Arc::new(Desk::new(ledger.clone(), levers, Vec::new(), HashMap::new()))
}

async fn error(world: &World, path: &str) -> (u16, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer one\r\nconnection: close\r\n\r\n"
    );
    exchange(&mut world.connect().await, request.as_bytes()).await.error()
}

#[tokio::test]
async fn why_there_is_no_figure_is_a_code_of_its_own() {
    let world = World::new().await;
    for (path, status, code) in [
        ("/v1/customers/cus_1/usage/all", 503, "usage_behind"),
        ("/v1/customers/cus_1/usage/hour", 503, "not_counted"),
        ("/v1/customers/cus_many/usage/all", 409, "too_many_buckets"),
        ("/v1/customers/cus_old/usage/all", 409, "history_archived"),
        ("/v1/customers/cus_1/usage/other", 404, "no_lever"),
        ("/v1/customers/a%0Ab/usage", 400, "bad_path"),
    ] {
        assert_eq!(error(&world, path).await, (status, code.to_owned()), "{path}");
    }
    let plain = world.get("/v1/customers/cus_1/usage").await;
    assert_eq!(plain.error(), (401, "unauthorized".to_owned()));
    world.ledger.weather.send_replace(Weather::Busy);
    let busy = error(&world, "/v1/customers/cus_1/usage").await;
    assert_eq!(busy, (503, "ledger_busy".to_owned()));
    world.end().await;
}
