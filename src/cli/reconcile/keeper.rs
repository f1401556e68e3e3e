//! A report's findings, left with the daemon. Here: one request for each. Never here: what is in
//! them. Read next: `crate::web::reconcile`.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::socket::{AskError, Socket};
use crate::domain::names::ProviderName;
use crate::ledger::reconcile::{Comparison, Concluded};
use crate::ledger::report::Run;
use crate::reconcile::keeper::{KeepError, Keeper};
use crate::web::reconcile::{conclude_json, count_json, keep_json};

/// The daemon that holds the ledger.
pub(super) struct OverSocket {
    pub(super) socket: Socket,
    pub(super) provider: ProviderName,
}

#[derive(Deserialize)]
struct Kept {
    run: i64,
}

#[derive(Deserialize)]
struct Moved {
    moved: u64,
    outdated: u64,
}

impl OverSocket {
    async fn post<T: for<'de> Deserialize<'de>>(&self, body: Value) -> Result<T, AskError> {
        let provider = ("provider", self.provider.as_str());
        let kind = "application/json";
        self.socket.post("/v1/reconcile", provider, kind, body.to_string()).await
    }
}

#[async_trait]
impl Keeper for OverSocket {
    async fn count_reads(&self, _provider: &ProviderName, calls: u32) -> Result<(), KeepError> {
        self.post::<Value>(count_json(calls)).await.map(drop)?;
        Ok(())
    }

    async fn keep(&self, run: &Run) -> Result<i64, KeepError> {
        let kept: Kept = self.post(keep_json(run)).await?;
        Ok(kept.run)
    }

    async fn conclude(&self, comparison: Comparison) -> Result<Concluded, KeepError> {
        let Moved { moved, outdated } = self.post(conclude_json(&comparison)).await?;
        Ok(Concluded { moved, outdated })
    }
}
